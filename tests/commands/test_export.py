"""A run's encoder and decoder as files for other programs, and what is refused."""

import hashlib
import json
import shutil
from collections.abc import Callable
from importlib.metadata import version
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
from bench.export.programs import ExportError, export_run
from bench.store.run import FROM_FILE
from bench.worker import Job, run_job

# An encoder that is not trained; a model with categories only, whose code uses the number of rows;
# an external network; an encoder that torch cannot export; one that encodes factors.
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
class RowCounting(VAE):
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


class Branching(Encoder):
    def __init__(self, *, image_shape=(1, 32, 32)):
        super().__init__()
        self.latents = Latents(1)

    def encode(self, x):
        means = x.mean((1, 2, 3))[:, None]
        return Posterior(means if means.sum() > 0 else -means, None)


class OfFactors(Halves):
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
    """The same, copied so that a test may change it."""
    return lambda model: Path(shutil.copytree(run_of(model), tmp_path / model))


@pytest.fixture
def own(tmp_path: Path, make_run: Callable[..., Any]) -> Callable[..., Path]:
    """The folder of a finished run of one of the models above."""
    (tmp_path / "own.py").write_text(OWN)

    def train(name: str, **settings: Any) -> Path:
        model = f"{tmp_path / 'own.py'}:{name}"
        fingerprint = Toy(image_size=32).fingerprint
        run = make_run(model=model, settings=settings, steps=2, rows=40, fingerprint=fingerprint)
        status = run_job(Job(run, tmp_path / name, ()))
        assert status.state in ("done", "collapsed"), status
        return tmp_path / name

    return train


@pytest.fixture(scope="module")
def jointvae(run_of: Callable[[str], Path], tmp_path_factory: Any) -> Path:
    """The folder of the files of JointVAE."""
    folder: Path = tmp_path_factory.mktemp("export") / "made" / "here"
    files = export_run(run_of("jointvae"), folder)
    assert sorted(files) == sorted(folder.iterdir())  # and no temporary file
    return folder


def run_command(*arguments: Any) -> Result:
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
    assert described["environment"]["packages"]["torch"] == version("torch")


def test_without_output_the_files_are_in_the_folder_of_the_run(
    copied: Callable[[str], Path],
) -> None:
    folder = copied("betavae")
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    said = run_command(folder)
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
    files = export_run(folder)
    assert [path.name for path in files] == ["encoder.pt2", "export.json"]
    x = torch.rand(3, 1, 32, 32)
    (mean,) = program(files[0])(x)
    expected = torch.stack([2 * x[:, 0, :16].sum((1, 2)), 3 * x[:, 0, 16:].sum((1, 2))], 1)
    torch.testing.assert_close(mean, expected)


def test_a_model_with_categories_only_takes_any_number_of_rows(
    own: Callable[..., Path],
) -> None:
    settings = {"continuous": 0, "categorical": (4, 3)}
    encoder = program(export_run(own("RowCounting", **settings))[0])
    for count in (1, 5):
        first, second = encoder(torch.rand(count, 1, 32, 32))
        assert first.shape == (count, 4)
        assert second.shape == (count, 3)
        torch.testing.assert_close(first.sum(1), torch.ones(count))


def test_weights_that_did_not_make_the_codes_end_with_exit_code_1(
    copied: Callable[[str], Path],
) -> None:
    folder = copied("jointvae")
    weights = load_file(folder / "weights.safetensors")
    weights["encoder.0.weight"] = weights["encoder.0.weight"] + 0.1
    save_file(weights, folder / "weights.safetensors")
    said = run_command(folder)
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
    with pytest.raises(ExportError, match=f"{file}.pt2 gives another .* than the run"):
        export_run(folder)


def test_stored_images_that_differ_are_found(copied: Callable[[str], Path]) -> None:
    folder = copied("betavae")
    arrays = stored(folder, "samples.npz")
    arrays["reconstructions"][0, 0, 4, 4] ^= 4
    np.savez(folder / "samples.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(ExportError, match=r"decoder.pt2 gives another images than the run"):
        export_run(folder)


def test_what_torch_cannot_export_is_one_line(own: Callable[..., Path]) -> None:
    folder = own("Branching")
    said = run_command(folder)
    assert said.exit_code == 1
    assert said.stderr.startswith(f"bench: {folder}: the encoder cannot be exported (")
    assert said.stderr.strip().count("\n") == 0


def test_a_model_that_encodes_factors_is_refused(
    own: Callable[..., Path], make_run: Callable[..., Any]
) -> None:
    folder = own("Halves")
    settings = json.loads((folder / "settings.json").read_text())
    settings["model"] = settings["model"].replace(":Halves", ":OfFactors")
    (folder / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(RequestError, match=r"OfFactors encodes factors.* nothing to export"):
        export_run(folder)


def codes_of_a_file(folder: Path) -> None:
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps({**settings, "preset": FROM_FILE}))


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
    ("change", "message"),
    [
        (
            changed_status,
            r"not finished \(interrupted, step 7\): finish it with the bench run command",
        ),
        (other_data, r"has seen toy-0, and toy is .* --data-dir"),
        (codes_of_a_file, r"holds the codes of a file, and no model"),
        (no_weights, r"weights.safetensors cannot be read into betavae"),
        (damaged_weights, r"weights.safetensors cannot be read into betavae"),
        (no_representation, r"not finished \(.*the bench run command"),
        (damaged_representation, r"representation.npz cannot be read .*train again"),
    ],
)
def test_a_run_that_cannot_be_exported_is_refused(
    copied: Callable[[str], Path], change: Callable[[Path], None], message: str
) -> None:
    folder = copied("betavae")
    change(folder)
    with pytest.raises(RequestError, match=message):
        export_run(folder)
    assert not (folder / "export").exists()


def test_a_folder_without_a_run_is_refused_and_what_to_name_is_said(
    finished: Any, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match=r"is a study: name one of its runs, .*betavae-seed0"):
        export_run(finished.folder)
    with pytest.raises(RequestError, match="holds no run"):
        export_run(tmp_path)
    with pytest.raises(RequestError, match="holds no run"):
        export_run(tmp_path / "nowhere")


def test_a_folder_that_cannot_be_written_is_named(
    run_of: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match=r"file/here cannot be written .*--output"):
        export_run(run_of("betavae"), tmp_path / "file" / "here")


def test_an_external_network_is_exported(own: Callable[..., Path]) -> None:
    folder = own("Network")
    encoder = program(export_run(folder)[0])
    weights = load_file(folder / "weights.safetensors")
    matrix, bias = (weights[f"net.layer.{kind}"] for kind in ("weight", "bias"))
    x = torch.rand(5, 1, 32, 32)
    (mean,) = encoder(x)
    np.testing.assert_allclose(mean, x.numpy().reshape(5, -1) @ matrix.T + bias, atol=1e-5)
