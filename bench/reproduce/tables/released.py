"""Numbers that need no training: metrics of simulated codes, and released weights."""

from functools import partial
from typing import Any

from bench.reproduce.published import Part, Protocol, Row, Table
from bench.reproduce.tables.joint import DUPONT, RELEASED

# fmt: off
# a row a number, arguments in the order of `Row`

_SIMULATION = Protocol(
    words="codes are standardised factor indices; 4,000 and 2,000 votes of 64, deviations below "
    "0.05 pruned; MIG of equal-width bins on 10,000 points",
    options=("factorvae_score.votes=4000", "factorvae_score.test_votes=2000"),
)


def _bins(bins: int) -> Protocol:
    return Protocol(_SIMULATION.words, (*_SIMULATION.options, f"mig.bins={bins}"))


_VOTES, _ALL = ("factorvae_score",), ("factorvae_score", "mig", "infomec", "dci_fast")
_unit = partial(
    Row, "none", "simulated codes of dSprites", dataset="dsprites", certainty="derived",
    source="an independent simulation in numpy, one draw", n=1, run="simulated codes",
)
_factor = partial(_unit, metric="factorvae_score")
_mig = partial(_unit, metric="mig")


def _case(name: str, metrics: tuple[str, ...], protocol: Protocol = _SIMULATION) -> Part:
    return Part(name, "simulated codes", "dsprites", metrics=metrics, protocol=protocol)


METRIC_UNITS = Table(
    name="metric-units",
    id="T10",
    title="The metrics on simulated codes of the dSprites factors",
    parts=(
        _case("perfect", _ALL),
        _case("no shape", _VOTES),
        _case("no shape, 1 noise", _VOTES),
        _case("no shape, 6 noise", _VOTES),
        _case("no shape, random one-hot", _VOTES),
        _case("no shape, random category", _VOTES),
        _case("rotated", _VOTES),
        _case("perfect, 10 bins", ("mig",), _bins(10)),
        _case("perfect, 50 bins", ("mig",), _bins(50)),
        _case("perfect, 100 bins", ("mig",), _bins(100)),
        _case("cubed, 10 bins", ("mig",), _bins(10)),
        _case("cubed", ("mig",)),
        _case("cubed, 50 bins", ("mig",), _bins(50)),
        _case("cubed, 100 bins", ("mig",), _bins(100)),
        _case("outliers", ("mig",)),
    ),
    rows=(
        _factor("perfect code", value="1.000", part="perfect"),
        _factor("four aligned factors, no shape", value="0.796", part="no shape"),
        _factor("the same and 1 latent of noise", value="0.855", part="no shape, 1 noise"),
        _factor("the same and 6 latents of noise", value="0.968", part="no shape, 6 noise"),
        _factor("the same and a random category as 3 one-hot columns", value="0.882",
                part="no shape, random one-hot"),
        Row("none", "simulated codes of dSprites", "the same and a random category as one latent",
            "dsprites", "factorvae_score", "beside", "nothing to compare with",
            part="no shape, random category", run="simulated codes"),
        _factor("perfect code, positions rotated by 45 degrees", value="0.790", part="rotated"),
        _mig("perfect code, 10 bins", value="0.786", part="perfect, 10 bins"),
        _mig("perfect code, 20 bins", value="0.895", part="perfect"),
        _mig("perfect code, 50 bins", value="0.987", part="perfect, 50 bins"),
        _mig("perfect code, 100 bins", value="0.987", part="perfect, 100 bins"),
        _mig("perfect code cubed, 10 bins", value="0.734", part="cubed, 10 bins"),
        _mig("perfect code cubed, 20 bins", value="0.826", part="cubed"),
        _mig("perfect code cubed, 50 bins", value="0.884", part="cubed, 50 bins"),
        _mig("perfect code cubed, 100 bins", value="0.925", part="cubed, 100 bins"),
        _mig("perfect code, 0.1 % outliers 20 times as large, 20 bins", value="0.306",
             part="outliers"),
        _unit("perfect code", metric="infomec", value="1.00", part="perfect"),
        _unit("perfect code", metric="dci_fast", value="1.00", part="perfect"),
    ),
    about=(
        "Nothing is published: the numbers are those of a separate simulation of the published "
        "protocols, which shows what the scores are worth.",
    ),
)

_dupont = partial(Row, "Dupont 2018, JointVAE (arXiv 1804.00104)")
_capacity = partial(
    _dupont, "settings of the released models", "JointVAE, released", certainty="primary",
    run="released", because="2 % of the capacity that its schedule ended at",
)
_measured = partial(
    _dupont, "released models", "JointVAE, released", certainty="derived",
    source=RELEASED, n=1, run="released",
)
_DSPRITES: dict[str, Any] = {"dataset": "dsprites", "part": "joint-vae-dsprites"}
_FASHION: dict[str, Any] = {"dataset": "fashionmnist", "part": "joint-vae-fashion"}
_DRAW = "other images and votes: "

RELEASED_JOINTVAE = Table(
    name="released-jointvae",
    id="T11",
    title="The released weights of JointVAE, scored here",
    parts=(
        Part("joint-vae-dsprites", "released", "dsprites", protocol=DUPONT,
             weights="joint-vae-dsprites.pt"),
        Part("joint-vae-fashion", "released", "fashionmnist", weights="joint-vae-fashion.pt"),
        Part("joint-vae-mnist", "released", "mnist", weights="joint-vae-mnist.pt"),
    ),
    rows=(
        _capacity(metric="kl_continuous", source="specs.json beside the weights", value="40",
                  tolerance=0.8, **_DSPRITES),
        _capacity(metric="kl_categorical", source="specs.json beside the weights: 1.1, cut off at "
                  "ln 3", value="1.0986", tolerance=0.022, **_DSPRITES),
        _dupont("FactorVAE metric on dSprites", "JointVAE, mean over runs", "dsprites",
                "factorvae_score", "quoted", "README of pfnet-research/"
                "chainer-disentanglement-lib@6be6a9c: the average score reported in the paper",
                "0.69", part="joint-vae-dsprites", run="released"),
        _measured(metric="reconstruction", value="42.5", tolerance=0.57,
                  because="two standard errors of the difference: 25.6 nats between images, 10,000 "
                  "of them here and 40,000 there", **_DSPRITES),
        _measured(metric="kl_continuous", value="40.04", tolerance=0.1,
                  because=f"{_DRAW}two standard errors of 40,000 images are less", **_DSPRITES),
        _measured(metric="kl_categorical", value="1.08", tolerance=0.01,
                  because="two standard errors and rounding", **_DSPRITES),
        _measured(metric="factorvae_score:standard", value="0.80", tolerance=0.02,
                  because=f"{_DRAW}two standard errors of the difference, 5,000 votes each",
                  **_DSPRITES),
        _measured(metric="mig", value="0.31", tolerance=0.02, because=f"{_DRAW}10,000 points each",
                  **_DSPRITES),
        _measured(metric="discrete_accuracy", value="0.537", tolerance=0.01,
                  because=f"{_DRAW}two standard errors of the difference", **_DSPRITES),
        _measured(metric="discrete_accuracy.one_to_one", value="0.494", tolerance=0.01,
                  because=f"{_DRAW}two standard errors of the difference", **_DSPRITES),
        _capacity(metric="kl_continuous", source="specs.json beside the weights", value="5",
                  tolerance=0.1, **_FASHION),
        _capacity(metric="kl_categorical", source="specs.json beside the weights: 10, cut off at "
                  "ln 10", value="2.3026", tolerance=0.046, **_FASHION),
        _measured(metric="discrete_accuracy", value="0.518", tolerance=0.01,
                  because="the mapping was fitted on the images that it was scored on", **_FASHION),
        _measured(metric="discrete_accuracy.one_to_one", value="0.450", tolerance=0.01,
                  because="the mapping was fitted on the images that it was scored on", **_FASHION),
        _measured(metric="discrete_accuracy/nmi", value="0.554", tolerance=0.005,
                  because="rounding, the resampling of the images", **_FASHION),
        _dupont("unsupervised accuracy of the category on MNIST", "JointVAE", "mnist",
                "discrete_accuracy", "quoted",
                "Natsu6767/Paper-Summaries, summary of JointVAE: 88.7 %", "0.887",
                part="joint-vae-mnist", run="released"),
    ),
    about=(
        "Weights are those of trained_models in Schlumberger/joint-vae, by the names "
        "joint-vae-dsprites.pt, joint-vae-fashion.pt and joint-vae-mnist.pt in the folder of "
        "--weights. One model each: what a training anew would give, they do not tell.",
    ),
)
