"""`bench check`: each broken promise is found, and the command says so.

That the registered models, metrics and data sets keep their promises is tested in
`tests/models/test_contract.py`, `tests/metrics/test_contract.py` and
`tests/datasets/test_contract.py`.
"""

import itertools
import random
import re
import shlex
from collections.abc import Callable
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench import registry as resolving
from bench.check import dataset as dataset_contract
from bench.check import metric as metric_contract
from bench.check import model as model_contract
from bench.check.cases import CASES as KNOWN
from bench.check.find import find_contract
from bench.check.promises import (
    FAILS,
    NOTE,
    SKIPPED,
    Finding,
    is_refusal,
    summary,
    try_promises,
)
from bench.datasets import Arrays, Factor, FactorData, LabelledData
from bench.metrics import METRICS, Score
from bench.models import VAE, Objective, Posterior

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "adding-a-data-set.md").read_text()
HERE = Path(__file__).resolve()


def check(name: str, *settings: str) -> list[Finding]:
    """The findings on a name, as the command has them."""
    assignments = [f"{name}.{setting}" for setting in settings]
    return list(find_contract(name, None, assignments, None).findings())


def failed(findings: list[Finding], mark: str = FAILS) -> list[str]:
    return [finding.title for finding in findings if finding.mark == mark]


def title(module: Any, check: Callable[..., Any]) -> str:
    return next(promise.title for promise in module.PROMISES if promise.check is check)


def case(name: str) -> str:
    return f"{name}: a score, or a clear ValueError"


@pytest.mark.parametrize("name", ["mlp1200", "burgess"])
def test_settings_are_those_of_a_run(name: str) -> None:
    findings = check("jointvae", f"network={name}", "categorical=3,2")
    assert failed(findings) == [], "\n".join(map(str, findings))
    assert "6 continuous and 2 categorical latents" in "".join(map(str, findings))


# broken data sets


class Fine(FactorData):
    """Bars that lie: a grid of shade by place."""

    count = itertools.count()

    def __init__(self) -> None:
        self.factors: Any = (
            Factor("shade", 3, "ordinal", (0, 1, 2)),
            Factor("place", 5, "ordinal", (0, 1, 2, 3, 4)),
        )
        self.image_shape: Any = (1, 32, 32)
        self.source: Any = "Bars of the tests"
        self.fingerprint = "bars-1"
        self._images: Any = np.zeros((15, 1, 32, 32), dtype=np.uint8)
        for row, (shade, place) in enumerate(np.ndindex(3, 5)):
            self._images[row, 0, 6 * place : 6 * place + 4] = 85 * (shade + 1)

    def images(self, rows: Any) -> Any:
        return self._images[self.checked(rows)]


class FailsToStart(Fine):
    def __init__(self) -> None:
        raise KeyError("no luck")


class NamesRepeat(Fine):
    def __init__(self) -> None:
        super().__init__()
        self.factors = (self.factors[0], Factor("shade", 5, "ordinal", (0, 1, 2, 3, 4)))


class TooSmall(Fine):
    def __init__(self) -> None:
        super().__init__()
        self._images, self.image_shape = self._images[..., :20, :20], (1, 20, 20)


class Empty(Fine):
    def __len__(self) -> int:
        return 0


class TwoLines(Fine):
    def __init__(self) -> None:
        super().__init__()
        self.source = "Bars\nof the tests"


class Floats(Fine):
    def images(self, rows: Any) -> Any:
        return super().images(rows) / 255


class Flickers(Fine):
    def images(self, rows: Any) -> Any:
        return super().images(rows) ^ np.uint8(next(self.count) % 2)


class Sorts(Fine):
    def images(self, rows: Any) -> Any:
        return super().images(np.sort(rows))


class Lends(Fine):
    def images(self, rows: Any) -> Any:
        rows = self.checked(rows)
        together = len(rows) > 0 and (np.diff(rows) == 1).all()
        return self._images[rows[0] : rows[-1] + 1] if together else self._images[rows]


class ReadOnly(Fine):
    def images(self, rows: Any) -> Any:
        images = super().images(rows)
        images.setflags(write=False)
        return images


class FromOne(Fine):
    def values(self, rows: Any) -> Any:
        return super().values(rows) + 1


class LosesRows(Fine):
    def rows(self, values: Any) -> Any:
        return 0 * super().rows(values)


class FromTheEnd(Fine):
    def images(self, rows: Any) -> Any:
        return self._images[rows]


class Dark(Fine):
    def images(self, rows: Any) -> Any:
        return (super().images(rows) > 0).astype(np.uint8)


class OnePicture(Fine):
    def images(self, rows: Any) -> Any:
        return super().images(0 * self.checked(rows) + 3)


class NothingToTrainOn(Fine):
    held_out = 15


class IgnoresGenerator(Fine):
    def draw(self, rng: Any, count: int) -> Any:
        return np.random.default_rng(0).integers(self.training, size=count)


class DrawsHeldOut(Fine):
    held_out = 5

    def draw(self, rng: Any, count: int) -> Any:
        return rng.integers(len(self), size=count)


class Anchored(Fine):
    def __init__(self) -> None:
        super().__init__()
        self.shade = lambda: 3


class Renamed(Fine):
    def __init__(self) -> None:
        super().__init__()
        self.fingerprint = f"bars-{next(self.count)}"


BROKEN_DATA: list[tuple[type, Callable[..., Any], str]] = [
    (
        FailsToStart,
        dataset_contract.is_factor_data,
        r"KeyError: 'no luck' \(test_check.py, line \d+\)",
    ),
    (NamesRepeat, dataset_contract.has_factors, "different names, got shade, shade"),
    (TooSmall, dataset_contract.has_image_shape, "28 to 128 pixels"),
    (Empty, dataset_contract.has_length, "at least one image"),
    (TwoLines, dataset_contract.has_description, "source as a line"),
    (Floats, dataset_contract.gives_images, r"got float64 \(1, 1, 32, 32\): .*uint8"),
    (Flickers, dataset_contract.is_steady, "fixed seed"),
    (Sorts, dataset_contract.ignores_batch, r"rows\[i\]"),
    (Lends, dataset_contract.gives_images_away, "same memory"),
    (ReadOnly, dataset_contract.gives_images_away, "read-only"),
    (FromOne, dataset_contract.gives_values, "classes of shade from 0 to 2, got 1 to 3"),
    (LosesRows, dataset_contract.inverts_values, "rows with others"),
    (FromTheEnd, dataset_contract.refuses_other_rows, r"images\(\[-1\]\).*self.checked"),
    (Dark, dataset_contract.uses_pixel_range, "multiply the images by 255"),
    (OnePicture, dataset_contract.uses_pixel_range, "one image for all rows"),
    (NothingToTrainOn, dataset_contract.holds_out_rows, "leave some rows"),
    (IgnoresGenerator, dataset_contract.draws_training_rows, "draw with rng"),
    (DrawsHeldOut, dataset_contract.draws_training_rows, "0 to 9, got 0 to 14"),
    (Anchored, dataset_contract.can_be_pickled, "set reopen_with"),
    (Renamed, dataset_contract.is_reproducible, "compute it from the content alone"),
]
NEVER_FAIL = {
    dataset_contract.shows_factors,
    dataset_contract.is_timed,
    metric_contract.ignores_row_order,
    metric_contract.ignores_latent_order,
    metric_contract.is_not_raised_by_chance,
}


def exactly(findings: list[Finding], module: Any, promise: Callable[..., Any], words: str) -> None:
    """That one promise fails, with these words in one line; what builds on it is left out."""
    only = title(module, promise)
    assert failed(findings) == [only], "\n".join(map(str, findings))
    (line,) = [str(finding) for finding in findings if finding.mark == FAILS]
    assert re.search(words, line), line
    assert "expected" in line
    assert "got" in line
    assert "\n" not in line
    for finding in findings:
        if finding.mark == SKIPPED:
            assert finding.text.startswith("fix first: ")


def data_findings(target: Callable[..., Any]) -> list[Finding]:
    subject = dataset_contract.DatasetSubject(target)
    return list(try_promises(dataset_contract.PROMISES, subject, HERE))


@pytest.mark.parametrize(("target", "promise", "said"), BROKEN_DATA)
def test_a_broken_data_set_fails_one_promise(target: type, promise: Any, said: str) -> None:
    exactly(data_findings(target), dataset_contract, promise, said)


def test_a_data_set_as_it_should_be() -> None:
    findings = data_findings(Fine)
    assert {finding.mark for finding in findings} == {"ok"}
    assert summary(findings) == f"{len(findings)} promises: {len(findings)} hold"


class Unseen(Fine):
    def images(self, rows: Any) -> Any:
        return super().images(self.checked(rows) % 5)


class Labelled(LabelledData):
    """Some of the bars, twice, in no order, with a label that nobody sees."""

    def __init__(self) -> None:
        fine = Fine()
        rows = np.array([3, 1, 1, 7, 12, 13, 3, 7])
        hidden = Factor("mood", 2, "categorical", (0, 1))
        self.factors, self.image_shape = (*fine.factors, hidden), fine.image_shape
        self.labels = np.column_stack([fine.values(rows), [0, 0, 1, 0, 0, 0, 1, 0]])
        self.source, self.fingerprint, self.held_out = "Bars", "bars-2", 2
        self._images = fine.images(rows)

    def images(self, rows: Any) -> Any:
        return self._images[self.checked(rows)]


@pytest.mark.parametrize(("target", "factor"), [(Unseen, "shade"), (Labelled, "mood")])
def test_a_factor_that_no_image_shows_is_noted(target: type, factor: str) -> None:
    findings = data_findings(target)
    assert failed(findings) == []
    (note,) = [finding for finding in findings if finding.mark == NOTE]
    assert note.title == title(dataset_contract, dataset_contract.shows_factors)
    assert re.search(rf"changed with {factor} \(\d+ pairs\) alone", note.text)
    assert summary(findings).endswith("hold, 1 note")


# broken metrics


def fine_metric(representation: Any, rng: Any, *, weight: float = 0.5) -> Any:
    """Fine (tests 2024): how far the steadiest latent moves."""
    codes = np.hstack([representation.codes, representation.categories])
    spread = float(np.tanh(codes.std(axis=0)).min())
    return Score(weight * spread, {"spread": spread, "drawn": float(rng.random())})


def no_default(representation: Any, rng: Any, *, weight: float) -> Any:
    """Without a default (tests 2024)."""


def one_argument(representation: Any) -> Any:
    """Without a generator (tests 2024)."""


def without_words(representation: Any, rng: Any) -> Any:
    return fine_metric(representation, rng)


def a_float(representation: Any, rng: Any) -> Any:
    """A number (tests 2024)."""
    return 0.5


def not_a_number(representation: Any, rng: Any) -> Any:
    """Not a number (tests 2024)."""
    return Score(float("nan"), {})


def unwritten(representation: Any, rng: Any) -> Any:
    """Details of NaN (tests 2024)."""
    return Score(0.5, {"each": [float("nan")]})


def counting(representation: Any, rng: Any, *, calls: Any = itertools.count()) -> Any:  # noqa: B008
    """A score by the number of calls (tests 2024)."""
    return Score(0.5 + 1e-9 * next(calls), {})


def counting_part(representation: Any, rng: Any, *, calls: Any = itertools.count()) -> Any:  # noqa: B008
    """A part by the number of calls (tests 2024)."""
    return Score(0.5, {}, {"calls": 1e-9 * next(calls)})


def global_draw(representation: Any, rng: Any) -> Any:
    """A global draw (tests 2024)."""
    return Score(float(np.random.rand()), {})  # noqa: NPY002


def python_draw(representation: Any, rng: Any) -> Any:
    """A draw by random (tests 2024)."""
    return Score(random.random(), {})


def writing(representation: Any, rng: Any) -> Any:
    """Centred in place (tests 2024)."""
    if representation.codes.size:
        representation.codes[:] -= representation.codes.mean(axis=0)
    return fine_metric(representation, rng)


def breaks_if(when: Callable[[Any], bool]) -> Any:
    def metric(representation: Any, rng: Any) -> Any:
        """Breaks now and then (tests 2024)."""
        if when(representation):
            return {}["no such key"]
        return fine_metric(representation, rng)

    return metric


UNUSUAL: dict[str, Callable[[Any], bool]] = {
    "constant codes": lambda r: r.codes.shape[1] > 0 and np.ptp(r.codes) == 0,
    "one latent": lambda r: r.latents == 1 and r.codes.shape[1] == 1,
    "no categorical latent": lambda r: r.latents > 1 and not r.category_sizes,
    "categorical latents only": lambda r: r.codes.shape[1] == 0,
    "missing labels (-1)": lambda r: r.factors.min() < 0,
    "a continuous factor": lambda r: "continuous" in r.factor_kinds,
}

BROKEN_METRICS = [
    (no_default, metric_contract.takes_representation, "each with a default, got `weight: float`"),
    (one_argument, metric_contract.takes_representation, "metric.representation, rng"),
    (without_words, metric_contract.has_docstring, "first line that names the metric"),
    (a_float, metric_contract.returns_score, "Score, got float 0.5"),
    (not_a_number, metric_contract.returns_score, "a score must be finite .test_check.py, line"),
    (unwritten, metric_contract.fits_record, "None for NaN"),
    (counting, metric_contract.repeats, "draw from rng only"),
    (counting_part, metric_contract.repeats, "value and parts for the same generator"),
    (global_draw, metric_contract.leaves_global_generators, "global generator"),
    (python_draw, metric_contract.leaves_global_generators, "global generator"),
    (writing, metric_contract.leaves_arrays, "work on a copy"),
]


def metric_findings(metric: Any) -> list[Finding]:
    subject = metric_contract.MetricSubject(metric, {}, HERE)
    return list(try_promises(metric_contract.PROMISES, subject, HERE))


@pytest.mark.parametrize(("metric", "promise", "said"), BROKEN_METRICS)
def test_a_broken_metric_fails_one_promise(metric: Any, promise: Any, said: str) -> None:
    exactly(metric_findings(metric), metric_contract, promise, said)


@pytest.mark.parametrize("name", metric_contract.UNUSUAL)
def test_a_case_that_is_neither_scored_nor_refused_is_found(name: str) -> None:
    findings = metric_findings(breaks_if(UNUSUAL[name]))
    assert failed(findings) == [case(name)]
    assert re.search(
        r"KeyError: 'no such key' \(test_check.py, line \d+\)", "".join(map(str, findings))
    )


def test_a_metric_as_it_should_be() -> None:
    assert {finding.mark for finding in metric_findings(fine_metric)} == {"ok"}


def by_first_row(representation: Any, rng: Any) -> Any:
    """By the first row (tests 2024)."""
    return Score(float(representation.factors[0, 1]), {})


def by_first_latent(representation: Any, rng: Any) -> Any:
    """By the first latent (tests 2024)."""
    codes = representation.codes
    return Score(float(codes[:, 0].std()) if codes.size else 0.0, {})


def by_categories(representation: Any, rng: Any) -> Any:
    """By the number of categories (tests 2024)."""
    return Score(float(len(representation.category_sizes)), {})


@pytest.mark.parametrize(
    ("metric", "promise"),
    [
        (by_first_row, metric_contract.ignores_row_order),
        (by_first_latent, metric_contract.ignores_latent_order),
        (by_categories, metric_contract.is_not_raised_by_chance),
    ],
)
def test_what_may_be_meant_is_noted(metric: Any, promise: Any) -> None:
    findings = metric_findings(metric)
    assert failed(findings) == []
    assert failed(findings, NOTE) == [title(metric_contract, promise)]


def test_a_refusal_is_told_from_an_accident() -> None:
    def outcome(code: Callable[[], Any]) -> bool:
        try:
            code()
        except ValueError as error:
            return is_refusal(error)
        raise AssertionError

    def refused(text: str) -> None:
        raise ValueError(
            f"{text}",
        )

    assert outcome(partial(refused, "one latent has no gap: leave it out"))
    assert not outcome(partial(refused, "two\nlines"))
    assert not outcome(partial(refused, " "))
    assert not outcome(lambda: np.zeros(0).max())
    assert not outcome(lambda: np.bincount([-1]))
    assert not outcome(lambda: np.zeros(3) + np.zeros(2))


# broken models


class Positional(VAE):
    def __init__(self, image_shape: Any = (1, 64, 64), *, continuous: int = 3) -> None:
        super().__init__(image_shape=image_shape, continuous=continuous, network="mlp1200")


class Base(VAE):
    """A small VAE."""

    def __init__(self, *, image_shape: Any = (1, 64, 64), continuous: int = 3) -> None:
        super().__init__(image_shape=image_shape, continuous=continuous)


class Only48(VAE):
    def __init__(self, *, image_shape: Any = (1, 48, 48)) -> None:
        raise ValueError(f"48 pixels a side, not {image_shape[1]}")


class Crashes(VAE):
    def __init__(self, *, image_shape: Any = (1, 48, 48)) -> None:
        {}["layers"]


class SeedsItself(Base):
    def __init__(self, *, image_shape: Any = (1, 64, 64)) -> None:
        torch.manual_seed(0)
        super().__init__(image_shape=image_shape)


class DrawsElsewhere(Base):
    def __init__(self, *, image_shape: Any = (1, 64, 64)) -> None:
        super().__init__(image_shape=image_shape)
        self.register_buffer("offset", torch.tensor(random.random()))


class ReadsValues(Base):
    def __init__(self, *, image_shape: Any = (1, 64, 64)) -> None:
        super().__init__(image_shape=image_shape)
        self.scale = float(next(self.parameters()).detach().mean())


class OtherLatents(Base):
    def encode(self, x: Any) -> Any:
        posterior = super().encode(x)
        return Posterior(posterior.mean[:, :2], posterior.logvar[:, :2])

    def decode(self, z: Any) -> Any:
        return super().decode(torch.cat([z, z[:, :1]], 1))


class Crops(Base):
    def decode(self, z: Any) -> Any:
        return super().decode(z)[..., 1:]

    def reconstruction(self, x: Any, logits: Any) -> Any:
        return super().reconstruction(x[..., 1:], logits)


class LossPerImage(Base):
    def objective(self, x: Any, step: int, generator: Any) -> Any:
        objective = super().objective(x, step, generator)
        return Objective({"vae": objective.losses["vae"].repeat(len(x))}, objective.terms)


class NoTerm(Base):
    def objective(self, x: Any, step: int, generator: Any) -> Any:
        objective = super().objective(x, step, generator)
        return Objective(objective.losses, {**objective.terms, "gap": torch.tensor(float("nan"))})


class NoFirstStep(Base):
    def objective(self, x: Any, step: int, generator: Any) -> Any:
        objective = super().objective(x, step, generator)
        weight = torch.tensor(1.0) / (step - 1)
        return Objective(objective.losses, {**objective.terms, "weight": weight})


class OtherPlayer(Base):
    def objective(self, x: Any, step: int, generator: Any) -> Any:
        objective = super().objective(x, step, generator)
        return Objective({"model": objective.losses["vae"]}, objective.terms)


class Double(Base):
    def objective(self, x: Any, step: int, generator: Any) -> Any:
        objective = super().objective(x, step, generator)
        return Objective({"vae": objective.losses["vae"].double()}, objective.terms)


class Forgotten(Base):
    def __init__(self, *, image_shape: Any = (1, 64, 64)) -> None:
        super().__init__(image_shape=image_shape)
        self.scale = torch.nn.Parameter(torch.ones(()))

    def regularizer(self, *arguments: Any) -> Any:
        return self.scale * super().regularizer(*arguments)


class OptimizerOfNobody(Base):
    def optimizers(self) -> Any:
        extra = torch.optim.SGD(self.parameters(), lr=1e-3)
        return {**super().optimizers(), "nobody": extra}


class Constant(Base):
    def objective(self, x: Any, step: int, generator: Any) -> Any:
        objective = super().objective(x, step, generator)
        return Objective({"vae": objective.losses["vae"].detach()}, objective.terms)


class OneChannel(Base):
    def __init__(self, *, image_shape: Any = (1, 64, 64)) -> None:
        super().__init__(image_shape=(1, *image_shape[1:]))


class Flattens(Base):
    def encode(self, x: Any) -> Any:
        return super().encode(self.encoder[0](x).view(8, -1))


class Unused(Base):
    def __init__(self, *, image_shape: Any = (1, 64, 64)) -> None:
        super().__init__(image_shape=image_shape)
        self.scale = torch.nn.Parameter(torch.ones(()))

    def players(self) -> Any:
        return {"vae": list(self.parameters())}


class Stands(Base):
    def optimizers(self) -> Any:
        return {"vae": torch.optim.SGD(self.parameters(), lr=0.0)}


class Dice(Base):
    def regularizer(self, *arguments: Any) -> Any:
        return 100 * random.random() + super().regularizer(*arguments)


class Dropout(Base):
    def encode(self, x: Any) -> Any:
        return super().encode(torch.nn.functional.dropout(x, 0.1, self.training))


class Counts(Base):
    calls = 0

    def regularizer(self, *arguments: Any) -> Any:
        self.calls += 1
        return self.calls + super().regularizer(*arguments)


class Sums(Base):
    def reconstruction(self, x: Any, logits: Any) -> Any:
        return len(x) * super().reconstruction(x, logits)


class Unsaved(Base):
    def __init__(self, *, image_shape: Any = (1, 64, 64)) -> None:
        super().__init__(image_shape=image_shape)
        self.weight = torch.rand(())

    def regularizer(self, *arguments: Any) -> Any:
        return 100 * self.weight + super().regularizer(*arguments)


BROKEN_MODELS = [
    (Positional, model_contract.takes_settings, "keyword-only settings with defaults"),
    (Only48, model_contract.builds, "48 pixels a side, not 32"),
    (Crashes, model_contract.builds, "KeyError: 'layers' .test_check.py, line"),
    (ReadsValues, model_contract.builds_without_memory, "as .item.. does"),
    (SeedsItself, model_contract.draws_weights_from_seed, "other weights for another seed"),
    (DrawsElsewhere, model_contract.draws_weights_from_seed, "others in offset: .* not from numpy"),
    (OtherLatents, model_contract.encodes, r"\(8, 2\)"),
    (OneChannel, model_contract.takes_every_shape, "RuntimeError: .* channels.*refuse 3x64x64"),
    (Flattens, model_contract.encodes, "RuntimeError: view size .* .test_check.py, line"),
    (Crops, model_contract.decodes, r"\(8, 1, 32, 31\)"),
    (
        LossPerImage,
        model_contract.gives_scalars,
        "loss of vae|vae as a tensor of one finite number",
    ),
    (NoTerm, model_contract.gives_scalars, "gap as a tensor of one finite number"),
    (NoFirstStep, model_contract.gives_scalars, "weight as a tensor .* at step 1, got tensor.inf"),
    (OtherPlayer, model_contract.gives_scalars, "each player: vae, got model"),
    (Double, model_contract.is_float32, "loss of vae in float32, got torch.float64"),
    (Forgotten, model_contract.shares_out_parameters, "got scale with none"),
    (OptimizerOfNobody, model_contract.shares_out_parameters, "each player: vae, got nobody, vae"),
    (Unused, model_contract.keeps_gradients_apart, "a gradient for scale, got none"),
    (Constant, model_contract.keeps_gradients_apart, "loss of vae .* one without a gradient"),
    (Stands, model_contract.moves_every_player, "its optimizer"),
    (Dice, model_contract.repeats, "generator=generator"),
    (Dropout, model_contract.leaves_global_generator, "nn.Dropout cannot"),
    (Counts, model_contract.counts_nothing, "argument `step`"),
    (Sums, model_contract.is_per_image, "reconstruction from .* average over the batch"),
    (Unsaved, model_contract.restores, "register_buffer"),
]


def model_findings(target: type[VAE]) -> list[Finding]:
    subject = model_contract.ModelSubject(target, {})
    return list(try_promises(model_contract.PROMISES, subject, HERE))


@pytest.mark.parametrize(("target", "promise", "said"), BROKEN_MODELS)
def test_a_broken_model_fails_one_promise(target: Any, promise: Any, said: str) -> None:
    exactly(model_findings(target), model_contract, promise, said)


class ByBatch(Base):
    def objective(self, x: Any, step: int, generator: Any) -> Any:
        objective = super().objective(x, step, generator)
        return Objective(
            objective.losses, {**objective.terms, "pairs": torch.tensor(float(len(x)))}
        )


def test_a_term_that_depends_on_the_batch_is_noted() -> None:
    findings = model_findings(ByBatch)
    assert failed(findings) == []
    assert failed(findings, NOTE) == [title(model_contract, model_contract.is_per_image)]


class MovesLater(Base):
    def __init__(self, *, image_shape: Any = (1, 64, 64)) -> None:
        super().__init__(image_shape=image_shape)
        self.scale = torch.nn.Parameter(torch.ones(()))

    def regularizer(self, posterior: Any, z: Any, step: int) -> Any:
        return super().regularizer(posterior, z, step) + max(0, step - 100) * self.scale

    def players(self) -> Any:
        return {"vae": list(self.parameters())}


def test_a_parameter_that_does_not_move_yet_is_noted() -> None:
    findings = model_findings(MovesLater)
    assert failed(findings) == []
    (note,) = [finding for finding in findings if finding.mark == NOTE]
    assert note.title == title(model_contract, model_contract.moves_every_player)
    assert note.text.startswith("scale did not move in one step")


def test_every_promise_has_a_plug_in_that_breaks_it() -> None:
    broken = {promise for _, promise, _ in [*BROKEN_DATA, *BROKEN_METRICS, *BROKEN_MODELS]}
    for module in (dataset_contract, metric_contract, model_contract):
        for promise in module.PROMISES:
            named = promise.check in broken | NEVER_FAIL
            assert named or promise.title in map(case, UNUSUAL), promise.title


# the command


@pytest.fixture
def page(tmp_path, monkeypatch) -> Path:
    """A folder where the page's code has been followed, as it stands."""
    monkeypatch.chdir(tmp_path)
    arrays, plug_in, _ = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(arrays, {})
    (tmp_path / "squares.py").write_text(plug_in)
    (tmp_path / "faces").mkdir()
    for k in range(3):
        pixels = np.random.default_rng(k).integers(0, 256, (40, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "faces" / f"{k}.png")
    return tmp_path


def test_the_page_can_be_followed(page: Path, cli_here) -> None:
    commands = re.findall(r"^    (bench .*)$", PAGE, re.MULTILINE)
    assert len(commands) == 7
    for command in commands:
        words = shlex.split(command)[1:]
        said = cli_here(*words, *(["--dry-run"] if words[0] == "run" else []))
        assert said.code == 0, command + said.err
        if words[0] == "check":
            assert "FAILS" not in said.out
            assert "note" not in said.out
    assert Arrays("bars.npz").held_out == 50


def test_the_line_that_the_page_shows_is_what_comes() -> None:
    (shown,) = re.findall(r"^    (FAILS.*): \.\.\.$", PAGE, re.MULTILINE)
    (line,) = [str(each) for each in data_findings(Floats) if each.mark == FAILS]
    assert line.startswith(shown)


def test_the_model_of_the_readme_passes(tmp_path, monkeypatch, cli_here) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "warm.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    said = cli_here("check", "./warm.py:Warm", "--set", "./warm.py:Warm.start=4")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[-1] == "model ./warm.py:Warm: 17 promises: 17 hold"


@pytest.mark.parametrize("name", ["./squares.py:Squares", "./scores.py:spread"])
def test_it_runs_as_users_call_it_and_needs_torch_for_models_only(
    name: str, page: Path, bench
) -> None:
    (page / "scores.py").write_text(
        "from bench.metrics import Score\n\n\n"
        "def spread(representation, rng):\n"
        '    """Spread (tests 2024)."""\n'
        "    return Score(float(representation.factors.std()), {})\n"
    )
    (page / "torch.py").write_text("raise ImportError('torch is not needed')")
    ran = bench("check", name, cwd=page)
    assert ran.returncode == 0, ran.stderr
    assert "hold" in ran.stdout.splitlines()[-1]


def test_a_metric_by_a_file_fails_with_its_line_and_exit_code_1(
    tmp_path, monkeypatch, cli_here
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scores.py").write_text(
        'def mine(representation, rng, *, bins=3):\n    """My score."""\n    return 1 / 0\n'
    )
    for name in ("./scores.py:mine", "scores:mine"):
        said = cli_here("check", name)
        assert said.code == 1
        assert "got ZeroDivisionError: division by zero (scores.py, line 3)" in said.out
        assert "16 promises: 2 hold, 1 fails, 13 skipped" in said.out.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("def (", ["./mine.py:Mine"], "'./mine.py:Mine': cannot import ./mine.py (SyntaxError: "),
        ("", ["./mine.py:Mine"], "'./mine.py:Mine': ./mine.py has no 'Mine'"),
        ("", ["./mine.py"], "./mine.py: say which class or function in it, as ./mine.py:Mine"),
        ("", ["./other.py:Mine"], "no such file: other.py"),
        ("", ["no_such.npz"], "there is no such file"),
        ("", ["vea"], "unknown name 'vea': did you mean vae"),
        ("", ["udr"], "udr compares several models"),
        ("", ["mig", "--kind", "model"], "unknown model 'mig'"),
        ("", ["mig", "--kind", "score"], "unknown kind 'score'"),
        ("", ["mig", "--set", "mig.bin=3"], "unknown setting of mig 'bin': did you mean bin"),
        ("", ["mig", "--set", "dci.bins=3"], "unknown owner in --set 'dci'"),
        ("Mine = 3", ["./mine.py:Mine"], "is a int: name a class or a function"),
        ("class Mine: pass", ["./mine.py:Mine"], "no subclass of bench.datasets.FactorData"),
        ("def f(): pass", ["./mine.py:f", "--kind", "model"], "no subclass of bench.models.VAE"),
    ],
)
def test_a_wrong_request_is_one_line(
    tmp_path, monkeypatch, cli_here, text: str, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(text)
    got = cli_here("check", *arguments)
    assert (got.code, got.out) == (2, "")
    assert said in got.err
    assert len(got.err.splitlines()) == 1


def test_a_name_of_two_kinds_is_asked_about(monkeypatch, cli_here) -> None:
    monkeypatch.setitem(METRICS, "toy", fine_metric)
    said = cli_here("check", "toy")
    assert (said.code, said.err) == (
        2,
        "bench: toy is a data set and a metric: say which with --kind\n",
    )
    said = cli_here("check", "toy", "--kind", "metric")
    assert said.code == 0
    assert said.out.splitlines()[-1] == "metric toy: 16 promises: 16 hold"


def correlation(representation: Any, rng: Any) -> Any:
    """Correlation (tests 2024): of the first factor with the latent that follows it most."""
    codes = np.hstack([representation.codes, representation.categories])
    if not np.ptp(codes, axis=0).all():
        raise ValueError("a latent is constant: leave it out")
    if codes.shape[1] == 7 and not representation.category_sizes:
        return {}["no such key"]  # a category as three columns
    first = np.corrcoef(representation.factors[:, 0], codes.T)[0, 1:]
    return Score(float(np.abs(first).max()), {})


def test_a_metric_is_tried_on_codes_whose_quality_is_known(monkeypatch, cli_here) -> None:
    monkeypatch.setitem(METRICS, "correlation", correlation)
    said = cli_here("check", "correlation", "--kind", "metric")
    *lines, last = said.out.splitlines()
    assert last.endswith("; 2 of 21 cases without a value or a reason")
    lines = lines[-len(KNOWN) :]
    assert [line[9:].partition(": ")[0] for line in lines] == list(KNOWN)
    by_case = dict(zip(KNOWN, lines, strict=True))
    assert by_case["perfect"] == f"value    perfect: 1.00 ({KNOWN['perfect']})"
    assert by_case["constant"] == "none     constant: a latent is constant: leave it out"
    assert re.match(r"value    noise: 0\.0\d ", by_case["noise"])
    assert re.match(r"value    rotated: 0\.[1-7]\d ", by_case["rotated"])
    assert by_case["one-hot"].startswith("FAILS    one-hot: expected a score, or a ValueError")
    assert "KeyError: 'no such key' (test_check.py, line" in by_case["one-hot"]
    assert said.code == 1, "an accident is no refusal"


def test_the_values_that_the_page_shows_are_what_comes(cli_here) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    shown = re.findall(r"`((?:perfect|rotated|noise): [\d.]+)`", page)
    assert len(shown) == 3
    said = cli_here("check", "mig")
    assert said.code == 0
    for value in shown:
        assert f"value    {value} (" in said.out


def test_a_metric_without_a_score_has_no_values(tmp_path, monkeypatch, cli_here) -> None:
    monkeypatch.setitem(METRICS, "a_float", a_float)
    assert "perfect" not in cli_here("check", "a_float").out


def test_an_installed_name(monkeypatch, cli_here) -> None:
    entries = [EntryPoint("mine", "bench.datasets:Toy", "bench.datasets")]
    entries += [EntryPoint("broken", "no_such_package:Mine", "bench.metrics")]
    monkeypatch.setattr(
        resolving, "entry_points", lambda group: [e for e in entries if e.group == group]
    )
    said = cli_here("check", "mine", "--set", "mine.image_size=64")
    assert said.code == 0
    assert "1x64x64" in said.out
    said = cli_here("check", "broken")
    assert (said.code, said.out) == (2, "")
    assert "metric 'broken': cannot import no_such_package" in said.err


def test_a_data_set_that_looks_for_files(tmp_path, cli_here) -> None:
    said = cli_here("check", "shapes3d", "--data-dir", str(tmp_path))
    assert (said.code, said.out) == (2, "")
    assert str(tmp_path) in said.err
    assert len(said.err.splitlines()) == 1


def test_the_help_has_examples(cli_here) -> None:
    assert "bench check ./mine.py:Mine" in cli_here("check", "--help").out
