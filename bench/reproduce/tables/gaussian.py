"""Published tables of scores on dSprites, for models without categories."""

from functools import partial
from typing import Any

from bench.reproduce.published import Part, Protocol, Row, Table
from bench.reproduce.tables.joint import BEST, FROM_MEMORY, JEONG, ZHU

# fmt: off
# one row per number, arguments in the order of `Row`

INFOGAN_CR = "results/Table1.png of fjxmlzn/InfoGAN-CR@e0537bc"
QUOTED = f"{INFOGAN_CR}, which quotes it"
_UNKNOWN_PROTOCOL = "the protocol of the quoted number is not printed"

# InfoGAN-CR, table 1

_LIN = Protocol(
    words="sampled codes; FactorVAE score of 500 votes of 100 images scored on themselves, nothing "
    "pruned; MIG of 20 equal-width bins on 73,728 points; BetaVAE score of 500 points of 50 pairs "
    "scored on themselves",
    options=(
        "factorvae_score.votes=500", "factorvae_score.test_votes=0", "factorvae_score.batch=100",
        "factorvae_score.min_kl=0", "mig.points=73728", "betavae_score.points=500",
        "betavae_score.pairs=50", "betavae_score.min_kl=0", "sap.factors=values",
    ),
    sampled=True,
    beyond="BetaVAE score and the shape in SAP are scored on the points that were fitted; which "
    "regression is behind DCI",
)
_GAMMAS = {
    "1": ("0.79 0.01", "0.67 0.03", "0.47 0.03", "0.78 0.01", "0.79 0.01", "0.27 0.03",
          "0.79 0.02"),
    "10": ("0.83 0.01", "0.70 0.02", "0.57 0.00", "0.79 0.00", "0.79 0.00", "0.40 0.01",
           "0.83 0.01"),
    "20": ("0.83 0.01", "0.72 0.02", "0.57 0.00", "0.79 0.00", "0.79 0.01", "0.40 0.01",
           "0.85 0.00"),
    "40": ("0.82 0.01", "0.74 0.01", "0.56 0.00", "0.79 0.00", "0.77 0.01", "0.43 0.01",
           "0.84 0.01"),
}
# column of the table: the metric here, and what keeps the two apart
_COLUMNS = {
    "factorvae_score": "",
    "dci": "which regression is behind it was not determined; ours are boosted trees",
    "sap": "",
    "explicitness": "its protocol was not read",
    "modularity": "its protocol was not read",
    "mig": "",
    "betavae_score": "scored on the points that were fitted, ours on fresh ones",
}

FACTORVAE_GAMMA = Table(
    name="factorvae-gamma-dsprites",
    id="T3",
    title="FactorVAE's gamma on dSprites (InfoGAN-CR, table 1)",
    parts=(
        Part("factorvae", "factorvae", "dsprites", 311_040, 64,
             ("factorvae.second_batch=false", "factorvae.layers=5", "train.batch_size=64"),
             ("factorvae.gamma=1,10,20,40",),
             ("betavae_score", "sap", "modularity", "explicitness", "dci"), _LIN, variants=4,
             milliseconds=104.3),
    ),
    rows=tuple(
        Row("Lin et al. 2020, InfoGAN-CR", "table 1", f"FactorVAE (gamma {gamma})", "dsprites",
            metric, "primary", INFOGAN_CR, value=number.split()[0], spread=number.split()[1],
            spread_is="apparently the standard error", n=10, part="factorvae", run="factorvae",
            settings={"gamma": float(gamma)}, incomparable=apart)
        for gamma, numbers in _GAMMAS.items()
        for (metric, apart), number in zip(_COLUMNS.items(), numbers, strict=True)
    ),
    about=("What ± stands for is not printed; 0.01 over 10 runs looks like a standard error.",),
)

# Zhu et al. 2021, and others' VAE and beta-VAE

_ZHU = Protocol(
    words="10,000 and 5,000 votes of 64 images, latents with a deviation below 0.1 pruned; MIG, "
    "SAP and DCI on 1,000 points",
    options=(
        "factorvae_score.min_std=0.1", "mig.points=1000", "sap.points=1000", "dci.points=1000",
        "dci.test_points=1000",
    ),
    by_spread=True,
    beyond="their split of the images into 9/10 and 1/10, and how many points are scored",
)
_zhu = partial(
    Row, "Zhu et al. 2021, Commutative Lie Group VAE", "poster, ablation on dSprites", "VAE",
    "dsprites", certainty="primary", source=ZHU.replace(", table 5", ""), spread_is="sd", n=10,
    part="vae", run="vae",
)
_quoted = partial(
    Row, "Lin et al. 2020, InfoGAN-CR", "table 1, quoted there", dataset="dsprites",
    certainty="quoted", source=QUOTED, incomparable=_UNKNOWN_PROTOCOL,
)
_VAE: dict[str, Any] = {"model": "VAE", "part": "vae", "run": "vae"}
_BETA: dict[str, Any] = {"model": "beta-VAE", "part": "betavae", "run": "betavae"}

VAE_DSPRITES = Table(
    name="vae-dsprites",
    id="T4",
    title="VAE and beta-VAE on dSprites (Zhu et al. 2021; Jeong & Song 2019)",
    parts=(
        Part("vae", "vae", "dsprites", 201_600, 256, ("train.batch_size=256", "vae.lr=1e-4"), (),
             ("sap", "dci"), _ZHU, milliseconds=231.9),
        Part("betavae", "betavae", "dsprites", 300_000, 64, ("betavae.lr=1e-4",), (),
             ("sap", "dci"), JEONG, milliseconds=58.0),
    ),
    rows=(
        _zhu("factorvae_score", value="0.694", spread="0.109"),
        _zhu("mig", value="0.078", spread="0.064"),
        _zhu("sap", value="0.197", spread="0.106"),
        _zhu("dci", value="0.081", spread="0.041"),
        Row("Jeong & Song 2019, CascadeVAE", "FactorVAE metric on dSprites, mean of 10 seeds",
            "beta-VAE (4)", "dsprites", "factorvae_score", "quoted", ZHU, "0.744",
            spread="0.077", spread_is="sd", n=10, part="betavae", run="betavae",
            incomparable=BEST),
        _quoted(metric="factorvae_score", value="0.63", spread="0.06", **_VAE),
        _quoted(metric="dci", value="0.30", spread="0.10", **_VAE),
        _quoted(metric="mig", value="0.10", **_VAE),
        _quoted(metric="factorvae_score", value="0.63", spread="0.10", **_BETA),
        _quoted(metric="dci", value="0.41", spread="0.11", **_BETA),
        _quoted(metric="sap", value="0.55", **_BETA),
        _quoted(metric="mig", value="0.21", **_BETA),
    ),
    about=(
        "Zhu et al.: 10 seeds, 70 epochs, batch 256, lr 1e-4, ten latents; their network was not "
        "read, ours is that of Burgess et al. 2018.",
    ),
)

# disentanglement_lib, reduced

_DLIB = Protocol(
    words="means; 10,000 and 5,000 votes of 64, latents with a deviation below 0.05 pruned; MIG of "
    "20 bins on 10,000 points; DCI by gradient boosting",
    by_spread=True,
)
_LOCATELLO = ("network=locatello", "initialisation=glorot", "lr=1e-4")
_PFN = "images/result of pfnet-research/chainer-disentanglement-lib@6be6a9c, read off to 0.02"
# model: metric: ends of the violins
_VIOLINS = {
    ("beta-VAE (16)", "betavae", "beta", 16.0): ("0.40 0.74", "0.05 0.39", "0.06 0.54",
                                                 "0.004 0.08", "0.44 0.79"),
    ("FactorVAE (gamma 100)", "factorvae", "gamma", 100.0): ("0.58 0.94", "0.03 0.47", "0.09 0.59",
                                                             "0.013 0.089", "0.51 0.81"),
    ("DIP-VAE-I (50)", "dipvae1", "lambda_od", 50.0): ("0.43 0.66", "0.01 0.07", "0.03 0.09",
                                                       "0.00 0.025", "0.10 0.18"),
    ("DIP-VAE-II (50)", "dipvae2", "lambda_od", 50.0): ("0.42 0.76", "0.01 0.23", "0.04 0.28",
                                                        "0.00 0.08", "0.30 0.57"),
}
_EXTRA = ("sap", "irs", "dci")


def _study(model: str, sweep: str, variants: int, milliseconds: float, *more: str) -> Part:
    sets = tuple(f"{model}.{setting}" for setting in (*_LOCATELLO, *more))
    return Part(model, model, "dsprites", 300_000, 64, (*sets, "train.batch_size=64"),
                (f"{model}.{sweep}",), _EXTRA, _DLIB, 5, variants, milliseconds)


_median = partial(
    Row, "Locatello et al. 2020", "medians on dSprites", "beta-VAE", "dsprites",
    certainty="unverified", source=FROM_MEMORY,
)

LOCATELLO = Table(
    name="locatello-dsprites",
    id="T6",
    title="The study of Locatello et al. 2019 on dSprites, reduced",
    parts=(
        _study("betavae", "beta=1,4,16", 3, 64.0),
        _study("factorvae", "gamma=10,40,100", 3, 110.7, "second_batch=false"),
        _study("betatcvae", "beta=1,6", 2, 64.9),
        _study("dipvae1", "lambda_od=50", 1, 62.9, "lambda_d=500"),
        _study("dipvae2", "lambda_od=50", 1, 64.1, "lambda_d=50"),
    ),
    rows=(
        *(
            Row("PFN chainer-disentanglement-lib", "violin plots", shown, "dsprites", metric,
                "primary", _PFN, low=ends.split()[0], high=ends.split()[1], part=model,
                run=model, settings={key: value})
            for (shown, model, key, value), numbers in _VIOLINS.items()
            for metric, ends in zip(("factorvae_score", "mig", "dci", "sap", "irs"), numbers,
                                    strict=True)
        ),
        _median("factorvae_score", value="0.660"),
        _median("mig", value="0.102"),
    ),
    about=(
        "The study itself prints violin plots and rank correlations, not scores. The ranges are "
        "the smallest and the largest score in an independent run of its protocol, whose number of "
        "seeds is not stated.",
    ),
)
