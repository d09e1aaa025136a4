"""The presets: how much work a run is; `recipes.py` has each model's settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.recipes import PAPER, QUICK, SMOKE, STANDARD, Recipe, Recipes


@dataclass(frozen=True)
class Preset:
    """A budget and its recipes.

    description: for `bench list presets`; note: stands below every table; image_size: pixels a
    side, and image_sizes of the data sets that have another; rows: images that are encoded and
    scored; other: the recipe of a model that has none of its own here; recipes: by model, or by
    "model on data set" where the data ask for other settings.
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
        description="seconds a run, 32x32: does it run at all?",
        note="a test of the machinery, its numbers mean nothing",
        image_size=32,
        rows=2_000,
        other=Recipe(100, 32, {"lr": 1e-3}),
        recipes=SMOKE,
    ),
    "quick": Preset(
        description="minutes a run on one CPU core, 32x32: a first comparison",
        note="a short comparison at 32x32 pixels, not a reproduction of any paper",
        image_size=32,
        rows=30_000,
        other=Recipe(3_000, 64, {"lr": 1e-3}),
        recipes=QUICK,
    ),
    "standard": Preset(
        description="about an hour a run on one CPU core, minutes on a GPU, 64x64",
        note="a middle budget of our own, not a reproduction of any paper",
        image_size=64,
        rows=100_000,
        other=Recipe(15_000, 64, {"lr": 5e-4}),
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
