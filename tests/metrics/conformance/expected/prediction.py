"""Conformance of the metrics that guess a factor from latents, or a latent's factor by a line."""

from tests.metrics.conformance.expected.bounds import (
    INVARIANT,
    Table,
    against,
    at_least,
    at_most,
    between,
    exactly,
    like,
    near,
)

_TOLD = "the difference of the latent of the factor held is 0"
_SATURATED = (
    "known flaw: saturates at K - 1 factors, the one without a latent is told by elimination"
)

_BETAVAE: Table = {
    "perfect": at_least(0.995, _TOLD),
    "permuted": like("perfect", 0.005, "order and sign of the latents mean nothing"),
    "scaled": like("perfect", 0.005, "scale and mean of a latent mean nothing"),
    "rotated": between(
        0.5,
        0.8,
        "loadings of shape and posY, of scale and posX are equal in size: "
        ".6 but for the forms of their distributions",
    ),
    "rotated pair": near(0.80, 0.02, "either position halves both differences: (3 + 2 x 1/2)/5"),
    "duplicated": at_least(0.995, "known flaw: copies cost nothing"),
    "merged": near(
        0.80,
        0.02,
        "both positions halve the same difference: (3 + 2 x 1/2)/5; disentanglement_lib has .799",
    ),
    "noisy": at_least(0.995, "known flaw: it asks for alignment; disentanglement_lib has 1.000"),
    "dead": at_least(0.995, "pruned before they are standardised"),
    "constant": exactly(0, "no latent is active"),
    "noise": near(0.2, 0.025, "chance 1/5; disentanglement_lib has .203"),
    "outliers": at_least(
        0.97,
        "an outlier in one of 64 pairs adds .3 of a code to a difference of 0, others have 1.1",
    ),
    "cubed": at_least(0.99, _TOLD),
    "one-hot": at_least(0.99, _TOLD),
    "category": at_least(0.995, _TOLD),
    "no shape": at_least(0.99, _SATURATED),
    "one noise": at_least(0.99, _SATURATED),
    "six noise": at_least(0.99, _SATURATED),
    "random one-hot": at_least(0.99, _SATURATED),
    "random category": against("no shape", -0.01, 0.005, "a useless category raises no score"),
    "collapsed": at_least(0.99, _SATURATED),
}

_SMALL = "small by construction: lines tell 3 of 3, 4 of 6, and 2 of 40, 32 and 32 classes"

_SAP: Table = {
    "perfect": near(
        0.244, 0.012, f"{_SMALL}: (.667 + .5 + .025 + 2 x .031)/5 = .251, less the best of chance"
    ),
    "permuted": like("perfect", 0.005, "order and sign of the latents mean nothing"),
    "scaled": near(
        0.145,
        0.015,
        "known flaw: the intercept is penalised, so that means of 2 cost "
        "2 of 3 and 3 of 6 classes: (.333 + .333 + .088)/5 = .151 less chance",
    ),
    "rotated": at_most(0.08, "every latent tells of every factor"),
    "rotated pair": against(
        "perfect", -0.025, 0.005, "positions have no gap, and had little: .06/5"
    ),
    "duplicated": exactly(0, "the second best latent is as good"),
    "merged": against("perfect", -0.025, 0.01, "known flaw: positions lose nearly nothing"),
    "noisy": against(
        "perfect", -0.02, 0.01, "lines still tell the same classes; disentanglement_lib has .243"
    ),
    "dead": like("perfect", 0.005, "latents that carry nothing take no part"),
    "constant": exactly(0, "all latents guess the same class"),
    "noise": at_most(0.01, "differences of guesses; disentanglement_lib has .003"),
    "outliers": against(
        "perfect",
        -0.12,
        0.01,
        "known flaw: squared losses mind outliers: up to 4 of 6 scales are lost",
    ),
    "cubed": between(
        0.2, 0.35, "known flaw: which classes lines tell depends on the warp; shape stays at 3 of 3"
    ),
    "one-hot": near(
        0.115,
        0.012,
        "known flaw of columns: each tells 2 of 3 shapes: (0 + .5 + .088)/5 = .118 less chance",
    ),
    "category": like("perfect", 0.005, "all of shape, as a category"),
    "no shape": near(0.113, 0.012, "shape has no latent: (0 + .5 + .088)/5 = .118 less chance"),
    "one noise": like("no shape", 0.005, "tells nothing"),
    "six noise": like("no shape", 0.005, "tells nothing"),
    "random one-hot": like("no shape", 0.005, "tells nothing"),
    "random category": against("no shape", -0.005, 0.003, "a useless category raises no score"),
    "collapsed": like("no shape", 0.005, "tells nothing"),
}

_FOUR = "shape has no latent: (0 + 4)/5, and the chance of the largest of them"

_MCC: Table = {
    "perfect": at_least(1 - 1e-9, "every factor is the line of a latent"),
    **INVARIANT,
    "rotated": near(0.559, 0.01, "mean of the loadings under the best assignment"),
    "rotated pair": near(0.883, 0.005, "(3 + 2/sqrt(2))/5"),
    "duplicated": at_least(1 - 1e-9, "known flaw: what else is encoded costs nothing"),
    "merged": near(
        0.741,
        0.005,
        "the sum is assigned one position at 1/sqrt(2), the other has none: (3 + .707 + 0)/5",
    ),
    "noisy": near(0.995, 0.001, "1/sqrt(1 + .01)"),
    "dead": like("perfect", 1e-9, "assigned to no factor"),
    "constant": exactly(0, "correlation 0 for what is constant"),
    "noise": at_most(0.03, "the largest of 50 correlations by chance, sd .01 each"),
    "outliers": near(
        0.86,
        0.06,
        "known flaw of Pearson's: 1/sqrt(1 + .001 x 399) of each; ten rows of each make the spread",
    ),
    "cubed": near(0.937, 0.003, "known flaw of Pearson's: 1, .935, .917, .917, .917 by moments"),
    "one-hot": at_least(
        1 - 1e-9,
        "known flaw: a column that tells one class of three is the line "
        "of some numbering of the classes",
    ),
    "category": at_least(1 - 1e-9, "a category that tells every class has 1"),
    "no shape": near(0.802, 0.004, _FOUR),
    "one noise": near(0.802, 0.004, _FOUR),
    "six noise": near(0.802, 0.006, _FOUR),
    "random one-hot": near(0.802, 0.006, _FOUR),
    "random category": against(
        "no shape",
        -0.004,
        0.004,
        "corrected for chance: a useless category has no more than a useless latent",
    ),
    "collapsed": near(0.802, 0.006, _FOUR),
}

_CHANCE = near(1 / 3, 0.025, "chance 1/3: shape is the only categorical factor")

_ACCURACY: Table = {
    "perfect": exactly(1, "three classes in three bins of equal frequency"),
    **INVARIANT,
    "rotated": near(
        0.56,
        0.04,
        "the best latent has shape at .602: .65 of the outer classes and "
        ".41 of the middle one in the right third",
    ),
    "rotated pair": exactly(1, "shape has its latent"),
    "duplicated": exactly(1, "shape has its latent"),
    "merged": exactly(1, "shape has its latent"),
    "noisy": at_least(
        0.98, "classes are 12 deviations apart, but are not quite thirds of the rows"
    ),
    "dead": exactly(1, "shape has its latent"),
    "constant": near(1 / 3, 0.025, "known flaw: not 0, one bin stands for the largest class"),
    "noise": _CHANCE,
    "outliers": at_least(0.995, "bins of equal frequency do not mind outliers"),
    "cubed": exactly(1, "bins of equal frequency do not mind a monotone warp"),
    "one-hot": near(
        2 / 3,
        0.025,
        "known flaw of columns: each alone tells one class, and guesses "
        "between two: (1 + 1/2 x 2)/3",
    ),
    "category": exactly(1, "the category is the class"),
    "no shape": _CHANCE,
    "one noise": _CHANCE,
    "six noise": _CHANCE,
    "random one-hot": _CHANCE,
    "random category": _CHANCE,
    "collapsed": _CHANCE,
}

PREDICTION: dict[str, Table] = {
    "discrete_accuracy": _ACCURACY,
    "betavae_score": _BETAVAE,
    "sap": _SAP,
    "mcc": _MCC,
}
