"""The baselines: the factors as codes, an untrained encoder, principal components."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.build import build_model
from bench.datasets import Factor, Toy
from bench.encode import encode
from bench.errors import RequestError
from bench.metrics import METRICS
from bench.models import GROUPS, MODELS
from bench.models.baselines import PCA, GroundTruth, RandomEncoder
from bench.plan import Plan, Request, plan
from bench.report.table import comparison
from bench.score import definition, evaluate
from bench.store.files import read_json
from bench.store.record import read_record, unscored
from bench.streams import lent_global_torch_stream
from bench.train.loop import images
from bench.worker import Job, run_job

CPU = torch.device("cpu")
ROWS = np.arange(576)


@pytest.fixture(scope="module")
def data() -> Toy:
    return Toy(image_size=32)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def factor(size: int, kind: str = "ordinal") -> Factor:
    return Factor(f"f{size}{kind}", size, kind, tuple(range(size)))


def planned(models: str = "baselines", **fields: Any) -> Plan:
    return plan(Request(models=models, **{"dataset": "toy", "preset": "smoke", **fields}))


# the factors


def test_a_factor_is_a_latent_of_its_kind() -> None:
    factors = (factor(5), factor(3, "categorical"), factor(1), factor(4, "cyclic"))
    factors += (factor(1, "categorical"), factor(2, "categorical"))
    model = GroundTruth(factors=factors)
    assert (model.latents.continuous, model.latents.categorical) == (2, (3, 2))
    grid = np.array(list(itertools.product(*(range(f.size) for f in factors))))
    posterior = model.encode(torch.from_numpy(grid))
    assert posterior.logvar is None
    for column, k in enumerate((0, 3)):
        classes = grid[:, k].astype(np.float64)
        expected = (classes - classes.mean()) / classes.std()
        np.testing.assert_allclose(posterior.mean[:, column], expected, atol=1e-6)
    assert np.array_equal(posterior.categories(), grid[:, [1, 5]])
    for logits, k in zip(posterior.logits, (1, 5), strict=True):
        assert np.array_equal(logits.softmax(-1), np.eye(factors[k].size)[grid[:, k]])


@pytest.mark.parametrize("kind", ["categorical", "ordinal"])
def test_factors_of_one_kind_only(kind: str) -> None:
    model = GroundTruth(factors=(factor(3, kind), factor(4, kind)))
    classes = torch.tensor([[0, 3], [2, 1]])
    posterior = model.encode(classes)
    shape = tuple(posterior.mean.shape), len(posterior.logits)
    assert shape == (((2, 0), 2) if kind == "categorical" else ((2, 2), 0))
    assert posterior.mean.dtype == torch.float32


def test_the_ground_truth_needs_factors_that_vary() -> None:
    for factors in ((), (factor(1), factor(1, "categorical"))):
        with pytest.raises(ValueError, match="pass those of a data set"):
            GroundTruth(factors=factors)


def test_the_factors_score_what_the_metrics_can_give(data: Toy) -> None:
    model = GroundTruth(image_shape=data.image_shape, factors=data.factors)
    encoded = encode(model, data, ROWS, CPU)
    representation, evaluation = encoded.representation, evaluate(encoded.representation)
    # On a full grid of independent factors, one latent alone tells each factor completely.
    for name in ("mig", "mcc", "discrete_accuracy", "factorvae_score"):
        assert METRICS[name](representation, np.random.default_rng(0)).value == pytest.approx(1)
    # Trees fitted on one half of the rows are right on the other half.
    dci = METRICS["dci_fast"](representation, np.random.default_rng(0))
    assert min(dci.value, *dci.parts.values()) > 0.99
    assert evaluation.kl is encoded.reconstruction is None
    assert (evaluation.active_latents, evaluation.collapsed) == (4, False)


# a random encoder


def test_a_random_encoder_is_its_network_standardised(data: Toy) -> None:
    x = images(data, ROWS, CPU)
    model = RandomEncoder(image_shape=(1, 32, 32), continuous=3)
    before = [p.clone() for p in model.encoder.parameters()]
    model.fit(x)
    assert all(map(torch.equal, before, model.encoder.parameters()))
    posterior = model.encode(x)
    outputs = model.encoder(x).detach().double().numpy()
    expected = (outputs - outputs.mean(0)) / outputs.std(0)
    np.testing.assert_allclose(posterior.mean.detach(), expected, atol=1e-3)
    assert posterior.logvar is None
    assert posterior.logits == ()


def test_a_random_encoder_that_ignores_the_image_stays_finite(data: Toy) -> None:
    model = RandomEncoder(image_shape=(1, 32, 32), continuous=2)
    torch.nn.init.zeros_(model.encoder[-1].weight)
    x = images(data, ROWS[:9], CPU)
    model.fit(x)
    torch.testing.assert_close(model.encode(x).mean, torch.zeros(9, 2), rtol=0, atol=1e-6)


def test_each_seed_is_another_random_encoder() -> None:
    runs = planned("random", seeds="2").runs
    first, second, again = (
        build_model(run, CPU).state_dict()["encoder.0.weight"] for run in (*runs, runs[0])
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_the_initialisation_is_a_setting() -> None:
    def weights(initialisation: str) -> torch.Tensor:
        with lent_global_torch_stream(0, "test"):
            model = RandomEncoder(image_shape=(1, 32, 32), initialisation=initialisation)
        return model.encoder[0].weight

    assert not torch.equal(weights("pytorch"), weights("he"))


# principal components


def test_pca_is_the_projection_to_the_largest_eigenvectors(data: Toy) -> None:
    # some of the rows only, as the symmetry of the whole grid makes some eigenvalues equal
    x = images(data, np.random.default_rng(0).permutation(ROWS)[:150], CPU)
    model = PCA(image_shape=(1, 32, 32), continuous=4)
    model.fit(x)
    pixels = x.flatten(1).double().numpy()
    centred = pixels - pixels.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred)  # the smallest first
    expected = centred @ vectors[:, :-5:-1]
    codes = model.encode(x).mean.double().numpy()
    # the component of a simple eigenvalue is determined up to its sign
    gaps = -np.diff(values[:-6:-1]) / values[-1]
    assert gaps.min() > 1e-2
    signs = np.sign((codes * expected).sum(0))
    np.testing.assert_allclose(codes * signs, expected, atol=2e-3)


def test_the_components_are_stored_with_the_weights(data: Toy) -> None:
    x = images(data, ROWS[::4], CPU)
    model, other = (PCA(image_shape=(1, 32, 32), continuous=3) for _ in range(2))
    model.fit(x)
    other.load_state_dict(model.state_dict())
    assert torch.equal(model.components, other.components)
    torch.testing.assert_close(model.encode(x).mean, other.encode(x).mean)
    assert float(model.encode(x).mean.std(0).min()) > 0


def test_too_many_components_are_refused(data: Toy) -> None:
    for count in (0, 1024):
        with pytest.raises(ValueError, match=f"continuous={count}: choose 1 to 1023"):
            PCA(image_shape=(1, 32, 32), continuous=count)
    with pytest.raises(ValueError, match="5 images have no 5 components: lower continuous"):
        PCA(image_shape=(1, 32, 32), continuous=5).fit(images(data, ROWS[:5], CPU))


# in a study


def test_baselines_are_named_as_a_group_and_are_among_all() -> None:
    names = list(GROUPS["baselines"])
    assert names == ["factors", "random", "pca"]
    assert [run.model for run in planned(seeds="1").runs] == names
    mixed = [run.model for run in planned("pca,vae,baselines", seeds="1").runs]
    assert mixed == ["pca", "vae", "factors", "random"]
    assert set(names) < set(MODELS)
    assert {run.model for run in planned("all", seeds="1").runs} == set(MODELS)


def test_what_the_suite_passes_is_no_setting() -> None:
    (factors, *_) = planned(seeds="1").runs
    assert factors.settings == {}
    for key in ("factors", "image_shape"):
        with pytest.raises(RequestError, match=f"unknown setting of factors '{key}'"):
            planned(sets=[f"factors.{key}=3"])


def test_the_budget_does_not_change_their_identity() -> None:
    runs = planned(seeds="1").runs
    assert {(run.steps, run.batch_size, run.trained) for run in runs} == {(0, 0, False)}
    # toy has fewer rows than either preset scores, and both presets have images of 32x32
    for other in ({"preset": "quick"}, {"steps": 7}, {"sets": ["train.batch_size=8"]}):
        assert [run.identity for run in planned(seeds="1", **other).runs] == [
            run.identity for run in runs
        ]


def test_a_setting_is_checked_before_anything_starts() -> None:
    with pytest.raises(RequestError, match="pca: continuous=5000: choose 1 to 1023 components"):
        planned(sets=["pca.continuous=5000"])


def test_a_run_records_which_scores_are_undefined_and_why(tmp_path: Path) -> None:
    (run,) = planned("pca", seeds="1", sets=["train.rows=100"]).runs
    definitions = (definition("mig"), definition("kl_decomposition"))
    folder = tmp_path / run.folder
    status = run_job(Job(run, folder, definitions))
    assert (status.state, status.step) == ("done", 0)
    assert {"weights.safetensors", "representation.npz"} <= {p.name for p in folder.iterdir()}
    assert not (folder / "history.csv").exists()
    scores = read_json(folder / "scores.json")
    assert list(scores) == ["mig"]
    record = read_record(folder)
    assert unscored(definitions, record.scores, record.evaluation) == ()
    newer = replace(definition("kl_decomposition"), version=99)
    assert unscored((newer,), record.scores, record.evaluation) == (newer,)

    table = comparison([record], replace(planned("pca").study, preset="smoke"))
    assert table.rows[0].runs == "1 (not trained here)"
    assert "Not trained here, only scored: pca." in table.notes
    assert not any(note.startswith("Budget") for note in table.notes)
    (undefined,) = (note for note in table.notes if "undefined" in note)
    assert undefined.startswith("KL decomposition of pca: undefined, kl_decomposition reads the")


def test_the_list_shows_the_groups(cli_here) -> None:
    lines = [line.strip() for line in cli_here("list", "models").out.splitlines()]
    for group, models in GROUPS.items():
        first = lines.index(f"{group}:") + 1
        assert [line.split()[0] for line in lines[first : first + len(models)]] == list(models)
