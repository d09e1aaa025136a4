"""The presets: how much work a run is, and how each model is trained, in one visible table.

A setting that is not given here keeps the default of the model's signature. `iterations`,
`warmup` and `lr_decay_steps` are lengths of schedules, which `--steps` shrinks or stretches in
proportion.

Losses are nats per image, so beta, gamma and the capacities depend on the size of the image: 32x32
pixels have a quarter of the nats of 64x64.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """How a model is trained under a preset.

    Attributes:
        steps: of the training.
        batch_size: images per step.
        settings: arguments of the model's constructor.
        source: where the numbers come from, and how they were chosen.
    """

    steps: int
    batch_size: int = 64
    settings: Mapping[str, Any] = field(default_factory=dict)
    source: str = "ours, not tuned"


# Settings that are the length of a schedule in steps: a preset's scale with `--steps`.
_LENGTHS = {"iterations", "warmup", "lr_decay_steps"}


def scaled(recipe: Recipe, steps: int) -> Recipe:
    """A recipe for another number of steps, to which its schedules scale."""
    settings = dict(recipe.settings)
    for key in _LENGTHS & settings.keys():
        if settings[key]:  # 0 is no schedule at all
            settings[key] = max(1, round(settings[key] * steps / recipe.steps))
    return replace(recipe, steps=steps, settings=settings)


# By model, or by "model on data set" where the data ask for other settings.
Recipes = Mapping[str, Recipe]


_NOT_TRIED = "ours, not tried yet"
_BY_MIG = "ours; its strength is the best of three by MIG on dsprites, seeds 100 to 102"
_ONE_SEED = "ours, tried on dsprites with one seed for 4,000 steps"

# One category a class of their labels, and the author's number of continuous latents.
_TEN = {"continuous": 10, "categorical": (10,)}
_OF_TEN_CLASSES = ("mnist", "fashionmnist", "digits")


def _on_ten_classes(recipe: Recipe) -> dict[str, Recipe]:
    """JointVAE's recipe for each of the data sets with ten classes."""
    return {f"jointvae on {name}": recipe for name in _OF_TEN_CLASSES}


# A small network for all models, at 32x32 pixels.
_BROADCAST = {"network": "broadcast", "lr": 1e-3}
# Fast enough for all models but categoricalvae to be better than the mean image after 200 steps,
# which with PyTorch's initialisation depends on the seed.
_SMOKE = {"network": "broadcast", "initialisation": "he", "lr": 5e-3}

SMOKE: Recipes = {
    "betavae": Recipe(200, 32, {**_SMOKE, "beta": 2.0}),
    "annealedvae": Recipe(200, 32, {**_SMOKE, "gamma": 2.0, "C": 5.0, "iterations": 160}),
    "jointvae": Recipe(
        200, 32, {**_SMOKE, "gamma": 2.0, "C_z": 5.0, "C_c": 0.8, "iterations": 160}
    ),
    "betatcvae": Recipe(200, 32, {**_SMOKE, "beta": 2.0}),
    "factorvae": Recipe(200, 32, {**_SMOKE, "gamma": 5.0, "hidden": 64, "layers": 3}),
    "hfsvae": Recipe(200, 32, {**_SMOKE, "gamma": 0.3}),
    "cascadevae": Recipe(200, 32, {**_SMOKE, "iterations": 160}),
    "categoricalvae": Recipe(200, 32, {**_SMOKE, "iterations": 160}),
    "qlae": Recipe(200, 32, {**_SMOKE, "quantization": 0.1, "commitment": 0.1}),
    **_on_ten_classes(
        Recipe(
            200,
            32,
            {**_SMOKE, "gamma": 2.0, "C_z": 5.0, "C_c": 2.0, "iterations": 160, **_TEN},
        )
    ),
}

_CAPACITY = {**_BROADCAST, "iterations": 1_600}

# The strength of each model (beta, gamma, lambda, weight_decay) was chosen by one rule for all, see
# docs/models.md; the rest is shared, or the model's default, or ours.
QUICK: Recipes = {
    "betavae": Recipe(2_000, 64, {**_BROADCAST, "beta": 4.0}, _BY_MIG),
    "annealedvae": Recipe(2_000, 64, {**_CAPACITY, "gamma": 4.0, "C": 6.0}, _BY_MIG),
    "jointvae": Recipe(2_000, 64, {**_CAPACITY, "gamma": 2.0, "C_z": 6.0, "C_c": 1.0}, _BY_MIG),
    "factorvae": Recipe(
        2_000,
        64,
        {**_BROADCAST, "gamma": 40.0, "hidden": 256, "layers": 4, "lr_discriminator": 1e-3},
        _BY_MIG,
    ),
    "betatcvae": Recipe(2_000, 64, {**_BROADCAST, "beta": 12.0}, _BY_MIG),
    "dipvae1": Recipe(2_000, 64, {**_BROADCAST, "lambda_od": 5.0, "lambda_d": 20.0}, _BY_MIG),
    "dipvae2": Recipe(2_000, 64, {**_BROADCAST, "lambda_od": 1.0, "lambda_d": 2.0}, _BY_MIG),
    "infovae": Recipe(2_000, 64, {**_BROADCAST, "lambda_": 30.0}, _BY_MIG),
    "hfsvae": Recipe(2_000, 64, {**_BROADCAST, "gamma": 3.0}, _BY_MIG),
    "jointbetavae": Recipe(2_000, 64, {**_BROADCAST, "beta": 2.0, "beta_c": 1.0}, _BY_MIG),
    "cascadevae": Recipe(2_000, 64, {**_BROADCAST, "beta_l": 0.3, "iterations": 1_200}, _BY_MIG),
    "categoricalvae": Recipe(2_000, 64, {**_BROADCAST, "iterations": 1_600}, _BY_MIG),
    # with the published 0.01 the numbers run away from their values: most pixels are black
    "qlae": Recipe(
        2_000,
        64,
        {**_BROADCAST, "quantization": 0.1, "commitment": 0.1, "weight_decay": 0.03},
        _BY_MIG,
    ),
    **_on_ten_classes(
        Recipe(
            3_000,
            64,
            {"lr": 1e-3, "gamma": 5.0, "C_z": 8.0, "C_c": 2.0, "iterations": 2_400, **_TEN},
            "ours, tried on Fashion-MNIST",
        )
    ),
    # A higher C_c, or one that rises faster, is met by a category that is the same for all images.
    "jointvae on digits": Recipe(
        2_000,
        64,
        {
            "network": "broadcast",
            "initialisation": "he",
            "lr": 2e-3,
            "continuous": 4,
            "categorical": (10,),
            "gamma": 30.0,
            "C_z": 3.0,
            "C_c": 1.9,
            "iterations": 1_500,
        },
        "ours, tried on digits",
    ),
}

# The network of the quick preset, and its strengths: those that weigh a KL times four, as images of
# 64x64 have four times the nats, those that weigh a total correlation as they are. Tried with one
# seed each for 4,000 steps, see docs/models.md.
_STANDARD_CAPACITY = {**_BROADCAST, "iterations": 12_000}

STANDARD: Recipes = {
    "betavae": Recipe(15_000, 64, {**_BROADCAST, "beta": 16.0}, _ONE_SEED),
    "annealedvae": Recipe(15_000, 64, {**_STANDARD_CAPACITY, "gamma": 16.0, "C": 6.0}, _ONE_SEED),
    "jointvae": Recipe(
        15_000, 64, {**_STANDARD_CAPACITY, "gamma": 8.0, "C_z": 6.0, "C_c": 1.0}, _ONE_SEED
    ),
    "factorvae": Recipe(
        15_000,
        64,
        {**_BROADCAST, "gamma": 40.0, "hidden": 256, "layers": 4, "lr_discriminator": 1e-3},
        _ONE_SEED,
    ),
    "betatcvae": Recipe(15_000, 64, {**_BROADCAST, "beta": 12.0}, _NOT_TRIED),
    "dipvae1": Recipe(15_000, 64, {**_BROADCAST, "lambda_od": 20.0, "lambda_d": 80.0}, _NOT_TRIED),
    "dipvae2": Recipe(15_000, 64, {**_BROADCAST, "lambda_od": 4.0, "lambda_d": 8.0}, _NOT_TRIED),
    "infovae": Recipe(15_000, 64, {**_BROADCAST, "lambda_": 120.0}, _NOT_TRIED),
    "hfsvae": Recipe(15_000, 64, {**_BROADCAST, "gamma": 12.0}, _NOT_TRIED),
    "jointbetavae": Recipe(15_000, 64, {**_BROADCAST, "beta": 8.0, "beta_c": 4.0}, _NOT_TRIED),
    "cascadevae": Recipe(
        15_000, 64, {**_BROADCAST, "beta_l": 1.2, "iterations": 9_000}, _NOT_TRIED
    ),
    "categoricalvae": Recipe(15_000, 64, {**_BROADCAST, "iterations": 12_000}, _NOT_TRIED),
    "qlae": Recipe(
        15_000,
        64,
        {**_BROADCAST, "quantization": 0.1, "commitment": 0.1, "weight_decay": 0.03},
        _NOT_TRIED,
    ),
    "autoencoder": Recipe(15_000, 64, _BROADCAST, _NOT_TRIED),
    "adagvae": Recipe(15_000, 64, _BROADCAST, _NOT_TRIED),
    "adamlvae": Recipe(15_000, 64, _BROADCAST, _NOT_TRIED),
    **_on_ten_classes(
        Recipe(
            15_000,
            64,
            {"lr": 5e-4, "gamma": 20.0, "C_z": 8.0, "C_c": 2.0, "iterations": 12_000, **_TEN},
            _NOT_TRIED,
        )
    ),
}

_LOCATELLO = {"network": "locatello", "initialisation": "glorot", "lr": 1e-4}
_DLIB = "the study of Locatello et al. 2019, disentanglement_lib"

# The settings of the papers, on dSprites but where another data set is named. None of the papers'
# PDFs was read: `source` says whose code, or whose quotation, each row is from.
PAPER: Recipes = {
    "vae": Recipe(
        345_600,
        64,
        {"network": "burgess", "initialisation": "he", "lr": 5e-4},
        "no paper of its own on dSprites: YannDubs/disentangling-vae, 30 epochs",
    ),
    "betavae": Recipe(
        345_600,
        64,
        {"beta": 4.0, "network": "burgess", "initialisation": "he", "lr": 5e-4},
        "beta of Higgins et al. 2017 in YannDubs/disentangling-vae, 30 epochs; the paper's own "
        "MLP (network=mlp1200) was trained by Adagrad, which no published code confirms",
    ),
    "annealedvae": Recipe(
        345_600,
        64,
        # by PyTorch's own initialisation still the mean image after 5,600 steps, with gamma 100
        {
            "gamma": 1000.0,
            "C": 25.0,
            "iterations": 100_000,
            "network": "burgess",
            "initialisation": "he",
            "lr": 5e-4,
        },
        "Burgess et al. 2018 as quoted by 1Konny/Beta-VAE; 30 epochs as YannDubs",
    ),
    "jointvae": Recipe(
        345_600,
        64,
        {"gamma": 150.0, "C_z": 40.0, "C_c": 1.1, "iterations": 300_000, "lr": 5e-4},
        "trained_models/dsprites/specs.json of the author's repository: 30 epochs",
    ),
    "factorvae": Recipe(
        300_000,
        128,  # halved: 64 images train the model, 64 are permuted
        {
            "gamma": 35.0,
            "second_batch": True,
            "network": "factorvae",
            "initialisation": "glorot",
            "lr": 1e-4,
            "lr_discriminator": 1e-4,
        },
        "paruby/FactorVAE and disentanglement_lib; the second batch is the paper's algorithm 2",
    ),
    "betatcvae": Recipe(
        18_000,
        2048,
        {"beta": 6.0, "network": "mlp1200", "lr": 1e-3},
        "vae_quant.py and README of rtqichen/beta-tcvae: 50 epochs",
    ),
    "dipvae1": Recipe(300_000, 64, {"lambda_od": 10.0, "lambda_d": 100.0, **_LOCATELLO}, _DLIB),
    "dipvae2": Recipe(300_000, 64, {"lambda_od": 10.0, "lambda_d": 10.0, **_LOCATELLO}, _DLIB),
    "hfsvae": Recipe(
        300_000,
        64,
        {
            "beta": 0.0,
            "gamma": 300.0,
            "network": "dupont64",  # its vae_locatello has 4x4 kernels throughout
            "initialisation": "he_uniform",
            "lr": 1e-4,
        },
        "base.yaml, README and vae_locatello.py of facebookresearch/disentangling-correlated-"
        "factors; gamma is its example for 3D Shapes",
    ),
    "cascadevae": Recipe(
        300_000,
        64,
        {"iterations": 120_000, "network": "dupont64", "initialisation": "he_glorot", "lr": 1e-4},
        "snu-mllab/DisentanglementICML19, whose decay of the learning rate never takes effect",
    ),
    "qlae": Recipe(
        200_000,
        128,
        {"lr": 1e-3, "quantization": 0.001, "commitment": 0.001},
        "configs/params/quantized_ae/fixed/quantized_ae_dsprites.yaml of "
        "kylehkhsu/latent_quantization, whose network is its own",
    ),
    **{
        f"qlae on {name}": Recipe(
            200_000,
            128,
            {"lr": 1e-3, "quantization": 0.01, "commitment": 0.01},
            "configs/train_ae.yaml of kylehkhsu/latent_quantization, whose network is its own",
        )
        for name in ("shapes3d", "mpi3d_toy", "mpi3d_realistic", "mpi3d_real", "mpi3d_complex")
    },
    # an example of theirs is a pair: 64 of them
    "adagvae": Recipe(300_000, 128, _LOCATELLO, f"{_DLIB}, where weak supervision has no budget"),
    "adamlvae": Recipe(300_000, 128, _LOCATELLO, f"{_DLIB}, where weak supervision has no budget"),
    "jointvae on mnist": Recipe(
        93_800,
        64,
        {"gamma": 30.0, "C_z": 5.0, "C_c": 5.0, "iterations": 25_000, "lr": 5e-4, **_TEN},
        "trained_models/mnist/specs.json of the author's repository: 100 epochs",
    ),
    "jointvae on fashionmnist": Recipe(
        93_800,
        64,
        # The author's C_c rises to 10 over these steps, and is cut off at ln 10 = 2.303.
        {"gamma": 100.0, "C_z": 5.0, "C_c": 10.0, "iterations": 50_000, "lr": 5e-4, **_TEN},
        "trained_models/fashion/specs.json of the author's repository: 100 epochs",
    ),
}


@dataclass(frozen=True)
class Preset:
    """A budget and its recipes.

    Attributes:
        description: for `bench list presets`.
        note: what is said below every table.
        image_size: pixels per side.
        rows: number of images that are encoded and scored.
        other: the recipe of a model that has none of its own here.
        recipes: by model, or by "model on data set" where the data ask for other settings.
        image_sizes: pixels per side of data sets that have another size.
    """

    description: str
    note: str
    image_size: int
    rows: int
    other: Recipe
    recipes: Recipes = field(default_factory=dict)
    image_sizes: Mapping[str, int] = field(default_factory=dict)

    def recipe(self, model: str, dataset: str) -> Recipe:
        own = self.recipes.get(model, self.other)
        return self.recipes.get(f"{model} on {dataset}", own)

    def size_of(self, dataset: str) -> int:
        return self.image_sizes.get(dataset, self.image_size)


PRESETS: dict[str, Preset] = {
    "smoke": Preset(
        description="seconds per run, 32x32: does it run at all?",
        note="a test of the machinery, its numbers mean nothing",
        image_size=32,
        rows=2_000,
        other=Recipe(200, 32, _SMOKE),
        recipes=SMOKE,
    ),
    "quick": Preset(
        description="minutes per run on one CPU core, 32x32: a first comparison",
        note="a short comparison at 32x32 pixels, not a reproduction of any paper",
        image_size=32,
        rows=30_000,
        other=Recipe(2_000, 64, _BROADCAST),
        recipes=QUICK,
    ),
    "standard": Preset(
        description="about a quarter of an hour per run on one CPU core, 64x64",
        note="a middle budget of our own, not a reproduction of any paper",
        image_size=64,
        rows=100_000,
        other=Recipe(15_000, 64, _BROADCAST),
        recipes=STANDARD,
    ),
    "paper": Preset(
        description="the papers' own budgets and settings, 64x64: a GPU, or days",
        note="the papers' budgets and settings, as far as code of theirs or others gives them",
        image_size=64,
        rows=100_000,
        other=Recipe(300_000, 64, {"lr": 1e-4}, "the budget of Locatello et al. 2019"),
        recipes=PAPER,
        image_sizes={"mnist": 32, "fashionmnist": 32},
    ),
}
