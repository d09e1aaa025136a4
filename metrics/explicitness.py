"""Explicitness: Ridgeway & Mozer 2018, arXiv 1802.05312."""

from typing import Literal, get_args

import numpy as np
import scipy
from numpy.typing import NDArray

from .arrays import MISSING, IntArray
from .calling import metric
from .correlations import ranks
from .doubts import few, one_hot_factors, overfitted, repeated_rows
from .logistic import features, fit
from .representation import Representation, Score

Ranking = Literal["multinomial", "one_vs_rest", "one_vs_rest_shares"]


@metric(one_hot_factors, repeated_rows, overfitted, vectors=True)
def explicitness(
    representation: Representation,
    rng: np.random.Generator,
    *,
    classifier: Ranking = "multinomial",
    rescaled: bool = False,
    penalty: float = 1.0,
    points: int = 10_000,
) -> Score:
    """Explicitness (Ridgeway & Mozer 2018): how well can a linear classifier read each factor?

    Ridgeway & Mozer, "Learning Deep Disentangled Embeddings With the F-Statistic Loss", NeurIPS
    2018, arXiv 1802.05312. Logistic regression predicts the class of a factor from all latents; its
    score of class s ranks the rows that it was not fitted on, and

        explicitness = mean over factors of the mean over classes of AUC(class s against the rest),

    the area under the ROC curve: how often a row of the class ranks above another (ties half). The
    latents are standardised on the fitted rows; a categorical latent is one-hot columns, and a
    vector its columns.

    Three definitions share the name; each ranks the rows by a probability of the class:

    - "one_vs_rest": by a classifier of its own for each class. A line separates only the outer
      classes of an ordinal factor, so that perfect dSprites codes score 0.78;
    - "one_vs_rest_shares": the same as a share of the sum over all classes, as scikit-learn before
      0.22 did for Locatello et al. 2019 (its penalty is on the intercepts too): 0.94;
    - "multinomial": by one softmax over all classes, as the same code does now: 0.99. The default,
      as it finds most of what can be read linearly.

    The three must not be compared.

    Known flaws: the penalty, which weighs more with fewer rows, keeps perfect codes below 1, and
    warping their axes costs 0.02. The score says nothing about axes: a rotated code scores like a
    perfect one. Useless codes score 0.5; with `rescaled`, as in other implementations, 0. That is
    not the default, as the numbers of Locatello et al. are not rescaled.

    In the conformance table: perfect 0.99, rotated 0.99, noise 0.50.

    Args:
        representation: (N, D) codes, (N, C) categories, (N, K) factors; a continuous factor is
            replaced by its classes of equal frequency.
        rng: chooses the halves, and the rows of each; `test` rows are scored if there are any.
        classifier: "multinomial", "one_vs_rest" or "one_vs_rest_shares"; `logistic.fit` has the
            objective.
        rescaled: 2 AUC - 1, and 0 if that is negative, so that useless codes score 0.
        penalty: C of scikit-learn; smaller is a stronger penalty.
        points: at most this many rows of each half are used.

    Returns:
        Score in [0, 1]. Details: `explicitness` by factor, `aucs` by factor and class (None for a
        class without scored rows; 0.5 for one without fitted rows), `left_out`: factors of fewer
        than two classes on the scored rows.

    Raises:
        ValueError: no factor varies over the scored rows, or an option is out of range.
    """
    if classifier not in get_args(Ranking):
        raise ValueError(f"classifier is {classifier!r}: use one of {', '.join(get_args(Ranking))}")
    if points < 2 or penalty <= 0:
        raise ValueError(f"points={points}, penalty={penalty}: give at least 2 and more than 0")
    fitted, scored = representation.split(rng, points)
    names = representation.factor_names
    known = (fitted.factors != MISSING).any(axis=0)
    varying = np.flatnonzero(scored.varying & known).tolist()
    if not varying:
        raise ValueError(
            "factors are all constant over the rows: explicitness is undefined, give more rows"
        )

    whole = features(fitted, scored)
    aucs, not_converged = {}, []
    for k in varying:
        first, second = fitted.labelled(k), scored.labelled(k)
        complete = first is fitted and second is scored
        columns, others = whole if complete else features(first, second)
        classes, labels = np.unique(first.factors[:, k], return_inverse=True)
        joint = classifier == "multinomial"
        model = fit(
            columns, labels, classifier="multinomial" if joint else "one_vs_rest", penalty=penalty
        )
        if not model.converged:
            not_converged.append(names[k])
        logs = model.log_probabilities(others)
        if classifier == "one_vs_rest_shares":
            logs = scipy.special.log_softmax(logs, axis=1)
        present, truth = np.unique(second.factors[:, k], return_inverse=True)
        # Nothing ranks the rows of a class that was never seen.
        ranking = np.zeros((len(second), len(present)))
        _, to, source = np.intersect1d(present, classes, return_indices=True)
        ranking[:, to] = logs[:, source]
        aucs[names[k]] = dict(zip(present.tolist(), areas(ranking, truth).tolist(), strict=True))
    by_factor = {name: float(np.mean(list(by_class.values()))) for name, by_class in aucs.items()}
    if rescaled:
        by_factor = {name: max(0.0, 2 * auc - 1) for name, auc in by_factor.items()}
    warnings = []
    if not_converged:
        warnings.append(f"{few(not_converged)}: the classifier did not converge")
    return Score(
        value=float(np.mean(list(by_factor.values()))),
        details={
            "explicitness": {name: by_factor.get(name) for name in names},
            "aucs": {
                names[k]: [aucs[names[k]].get(s) for s in range(representation.factor_sizes[k])]
                for k in varying
            },
            "classifier": classifier,
            "rescaled": rescaled,
            "factors": list(names),
            "left_out": [name for name in names if name not in by_factor],
            "rows_fitted": len(fitted),
            "rows_scored": len(scored),
        },
        warnings=warnings,
        rows_used=representation.rows_used(fitted, scored),
    )


def areas(ranking: NDArray[np.float64], labels: IntArray) -> NDArray[np.float64]:
    """(S,) areas under the ROC curves of (N, S) scores, one class against the rest.

    They are computed from the sum of the ranks of a class (Mann & Whitney 1947), ties sharing their
    mean rank. Each class must have at least one row, and none may have all of them.
    """
    rows, size = ranking.shape
    counts = np.bincount(labels, minlength=size)
    places = np.column_stack([ranks(column) for column in ranking.T])
    sums = np.bincount(labels, weights=places[np.arange(rows), labels], minlength=size)
    return np.asarray((sums - counts * (counts + 1) / 2) / (counts * (rows - counts)))
