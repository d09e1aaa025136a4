"""InfoMEC: Hsu et al. 2023, "Disentanglement via Latent Quantization", arXiv 2305.18378."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .calling import metric
from .doubts import DATA, few
from .information import contingency, entropy, mutual_information_of_table
from .logistic import Floats, features, fit
from .neighbours import information_of_numbers, information_with_classes, standardised
from .relations import Relations
from .representation import Representation, Score
from .vectors import summed


@dataclass(frozen=True)
class Variant:
    """What the published code bases differ in.

    Attributes:
        neighbours: of the information of a continuous latent.
        spread: of the codes of a latent, from end to end or from quartile to quartile.
        share: continuous latents are active if their spread exceeds the largest over this.
    """

    neighbours: int
    spread: Literal["range", "quartiles"]
    share: int


VARIANTS: dict[str, Variant] = {
    "disentangle": Variant(3, "range", 8),
    "latent_quantization": Variant(10, "range", 20),
    "tripod": Variant(10, "quartiles", 10),
}

# There is a warning if InfoE of useless codes would exceed it.
OVERFITTED = 0.05


@metric(*DATA, vectors=True)
def infomec(
    representation: Representation,
    rng: np.random.Generator,
    *,
    variant: Literal["disentangle", "latent_quantization", "tripod"] = "latent_quantization",
    level: float = 1e-3,
    points: int = 10_000,
) -> Score:
    """InfoMEC (Hsu et al. 2023): does each latent capture one factor (InfoM)? InfoE and InfoC.

    Hsu et al., "Disentanglement via Latent Quantization", NeurIPS 2023, arXiv 2305.18378. With
    NMI(v, z) = I(v; z) / H(v), K factors that vary and A active latents,

        InfoM = [mean over active z of max_v NMI / sum_v NMI - 1/K] / (1 - 1/K),
        InfoC = [mean over v of max_z NMI / sum_z NMI - 1/A] / (1 - 1/A),   z active,
        InfoE = mean over v of 1 - CE(v) / CE_0(v).

    The information of a continuous latent is estimated by nearest neighbours (Ross 2014), that of a
    categorical one by relative frequencies. CE is the mean negative log probability of the class in
    a multinomial logistic regression on all latents, standardised or one-hot, without penalty, all
    classes weighing the same, after 100 iterations of L-BFGS; CE_0 the same without latents, ln S
    for S classes. As published, it is computed on the rows fitted on: `test` rows are not read, and
    M useless inputs have an InfoE of about M (S - 1) / (2 N ln S), 0.003 for ten on 10,000 rows of
    dSprites. If that exceeds 0.05 there is a warning.

    A continuous latent is active by its spread alone, in three published ways with k neighbours:
    "disentangle" k=3, range above the largest over 8; "latent_quantization" k=10, over 20; "tripod"
    k=10, quartiles further apart than the furthest over 10. A categorical latent, whose numbers are
    names, is active if it depends on some factor beyond chance (Pearson's test); the others are
    hidden from InfoE too. With `level=1` it has to vary, as published. A latent for which no
    information about any factor is found is never active.

    A latent that is a vector is one latent: its neighbours are by Euclidean distance, its spread
    that along its first principal component, and InfoE sees its columns.

    With a continuous factor, information is by Kraskov et al. 2004, that of a categorical latent by
    Ross; H(v) is replaced by the estimate of I(v; v), which is finite, and 1 - CE / CE_0 by the R^2
    of a linear regression, as where Hsu et al. take factors as numbers.

    Known flaws: a latent with next to no information counts as much as any. Gaussian noise has
    InfoM 0.61, InfoC 0.33 and InfoE 0.003; perfect dSprites codes have 1.00 in all three, rotated
    ones 0.39, 0.25 and 1.00. Read InfoM with InfoE and the number of active latents; a warning
    names those that depend on no factor beyond chance. One latent of large scale makes all others
    inactive. Redundant latents cost only InfoC, factors that no latent captures only InfoE. Rows
    that repeat are neighbours of their copies, which passes for information.

    In the conformance table: perfect 1.00 / 1.00 / 1.00, rotated 0.39 / 1.00 / 0.25, noise 0.61 /
    0.00 / 0.33 (InfoM / InfoE / InfoC).

    Args:
        representation: (N, D) codes, (N, C) categories (each one latent), (N, K) factors.
        rng: chooses the rows if there are more than `points`.
        variant: estimator and rule for active latents, see above.
        level: significance level of the dependence of a categorical latent on any factor.
        points: at most this many rows are used, drawn without replacement.

    Returns:
        Score in [0, 1], InfoM; `infoe` and `infoc` are parts. 0 if no latent is active; InfoC of
        one active latent is 1, if it has information about every factor. Details: `nmi` (D + C, K),
        `normalizers` by factor in nats, `modularity` by latent (None if not active), `compactness`
        and `explicitness` by factor, `best` factor by active latent, `active` and `pruned` latents,
        `left_out`: factors that do not vary over the rows.

    Raises:
        ValueError: fewer than two factors vary, or an option is out of range.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant is {variant!r}: use one of {', '.join(VARIANTS)}")
    rule = VARIANTS[variant]
    representation = representation.at_most(points, rng)
    flat = replace(representation, groups=None, kl=None)
    relations = Relations.of(flat, rng, "infomec", 20, "width", points)
    varying = np.flatnonzero(relations.varying)
    names = np.array(representation.factor_names)
    latents = np.array(representation.latent_names)
    if len(varying) < 2:
        raise ValueError(
            f"{names[varying[0]]} is the only factor that varies: infomec is undefined, "
            "leave it out for this data"
        )

    normalizers, nmi = _normalized_information(representation, varying, rule.neighbours)
    dependent = _dependent(representation, relations, level)
    categories = dependent[len(representation.widths) :]
    active = np.concatenate([_wide(representation, rule), categories])
    active &= (nmi > 0).any(axis=1)
    shares = nmi[active][:, varying]
    modularity, compactness = _concentration(shares), _concentration(shares.T)
    explicitness, useless = _explicitness(representation, varying, categories)

    by_latent = dict(zip(latents[active].tolist(), modularity.tolist(), strict=True))
    varying_names = names[varying].tolist()
    details: dict[str, Any] = {
        "nmi": nmi,
        "normalizers": dict(zip(varying_names, normalizers, strict=True)),
        "modularity": {name: by_latent.get(name) for name in latents.tolist()},
        "best": dict(zip(by_latent, names[varying][shares.argmax(axis=1)].tolist(), strict=True)),
        "compactness": dict(zip(varying_names, compactness.tolist(), strict=True)),
        "explicitness": dict(zip(varying_names, explicitness, strict=True)),
        "active": list(by_latent),
        "pruned": latents[~active].tolist(),
        "active_count": len(by_latent),
        "variant": variant,
        "neighbours": rule.neighbours,
        "latents": latents.tolist(),
        "factors": names.tolist(),
        "left_out": relations.details["left_out"],
        "points": len(representation),
    }
    if len(by_latent) < 2:
        alone = "one latent is active: it is compact for every factor that it tells"
        details["note"] = alone if by_latent else "no latent is active"
    return Score(
        value=float(modularity.mean()) if by_latent else 0.0,
        details=details,
        parts={"infoe": float(np.mean(explicitness)), "infoc": float(compactness.mean())},
        warnings=_warnings(latents[active & ~dependent].tolist(), useless),
        rows_used=len(representation),
    )


def _normalized_information(
    representation: Representation, varying: NDArray[np.intp], neighbours: int
) -> tuple[list[float], Floats]:
    """The entropy of each varying factor, and (D + C, K) NMI, which is 0 for the other factors.

    The entropy is the information of a factor about itself: for a number it is estimated in that
    way.
    """
    normalizers = []
    nmi = np.zeros((representation.latents, len(representation.factor_names)))
    for k in varying.tolist():
        rows = representation.labelled(k)
        if rows.factor_kinds[k] == "continuous":
            number = rows.number(k)
            whole = information_of_numbers(number, number, neighbours)
            shared = [information_of_numbers(code, number, neighbours) for code in rows.vectors]
            shared += [information_with_classes(number, c, neighbours) for c in rows.categories.T]
        else:
            labels = rows.factors[:, k]
            whole = entropy(labels)
            shared = [information_with_classes(code, labels, neighbours) for code in rows.vectors]
            tables = [contingency(category, labels) for category in rows.categories.T]
            shared += [mutual_information_of_table(table) for table in tables]
        normalizers.append(whole)
        # With few rows the estimate of a number's information about itself can be 0.
        nmi[:, k] = np.array(shared) / whole if whole > 0 else 0.0
    return normalizers, nmi


def _dependent(
    representation: Representation, relations: Relations, level: float
) -> NDArray[np.bool_]:
    """(D + C,) which latents depend on a factor beyond chance; a vector if any column does."""
    columns = relations.active(None, 0.0, level)
    split = representation.codes.shape[1]
    continuous = summed(columns[:split].astype(np.int64), representation.groups) > 0
    return np.concatenate([continuous, columns[split:]])


def _wide(representation: Representation, rule: Variant) -> NDArray[np.bool_]:
    """(D,) which latents have a spread that exceeds the variant's share of the largest.

    The spread of a vector is that along its first principal component.
    """
    codes = representation.reduced("pca1").codes
    ends = (0.0, 1.0) if rule.spread == "range" else (0.25, 0.75)
    # Halved, as the difference of two large numbers overflows.
    low, high = np.quantile(codes.astype(np.float64) / 2, ends, axis=0)
    spread = high - low
    wide: NDArray[np.bool_] = spread > spread.max(initial=0.0) / rule.share
    return wide


def _concentration(shares: Floats) -> Floats:
    """(A,) how close each row of (A, B) is to a single entry; 0 for even and empty rows."""
    total, entries = shares.sum(axis=1), shares.shape[1]
    largest: Floats = shares.max(axis=1, initial=0.0) / np.where(total > 0, total, 1.0)
    if entries > 1:
        largest = (largest * entries - 1) / (entries - 1)
    return np.maximum(largest, 0.0, out=largest)


def _explicitness(
    representation: Representation, varying: NDArray[np.intp], categories: NDArray[np.bool_]
) -> tuple[list[float], float]:
    """InfoE of each varying factor, of all codes and some categories, and of useless codes."""
    sizes = np.array(representation.category_sizes, dtype=int)
    kept = np.repeat(categories, sizes)
    kept = np.concatenate([np.ones(representation.codes.shape[1], dtype=bool), kept])
    whole = features(representation)[0][:, kept]
    explicitness, useless = [], []
    for k in varying.tolist():
        rows = representation.labelled(k)
        columns = whole if rows is representation else features(rows)[0][:, kept]
        if rows.factor_kinds[k] == "continuous":
            value, design = standardised(rows.number(k)), columns - columns.mean(axis=0)
            residual = value - design @ np.linalg.lstsq(design, value, rcond=None)[0]
            share = residual @ residual / len(rows)
            chance = columns.shape[1] / len(rows)
        else:
            classes, labels = np.unique(rows.factors[:, k], return_inverse=True)
            model = fit(
                columns, labels, penalty=np.inf, balanced=True, iterations=100, tolerance=1e-8
            )
            own = model.log_probabilities(columns)[np.arange(len(rows)), labels]
            share = -own.mean() / np.log(len(classes))
            freedom = columns.shape[1] * (len(classes) - 1)
            chance = freedom / (2 * len(rows) * np.log(len(classes)))
        explicitness.append(float(np.clip(1 - share, 0.0, 1.0)))
        useless.append(float(chance))
    return explicitness, float(np.mean(useless))


def _warnings(independent: list[str], useless: float) -> list[str]:
    lines = []
    if independent:
        lines.append(
            f"{few(independent)}: active, but dependent on no factor beyond chance: infom "
            "counts each as much as a good latent"
        )
    if useless > OVERFITTED:
        lines.append(
            "the rows are too few for the latents: useless ones would have an infoe of about "
            f"{min(1.0, useless):.2f}; give more rows"
        )
    return lines
