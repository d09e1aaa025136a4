"""A run's encoder and decoder as files for other programs, and what is refused."""

import hashlib
import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner, Result

from bench.cli.export import export as command
from bench.datasets import Toy
from bench.errors import RequestError
from bench.export import ONNX_PACKAGES, export
from bench.export_parts import Mismatch
from bench.store.run import ENTERED
from bench.worker import Job, work

ONNX_IS_THERE = all(importlib.util.find_spec(package) for package in ONNX_PACKAGES)

# A model that is scored as it comes, and one that fixes the number of rows unless it is read.
OWN = """
from dataclasses import dataclass

import torch
from torch import nn

from bench.models import VAE, Encoder, Latents, Posterior


class Halves(Encoder):
    def __init__(self, *, image_shape=(1, 32, 32)):
        super().__init__()
        self.latents = Latents(2)
        self.register_buffer("scale", torch.tensor([2.0, 3.0]))

    def encode(self, x):
        left, right = x.flatten(1).chunk(2, 1)
        return Posterior(torch.stack([left.sum(1), right.sum(1)], 1) * self.scale, None)


@dataclass(kw_only=True, eq=False, repr=False)
class Counting(VAE):
    continuous: int = 0
    categorical: tuple[int, ...] = (4, 3)

    def encode(self, x):
        none = x.new_zeros(len(x), 0)
        return Posterior(none, none, super().encode(x).logits)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1024, 3)

    def forward(self, x):
        return self.layer(x.flatten(1))


class Unsaid(Encoder):
    def __init__(self, *, image_shape=(1, 32, 32)):
        super().__init__()
        self.latents = Latents(1)

    def encode(self, x):
        means = x.mean((1, 2, 3))[:, None]
        return Posterior(means if means.sum() > 0 else -means, None)


class Told(Halves):
    input = "factors"
"""


@pytest.fixture(scope="module")
def run_of(finished: Any) -> Callable[[str], Path]:
    """The folder of a finished run of a model, to be read only."""

    def find(model: str) -> Path:
        return sorted((finished.folder / "runs").glob(f"{model}-seed0-*"))[0]

    return find


@pytest.fixture
def copied(run_of: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """The same as a copy to change."""
    return lambda model: Path(shutil.copytree(run_of(model), tmp_path / model))


@pytest.fixture
def own(tmp_path: Path, make_run: Callable[..., Any]) -> Callable[..., Path]:
    """The folder of a finished run of one of the models above."""
    (tmp_path / "own.py").write_text(OWN)

    def train(name: str, **settings: Any) -> Path:
        model = f"{tmp_path / 'own.py'}:{name}"
        fingerprint = Toy(image_size=32).fingerprint
        run = make_run(model=model, settings=settings, steps=2, rows=40, fingerprint=fingerprint)
        status = work(Job(run, tmp_path / name, ()), lambda news: None, lambda: False)
        assert status.state in ("done", "collapsed"), status
        return tmp_path / name

    return train


@pytest.fixture(scope="module")
def jointvae(run_of: Callable[[str], Path], tmp_path_factory: Any) -> Path:
    """The folder of the files of JointVAE."""
    place: Path = tmp_path_factory.mktemp("export") / "made" / "here"
    files = export(run_of("jointvae"), place)
    assert sorted(files) == sorted(place.iterdir())  # and no temporary file
    return place


def asked(*arguments: Any) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def program(path: Path) -> Any:
    return torch.export.load(path).module()


def stored(folder: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(folder / name) as file:
        return dict(file)


def pixels(rows: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(Toy(image_size=32).images(rows) / np.float32(255))


@pytest.mark.parametrize("count", [1, 2, 33])
def test_the_encoder_gives_the_codes_that_the_run_has_stored(
    jointvae: Path, run_of: Callable[[str], Path], count: int
) -> None:
    codes = stored(run_of("jointvae"), "representation.npz")
    last = slice(-count, None)  # rows that the export has not looked at
    mean, logvar, probabilities = program(jointvae / "encoder.pt2")(pixels(codes["rows"][last]))
    np.testing.assert_allclose(mean, codes["codes"][last], atol=1e-5)
    np.testing.assert_allclose(logvar, codes["logvar"][last], atol=1e-5)
    np.testing.assert_allclose(probabilities, codes["probabilities"][last], atol=1e-5)
    assert mean.dtype == torch.float32


def test_the_decoder_gives_the_reconstructions_that_the_run_has_stored(
    jointvae: Path, run_of: Callable[[str], Path]
) -> None:
    folder = run_of("jointvae")
    samples, codes = stored(folder, "samples.npz"), stored(folder, "representation.npz")
    hot = np.eye(3, dtype=np.float32)[codes["categories"][:10, 0]]
    images = program(jointvae / "decoder.pt2")(
        torch.from_numpy(np.concatenate([codes["codes"][:10], hot], axis=1))
    )
    assert 0 <= images.min() < images.max() <= 1
    # stored as whole numbers of 255
    np.testing.assert_allclose(images * 255, samples["reconstructions"], atol=0.51)


def test_neither_file_has_the_weights_of_the_other(jointvae: Path) -> None:
    sides = {}
    for name in ("encoder", "decoder"):
        state = torch.export.load(jointvae / f"{name}.pt2").state_dict
        sides[name] = {key.removeprefix("model.").partition(".")[0] for key in state}
    assert sides == {"encoder": {"encoder"}, "decoder": {"decoder"}}


def test_the_description_says_what_goes_in_and_comes_out(
    jointvae: Path, run_of: Callable[[str], Path]
) -> None:
    described = json.loads((jointvae / "export.json").read_text())
    files = described["files"]
    assert files["encoder.pt2"]["input"] == {"images": ["batch", 1, 32, 32]}
    assert files["encoder.pt2"]["outputs"] == {
        "mean": ["batch", 6],
        "logvar": ["batch", 6],
        "probabilities_c1": ["batch", 3],
    }
    assert files["decoder.pt2"]["input"] == {"codes": ["batch", 9]}
    assert files["decoder.pt2"]["outputs"] == {"images": ["batch", 1, 32, 32]}
    for name, file in files.items():
        assert hashlib.sha256((jointvae / name).read_bytes()).hexdigest() == file["sha256"]
    assert described["latents"] == {
        "continuous": ["z1", "z2", "z3", "z4", "z5", "z6"],
        "categorical": {"c1": 3},
    }
    assert described["factors"] == {f.name: f.size for f in Toy().factors}
    settings = json.loads((run_of("jointvae") / "settings.json").read_text())
    assert settings.items() <= described["run"].items()
    assert described["environment"]["packages"]["torch"] == torch.__version__


def test_without_output_the_files_lie_with_the_run(copied: Callable[[str], Path]) -> None:
    folder = copied("betavae")
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    said = asked(folder)
    assert said.exit_code == 0, said.output
    assert {path.name for path in (folder / "export").iterdir()} == {
        "encoder.pt2",
        "decoder.pt2",
        "export.json",
    }
    assert all(path.read_bytes() == content for path, content in before.items())
    outputs = json.loads((folder / "export" / "export.json").read_text())["files"]
    assert list(outputs["encoder.pt2"]["outputs"]) == ["mean", "logvar"]


def test_a_model_without_a_decoder_gives_its_encoder_only(own: Callable[..., Path]) -> None:
    folder = own("Halves")
    files = export(folder)
    assert [path.name for path in files] == ["encoder.pt2", "export.json"]
    x = torch.rand(3, 1, 32, 32)
    (mean,) = program(files[0])(x)
    expected = torch.stack([2 * x[:, 0, :16].sum((1, 2)), 3 * x[:, 0, 16:].sum((1, 2))], 1)
    torch.testing.assert_close(mean, expected)


def test_categories_alone_are_exported_of_a_model_that_counts_its_rows(
    own: Callable[..., Path],
) -> None:
    settings = {"continuous": 0, "categorical": (4, 3)}
    encoder = program(export(own("Counting", **settings))[0])
    for count in (1, 5):
        first, second = encoder(torch.rand(count, 1, 32, 32))
        assert first.shape == (count, 4)
        assert second.shape == (count, 3)
        torch.testing.assert_close(first.sum(1), torch.ones(count))


def test_other_weights_than_those_that_made_the_codes_are_told_by_exit_code_1(
    copied: Callable[[str], Path],
) -> None:
    folder = copied("jointvae")
    weights = load_file(folder / "weights.safetensors")
    weights["encoder.0.weight"] = weights["encoder.0.weight"] + 0.1
    save_file(weights, folder / "weights.safetensors")
    said = asked(folder)
    assert said.exit_code == 1
    assert said.stderr.strip().count("\n") == 0
    assert "encoder.pt2 gives another mean than the run" in said.stderr
    assert not (folder / "export").exists()


@pytest.mark.parametrize(
    ("array", "file"), [("probabilities", "encoder"), ("logvar", "encoder"), ("codes", "encoder")]
)
def test_one_stored_row_that_differs_is_found(
    copied: Callable[[str], Path], array: str, file: str
) -> None:
    folder = copied("jointvae")
    arrays = stored(folder, "representation.npz")
    arrays[array][3, 0] += 0.01
    np.savez(folder / "representation.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(Mismatch, match=f"{file}.pt2 gives another .* than the run"):
        export(folder)


def test_stored_images_that_differ_are_found(copied: Callable[[str], Path]) -> None:
    folder = copied("betavae")
    arrays = stored(folder, "samples.npz")
    arrays["reconstructions"][0, 0, 4, 4] ^= 4
    np.savez(folder / "samples.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(Mismatch, match=r"decoder.pt2 gives another images than the run"):
        export(folder)


def test_what_torch_cannot_export_is_said_in_a_line(own: Callable[..., Path]) -> None:
    folder = own("Unsaid")
    said = asked(folder)
    assert said.exit_code == 1
    assert said.stderr.startswith(f"bench: {folder}: the encoder cannot be exported (")
    assert said.stderr.strip().count("\n") == 0


def test_a_model_that_is_fed_factors_is_refused(
    own: Callable[..., Path], make_run: Callable[..., Any]
) -> None:
    folder = own("Halves")
    settings = json.loads((folder / "settings.json").read_text())
    settings["model"] = settings["model"].replace(":Halves", ":Told")
    (folder / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(RequestError, match=r"Told is fed factors.* nothing to export"):
        export(folder)


def codes_of_a_file(folder: Path) -> None:
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps({**settings, "preset": ENTERED}))


def changed_status(folder: Path) -> None:
    (folder / "status.json").write_text(json.dumps({"state": "interrupted", "step": 7}))


def other_data(folder: Path) -> None:
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps({**settings, "fingerprint": "toy-0"}))


def no_weights(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()


def damaged_weights(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"none")


def no_representation(folder: Path) -> None:
    (folder / "representation.npz").unlink()


def damaged_representation(folder: Path) -> None:
    (folder / "representation.npz").write_bytes(b"PK none")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed_status, r"not finished \(interrupted, step 7\): the bench run command"),
        (other_data, r"has seen toy-0, and toy is .* --data-dir"),
        (codes_of_a_file, r"holds the codes of a file, and no model"),
        (no_weights, r"weights.safetensors cannot be read into betavae"),
        (damaged_weights, r"weights.safetensors cannot be read into betavae"),
        (no_representation, r"not finished \(.*the bench run command"),
        (damaged_representation, r"representation.npz cannot be read .*train again"),
    ],
)
def test_a_run_that_cannot_be_exported_is_refused(
    copied: Callable[[str], Path], change: Callable[[Path], None], said: str
) -> None:
    folder = copied("betavae")
    change(folder)
    with pytest.raises(RequestError, match=said):
        export(folder)
    assert not (folder / "export").exists()


def test_other_folders_are_refused_with_what_to_name(finished: Any, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"is a study: name one of its runs, as .*betavae-seed0"):
        export(finished.folder)
    with pytest.raises(RequestError, match="holds no run"):
        export(tmp_path)
    with pytest.raises(RequestError, match="holds no run"):
        export(tmp_path / "nowhere")


def test_a_place_that_cannot_be_written_is_said(
    run_of: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match=r"file/here cannot be written .*--output"):
        export(run_of("betavae"), tmp_path / "file" / "here")


@pytest.mark.skipif(ONNX_IS_THERE, reason="the packages for ONNX are installed")
def test_without_the_packages_for_onnx_it_says_what_to_install(
    run_of: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match="pip install onnx onnxscript onnxruntime"):
        export(run_of("jointvae"), tmp_path / "made", onnx=True)
    assert not (tmp_path / "made").exists()


@pytest.mark.skipif(not ONNX_IS_THERE, reason="onnx, onnxscript or onnxruntime is not installed")
def test_the_onnx_files_give_the_codes_that_the_run_has_stored(
    run_of: Callable[[str], Path], tmp_path: Path
) -> None:
    import onnxruntime

    folder = run_of("jointvae")
    files = {path.name for path in export(folder, tmp_path, onnx=True)}
    assert files == {
        *(f"{side}.{suffix}" for side in ("encoder", "decoder") for suffix in ("pt2", "onnx")),
        "export.json",
    }
    encoder = onnxruntime.InferenceSession(tmp_path / "encoder.onnx")
    codes = stored(folder, "representation.npz")
    names = ["mean", "logvar", "probabilities_c1"]
    for count in (1, 33):
        x = pixels(codes["rows"][-count:]).numpy()
        came = encoder.run(names, {"images": x})
        for name, array in zip(("codes", "logvar", "probabilities"), came, strict=True):
            np.testing.assert_allclose(array, codes[name][-count:], atol=1e-5)
    decoder = onnxruntime.InferenceSession(tmp_path / "decoder.onnx")
    (images,) = decoder.run(["images"], {"codes": np.zeros((2, 9), dtype=np.float32)})
    expected = program(tmp_path / "decoder.pt2")(torch.zeros(2, 9))
    np.testing.assert_allclose(images, expected, atol=1e-5)


def test_a_network_that_knows_nothing_of_the_suite_is_exported(own: Callable[..., Path]) -> None:
    folder = own("Network")
    encoder = program(export(folder)[0])
    weights = load_file(folder / "weights.safetensors")
    matrix, bias = (weights[f"net.layer.{kind}"] for kind in ("weight", "bias"))
    x = torch.rand(5, 1, 32, 32)
    (mean,) = encoder(x)
    np.testing.assert_allclose(mean, x.numpy().reshape(5, -1) @ matrix.T + bias, atol=1e-5)
