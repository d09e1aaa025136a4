"""Published numbers that need no training: the weights that the author of JointVAE released."""

from functools import partial
from typing import Any

from bench.reproduce.published import Part, Row, Table
from bench.reproduce.tables.joint import DUPONT, RELEASED

# fmt: off
# one row per number, arguments in the order of `Row`

_dupont = partial(Row, "Dupont 2018, JointVAE (arXiv 1804.00104)")
_capacity = partial(
    _dupont, "settings of the released models", "JointVAE, released", certainty="primary",
    run="released", basis="2 % of the capacity that its schedule ended at",
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
                  basis="two standard errors of the difference: images deviate by 25.6 nats, and "
                  "there are 10,000 of them here and 40,000 there", **_DSPRITES),
        _measured(metric="kl_continuous", value="40.04", tolerance=0.1,
                  basis=f"{_DRAW}two standard errors of 40,000 images are less", **_DSPRITES),
        _measured(metric="kl_categorical", value="1.08", tolerance=0.01,
                  basis="two standard errors and rounding", **_DSPRITES),
        _measured(metric="factorvae_score:standard", value="0.80", tolerance=0.02,
                  basis=f"{_DRAW}two standard errors of the difference, 5,000 votes each",
                  **_DSPRITES),
        _measured(metric="mig", value="0.31", tolerance=0.02, basis=f"{_DRAW}10,000 points each",
                  **_DSPRITES),
        _measured(metric="discrete_accuracy", value="0.537", tolerance=0.01,
                  basis=f"{_DRAW}two standard errors of the difference", **_DSPRITES),
        _measured(metric="discrete_accuracy.one_to_one", value="0.494", tolerance=0.01,
                  basis=f"{_DRAW}two standard errors of the difference", **_DSPRITES),
        _capacity(metric="kl_continuous", source="specs.json beside the weights", value="5",
                  tolerance=0.1, **_FASHION),
        _capacity(metric="kl_categorical", source="specs.json beside the weights: 10, cut off at "
                  "ln 10", value="2.3026", tolerance=0.046, **_FASHION),
        _measured(metric="discrete_accuracy", value="0.518", tolerance=0.01,
                  basis="the mapping was fitted on the images that it was scored on", **_FASHION),
        _measured(metric="discrete_accuracy.one_to_one", value="0.450", tolerance=0.01,
                  basis="the mapping was fitted on the images that it was scored on", **_FASHION),
        _measured(metric="discrete_accuracy/nmi", value="0.554", tolerance=0.005,
                  basis="rounding, and the resampling of the images", **_FASHION),
        _dupont("unsupervised accuracy of the category on MNIST", "JointVAE", "mnist",
                "discrete_accuracy", "quoted",
                "Natsu6767/Paper-Summaries, summary of JointVAE: 88.7 %", "0.887",
                part="joint-vae-mnist", run="released"),
    ),
    about=(
        "The weights are those of trained_models in Schlumberger/joint-vae, under the names "
        "joint-vae-dsprites.pt, joint-vae-fashion.pt and joint-vae-mnist.pt in the folder of "
        "--weights. They are one model each, and do not tell what another training would give.",
    ),
)
