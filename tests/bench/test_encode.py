"""From a model to arrays: the representation, its evaluation, the pictures."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench import encode as module
from bench.datasets import Toy
from bench.datasets.subsets import Subset
from bench.encode import encode, encode_drawn, samples
from bench.metrics import (
    Representation,
    active_units,
    generalisation_linear,
    kl_decomposition,
    mig_posterior,
)
from bench.models import QLAE, VAE, Autoencoder
from bench.score import collapsed_from, evaluate
from bench.store.record import Evaluation
from bench.store.representation import read_representation, write_representation
from bench.train.loop import images

CPU = torch.device("cpu")
SIZES = (3, 4)


class Head(nn.Module):
    """Means that depend on the image, log variances of -1, and logits of both latents."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1)
        parts = rows @ torch.linspace(-1, 1, rows.shape[1]), rows[:, ::2].sum(1) / 20
        means = torch.stack([*parts, parts[0] - parts[1]], -1)
        return torch.cat([means, torch.full_like(means, -1), means @ MIXED], -1)


class Pattern(nn.Module):
    """Logits that add up a pattern for each column of the code."""

    def forward(self, z: Tensor) -> Tensor:
        return (z @ PATTERNS).reshape(-1, 1, 32, 32)


class Blind(nn.Module):
    """The same logits for every code: those of the mean image of some rows."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, z: Tensor) -> Tensor:
        return self.logits.expand(len(z), *self.logits.shape)


MIXED = torch.from_numpy(np.random.default_rng(1).normal(size=(3, 7))).float()
PATTERNS = torch.from_numpy(np.random.default_rng(2).normal(size=(10, 1024))).float()


@pytest.fixture(scope="module")
def data() -> Toy:
    return Toy(image_size=32)


@pytest.fixture
def rows() -> np.ndarray:
    """Two full batches and part of a third, in no order."""
    return np.random.default_rng(0).permutation(576)[:550]


@pytest.fixture
def model() -> VAE:
    """Three continuous and two categorical latents, all active, known by hand."""
    model = VAE(image_shape=(1, 32, 32), continuous=3, categorical=SIZES)
    model.encoder, model.decoder = nn.Sequential(Head()), nn.Sequential(Pattern())
    return model


def measured(
    model: VAE, data: Toy, rows: np.ndarray, **more: Any
) -> tuple[Representation, Evaluation]:
    encoded = encode(model, data, rows, CPU, **more)
    evaluation = evaluate(
        encoded.representation,
        reconstruction=encoded.reconstruction,
        mean_image_reconstruction=encoded.mean_image_reconstruction,
    )
    return encoded.representation, evaluation


def pixels(data: Toy, rows: np.ndarray) -> np.ndarray:
    return data.images(rows).astype(np.float64) / 255


def test_the_representation_holds_every_row_once(model: VAE, data: Toy, rows: np.ndarray) -> None:
    seen: list[int] = []
    representation, evaluation = measured(model, data, rows, watch=seen.append)
    parameters = Head()(torch.from_numpy(pixels(data, rows)).float()).numpy()

    np.testing.assert_allclose(representation.codes, parameters[:, :3], rtol=1e-4, atol=1e-4)
    assert np.array_equal(representation.logvar, parameters[:, 3:6])
    expected = np.stack([parameters[:, 6:9].argmax(1), parameters[:, 9:].argmax(1)], 1)
    assert np.array_equal(representation.categories, expected)
    assert np.array_equal(representation.factors, data.values(rows))
    assert representation.category_sizes == SIZES
    assert representation.factor_names == ("shape", "size", "posX", "posY")
    assert representation.factor_sizes == data.sizes
    assert representation.factor_kinds == ("categorical", "ordinal", "ordinal", "ordinal")
    assert seen == [*range(module.BATCH, 550, module.BATCH), 550]
    assert evaluation.rows == 550


def test_the_probabilities_of_categories_are_kept(
    model: VAE, data: Toy, rows: np.ndarray, tmp_path: Path
) -> None:
    representation, _ = measured(model, data, rows)
    logits = Head()(torch.from_numpy(pixels(data, rows)).float()).double().numpy()[:, 6:]
    expected = np.exp(logits)
    expected[:, :3] /= expected[:, :3].sum(axis=1, keepdims=True)
    expected[:, 3:] /= expected[:, 3:].sum(axis=1, keepdims=True)
    assert representation.probabilities is not None
    assert representation.probabilities.dtype == np.float32
    np.testing.assert_allclose(representation.probabilities, expected, rtol=1e-3, atol=1e-6)
    # The categories are the likeliest, and the KL is that of the probabilities.
    for j, block in enumerate((slice(3), slice(3, None))):
        p = representation.probabilities[:, block]
        assert np.array_equal(p.argmax(axis=1), representation.categories[:, j])

    write_representation(tmp_path / "r.npz", representation, rows)
    read = read_representation(tmp_path / "r.npz")
    assert read.probabilities is not None
    assert np.array_equal(read.probabilities, representation.probabilities)
    for metric in (mig_posterior, kl_decomposition, active_units):
        first, second = (metric(r, np.random.default_rng(0)) for r in (representation, read))
        assert (first.value, first.parts) == (second.value, second.parts)
    assert representation.kl is not None
    score = kl_decomposition(read, np.random.default_rng(0))
    assert score.value == pytest.approx(representation.kl.sum(), rel=1e-4)


def test_representations_without_probabilities_are_read(
    model: VAE, data: Toy, rows: np.ndarray, tmp_path: Path
) -> None:
    """As written by older versions, and of models without categories."""
    representation, _ = measured(model, data, rows)
    write_representation(tmp_path / "old.npz", replace(representation, probabilities=None), rows)
    read = read_representation(tmp_path / "old.npz")
    assert read.probabilities is None
    assert np.array_equal(read.categories, representation.categories)
    continuous = VAE(image_shape=(1, 32, 32), continuous=2)
    assert measured(continuous, data, rows[:9])[0].probabilities is None


def test_kl_is_the_mean_over_all_rows(model: VAE, data: Toy, rows: np.ndarray) -> None:
    representation, evaluation = measured(model, data, rows)
    parameters = Head()(torch.from_numpy(pixels(data, rows)).float()).double().numpy()
    mean, logvar = parameters[:, :3], parameters[:, 3:6]
    expected = list(((mean**2 + np.exp(logvar) - 1 - logvar) / 2).mean(0))
    for logits in (parameters[:, 6:9], parameters[:, 9:]):
        q = np.exp(logits - logits.max(1, keepdims=True))
        q /= q.sum(1, keepdims=True)
        expected.append((q * np.log(np.maximum(q, 1e-300) * q.shape[1])).sum(1).mean())
    np.testing.assert_allclose(evaluation.kl, expected, rtol=1e-4)
    np.testing.assert_allclose(representation.kl, expected, rtol=1e-4)
    assert evaluation.kl_total == pytest.approx(sum(expected), rel=1e-4)
    assert evaluation.active_latents == 5


def test_latents_below_a_tenth_of_a_nat_are_not_active(
    model: VAE, data: Toy, rows: np.ndarray
) -> None:
    fixed = torch.tensor([0.44, 0.46, 3.0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0])  # 0.097, 0.106, 4.5 nats
    model.encoder = nn.Sequential(Constant(fixed))
    assert measured(model, data, rows)[1].active_latents == 3


class Constant(nn.Module):
    """The same posterior for every image."""

    def __init__(self, parameters: Tensor) -> None:
        super().__init__()
        self.parameters_ = parameters

    def forward(self, x: Tensor) -> Tensor:
        return self.parameters_.expand(len(x), -1)


@pytest.mark.parametrize("limit", [100, 256, 300, 10_000])
def test_errors_are_means_over_the_first_rows(
    limit: int, model: VAE, data: Toy, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECONSTRUCTED", limit)
    evaluation = measured(model, data, rows)[1]
    x = pixels(data, rows[:limit])
    mode = model.encode(torch.from_numpy(x).float()).mode()
    logits = model.decode(mode).double().numpy()
    expected = (np.logaddexp(0, logits) - x * logits).sum((1, 2, 3)).mean()
    assert evaluation.reconstruction == pytest.approx(expected, rel=1e-5)

    mean = x.mean(0)
    mean = mean[(mean > 0) & (mean < 1)]  # other pixels cost nothing
    entropy = -(mean * np.log(mean) + (1 - mean) * np.log(1 - mean)).sum()
    assert evaluation.mean_image_reconstruction == pytest.approx(entropy, abs=1e-6)


def test_images_that_are_all_the_same_cost_nothing(model: VAE, data: Toy) -> None:
    evaluation = measured(model, data, np.full(5, 300))[1]
    assert evaluation.mean_image_reconstruction == pytest.approx(0, abs=1e-6)


# collapse


def test_a_decoder_that_ignores_the_code_has_collapsed(
    model: VAE, data: Toy, rows: np.ndarray
) -> None:
    p = torch.from_numpy(pixels(data, rows).mean(0)).clamp(1e-7, 1 - 1e-7)
    model.decoder = nn.Sequential(Blind(p.logit().float()))
    evaluation = measured(model, data, rows)[1]
    constant = evaluation.mean_image_reconstruction
    assert evaluation.reconstruction == pytest.approx(constant, rel=1e-3)
    assert evaluation.active_latents == 5
    assert evaluation.collapsed is True


def share_of_mean_image(model: VAE, share: float, constant: float) -> None:
    value = torch.tensor(share * constant)
    model.reconstruction = lambda x, logits: value


@pytest.mark.parametrize(("share", "collapsed"), [(0.5, False), (0.98, False), (0.995, True)])
def test_a_decoder_that_beats_the_mean_image_has_not(
    share: float, collapsed: bool, model: VAE, data: Toy, rows: np.ndarray
) -> None:
    share_of_mean_image(model, share, measured(model, data, rows)[1].mean_image_reconstruction)
    assert measured(model, data, rows)[1].collapsed is collapsed


def test_a_model_without_an_active_latent_has_collapsed(
    model: VAE, data: Toy, rows: np.ndarray
) -> None:
    model.encoder = nn.Sequential(Constant(torch.zeros(13)))
    share_of_mean_image(model, 0.5, measured(model, data, rows)[1].mean_image_reconstruction)
    evaluation = measured(model, data, rows)[1]
    assert evaluation.active_latents == 0
    assert evaluation.collapsed is True


# pictures


def decoded(z: Tensor) -> np.ndarray:
    """Means of the Bernoulli pixels that `Pattern` gives, 0 to 255."""
    logits = (z.double() @ PATTERNS.double()).numpy()
    return 255 / (1 + np.exp(-logits)).reshape(-1, 1, 32, 32)


def test_samples_show_reconstructions_and_a_traversal_of_each_latent(
    model: VAE, data: Toy, rows: np.ndarray
) -> None:
    arrays = samples(model, data, rows, np.empty((0, 3)), CPU)
    names = ["originals", "reconstructions", "reference", "z1", "z2", "z3", "c1", "c2"]
    assert list(arrays) == names
    assert all(array.dtype == np.uint8 for array in arrays.values())
    counts = [len(array) for array in arrays.values()]
    assert counts == [10, 10, 2, 10, 10, 10, 3, 4]
    assert all(array.shape[1:] == (1, 32, 32) for array in arrays.values())

    code = model.encode(images(data, rows[:10], CPU)).mode()
    assert np.array_equal(arrays["originals"], data.images(rows[:10]))
    assert np.abs(arrays["reconstructions"] - decoded(code)).max() < 0.51

    candidates = data.images(rows[: module.CANDIDATES])
    (row, *_) = np.flatnonzero((candidates == arrays["reference"][0]).all((1, 2, 3)))
    code = model.encode(images(data, rows[row : row + 1], CPU)).mode()
    assert np.abs(arrays["reference"][1] - decoded(code)[0]).max() < 0.51
    for column in range(3):
        z = code[:1].repeat(10, 1)
        z[:, column] = torch.arange(10) * 4 / 9 - 2
        assert np.abs(arrays[f"z{column + 1}"] - decoded(z)).max() < 0.51
    for name, start, size in (("c1", 3, 3), ("c2", 6, 4)):
        z = code[:1].repeat(size, 1)
        for category in range(size):
            z[category, start : start + size] = 0
            z[category, start + category] = 1
        assert np.abs(arrays[name] - decoded(z)).max() < 0.51


def test_samples_of_few_rows(model: VAE, data: Toy) -> None:
    arrays = samples(model, data, np.arange(4), np.empty((0, 3)), CPU)
    assert len(arrays["originals"]) == len(arrays["reconstructions"]) == 4
    assert len(arrays["z1"]) == 10


def test_rows_held_out_are_stored_and_scored(tmp_path, bench):
    rng = np.random.default_rng(0)
    label = rng.integers(3, size=600)
    images = np.zeros((600, 32, 32), dtype=np.uint8)
    images[np.arange(600), 8 * label + 4] = 255
    held_out = np.arange(600) % 3 == 0
    np.savez(
        tmp_path / "my.npz",
        images=images,
        factors=label[:, None],
        factor_names=np.array(["row"]),
        factor_kinds=np.array(["categorical"]),
        test=held_out,
    )
    command = ("run", "--models", "jointvae", "--dataset", "my.npz", "--preset", "smoke")
    ran = bench(*command, "--steps", "5", "--seeds", "1", "--output", "study", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "left out: factorvae_score (only one factor" in ran.stderr
    (run,) = (tmp_path / "study" / "runs").iterdir()
    read = read_representation(run / "representation.npz")
    assert read.test is not None
    assert (len(read), len(read.test)) == (400, 200)
    assert read.test.probabilities is not None
    np.testing.assert_array_equal(
        np.bincount(read.test.factors[:, 0]), np.bincount(label[held_out])
    )
    details = json.loads((run / "scores.json").read_text())["discrete_accuracy"]["details"]
    assert (details["rows_fitted"], details["rows_scored"]) == (400, 200)
    assert json.loads((run / "evaluation.json").read_text())["held_out"]["rows"] == 200
    again = bench("evaluate", str(run / "representation.npz"), "--metrics", "mig", cwd=tmp_path)
    assert "400 rows and 200 held out" in again.stdout


def test_seen_and_unseen_rows_are_decoded_apart(
    model: VAE, data: Toy, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECONSTRUCTED", 300)
    part = Subset(data, hold_out=["shape=cross,posX=0-3"])
    out = part.unseen(rows)
    encoded = encode(model, part, rows, CPU)
    whole = encode(model, data, rows, CPU)
    assert whole.representation.unseen is whole.unseen_reconstruction is None
    assert (encoded.reconstruction, encoded.mean_image_reconstruction) == (
        whole.reconstruction,
        whole.mean_image_reconstruction,
    )
    np.testing.assert_array_equal(encoded.representation.codes, whole.representation.codes)
    np.testing.assert_array_equal(encoded.representation.unseen, out)
    first, mask = rows[:300], out[:300]
    seen, unseen = (encode(model, data, first[kind], CPU) for kind in (~mask, mask))
    assert encoded.seen_reconstruction == pytest.approx(seen.reconstruction, rel=1e-5)
    assert encoded.unseen_reconstruction == pytest.approx(unseen.reconstruction, rel=1e-5)
    assert encoded.seen_mean_image_reconstruction == pytest.approx(
        seen.mean_image_reconstruction, rel=1e-5
    )
    evaluation = evaluate(encoded.representation, seen_reconstruction=1.0)
    assert evaluation.seen is not None
    assert evaluation.unseen is not None
    assert (evaluation.seen.reconstruction, evaluation.unseen.reconstruction) == (1.0, None)
    for of_rows, kind in ((evaluation.seen, ~out), (evaluation.unseen, out)):
        kl = encode(model, data, rows[kind], CPU).representation.kl
        assert kl is not None
        assert of_rows.rows == kind.sum()
        assert of_rows.kl_total == pytest.approx(kl.sum(), rel=1e-4)


def test_further_unseen_rows_are_encoded_where_few_are_drawn(
    model: VAE, data: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNSEEN", 50)
    part = Subset(data, hold_out=["shape=cross,posX=0-3"])  # 96 of 576
    done: list[tuple[int, int]] = []
    encoded = encode_drawn(model, part, 60, 3, CPU, lambda n, total: done.append((n, total)))
    before = encode_drawn(model, data, 60, 3, CPU)
    r = encoded.representation
    np.testing.assert_array_equal(encoded.rows, before.rows)  # the rows of today
    np.testing.assert_array_equal(r.codes, before.representation.codes)
    assert r.unseen is not None
    assert r.further is not None
    few = int(r.unseen.sum())
    assert 0 < few < 50
    assert len(r.further) == 50 - few
    assert done[-1] == (110 - few, 110 - few)
    assert (r.further.factors[:, 0] == 2).all()
    assert (r.further.factors[:, 2] < 4).all()
    drawn = {tuple(row) for row in r.factors.tolist()}
    further = [tuple(row) for row in r.further.factors.tolist()]
    assert len({*drawn, *further}) == 60 + len(further)  # each combination once
    rows = data.rows(np.concatenate([r.factors[r.unseen], r.further.factors]))
    apart = encode(model, data, rows, CPU)
    assert encoded.unseen_reconstruction == pytest.approx(apart.reconstruction, rel=1e-5)
    evaluation = evaluate(r, unseen_reconstruction=encoded.unseen_reconstruction)
    assert evaluation.unseen is not None
    assert apart.representation.kl is not None
    assert (evaluation.unseen.rows, evaluation.rows) == (50, 60)
    assert evaluation.unseen.kl_total == pytest.approx(apart.representation.kl.sum(), rel=1e-4)
    again = encode_drawn(model, part, 60, 3, CPU).representation
    assert again.further is not None
    np.testing.assert_array_equal(again.further.codes, r.further.codes)

    write_representation(tmp_path / "r.npz", r, encoded.rows)
    read = read_representation(tmp_path / "r.npz")
    assert read.further is not None
    np.testing.assert_array_equal(read.unseen, r.unseen)
    np.testing.assert_array_equal(read.further.codes, r.further.codes)
    np.testing.assert_array_equal(read.further.factors, r.further.factors)
    assert generalisation_linear(read).value == generalisation_linear(r).value

    monkeypatch.setattr(module, "UNSEEN", 2_000)  # more than there are
    all_of_them = encode_drawn(model, part, 60, 3, CPU).representation
    assert all_of_them.further is not None
    assert len(all_of_them.further) == 96 - few
    monkeypatch.setattr(module, "UNSEEN", few)
    assert encode_drawn(model, part, 60, 3, CPU).representation.further is None
    assert before.representation.further is before.representation.unseen is None


def test_a_collapse_is_told_by_the_seen_rows(model: VAE, data: Toy, rows: np.ndarray) -> None:
    """A decoder that fails on unseen rows alone has not collapsed, and the reverse."""
    r = encode(model, Subset(data, split="extrapolation"), rows, CPU).representation
    errors = {"reconstruction": 90.0, "mean_image_reconstruction": 50.0}
    good = {"seen_reconstruction": 10.0, "seen_mean_image_reconstruction": 40.0}
    bad = {"seen_reconstruction": 40.0, "seen_mean_image_reconstruction": 40.0}
    assert not evaluate(r, **errors, **good).collapsed
    assert evaluate(r, reconstruction=1.0, mean_image_reconstruction=50.0, **bad).collapsed
    assert evaluate(replace(r, unseen=None), **errors, **good).collapsed


def test_deterministic_codes_are_active_by_their_spread(data: Toy, rows: np.ndarray) -> None:
    model = Autoencoder(image_shape=(1, 32, 32), continuous=3)
    parts = torch.linspace(-1, 1, 1024)
    weights = torch.stack([parts, 0.02 * parts, 1e-3 * parts])
    model.encoder = nn.Sequential(nn.Flatten(), nn.Linear(1024, 3, bias=False))
    with torch.no_grad():
        model.encoder[1].weight.copy_(weights)
    representation, evaluation = measured(model, data, rows)
    codes = pixels(data, rows).reshape(len(rows), -1) @ weights.double().numpy().T
    np.testing.assert_allclose(representation.codes, codes, rtol=1e-3, atol=1e-3)
    assert representation.logvar is None
    assert representation.kl is None
    assert evaluation.kl is evaluation.kl_total is None
    np.testing.assert_allclose(evaluation.spread, codes.std(0), rtol=1e-3)
    assert evaluation.active == (True, True, False)  # from a hundredth of the largest on
    assert evaluation.active_latents == 2


def test_the_spread_of_a_category_is_its_entropy(data: Toy, rows: np.ndarray) -> None:
    model = QLAE(image_shape=(1, 32, 32), categorical=(4, 3))
    representation, evaluation = measured(model, data, rows)
    for column, spread in zip(representation.categories.T, evaluation.spread, strict=True):
        shares = np.unique(column, return_counts=True)[1] / len(column)
        assert spread == pytest.approx(-(shares * np.log(shares)).sum(), abs=1e-12)


def test_traversals_of_a_deterministic_code_span_its_own_spread(
    data: Toy, rows: np.ndarray
) -> None:
    seen: list[Tensor] = []
    model = Autoencoder(image_shape=(1, 32, 32), continuous=2)
    model.pictures = lambda z: seen.append(z) or torch.zeros(len(z), 1, 32, 32)
    codes = np.array([[1.0, 10.0], [3.0, 10.0]])
    samples(model, data, rows, codes, CPU)
    first, second = seen[-2:]
    torch.testing.assert_close(first[:, 0], torch.linspace(0, 4, 10))  # 2 and 1: mean, deviation
    torch.testing.assert_close(second[:, 1], torch.full((10,), 10.0))


@pytest.mark.parametrize("prior", [False, True])
def test_a_vector_is_traversed_along_its_first_principal_component(
    data: Toy, rows: np.ndarray, prior: bool
) -> None:
    seen: list[Tensor] = []
    kind = VAE if prior else Autoencoder
    model = kind(image_shape=(1, 32, 32), continuous=3)
    model.groups = (2, 1)
    model.pictures = lambda z: seen.append(z) or torch.zeros(len(z), 1, 32, 32)
    rng = np.random.default_rng(0)
    along = 5 * rng.normal(size=500)
    # The first two columns move together, along (3, 4) / 5.
    codes = np.column_stack([1 + 0.6 * along, 2 + 0.8 * along, rng.normal(size=500)])
    arrays = samples(model, data, rows, codes, CPU)
    assert {"z1", "z2"} < arrays.keys()
    assert "z3" not in arrays
    first, second = seen[-2:]
    steps = first[1:, :2] - first[:-1, :2]
    reach = 2 if prior else 2 * along.std()
    np.testing.assert_allclose(steps, np.tile([[0.6, 0.8]], (9, 1)) * reach / 4.5, rtol=1e-5)
    middle = np.zeros(2) if prior else codes[:, :2].mean(axis=0)
    np.testing.assert_allclose(first[:, :2].mean(0), middle, atol=1e-5)
    assert (first[:, 2] == first[0, 2]).all()
    assert (second[:, :2] == second[0, :2]).all()


class Squares:
    """Draws squares with a side (latent 0) and a brightness (latent 1); latent 2 does nothing."""

    def pictures(self, z: Tensor) -> Tensor:
        pixels = torch.zeros(len(z), 1, 32, 32)
        for picture, (side, brightness, _) in zip(pixels, z.tolist(), strict=True):
            edge = max(0, round(16 + 6 * side))
            picture[:, :edge, :edge] = min(1.0, max(0.0, 0.5 + brightness / 4))
        return pixels


def test_the_reference_is_an_ordinary_code_of_the_most_visible_quarter() -> None:
    span = torch.linspace(-2, 2, 10)[:, None]
    traversals = [(slice(d, d + 1), span) for d in range(3)]
    # The side alone decides how much is seen when the brightness changes.
    codes = torch.tensor(
        [[side, 0.0, 0.0] for side in (-2.0, -1.0, 0.0, 1.0, 1.5, 1.6, -1.5, -0.5)]
    )
    assert module.clearest(Squares(), codes, traversals) == 4
    codes[4, 2] = 5.0  # as visible as before, but less ordinary than the other of the two
    assert module.clearest(Squares(), codes, traversals) == 5


def test_the_only_code_is_the_reference() -> None:
    span = torch.zeros(3, 1)  # of a latent without any spread
    assert module.clearest(Squares(), torch.zeros(1, 3), [(slice(0, 1), span)]) == 0


HISTORY = [
    {"step": 10.0, "reconstruction": 100.0, "kl_continuous": 0.5, "kl_categorical": 0.0},
    {"step": 20.0, "reconstruction": 60.0, "kl_continuous": 5.0, "kl_categorical": 0.0},
    {"step": 30.0, "reconstruction": 99.0, "kl_continuous": 5.0, "kl_categorical": 0.0},
    {"step": 40.0, "reconstruction": 60.0, "kl_continuous": 0.01, "kl_categorical": 0.0},
]


@pytest.mark.parametrize(
    ("rows", "step"),
    [(HISTORY, 21), (HISTORY[:1], 1), (HISTORY[1:2], None), ([], None)],
    ids=["after the last use", "never used", "still in use at the end", "no history"],
)
def test_the_step_of_a_collapse_is_that_after_the_last_use(rows, step) -> None:
    assert collapsed_from(rows, 100.0) == step


def test_a_model_without_a_decoder_has_no_step_of_collapse() -> None:
    assert collapsed_from(HISTORY, None) is None
