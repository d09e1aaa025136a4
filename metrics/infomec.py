"""InfoMEC: Hsu et al. 2023, "Disentanglement via Latent Quantization", arXiv 2305.18378."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .information import contingency, entropy, mutual_information_of_table
from .logistic import Floats, fit, inputs
from .neighbours import information_of_numbers, information_with_classes, standardized
from .relations import Relations
from .representation import Representation, Score


@dataclass(frozen=True)
class Variant:
    """What the published code bases differ in.

    Args:
        neighbours: of the information of a continuous latent.
        spread: of the codes of a latent, from end to end or from quartile to quartile.
        share: continuous latents are active whose spread exceeds the largest over this.
    """

    neighbours: int
    spread: Literal["range", "quartiles"]
    share: int


VARIANTS: dict[str, Variant] = {
    "disentangle": Variant(3, "range", 8),
    "latent_quantization": Variant(10, "range", 20),
    "tripod": Variant(10, "quartiles", 10),
}

# What InfoE of useless codes may be before it is a warning.
OVERFITTED = 0.05


def infomec(
    representation: Representation,
    rng: np.random.Generator,
    *,
    variant: Literal["disentangle", "latent_quantization", "tripod"] = "latent_quantization",
    level: float = 1e-3,
    points: int = 10_000,
) -> Score:
    """InfoMEC (Hsu et al. 2023): InfoM, does each latent tell one factor only? InfoE and InfoC too.

    Hsu et al., "Disentanglement via Latent Quantization", NeurIPS 2023, arXiv 2305.18378. With
    NMI(v, z) = I(v; z) / H(v), K factors that vary and A active latents,

        InfoM = [mean over active z of max_v NMI / sum_v NMI - 1/K] / (1 - 1/K),
        InfoC = [mean over v of max_z NMI / sum_z NMI - 1/A] / (1 - 1/A),   z active,
        InfoE = mean over v of 1 - CE(v) / CE_0(v).

    The information of a continuous latent is that of nearest neighbours (Ross 2014), of a
    categorical one the plug-in. CE is the mean negative log probability of the class in a
    multinomial logistic regression on all latents, standardised or one-hot, without penalty, all
    classes weighing the same, after 100 iterations of L-BFGS; CE_0 the same without latents, ln S
    of S classes. As published, it is taken on the rows fitted on: `test` rows are not read, and M
    useless inputs have an InfoE of about M (S - 1) / (2 N ln S), 0.003 for ten on 10,000 rows of
    dSprites. Where that passes 0.05 there is a warning.

    A continuous latent is active by its spread alone, in three published ways with k neighbours:
    "disentangle" k=3, range above the largest over 8; "latent_quantization" k=10, over 20;
    "tripod" k=10, quartiles further apart than the furthest over 10. A categorical latent, whose
    numbers are names, is active where it depends on some factor beyond chance (Pearson's test); the
    others are hidden from InfoE too. With `level=1` it has to vary, as published. A latent of which
    no information with any factor is found is never active.

    With a continuous factor, information is by Kraskov et al. 2004, that of a categorical latent by
    Ross; the estimate of I(v; v), which is finite, is in the place of H(v), and R^2 of a linear
    regression in that of 1 - CE / CE_0, as where Hsu et al. take factors as numbers.

    Known flaws: a latent that tells next to nothing counts as much as any. Gaussian noise has InfoM
    0.55, InfoC 0.29 and InfoE 0.003; perfect dSprites codes 1.00 thrice, rotated ones 0.46, 0.58
    and 1.00. InfoM is to be read with InfoE and the number of active latents; a warning names those
    that depend on no factor beyond chance. One latent of large scale makes all others inactive.
    Redundant latents cost InfoC only, factors that no latent tells InfoE only. Rows that repeat are
    neighbours of their copies and pass for information.

    Args:
        representation: (N, D) codes, (N, C) categories (each one latent), (N, K) factors.
        rng: chooses the rows where there are more than `points`.
        variant: estimator and rule for active latents, see above.
        level: significance level of the dependence of a categorical latent on any factor.
        points: at most so many rows are used, drawn without replacement.

    Returns:
        Score in [0, 1], InfoM; `infoe` and `infoc` are parts. 0 if no latent is active; InfoC of
        one active latent is 1, if it tells every factor. Details: `nmi` (D + C, K), `normalizers`
        by factor in nats, `modularity` by latent (None if not active), `compactness` and
        `explicitness` by factor, `best` factor by active latent, `active` and `pruned` latents,
        `left_out`: factors that do not vary over the rows.

    Raises:
        ValueError: fewer than two factors vary, or an option is out of range.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant is {variant!r}: use one of {', '.join(VARIANTS)}")
    rule = VARIANTS[variant]
    representation = representation.at_most(points, rng)
    relations = Relations.of(representation, rng, "infomec", 20, "width", points)
    varying = np.flatnonzero(relations.varying)
    names = np.array(representation.factor_names)
    latents = np.array(representation.latent_names)
    if len(varying) < 2:
        raise ValueError(
            f"{names[varying[0]]} is the only factor that varies: infomec is undefined, "
            "leave it out for this data"
        )

    normalizers, nmi = _normalized_information(representation, varying, rule.neighbours)
    telling = relations.active(None, 0.0, level)
    telling_categories = telling[representation.codes.shape[1] :]
    active = np.concatenate([_spread_enough(representation.codes, rule), telling_categories])
    active &= (nmi > 0).any(axis=1)
    shares = nmi[active][:, varying]
    modularity, compactness = _concentration(shares), _concentration(shares.T)
    explicitness, useless = _explicitness(representation, varying, telling_categories)

    by_latent = dict(zip(latents[active].tolist(), modularity.tolist(), strict=True))
    varied = names[varying].tolist()
    details: dict[str, Any] = {
        "nmi": nmi,
        "normalizers": dict(zip(varied, normalizers, strict=True)),
        "modularity": {name: by_latent.get(name) for name in latents.tolist()},
        "best": dict(zip(by_latent, names[varying][shares.argmax(axis=1)].tolist(), strict=True)),
        "compactness": dict(zip(varied, compactness.tolist(), strict=True)),
        "explicitness": dict(zip(varied, explicitness, strict=True)),
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
        one = "one latent is active: it is compact for every factor that it tells"
        details["note"] = one if by_latent else "no latent is active"
    return Score(
        value=float(modularity.mean()) if by_latent else 0.0,
        details=details,
        parts={"infoe": float(np.mean(explicitness)), "infoc": float(compactness.mean())},
        warnings=_warnings(latents[active & ~telling].tolist(), useless),
        rows_used=len(representation),
    )


def _normalized_information(
    representation: Representation, varying: NDArray[np.intp], neighbours: int
) -> tuple[list[float], Floats]:
    """What the information of each varying factor is divided by, and (D + C, K) NMI, 0 of others.

    The entropy of a factor is its information with itself, which is how that of a number is found.
    """
    normalizers = []
    nmi = np.zeros((representation.latents, len(representation.factor_names)))
    for k in varying.tolist():
        rows = representation.labelled(k)
        if rows.factor_kinds[k] == "continuous":
            number = rows.number(k)
            whole = information_of_numbers(number, number, neighbours)
            told = [information_of_numbers(code, number, neighbours) for code in rows.codes.T]
            told += [information_with_classes(number, c, neighbours) for c in rows.categories.T]
        else:
            labels = rows.factors[:, k]
            whole = entropy(labels)
            told = [information_with_classes(code, labels, neighbours) for code in rows.codes.T]
            tables = [contingency(category, labels) for category in rows.categories.T]
            told += [mutual_information_of_table(table) for table in tables]
        normalizers.append(whole)
        # A number of few rows can have no information found with itself.
        nmi[:, k] = np.array(told) / whole if whole > 0 else 0.0
    return normalizers, nmi


def _spread_enough(codes: NDArray[Any], rule: Variant) -> NDArray[np.bool_]:
    """(D,) whether a latent's spread exceeds its share of the largest."""
    ends = (0.0, 1.0) if rule.spread == "range" else (0.25, 0.75)
    # Halved, as the difference of two large numbers overflows.
    low, high = np.quantile(codes.astype(np.float64) / 2, ends, axis=0)
    spread = high - low
    enough: NDArray[np.bool_] = spread > spread.max(initial=0.0) / rule.share
    return enough


def _concentration(shares: Floats) -> Floats:
    """(A,) of (A, B): how near each row is to one place only; 0 for even and empty rows."""
    total, places = shares.sum(axis=1), shares.shape[1]
    largest: Floats = shares.max(axis=1, initial=0.0) / np.where(total > 0, total, 1.0)
    if places > 1:
        largest = (largest * places - 1) / (places - 1)
    return np.maximum(largest, 0.0, out=largest)


def _explicitness(
    representation: Representation, varying: NDArray[np.intp], categories: NDArray[np.bool_]
) -> tuple[list[float], float]:
    """Of each varying factor, from all codes and some categories; and what useless codes score."""
    sizes = np.array(representation.category_sizes, dtype=int)
    kept = np.repeat(categories, sizes)
    kept = np.concatenate([np.ones(representation.codes.shape[1], dtype=bool), kept])
    whole = inputs(representation)[0][:, kept]
    told, useless = [], []
    for k in varying.tolist():
        rows = representation.labelled(k)
        columns = whole if rows is representation else inputs(rows)[0][:, kept]
        if rows.factor_kinds[k] == "continuous":
            value, design = standardized(rows.number(k)), columns - columns.mean(axis=0)
            rest = value - design @ np.linalg.lstsq(design, value, rcond=None)[0]
            share = rest @ rest / len(rows)
            chance = columns.shape[1] / len(rows)
        else:
            classes, labels = np.unique(rows.factors[:, k], return_inverse=True)
            found = fit(
                columns, labels, penalty=np.inf, balanced=True, iterations=100, tolerance=1e-8
            )
            own = found.log_probabilities(columns)[np.arange(len(rows)), labels]
            share = -own.mean() / np.log(len(classes))
            freedom = columns.shape[1] * (len(classes) - 1)
            chance = freedom / (2 * len(rows) * np.log(len(classes)))
        told.append(float(np.clip(1 - share, 0.0, 1.0)))
        useless.append(float(chance))
    return told, float(np.mean(useless))


def _warnings(idle: list[str], useless: float) -> list[str]:
    lines = []
    if idle:
        lines.append(
            f"{', '.join(idle)}: active, but without a factor beyond chance: infom counts each as "
            "much as a good latent"
        )
    if useless > OVERFITTED:
        lines.append(
            "the rows are too few for the latents: useless ones would have an infoe of about "
            f"{min(1.0, useless):.2f}; give more rows"
        )
    return lines
