"""Published weights import from the files that people have; what does not fit is refused with all that is wrong."""

from __future__ import annotations

import argparse
import itertools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sepconv_lab.compose import compose
from sepconv_lab.config import BadInput
from sepconv_lab.models import build_model
from sepconv_lab.models.layers import initialise
from sepconv_lab.weights import digest, load_weights, save_weights
from sepconv_lab.weights.__main__ import main
from sepconv_lab.weights.torch_names import torch_names

SMALL = ["model.width=0.125", "model.middle_repeats=1", "data.num_classes=10"]
"""The paper's skeleton, narrow and short, for tests that need its names and not its size."""


def network(*overrides: str, classes: int = 10) -> nn.Module:
    """Our network with random weights and statistics."""
    made = build_model(compose(["data=imagenet", *overrides]), classes)
    generator = torch.Generator().manual_seed(7)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.running_var, module.bias):
                assert tensor is not None
                tensor.data.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return made.eval()


def ported(made: nn.Module) -> dict[str, Tensor]:
    """Its tensors under the port's names."""
    names = torch_names(made)
    return {names[name]: tensor for name, tensor in made.state_dict().items()}


def run(*words: str | Path) -> int:
    return main([str(w) for w in words])


@pytest.fixture
def same(tmp_path: Path) -> Callable[..., None]:
    """`same(expected network, overrides)`: the file written by the command loads and gives the expected state."""

    def check(expected: nn.Module, *overrides: str, classes: int = 10) -> None:
        found = build_model(compose(["data=imagenet", *overrides]), classes)
        load_weights(found, tmp_path / "out.safetensors")
        for name, tensor in found.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                assert torch.equal(tensor, expected.state_dict()[name]), name

    return check


# --- Keras's HDF5 -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xception", "inception_v3"])
@pytest.mark.parametrize("rename", [False, True])
def test_keras_files_give_keras_logits(name: str, rename: bool, tmp_path: Path) -> None:
    """A layer-per-group file imports from the command line and gives Keras's logits, whatever its groups are called."""
    from .keras_models import OVERRIDES, keras_model, run_keras, write_hdf5

    theirs = keras_model(name, seed=5)
    # The whole model's file has the same layout inside a group.
    write_hdf5(theirs, tmp_path / "weights.h5", rename=rename, root="model_weights" if rename else "")
    overrides = OVERRIDES[name]
    out = tmp_path / "out.safetensors"
    assert run(tmp_path / "weights.h5", "--model", name, *overrides[1:], "--out", out) == 0
    found = build_model(compose(["data=imagenet", *overrides]), 1000, device="meta").to_empty(device="cpu")
    load_weights(found, out)
    image = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    _, expected = run_keras(theirs, image)
    with torch.no_grad():
        logits = found.eval()(image)
    assert float((logits - expected).abs().max() / expected.abs().max()) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xception", "inception_v3"])
@pytest.mark.parametrize("ending", [".weights.h5", ".keras"])
def test_keras_3_files_give_the_same_state(name: str, ending: str, tmp_path: Path) -> None:
    """What Keras writes today, whose groups HDF5 lists by the alphabet (conv2d_10 before conv2d_2), holds the same weights as
    the published layout, also as a model inside a model."""
    from .keras_models import OVERRIDES, keras, keras_model, write_hdf5

    theirs = keras_model(name, seed=5)
    write_hdf5(theirs, tmp_path / "published.h5")
    overrides, states = OVERRIDES[name], []
    whole = theirs
    if ending == ".keras":
        inputs = keras.Input((None, None, 3))
        whole = keras.Model(inputs, theirs(inputs))
        whole.save(tmp_path / "new.keras")
    else:
        theirs.save_weights(tmp_path / "new.weights.h5")
    for file in ("published.h5", f"new{ending}"):
        out = tmp_path / "out.safetensors"
        assert run(tmp_path / file, "--model", name, *overrides[1:], "--out", out) == 0
        states.append(load_file(out))
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_keras_archives_that_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Code in a Lambda layer, a zip of something else, a cut one: one message each, and nothing runs."""
    import zipfile

    def archive(name: str, **members: bytes) -> Path:
        with zipfile.ZipFile(tmp_path / name, "w") as file:
            for member, content in members.items():
                file.writestr(member.replace("__", "."), content)
        return tmp_path / name

    lambda_layer = archive("a.keras", config__json=b'{"class_name": "Lambda"}', model__weights__h5=b"")
    empty = archive("b.keras", config__json=b"{}")
    broken = archive("c.keras", model__weights__h5=b"no HDF5")
    cut = tmp_path / "d.keras"
    cut.write_bytes(broken.read_bytes()[:60])
    for file, message in ((lambda_layer, "Lambda"), (empty, "no model saved by Keras 3"), (broken, "HDF5"), (cut, "")):
        assert run(file, "--model", "xception", *SMALL, "--out", tmp_path / "out.safetensors") == 2
        error = capsys.readouterr().err
        assert message in error
        assert str(file) in error
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.slow
def test_keras_files_that_do_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing layer, a file of another form and a file without a head are each named; the head is drawn when asked."""
    from .keras_models import keras_model, write_hdf5

    theirs = keras_model("inception_v3")
    file, out = tmp_path / "weights.h5", tmp_path / "out.safetensors"
    write_hdf5(theirs, file)
    assert run(file, "--model", "inception_v3", "--out", out) == 2
    assert "It fits model.form=keras" in capsys.readouterr().err
    dense = theirs.layers[-1].name
    convolution = next(layer.name for layer in theirs.layers if "conv2d" in layer.name)
    write_hdf5(theirs, file, skip=(dense, convolution))
    assert run(file, "--model", "inception_v3", "model.form=keras", "--out", out) == 2
    error = capsys.readouterr().err
    assert "missing: stem.unit1.conv.weight: a conv layer (3, 3, 3, 32)" in error
    assert "missing: head.logits.weight, head.logits.bias: a dense layer (2048, 1000) (1000,)" in error
    assert "2 missing, 0 extra, 0 misshapen" in error
    write_hdf5(theirs, file, skip=(dense,))
    command = [file, "--model", "inception_v3", "model.form=keras", "--out", out]
    assert run(*command) == 2
    assert "--new-head" in capsys.readouterr().err
    assert run(*command, "--new-head", "7") == 0
    assert load_file(out)["head.logits.weight"].shape == (7, 2048)


def test_files_that_are_no_layer_per_group_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Keras 3's own format, a truncated file, numbers that are none."""
    import h5py
    import numpy as np

    with h5py.File(tmp_path / "new.h5", "w") as file:
        file.create_group("layers/conv2d/vars").create_dataset("0", data=np.zeros(3))
    with h5py.File(tmp_path / "text.h5", "w") as file:
        file.attrs["layer_names"] = [b"a"]
        file.create_group("a").create_dataset("w", data=b"text")
        file["a"].attrs["weight_names"] = [b"w"]
    with h5py.File(tmp_path / "dangling.h5", "w") as file:
        file.attrs["layer_names"] = [b"a"]
    (tmp_path / "cut.h5").write_bytes((tmp_path / "new.h5").read_bytes()[:600])
    for name, words in (
        ("new", "a conv layer"),
        ("text", "numbers are expected"),
        ("dangling", "cannot be read as HDF5"),
        ("cut", "cannot be read as HDF5"),
    ):
        assert run(tmp_path / f"{name}.h5", "--model", "xception", "--out", tmp_path / "out") == 2
        error = capsys.readouterr().err
        assert words in error
        assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


# --- PyTorch ----------------------------------------------------------------------------------------------------------


class PortedBlock(nn.Module):
    """A block of the PyTorch ports of Xception, as their state dicts name it: `rep`, `skip`, `skipbn`."""

    def __init__(self, widths: tuple[int, ...], stride: int, leading: bool = True):
        super().__init__()
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(itertools.pairwise(widths)):
            layers += [nn.ReLU()] * (i > 0 or leading) + [PortedSeparable(a, b), nn.BatchNorm2d(b)]
        self.rep = nn.Sequential(*layers, *([nn.MaxPool2d(3, 2, 1)] if stride == 2 else []))
        self.skip = nn.Conv2d(widths[0], widths[-1], 1, 2, bias=False) if stride == 2 else None
        self.skipbn = nn.BatchNorm2d(widths[-1]) if stride == 2 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.rep(x) + (x if self.skip is None else self.skipbn(self.skip(x)))


class PortedSeparable(nn.Module):
    def __init__(self, a: int, b: int):
        super().__init__()
        self.conv1 = nn.Conv2d(a, a, 3, 1, 1, groups=a, bias=False)
        self.pointwise = nn.Conv2d(a, b, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.conv1(x))


class PortedXception(nn.Module):
    """Xception as the ports of Cadene and timm have it: symmetric padding, names conv1, bn1, block1 ... block12, conv3, fc."""

    def __init__(self, scale: int, classes: int):
        super().__init__()
        w = {c: c // scale for c in (32, 64, 128, 256, 728, 1024, 1536, 2048)}
        self.conv1, self.bn1 = nn.Conv2d(3, w[32], 3, 2, bias=False), nn.BatchNorm2d(w[32])
        self.conv2, self.bn2 = nn.Conv2d(w[32], w[64], 3, bias=False), nn.BatchNorm2d(w[64])
        self.block1 = PortedBlock((w[64], w[128], w[128]), 2, leading=False)
        self.block2 = PortedBlock((w[128], w[256], w[256]), 2)
        self.block3 = PortedBlock((w[256], w[728], w[728]), 2)
        for i in range(4, 12):
            self.add_module(f"block{i}", PortedBlock((w[728],) * 4, 1))
        self.block12 = PortedBlock((w[728], w[728], w[1024]), 2)
        self.conv3, self.bn3 = PortedSeparable(w[1024], w[1536]), nn.BatchNorm2d(w[1536])
        self.conv4, self.bn4 = PortedSeparable(w[1536], w[2048]), nn.BatchNorm2d(w[2048])
        self.fc = nn.Linear(w[2048], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu()
        for i in range(1, 13):
            x = self.get_submodule(f"block{i}")(x)
        x = self.bn4(self.conv4(self.bn3(self.conv3(x)).relu())).relu()
        return self.fc(x.mean((2, 3)))


def test_the_ports_xception_gives_its_own_logits(tmp_path: Path) -> None:
    """A state dict of the port's architecture, in float64: same logits through import and our network, with its conventions
    (symmetric padding, epsilon 1e-5), which are settings."""
    port = PortedXception(8, 10).double()
    initialise(port, 0)
    for module in port.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
            nn.init.normal_(module.running_mean, std=0.3)  # type: ignore[arg-type]
    port.eval()
    torch.save(port.state_dict(), tmp_path / "port.pth")
    overrides = ["model.width=0.125", "data.num_classes=10", "model.padding=symmetric", "model.norm_eps=1e-5"]
    out = tmp_path / "out.safetensors"
    assert run(tmp_path / "port.pth", "--model", "xception", *overrides, "--out", out) == 0
    ours = build_model(compose(["data=imagenet", *overrides]), 10).double()
    load_weights(ours, out)
    image = torch.rand(1, 3, 139, 139, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(image), port(image), rtol=1e-9, atol=1e-9)


def test_variations_of_port_files(tmp_path: Path, same: Callable[..., None]) -> None:
    """Wrapped in a checkpoint, behind `module.`, with `last_linear`, matrices for pointwise kernels, without counters."""
    made = network("model=xception", *SMALL)
    names: dict[str, Tensor] = {}
    for name, tensor in ported(made).items():
        if not name.endswith("num_batches_tracked"):
            tensor = tensor[:, :, 0, 0] if name.endswith("pointwise.weight") else tensor
            names["module." + name.replace("fc.", "last_linear.")] = tensor.contiguous()
    torch.save({"epoch": 3, "state_dict": names}, tmp_path / "port.tar")
    command = ["--model", "xception", *SMALL, "--out", tmp_path / "out.safetensors"]
    assert run(tmp_path / "port.tar", *command) == 0
    same(made, "model=xception", *SMALL)
    save_file(names, tmp_path / "port.safetensors")
    assert run(tmp_path / "port.safetensors", *command) == 0
    same(made, "model=xception", *SMALL)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.", "model._orig_mod."])
def test_wrappers_leave_their_mark_before_names(prefix: str, tmp_path: Path, same: Callable[..., None]) -> None:
    """torch.compile, DDP, Lightning and combinations, before a port's names and before ours, a criterion's beside them."""
    made = network("model=xception", *SMALL)
    command = ["--model", "xception", *SMALL, "--out", tmp_path / "out.safetensors"]
    for names in (ported(made), made.state_dict()):
        torch.save({"state_dict": {prefix + n: t for n, t in names.items()}}, tmp_path / "wrapped.ckpt")
        assert run(tmp_path / "wrapped.ckpt", *command) == 0
        same(made, "model=xception", *SMALL)


def test_a_training_checkpoint_with_its_command_line(
    tmp_path: Path, same: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """timm keeps its `argparse.Namespace` beside the weights: it loads; an object of any other class is named and refused."""
    made = network("model=xception", *SMALL)
    command = ["--model", "xception", *SMALL, "--out", tmp_path / "out.safetensors"]
    arguments = argparse.Namespace(lr=0.1, model="legacy_xception", opt_betas=None)
    checkpoint = {"epoch": 3, "arch": "legacy_xception", "state_dict": ported(made), "args": arguments, "version": 2}
    torch.save(checkpoint, tmp_path / "timm.pth.tar")
    assert run(tmp_path / "timm.pth.tar", *command) == 0
    same(made, "model=xception", *SMALL)
    torch.save(checkpoint | {"args": Path("x")}, tmp_path / "other.pth.tar")
    assert run(tmp_path / "other.pth.tar", *command) == 2
    error = capsys.readouterr().err
    assert "pathlib" in error
    assert "weights_only=False" in error


def test_torchvisions_inception_v3(
    tmp_path: Path, same: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its names import; the auxiliary tower is dropped and said to be."""
    made = network("model=inception_v3", "model.form=torch")
    names = ported(made)
    # A sample of torchvision's names in every kind of module.
    for theirs, shape in {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Conv2d_4a_3x3.bn.running_var": (192,),
        "Mixed_5b.branch1x1.conv.weight": (64, 192, 1, 1),
        "Mixed_5c.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_5d.branch_pool.bn.weight": (64,),
        "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
        "Mixed_6a.branch3x3dbl_3.conv.weight": (96, 96, 3, 3),
        "Mixed_6b.branch7x7dbl_2.conv.weight": (128, 128, 7, 1),
        "Mixed_6e.branch7x7_2.conv.weight": (192, 192, 1, 7),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7b.branch3x3_2a.conv.weight": (384, 384, 1, 3),
        "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
        "fc.weight": (10, 2048),
    }.items():
        assert names[theirs].shape == shape
    extra = {"AuxLogits.conv0.conv.weight": torch.zeros(128, 768, 1, 1), "AuxLogits.fc.bias": torch.zeros(10)}
    torch.save({**names, **extra}, tmp_path / "port.pth")
    options = ["model.form=torch", "data.num_classes=10", "--out", tmp_path / "out.safetensors"]
    assert run(tmp_path / "port.pth", "--model", "inception_v3", *options) == 0
    assert "dropped 2 tensors of the auxiliary tower" in capsys.readouterr().out
    same(made, "model=inception_v3", "model.form=torch")


# --- what does not fit ------------------------------------------------------------------------------------------------


def test_everything_that_is_wrong_stands_in_one_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Missing, extra and misshapen tensors, all of them."""
    tensors = ported(network("model=xception", *SMALL))
    del tensors["bn1.weight"], tensors["bn1.bias"], tensors["block4.rep.1.conv1.weight"]
    tensors["conv1.weight"] = torch.zeros(4, 3, 5, 5)
    tensors["fc.bias"] = torch.zeros(11)
    tensors["block99.rep.1.weight"] = torch.zeros(2)
    torch.save(tensors, tmp_path / "port.pth")
    assert run(tmp_path / "port.pth", "--model", "xception", *SMALL, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    for words in (
        "3 missing, 1 extra, 2 misshapen",
        "missing: stem.norm1.{weight, bias} (4,)",
        "missing: middle.0.slots.layer1.depthwise.weight (91, 1, 3, 3)",
        "misshapen: stem.conv1.weight is (4, 3, 5, 5), expected (4, 3, 3, 3)",
        "misshapen: head.logits.bias is (11,), expected (10,)",
        "extra: block99.rep.1.weight (2,)",
    ):
        assert words in error
    assert not (tmp_path / "out").exists()


def test_a_head_of_other_classes_is_replaced_only_when_asked(
    tmp_path: Path, same: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --new-head an error; with it the head that a fresh network of this seed has."""
    made = network("model=xception", *SMALL)
    torch.save(ported(made), tmp_path / "port.pth")
    small = [o for o in SMALL if "num_classes" not in o]
    command = [tmp_path / "port.pth", "--model", "xception", *small, "--out", tmp_path / "out.safetensors"]
    assert run(*command, "data.num_classes=5") == 2
    error = capsys.readouterr().err
    assert "misshapen: head.logits.weight is (10, 256), expected (5, 256)" in error
    assert "--new-head 5" in error
    assert run(*command, "--new-head", "5") == 0
    assert "drawn anew for 5 classes" in capsys.readouterr().out
    fresh = build_model(compose(["data=imagenet", "model=xception", *small]), 5)
    state = {k: v for k, v in made.state_dict().items() if not k.startswith("head.")}
    fresh.load_state_dict(state, strict=False)
    same(fresh, "model=xception", *small, classes=5)
    with pytest.raises(BadInput, match="head of other classes"):
        load_weights(network("model=xception", *SMALL), tmp_path / "out.safetensors")


class Planted:
    """A pickle that would leave a mark."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize(
    "save", [torch.save, lambda o, path: path.write_bytes(pickle.dumps(o))], ids=["torch", "pickle"]
)
def test_a_planted_pickle_is_not_executed(
    save: Callable[[Any, Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Code in a file of weights is refused, not run."""
    mark = tmp_path / "mark"
    save({"conv1.weight": Planted(mark)}, tmp_path / "evil.pth")
    assert run(tmp_path / "evil.pth", "--model", "xception", "--out", tmp_path / "out") == 2
    assert "nothing else in it is executed" in capsys.readouterr().err
    assert not mark.exists()
    with pytest.raises(BadInput):
        load_weights(network("model=xception", *SMALL), tmp_path / "evil.pth")
    assert not mark.exists()


@pytest.mark.parametrize(
    "content", [b"", b"text", b"PK\x03\x04broken", b"\x89HDF\r\n\x1a\nbroken", b"\x10" + b"\0" * 7 + b"{broken"]
)
def test_files_of_something_else(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Empty, text and broken files: one message, exit code 2."""
    (tmp_path / "file").write_bytes(content)
    assert run(tmp_path / "file", "--model", "xception", "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "file") in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "--model", "xception", "--out", "out"], "no such file"),
        (["file", "--model", "xcepton", "--out", "out"], "Did you mean xception"),
        (["file", "--model", "vgg_sep", "--out", "out"], "model=xception and model=inception_v3 only"),
        (["file", "--model", "xception", "block.order=pointwise_first", "--out", "out"], "depthwise first"),
        (["file", "--model", "xception", "block=conv", "--out", "out"], "separable convolutions"),
        (["file", "--model", "xception", "--new-head", "1", "--out", "out"], "at least 2"),
    ],
)
def test_mistakes_on_the_command_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each answered with what is wrong; nothing is written."""
    import h5py

    monkeypatch.chdir(tmp_path)
    with h5py.File("file", "w") as file:
        file.attrs["layer_names"] = [b"a"]
        file.create_group("a").attrs["weight_names"] = [b""][:0]
    assert main(words) == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


# --- our own files ----------------------------------------------------------------------------------------------------


def test_our_own_files_go_round(tmp_path: Path, same: Callable[..., None]) -> None:
    """A saved state imports and loads as it is; equal content is equal bytes, and the digest is the content's."""
    made = network("model=xception", *SMALL)
    for name in ("a", "b"):
        save_weights(made.state_dict(), tmp_path / name, {"x": 1, "y": 2})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert len(digest(tmp_path / "a")) == 64
    assert run(tmp_path / "a", "--model", "xception", *SMALL, "--out", tmp_path / "out.safetensors") == 0
    same(made, "model=xception", *SMALL)
    with pytest.raises(BadInput, match="no such file"):
        digest(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="cannot be written"):
        save_weights(made.state_dict(), tmp_path / "nowhere" / "file")


def test_loading_into_another_network_changes_nothing(tmp_path: Path) -> None:
    """Every difference is listed, and the network keeps its weights."""
    save_weights(network("model=xception", *SMALL).state_dict(), tmp_path / "file")
    other = network("model=xception", "block.mid_norm=true", *SMALL)
    before = {k: v.clone() for k, v in other.state_dict().items()}
    with pytest.raises(BadInput, match=r"missing: entry\.0\.slots\.layer1\.mid_norm\.{weight, "):
        load_weights(other, tmp_path / "file")
    assert all(torch.equal(v, before[k]) for k, v in other.state_dict().items())


def test_loaded_weights_keep_the_memory_format(tmp_path: Path) -> None:
    """Files hold plain tensors; a network goes on in channels_last after loading."""
    made = network("model=xception", *SMALL)
    save_weights(made.state_dict(), tmp_path / "file")
    again = network("model=xception", *SMALL)
    load_weights(again, tmp_path / "file")
    weight = again.get_parameter("stem.conv2.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)
