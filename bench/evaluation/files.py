"""The codes in a file -> their scores, with everything that was scored in one record.

What is scored and how is the same for stored runs and for rows of a study, see `runs` and `rows`.
"""

import hashlib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import RequestError, UnknownNameError, with_name
from bench.evaluation.codes import factors_file, read_codes
from bench.evaluation.reading import what_was_read
from bench.metrics import STUDY_METRICS, UNBOUNDED, Representation, shuffled
from bench.metrics.arrays import FACTOR_KINDS
from bench.metrics.vectors import REDUCTIONS, in_words
from bench.score import definition as definition_of
from bench.score import evaluated_names, of_one_run, score, usual
from bench.settings import parse
from bench.store.environment import environment
from bench.store.files import write_json
from bench.store.record import SETTINGS, Definition, ScoreRecord

Watch = Callable[[str], None]

WEIGHTS = (".pt", ".pth", ".ckpt", ".safetensors")

MOST_RESAMPLES = 10_000  # each scores half of the rows again: their error falls with the root alone
_SEARCHED = 2**20  # bytes of a checkpoint's directory
SHUFFLES = 5  # of the factors, for the level of chance


@dataclass(frozen=True)
class Scoring:
    """What to score by, in the words of the command line.

    Attributes:
        metrics: names of metrics, comma-separated, or `all`; None for the usual ones.
        sets: options of metrics, `METRIC.KEY=VALUE`.
        merges: classes of a factor that count as one, `FACTOR:CLASS=CLASS`.
        seed: of the metrics' random draws; None for 0, or for a run's own seed.
        resamples: number of random halves of the rows, for standard errors; 0 for none.
        chance: whether the same codes are scored against shuffled factors, too.
        reduce: how latents that are vectors are made numbers; None to score them as they are.
    """

    metrics: str | None = None
    sets: Sequence[str] = ()
    merges: Sequence[str] = ()
    seed: int | None = None
    resamples: int = 0
    chance: bool = False
    reduce: str | None = None

    @property
    def named(self) -> bool:
        """Whether the metrics were named one by one."""
        return self.metrics is not None and self.metrics != "all"


@dataclass(frozen=True)
class Codes:
    """The codes in a file.

    Attributes:
        representation: what the file holds.
        digests: sha256 of each file that was read.
    """

    representation: Representation
    digests: Mapping[Path, str]

    @property
    def source(self) -> str:
        """Which files these are, in one line; codes with the same source are the same codes."""
        return " with ".join(f"{path.name}, sha256 {d}" for path, d in self.digests.items())


@dataclass(frozen=True)
class Scored:
    """A representation's scores.

    Attributes:
        title: what was scored, in one line.
        scores: by metric.
        undefined: by metric, why the representation has no score.
        read: what was read, as `bench.evaluation.reading` has it; empty where nothing was.
    """

    title: str
    scores: Mapping[str, ScoreRecord]
    undefined: Mapping[str, str]
    read: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The scores as plain values, as they are written."""
        return {name: score.as_dict() for name, score in self.scores.items()}


def evaluate_file(
    path: Path,
    scoring: Scoring,
    *,
    factors: str | Path | None = None,
    kinds: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    groups: str | None = None,
    watch: Watch = lambda what: None,
) -> tuple[Codes, Scored]:
    """Read the codes in a file and score them.

    Args:
        path: of the file.
        scoring: what to score by.
        factors: another file that holds the factors, or names of arrays; see `read_codes`.
        kinds: of some factors, `FACTOR=KIND`.
        names: of the arrays that are codes, categories or log variances; see `read_codes`.
        groups: how many columns of the codes each latent has; see `read_codes`.
        watch: called with what is being done.

    Raises:
        RequestError: a file cannot be read, a name or an option is wrong, or no metric is defined
            for the codes.
    """
    definitions = definitions_of(evaluated_names(scoring.metrics), scoring)
    for definition in definitions:
        if definition.name in STUDY_METRICS and scoring.named:
            raise RequestError(
                f"{definition.name} compares the runs of a study: name the study's folder"
            )
    codes = open_codes(path, factors, kinds, names, groups)
    if scoring.reduce and codes.representation.groups is None:
        raise RequestError(
            f"{path} has no vectors to reduce: leave out --reduce, or say with --groups which "
            "columns are one latent"
        )
    if scoring.metrics is None:
        definitions = usual(definitions, codes.representation)
    representation = merged(codes.representation, scoring.merges, str(path))
    seed = 0 if scoring.seed is None else scoring.seed
    scores, undefined = score_all(
        representation, definitions, seed, scoring.resamples, watch, scoring.chance
    )
    if not scores:
        raise RequestError(f"{path}: {with_name(*next(iter(undefined.items())))}")
    read = what_was_read(representation)
    return codes, Scored(f"{path}, {summary(representation)}", scores, undefined, read)


def open_codes(
    path: Path,
    factors: str | Path | None = None,
    kinds: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    groups: str | None = None,
) -> Codes:
    """The codes in a file; arguments and errors as of `evaluate_file`."""
    refuse_weights(path)
    representation = read_codes(path, factors, _kinds(kinds), names, groups)
    other, _ = factors_file(factors)
    files = [path] if other is None else [path, other]
    try:
        digests = {file: _sha256(file) for file in files}
    except OSError as error:
        raise RequestError(f"{path} cannot be read ({error.strerror})") from error
    return Codes(representation, digests)


def refuse_weights(path: Path) -> None:
    """Raise RequestError if a file holds weights, with what to do instead."""
    if path.suffix.lower() in WEIGHTS:
        if (path.parent / SETTINGS).exists():
            raise RequestError(
                f"{path} holds the weights of a run: name the run's folder, {path.parent}"
            )
        raise RequestError(
            f"{path} holds weights{_layers(path)}, not codes: encode the images and write the "
            "codes with numpy.savez, or let bench run --models file.py:Name encode them with your "
            "network, which loads them"
        )


def _layers(path: Path) -> str:
    """Where the tensors of a checkpoint are, as far as its directory of names tells."""
    # The names stand in the pickle, which is searched and not opened.
    try:
        with zipfile.ZipFile(path) as archive:
            (pickle,) = (n for n in archive.namelist() if n.endswith("/data.pkl"))
            with archive.open(pickle) as member:
                text = member.read(_SEARCHED)
    except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile):
        return ""
    # a word in a pickle: X, its length, and itself
    words = ("state_dict", "model_state_dict", "model", "net")
    under = [w for w in words if b"X" + len(w).to_bytes(4, "little") + w.encode() in text]
    return f" under {under[0]}" if under else ""


def write_record(path: Path, codes: Codes, scored: Scored, seed: int) -> None:
    """Write the scores of a file as JSON, with what exactly was scored, by which seed and where.

    Raises:
        RequestError: the file cannot be written.
    """
    record = {
        "files": {str(file): digest for file, digest in codes.digests.items()},
        "source": codes.source,
        "seed": seed,
        "read": dict(scored.read),
        "scores": scored.as_dict(),
        "left_out": dict(scored.undefined),
        "evaluation": None,  # of a model, which a file of codes does not have
        "environment": environment("cpu", 1),
    }
    try:
        write_json(path, record)
    except OSError as error:
        raise RequestError(f"{path} cannot be written ({error.strerror})") from error


def score_all(
    representation: Representation,
    definitions: Sequence[Definition],
    seed: int,
    resamples: int,
    watch: Watch,
    chance: bool = False,
) -> tuple[dict[str, ScoreRecord], dict[str, str]]:
    """Scores by metric, and why the other metrics are undefined.

    Metrics that compare runs are passed over. With `chance` the scores have their level of chance.
    """
    scores, undefined = {}, {}
    definitions = of_one_run(definitions)
    for number, definition in enumerate(definitions, 1):
        watch(f"{definition.name} ({number} of {len(definitions)})")
        try:
            scores[definition.name] = score(representation, definition, seed, resamples)
        except ValueError as error:
            undefined[definition.name] = str(error)
        except MemoryError:
            undefined[definition.name] = "it needs more memory than there is: give fewer rows"
    if chance:
        scores = with_chance(scores, representation, seed, watch)
    return scores, undefined


def with_chance(
    scores: Mapping[str, ScoreRecord], representation: Representation, seed: int, watch: Watch
) -> dict[str, ScoreRecord]:
    """The scores with `details["shuffled"]`: those of the same codes against shuffled factors.

    The factors of a row stay together, so that they depend on one another as before. A score that
    does not exceed all of its shuffled ones carries a warning.
    """
    rng = np.random.default_rng([seed, SHUFFLES])
    against = [shuffled(representation, rng) for _ in range(SHUFFLES)]
    completed = {}
    for name, record in scores.items():
        if name in UNBOUNDED:  # these are of the latents alone
            completed[name] = record
            continue
        watch(f"{name} against shuffled factors")
        numbers: dict[str, list[float]] = {}
        for rows in against:
            try:
                other = score(rows, record.definition, seed)
            except ValueError:  # undefined there, if only by the draw
                continue
            for part, number in {"value": other.value, **other.parts}.items():
                numbers.setdefault(part, []).append(number)
        levels = {
            part: {"mean": float(np.mean(values)), "max": max(values), "scores": values}
            for part, values in numbers.items()
        }
        completed[name] = replace(
            record,
            details={**record.details, "shuffled": levels},
            warnings=(*record.warnings, *_no_better(record.value, levels.get("value"))),
        )
    return completed


def _no_better(value: float, level: Mapping[str, Any] | None) -> tuple[str, ...]:
    """A warning where a score is not above chance."""
    if level is None or value > level["max"]:
        return ()
    return (
        f"the same codes score up to {level['max']:.3f} against shuffled factors, so that this "
        "number may be chance",
    )


def definitions_of(names: Sequence[str], scoring: Scoring) -> list[Definition]:
    """The present definitions of some metrics, with the options and merges that were named."""
    assignments = parse("--set", scoring.sets)
    for assignment in assignments:
        if assignment.owner not in names:
            raise UnknownNameError("metric in --set", assignment.owner, names)
    check_resamples(scoring.resamples)
    if scoring.reduce is not None and scoring.reduce not in REDUCTIONS:
        raise UnknownNameError("reduction in --reduce", scoring.reduce, REDUCTIONS)
    merge = tuple(sorted(scoring.merges))
    return [
        replace(definition_of(name, assignments), merge=merge, reduce=scoring.reduce)
        for name in names
    ]


def check_resamples(resamples: int) -> None:
    """Raise RequestError for a number of resamples that gives no standard error, or never ends."""
    if resamples < 0 or resamples == 1:
        raise RequestError(f"--resamples {resamples}: give 0 (none) or at least 2")
    if resamples > MOST_RESAMPLES:
        raise RequestError(
            f"--resamples {resamples}: give at most {MOST_RESAMPLES:,}, since 100 tell a "
            "standard error to 7 % already"
        )


def with_options(definition: Definition, options: Mapping[str, Any]) -> Definition:
    """A definition with other options, as far as its metric still has them."""
    kept = {key: value for key, value in options.items() if key in definition.options}
    return replace(definition, options={**definition.options, **kept})


def merged(representation: Representation, merges: Sequence[str], what: str) -> Representation:
    """The representation with some classes of its factors merged; an error names `what`."""
    for text in merges:
        factor, _, classes = text.partition(":")
        index, equals, other = classes.partition("=")
        if not (equals and index.strip().isdigit() and other.strip().isdigit()):
            raise RequestError(
                f"--merge {text!r}: write FACTOR:CLASS=CLASS, for example orientation:39=0"
            )
        try:
            representation = representation.merged(factor, int(index), int(other))
        except ValueError as error:
            raise RequestError(f"--merge {text!r}: {what}: {error}") from error
    return representation


def summary(representation: Representation) -> str:
    """Rows, latents and factors in words."""
    r = representation
    held_out = f" and {len(r.test):,} held out" if r.test is not None else ""
    counts = {kind: r.factor_kinds.count(kind) for kind in dict.fromkeys(r.factor_kinds)}
    factors = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return (
        f"{len(r):,} rows{held_out}, {_continuous(r)} and {r.categories.shape[1]} "
        f"categorical latents, factors: {factors}"
    )


def _continuous(r: Representation) -> str:
    return f"{r.codes.shape[1]} continuous" if r.groups is None else in_words(r.groups)


def _kinds(texts: Sequence[str]) -> dict[str, str]:
    """Kinds of factors by name, from `FACTOR=KIND`."""
    kinds = {}
    for text in texts:
        name, equals, kind = text.partition("=")
        if not (name and equals):
            raise RequestError(f"--kind {text!r}: write FACTOR=KIND, e.g. shape=categorical")
        if kind not in FACTOR_KINDS:
            raise UnknownNameError("kind of a factor", kind, FACTOR_KINDS)
        kinds[name] = kind
    return kinds


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
