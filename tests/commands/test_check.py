"""`bench check`: the suite's own entries keep their promises, and each broken one is found."""

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

from bench import registry as resolving
from bench.check import dataset as check_dataset
from bench.check import metric as check_metric
from bench.check import model as check_model
from bench.check.find import ask
from bench.check.promises import FAILS, LEFT_OUT, NOTE, Finding, findings, refuses, summary
from bench.datasets import DATASETS, Arrays, Factor, FactorData, LabelledData, MissingFile
from bench.metrics import METRICS, Score
from bench.models import MODELS, VAE, Objective, Posterior

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "adding-a-data-set.md").read_text()
HERE = Path(__file__).resolve()
QUICK_MODELS = {"factorvae": ("hidden=16", "layers=2")}
QUICK_METRICS = {"betavae_score": {"points": 400, "test_points": 400}}


def check(name: str, *settings: str) -> list[Finding]:
    asked = ask(name, None, [f"{name}.{setting}" for setting in settings], None)
    return list(findings(asked.promises, asked.subject, asked.file))


def failed(found: list[Finding], mark: str = FAILS) -> list[str]:
    return [finding.title for finding in found if finding.mark == mark]


def title(module: Any, promise: Callable[..., Any]) -> str:
    return next(each.title for each in module.PROMISES if each.keep is promise)


def case(name: str) -> str:
    return f"{name}: a score, or a clear ValueError"


# the suite's own


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_without_files_passes(name: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    try:
        DATASETS[name]()
    except MissingFile:
        pytest.skip("needs files; the tests of this set write small ones")
    found = check(name)
    assert failed(found) == failed(found, NOTE) == [], "\n".join(map(str, found))


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_passes(name: str, quick_options) -> None:
    options = {**quick_options(name), **QUICK_METRICS.get(name, {})}
    found = check(name, *(f"{key}={value}" for key, value in options.items()))
    assert failed(found) == [], "\n".join(map(str, found))


@pytest.mark.parametrize("name", [n for n, m in MODELS.items() if issubclass(m, VAE)])
def test_every_model_passes(name: str) -> None:
    found = check(name, *QUICK_MODELS.get(name, ()))
    assert failed(found) == failed(found, NOTE) == [], "\n".join(map(str, found))


def test_a_model_that_halves_its_batch_passes() -> None:
    found = check("factorvae", "hidden=16", "layers=2", "second_batch=true")
    assert failed(found) == failed(found, NOTE) == [], "\n".join(map(str, found))


@pytest.mark.parametrize("name", ["mlp1200", "burgess"])
def test_settings_are_those_of_a_run(name: str) -> None:
    found = check("jointvae", f"network={name}", "categorical=3,2")
    assert failed(found) == [], "\n".join(map(str, found))
    assert "6 continuous and 2 categorical latents" in "".join(map(str, found))


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


class DrawsAlone(Fine):
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
    (FailsToStart, check_dataset.made, r"KeyError: 'no luck' \(test_check.py, line \d+\)"),
    (NamesRepeat, check_dataset.factors, "different names, came shade, shade"),
    (TooSmall, check_dataset.image_shape, "28 to 128 pixels"),
    (Empty, check_dataset.counted, "at least one image"),
    (TwoLines, check_dataset.described, "source as a line"),
    (Floats, check_dataset.images, r"came float64 \(1, 1, 32, 32\): .*uint8"),
    (Flickers, check_dataset.steady, "fixed seed"),
    (Sorts, check_dataset.alone, r"rows\[i\]"),
    (Lends, check_dataset.handed_over, "same memory"),
    (ReadOnly, check_dataset.handed_over, "read-only"),
    (FromOne, check_dataset.values, "classes of shade from 0 to 2, came 1 to 3"),
    (LosesRows, check_dataset.inverse, "rows with others"),
    (FromTheEnd, check_dataset.outside, r"images\(\[-1\]\).*self.checked"),
    (Dark, check_dataset.pixels, "multiply the images by 255"),
    (OnePicture, check_dataset.pixels, "one image for all rows"),
    (NothingToTrainOn, check_dataset.split, "leave some rows"),
    (DrawsAlone, check_dataset.drawn, "draw with rng"),
    (DrawsHeldOut, check_dataset.drawn, "0 to 9, came 0 to 14"),
    (Anchored, check_dataset.travels, "__reduce__"),
    (Renamed, check_dataset.twice, "made of|make it of the content alone"),
]
NEVER_FAIL = {
    check_dataset.visible,
    check_dataset.timed,
    check_metric.rows_order,
    check_metric.latents_order,
    check_metric.chance,
}


def exactly(found: list[Finding], module: Any, promise: Callable[..., Any], said: str) -> None:
    """That one promise fails, with these words in one line; what builds on it is left out."""
    only = title(module, promise)
    assert failed(found) == [only], "\n".join(map(str, found))
    (line,) = [str(finding) for finding in found if finding.mark == FAILS]
    assert re.search(said, line), line
    assert "expected" in line
    assert "came" in line
    assert "\n" not in line
    for finding in found:
        if finding.mark == LEFT_OUT:
            assert finding.text.startswith("mend first: ")


def check_data(target: Callable[..., Any]) -> list[Finding]:
    subject = check_dataset.Subject(target)
    return list(findings(check_dataset.PROMISES, subject, HERE))


@pytest.mark.parametrize(("target", "promise", "said"), BROKEN_DATA)
def test_a_broken_data_set_fails_one_promise(target: type, promise: Any, said: str) -> None:
    exactly(check_data(target), check_dataset, promise, said)


def test_a_data_set_as_it_should_be() -> None:
    found = check_data(Fine)
    assert {finding.mark for finding in found} == {"ok"}
    assert summary(found) == f"{len(found)} promises: {len(found)} hold"


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
def test_a_factor_that_no_picture_shows_is_noted(target: type, factor: str) -> None:
    found = check_data(target)
    assert failed(found) == []
    (note,) = [finding for finding in found if finding.mark == NOTE]
    assert note.title == title(check_dataset, check_dataset.visible)
    assert re.search(rf"changed with {factor} \(\d+ pairs\) alone", note.text)
    assert summary(found).endswith("hold, 1 note")


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


CASES: dict[str, Callable[[Any], bool]] = {
    "constant codes": lambda r: r.codes.shape[1] > 0 and np.ptp(r.codes) == 0,
    "one latent": lambda r: r.latents == 1 and r.codes.shape[1] == 1,
    "no categorical latent": lambda r: r.latents > 1 and not r.category_sizes,
    "categorical latents only": lambda r: r.codes.shape[1] == 0,
    "missing labels (-1)": lambda r: r.factors.min() < 0,
    "a continuous factor": lambda r: "continuous" in r.factor_kinds,
}

BROKEN_METRICS = [
    (no_default, check_metric.signature, "each with a default, came `weight: float`"),
    (one_argument, check_metric.signature, "metric.representation, rng"),
    (without_words, check_metric.docstring, "first line that names the metric"),
    (a_float, check_metric.answers, "Score, came float 0.5"),
    (not_a_number, check_metric.answers, "a score must be finite .test_check.py, line"),
    (unwritten, check_metric.recorded, "None for NaN"),
    (counting, check_metric.repeated, "draw from rng only"),
    (global_draw, check_metric.private, "global generator"),
    (python_draw, check_metric.private, "global generator"),
    (writing, check_metric.untouched, "work on a copy"),
]


def check_metric_(metric: Any) -> list[Finding]:
    subject = check_metric.Subject(metric, {}, HERE)
    return list(findings(check_metric.PROMISES, subject, HERE))


@pytest.mark.parametrize(("metric", "promise", "said"), BROKEN_METRICS)
def test_a_broken_metric_fails_one_promise(metric: Any, promise: Any, said: str) -> None:
    exactly(check_metric_(metric), check_metric, promise, said)


@pytest.mark.parametrize("name", check_metric.CASES)
def test_a_case_that_is_neither_scored_nor_refused_is_found(name: str) -> None:
    found = check_metric_(breaks_if(CASES[name]))
    assert failed(found) == [case(name)]
    assert re.search(
        r"KeyError: 'no such key' \(test_check.py, line \d+\)", "".join(map(str, found))
    )


def test_a_metric_as_it_should_be() -> None:
    assert {finding.mark for finding in check_metric_(fine_metric)} == {"ok"}


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
        (by_first_row, check_metric.rows_order),
        (by_first_latent, check_metric.latents_order),
        (by_categories, check_metric.chance),
    ],
)
def test_what_may_be_meant_is_noted(metric: Any, promise: Any) -> None:
    found = check_metric_(metric)
    assert failed(found) == []
    assert failed(found, NOTE) == [title(check_metric, promise)]


def test_a_refusal_is_told_from_an_accident() -> None:
    def outcome(code: Callable[[], Any]) -> bool:
        try:
            code()
        except ValueError as error:
            return refuses(error)
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


class AnImageEach(Base):
    def objective(self, x: Any, step: int, generator: Any) -> Any:
        made = super().objective(x, step, generator)
        return Objective({"vae": made.losses["vae"].repeat(len(x))}, made.terms)


class NoTerm(Base):
    def objective(self, x: Any, step: int, generator: Any) -> Any:
        made = super().objective(x, step, generator)
        return Objective(made.losses, {**made.terms, "gap": torch.tensor(float("nan"))})


class OtherPlayer(Base):
    def objective(self, x: Any, step: int, generator: Any) -> Any:
        made = super().objective(x, step, generator)
        return Objective({"model": made.losses["vae"]}, made.terms)


class Double(Base):
    def objective(self, x: Any, step: int, generator: Any) -> Any:
        made = super().objective(x, step, generator)
        return Objective({"vae": made.losses["vae"].double()}, made.terms)


class Forgotten(Base):
    def __init__(self, *, image_shape: Any = (1, 64, 64)) -> None:
        super().__init__(image_shape=image_shape)
        self.scale = torch.nn.Parameter(torch.ones(()))

    def regularizer(self, *given: Any) -> Any:
        return self.scale * super().regularizer(*given)


class Constant(Base):
    def objective(self, x: Any, step: int, generator: Any) -> Any:
        made = super().objective(x, step, generator)
        return Objective({"vae": made.losses["vae"].detach()}, made.terms)


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
    def regularizer(self, *given: Any) -> Any:
        return 100 * random.random() + super().regularizer(*given)


class Dropout(Base):
    def encode(self, x: Any) -> Any:
        return super().encode(torch.nn.functional.dropout(x, 0.1, self.training))


class Counts(Base):
    calls = 0

    def regularizer(self, *given: Any) -> Any:
        self.calls += 1
        return self.calls + super().regularizer(*given)


class Sums(Base):
    def reconstruction(self, x: Any, logits: Any) -> Any:
        return len(x) * super().reconstruction(x, logits)


class Unsaved(Base):
    def __init__(self, *, image_shape: Any = (1, 64, 64)) -> None:
        super().__init__(image_shape=image_shape)
        self.weight = torch.rand(())

    def regularizer(self, *given: Any) -> Any:
        return 100 * self.weight + super().regularizer(*given)


BROKEN_MODELS = [
    (Positional, check_model.constructor, "keyword-only settings with defaults"),
    (Only48, check_model.built, "48 pixels a side, not 32"),
    (Crashes, check_model.built, "KeyError: 'layers' .test_check.py, line"),
    (ReadsValues, check_model.planned, "as .item.. does"),
    (OtherLatents, check_model.encodes, r"\(8, 2\)"),
    (OneChannel, check_model.other_shapes, "RuntimeError: .* channels.*refuse 3x64x64"),
    (Flattens, check_model.encodes, "RuntimeError: view size .* .test_check.py, line"),
    (Crops, check_model.decodes, r"\(8, 1, 32, 31\)"),
    (AnImageEach, check_model.scalars, "loss of vae|vae as a tensor of one finite number"),
    (NoTerm, check_model.scalars, "gap as a tensor of one finite number"),
    (OtherPlayer, check_model.scalars, "each player: vae, came model"),
    (Double, check_model.single, "loss of vae in float32, came torch.float64"),
    (Forgotten, check_model.shared_out, "came scale with none"),
    (Unused, check_model.own_gradients, "a gradient for scale, came none"),
    (Constant, check_model.own_gradients, "loss of vae .* one without a gradient"),
    (Stands, check_model.moves, "its optimizer"),
    (Dice, check_model.repeated, "generator=generator"),
    (Dropout, check_model.private, "nn.Dropout cannot"),
    (Counts, check_model.counts_nothing, "argument `step`"),
    (Sums, check_model.an_image, "reconstruction from .* average over the batch"),
    (Unsaved, check_model.restored, "register_buffer"),
]


def check_model_(target: type[VAE]) -> list[Finding]:
    subject = check_model.Subject(target, {})
    return list(findings(check_model.PROMISES, subject, HERE))


@pytest.mark.parametrize(("target", "promise", "said"), BROKEN_MODELS)
def test_a_broken_model_fails_one_promise(target: Any, promise: Any, said: str) -> None:
    exactly(check_model_(target), check_model, promise, said)


class ByBatch(Base):
    def objective(self, x: Any, step: int, generator: Any) -> Any:
        made = super().objective(x, step, generator)
        return Objective(made.losses, {**made.terms, "pairs": torch.tensor(float(len(x)))})


def test_a_term_that_depends_on_the_batch_is_noted() -> None:
    found = check_model_(ByBatch)
    assert failed(found) == []
    assert failed(found, NOTE) == [title(check_model, check_model.an_image)]


def test_every_promise_has_a_plug_in_that_breaks_it() -> None:
    broken = {promise for _, promise, _ in [*BROKEN_DATA, *BROKEN_METRICS, *BROKEN_MODELS]}
    for module in (check_dataset, check_metric, check_model):
        for promise in module.PROMISES:
            named = promise.keep in broken | NEVER_FAIL
            assert named or promise.title in map(case, CASES), promise.title


# the command


@pytest.fixture
def page(tmp_path, monkeypatch) -> Path:
    """A folder where the page's code has been followed, as it stands."""
    monkeypatch.chdir(tmp_path)
    arrays, plug_in = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(arrays, {})
    (tmp_path / "squares.py").write_text(plug_in)
    return tmp_path


def test_the_page_can_be_followed(page: Path, cli_here) -> None:
    commands = re.findall(r"^    (bench .*)$", PAGE, re.MULTILINE)
    assert len(commands) == 5
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
    (line,) = [str(each) for each in check_data(Floats) if each.mark == FAILS]
    assert line.startswith(shown)


def test_the_model_of_the_readme_passes(tmp_path, monkeypatch, cli_here) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "warm.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    said = cli_here("check", "./warm.py:Warm", "--set", "./warm.py:Warm.start=4")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[-1] == "model ./warm.py:Warm: 16 promises: 16 hold"


def test_it_runs_as_users_call_it_and_needs_no_torch_for_data(page: Path, bench) -> None:
    (page / "torch.py").write_text("raise ImportError('torch is not asked for')")
    ran = bench("check", "./squares.py:Squares", cwd=page)
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
        assert "came ZeroDivisionError: division by zero (scores.py, line 3)" in said.out
        assert "16 promises: 2 hold, 1 fails, 13 left out" in said.out.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("def (", ["./mine.py:Mine"], "'./mine.py:Mine': cannot import ./mine.py (SyntaxError: "),
        ("", ["./mine.py:Mine"], "'./mine.py:Mine': ./mine.py has no 'Mine'"),
        ("", ["./mine.py"], "name what to check in it, as ./mine.py:Mine"),
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
        "bench: toy is a data set and a metric: say which by --kind\n",
    )
    said = cli_here("check", "toy", "--kind", "metric")
    assert said.code == 0
    assert said.out.splitlines()[-1] == "metric toy: 16 promises: 16 hold"


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
