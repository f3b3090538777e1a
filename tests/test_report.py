"""The report: one page that says what its runs say, no more, and shows well on a screen, a phone and paper."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sepconv_lab.analysis.claims import of_the_paper as claims, verdicts
from sepconv_lab.analysis.read import committed
from sepconv_lab.analysis.read.export import export
from sepconv_lab.config import BadInput
from sepconv_lab.report import __main__ as command, page, text
from sepconv_lab.report.__main__ import write_all
from sepconv_lab.report.subject import subject

from .analysis import generated as made
from .helpers import SMALL, cli
from .planned import Frames, end, planned

FIGURE10, FIGURE09 = claims.FIGURE10, claims.FIGURE09


def words(html: str) -> str:
    """What a reader sees: the page's text in one line, with plain quotes and spaces."""
    html = re.sub(r"<(style|title)>.*?</\1>", "", html, flags=re.S)
    seen = re.sub(r"<[^>]+>", " ", html)
    for typeset, plain in (
        ("\xa0", " "),
        ("’", "'"),
        ("“", '"'),
        ("”", '"'),
        ("&#39;", "'"),
        ("&#34;", '"'),
        ("−", "-"),
    ):
        seen = seen.replace(typeset, plain)
    return " ".join(seen.replace("‑", "-").split())


def title(html: str) -> str:
    return re.findall(r"<title>(.*?)</title>", html)[0]


def banners(html: str) -> list[str]:
    return re.findall(r'<div class="banner"><strong>(\w+)</strong>', html)


@pytest.fixture(scope="module")
def whole() -> Frames:
    return planned(FIGURE10)


@pytest.fixture(scope="module")
def html(whole: Frames) -> str:
    return page(*whole)


# --- what a page says -------------------------------------------------------------------------------------------------


def test_the_page_says_what_the_verdict_says(whole: Frames, html: str) -> None:
    """Statement, ruling, every part with its interval, how to read it, what it does not show: as `Verdict` has them."""
    runs, _, plan = whole
    verdict = verdicts.judge(claims.C4, runs)
    seen = words(html)
    assert plan["question"] in seen
    assert f"{verdict.label} {verdict.claim.statement}." in seen
    for part in verdict.parts:
        e = part.effect
        bounds = f"{e.estimate:+.3f} [{e.low:+.3f}, {e.high:+.3f}], n=6 {part.ruling.label}"
        assert f"{part.contrast.name} {bounds}" in seen
    for sentence in (*verdict.reading, *verdict.caveats, verdict.claim.paper_says):
        assert sentence.removeprefix("Does not show: ") in seen
    assert banners(html) == []
    assert title(html) == f"{FIGURE10}, lab"


def test_the_page_names_plan_runs_commands_and_environment(whole: Frames, html: str) -> None:
    runs, _, plan = whole
    seen = words(html)
    assert f"plan {plan['plan_id']} , frozen 23 November 2026, 14:00 UTC" in seen
    for run in runs.to_dict("records"):
        assert run["run_id"] in seen
        assert run["command"] in seen
        assert f"{100 * run['test_ema/top1']:.2f}" in seen
    for value in ("cpu-avx512bf16", "bf16", "a" * 12, "torch 2.13.0"):
        assert value in seen
    assert "Runs that did not finish" not in seen


def test_tables_hold_means_and_spreads_over_seeds(whole: Frames, html: str) -> None:
    runs, _, _ = whole
    mine = 100 * runs.loc[runs["variant"] == "relu", "test_ema/top1"]
    assert f"relu 6 {mine.mean():.1f} ± {mine.std():.1f}" in words(html)


def test_a_page_needs_nothing_else_and_is_the_same_every_time(whole: Frames, html: str) -> None:
    """No script, no address outside the page, and bytes that depend on the input alone."""
    assert "<script" not in html
    addresses = re.findall(r"""(?:src|href|action)\s*=\s*["']([^"']*)|url\(["']?([^"')]*)""", html)
    found = {a or b for a, b in addresses}
    assert found
    assert all(address.startswith(("#", "data:")) for address in found), found
    assert page(*whole) == html
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids))


def test_our_curves_and_the_papers_never_share_axes(html: str) -> None:
    drawings = dict(re.findall(r'<svg [^>]*id="([\w-]+)"[^>]*>(.*?)</svg>', html, flags=re.S))
    assert 'id="figure10-mean-relu"' in drawings["figure10"]
    assert 'id="paper10-paper-relu"' in drawings["paper10"]
    assert "paper" not in drawings["figure10"]
    assert "mean" not in drawings["paper10"]


@pytest.mark.slow
@pytest.mark.parametrize("study", claims.STUDIES)
def test_every_shipped_study_gets_its_figures_and_tables(study: str) -> None:
    """Nothing is left undrawn for want of knowing a study, and no comparison is refused."""
    html = page(*planned(study))
    assert "Not drawn" not in html
    assert "cannot be compared" not in html
    own = {
        "order": "order", "mid_norm": "grid", "spectrum": "spectrum", "segments_x_mid_act": "grid", FIGURE10: "paper10",
        FIGURE09: "paper9", claims.FIGURE06: "paper6", claims.FIGURE07_08: "paper8", "vgg_sep": "curves", "a_a": "curves",
        claims.BUDGET: "curves",
    }  # fmt: skip
    assert '<svg viewBox="0 0 237.6 ' in html  # half a page wide
    assert f'id="{own[study]}"' in html
    assert ('id="pareto"' in html) == (study not in (claims.FIGURE07_08, "a_a"))  # three variants or more, one data set
    assert ("as if they were two variants" in html) == (study == "a_a")


# --- less than everything ---------------------------------------------------------------------------------------------


def test_partial_results_say_so_first_and_name_what_is_absent() -> None:
    runs, history, plan = planned(FIGURE10)
    end(runs, "elu", 3, "failed", "OSError: no space left on device")
    end(runs, "relu", 1, "diverged", "the loss is not a number at step 1,125")
    runs = runs[~((runs["variant"] == "none") & (runs["seed"] == 5))]
    html = page(runs, history[history["run_id"].isin(runs["run_id"])], plan)
    seen = words(html)
    assert banners(html) == ["Partial", "Pilot"]
    assert title(html).startswith("[Partial] [Pilot] ")
    assert "17 of 18 runs have ended" not in seen
    assert "16 of 18 runs have ended (1 failed, 1 missing)" in seen
    assert "pilot partial" in seen
    assert "OSError: no space left on device" in seen
    assert "the loss is not a number at step 1,125" in seen
    assert "relu diverged in 1 of 6 runs" in seen
    assert "figure10_mid_activation/none/seed 5" in seen
    assert "n=5 of 6" in seen


def test_a_pilot_and_a_smoke_run_are_labelled() -> None:
    pilot = page(*planned(FIGURE10, seeds=3))
    assert banners(pilot) == ["Pilot"]
    assert "3 seeds; a verdict takes 5." in words(pilot)
    smoke = page(*planned(FIGURE10, seeds=6, scale="smoke"))
    assert banners(smoke) == ["Smoke"]
    assert "The numbers mean nothing." in words(smoke)
    assert "at the smoke scale" in words(smoke)


def test_one_seed_gives_estimates_and_says_that_there_is_no_interval() -> None:
    seen = words(page(*planned(FIGURE09, seeds=1)))
    assert "1 seed; a verdict takes 5." in seen
    assert "not judged pilot" in seen
    assert re.search(r"residual better than no residual \+0\.\d+ \(one seed: no interval\), n=1", seen)
    assert "smaller than no residual's" not in seen  # no plain words without an interval


def test_a_claim_of_the_studys_own_is_judged_by_its_contrasts() -> None:
    own = {"id": "mine", "statement": "ReLU costs accuracy", "contrasts": ["none better than relu"],
           "smallest_effect": 0.05, "interval": "paired"}  # fmt: skip
    seen = words(page(*planned(FIGURE10, claim=own)))
    assert "ReLU costs accuracy. (mine: study figure10_mid_activation)" in seen
    assert "smallest effect 0.05" in seen


def test_without_a_claim_the_page_describes() -> None:
    html = page(*_own_study())
    seen = words(html)
    assert "The study states no claim, so there is no verdict" in seen
    assert "The paper states nothing that this study would decide." in seen
    assert "Every variant against a" in seen
    assert "Chollet" not in seen
    assert "Not drawn" not in seen


def _own_study() -> Frames:
    """A study that is none of the shipped ones."""
    runs, history, plan = planned(FIGURE10)
    names = {"none": "a", "elu": "b", "relu": "c"}
    variants = {names[k]: v for k, v in plan["variants"].items()}
    rows = [r | {"variant": names[r["variant"]]} for r in plan["runs"]]
    runs, history = (f.assign(study="mine", variant=f["variant"].map(names)) for f in (runs, history))
    return runs, history, plan | {"study": "mine", "claim": None, "baseline": "a", "variants": variants, "runs": rows}


def test_factors_are_drawn_as_main_effects_and_interactions() -> None:
    runs, history, plan = planned("mid_norm", claim=None)
    factors = {"block.mid_norm": ["false", "true"], "block.mid_act": ["none", "relu", "elu"],
               "train.decay_depthwise": ["true", "false"]}  # fmt: skip
    html = page(runs, history, plan | {"factors": factors})
    assert "Main effects and interactions" in words(html)
    assert "Not drawn" not in html


def test_before_any_run_has_ended_the_page_says_how_to_go_on() -> None:
    _, history, plan = planned(FIGURE10)
    html = page(pd.DataFrame(), history[:0], plan)
    assert banners(html) == ["Partial"]
    assert "python -m sepconv_lab.study run figure10_mid_activation scale=lab" in words(html)
    assert html.count("<td") >= 18


def test_runs_that_do_not_compare_are_refused_in_place() -> None:
    runs, history, plan = planned(FIGURE10)
    runs.loc[0, "precision"] = "fp32"
    seen = words(page(runs, history, plan))
    assert "The runs cannot be compared: mixed precision" in seen
    assert "Not drawn: mixed precision" in seen


def test_a_plan_that_froze_other_contrasts_is_not_judged_by_todays() -> None:
    runs, history, plan = planned(FIGURE10)
    plan["claim"]["contrasts"] = ["none better than relu"]
    assert "judge it with the version that froze it" in words(page(runs, history, plan))


def test_frames_of_another_study_are_refused(whole: Frames) -> None:
    runs, history, plan = whole
    with pytest.raises(BadInput, match="no run of study 'other'"):
        page(runs, history, plan | {"study": "other"})


def test_what_records_hold_is_text_not_markup() -> None:
    runs, history, plan = planned(FIGURE10)
    end(runs, "elu", 3, "failed", "<script>alert(1)</script>")
    assert "<script" not in page(runs, history, plan | {"question": "1 < 2 & <b>3</b>?"})


def test_numbers_as_text() -> None:
    assert text.number(-1234.5, 1) == "−1,234.5"
    assert text.spread(0.8012, float("nan")) == "80.1"
    assert text.change(0.05) == "4.9 % smaller"
    assert text.between(0.02, 0.07) == "2.0 to 6.8 % smaller"
    assert text.between(-0.07, -0.02) == "2.0 to 7.3 % larger"
    assert text.between(-0.01, 0.05) == "1.0 % larger to 4.9 % smaller"
    assert text.typeset('it\'s "so" in section 2: 5 %') == "it’s “so” in section\xa02: 5\xa0%"


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    """Records of a study of three variants and three seeds."""
    variants = {
        "none": made.config(),
        "elu": made.config(block__mid_act="elu"),
        "relu": made.config(block__mid_act="relu"),
    }
    root = tmp_path / "runs"
    for i, run in enumerate(made.write_plan(root, variants)):
        values = variants[run["variant"]] | {"seed": run["seed"]}
        told = made.summary(run["run_id"], 0.8 - 0.01 * i)
        made.write_record(root, run["run_id"], values, told, made.events(top1=0.8 - 0.01 * i))
    return root


def test_one_command_writes_the_page_beside_the_plan(runs_dir: Path) -> None:
    done = cli(FIGURE10, cwd=runs_dir.parent, module="report")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    written = runs_dir.parent / done.stdout.strip()
    assert written == made.plan_file(runs_dir).with_name("report.html")
    assert banners(written.read_text()) == ["Pilot"]


def test_committed_results_alone_give_the_page(runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a fresh clone there are no records: the study's name is enough."""
    clone = tmp_path / "clone"
    folder = export(FIGURE10, runs_dir, to=clone / "experiments" / FIGURE10 / "results" / "lab")
    monkeypatch.chdir(clone)
    assert command.main([FIGURE10]) == 0
    assert (folder / "report.html").exists()


def test_committed_results_give_the_same_page_as_the_records(runs_dir: Path, tmp_path: Path) -> None:
    from_records = command.write(FIGURE10, runs_dir).read_text()
    folder = export(FIGURE10, runs_dir, to=tmp_path / "results" / "lab")
    assert command.write(FIGURE10, folder).read_text() == from_records
    assert (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["figure10_mid_activation", "--runs-dir", "runs", "--label", "lba"], "no label 'lba'; there are: lab."),
        (["figure10", "--runs-dir", "runs"], "no study 'figure10'; there are: figure10_mid_activation"),
        (["figure09_residual"], "neither runs/studies/figure09_residual nor experiments/figure09_residual/results"),
        (["figure10_mid_activation", "--runs-dir", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_bad_input_is_answered_in_one_message(
    runs_dir: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(runs_dir.parent)
    assert command.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


def test_of_several_results_one_must_be_chosen(runs_dir: Path) -> None:
    variants = {v: made.config(block__mid_act=v) for v in ("none", "elu", "relu")}
    made.write_plan(runs_dir, variants, label="lab_cifar10", question="Here too?")
    with pytest.raises(BadInput, match=r"has 2 results.*--label lab; --label lab_cifar10"):
        command.write(FIGURE10, runs_dir)
    assert (
        command.write(FIGURE10, runs_dir, label="lab_cifar10").parent
        == made.plan_file(runs_dir, label="lab_cifar10").parent
    )


@pytest.mark.slow
def test_a_smoke_study_is_reported_with_one_command(tmp_path: Path) -> None:
    """The last line of `study run` is the command that writes the page, and the page is labelled smoke and pilot."""
    ran = cli("run", FIGURE10, "scale=smoke", "seeds=2", *SMALL[:4], "train.threads=1", cwd=tmp_path, module="study")
    assert ran.returncode == 0, ran.stderr
    pointer = ran.stdout.strip().splitlines()[-1]
    assert pointer.startswith("report: python -m sepconv_lab.report ")
    done = cli(*pointer.split()[4:], cwd=tmp_path, module="report")
    assert done.returncode == 0, done.stderr
    html = (tmp_path / done.stdout.strip()).read_text()
    assert banners(html) == ["Smoke", "Pilot"]
    assert html.count("python -m sepconv_lab.run ") >= 6


class Elements(HTMLParser):
    """The names of a page's elements, and their attributes."""

    def __init__(self, html: str):
        super().__init__()
        self.names, self.attributes = set[str](), list[tuple[str, str]]()
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += [(k, v or "") for k, v in attrs]


EVIL = """x"'></svg></style><script>alert(1)</script><img src=x onerror=alert(1)> --!> ]]> {{ 7*7 }} $x^$ &quot;>"""


def hostile_page(study: str) -> str:
    """A page whose every name is somebody else's: variants, claim, contrasts, label, question, errors, commands, versions."""
    runs, history, plan = planned(study, seeds=5)
    end(runs, plan["baseline"], 0, "failed", f"RuntimeError: {EVIL}")
    names = {v: f"{v}\"'></svg><script>alert(1)</script>$x^$" for v in plan["variants"]}
    for frame in (runs, history):
        frame["variant"] = frame["variant"].map(names)
    for column in ("command", "hardware_class", "versions.torch", "git.commit", "data.name", "precision", "device"):
        runs[column] = runs[column].astype(str) + EVIL
    plan["variants"] = {names[v]: variant for v, variant in plan["variants"].items()}
    plan["baseline"] = names[plan["baseline"]]
    for run in plan["runs"]:
        run["variant"] = names[run["variant"]]
    claim = plan["claim"]
    claim["contrasts"] = [" ".join(names.get(w, w) for w in c.split(" ")) for c in claim["contrasts"]]
    plan["claim"] = claim | {"id": claim["id"] + EVIL, "statement": EVIL}
    plan |= {k: str(plan[k]) + EVIL for k in ("question", "frozen")} | {"overrides": [EVIL]}
    return page(runs, history, plan)


ELEMENTS = """html head meta title style body main header section footer nav figure figcaption svg g path defs use text tspan
clippath rect line circle polygon image h1 h2 h3 h4 p div span strong em b i code pre table thead tbody tr th td dl dt dd ul ol
li details summary a small br"""


@pytest.mark.filterwarnings("ignore:constrained_layout not applied")
@pytest.mark.parametrize("study", [FIGURE10, "mid_norm"])
def test_no_name_becomes_markup(study: str) -> None:
    """Whatever a plan and its records call things: the page holds the elements and attributes of an honest one, all ids are
    words, and its policy forbids scripts and anything from elsewhere."""
    html = hostile_page(study)
    found = Elements(html)
    assert found.names <= set(ELEMENTS.split())
    assert not [a for a in found.attributes if a[0].startswith("on") or "javascript:" in a[1].lower()]
    ids = [v for k, v in found.attributes if k == "id"]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[\w.-]+", v) for v in ids)
    addresses = {v for k, v in found.attributes if k in ("href", "src") and not v.startswith("data:image/png;base64,")}
    assert addresses <= {f"#{v}" for v in ids}
    assert "alert(1)" in words(html)  # the names are there, as text
    policy = next(v for k, v in found.attributes if k == "content" and "default-src" in v)
    assert policy.startswith("default-src 'none'; ")
    assert "script" not in policy


# --- in a browser -----------------------------------------------------------------------------------------------------

CUT = """[...document.querySelectorAll("figure > svg")].flatMap(svg => {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].filter(t => { const b = t.getBoundingClientRect();
    return b.left < box.left - 1 || b.right > box.right + 1 || b.top < box.top - 1 || b.bottom > box.bottom + 1;
  }).map(t => svg.id + ": " + t.textContent);
})"""
"""The texts of figures that reach out of them."""
SMALLEST_TEXT = """Math.min(...[...document.querySelectorAll("figure text")].map(t => {
  const m = t.getScreenCTM(); return parseFloat(getComputedStyle(t).fontSize) * Math.hypot(m.a, m.b); }))"""


class Tab:
    """A page in Chromium, what it asked for, and what went wrong in it."""

    def __init__(self, browser: Any) -> None:
        self.page = browser.new_page()
        self.errors: list[str] = []
        """Exceptions, and everything that the browser logged as an error or a warning."""
        self.requests: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("request", lambda r: None if r.url.startswith("data:") else self.requests.append(r.url))

    def open(self, path: Path, *, width: int) -> None:
        """Show a file in a window of `width` CSS pixels; returns when it and its fonts are loaded."""
        self.errors.clear()
        self.requests.clear()
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.goto(path.resolve().as_uri())
        self.page.evaluate("document.fonts.ready.then(() => true)")

    def evaluate(self, expression: str) -> Any:
        return self.page.evaluate(expression)


@pytest.fixture(scope="module")
def browser() -> Iterator[Tab]:
    """Debian's Chromium. It has to be here where SEPCONV_CHROMIUM says so, as in `.ci/run`; elsewhere a test skips."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None and not os.environ.get("SEPCONV_CHROMIUM"):
        pytest.skip("Chromium is not installed (Debian: chromium); .ci/run installs it")
    with sync_playwright() as driver, driver.chromium.launch(executable_path=program, args=["--no-sandbox"]) as opened:
        yield Tab(opened)


def _complete() -> Frames:
    return planned(FIGURE10)


def _partial() -> Frames:
    runs, history, plan = planned(FIGURE09, seeds=4)
    end(runs, "residual", 0, "failed", "RuntimeError: " + "a_path_without_any_blanks/" * 12)
    end(runs, "no_residual", 2, "diverged", "the loss is not a number at step 1,125")
    return runs, history, plan


def _nothing() -> Frames:
    _, history, plan = planned("spectrum")
    return pd.DataFrame(), history[:0], plan


PAGES: dict[str, Callable[[], Frames]] = {
    "complete": _complete, "partial": _partial, "nothing": _nothing, "order": lambda: planned("order", seeds=2),
    "many_classes": lambda: planned(claims.FIGURE07_08), "one_seed": lambda: planned(claims.FIGURE06, seeds=1),
}  # fmt: skip


@pytest.fixture(scope="module", params=PAGES)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / f"{request.param}.html"
    path.write_text(page(*PAGES[request.param]()))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_a_page_shows_whole_in_chromium(browser: Tab, written: Path, width: int) -> None:
    """No error, no request, no horizontal overflow; text of figures is legible and within them; wide tables scroll."""
    browser.open(written, width=width)
    assert browser.errors == []
    assert browser.requests == [written.as_uri()]
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(CUT) == []
    if written.stem != "nothing":
        assert browser.evaluate("document.fonts.check('7px \"DejaVu Sans\"') && document.fonts.size") == 1
        assert browser.evaluate(SMALLEST_TEXT) > 8
    runs_table = "document.querySelector('#runs .scroll')"
    if width == 390:
        assert browser.evaluate(f"{runs_table}.scrollWidth > {runs_table}.clientWidth")


@pytest.mark.slow
def test_the_page_of_all_results_is_made_of_committed_files(
    browser: Tab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`report --all`: every committed plan with its verdict, no id twice, the committed page's bytes, whole at both widths."""
    root = Path(__file__).parent.parent
    monkeypatch.chdir(root)
    made = write_all(str(tmp_path / "all.html"))
    html = made.read_text()
    assert html == (root / "experiments" / "report.html").read_text()
    for folder in committed.folders(Path("experiments")):
        assert f'id="{folder.parts[-3]}-{folder.name}"' in html
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    assert "<script" not in html
    for width in (1280, 390):
        browser.open(made, width=width)
        assert browser.errors == []
        assert browser.requests == [made.as_uri()]
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert browser.evaluate(CUT) == []


def test_only_the_runs_whose_look_has_come_are_due() -> None:
    """After a first look the page is not partial; once a later one has begun, the variants in it are waited for, no others."""
    new = {"schema": 2, "looks": [5, 10], "strata": None, "stop_when_supported": True, "beside": None}
    runs, history, plan = planned(FIGURE10, seeds=10, **new)
    g = subject(runs[runs["seed"] < 5], history, plan)
    assert (len(g.open), g.planned, g.look) == (0, 5, "look 1 of 2 (5, 10 seeds)")
    g = subject(runs[(runs["seed"] < 5) | ((runs["seed"] == 5) & (runs["variant"] != "relu"))], history, plan)
    assert set(g.open["variant"]) == {"none", "elu"}
    assert len(g.open) == 8


@pytest.mark.slow
def test_commands_are_printed_although_they_are_folded_on_the_screen(
    browser: Tab, whole: Frames, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(*whole))
    browser.open(path, width=794)
    shown = "[...document.querySelectorAll('.commands')].filter(e => e.checkVisibility()).length"
    assert browser.evaluate(shown) == 0
    browser.page.emulate_media(media="print")
    assert browser.evaluate(shown) == 3
    assert browser.evaluate("document.documentElement.scrollWidth") <= 794
    browser.page.emulate_media(media="screen")


@pytest.mark.slow
def test_the_browser_would_tell(browser: Tab, tmp_path: Path) -> None:
    """The measurements above can fail: a broken page is found out."""
    path = tmp_path / "broken.html"
    path.write_text("""<!doctype html><img src="http://127.0.0.1:9/x.png"><div style="width: 900px">wide</div>
        <figure><svg viewBox="0 0 10 10" width="10"><text x="8" y="5">out of it</text></svg></figure>
        <script>undefined_name</script>""")
    browser.open(path, width=390)
    assert any("undefined_name" in e for e in browser.errors)
    assert "http://127.0.0.1:9/x.png" in browser.requests
    assert browser.evaluate("document.documentElement.scrollWidth") > 390
    assert len(browser.evaluate(CUT)) == 1
