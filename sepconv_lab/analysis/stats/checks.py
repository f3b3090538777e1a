"""What must hold before runs may be compared. A refusal is one `BadInput` that names the runs; nothing is guessed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from ...config import BadInput
from ...config.messages import did_you_mean

USABLE = ("finished", "diverged")
UNUSABLE = ("failed", "altered", "interrupted", "running", "missing")
COMPARABLE = ("scale", "precision", "recipe")
"""Columns that must have one value throughout a comparison, beside the data digest."""
WITHIN_SEED = ("hardware_class", "device", "threads", "world_size", "fused")
"""Columns of the machine, which must have one value within a seed and may differ between seeds; libraries too (`machine`)."""
NOT_COMPUTING = ("hydra-core", "matplotlib", "omegaconf", "sepconv_lab", "wandb")
"""Libraries on which no result depends; the package's own part is `recipe`."""


def name(study: object, variant: object, seed: object) -> str:
    """A run as messages name it, e.g. "figure10_mid_activation/relu/seed 3"."""
    number = int(seed) if isinstance(seed, float) and seed.is_integer() else seed
    return f"{study}/{variant}/seed {number}"


def names(runs: pd.DataFrame, most: int = 6) -> str:
    """The runs of a frame in words, at most `most` of them spelled out."""
    spelled = run_names(runs)
    more = f" and {len(spelled) - most} more" if len(spelled) > most else ""
    return ", ".join(spelled[:most]) + more


def run_names(runs: pd.DataFrame) -> list[str]:
    """One name for each row, in the frame's order."""
    return [name(*row) for row in runs[["study", "variant", "seed"]].itertuples(index=False)]


def columns(runs: pd.DataFrame, needed: Iterable[str]) -> None:
    """Refuse a frame that lacks columns."""
    absent = [c for c in needed if c not in runs.columns]
    if absent:
        hint = did_you_mean(absent[0], runs.columns)
        raise BadInput(
            f"the frame has no column {', '.join(map(repr, absent))}.{hint} It must be a runs frame: one row a run"
        )


def of_study(runs: pd.DataFrame, study: str | None = None) -> pd.DataFrame:
    """The rows of one study: the one named, or the only one there is."""
    columns(runs, ("study", "variant", "seed", "status"))
    present = sorted(map(str, runs["study"].unique()))
    if study is None:
        if len(present) != 1:
            found = ", ".join(present) or "none"
            raise BadInput(f"a comparison takes the runs of one study, the frame has {len(present)}: {found}. Name one")
        return runs
    if study not in present:
        raise BadInput(
            f"no run of study {study!r}; the frame has: {', '.join(present) or 'none'}.{did_you_mean(study, present)}"
        )
    return runs if len(present) == 1 else runs[runs["study"] == study]


def of_variants(runs: pd.DataFrame, variants: Iterable[str]) -> pd.DataFrame:
    """The rows of these variants; each must have at least one row (of any status)."""
    wanted = list(dict.fromkeys(variants))
    present = sorted(map(str, runs["variant"].unique()))
    absent = [v for v in wanted if v not in present]
    if absent:
        hint = did_you_mean(absent[0], present)
        raise BadInput(f"no run of variant {', '.join(map(repr, absent))}; the frame has: {', '.join(present)}.{hint}")
    return runs if len(wanted) == len(present) else runs[runs["variant"].isin(wanted)]


def metric(runs: pd.DataFrame, column: str) -> None:
    """Refuse a metric that no run has, or that is NaN in a finished run. A diverged run needs none."""
    known = [c for c in runs.columns if "/" in c]
    done = runs["status"] == "finished"
    finished = runs if done.all() else runs[done]
    if column not in runs.columns or (len(finished) and finished[column].isna().all()):
        raise BadInput(
            f"no run has the metric {column!r}; there are: {', '.join(known) or 'none'}.{did_you_mean(column, known)}"
        )
    bad = finished[column].isna()
    if bad.any():
        raise BadInput(f"{column} is NaN in finished runs: {names(finished[bad])}. Look at their records")


def uniform(runs: pd.DataFrame, column: str) -> None:
    """Refuse runs that differ in `column`, or do not say."""
    columns(runs, (column,))
    silent = runs[column].isna()
    if silent.any():
        raise BadInput(
            f"{column} is not recorded in: {names(runs[silent])}. Without it nobody can tell whether they compare"
        )
    if runs[column].nunique() > 1:
        kinds = dict(iter(runs.groupby(column, sort=True)))
        found = "; ".join(f"{value!s}: {names(rows, 3)}" for value, rows in kinds.items())
        raise BadInput(f"mixed {column} inside a comparison: {found}. Filter the frame to one, or run the others again")


def machine(runs: pd.DataFrame) -> list[str]:
    """The columns of the frame that say on what machine and with which libraries a run was made."""
    libraries = (c for c in runs.columns if c.startswith("versions.") and c.partition(".")[2] not in NOT_COMPUTING)
    return [*(c for c in WITHIN_SEED if c in runs.columns), *libraries]


def uniform_within_seeds(runs: pd.DataFrame) -> None:
    """Refuse machines or libraries that differ within a seed, and runs that do not say their hardware class."""
    columns(runs, ("hardware_class",))
    if runs["hardware_class"].isna().any():
        uniform(runs, "hardware_class")
    for column in machine(runs):
        if runs[column].nunique(dropna=False) > 1:
            for _, rows in runs.groupby("seed"):
                if rows[column].nunique(dropna=False) > 1:
                    uniform(rows, column)


def kinds(runs: pd.DataFrame) -> dict[int, str]:
    """Seed -> the kind of machine that it ran on, in words, e.g. "AMD EPYC, AVX2, threads 2"; none where all seeds ran on one.

    runs: finished or diverged, alike within each seed.
    """
    differ = [c for c in machine(runs) if runs[c].nunique(dropna=False) > 1]
    if not differ:
        return {}
    named = ["hardware_class", *(c for c in differ if c != "hardware_class")]
    first = runs.drop_duplicates("seed").sort_values("seed")

    def word(column: str, value: object) -> str:
        return str(value) if column in ("hardware_class", "device") else f"{column.removeprefix('versions.')} {value}"

    rows = first[["seed", *named]].itertuples(index=False)
    return {int(seed): ", ".join(map(word, named, values)) for seed, *values in rows}


def not_aligned(kind: Mapping[int, str], stratum: Mapping[int, str]) -> None:
    """Refuse kinds of machines that stand for strata: where seeds fall apart into groups that share neither, what is between
    the groups may be the one or the other."""
    if not kind:
        return
    groups: list[set[str]] = []
    for seed, label in stratum.items():
        mine = {f"kind {kind[seed]}", f"stratum {label}"}
        joined = [g for g in groups if g & mine]
        groups = [g for g in groups if not g & mine] + [mine.union(*joined)]
    if len(groups) > 1:
        apart = "; ".join(", ".join(sorted(g)) for g in groups)
        raise BadInput(f"kinds of machines are aligned with strata, so that neither can be told from the other: {apart}. Run "
                       "seeds of each stratum on each kind")  # fmt: skip


def one_digest(runs: pd.DataFrame) -> None:
    """Refuse runs on different data.

    Within a seed all runs must have seen the same data. Seeds may have data of their own only where the configuration
    says so (a `data.*` column differs, such as `data.seed`); otherwise the data changed under way.
    """
    columns(runs, ("data_digest",))
    if runs["data_digest"].notna().all() and runs["data_digest"].nunique() <= 1:
        return
    for _, rows in runs.groupby("seed"):
        uniform(rows, "data_digest")
    settings = [c for c in runs.columns if c.startswith("data.")]
    for _, rows in runs.groupby(settings, dropna=False) if settings else [(None, runs)]:
        uniform(rows, "data_digest")


def comparable(runs: pd.DataFrame, arms: Sequence[Iterable[str]] | None = None) -> None:
    """Refuse scales, precisions, recipes or data digests that are mixed, and machines or libraries that are within a seed.

    arms: groups of variants that must share their data; by default all of them. A difference of differences may span
    two data sets (claim C2) as long as each difference is within one.
    """
    for column in COMPARABLE:
        uniform(runs, column)
    uniform_within_seeds(runs)
    for arm in arms if arms is not None else [runs["variant"].unique()]:
        one_digest(runs[runs["variant"].isin(list(arm))])


def no_duplicates(runs: pd.DataFrame) -> None:
    """Refuse two rows for one (variant, seed), and say in which settings they differ."""
    repeated = runs.duplicated(["variant", "seed"], keep=False)
    if not repeated.any():
        return
    twice = runs[repeated]
    settings = [c for c in runs.columns if "." in c or c in COMPARABLE]
    differ = [c for c in settings if (twice.groupby(["variant", "seed"])[c].nunique(dropna=False) > 1).any()]
    why = (
        f"They differ in {', '.join(differ)}: filter by it, or compare with budgets(by=...)"
        if differ
        else "Keep one of them"
    )
    raise BadInput(f"duplicate runs of one variant and seed: {names(twice.sort_values(['variant', 'seed']))}. {why}")


def usable(
    runs: pd.DataFrame,
    variants: Iterable[str],
    *,
    allow_partial: bool = False,
    arms: Sequence[Iterable[str]] | None = None,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The runs of one study that can be compared, and the names of those that cannot.

    Returns the finished and diverged rows of `variants`, and the names of runs that are missing, failed, interrupted or
    still running, or have no row at all although another variant has that seed. Such runs raise unless `allow_partial`.
    Raises BadInput for everything this module refuses.
    """
    chosen = of_variants(of_study(runs), variants)
    known = chosen["status"].isin(USABLE + UNUSABLE)
    if not known.all():
        unknown = chosen[~known]
        words = ", ".join(sorted(map(str, unknown["status"].unique())))
        raise BadInput(f"unknown status {words} of {names(unknown)}; known: {', '.join(USABLE + UNUSABLE)}")
    if chosen["seed"].isna().any():
        raise BadInput(f"the seed is NaN in: {names(chosen[chosen['seed'].isna()])}")
    ended = chosen["status"].isin(USABLE)
    good = chosen if ended.all() else chosen[ended]
    comparable(good, arms)
    no_duplicates(chosen)
    bad = chosen[~ended]
    absent = [f"{n} ({s})" for n, s in zip(run_names(bad), bad["status"], strict=True)]
    absent += [f"{n} (no run)" for n in _unpaired(chosen)]
    if absent and not allow_partial:
        listed = ", ".join(absent[:12]) + (f" and {len(absent) - 12} more" if len(absent) > 12 else "")
        raise BadInput(f"the comparison is incomplete: {listed}. Complete them (`study run`, `study retry`), or pass "
                       "allow_partial=True, which goes on without them and shows n")  # fmt: skip
    if good.empty:
        raise BadInput(f"none of the runs has finished: {', '.join(absent[:12])}")
    return good, tuple(absent)


def _unpaired(runs: pd.DataFrame) -> list[str]:
    study = runs["study"].iloc[0]
    seeds = sorted(runs["seed"].unique())
    have = set(zip(runs["variant"], runs["seed"], strict=True))
    return [name(study, v, s) for v in dict.fromkeys(runs["variant"]) for s in seeds if (v, s) not in have]
