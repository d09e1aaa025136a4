"""Weights that others have released: recognised, made one of our models, encoded and scored."""

import io
import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.datasets import Digits, DSprites, FashionMNIST, MissingFileError
from bench.errors import RequestError
from bench.metrics import METRICS
from bench.models import VAE, JointVAE
from bench.reproduce.files import read_released
from bench.reproduce.published import Part, Protocol, Row, Table
from bench.reproduce.released import _tensors, evaluate_released, model_of, structure
from bench.reproduce.table import write_reproduction
from bench.reproduce.tables import TABLES

Weights = dict[str, Tensor]


def conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 4, stride=2, padding=1)


def transposed(before: int, after: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)


class InterleavedEncoder(nn.Module):
    """As YannDubs/disentangling-vae describes its encoder after Burgess et al. 2018."""

    def __init__(self, channels: int, side: int, latents: int, width: int, hidden: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(channels, width), conv(width, width)
        self.conv3 = conv(width, width)
        if side == 64:
            self.conv_64 = conv(width, width)
        self.lin1, self.lin2 = nn.Linear(width * 16, hidden), nn.Linear(hidden, hidden)
        self.mu_logvar_gen = nn.Linear(hidden, 2 * latents)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        names = [name for name, _ in self.named_children() if name.startswith("conv")]
        for name in names:
            x = F.relu(getattr(self, name)(x))
        out = self.mu_logvar_gen(F.relu(self.lin2(F.relu(self.lin1(x.flatten(1))))))
        mean, logvar = out.view(len(out), -1, 2).unbind(-1)
        return mean, logvar


class InterleavedDecoder(nn.Module):
    def __init__(self, channels: int, side: int, latents: int, width: int, hidden: int) -> None:
        super().__init__()
        self.lin1, self.lin2 = nn.Linear(latents, hidden), nn.Linear(hidden, hidden)
        self.lin3 = nn.Linear(hidden, width * 16)
        if side == 64:
            self.convT_64 = transposed(width, width)
        self.convT1, self.convT2 = transposed(width, width), transposed(width, width)
        self.convT3 = transposed(width, channels)

    def forward(self, z: Tensor) -> Tensor:
        for layer in (self.lin1, self.lin2, self.lin3):
            z = F.relu(layer(z))
        x = z.view(len(z), -1, 4, 4)
        names = [name for name, _ in self.named_children() if name.startswith("convT")]
        for name in names[:-1]:
            x = F.relu(getattr(self, name)(x))
        return torch.sigmoid(self.convT3(x))


class Interleaved(nn.Module):
    """The whole model, whose state dict has its names."""

    def __init__(
        self, channels: int, side: int, latents: int = 10, width: int = 32, hidden: int = 256
    ) -> None:
        super().__init__()
        self.encoder = InterleavedEncoder(channels, side, latents, width, hidden)
        self.decoder = InterleavedDecoder(channels, side, latents, width, hidden)


class Joint(nn.Module):
    """As Schlumberger/joint-vae names its layers; heads for means, log variances, categories."""

    def __init__(
        self, channels: int, side: int, continuous: int, sizes: tuple[int, ...], hidden: int = 256
    ) -> None:
        super().__init__()
        widths = [channels, 32, 32, 64, 64] if side == 64 else [channels, 32, 64, 64]
        back = [64, 64, 32, 32, channels] if side == 64 else [64, 32, 32, channels]

        def stacked(make: Callable[[int, int], nn.Module], of: list[int]) -> list[nn.Module]:
            pairs = zip(of, of[1:], strict=False)
            return [layer for a, b in pairs for layer in (make(a, b), nn.ReLU())]

        self.img_to_features = nn.Sequential(*stacked(conv, widths))
        self.features_to_hidden = nn.Sequential(nn.Linear(1024, hidden), nn.ReLU())
        if continuous:
            self.fc_mean = nn.Linear(hidden, continuous)
            self.fc_log_var = nn.Linear(hidden, continuous)
        if sizes:
            self.fc_alphas = nn.ModuleList(nn.Linear(hidden, size) for size in sizes)
        dense = [continuous + sum(sizes), hidden, 1024]
        self.latent_to_features = nn.Sequential(*stacked(nn.Linear, dense))
        self.features_to_img = nn.Sequential(*stacked(transposed, back)[:-1], nn.Sigmoid())

    def hidden(self, x: Tensor) -> Tensor:
        out: Tensor = self.features_to_hidden(self.img_to_features(x).flatten(1))
        return out

    def decoder(self, z: Tensor) -> Tensor:
        out: Tensor = self.features_to_img(self.latent_to_features(z).view(-1, 64, 4, 4))
        return out


@pytest.fixture(autouse=True)
def _seeded() -> Any:
    """The reference modules initialise themselves from torch's global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def silent(what: str) -> None:
    pass


def weights_of(module: nn.Module) -> Weights:
    return dict(module.state_dict())


def saved(path: Path, weights: Any) -> Path:
    torch.save(weights, path)
    return path


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize(("channels", "latents"), [(1, 10), (3, 7)])
def test_interleaved_means_and_log_variances_are_told_apart(
    channels: int, latents: int, side: int
) -> None:
    theirs = Interleaved(channels, side, latents)
    ours = model_of(structure(weights_of(theirs)))
    x, z = torch.rand(3, channels, side, side), torch.randn(3, latents)
    with torch.no_grad():
        mean, logvar = theirs.encoder(x)
        posterior = ours.encode(x)
        torch.testing.assert_close(posterior.mean, mean)
        torch.testing.assert_close(posterior.logvar, logvar)
        torch.testing.assert_close(ours.pictures(z), theirs.decoder(z))
    assert posterior.logits == ()


@pytest.mark.parametrize(
    ("channels", "side", "continuous", "sizes"),
    [
        (1, 64, 6, (3,)),
        (1, 32, 10, (10,)),
        (1, 64, 32, (2, 3, 2)),
        (3, 32, 0, (4, 5)),
        (3, 64, 5, ()),
    ],
)
def test_every_latent_specification_of_joint_vae_is_read(
    channels: int, side: int, continuous: int, sizes: tuple[int, ...]
) -> None:
    theirs = Joint(channels, side, continuous, sizes)
    ours = model_of(structure(weights_of(theirs)))
    x, z = torch.rand(3, channels, side, side), torch.randn(3, continuous + sum(sizes))
    with torch.no_grad():
        hidden, posterior = theirs.hidden(x), ours.encode(x)
        if continuous:
            torch.testing.assert_close(posterior.mean, theirs.fc_mean(hidden))
            torch.testing.assert_close(posterior.logvar, theirs.fc_log_var(hidden))
        for logits, head in zip(posterior.logits, theirs.fc_alphas if sizes else [], strict=True):
            torch.testing.assert_close(logits, head(hidden))
        torch.testing.assert_close(ours.pictures(z), theirs.decoder(z))
    assert ours.latents.continuous == posterior.mean.shape[1] == continuous
    assert ours.latents.categorical == sizes


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (
            partial(Joint, 1, 64, 6, (3,)),
            partial(JointVAE, image_shape=(1, 64, 64)),
        ),
        (
            partial(Joint, 3, 32, 2, ()),
            partial(JointVAE, image_shape=(3, 32, 32), continuous=2, categorical=()),
        ),
        (
            partial(Interleaved, 1, 64),
            partial(VAE, image_shape=(1, 64, 64), network="burgess"),
        ),
        (
            partial(Interleaved, 3, 32),
            partial(VAE, image_shape=(3, 32, 32), network="burgess"),
        ),
    ],
)
def test_it_becomes_the_model_of_ours_of_that_paper(
    theirs: Callable[[], nn.Module], ours: Callable[[], VAE]
) -> None:
    found, model = model_of(structure(weights_of(theirs()))), ours()
    assert type(found) is type(model)
    assert found.network == model.network
    model.load_state_dict(found.state_dict())  # the same names and shapes
    x = torch.rand(2, *model.image_shape)
    with torch.no_grad():
        torch.testing.assert_close(model.encode(x).mean, found.encode(x).mean)
        z = torch.randn(2, model.latents.width)
        torch.testing.assert_close(model.decode(z), found.decode(z))


def test_other_widths_than_those_of_the_papers_are_read() -> None:
    x = torch.rand(2, 1, 32, 32)
    theirs, narrow = Interleaved(1, 32, 4, width=8, hidden=20), Joint(1, 32, 2, (3,), hidden=50)
    with torch.no_grad():
        ours = model_of(structure(weights_of(theirs)))
        torch.testing.assert_close(ours.encode(x).mean, theirs.encoder(x)[0])
        ours = model_of(structure(weights_of(narrow)))
        torch.testing.assert_close(ours.encode(x).mean, narrow.fc_mean(narrow.hidden(x)))


def released(shared: Path, name: str) -> Path:
    path = shared / "released" / name
    if not path.is_file():
        pytest.skip("the released weights are not at hand")
    return path


def accuracy(representation: Any) -> dict[str, Any]:
    score = METRICS["discrete_accuracy"](representation, np.random.default_rng(0))
    (entry,) = score.details["factors"].values()
    return dict(entry)


def test_jointvae_of_dsprites_gives_what_was_measured(shared: Path) -> None:
    """On 40,000 other images: here 3,000, half of which score the category."""
    path = released(shared, "joint-vae-dsprites.pt")
    representation, evaluation, source = evaluate_released(
        path, "dsprites", None, silent, rows=3000
    )
    assert len(representation) == evaluation.rows == 3000
    assert representation.test is None
    assert evaluation.kl is not None
    assert sum(evaluation.kl[:6]) == pytest.approx(40.04, abs=0.5)
    assert evaluation.kl[6] == pytest.approx(1.08, abs=0.02)
    assert evaluation.reconstruction == pytest.approx(42.5, abs=1.5)
    assert not evaluation.collapsed
    shape = accuracy(representation)  # a standard error is 0.013
    assert shape["majority"] == pytest.approx(0.537, abs=0.04)
    assert shape["one_to_one"] == pytest.approx(0.494, abs=0.04)
    assert source == (
        "joint-vae-dsprites.pt, Schlumberger/joint-vae state dict, sha256 "
        "86f4ba5b864f619ec412ed7c9906140d178128252f444ded0c949112a788e0cc: 1x64x64 images, "
        "6 continuous latents, 3 categories, convolutions 32-32-64-64, hidden 256; data: "
        + DSprites(image_size=64).source
    )


def test_jointvae_of_fashion_mnist_gives_what_was_measured(shared: Path) -> None:
    """On all 10,000 test images: here 4,000 of them, with a standard error of 0.008."""
    path = released(shared, "joint-vae-fashion.pt")
    try:
        FashionMNIST(image_size=32)
    except MissingFileError:
        pytest.skip("the files of Fashion-MNIST are not at hand")
    representation, evaluation, _ = evaluate_released(path, "fashionmnist", None, silent, rows=4000)
    assert representation.test is not None
    assert evaluation.held_out is not None
    assert evaluation.held_out.rows == len(representation.test) == 4000
    clothes = accuracy(representation)
    assert clothes["majority"] == pytest.approx(0.518, abs=0.03)
    assert clothes["one_to_one"] == pytest.approx(0.450, abs=0.03)
    assert clothes["nmi"] == pytest.approx(0.554, abs=0.03)


def test_rows_held_out_become_the_test_rows(tmp_path: Path) -> None:
    theirs, data = Interleaved(1, 32), Digits(image_size=32)
    path = saved(tmp_path / "model.pt", weights_of(theirs))
    messages: list[str] = []
    representation, evaluation, _ = evaluate_released(path, "digits", None, messages.append)
    assert representation.test is not None
    for first, last, side in ((0, 1437, representation), (1437, 1797, representation.test)):
        rows = np.arange(first, last)
        with torch.no_grad():
            mean, logvar = theirs.encoder(torch.from_numpy(data.images(rows) / np.float32(255)))
        # the rows come in random order
        np.testing.assert_allclose(np.sort(side.codes, 0), np.sort(mean, 0), atol=1e-5)
        np.testing.assert_allclose(np.sort(side.logvar, 0), np.sort(logvar, 0), atol=1e-5)
        np.testing.assert_array_equal(np.sort(side.factors, 0), np.sort(data.values(rows), 0))
    assert evaluation.rows == 1437
    assert evaluation.held_out is not None
    assert evaluation.held_out.rows == 360
    assert evaluation.held_out.reconstruction is not None
    assert evaluation.held_out.kl_total == pytest.approx(representation.test.kl.sum())
    assert messages[0] == "reading model.pt"
    assert messages[-1] == "encoding 1,797 of 1,797 images"


def test_each_row_has_the_code_of_its_own_image(tmp_path: Path) -> None:
    """On dSprites the factors say which image a row is."""
    theirs, data = Interleaved(1, 64), DSprites(image_size=64)
    path = saved(tmp_path / "model.pt", weights_of(theirs))
    representation, _, _ = evaluate_released(path, "dsprites", None, silent, rows=50)
    rows = data.rows(representation.factors)
    assert len(set(rows.tolist())) == 50
    with torch.no_grad():
        mean, _ = theirs.encoder(torch.from_numpy(data.images(rows) / np.float32(255)))
    np.testing.assert_allclose(representation.codes, mean, atol=1e-5)


def test_the_same_rows_come_every_time_and_nothing_is_drawn_globally(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.pt", weights_of(Joint(1, 32, 2, (3,))))
    state = torch.get_rng_state()
    once, twice = (evaluate_released(path, "dsprites", None, silent, rows=20)[0] for _ in range(2))
    np.testing.assert_array_equal(once.factors, twice.factors)
    np.testing.assert_array_equal(once.codes, twice.codes)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_safetensors_and_other_precisions_are_read(tmp_path: Path, dtype: torch.dtype) -> None:
    weights = {name: tensor.to(dtype) for name, tensor in weights_of(Joint(1, 32, 2, ())).items()}
    save_file(weights, tmp_path / "model.safetensors")
    old = tmp_path / "old.pt"  # the format of PyTorch before 1.6, which released files have
    torch.save(weights, old, _use_new_zipfile_serialization=False)
    codes = [
        evaluate_released(path, "dsprites", None, silent, rows=20)[0].codes
        for path in (tmp_path / "model.safetensors", old)
    ]
    assert codes[0].dtype == np.float32
    np.testing.assert_array_equal(*codes)


@pytest.mark.parametrize(
    ("theirs", "dataset", "said"),
    [
        (partial(Joint, 3, 64, 6, (3,)), "dsprites", "3x64x64 images, and dsprites has 1x64x64"),
        (
            partial(Joint, 1, 64, 6, (3,)),
            "dsprite",
            "unknown dataset 'dsprite': did you mean dsprites",
        ),
        (partial(Joint, 1, 32, 6, (3,)), "nowhere.npz", "nowhere.npz"),
    ],
)
def test_data_that_do_not_fit_are_refused(
    tmp_path: Path, theirs: Callable[[], nn.Module], dataset: str, said: str
) -> None:
    path = saved(tmp_path / "model.pt", weights_of(theirs()))
    with pytest.raises(RequestError, match=said):
        evaluate_released(path, dataset, None, silent)


def without(name: str) -> Callable[[Weights], Weights]:
    return lambda weights: {k: v for k, v in weights.items() if k != name}


def with_shape(name: str, *shape: int) -> Callable[[Weights], Weights]:
    return lambda weights: {**weights, name: torch.zeros(shape)}


def with_value(name: str, value: Tensor) -> Callable[[Weights], Weights]:
    return lambda weights: {**weights, name: value}


JOINT = [
    (without("fc_log_var.weight"), r"joint-vae, but has no fc_log_var.weight"),
    (without("latent_to_features.0.bias"), r"has no latent_to_features.0.bias"),
    (without("features_to_img.4.weight"), r"has 3 convolutions and 2 back"),
    (with_shape("extra", 3), r"joint-vae, but has extra, which"),
    (with_shape("fc_log_var.weight", 5, 256), r"fc_log_var.weight of shape \(5, 256\), expected"),
    (with_shape("fc_mean.weight", 6, 255), r"fc_mean.weight of shape .* expected \(6, 256\)"),
    (with_shape("fc_alphas.0.weight", 3), r"fc_alphas.0.weight of shape \(3,\), expected"),
    (with_shape("img_to_features.2.weight", 64, 31, 4, 4), r"img_to_features.2.weight of shape"),
    (with_shape("img_to_features.0.weight", 32, 1, 3, 3), r"expected \(32, 1, 4, 4\)"),
    (with_shape("img_to_features.0.weight", 32), r"img_to_features.0.weight of shape \(32,\)"),
    (with_shape("img_to_features.0.weight", 32, 2, 4, 4), r"2x32x32 images, expected 1 or 3"),
    (with_shape("features_to_hidden.0.weight", 256, 4096), r"latent_to_features.2.weight of shape"),
    (with_shape("features_to_hidden.0.weight", 256, 1000), r"images, expected 1 or 3 channels of"),
    (with_shape("latent_to_features.2.weight", 1024, 9), r"expected \(1024, 256\)"),
    (with_shape("latent_to_features.2.bias", 1000), r"latent_to_features.2.weight of shape"),
    (with_shape("features_to_img.0.weight", 63, 32, 4, 4), r"latent_to_features.2.weight"),
    (with_shape("features_to_img.4.weight", 32, 3, 4, 4), r"features_to_img.4.weight"),
    (with_shape("fc_mean.bias", 6, 1), r"fc_mean.bias of shape \(6, 1\), expected \(6,\)"),
    (with_value("fc_mean.bias", torch.tensor(0.0)), r"fc_mean.bias of torch.float32 \(\)"),
    (with_value("fc_mean.bias", torch.zeros(6, dtype=torch.int64)), r"torch.int64 \(6,\)"),
    (with_value("fc_mean.bias", torch.full((6,), torch.nan)), r"in fc_mean.bias that are not fin"),
]
INTERLEAVED = [
    (without("encoder.lin2.weight"), r"disentangling-vae, but has no encoder.lin2.weight"),
    (without("decoder.convT3.bias"), r"has no decoder.convT3.bias"),
    (with_shape("encoder.mu_logvar_gen.bias", 19), r"of 19 outputs, expected two per latent"),
    (with_shape("decoder.lin1.weight", 256, 9), r"decoder.lin1.weight .* expected \(256, 10\)"),
    (with_shape("decoder.convT_64.weight", 32, 32, 4, 4), r"has no decoder.convT_64.bias"),
]


@pytest.mark.parametrize(
    ("theirs", "change", "said"),
    [
        *((partial(Joint, 1, 32, 6, (3,)), change, said) for change, said in JOINT),
        *((partial(Interleaved, 1, 32), change, said) for change, said in INTERLEAVED),
    ],
)
def test_a_state_dict_that_is_not_whole_is_refused_with_what_was_expected(
    tmp_path: Path,
    theirs: Callable[[], nn.Module],
    change: Callable[[Weights], Weights],
    said: str,
) -> None:
    path = saved(tmp_path / "model.pt", change(weights_of(theirs())))
    with pytest.raises(RequestError, match=said) as caught:
        evaluate_released(path, "dsprites", None, silent)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_one_category_is_no_latent(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.pt", weights_of(Joint(1, 32, 2, (1,))))
    with pytest.raises(RequestError, match="each size must be at least 2"):
        evaluate_released(path, "dsprites", None, silent)


EXPECTED = r"expected a state dict of Schlumberger/joint-vae \(img_to_features.* YannDubs/.*\)"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"a": torch.zeros(2), "b": torch.zeros(1)}, rf"no known model \(a, b\): {EXPECTED}"),
        ({}, rf"no known model \(none at all\): {EXPECTED}"),
        ({"epoch": 3, "model": {}}, "holds other things, too: expected .* it has epoch, model"),
        ([torch.zeros(2)], "holds a list: expected tensors by name"),
        (nn.Linear(2, 2), "holds more than tensors, which is never opened: expected what"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: Any, said: str) -> None:
    path = saved(tmp_path / "model.pt", content)
    with pytest.raises(RequestError, match=said) as caught:
        evaluate_released(path, "dsprites", None, silent)
    assert str(caught.value).startswith(str(path))
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "net"])
def test_the_tensors_of_a_checkpoint_are_found(tmp_path: Path, key: str) -> None:
    weights = weights_of(Joint(1, 32, 2, (3,)))
    plain, held = tmp_path / "plain.pt", tmp_path / "held.ckpt"
    torch.save(weights, plain)
    torch.save({"epoch": 3, key: weights, "optimizer": {"lr": 0.1}}, held)
    first, second = (_tensors(path, path.read_bytes()) for path in (plain, held))
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_tensors_that_repeat_one_number_are_no_weights(tmp_path: Path) -> None:
    name = "img_to_features.0.weight"
    huge = torch.zeros(1).expand(10**11)
    path = saved(tmp_path / "model.pt", {**weights_of(Joint(1, 32, 2, (3,))), name: huge})
    with pytest.raises(RequestError, match=rf"{name} of shape .* of which it holds only a part"):
        evaluate_released(path, "dsprites", None, silent)


def test_an_archive_larger_than_the_memory_is_not_unpacked(tmp_path: Path, monkeypatch) -> None:
    path = saved(tmp_path / "model.pt", weights_of(Joint(1, 32, 2, (3,))))
    monkeypatch.setattr("bench.reproduce.released.memory", lambda: 1_000)
    with pytest.raises(RequestError, match="more than there is memory for"):
        evaluate_released(path, "dsprites", None, silent)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("kept", [0, 7, 3000])
def test_a_damaged_file_is_refused_in_a_line(tmp_path: Path, kept: int, suffix: str) -> None:
    weights, path = weights_of(Joint(1, 32, 2, (3,))), tmp_path / f"model.{suffix}"
    if suffix == "pt":
        torch.save(weights, path)
    else:
        save_file(weights, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RequestError, match="model.* is damaged") as caught:
        evaluate_released(path, "dsprites", None, silent)
    assert "\n" not in str(caught.value)


class Trap:
    """Unpickled, it would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def test_nothing_but_tensors_is_unpickled(tmp_path: Path) -> None:
    trap = {"img_to_features.0.weight": Trap(tmp_path / "sprung")}
    pickle.loads(pickle.dumps({"x": Trap(tmp_path / "set")}))
    assert (tmp_path / "set").is_dir()
    plain, zipped = tmp_path / "plain.pt", saved(tmp_path / "zipped.pt", trap)
    plain.write_bytes(pickle.dumps(trap))
    for path in (plain, zipped):
        with pytest.raises(RequestError, match="more than tensors, which is never opened"):
            evaluate_released(path, "dsprites", None, silent)
    assert not (tmp_path / "sprung").exists()


def test_files_that_are_not_there_are_said(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(RequestError, match=f"{path} cannot be read"):
            evaluate_released(path, "dsprites", None, silent)


def test_weights_of_a_run_are_refused_with_the_folder_to_name(
    finished: Any, tmp_path: Path
) -> None:
    folder = sorted((finished.folder / "runs").glob("jointvae-*"))[0]
    with pytest.raises(RequestError, match=f"bench evaluate {folder}, which has"):
        evaluate_released(folder / "weights.safetensors", "toy", None, silent)
    elsewhere = shutil.copy(folder / "weights.safetensors", tmp_path / "model.safetensors")
    with pytest.raises(RequestError, match="name the folder of their run, which has"):
        evaluate_released(Path(elsewhere), "toy", None, silent)


def test_weights_of_a_run_under_other_names_are_known_by_their_folder(tmp_path: Path) -> None:
    save_file({"components": torch.zeros(2, 3)}, tmp_path / "weights.safetensors")
    (tmp_path / "settings.json").write_text(json.dumps({}))
    with pytest.raises(RequestError, match=f"bench evaluate {tmp_path}, which has"):
        evaluate_released(tmp_path / "weights.safetensors", "toy", None, silent)


def test_a_script_of_torch_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    program = torch.export.export(nn.Linear(2, 2), (torch.zeros(2, 2),), strict=False)
    torch.export.save(program, buffer)
    (tmp_path / "model.pt2").write_bytes(buffer.getvalue())
    with pytest.raises(RequestError, match="is damaged, or holds more than tensors"):
        evaluate_released(tmp_path / "model.pt2", "dsprites", None, silent)


_ROW = Row("p", "t", "m", "toy", "kl_total", "quoted", "s", "1", part="here", run="released")
RELEASED = Table(
    name="released-tiny",
    id="T0",
    title="released weights",
    parts=(
        Part(
            "here",
            "released",
            "toy",
            metrics=("mcc",),
            protocol=Protocol(options=("mig.bins=5",), by_spread=True),
            weights="model.pt",
        ),
        Part("elsewhere", "released", "toy", weights="missing.pt"),
    ),
    rows=(
        replace(_ROW, tolerance=1e6, basis="any"),
        *(replace(_ROW, metric=key) for key in ("mig", "mig:standard")),
        replace(_ROW, part="elsewhere"),
    ),
)


@pytest.fixture
def reproduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli_here: Any) -> Any:
    """`bench reproduce` of a table whose first part has weights, and whose second has none."""
    monkeypatch.setitem(TABLES, RELEASED.name, RELEASED)
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "model.pt", weights_of(Joint(1, 32, 2, (3,))))
    return partial(cli_here, "reproduce", RELEASED.name, "--output", "out")


def test_released_weights_are_scored_by_both_protocols_once(
    reproduced: Any, tmp_path: Path
) -> None:
    said = reproduced("--weights", ".")
    assert said.code == 0, said.err
    assert "nothing to train, minutes" in said.err
    assert "elsewhere is not scored: missing.pt is not in the folder of --weights" in said.err
    assert "| not yet run |" in said.out
    path = tmp_path / "out" / "records" / "here.json"
    record, written = read_released(tmp_path / "out", "here"), path.stat().st_mtime_ns
    assert record.command == "bench reproduce released-tiny --weights DIR"
    assert record.files == {"model.pt": sha256((tmp_path / "model.pt").read_bytes()).hexdigest()}
    assert record.source.startswith("model.pt, Schlumberger/joint-vae state dict, sha256 ")
    (draw,) = record.draws
    assert draw.evaluation == evaluate_released(tmp_path / "model.pt", "toy", None, silent)[1]
    assert {"mig", "factorvae_score", "mcc"} <= set(draw.standard)
    assert set(draw.paper) == {"mig"}
    bins = [scores["mig"].definition.options["bins"] for scores in (draw.paper, draw.standard)]
    assert bins == [5, 20]
    verdicts = [line.verdict for line in write_reproduction(tmp_path / "out").lines]
    assert verdicts == ["agreement", *["fewer than three runs"] * 2, "not yet run"]
    assert reproduced().code == 0  # what has a record needs no weights
    assert path.stat().st_mtime_ns == written


def test_nothing_that_can_be_scored_is_a_wrong_request(reproduced: Any) -> None:
    said = reproduced()
    assert said.code == 2
    assert "here is not scored: released-tiny needs the authors' files" in said.err
    said = reproduced("--weights", ".", "--parts", "elsewhere")
    assert said.code == 2
    assert said.err.splitlines()[-1] == "bench: missing.pt is not in the folder of --weights"


def test_a_broken_record_of_released_weights_is_one_line(reproduced: Any, tmp_path: Path) -> None:
    records = tmp_path / "out" / "records"
    assert reproduced("--weights", ".").code == 0
    stored = json.loads((records / "here.json").read_text())
    for broken in ("{", "[]", json.dumps({**stored, "draws": [{"seed": 0}]})):
        (records / "here.json").write_text(broken)
        said = reproduced()
        assert said.code == 2
        assert "here.json cannot be read (" in said.err.splitlines()[-1]
        assert said.err.endswith("remove it and run again\n")
