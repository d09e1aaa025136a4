"""DCI: Eastwood & Williams 2018, ICLR 2018, section 2."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .arrays import MISSING
from .calling import metric
from .doubts import DATA, few_rows_to_fit
from .gradient_boosting import GradientBoosting, Loss, Prediction, boost
from .information import entropy_of_counts
from .representation import Representation, Score
from .vectors import owners


@metric(*DATA, few_rows_to_fit, vectors=True)
def dci(
    representation: Representation,
    rng: np.random.Generator,
    *,
    points: int = 10_000,
    test_points: int = 5_000,
    stages: int = 100,
    depth: int = 3,
    rate: float = 0.1,
) -> Score:
    """DCI (Eastwood & Williams 2018): which latents does a predictor of each factor need?

    Eastwood & Williams, "A Framework for the Quantitative Evaluation of Disentangled
    Representations", ICLR 2018. Each factor is predicted from all latents; R (latents, factors)
    says how important each latent is to each prediction, every column divided by its sum.

        D_l = 1 - H(R_l. / sum) / ln K,  C_k = 1 - H(R_.k / sum) / ln (D + C),

    disentanglement is the mean D_l, completeness the mean C_k, weighted by the row and column sums
    of R; informativeness is the mean accuracy on rows that were not fitted on.

    Predictor and rows are those of Locatello et al. 2019 (disentanglement_lib): gradient boosting
    as in scikit-learn, 100 stages of one tree of depth 3 per class; the importance of a latent is
    the variance of the residuals that its splits explain. It runs on all cores that the process may
    use (OMP_NUM_THREADS limits them) and takes minutes: 113 classes are 11,300 trees.

    - A categorical latent is one latent: the trees see its one-hot columns, R their sum, and K, D
      and C count factors and latents. So is a vector: the trees see its columns, R their sum. They
      split along the columns, so that turning a vector within itself moves the numbers a little.
      All latents count in the base, including constant ones.
    - A continuous factor is predicted by regression; its informativeness is R^2, at least 0.
    - With one factor every D_l is 1, whatever the code: data with a single one are refused. With
      one latent every C_k is 1, which is a warning.

    Known flaws: R depends on the predictor (a perfect code with a tenth of noise: 0.74, by lasso
    1.00). The predictor also fits noise, so the number of rows is part of the definition (a code
    turned at random: 0.27 with 10,000 rows, 0.19 with 1,000). Every column weighs the same, however
    badly its factor is predicted: read both with informativeness, which is not corrected for chance
    (useless codes of dSprites: 0.12). Completeness falls with a copy of a latent (0.92 for one of
    five) or with (cos, sin) of an angle, and rises with unused latents, which count in its base.

    In the conformance table: perfect 1.00 / 1.00 / 1.00, rotated 0.08 / 0.08 / 0.36, noise 0.01 /
    0.01 / 0.12 (D / C / I, by 20 stages on 2,000 rows).

    Args:
        representation: (N, D) codes, (N, C) categories, (N, K) factors.
        rng: chooses the rows, and among columns that split a node equally well. Without `test`,
            rows are fitted on one half and scored on the other.
        points: at most this many rows are fitted on.
        test_points: at most this many rows are scored.
        stages: boosting stages.
        depth: depth of the trees.
        rate: learning rate.

    Returns:
        Score in [0, 1]: disentanglement; parts `completeness`, `informativeness`. 0 if no latent
        has any importance. Details: `importances` R (D + C, K), `disentanglement` by latent (None
        if no factor needs it), `completeness`, `informativeness`, `informativeness_fitted` and
        `measures` ("accuracy" or "r2") by factor, `predictor`, `left_out`: factors that do not vary
        over the rows fitted on, or have no label in those scored. Rows without a label are left out
        factor by factor; a class that was not fitted is never predicted.

    Raises:
        ValueError: fewer than two factors vary, or an option is out of range.
    """
    check_boosting(stages=stages, depth=depth, rate=rate)
    problem = Problem.of(representation, rng, "dci", points, test_points)
    factors = [
        GradientBoosting(task.fitted, task.scored, task.loss(), task.seed) for task in problem.tasks
    ]
    predictor = {"name": "gradient boosting", "stages": stages, "depth": depth, "rate": rate}
    return problem.score(boost(factors, stages, depth, rate), predictor)


@dataclass(frozen=True)
class Task:
    """The prediction of one factor, from the rows that have its label.

    Attributes:
        factor: which of the K.
        fitted: (N, F) float32, columns of the latents; one-hot ones for a categorical latent.
        scored: (M, F) the same for the rows scored.
        labels: (N,) class of each row, or the number of a continuous factor, standardised.
        truth: (M,) the same for the rows scored.
        continuous: whether labels are numbers.
        seed: of the predictor.
    """

    factor: int
    fitted: NDArray[np.float32]
    scored: NDArray[np.float32]
    labels: NDArray[Any]
    truth: NDArray[Any]
    continuous: bool
    seed: int

    def loss(self, dtype: DTypeLike = np.float64) -> Loss:
        """The loss on the rows fitted on."""
        make = Loss.of_number if self.continuous else Loss.of_classes
        return make(self.labels, dtype)

    def accuracy(self, prediction: Prediction) -> tuple[float, float]:
        """Accuracy on the rows scored and on those fitted; for a number R^2, at least 0."""
        return (
            self.agreement(prediction.held_out, self.truth),
            self.agreement(prediction.fitted, self.labels),
        )

    def agreement(self, predicted: NDArray[Any], truth: NDArray[Any]) -> float:
        """Accuracy of (M,) predictions; for a number R^2, at least 0."""
        return (_determination if self.continuous else _accuracy)(predicted, truth)


@dataclass(frozen=True)
class Problem:
    """The predictions that DCI needs, and the score that they make.

    Attributes:
        fitted: the rows fitted on.
        scored: the rows scored.
        tasks: one per factor that can be predicted.
        rows_used: how many of the representation's rows these are.
    """

    fitted: Representation
    scored: Representation
    tasks: tuple[Task, ...]
    rows_used: int

    @classmethod
    def of(
        cls,
        representation: Representation,
        rng: np.random.Generator,
        name: str,
        points: int,
        test_points: int,
        least: int = 2,
    ) -> "Problem":
        """Divides the rows.

        Args:
            representation: latents and factors.
            rng: chooses the rows and the seeds of the tasks.
            name: of the metric, for the errors.
            points: at most this many rows are fitted on.
            test_points: at most this many rows are scored.
            least: how many factors the metric needs, 1 or 2.

        Raises:
            ValueError: fewer factors can be predicted, or there are too few points.
        """
        if points < 2 or test_points < 2:
            raise ValueError(f"points={points}, test_points={test_points}: give at least 2 of each")
        fitted, scored = representation.split(rng, points)
        scored = scored.at_most(test_points, rng)
        seeds = rng.integers(2**31 - 1, size=len(representation.factor_names)).tolist()
        tasks = []
        for k, seed in enumerate(seeds):
            if (fitted.factors[:, k] == MISSING).all() or (scored.factors[:, k] == MISSING).all():
                continue
            first, second = fitted.labelled(k), scored.labelled(k)
            continuous = fitted.factor_kinds[k] == "continuous"
            labels: NDArray[Any] = first.number(k) if continuous else first.factors[:, k]
            truth: NDArray[Any] = second.number(k) if continuous else second.factors[:, k]
            if np.ptp(labels) == 0:
                continue
            if continuous:
                truth = (truth - labels.mean()) / labels.std()
                labels = (labels - labels.mean()) / labels.std()
            tasks.append(Task(k, *_columns(first, second), labels, truth, continuous, seed))
        if not tasks:
            text = "factors are all constant over the rows"
            raise ValueError(f"{text}: {name} is undefined, give more rows")
        if len(tasks) < least:
            alone = representation.factor_names[tasks[0].factor]
            raise ValueError(
                f"{alone} is the only factor that can be predicted, so that {name} would be 1 for "
                "any code: leave it out for this data"
            )
        return cls(fitted, scored, tuple(tasks), representation.rows_used(fitted, scored))

    def score(self, predictions: Sequence[Prediction], predictor: Mapping[str, Any]) -> Score:
        """The score of one prediction per task.

        Args:
            predictions: in the order of the tasks.
            predictor: its name and options, for the details.
        """
        latents, names = self.fitted.latent_names, self.fitted.factor_names
        # Which latent each column belongs to.
        latent = owners((*self.fitted.widths, *self.fitted.category_sizes))
        importances = np.zeros((len(latents), len(names)))
        accuracies = []
        for task, prediction in zip(self.tasks, predictions, strict=True):
            importances[:, task.factor] = np.bincount(latent, prediction.importances, len(latents))
            accuracies.append(task.accuracy(prediction))
        used = [task.factor for task in self.tasks]
        rows, disentanglement = _purity(importances[:, used])
        columns, completeness = _purity(importances[:, used].T)

        def by_factor(values: Sequence[Any]) -> dict[str, Any]:
            value_of = dict(zip(used, values, strict=True))
            return {name: value_of.get(k) for k, name in enumerate(names)}

        warnings = []
        if len(latents) == 1:
            warnings.append(
                "only one latent: completeness is 1 for every factor that depends on it"
            )
        details = {
            "importances": importances,
            "disentanglement": dict(zip(latents, rows, strict=True)),
            "completeness": by_factor(columns),
            "informativeness": by_factor([scored for scored, _ in accuracies]),
            "informativeness_fitted": by_factor([fitted for _, fitted in accuracies]),
            "measures": by_factor(["r2" if task.continuous else "accuracy" for task in self.tasks]),
            "latents": list(latents),
            "factors": list(names),
            "left_out": [name for k, name in enumerate(names) if k not in used],
            "predictor": dict(predictor),
            "rows_fitted": len(self.fitted),
            "rows_scored": len(self.scored),
        }
        if not importances.any():
            details["note"] = "no latent tells of a factor"
        informativeness = float(np.mean([scored for scored, _ in accuracies]))
        parts = {"completeness": completeness, "informativeness": informativeness}
        return Score(disentanglement, details, parts, warnings, self.rows_used)


def check_boosting(*, stages: int, depth: int, rate: float) -> None:
    """Refuses options of boosting that are out of range."""
    if stages < 1 or not 1 <= depth <= 7 or rate <= 0:
        raise ValueError(
            f"stages={stages}, depth={depth}, rate={rate}: "
            "give at least 1 stage, a depth of 1 to 7 and a rate above 0"
        )


def _purity(importances: NDArray[np.float64]) -> tuple[list[float | None], float]:
    """1 - entropy of each row to the base of the columns (None for a row of 0), and their mean."""
    sums = importances.sum(axis=1)
    base = np.log(importances.shape[1])
    purities = [
        (max(0.0, float(1 - entropy_of_counts(row) / base)) if base else 1.0) if total else None
        for row, total in zip(importances, sums, strict=True)
    ]
    whole = sums.sum()
    mean = sum(total * (purity or 0.0) for total, purity in zip(sums, purities, strict=True))
    return purities, float(mean / whole) if whole else 0.0


def _accuracy(predicted: NDArray[Any], truth: NDArray[Any]) -> float:
    """How often (M,) predicted classes are the true ones."""
    return float((predicted == truth).mean())


def _determination(predicted: NDArray[Any], truth: NDArray[Any]) -> float:
    """R^2 of (M,) predicted numbers, at least 0; 0 if the truth does not vary."""
    error, spread = ((truth - predicted) ** 2).sum(), ((truth - truth.mean()) ** 2).sum()
    return max(0.0, float(1 - error / spread)) if spread else 0.0


def _columns(
    fitted: Representation, scored: Representation
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(N, F) and (M, F) what a predictor sees: codes on one scale, one-hot categories."""
    codes = fitted.codes.astype(np.float64)
    middle, low, high = np.median(codes, axis=0), codes.min(axis=0), codes.max(axis=0)
    # scikit-learn reads float32 and takes values within 1e-7 for equal: neither a large mean nor a
    # small scale may be lost by that. No split lies beyond the ends of the rows fitted on.
    spread = np.where(high > low, high - low, 1.0)
    sides = []
    for side in (fitted, scored):
        scaled = (np.clip(side.codes.astype(np.float64), low, high) - middle) / spread
        hot = [np.eye(n)[c] for n, c in zip(side.category_sizes, side.categories.T, strict=True)]
        sides.append(np.ascontiguousarray(np.hstack([scaled, *hot]), dtype=np.float32))
    return sides[0], sides[1]
