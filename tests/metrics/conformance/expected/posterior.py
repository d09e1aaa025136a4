"""Conformance of the metrics that read a posterior, here of variance 1e-4 for latents in use.

A latent with mean 0, variance 1 and that posterior has a KL of (9.210 + 1e-4)/2 = 4.605 nats. It
tells the row's class, H nats: 1.099 of shape, 1.792 of scale, 3.689 of orientation, 3.466 of a
position; 3.965 of the sum or the difference of both positions. 10,000 rows cannot be told apart by
more than ln 10,000 = 9.210 nats.
"""

from tests.metrics.conformance.expected.bounds import (
    Expected,
    Table,
    against,
    at_most,
    exactly,
    like,
    near,
)

_OWN_ROW = (
    "known flaw: noise of 10,000 rows is told by its own row, up to .06 of H in the second latent"
)

_MIG_POSTERIOR: Table = {
    "perfect": near(
        0.988,
        0.005,
        "no bins, no ceiling but the bias of the second latent: (.004 + .005 + .016 + 2 x .017)/5",
    ),
    "permuted": like("perfect", 0.005, "order and sign mean nothing, but draw other samples"),
    "scaled": like("perfect", 1e-4, "scale and mean mean nothing if the posterior has them too"),
    "rotated": near(0.030, 0.03, "as for mig: two largest loadings are near each other"),
    "rotated pair": near(0.595, 0.008, "positions are told equally by two latents: 3/5 less bias"),
    "duplicated": at_most(0.005, "every factor is told by two latents equally"),
    "merged": near(
        0.652,
        0.012,
        "the sum tells .144 of each position: (3 + 2 x .144)/5, with "
        "biases of .025 less and 2 x .011 more",
    ),
    "noisy": near(
        0.726,
        0.02,
        "integral over the noise .767, less .04 as its own row tells noise of the second latent",
    ),
    "dead": like("perfect", 0.005, "posteriors that are the prior tell nothing"),
    "constant": at_most(1e-6, "all posteriors are the same"),
    "noise": at_most(0.02, "two latents of noise have the same bias"),
    "outliers": like("perfect", 0.005, "no bins that outliers could widen"),
    "cubed": near(
        0.939,
        0.008,
        "classes in the middle come closer than the posterior is wide: integral .951 less bias",
    ),
    "one-hot": near(
        0.788, 0.006, "known flaw of columns: three tell .637 nats of shape each: 4/5 less bias"
    ),
    "category": like("perfect", 0.005, "a category is one latent and tells all of shape"),
    "no shape": near(0.788, 0.006, "shape has no latent: 4/5 less bias"),
    "one noise": against("no shape", -0.06, 0.005, _OWN_ROW),
    "six noise": against("no shape", -0.065, 0.005, _OWN_ROW),
    "random one-hot": like("no shape", 0.005, "a latent that tells nothing adds at most its bias"),
    "random category": against("no shape", -0.005, 0.003, "a useless category raises no score"),
    "collapsed": like("no shape", 0.005, "a wide posterior tells nothing, not even its own row"),
}

_COUNT = "no quality: "

_ACTIVE_UNITS: Table = {
    "perfect": exactly(5, "five latents vary"),
    "permuted": exactly(5, "order and sign of the latents mean nothing"),
    "scaled": exactly(
        4, "known flaw: a variance of .08 squared is below .01, whatever the posterior"
    ),
    "rotated": exactly(5, _COUNT + "five latents vary"),
    "rotated pair": exactly(5, _COUNT + "five latents vary"),
    "duplicated": exactly(10, _COUNT + "copies count"),
    "merged": exactly(4, "four latents"),
    "noisy": exactly(5, "five latents vary"),
    "dead": exactly(5, "constant latents and variances of 1e-4 do not count"),
    "constant": exactly(0, "no latent varies"),
    "noise": exactly(10, _COUNT + "no factor is asked"),
    "outliers": exactly(5, "five latents vary"),
    "cubed": exactly(5, "five latents vary"),
    "one-hot": exactly(7, "known flaw of columns: three for one factor"),
    "category": exactly(5, "a category is one latent"),
    "no shape": exactly(4, "four latents"),
    "one noise": exactly(5, _COUNT + "no factor is asked"),
    "six noise": exactly(10, _COUNT + "no factor is asked"),
    "random one-hot": exactly(7, _COUNT + "no factor is asked"),
    "random category": exactly(5, _COUNT + "no factor is asked"),
    "collapsed": exactly(
        10,
        "known flaw: a variance of .09 counts though the KL is .05 nats; "
        "by KL it is 4 (see its details)",
    ),
}

# Of each case, in nats: KL; what each latent tells of the row, summed; what all tell together;
# how far KL and sum may be off (the sample's variances); where the numbers come from.
_NATS: dict[str, tuple[float, float, float, float, str]] = {
    "perfect": (23.03, 13.51, 9.20, 0.08, "5 x 4.605; entropies of the factors"),
    "permuted": (23.03, 13.51, 9.20, 0.08, "as perfect"),
    "scaled": (
        531.2,
        13.51,
        9.20,
        12,
        "(c^2 + 4 + 8.21)/2 - ln c of each scale c; the posterior "
        "is scaled too, so that information stays",
    ),
    "rotated": (23.03, 22.98, 9.20, 0.12, "turning keeps the KL; each latent is near N(0, 1)"),
    "rotated pair": (23.03, 14.51, 9.20, 0.08, "5 x 4.605; 6.579 + 2 x 3.965"),
    "duplicated": (46.05, 27.02, 9.20, 0.12, "twice perfect; copies tell nothing new"),
    "merged": (18.42, 10.54, 9.02, 0.08, "4 x 4.605; 6.579 + 3.965"),
    "noisy": (23.05, 20.93, 9.21, 0.12, "variance 1.01; integral over the noise"),
    "dead": (23.04, 13.51, 9.20, 0.08, "perfect, and .005 for each mean of .1"),
    "constant": (0.025, 0, 0, 1e-6, "5 x .1^2/2; the posterior is the same for all rows"),
    "noise": (46.05, 45.98, 9.21, 0.35, "10 x 4.605; each latent is N(0, 1)"),
    "outliers": (24.02, 13.55, 9.20, 0.4, "variance 1.4; entropies, and .008 for being far out"),
    "cubed": (
        29.13,
        12.65,
        9.17,
        0.25,
        "sixth moments; integral over the posterior, in which middle classes overlap",
    ),
    "one-hot": (31.24, 14.32, 9.20, 0.08, "4 x 4.605 + 3 x 4.272; 12.412 + 3 x .637"),
    "category": (19.52, 13.51, 9.20, 0.08, "4 x 4.605 + ln 3; entropies of the factors"),
    "no shape": (18.42, 12.41, 9.18, 0.08, "4 x 4.605; entropies of four factors"),
    "one noise": (23.03, 17.01, 9.21, 0.12, "no shape, and 4.605 of noise"),
    "six noise": (46.05, 39.99, 9.21, 0.25, "no shape, and 6 x 4.605 of noise"),
    "random one-hot": (31.24, 14.32, 9.20, 0.08, "no shape, and 3 x 4.272; 12.412 + 3 x .637"),
    "random category": (19.52, 13.51, 9.20, 0.08, "no shape, and ln 3"),
    "collapsed": (18.70, 12.69, 9.195, 0.08, "no shape, and 6 x .047, all of it on the row"),
}

_LIMIT = "the rows differ in ln 10,000 = 9.210 nats, less what rows with the same codes cannot tell"


def _parts() -> dict[str, Table]:
    kl, information, dependence, dimension = (dict[str, Expected]() for _ in range(4))
    for case, (whole, each, together, within, why) in _NATS.items():
        kl[case] = near(whole, within, why)
        information[case] = near(together, min(within, 0.03), _LIMIT)
        apart = min(within, 0.35)
        # Information is invariant to scale: only sampling is left.
        dependence[case] = near(
            each - together,
            0.08 if case == "scaled" else apart,
            f"{each:g} nats of single latents less {together:g} of all",
        )
        dimension[case] = near(whole - each, within, f"KL {whole:g} less {each:g} of latents")
    for case in ("perfect", "no shape", "category"):
        dependence[case] = Expected(
            dependence[case].low,
            dependence[case].high,
            "known flaw: factors are independent, but "
            + dependence[case].why
            + ", as the rows cannot tell more (it warns)",
        )
    return {
        "kl_decomposition": kl,
        "kl_decomposition.mutual_information": information,
        "kl_decomposition.total_correlation": dependence,
        "kl_decomposition.dimension_wise": dimension,
    }


POSTERIOR: dict[str, Table] = {
    "mig_posterior": _MIG_POSTERIOR,
    **_parts(),
    "active_units": _ACTIVE_UNITS,
}
