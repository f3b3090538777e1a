"""Input that cannot be run: exit code 2, one message made for the person who typed it, no traceback, nothing on disk."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sepconv_lab.run import main
from sepconv_lab.training import environment

from .helpers import cli, layered

TINY = ["data.num_classes=4", "data.images_per_class=8", "data.eval_images_per_class=2", "model.width=0.25",
        "train.batch_size=8", "wandb.mode=disabled"]  # fmt: skip
PHOTOS = ["data.image_size=16", "data.num_classes=0", "model.width=0.25", "train.batch_size=4", "wandb.mode=disabled"]


@pytest.fixture
def refused(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., str]:  # fmt: skip
    """Run the words in an empty folder; they must be refused and leave it as it was. Gives the message."""
    monkeypatch.setenv("SEPCONV_LAB_CACHE", str(tmp_path_factory.mktemp("cache")))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def run(*words: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        code = main(list(words))
        out, err = capsys.readouterr()
        assert code == 2, out + err
        assert "Traceback" not in out + err
        assert out == "", "nothing was started"
        assert sorted(tmp_path.rglob("*")) == before, "something was written"
        return err

    return run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        # misspelt
        ("block.mid_act=rellu", ["block.mid_act=rellu", "none, relu, relu6", "Did you mean relu?"]),
        ("block.mid_acts=relu", ["block.mid_acts=relu", "Did you mean block.mid_act?"]),
        ("+block.mid_acts=relu", ["+block.mid_acts=relu", "Did you mean block.mid_act?"]),
        ("++block.mid_acts=relu", ["Did you mean block.mid_act?"]),
        ("model=xcepton", ["model=xcepton", "inception_v3", "Did you mean xception?"]),
        ("data=glyps", ["Did you mean glyphs?"]),
        ("train=smok", ["Did you mean smoke?"]),
        ("trian.lr=1", ["Did you mean train.lr?"]),
        ("sed=1", ["Did you mean seed?"]),
        # axes that are not there
        ("block=conv block.mid_act=relu", ["block=conv has no 'mid_act'", "block=xception|inception has it"]),
        ("model=inception_v3 block.act=elu", ["refuses every block axis"]),
        ("model=vgg_sep block.residual=false", ["no use for block.residual"]),
        ("model=inception_v3 model.width=0.5", ["model=inception_v3 has no 'width'"]),
        ("train.decay_rate=0.5", ["needs train.schedule=exponential"]),
        # impossible
        ("block.segments=7 model.width=1", ["segments", "7"]),
        ("block=inception block.towers=7 model.width=1", ["towers", "7"]),
        ("block.kernel_size=4", ["odd int >= 1"]),
        ("block.kernel_size=-3", ["odd int >= 1"]),
        ("model.width=0", ["model.width=0", "float > 0"]),
        ("model.width=-1", ["float > 0"]),
        ("model.middle_repeats=-1", ["int >= 0"]),
        ("train.batch_size=0", ["int >= 1"]),
        ("train.epochs=0", ["float > 0"]),
        ("data.image_size=8", ["data.image_size=8", ">= 16"]),
        ("data.image_size=0", [">= 16"]),
        ("model=inception_v3 data.image_size=32", ["32", "small"]),
        ("data.num_classes=1", ["data.num_classes=1", ">= 2"]),
        ("data.num_classes=0", [">= 2"]),
        ("data.num_classes=100000", ["<= 2000"]),
        ("train.batch_size=100000", ["train.batch_size=100000", "32 images"]),
        ("train.accumulate=9", ["train.accumulate=9", "train.batch_size=8"]),
        ("train.device=tpu", ["auto, cpu, cuda"]),
        ("train.precision=fp8", ["auto, fp32, bf16"]),
        ("train.lr=nan", ["float > 0"]),
        ("train.lr=inf", ["float > 0"]),
        ("seed=-1", ["int >= 0"]),
        ("model.weights=nowhere.safetensors", ["nowhere.safetensors"]),
        ("model.match=params", ["model.match_to"]),
        ("imports=[nowhere]", ["nowhere", "cannot be imported"]),
        ("imports=[]]", ["not an override"]),
        ("imports=3", ["imports: 3 is not the name of a module"]),
        ("imports=[[a]]", ["imports"]),
        ("imports=[leaves.py]", ["cannot be imported", "SystemExit"]),
        ("imports=[json.py]", ["a module 'json' is there already"]),
        # what would be dropped without a word
        ("seed=???", ["seed=???: not allowed. Allowed: int >= 0"]),
        ("train.lr=???", ["train.lr=???: not allowed"]),
        ("runs_dir=???", ["runs_dir=???: not allowed"]),
        ("wandb.tags=[???]", ["not allowed"]),
        ("model.weights=", ["model.weights= is empty; null leaves it out"]),
        ("runs_dir=", ["runs_dir= is empty"]),
        # too large for anything
        ("seed=99999999999999999999999999", ["seed=99999999999999999999999999 is not allowed"]),
        ("train.threads=100000", ["train.threads=100000", "<= 1024"]),
        ("train.epochs=1e308", ["train.epochs", "<= 1e+06"]),
        ("block.kernel_size=9999999999", ["<= 99"]),
        ("model.width=1e30", ["model.width=1e+30", "<= 100"]),
        # flags of Hydra's that would do nothing, or show what no run takes
        ("--resolve", ["goes with --cfg job"]),
        ("-m block.mid_act=none,rellu", ["Did you mean relu?"]),
        ("-m --cfg job seed=0,1", ["leave -m out"]),
        ("--cfg job +foo=1", ["+foo=1"]),
        ("--cfg job block.mid_act=rellu", ["Did you mean relu?"]),
        ("--multirum", ["--multirum"]),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused(words: str, said: list[str], refused: Callable[..., str]) -> None:
    """One line that names what was typed, what is allowed and, for a near miss, what was probably meant."""
    Path("leaves.py").write_text("import sys; sys.exit(0)") if "leaves" in words else None
    Path("json.py").write_text("") if "json" in words else None
    given = words.split()
    own = {w.split("=")[0] for w in given}
    absent = {"model.width"} if {"model=inception_v3", "model.match=params"} & set(given) else set()
    message = refused(*(w for w in TINY if w.split("=")[0] not in own | absent), *given)
    for word in said:
        assert word in message
    assert message.count("\n") == 1, message


def test_bf16_where_there_is_none_is_refused(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow emulation under the name of bf16 would be a measurement of something else."""
    monkeypatch.setattr(environment, "has_bf16", lambda device: False)
    assert "allowed here: auto, fp32" in refused(*TINY, "train.precision=bf16")


def test_a_gpu_where_there_is_none_is_refused(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not fall back to the CPU in silence."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "allowed: auto, cpu" in refused(*TINY, "train.device=cuda")


def test_a_sweep_is_refused_before_its_first_job_with_all_problems(refused: Callable[..., str]) -> None:
    """Typos of all jobs at once; and what only the network or the data reveal, once each, not job by job."""
    message = refused("-m", *TINY, "block.mid_act=none,rellu,eluu", "seed=0,1", "train.lr=-1")
    assert len(message.splitlines()) == 3
    message = refused(
        "-m", *layered(TINY, "model.width=1", "block.segments=1,7,channels", "train.accumulate=1,9", "seed=0,1")
    )
    assert "7 segments do not divide" in message
    assert "train.accumulate=9" in message
    assert len(message.splitlines()) == 2, message
    assert "-m" in refused(*TINY, "block.mid_act=none,relu")
    assert "list the values" in refused("-m", *TINY, "block=glob(*)")
    assert "list the values" in refused("-m", *TINY, "train.lr=interval(0,1)")
    assert "no job" in refused("-m", *TINY, "seed=range(0,0)")
    assert "seed=???" in refused("-m", *TINY, "seed=0,???")
    assert "at least one worker" in refused(
        "-m", *TINY, "seed=0,1", "hydra/launcher=workers", "hydra.launcher.n_jobs=0"
    )
    assert "Did you mean joblib?" in refused("-m", *TINY, "hydra/launcher=jobliib")
    assert "n_job" in refused("-m", *TINY, "hydra/launcher=joblib", "hydra.launcher.n_job=2")


def test_the_key_of_wandb_does_not_get_into_a_record(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    message = refused(*TINY, f"wandb.notes={'k' * 40}")
    assert "never goes into a record" in message
    assert "kkkk" not in message


def test_a_name_too_long_for_the_file_system_is_refused(refused: Callable[..., str]) -> None:
    assert "File name too long" in refused(*TINY, f"runs_dir={'x' * 300}")


@pytest.mark.parametrize("place", ["file", "below a file", "read-only"])
def test_a_runs_dir_that_cannot_be_written_is_refused(
    place: str, refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the training, not after it."""
    (tmp_path / "file").touch()
    path = {"file": tmp_path / "file", "below a file": tmp_path / "file" / "runs", "read-only": tmp_path / "runs"}[
        place
    ]
    if place == "read-only":  # root may write anywhere
        monkeypatch.setattr("os.access", lambda *_: False)
    assert "is not writable" in refused(*TINY, f"runs_dir={path}")


# --- data on disk -----------------------------------------------------------------------------------------------------


def png(seed: int, side: int = 16) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, "png")
    return out.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of two classes, as data=folder reads them."""
    for split in ("train", "test"):
        for number, name in enumerate(("cat", "dog")):
            (tmp_path / "pets" / split / name).mkdir(parents=True)
            for i in range(10):
                (tmp_path / "pets" / split / name / f"{i}.png").write_bytes(png(10 * number + i))
    return tmp_path / "pets"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The same as parquet files, as data=hub reads them."""
    (tmp_path / "hub").mkdir()
    for split in ("train", "test"):
        write_table(tmp_path / "hub" / f"{split}-00000-of-00001.parquet", [i % 2 for i in range(20)])
    return tmp_path / "hub"


def write_table(path: Path, labels: list[int | None], images: list[bytes | None] | None = None) -> None:
    images = images or [png(i) for i in range(len(labels))]
    pq.write_table(pa.table({"image": [{"bytes": i, "path": None} for i in images], "label": labels}), path)


def test_a_folder_that_is_missing_or_empty_is_refused(refused: Callable[..., str], folder: Path) -> None:
    """With the near miss beside it; and what was expected inside."""
    words = [*PHOTOS, "data=folder"]
    assert "data.path=DIR" in refused(*words)
    assert "Did you mean" in refused(*words, f"data.path={folder.parent / 'petz'}")
    (folder.parent / "empty").mkdir()
    assert "it is empty" in refused(*words, f"data.path={folder.parent / 'empty'}")
    for path in (folder / "train" / "dog").iterdir():
        path.unlink()
    assert str(folder / "train" / "dog") in refused(*words, f"data.path={folder}")


def test_an_unreadable_image_is_refused_by_name(refused: Callable[..., str], folder: Path) -> None:
    """Which file; a truncated one, one that is no image, and one that would unpack to gigabytes."""
    words = [*PHOTOS, "data=folder", f"data.path={folder}"]
    image = folder / "train" / "dog" / "3.png"
    good = image.read_bytes()
    image.write_bytes(good[: len(good) // 2])
    assert f"{image}: cannot be decoded" in refused(*words)
    image.write_bytes(b"not an image")
    assert f"{image}: not an image" in refused(*words)
    out = io.BytesIO()
    Image.new("1", (8_000, 8_000)).save(out, "png")
    image.write_bytes(out.getvalue())
    assert f"{image}: 8000 x 8000 pixels" in refused(*words)


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher", [[], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]], ids=["serial", "joblib"]
)
def test_an_unreadable_image_found_within_a_sweep_is_refused(launcher: list[str], folder: Path, tmp_path: Path) -> None:
    """Only decoding reveals it, and that happens in the job, perhaps in a worker process: still exit code 2 and its name, once."""
    image = folder / "train" / "dog" / "3.png"
    image.write_bytes(image.read_bytes()[:100])
    words = [*PHOTOS, "data=folder", f"data.path={folder}", "train.max_steps=1", "seed=0,1", *launcher]
    out = cli("-m", *words, cwd=tmp_path, SEPCONV_LAB_CACHE=str(tmp_path / "cache"))
    assert out.returncode == 2, out.stdout + out.stderr
    assert out.stderr == f"{image}: cannot be decoded: {out.stderr.partition('decoded: ')[2].strip()}\n"
    table = out.stdout.splitlines()[-2:]
    assert all("missing" in line and f"{image}: cannot be decoded" in line for line in table), out.stdout
    assert [p.name for p in (tmp_path / "runs").rglob("*") if p.is_file()] == ["multirun.yaml"], "no record was begun"


def test_splits_and_columns_that_are_absent_are_refused(refused: Callable[..., str], table: Path) -> None:
    """With those that are there."""
    words = [*PHOTOS, "data=hub", f"data.path={table}"]
    message = refused(*words, "data.test_split=tests")
    assert "no split 'tests'" in message
    assert "found: test, train" in message
    assert "Did you mean test?" in message
    message = refused(*words, "data.label_column=labels")
    assert "no column 'labels'" in message
    assert "found: image, label" in message
    (table / "train-00000-of-00001.parquet").write_bytes(b"PAR1 something else")
    assert "train-00000-of-00001.parquet: not a readable parquet file" in refused(*words)


def test_labels_out_of_range_are_refused_with_file_and_row(refused: Callable[..., str], table: Path) -> None:
    """And a label or an image that is not there, and a single class."""
    words = [*PHOTOS, "data=hub", f"data.path={table}"]
    train = table / "train-00000-of-00001.parquet"
    assert f"{train}, row 1: label 1 is out of range" in refused(*layered(words, "data.num_classes=1"))
    labels: list[int | None] = [i % 2 for i in range(20)]
    write_table(train, [*labels[:7], -1, *labels[8:]])
    assert f"{train}, row 7: label -1 is out of range" in refused(*words)
    write_table(train, [*labels[:7], None, *labels[8:]])
    assert f"{train}, row 7: no label" in refused(*words)
    write_table(train, labels, [png(0)] * 5 + [None] + [png(0)] * 14)
    assert f"{train}, row 5: no image bytes" in refused(*words)
    for split in ("train", "test"):
        write_table(table / f"{split}-00000-of-00001.parquet", [0] * 20)
    assert "at least 2 are needed" in refused(*words)


def test_weights_that_do_not_fit_are_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    """A pickle under the name of safetensors is read as what it is not: bytes, never run."""
    import pickle

    (tmp_path / "w.safetensors").write_bytes(pickle.dumps({"x": 1}))
    assert "w.safetensors" in refused(*TINY, f"model.weights={tmp_path / 'w.safetensors'}")


@pytest.mark.slow
def test_the_true_command_exits_with_two(tmp_path: Path) -> None:
    """The exit code and the streams, as a shell sees them."""
    out = cli("block.mid_act=rellu", cwd=tmp_path)
    assert (out.returncode, out.stdout) == (2, "")
    assert out.stderr == (
        "block.mid_act=rellu: unknown. Allowed: none, relu, relu6, leaky_relu, elu, selu, gelu, silu, mish, hardswish, tanh, "
        "sigmoid. Did you mean relu?\n"
    )
    assert list(tmp_path.iterdir()) == []
