"""`bench.evaluate`: codes and factors -> scores."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.api.naming import names_of
from bench.errors import RequestError, UnknownNameError
from bench.metrics import STUDY_METRICS, Representation, Score
from bench.metrics.vectors import REDUCTIONS
from bench.store.record import ScoreRecord

if TYPE_CHECKING:
    import pandas

QUICK = "quick"


class UndefinedScoreError(RequestError, KeyError):
    """A score that was asked for and that there is not; the message says why."""

    def __str__(self) -> str:  # a KeyError shows its message in quotes
        return str(self.args[0])


class Scores(Mapping[str, Score]):
    """The scores of one representation, by metric.

    `scores["mig"]` is a `bench.metrics.Score`, which behaves as a float.

    Attributes:
        records: by metric, the score with its definition, standard errors and seconds.
        undefined: by metric, why the representation has no score.
    """

    def __init__(
        self, records: Mapping[str, ScoreRecord], undefined: Mapping[str, str] | None = None
    ) -> None:
        self.records = dict(records)
        self.undefined = dict(undefined or {})

    def __getitem__(self, name: str) -> Score:
        if name in self.records:
            record = self.records[name]
            return Score(record.value, record.details, record.parts, record.warnings)
        if name in self.undefined:
            raise UndefinedScoreError(f"{name} is undefined: {self.undefined[name]}")
        raise UndefinedScoreError(f"no score {name!r}: there are {', '.join(self.records)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def frame(self) -> "pandas.DataFrame":
        """A row per score, per part of a score and per undefined metric.

        Columns: `metric` (`dci` or, of a part, `dci.completeness`), `title`, `value`,
        `standard_error`, `note` (warnings, how vectors were reduced, or why it is undefined),
        `version`, `options`.
        """
        import pandas

        from bench.report.columns import title_of

        rows = []
        for name, record in self.records.items():
            about = {"version": record.definition.version, "options": record.definition.options}
            values = {name: record.value} | {f"{name}.{k}": v for k, v in record.parts.items()}
            errors, reduced = record.standard_errors, record.definition.reduce
            notes = [*([f"vectors reduced by {reduced}"] if reduced else []), *record.warnings]
            for key, value in values.items():
                error = errors.get("value" if key == name else key.removeprefix(f"{name}."))
                note = "; ".join(notes) if key == name else ""
                rows.append((key, title_of(key), value, error, note, *about.values()))
        rows += [
            (n, title_of(n), None, None, f"undefined: {r}", None, None)
            for n, r in self.undefined.items()
        ]
        columns = ["metric", "title", "value", "standard_error", "note", "version", "options"]
        frame = pandas.DataFrame(rows, columns=columns)
        types = {"value": "float64", "standard_error": "float64", "version": "Int64"}
        return frame.astype(types)

    def __repr__(self) -> str:
        width = max((len(name) for name in [*self.records, *self.undefined]), default=0)
        lines = [f"{name:{width}}  {self[name].value:.4f}" for name in self.records]
        lines += [f"{name:{width}}  undefined: {reason}" for name, reason in self.undefined.items()]
        return "\n".join(lines) or "no scores"

    def _repr_html_(self) -> str:
        frame = self.frame()[["title", "value", "standard_error", "note"]]
        if frame["standard_error"].isna().all():
            frame = frame.drop(columns="standard_error")
        html: str = frame.to_html(index=False, na_rep="–", float_format="{:.4f}".format)
        return html


def evaluate(
    codes: Any,
    factors: Any = None,
    *,
    metrics: str | Callable[..., Any] | Sequence[str | Callable[..., Any]] = QUICK,
    categories: Any = None,
    factor_names: Sequence[str] | None = None,
    factor_kinds: Sequence[str] | Mapping[str, str] | None = None,
    logvar: Any = None,
    probabilities: Any = None,
    test: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    resamples: int = 0,
    groups: str | Sequence[int] | None = None,
    reduce: str | None = None,
    unseen: Any = None,
) -> Scores:
    """Score a representation by several metrics at once.

    Arrays may be numpy's, torch's, JAX's, lists or pandas frames, see `Representation.of`.

    Args:
        codes: (N, D) values of the continuous latents, or (N, D, W) where each is a vector of W
            numbers; None if there are only categories; or a `Representation`, which needs nothing
            else.
        factors: (N, K) classes or numbers.
        metrics: names, comma-separated or in a list, or functions; `quick` for all but those that
            take minutes, `all` for all.
        categories: (N, C) indices of the categorical latents' categories.
        factor_names: length K.
        factor_kinds: length K, or of some factors by name: categorical, ordinal, cyclic or
            continuous.
        logvar: (N, D) log variances of the posterior.
        probabilities: (N, sum of category_sizes) of the categories.
        test: held-out rows, the same arrays by the names of the arguments here.
        options: of metrics by `METRIC.OPTION`, as in `{"mig.bins": 50}`.
        seed: of the metrics' random draws.
        resamples: number of random halves of the rows, for standard errors; 0 for none.
        groups: the columns of each continuous latent where latents are vectors, as a list of widths
            or as text: `16x20` for 20 latents of 16 columns each. Codes (N, D, W) need none.
        reduce: `pca1` replaces each vector by its first principal component before it is scored, as
            published for diffusion models; the definition of the score says so.
        unseen: (N,) which rows were never trained on, as combinations of factors were held out.

    Returns:
        The scores, and why the other metrics are undefined.

    Raises:
        RequestError: an array, a name or an option is wrong.
    """
    from bench.score import definition, evaluated_names, of_one_run, score, usual
    from bench.settings import parse

    if isinstance(codes, Representation):
        if factors is not None or groups is not None:
            raise RequestError(
                "codes is a Representation, which holds its factors and groups: give no others"
            )
        representation = codes
    else:
        arrays = {"categories": categories, "logvar": logvar, "probabilities": probabilities}
        arrays |= {"groups": groups, "unseen": unseen}
        representation = _representation(codes, factors, arrays, factor_names, factor_kinds, test)
    if reduce is not None:
        if reduce not in REDUCTIONS:
            raise UnknownNameError("reduction", reduce, REDUCTIONS)
        if representation.groups is None:
            raise RequestError("codes has no vectors to reduce: leave out reduce, or give groups")
    names = names_of("metric", metrics)
    listed = evaluated_names(None if names == QUICK else names)
    texts = [f"{key}={value}" for key, value in (options or {}).items()]
    assignments = parse("options", texts)
    for assignment in assignments:
        if assignment.owner not in listed:
            raise UnknownNameError("metric in options", assignment.owner, listed)
    if resamples < 0 or resamples == 1:
        raise RequestError(f"resamples={resamples}: give 0 (none) or at least 2")
    records: dict[str, ScoreRecord] = {}
    undefined = {
        name: "compares the runs of a study: bench.load a study"
        for name in listed
        if name in STUDY_METRICS
    }
    definitions = [definition(name, assignments) for name in listed]
    if names == QUICK:
        definitions = usual(definitions, representation)
    for wanted in of_one_run(definitions):
        try:
            records[wanted.name] = score(
                representation, replace(wanted, reduce=reduce), seed, resamples
            )
        except ValueError as error:
            undefined[wanted.name] = str(error)
    return Scores(records, undefined)


def _representation(
    codes: Any,
    factors: Any,
    arrays: Mapping[str, Any],
    names: Sequence[str] | None,
    kinds: Sequence[str] | Mapping[str, str] | None,
    test: Mapping[str, Any] | None,
) -> Representation:
    if factors is None:
        raise RequestError(
            f"codes is a {type(codes).__name__} and there are no factors: give both, "
            "bench.evaluate(codes, factors), or a bench.metrics.Representation"
        )
    try:
        if isinstance(kinds, Mapping):
            inferred = Representation.of(codes=codes, factors=factors, **arrays, factor_names=names)
            if unknown := sorted(set(kinds) - set(inferred.factor_names)):
                raise UnknownNameError("factor in factor_kinds", unknown[0], inferred.factor_names)
            both = zip(inferred.factor_names, inferred.factor_kinds, strict=True)
            kinds = [kinds.get(name, kind) for name, kind in both]
        return Representation.of(
            codes=codes,
            factors=factors,
            **arrays,
            factor_names=names,
            factor_kinds=kinds,
            test=test,
        )
    except ValueError as error:
        raise RequestError(str(error)) from error
