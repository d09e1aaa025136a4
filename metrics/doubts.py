"""When a score cannot be trusted: what each metric checks, and says in a line of `Score.warnings`.

A check reads the representation and the score and returns a warning, or None. Every metric lists
its checks in the decorator `metric`: those of the data, which mislead all metrics that read
factors, and its own for too few rows. The limits of the latter are those at which codes of noise
score about 0.1 more than with very many rows, found with 2, 10 and 50 latents and 20 to 10,000
rows. How high a score is by chance is shown by `shuffled` factors.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from .arrays import MISSING
from .information import contingency, entropy_of_counts, mutual_information_of_table
from .representation import Representation, Score
from .vectors import owners

Check: TypeAlias = Callable[[Representation, Score], str | None]

ROWS = 10_000  # rows that the checks of the data look at
DEPENDENT = 0.1  # of the smaller entropy: two factors that share more depend on one another
DEVIATIONS = 5.0  # of the estimate, above which shared information is not chance
REPEATED = 0.1  # of the rows: so many copies are worth a warning
OVERFITTED = 0.05  # of explicitness, or the like, that useless latents would have


# --- the data


def one_hot_latents(representation: Representation, score: Score) -> str | None:
    """Columns that are 0 or 1, or shares, and add up to 1: one category as several latents."""
    owner = owners(representation.widths)
    # The columns of a vector are one latent, whatever they are.
    groups = [
        group
        for group in _groups_of_shares(_some(representation.codes))
        if len(set(owner[group])) > 1
    ]
    if not groups:
        return None
    names = few([representation.latent_names[j] for j in dict.fromkeys(owner[groups[0]].tolist())])
    others = f" (and {len(groups) - 1} more groups)" if len(groups) > 1 else ""
    return (
        f"{names} add up to 1 in every row{others}: one category counted as "
        f"{len(groups[0])} latents; give it as `categories`, with `probabilities` if they are known"
    )


def one_hot_factors(representation: Representation, score: Score) -> str | None:
    """Columns of factors that are 0 or 1 and add up to 1: one factor as several."""
    groups = _one_hot_factors(representation)
    if not groups:
        return None
    names = few([representation.factor_names[k] for k in groups[0]])
    return (
        f"factors {names} are 0 or 1 and add up to 1 in every row: one factor counted as "
        f"{len(groups[0])}; give the index of its class"
    )


def dependent_factors(representation: Representation, score: Score) -> str | None:
    """Factors that share information, and the MIG that a perfect code has for that reason."""
    factors = _some(representation.factors)
    within = {k for group in _one_hot_factors(representation) for k in group}
    varying = [k for k in np.flatnonzero(representation.varying).tolist() if k not in within]
    entropies = {k: _entropy(factors[:, k]) for k in varying}
    varying = [k for k in varying if entropies[k] > 0]
    shared = {
        pair: _shared(factors[:, pair[0]], factors[:, pair[1]]) for pair in combinations(varying, 2)
    }
    shares = {(a, b): nats / min(entropies[a], entropies[b]) for (a, b), nats in shared.items()}
    strong = [pair for pair, share in shares.items() if share > DEPENDENT]
    if not strong:
        return None
    a, b = max(strong, key=lambda pair: shares[pair])
    lost = [
        max((nats for pair, nats in shared.items() if k in pair), default=0.0) / entropies[k]
        for k in varying
    ]
    names = representation.factor_names
    return (
        f"factors depend on one another, {len(strong)} of {len(shares)} pairs, most of all "
        f"{names[a]} and {names[b]} ({shared[a, b]:.2f} nats of "
        f"{min(entropies[a], entropies[b]):.2f}): a code that repeats them would have a MIG of "
        f"{1 - float(np.mean(lost)):.2f} at most"
    )


def repeated_rows(representation: Representation, score: Score) -> str | None:
    """Copies of rows, which are their own neighbours and stand on both sides of a split."""
    rows = len(representation)
    latents = _distinct(representation.codes, representation.categories)
    # A code that repeats the factors repeats where they do, and nothing is wrong with that.
    if not representation.codes.shape[1] or latents <= _distinct(representation.factors):
        return None
    copies = rows - _distinct(
        representation.codes, representation.categories, representation.factors
    )
    if copies <= REPEATED * rows:
        return None
    return (
        f"{copies:,} of {rows:,} rows are copies of others, in codes and factors: they pass for "
        "agreement; leave them out"
    )


DATA: tuple[Check, ...] = (one_hot_latents, one_hot_factors, dependent_factors, repeated_rows)


# --- too few rows


def few_rows_for_pairs(representation: Representation, score: Score) -> str | None:
    """BetaVAE score: mean differences over the same few rows recognise a factor."""
    pairs, latents = score.details["protocol"]["pairs"], score.details["active_count"]
    factors = len(score.details["factors"]) - len(score.details["left_out"])
    needed = pairs * latents**0.5 * factors / 2
    return _too_few(len(representation), needed, f"{latents:,} latents and {factors} factors")


def few_rows_for_votes(representation: Representation, score: Score) -> str | None:
    """FactorVAE score: a batch of few different rows is recognised, and votes for its factor."""
    batch, latents = score.details["protocol"]["batch"], score.details["active_count"]
    per_value = _rows_per_value(representation)
    needed = batch * float(np.log(max(1, latents))) ** 2 / 8
    return _too_few(float(np.mean(per_value)), needed, f"{latents:,} latents", " per value")


def few_rows_per_value(representation: Representation, score: Score) -> str | None:
    """IRS: the few rows of one value of a factor look alike."""
    return _too_few(min(_rows_per_value(representation)), 10, "an intervention", " per value")


def few_rows_to_fit(representation: Representation, score: Score) -> str | None:
    """DCI: a predictor that sees few rows and many latents takes chance for importance."""
    needed = 4 * _columns(representation)
    return _too_few(
        score.details["rows_fitted"], needed, f"{representation.latents:,} latents", " fitted on"
    )


def overfitted(representation: Representation, score: Score) -> str | None:
    """Explicitness: a linear classifier of many latents fits its own rows, and misses others."""
    rows = score.details["rows_fitted"]
    known = [column[column != MISSING] for column in representation.factors.T]
    classes = np.array([len(np.unique(column)) for column in known])
    classes = classes[classes > 1]
    if not len(classes):
        return None
    freedom = _columns(representation) * (classes - 1) / np.log(classes)
    # With as many rows, the log likelihood of useless latents improves by `OVERFITTED` on average.
    needed = float(freedom.mean()) / (2 * OVERFITTED)
    if rows >= needed:
        return None
    return (
        f"{rows:,} rows fitted on are few for {representation.latents:,} latents: the classifier "
        f"fits them by chance, and scores less on others; give about {_rounded(needed)} or more"
    )


def few_rows_to_score(representation: Representation, score: Score) -> str | None:
    """Accuracies on few rows, and their gaps, move by chance: by 0.05 for a hundred rows."""
    return _too_few(score.details["rows_scored"], 100, "an accuracy", " scored")


def few_rows_to_correlate(representation: Representation, score: Score) -> str | None:
    """MCC: the largest of D correlations is about sqrt(2 ln D / N) by chance, 0.1 at most."""
    latents = representation.latents
    rows = len(representation) if score.rows_used is None else score.rows_used
    needed = 2 * float(np.log(max(2, latents))) / 0.1**2
    return _too_few(rows, needed, f"the largest correlation of {latents:,} latents")


def few_rows_for_neighbours(representation: Representation, score: Score) -> str | None:
    """MIG by nearest neighbours: gaps of latents that tell nothing reach 0.1 below 100 rows."""
    rows = len(representation) if score.rows_used is None else score.rows_used
    return _too_few(rows, 100, "nearest neighbours")


def few_rows_for_covariance(representation: Representation, score: Score) -> str | None:
    """Total correlation: independent codes have D (D - 1) / 4N nats."""
    d = len(score.details["latents"])
    rows = score.rows_used or len(representation)
    chance = d * (d - 1) / (4 * rows)
    if chance <= 0.1:
        return None
    return (
        f"{rows:,} rows are few for {d:,} latents: independent ones would come out at about "
        f"{chance:.2g} nats; give more rows"
    )


# --- chance


def shuffled(representation: Representation, rng: np.random.Generator) -> Representation:
    """The same latents with the factors of other rows, those of each side among themselves.

    Whatever a metric gives for it is chance, at these numbers of rows and latents. Rows of factors
    stay together, so that factors depend on one another as before.
    """
    order = rng.permutation(len(representation))
    values = representation.values
    test, further = representation.test, representation.further
    return replace(
        representation,
        factors=representation.factors[order],
        values=None if values is None else values[order],
        test=None if test is None else shuffled(test, rng),
        further=None if further is None else shuffled(further, rng),
    )


# --- shared


_of_data: WeakKeyDictionary[Representation, dict[Check, str | None]] = WeakKeyDictionary()


def warnings_of(
    representation: Representation, score: Score, checks: Sequence[Check]
) -> tuple[str, ...]:
    """The warnings of some checks; those of the data are computed once per representation."""
    known = _of_data.setdefault(representation, {})
    lines = []
    for check in checks:
        if check not in DATA:
            lines.append(check(representation, score))
            continue
        if check not in known:
            known[check] = check(representation, score)
        lines.append(known[check])
    return tuple(line for line in lines if line is not None)


def few(names: Sequence[str], most: int = 3) -> str:
    """Names in a list, of which no more than some are written out: "z1, z2, z3 and 5 more"."""
    if len(names) <= most + 1:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most:,} more"


def _too_few(rows: float, needed: float, for_what: str, which: str = "") -> str | None:
    if rows >= needed:
        return None
    count = f"{rows:,.1f}" if rows < 10 else f"{rows:,.0f}"
    return (
        f"{count.removesuffix('.0')} rows{which} are few for {for_what}: noise, too, scores high "
        f"by chance; give about {_rounded(needed)}{which} or more, or compare with shuffled factors"
    )


def _rounded(number: float) -> str:
    """A number of rows to two digits, upwards."""
    step = 10 ** max(0, len(str(int(number))) - 2)
    return f"{int(np.ceil(number / step)) * step:,}"


def _rows_per_value(representation: Representation) -> list[float]:
    """The mean number of rows of a value, for each factor that varies."""
    known = [column[column != MISSING] for column in representation.factors.T]
    pairs = [(len(column), len(np.unique(column))) for column in known]
    return [rows / values for rows, values in pairs if values > 1] or [0.0]


def _columns(representation: Representation) -> int:
    """How many columns a predictor sees: a categorical latent is one-hot."""
    return int(representation.codes.shape[1]) + sum(representation.category_sizes)


def _some(array: NDArray[Any]) -> NDArray[Any]:
    """At most `ROWS` rows, evenly spread."""
    return array[:: -(-len(array) // ROWS)]


def _groups_of_shares(codes: NDArray[Any]) -> list[list[int]]:
    """Runs of two columns or more, all within 0 and 1, that add up to 1 in every row."""
    groups: list[list[int]] = []
    shares = ((codes >= 0) & (codes <= 1)).all(axis=0) & (np.ptp(codes, axis=0) > 0)
    j = 0
    while j < codes.shape[1]:
        total = np.zeros(len(codes))
        for end in range(j, codes.shape[1]):
            total = total + codes[:, end]
            if not shares[end] or total.max() > 1 + 1e-3:
                break
            if total.min() > 1 - 1e-3:
                groups.append(list(range(j, end + 1)))
                j = end
                break
        j += 1
    return groups


def _one_hot_factors(representation: Representation) -> list[list[int]]:
    factors = _some(representation.factors).astype(np.float64)
    factors[factors == MISSING] = np.nan
    known = np.where(np.isnan(factors), 2.0, factors)  # 2 is in no group
    return _groups_of_shares(known)


def _distinct(*arrays: NDArray[Any]) -> int:
    """The number of different rows of some arrays side by side, by a 64-bit hash of each."""
    keys = np.zeros(len(arrays[0]), dtype=np.uint64)
    for column in (column for array in arrays for column in array.T):
        bits = np.ascontiguousarray(column.astype(np.float64)).view(np.uint64)
        keys = (keys ^ bits) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return len(np.unique(keys))


def _entropy(labels: NDArray[Any]) -> float:
    return entropy_of_counts(np.bincount(labels[labels != MISSING].astype(np.int64)))


def _shared(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Information of two factors in nats, less its bias; 0 if it may be chance."""
    known = (a != MISSING) & (b != MISSING)
    if not known.any():
        return 0.0
    table = contingency(a[known], b[known])
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    total = 2 * int(table.sum())
    nats = mutual_information_of_table(table) - freedom / total
    # 2 N I is chi-squared with these degrees of freedom if the two are independent.
    return nats if nats > DEVIATIONS * (2 * freedom) ** 0.5 / total else 0.0
