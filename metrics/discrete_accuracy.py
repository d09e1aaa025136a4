"""Discrete-factor accuracy: cluster accuracy of one latent, by majority and one to one.

Dupont 2018 (arXiv 1804.00104) scores the discrete latent of JointVAE by the majority rule; the
one-to-one rule is the clustering accuracy of Xie, Girshick & Farhadi 2016 (arXiv 1511.06335).
"""

from typing import Any

import numpy as np
import scipy

from .arrays import IntArray
from .binning import apply_edges, equal_frequency_edges
from .calling import metric, refuse_vectors
from .doubts import few_rows_to_score, one_hot_factors, one_hot_latents, repeated_rows
from .information import (
    Counts,
    adjusted_rand_index,
    contingency,
    normalized_mutual_information,
)
from .representation import Representation, Score


@metric(one_hot_latents, one_hot_factors, repeated_rows, few_rows_to_score, vectors=True)
def discrete_accuracy(representation: Representation, rng: np.random.Generator) -> Score:
    """Discrete-factor accuracy (after Dupont 2018): how often does one latent identify the class?

    Dupont, "Learning Disentangled Joint Continuous and Discrete Representations", arXiv 1804.00104;
    the halves and the second mapping are added here. For each categorical factor with S classes,
    each categorical latent is a guess at the class under two mappings:

    - majority: a category stands for the class that it occurs with most;
    - one to one: categories are assigned to different classes so that most rows agree (Xie et al.
      2016); if there are more categories than classes, some stand for none.

    The mappings are fitted, and the best latent of each is chosen, on a random half of the rows;
    accuracies are those on the other half. A category that does not occur in the first half is
    never right. Without categorical latents, each continuous one is cut into S bins of equal
    frequency, with the edges of the first half, and marked as binned.

    In the conformance table: perfect 1.00, rotated 0.55, noise 0.33.

    Args:
        representation: (N, D) codes, (N, C) categories, (N, K) factors; only factors of the kind
            "categorical" are scored.
        rng: chooses the halves; if there are `test` rows, the mappings are fitted on all others and
            scored on these.

    Returns:
        Score in [0, 1]: the majority accuracy, averaged over factors, with the part `one_to_one`.
        Details by factor: chosen latents, accuracies, `chance` (share of the largest class in the
        second half, and 1/S for the S classes that occur), normalised mutual information, adjusted
        Rand index and `confusion` (categories, S) of the latent with the best majority, all on the
        second half; `left_out`: factors with only one class.

    Raises:
        ValueError: there is no categorical factor with two classes, or fewer than two rows.
    """
    if not representation.category_sizes:  # else codes are not read
        refuse_vectors("discrete_accuracy", representation)
    names, kinds = representation.factor_names, representation.factor_kinds
    categorical = [k for k, kind in enumerate(kinds) if kind == "categorical"]
    varying = [k for k in categorical if representation.varying[k]]
    if not varying:
        name = next((n for n, v in zip(names, representation.varying, strict=True) if v), "shape")
        remedy = (
            "leave it out for this data"
            if categorical
            else "if the classes of one have no order, say factor_kinds categorical "
            f"(--kind {name}=categorical), else leave it out for this data"
        )
        raise ValueError(
            "the representation has no categorical factor with two classes among the rows, "
            f"discrete_accuracy is undefined: {remedy}"
        )
    fitted, scored = representation.split(rng)
    by_factor = {
        names[k]: _score_factor(fitted.labelled(k), scored.labelled(k), k) for k in varying
    }

    def mean(key: str) -> float:
        return float(np.mean([entry[key] for entry in by_factor.values()]))

    return Score(
        value=mean("majority"),
        parts={"one_to_one": mean("one_to_one")},
        details={
            "factors": by_factor,
            "chance": mean("chance"),
            "chance_uniform": mean("chance_uniform"),
            "binned": not representation.category_sizes,
            "left_out": [names[k] for k in categorical if k not in varying],
            "rows_fitted": len(fitted),
            "rows_scored": len(scored),
        },
        rows_used=representation.rows_used(fitted, scored),
    )


def _score_factor(fitted: Representation, scored: Representation, factor: int) -> dict[str, Any]:
    """The entry of one factor in the details."""
    # Classes that are declared but do not occur make nothing harder to guess.
    labels = np.concatenate([fitted.factors[:, factor], scored.factors[:, factor]])
    size = len(np.unique(labels))
    tables = _tables(fitted, scored, factor, size)
    majorities = [_majority(first) for first, _ in tables]
    matches = [scipy.optimize.linear_sum_assignment(first, maximize=True) for first, _ in tables]
    firsts = [first for first, _ in tables]
    by_majority = int(
        np.argmax([_agreement(t, *m) for t, m in zip(firsts, majorities, strict=True)])
    )
    by_match = int(np.argmax([_agreement(t, *m) for t, m in zip(firsts, matches, strict=True)]))
    confusion = tables[by_majority][1]
    # The tables are those of the categorical latents if there are any, else of all.
    names = fitted.latent_names[-len(tables) :]
    return {
        "majority": _agreement(confusion, *majorities[by_majority]),
        "one_to_one": _agreement(tables[by_match][1], *matches[by_match]),
        "chance": float(confusion.sum(axis=0).max() / confusion.sum()),
        "chance_uniform": 1 / size,
        "nmi": normalized_mutual_information(confusion),
        "ari": adjusted_rand_index(confusion),
        "latent": names[by_majority],
        "latent_one_to_one": names[by_match],
        "binned": not fitted.category_sizes,
        "confusion": confusion,
    }


def _tables(
    fitted: Representation, scored: Representation, factor: int, bins: int
) -> list[tuple[Counts, Counts]]:
    """Categories against classes on both halves, for each latent that may be chosen."""
    size = fitted.factor_sizes[factor]

    def pair(first: IntArray, second: IntArray, categories: int) -> tuple[Counts, Counts]:
        return (
            contingency(first, fitted.factors[:, factor], categories, size),
            contingency(second, scored.factors[:, factor], categories, size),
        )

    if fitted.category_sizes:
        columns = zip(fitted.categories.T, scored.categories.T, fitted.category_sizes, strict=True)
        return [pair(first, second, categories) for first, second, categories in columns]
    tables = []
    for first, second in zip(fitted.codes.T, scored.codes.T, strict=True):
        edges = equal_frequency_edges(first, bins)
        tables.append(pair(apply_edges(first, edges), apply_edges(second, edges), len(edges) + 1))
    return tables


def _majority(table: Counts) -> tuple[IntArray, IntArray]:
    """Categories that occur, and the class that each stands for."""
    present = np.flatnonzero(table.any(axis=1))
    return present, table[present].argmax(axis=1)


def _agreement(table: Counts, categories: IntArray, classes: IntArray) -> float:
    """Share of the rows of a table that a mapping of categories to classes gets right."""
    return float(table[categories, classes].sum() / table.sum())
