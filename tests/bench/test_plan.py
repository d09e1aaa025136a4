"""From a request to runs: defaults, variants, schedules, identity."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from bench.datasets import DATASETS
from bench.errors import RequestError
from bench.models import MODELS
from bench.plan import Plan, Request, plan
from bench.presets import PRESETS, Recipe
from bench.settings import parameters
from bench.store.run import LATER_SETTINGS, Run, read_run


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def planned(models: str = "betavae", **given: Any) -> Plan:
    return plan(Request(models=models, **{"dataset": "toy", "preset": "smoke", **given}))


def settings(asked: Plan, key: str) -> list[Any]:
    return [run.settings[key] for run in asked.runs]


def test_all_models_by_seeds_in_the_order_of_the_registry() -> None:
    asked = planned("all", seeds="3,7")
    assert [(r.model, r.seed) for r in asked.runs] == [(m, s) for m in MODELS for s in (3, 7)]
    assert len({r.folder for r in asked.runs}) == 2 * len(MODELS)
    assert not Path("results").exists()


def test_a_set_wins_over_the_preset_and_the_preset_over_the_default() -> None:
    (run,) = planned("jointvae", seeds="1", sets=["jointvae.gamma=7"]).runs
    recipe = PRESETS["smoke"].recipe("jointvae", "toy").settings
    assert run.settings["gamma"] == 7.0
    assert run.settings["C_z"] == recipe["C_z"] != 40.0
    assert run.settings["temperature"] == 0.67
    assert run.label == "jointvae (gamma=7)"


@pytest.mark.parametrize(("dataset", "weight"), [("dsprites", 0.001), ("shapes3d", 0.01)])
def test_qlae_has_its_authors_weights_for_the_data_set(dataset: str, weight: float) -> None:
    recipe = PRESETS["paper"].recipe("qlae", dataset).settings
    assert (recipe["quantization"], recipe["commitment"]) == (weight, weight)


def test_every_recipe_names_a_model_and_settings_that_it_has() -> None:
    for preset in PRESETS.values():
        for name, recipe in preset.recipes.items():
            model, _, dataset = name.partition(" on ")
            assert model in MODELS, name
            assert not dataset or dataset in DATASETS, name
            assert recipe.settings.keys() <= parameters(MODELS[model]).keys(), name


def test_a_sweep_is_the_product_of_its_values() -> None:
    asked = planned(
        "betavae,vae", seeds="1", sweeps=["betavae.beta=1,2", "betavae.continuous=3,4,5"]
    )
    betas = [r for r in asked.runs if r.model == "betavae"]
    combined = {(r.settings["beta"], r.settings["continuous"]) for r in betas}
    assert combined == {(b, c) for b in (1.0, 2.0) for c in (3, 4, 5)}
    assert len({r.label for r in asked.runs}) == 7


def test_the_same_settings_are_the_same_run_however_asked_for() -> None:
    preset = planned(seeds="1").runs[0]
    swept = {
        run.settings["beta"]: run for run in planned(seeds="1", sweeps=["betavae.beta=1,2"]).runs
    }
    assert swept[2.0] == preset
    both = [["betavae.beta=3", "betavae.continuous=5"], ["betavae.continuous=5", "betavae.beta=3"]]
    first, second = (planned(seeds="1", sets=sets).runs[0] for sets in both)
    assert first == second
    assert first.label == second.label
    assert len(planned("betavae,betavae", seeds="1", sweeps=["betavae.beta=2,2.0"]).runs) == 1


def test_steps_scale_the_schedules() -> None:
    recipe = PRESETS["smoke"].recipe("jointvae", "toy")
    asked = planned("jointvae,betavae", seeds="1", steps=recipe.steps // 2)
    assert [run.steps for run in asked.runs] == [recipe.steps // 2] * 2
    assert asked.runs[0].settings["iterations"] == recipe.settings["iterations"] // 2
    assert planned("jointvae", steps=1, seeds="1").runs[0].settings["iterations"] == 1
    fixed = planned("jointvae", steps=50, seeds="1", sets=["jointvae.iterations=33"])
    assert settings(fixed, "iterations") == [33]


@pytest.mark.parametrize(
    ("key", "length", "scaled"),
    [("iterations", 80, 40), ("warmup", 80, 40), ("warmup", 1, 1), ("warmup", 0, 0)]
    + [("lr_decay_steps", 80, 40)],
)
def test_every_length_of_a_schedule_scales_with_the_steps(
    monkeypatch, key: str, length: int, scaled: int
) -> None:
    model = {"iterations": "jointvae", "warmup": "betavae", "lr_decay_steps": "cascadevae"}[key]
    recipe = Recipe(100, 32, {key: length})
    monkeypatch.setitem(PRESETS, "smoke", replace(PRESETS["smoke"], recipes={model: recipe}))
    assert settings(planned(model, seeds="1"), key) == [length]
    assert settings(planned(model, seeds="1", steps=50), key) == [scaled]


def test_train_and_data_settings_are_those_of_the_study() -> None:
    asked = planned(seeds="1", sets=["train.batch_size=8", "train.rows=50", "toy.image_size=64"])
    (run,) = asked.runs
    assert (run.batch_size, run.rows, run.image_shape) == (8, 50, (1, 64, 64))
    assert asked.folder == Path("results/toy-smoke-image_size64-batch_size8-rows50")
    assert planned().folder == Path("results/toy-smoke")
    assert planned(steps=9).folder == Path("results/toy-smoke-steps9")
    assert planned(seeds="1", sets=["train.rows=99999"]).runs[0].rows == 576


def test_a_fixed_factor_makes_other_data_with_a_name_of_its_own() -> None:
    whole, fixed = planned("adagvae", seeds="1"), planned("adagvae", seeds="1", fix=["shape=cross"])
    assert fixed.study.data_settings == {"image_size": 32, "fix": ["shape=cross"]}
    assert "fix" not in whole.study.data_settings
    assert fixed.folder == Path("results/toy-smoke-fix-shape-cross")
    assert (whole.study.data_name, fixed.study.data_name) == ("toy", "toy (shape=cross)")
    (run,), (other,) = fixed.runs, whole.runs
    assert (run.rows, other.rows) == (192, 576)
    assert run.fingerprint == f"{other.fingerprint}:fixed-shape=cross"
    assert run.identity != other.identity
    assert replace(run, rows=other.rows, fingerprint=other.fingerprint).identity == other.identity
    assert back_from_json(run.as_dict()) == run
    assert "discrete_accuracy" in fixed.refused  # without a categorical factor


def test_the_same_fixed_factors_are_the_same_study_however_asked_for() -> None:
    ways = [["shape=cross", "size=0"], ["size=0,shape=cross"], ["size=0", "shape=cross, size=0"]]
    first, *others = (planned(seeds="1", fix=way) for way in ways)
    assert first.folder == Path("results/toy-smoke-fix-shape-cross-size-0")
    for other in others:
        assert (other.study, other.folder, other.runs) == (first.study, first.folder, first.runs)
    word = planned(seeds="1", fix=["shape=2,size=0"])
    assert word.runs[0].identity == first.runs[0].identity


def test_metric_options_are_in_the_definition() -> None:
    asked = planned(metrics="mig,factorvae_score", sets=["factorvae_score.votes=500"])
    by_name = {d.name: d.options for d in asked.definitions}
    assert list(by_name) == ["mig", "factorvae_score"]
    assert by_name["factorvae_score"]["votes"] == 500
    assert by_name["mig"] == {"bins": 20, "binning": "width", "points": 10_000}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"models": "jointvea"}, "did you mean jointvae"),
        ({"models": ","}, "--models is empty"),
        ({"models": "bench.metrics:mig"}, "no subclass of bench.models.VAE"),
        ({"dataset": "toys"}, "did you mean toy"),
        ({"preset": "quikc"}, "did you mean quick"),
        ({"metrics": "mgi"}, "did you mean mig"),
        ({"metrics": ","}, "no metric named"),
        ({"steps": 0}, "--steps 0: must be at least 1"),
        ({"sets": ["betavae.bate=1"]}, "did you mean beta"),
        ({"sets": ["betavea.beta=1"]}, "did you mean betavae"),
        ({"sets": ["jointvae.gamma=1"]}, "jointvae is not among --models"),
        ({"sets": ["betavae.beta=-1"]}, "betavae: beta=-1.0: must not be negative"),
        ({"sets": ["betavae.image_shape=1,2,3"]}, "unknown setting"),
        ({"sets": ["train.batch_size=0"]}, "must be at least 1"),
        ({"sets": ["toy.image_size=20"]}, "toy: image_size must be 28 to 128"),
        ({"sets": ["mig.bins=1"]}, "mig: "),
        ({"fix": ["shpe=0"]}, "no factor 'shpe', did you mean shape"),
        ({"fix": ["shape=0,"]}, "'': write FACTOR=CLASS"),
        ({"fix": ["shape=0"], "hold_out": ["shape=1"]}, "shape is fixed at square"),
        ({"sweeps": ["toy.image_size=32,64"]}, "toy is not a model of --models"),
        ({"sweeps": ["betavae.beta=1,,2"]}, "valid number"),
    ],
)
def test_a_wrong_request_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError) as refused:
        planned(**given)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_identity_does_not_depend_on_order_or_on_names(make_run) -> None:
    run: Run = make_run()
    turned = replace(run, settings=dict(reversed(run.settings.items())))
    assert turned.identity == run.identity
    named = replace(run, preset="quick", changed={"beta": 4.0}, data_settings={})
    assert named.identity == run.identity


def test_identity_changes_with_all_that_changes_a_number(make_run) -> None:
    run: Run = make_run()
    other: dict[str, Any] = {
        "model": "vae",
        "settings": {**run.settings, "beta": 4.5},
        "dataset": "dsprites",
        "fingerprint": "toy-2",
        "image_shape": (3, 32, 32),
        "steps": 101,
        "batch_size": 33,
        "rows": 575,
        "seed": 1,
        "precision": "bfloat16",
    }
    names = {"preset", "changed", "data_settings", "code", "data_code", "display_name"}
    assert other.keys() | names == {field.name for field in fields(Run)}
    identities = {replace(run, **{key: value}).identity for key, value in other.items()}
    assert len(identities | {run.identity}) == len(other) + 1


LATER = sorted(LATER_SETTINGS.items())
OTHER = [
    *[("warmup", value) for value in (1, False, 0.0, "no", None)],
    *[("deterministic", value) for value in (True, 0, "no")],
    *[("lr_decay", value) for value in (0.3, 1, True)],
]


@pytest.mark.parametrize(("key", "default"), LATER)
def test_a_later_setting_at_its_default_leaves_a_run_what_it_was(
    make_run, key: str, default: Any
) -> None:
    old: Run = back_from_json(make_run().as_dict())
    assert key not in old.settings
    new = back_from_json(replace(old, settings={**old.settings, key: default}).as_dict())
    assert new.settings[key] == default
    assert (new.identity, new.folder) == (old.identity, old.folder)
    assert new.differs_from(old) is None
    assert old.differs_from(new) is None


@pytest.mark.parametrize(("key", "value"), OTHER)
def test_a_later_setting_with_another_value_makes_another_run(
    make_run, key: str, value: Any
) -> None:
    old: Run = make_run()
    new = back_from_json(replace(old, settings={**old.settings, key: value}).as_dict())
    assert new.identity != old.identity
    for run, other, before, after in [
        (new, old, LATER_SETTINGS[key], value),
        (old, new, value, LATER_SETTINGS[key]),
    ]:
        difference = run.differs_from(other)
        assert difference is not None
        assert (difference.key, difference.words) == (key, f"{key} {before}, not {after}")


def test_a_setting_that_is_missing_is_no_setting_that_is_none(make_run) -> None:
    run: Run = make_run()
    other = replace(run, settings={**run.settings, "extra": None})
    difference = run.differs_from(other)
    assert difference is not None
    assert difference.key == "extra"


def test_settings_of_one_model_are_nothing_to_another() -> None:
    plain = {run.model: run for run in planned("vae,betavae", seeds="1").runs}
    asked = {r.model: r for r in planned("vae,betavae", seeds="1", sets=["betavae.beta=9"]).runs}
    assert asked["vae"] == plain["vae"]
    assert asked["betavae"].identity != plain["betavae"].identity
    more = planned("vae,betavae", seeds="3", metrics="mig").runs
    assert {run.identity for run in plain.values()} <= {run.identity for run in more}


def back_from_json(values: dict[str, Any]) -> Run:
    Path("run.json").write_text(json.dumps(values))
    return read_run(Path("run.json"))


def test_a_run_comes_back_from_json() -> None:
    for run in planned("all", seeds="1", sets=["jointvae.categorical=3,4"]).runs:
        back = back_from_json(run.as_dict())
        assert back == run
        assert (back.identity, back.folder) == (run.identity, run.folder)
        assert back.changed == run.changed


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sets": ["train.batch_size=33"]}, "adagvae: pairs fill an even batch, not one of 33"),
        ({"sets": ["adagvae.changed=4"]}, "adagvae: changed=4"),
        ({"dataset": "digits"}, "adagvae: pairs need a full grid"),
    ],
)
def test_pairs_that_cannot_be_drawn_are_refused_in_the_plan(given, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        planned("adagvae", **given)
    assert planned("adagvae").runs


def test_the_precision_is_part_of_a_run_and_of_its_table() -> None:
    whole, half = planned().runs[0], planned(sets=["train.precision=bfloat16"])
    assert (whole.precision, half.runs[0].precision) == ("float32", "bfloat16")
    assert whole.identity != half.runs[0].identity
    assert half.study.train == {"precision": "bfloat16"}
    assert back_from_json(half.runs[0].as_dict()) == half.runs[0]
    old = {key: value for key, value in whole.as_dict().items() if key != "precision"}
    assert back_from_json(old).identity == whole.identity
    with pytest.raises(RequestError, match="'float32' or 'bfloat16'"):
        planned(sets=["train.precision=half"])


# --set KEY=VALUE without an owner

TWO = "jointvae,betavae"


def test_a_setting_that_one_owner_has_needs_no_owner() -> None:
    short = planned(TWO, sets=["gamma=7", "bins=10"], metrics="mig")
    long = planned(TWO, sets=["jointvae.gamma=7", "mig.bins=10"], metrics="mig")
    assert short == long
    assert {run.settings.get("gamma") for run in short.runs} == {7.0, None}


def test_a_sweep_that_one_model_has_needs_no_owner() -> None:
    assert planned(TWO, sweeps=["gamma=1,2"]) == planned(TWO, sweeps=["jointvae.gamma=1,2"])


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"sets": ["lr=0.1"]}, "jointvae and betavae have lr: write --set jointvae.lr=0.1"),
        ({"sets": ["gama=7"]}, "unknown setting in --set 'gama': did you mean gamma"),
        ({"sweeps": ["bins=7,8"]}, "unknown setting in --sweep 'bins'"),
    ],
)
def test_a_setting_without_an_owner_that_is_nobodys_or_severals(option, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        planned(TWO, metrics="mig", **option)


def test_a_model_has_the_name_in_tables_that_it_is_given() -> None:
    asked = planned("Strong=betavae, betavae", seeds="1", sets=["Strong.beta=8"])
    strong, plain = asked.runs
    assert (strong.label, plain.label) == ("Strong (beta=8)", "betavae")
    assert strong.model == plain.model == "betavae"
    assert (strong.settings["beta"], strong.settings["lr"]) == (8.0, plain.settings["lr"])
    (unnamed,) = planned("betavae", seeds="1", sets=["betavae.beta=8"]).runs
    assert (unnamed.identity, unnamed.folder) == (strong.identity, strong.folder)


def test_a_path_may_have_the_character_of_a_name(tmp_path: Path) -> None:
    source = "from bench.models import BetaVAE as Mine\n"
    for name in ("a=b.py", "folder=1/mine.py"):
        Path(tmp_path, name).parent.mkdir(exist_ok=True)
        Path(tmp_path, name).write_text(source)
        (run,) = planned(f"{name}:Mine", seeds="1").runs
        assert (run.model, run.display_name) == (f"{name}:Mine", "")
    (run,) = planned("Warm=folder=1/mine.py:Mine", seeds="1").runs
    assert (run.model, run.display_name) == ("folder=1/mine.py:Mine", "Warm")


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("=betavae", "write DISPLAY_NAME=MODEL"),
        ("Mine=", "write DISPLAY_NAME=MODEL"),
        ("vae=betavae", "vae is another model"),
        ("all=betavae", "all is another model"),
        ("A=betavae,A=vae", "two models called A"),
        ("A=betavae,betavae", "A and betavae are the same model with the same settings"),
        ("A=nothing", "unknown model 'nothing'"),
    ],
)
def test_a_name_for_tables_that_does_not_do(models: str, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        planned(models)
