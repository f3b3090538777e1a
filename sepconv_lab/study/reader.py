"""From a study file to a `Study`, with every problem of the file at once."""

from __future__ import annotations

import itertools
import math
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml

from ..analysis.claims import of_the_paper as claims
from ..analysis.claims.contrasts import CONTRAST
from ..config import PUBLISHED, BadInput, bounded
from ..config.fields import as_typed
from ..config.identity import is_execution
from ..config.messages import unknown
from ..config.overrides import check_given_once
from ..record import metrics
from .definition import NAME, ClaimPart, MatchPart, Study, TunePart, find

OUTCOMES = tuple(f"{split}/{m.name}" for split in ("test_ema", "test") for m in metrics.TABLE if m.outcome)
"""What a study may show beside its claim's own outcome."""


def load(name: str | Path) -> Study:
    """The study of a name or a path. Raises BadInput with every problem of the file, one per line."""
    path = find(str(name))
    try:
        raw = bounded.parse_yaml(bounded.read_bytes(path), _StrictLoader)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    except bounded.Malformed as error:
        raise BadInput(f"{path}: not YAML: {error}") from error
    return _Reader(path, raw).study()


MOST = 10_000
"""Seeds, or combinations of factors, of one study."""


class _StrictLoader(yaml.SafeLoader):
    """YAML as a person means it: 1.2's plain values, so that `on` and 010 are texts and 2e-2 is a number; no key twice.

    YAML keeps the last of two equal keys, and a study that lost a variant so would not say it. Keys are texts as they stand
    there, also 1 and on; merge keys (`<<: *base`) work.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = set[Any]()
        for key, _ in node.value:
            if key.tag == MERGE:
                continue
            if isinstance(key, yaml.ScalarNode):
                key.tag = "tag:yaml.org,2002:str"
            name = self.construct_object(key, deep=True)
            if name in keys:
                raise yaml.constructor.ConstructorError(None, None, f"{name!r} is given twice", node.start_mark)
            keys.add(name)
        self.flatten_mapping(node)
        for key, _ in node.value:  # those that were merged
            if isinstance(key, yaml.ScalarNode):
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


MERGE = "tag:yaml.org,2002:merge"
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|nan)",
        "-+0123456789.",
    ),
    ("merge", r"<<", "<"),
):
    _StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first))


class _Reader:
    """Turns the raw mapping into a Study, collecting every problem before it raises."""

    KEYS = ("question", "claim", "base", "baseline", "variants", "factors", "exclude", "leave_one_out", "seeds", "strata",
            "stop_when_supported", "blocks", "match", "tune", "scales")  # fmt: skip

    def __init__(self, path: Path, raw: Any):
        self.path, self.problems = path, dict[str, None]()
        self.raw = raw if isinstance(raw, dict) else {}
        if not isinstance(raw, dict):
            self.bad(f"a study is a mapping with {', '.join(self.KEYS)}")

    def bad(self, words: str) -> None:
        self.problems[words] = None

    def study(self) -> Study:
        self.known(self.raw, self.KEYS, "")
        question = self.raw.get("question")
        if not isinstance(question, str) or not question.strip():
            self.bad("question: say in a sentence what the study asks")
        base = self.overrides(self.raw.get("base"), "base")
        for word in base:
            if word.startswith("train."):
                self.bad(
                    f"base: {word}: a value would win over a scale's train= preset; set it in `scales` or in a preset"
                )
        own, only, more = self.variants()
        baseline = self.raw.get("baseline")
        if isinstance(baseline, (int, float)):
            baseline = as_typed(baseline)  # a variant may be called 1
        if not isinstance(baseline, str):
            self.bad(f"baseline: name one of the variants: {', '.join(own)}")
            baseline = next(iter(own), "")
        parts = self.mapping("leave_one_out")
        if baseline not in own and parts:
            own = {baseline: (), **own}
        if baseline not in own:
            self.bad(unknown(f"baseline: {baseline}", baseline, own))
        for name, removal in parts.items():
            own[f"without_{name}"] = (*own.get(baseline, ()), *self.overrides(removal, f"leave_one_out: {name}"))
        for name, words in own.items():
            self.sweepable(name, [*words, *(w for ws in more.get(name, {}).values() for w in ws)])
            if not NAME.fullmatch(name):
                self.bad(f"variants: {name!r}: a name is made of letters, digits and _ . = - space")
        if len(own) < 2 and self.claim_id() is not None:
            self.bad("variants: a comparison takes two; give variants, factors or leave_one_out")
        scales = {str(k): self.overrides(v, f"scales: {k}") for k, v in self.mapping("scales").items()}
        if not scales:
            self.bad("scales: give at least one, such as lab: []")
        for name, places in (*only.items(), *((n, tuple(m)) for n, m in more.items())):
            for place in places:
                if place not in scales:
                    self.bad(unknown(f"variants: {name}: {place}", place, scales))
        seeds, looks_at = self.looks(scales)
        blocks = self.blocks(own, more, scales)
        study = Study(
            self.path.resolve().parent.name, self.path, str(question or "").strip(), self.claim(own), base, baseline, own,
            seeds, scales, self.factors, blocks, looks_at, self.strata(blocks), self.match(own), self.tune(), only, more,
            self.switch("stop_when_supported"),
        )  # fmt: skip
        if study.tune and (shared := set(study.tune.seeds) & set(study.seeds)):
            self.bad(f"tune: seeds {sorted(shared)} are evaluation seeds; tuning takes seeds of its own")
        if self.problems:
            raise BadInput("\n".join(f"{self.path}: {p}" for p in self.problems))
        return study

    # --- parts ---

    def variants(
        self,
    ) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]], dict[str, dict[str, tuple[str, ...]]]]:
        own: dict[str, tuple[str, ...]] = {}
        only: dict[str, tuple[str, ...]] = {}
        more: dict[str, dict[str, tuple[str, ...]]] = {}
        for key, value in self.mapping("variants").items():
            name = as_typed(key)
            if isinstance(value, dict):
                self.known(value, ("overrides", "scales", "at"), f"variants: {name}: ")
                if "scales" in value:
                    only[name] = tuple(map(str, value["scales"] or ()))
                at = value.get("at") or {}
                more[name] = {str(k): self.overrides(v, f"variants: {name}: at: {k}") for k, v in at.items()}
                value = value.get("overrides")
            own[name] = self.overrides(value, f"variants: {name}")
        self.factors = {
            str(k): tuple(map(as_typed, v if isinstance(v, list) else [v])) for k, v in self.mapping("factors").items()
        }
        excluded = self.raw.get("exclude") or []
        if not isinstance(excluded, list) or not all(isinstance(e, dict) for e in excluded):
            self.bad("exclude: a list of partial combinations, e.g. [{block.mid_act: elu, block.mid_norm: true}]")
            excluded = []
        drop = [{str(k): as_typed(v) for k, v in e.items()} for e in excluded]
        for part in drop:
            for axis, level in part.items():
                if level not in self.factors.get(axis, ()):
                    self.bad(f"exclude: {axis}: {level} is no level of the factors")
        cells = math.prod(map(len, self.factors.values()))
        if cells > MOST:
            self.bad(f"factors: {cells:,} combinations; at most {MOST:,} are planned")
        for levels in itertools.product(*self.factors.values()) if self.factors and cells <= MOST else ():
            cell = dict(zip(self.factors, levels, strict=True))
            if not any(part.items() <= cell.items() for part in drop):
                name = " ".join(f"{axis.rpartition('.')[2]}={level}" for axis, level in cell.items())
                if name in own:
                    self.bad(f"variants: {name!r} is a combination of the factors too")
                own[name] = tuple(f"{axis}={level}" for axis, level in cell.items())
        return own, only, more

    def blocks(
        self,
        own: Mapping[str, tuple[str, ...]],
        more: Mapping[str, Mapping[str, tuple[str, ...]]],
        scales: Mapping[str, tuple[str, ...]],
    ) -> dict[str, dict[str, tuple[str, ...]]]:
        found: dict[str, dict[str, tuple[str, ...]]] = {}
        for scale, raw in self.mapping("blocks").items():
            if scale not in scales:
                self.bad(unknown(f"blocks: {scale}", str(scale), scales))
                continue
            taken = {w.split("=")[0]: f"scale {scale}" for w in scales[scale]}
            for name, words in own.items():
                taken |= {w.split("=")[0]: f"variant {name}" for w in (*words, *more.get(name, {}).get(scale, ()))}
            found[scale] = {}
            for key, values in raw.items() if isinstance(raw, dict) else ():
                if not str(key).startswith("data.") or is_execution(f"{key}=x"):
                    self.bad(f"blocks: {scale}: {key}: a seed sets what the data is, such as data.seed")
                elif not (values := self.block_values(values, f"blocks: {scale}: {key}")):
                    self.bad(f"blocks: {scale}: {key}: a list of values is needed, or {{first: 1000, count: 26}}")
                elif len(set(map(as_typed, values))) < len(values):
                    self.bad(f"blocks: {scale}: {key}: a value stands twice")
                elif key in taken:
                    self.bad(f"blocks: {scale}: {key} is set by {taken[key]} too")
                else:
                    found[scale][str(key)] = tuple(map(as_typed, values))
            if math.prod(map(len, found[scale].values())) > MOST:
                self.bad(f"blocks: {scale}: more than {MOST:,} combinations")
                found[scale] = {}
            if not found[scale]:
                self.bad(
                    f"blocks: {scale}: settings of the data with lists of values, such as {{data.seed: [0, 1, 2]}}"
                )
        return found

    def block_values(self, raw: Any, where: str) -> list[Any]:
        """The listed values, or `count` whole numbers from `first`; empty for anything else."""
        if isinstance(raw, dict):
            self.known(raw, ("first", "count"), f"{where}: ")
            first, count = raw.get("first", 0), raw.get("count")
            if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in (first, count)) or count > MOST:
                return []
            return list(range(first, first + count))
        return raw if isinstance(raw, list) else []

    def looks(self, scales: Mapping[str, Any]) -> tuple[tuple[int, ...], dict[str, tuple[int, ...]]]:
        """All seeds, and scale -> looks where the file declares them."""
        raw = self.raw.get("seeds")
        if not isinstance(raw, dict):
            return self.seeds(raw, "seeds"), {}
        self.known(raw, ("looks", "first", "at"), "seeds: ")
        first, at = raw.get("first", 0), raw.get("at") or {}
        if isinstance(first, bool) or not isinstance(first, int) or first < 0:
            self.bad(f"seeds: first={first} is not allowed: a whole number >= 0")
            first = 0
        if not isinstance(at, dict):
            self.bad(f"seeds: at: scales with their looks, such as {{lab: [6, 12, 24]}}, not {at!r}")
            at = {}
        for scale in at:
            if scale not in scales:
                self.bad(unknown(f"seeds: at: {scale}", str(scale), scales))
        shared = self.look_numbers(raw.get("looks"), "seeds: looks")
        found = {
            scale: self.look_numbers(at[scale], f"seeds: at: {scale}") if scale in at else shared for scale in scales
        }
        last = max((n for looks in found.values() for n in looks), default=0)
        return tuple(range(first, first + last)), found

    def look_numbers(self, raw: Any, where: str) -> tuple[int, ...]:
        whole = isinstance(raw, list) and raw and all(isinstance(n, int) and not isinstance(n, bool) for n in raw)
        if not whole or raw[0] < 1 or raw[-1] > MOST or any(b <= a for a, b in itertools.pairwise(raw)):
            self.bad(f"{where}: {raw} is not allowed: numbers of seeds, increasing, such as [5, 10, 20]")
            return (1,)
        return tuple(raw)

    def strata(self, blocks: Mapping[str, Mapping[str, Any]]) -> str | None:
        raw = self.raw.get("strata")
        known = {key for values in blocks.values() for key in values}
        if raw is not None and raw not in known:
            self.bad(unknown(f"strata: {raw}", str(raw), known) if known else f"strata: {raw}: needs `blocks`")
        return None if raw is None else str(raw)

    def switch(self, key: str) -> bool:
        value = self.raw.get(key, True)
        if not isinstance(value, bool):
            self.bad(f"{key}={value} is not allowed: true or false")
        return bool(value)

    def beside(self, raw: Any) -> dict[str, Any] | None:
        """A second outcome, `{metric: test_ema/loss, smallest_effect: 0.02}`."""
        if raw is None:
            return None
        if not isinstance(raw, dict):
            self.bad("claim: beside: write {metric: test_ema/loss, smallest_effect: 0.02}")
            return None
        self.known(raw, ("metric", "smallest_effect"), "claim: beside: ")
        metric = str(raw.get("metric"))
        if metric not in OUTCOMES:
            self.bad(unknown(f"claim: beside: metric: {metric}", metric, OUTCOMES))
        return {"metric": metric, "smallest_effect": self.effect(raw.get("smallest_effect", 0.02), "claim: beside: ")}

    def effect(self, value: Any, where: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            self.bad(f"{where}smallest_effect={value} is not allowed: a number > 0, a difference of logarithms")
            return 0.02
        return float(value)

    def claim_id(self) -> str | None:
        raw = self.raw.get("claim")
        return str(raw["id"]) if isinstance(raw, dict) and raw.get("id") else raw if isinstance(raw, str) else None

    def claim(self, own: Mapping[str, Any]) -> ClaimPart | None:
        raw, name = self.raw.get("claim"), self.claim_id()
        if raw is None:
            return None
        if name is None:
            self.bad(f"claim: needs an id: one of {', '.join(claims.CLAIMS)}, or one of your own with contrasts")
            return None
        raw = raw if isinstance(raw, dict) else {}
        self.known(raw, ("id", "statement", "contrasts", "smallest_effect", "interval", "beside"), "claim: ")
        known = claims.CLAIMS.get(name)
        given = raw.get("contrasts") or []
        contrasts = tuple(map(str, given if isinstance(given, list) else [given]))
        if known is None and not contrasts:
            self.bad(unknown(f"claim: {name}", name, claims.CLAIMS) + " One of your own needs `contrasts`.")
        if known is not None:
            deciding = tuple(c.name for c in known.contrasts)
            if contrasts and contrasts != deciding:
                self.bad(
                    f"claim: {name} is decided by {'; '.join(deciding)}: leave `contrasts` out, or give the claim an id of your own"
                )
            contrasts = deciding
            needed = [v for c in known.contrasts for v in c.variants]
            for variant in dict.fromkeys(needed):
                if variant not in own:
                    self.bad(unknown(f"claim: {name} needs the variant {variant}", variant, own))
        else:
            for text in contrasts:
                found = CONTRAST.fullmatch(text)
                if not found:
                    self.bad(
                        f"claim: contrasts: {text!r}: write 'A better than B' or 'A same as B' with names of variants"
                    )
                    continue
                for variant in (found["variant"], found["than"]):
                    if variant not in own:
                        self.bad(unknown(f"claim: contrasts: {variant}", variant, own))
            if len({found["how"] for text in contrasts if (found := CONTRAST.fullmatch(text))}) > 1:
                self.bad(
                    "claim: contrasts: all `better than` or all `same as`: a direction and an equivalence are two studies"
                )
        effect = self.effect(raw.get("smallest_effect", known.smallest_effect if known else 0.02), "claim: ")
        interval = str(raw.get("interval", "paired"))
        if interval not in ("paired", "pooled"):
            self.bad(unknown(f"claim: interval: {interval}", interval, ("paired", "pooled")))
        return ClaimPart(
            name, str(raw.get("statement") or (known.statement if known else "")), contrasts, effect, interval,
            self.beside(raw.get("beside")),
        )  # fmt: skip

    def match(self, own: Mapping[str, Any]) -> MatchPart | None:
        raw = self.mapping("match")
        if not raw:
            return None
        self.known(raw, ("count", "to", "except", "features"), "match: ")
        count, to, but = str(raw.get("count")), str(raw.get("to")), tuple(map(str, raw.get("except") or ()))
        if count not in ("params", "body_params", "macs"):
            self.bad(unknown(f"match: count: {count}", count, ("params", "body_params", "macs")))
        for name in (to, *but):
            if name not in own:
                self.bad(unknown(f"match: {name}", name, own))
        features = raw.get("features")
        if features not in (None, PUBLISHED) and (isinstance(features, bool) or not isinstance(features, int)):
            self.bad(unknown(f"match: features: {features}", str(features), (PUBLISHED, "a number")))
        return MatchPart(count, to, but, None if features is None else str(features))

    def tune(self) -> TunePart | None:
        raw = self.mapping("tune")
        if not raw:
            return None
        self.known(raw, ("lr_points", "seeds", "metric"), "tune: ")
        points, metric = raw.get("lr_points", 3), str(raw.get("metric", "val_ema/top1"))
        if not isinstance(points, int) or points < 3 or points % 2 == 0:
            self.bad(f"tune: lr_points={points} is not allowed: an odd number >= 3")
            points = 3
        if not metric.startswith(("val/", "val_ema/")):
            self.bad(f"tune: metric={metric} is not allowed: rates are chosen on validation, val/... or val_ema/...")
        return TunePart(points, self.seeds(raw.get("seeds"), "tune: seeds"), metric)

    def seeds(self, raw: Any, where: str) -> tuple[int, ...]:
        return self.checked(lambda: seed_list(raw), where) or ()

    # --- small checks ---

    def checked(self, read: Any, where: str) -> Any:
        try:
            return read()
        except BadInput as error:
            self.bad(f"{where}: {error}" if where not in str(error) else str(error))
            return None

    def mapping(self, key: str) -> dict[str, Any]:
        value = self.raw.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.bad(f"{key}: a mapping is needed, not {value!r}")
            return {}
        return value

    def known(self, raw: Mapping[Any, Any], keys: Iterable[str], where: str) -> None:
        for key in raw:
            if key not in keys:
                self.bad(unknown(f"{where}{key}", str(key), keys))

    def overrides(self, raw: Any, where: str) -> tuple[str, ...]:
        if raw is None:
            return ()
        if isinstance(raw, str):
            raw = shlex.split(raw)
        if not isinstance(raw, list) or not all(isinstance(w, str) for w in raw):
            self.bad(f"{where}: a list of overrides as typed after `python -m sepconv_lab.run`, not {raw!r}")
            return ()
        for word in raw:
            if "${" in word:
                self.bad(
                    f"{where}: {word}: a study says its values; only a path on the command line refers to the environment"
                )
            if word.split("=")[0] == "seed":
                self.bad(f"{where}: {word}: seeds are the study's own `seeds`")
        self.checked(lambda: check_given_once(raw), where)
        return tuple(raw)

    def sweepable(self, name: str, words: Iterable[str]) -> None:
        for word in words:
            if is_execution(word):
                self.bad(
                    f"variants: {name}: {word}: where and how a run is carried out is no variant; give it on the command line"
                )


def seed_list(raw: Any) -> tuple[int, ...]:
    """6 -> 0 to 5; [3, 4] -> 3, 4; "0,1" as on a command line too. Raises BadInput for repeated or impossible ones."""
    if isinstance(raw, str):
        try:
            raw = bounded.parse_yaml(raw if "," not in raw or raw.startswith("[") else f"[{raw}]", _StrictLoader)
        except bounded.Malformed as error:
            raise BadInput(f"seeds={raw}: {error}") from error
    if isinstance(raw, int) and not isinstance(raw, bool) and raw <= MOST:
        raw = list(range(raw))
    good = isinstance(raw, list) and raw and all(isinstance(s, int) and not isinstance(s, bool) and s >= 0 for s in raw)
    if not good:
        raise BadInput(f"seeds={raw} is not allowed: how many (6; at most {MOST:,}), or a list of whole numbers >= 0")
    repeated = sorted(s for s, n in Counter(raw).items() if n > 1) if len(set(raw)) < len(raw) else []
    if repeated:
        raise BadInput(f"seeds: {', '.join(map(str, repeated))} repeated; every seed once")
    return tuple(raw)
