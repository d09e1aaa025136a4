"""From a user's arrays to all fields of a representation: sizes, classes and KL to the prior."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import arrays, vectors
from .arrays import BoolArray, FloatArray
from .columns import Column, Given, columns, matrix
from .columns import column as column_of
from .labels import LARGEST, class_indices, inferred_kind, labels

LARGEST_LOGVAR = 700.0  # beyond it the variance is not a finite float64
MANY_VALUES = 0.5  # distinct values per row, from which a number is no class
UNLIKELY = 0.5  # a log variance above it in most rows is wider than the prior, as no encoder is

Arrays = Mapping[str, Any]


def normalised(
    train: Arrays,
    category_sizes: Sequence[int] | None,
    factor_names: Sequence[str] | None,
    factor_kinds: Sequence[str] | Mapping[str, str] | None,
    factor_sizes: Sequence[int] | None,
    test: Arrays | None,
    groups: vectors.Widths | None = None,
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The fields of a `Representation`, and those of its `test`, from what a user has.

    Args:
        train: the arrays, each an argument of `Representation.of`; None if not given.
        category_sizes: as in `Representation.of`, and so are the names, kinds and sizes below.
        factor_names: None if not given.
        factor_kinds: None if not given.
        factor_sizes: None if not given.
        test: the arrays of held-out rows, or None.
        groups: the columns of each continuous latent, or None.

    Returns:
        All fields but `test` of the rows, and of the held-out rows if there are any.

    Raises:
        ValueError: an array has the wrong shape, type or range; the message names it.
    """
    if train["factors"] is None:
        raise ValueError("factors is nothing: give an array with a row per image")
    if unknown := sorted(set(test or ()) - set(train)):
        raise ValueError(f"test has {unknown[0]!r}: it may have {', '.join(train)}")
    sides = [
        _Side(given, factor_kinds is None, groups) for given in (train, test) if given is not None
    ]
    for name in ("factors", "categories"):
        if len({len(getattr(side, name)) for side in sides}) > 1:
            raise ValueError(f"the test rows have another number of {name}: give the same ones")
    factors, names = _joined_factors(sides, factor_names)
    kinds = _kinds(factor_kinds, names, len(factors))
    sizes = [0] * len(factors) if factor_sizes is None else [int(size) for size in factor_sizes]
    if len(sizes) != len(factors):
        raise ValueError(f"factors has {len(factors)} columns but {len(sizes)} sizes: match them")
    rows = sides[0].rows
    # Both sides share sizes and classes, so labels are made from both together.
    read = [
        labels(column, name, kind, size, rows)
        for column, name, kind, size in zip(factors, names, kinds, sizes, strict=True)
    ]
    categories = _joined_categories(sides, category_sizes)
    if category_sizes is None:
        category_sizes = [int(column.max(initial=0)) + 1 for column in categories.T]
    category_sizes = [int(size) for size in category_sizes]
    if max(category_sizes, default=0) > LARGEST:
        raise ValueError(
            f"categories go up to {max(category_sizes) - 1}: number those of each latent from 0"
        )
    continuous = any(label.kind == "continuous" for label in read)
    fields: list[dict[str, Any]] = []
    for side, part in zip(sides, (slice(rows), slice(rows, None)), strict=False):
        kl = side.kl
        if kl is None:
            kl = posterior_kl(
                side.codes, side.logvar, side.probabilities, category_sizes, side.groups
            )
        fields.append(
            {
                "codes": side.codes,
                "groups": side.groups,
                "categories": categories[part],
                "factors": np.column_stack([label.classes[part] for label in read]),
                "logvar": side.logvar,
                "probabilities": side.probabilities,
                "kl": kl,
                "values": np.column_stack([label.values[part] for label in read])
                if continuous
                else None,
                "category_sizes": tuple(category_sizes),
                "factor_names": tuple(names),
                "factor_kinds": tuple(label.kind for label in read),
                "factor_sizes": tuple(label.size for label in read),
            }
        )
    warnings = [warning for label in read for warning in label.warnings]
    warnings += _doubts_about_posterior(sides[0], categories[:rows], category_sizes)
    fields[0]["notes"] = (_latents_in_words(sides[0]), *(label.note for label in read))
    fields[0]["warnings"] = tuple(warnings)
    return fields[0], None if test is None else fields[1]


def posterior_kl(
    codes: FloatArray,
    logvar: FloatArray | None,
    probabilities: FloatArray | None,
    category_sizes: Sequence[int],
    groups: vectors.Groups = None,
) -> NDArray[np.float64] | None:
    """(D + C,) mean KL of each latent's posterior to its prior in nats; None unless all are known.

    The priors are N(0, 1) and uniform categories; the KL of a vector is the sum over its columns.

    Raises:
        ValueError: the posterior has another shape than the latents, or no finite variance.
    """
    if logvar is not None:
        logvar = arrays.shaped("logvar", logvar, codes.shape)
        if (logvar > LARGEST_LOGVAR).any():
            raise ValueError(
                f"logvar goes up to {logvar.max():.3g}: give log variances, and drop the diverged "
                "model or rows"
            )
    if probabilities is not None:
        probabilities = arrays.shaped(
            "probabilities", probabilities, (len(codes), sum(category_sizes))
        )
        if ((probabilities < 0) | (probabilities > 1 + 1e-3)).any():
            raise ValueError(
                f"probabilities run from {probabilities.min():.3g} to {probabilities.max():.3g}: "
                "take the softmax of logits, one categorical latent after the other"
            )
    kl = []
    for d in range(codes.shape[1]):
        if logvar is None:
            return None
        mean, log = codes[:, d].astype(np.float64), logvar[:, d].astype(np.float64)
        kl.append(float(0.5 * (mean**2 + np.exp(log) - log - 1).mean()))
    kl = vectors.summed(np.array(kl), groups).tolist()
    first = 0
    for size in category_sizes:
        if probabilities is None:
            return None
        p = probabilities[:, first : first + size].astype(np.float64)
        # 0 log 0 is 0
        kl.append(float((p * np.log(np.maximum(p, 1e-300) * size)).sum(axis=1).mean()))
        first += size
    return np.array(kl)


def kind_of(values: Given) -> str:
    """The kind of a factor from its (N,) values, unless it is given; see `labels`."""
    return inferred_kind(column_of("factors", values))


def flags(name: str, given: Given) -> BoolArray:
    """(N,) booleans from an array of True and False, or of 1 and 0.

    Raises:
        ValueError: it has several columns, missing values, or others than these.
    """
    parts = columns(name, given)[0]
    if len(parts) != 1:
        raise ValueError(f"{name} has {len(parts)} columns: give one, with a value for each row")
    values = parts[0].values
    if parts[0].missing.any() or values.dtype.kind == "U" or not np.isin(values, (0, 1)).all():
        raise ValueError(f"{name} is not True or False in every row: give these, or 1 and 0")
    return values.astype(bool)


class _Side:
    """The arrays of one side; those of a kind of latents that is not given are empty."""

    def __init__(self, given: Arrays, inferred: bool, groups: vectors.Widths | None) -> None:
        if given.get("factors") is None:
            raise ValueError("the test rows have no factors: give them too")
        self.factors, self.names = columns("factors", given["factors"])
        codes, categories = given.get("codes"), given.get("categories")
        self.rows = len(self.factors[0]) if self.factors else 0
        numbers = np.zeros((self.rows, 0)) if codes is None else matrix("codes", codes)
        numbers, shaped = vectors.flattened("codes", numbers)
        if shaped is not None and groups is not None and vectors.widths_in(groups) != shaped:
            raise ValueError(
                f"groups are {vectors.in_words(vectors.widths_in(groups))}, and codes has "
                f"{vectors.in_words(shaped)} by its shape: leave groups out"
            )
        self.groups = vectors.groups_of(shaped if groups is None else groups, numbers.shape[1])
        if inferred and numbers.dtype.kind in "iubf":
            _refuse_swapped(numbers, self.factors)
        self.codes = arrays.codes(numbers)
        self.categories = [] if categories is None else columns("categories", categories)[0]
        self.logvar, self.probabilities = (
            None if given.get(name) is None else matrix(name, given[name])
            for name in ("logvar", "probabilities")
        )
        if self.logvar is not None:
            self.logvar = vectors.flattened("logvar", self.logvar)[0]
        kl = given.get("kl")
        self.kl = None if kl is None else matrix("kl", kl).ravel()
        if self.factors:
            arrays.same_rows(
                codes=self.codes,
                **({"categories": self.categories[0].values} if self.categories else {}),
                factors=self.factors[0].values,
            )


def _joined_factors(
    sides: Sequence[_Side], factor_names: Sequence[str] | None
) -> tuple[list[Column], list[str]]:
    """The columns of the factors over all rows, those held out last, and their names.

    Raises:
        ValueError: the held-out rows have columns of other names, or there are too few names.
    """
    first = sides[0]
    # Names may be arrays.
    names = [str(name) for name in first.names or ()] or [
        f"v{k + 1}" for k in range(len(first.factors))
    ]
    joined = first.factors
    if len(sides) > 1:
        second = dict(zip(sides[1].names or names, sides[1].factors, strict=True))
        if first.names and set(second) != set(names):
            raise ValueError(
                f"factors of the test rows are {', '.join(second)}, not {', '.join(names)}: "
                "give the same columns"
            )
        others = [second[name] for name in names] if first.names else sides[1].factors
        joined = [a.joined(b, n) for a, b, n in zip(joined, others, names, strict=True)]
    if factor_names is not None:
        names = [str(name) for name in factor_names]
    return joined, names


def _kinds(
    given: Sequence[str] | Mapping[str, str] | None, names: Sequence[str], count: int
) -> list[str | None]:
    """The kind of each factor, None where it is to be inferred.

    Raises:
        ValueError: names and kinds are not as many as factors, repeat, or are unknown.
    """
    kinds: list[str | None] = [None] * count
    if isinstance(given, Mapping):
        if unknown := [str(name) for name in given if name not in names]:
            raise ValueError(
                f"factor_kinds names {unknown[0]!r}: the factors are {', '.join(names)}"
            )
        kinds = [None if name not in given else str(given[name]) for name in names]
    elif given is not None:
        kinds = [str(kind) for kind in given]
    arrays.factor_labels(names, [kind or "ordinal" for kind in kinds], count)
    return kinds


def _joined_categories(
    sides: Sequence[_Side], category_sizes: Sequence[int] | None
) -> NDArray[Any]:
    """(N, C) category indices over all rows; words and booleans are numbered in order."""
    joined = []
    for parts in zip(*(side.categories for side in sides), strict=True):
        column = parts[0] if len(parts) == 1 else parts[0].joined(parts[1], "categories")
        indices = class_indices(column)
        if column.missing.any():
            raise ValueError(
                f"categories has {int(column.missing.sum()):,} missing values: drop these rows"
            )
        joined.append(column.values if indices is None else indices)
    if not joined:
        return np.zeros((sum(side.rows for side in sides), 0), dtype=np.int64)
    return np.column_stack(joined)


def _refuse_swapped(codes: NDArray[Any], factors: Sequence[Column]) -> None:
    """Refuses codes that are classes together with factors that are codes.

    Raises:
        ValueError: all codes are whole numbers, and all factors are numbers that hardly repeat.
    """
    for column in factors:
        if inferred_kind(column) != "continuous":
            return
        if len(np.unique(column.known)) < MANY_VALUES * len(column):
            return
    if codes.size and (codes == np.rint(codes)).all() and (codes != codes[0]).any():
        raise ValueError(
            "codes are whole numbers and factors are not: they look swapped, give codes first; "
            "if they are right, give factor_kinds"
        )


def _latents_in_words(side: _Side) -> str:
    """One line on the latents: how many, how far they spread, and whether there is a posterior."""
    parts = []
    if side.codes.shape[1]:
        with np.errstate(over="ignore", under="ignore"):
            spread = side.codes.std(axis=0, dtype=np.float64)
        given = "with" if side.logvar is not None else "without"
        count = f"{side.codes.shape[1]} continuous"
        if side.groups is not None:
            count = vectors.in_words(side.groups)
        parts.append(
            f"{count}, standard deviation {spread.min():.3g} to {spread.max():.3g}, {given} logvar"
        )
    if side.categories:
        given = "with" if side.probabilities is not None else "without"
        parts.append(f"{len(side.categories)} categorical, {given} probabilities")
    return f"latents: {'; '.join(parts)}"


def _doubts_about_posterior(
    side: _Side, categories: NDArray[Any], sizes: Sequence[int]
) -> list[str]:
    """One line for each way in which what was given as a posterior is none that an encoder has."""
    doubts = []
    logvar = side.logvar
    if logvar is not None and logvar.size:
        if np.ptp(logvar) == 0 and len(logvar) > 1:
            doubts.append(
                f"logvar is {logvar.flat[0]:.3g} everywhere: scores of the posterior are those of "
                "a width that was chosen; leave logvar out if the encoder gives none"
            )
        elif (logvar >= 0).all():
            doubts.append(
                f"logvar is nowhere below 0 ({logvar.min():.3g} to {logvar.max():.3g}): give the "
                "logarithm of the variance, not the variance or the deviation"
            )
        elif (logvar > UNLIKELY).mean() > 0.5:
            doubts.append(
                f"logvar is above {UNLIKELY} in {(logvar > UNLIKELY).mean():.0%} of its values, "
                "wider than the prior: is it a second code, and no log variance?"
            )
    if side.probabilities is not None:
        first = 0
        for c, size in enumerate(sizes):
            p = side.probabilities[:, first : first + size].astype(np.float64)
            first += size
            wrong = int((np.abs(p.sum(axis=1) - 1) > 0.01).sum())
            if wrong:
                doubts.append(
                    f"probabilities of c{c + 1} do not sum to 1 in {wrong:,} rows: take the "
                    "softmax of logits, one categorical latent after the other"
                )
            other = int((p[np.arange(len(p)), categories[:, c]] < p.max(axis=1) - 1e-6).sum())
            if not wrong and 2 * other > len(p):
                doubts.append(
                    f"categories of c{c + 1} are not the most probable ones in {other:,} rows: "
                    "do probabilities and categories belong together?"
                )
    return doubts
