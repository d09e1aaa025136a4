"""Requests that contradict themselves, are absurd or can never be met: refused in one line."""

from pathlib import Path
from typing import Any

import pytest

from bench.errors import RequestError
from bench.plan import MOST_RUNS, MOST_STEPS, Plan, Request, plan
from bench.score import definition
from bench.settings import Assignment, converted, parameters, parse, split_values


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def planned(models: str = "betavae", **given: Any) -> Plan:
    request = {"dataset": "toy", "preset": "smoke", "seeds": "1", "metrics": "mig"}
    return plan(Request(models=models, **{**request, **given}))


LONG = ",".join(map(str, range(1, 400)))

CONTRADICTIONS = [
    ({"sets": ["betavae.beta=2", "betavae.beta=3"]}, "--set gives betavae.beta twice, 2 and 3"),
    ({"sets": ["mig.bins=10", "mig.bins=20"]}, "--set gives mig.bins twice"),
    ({"sets": ["train.rows=10", "train.rows=20"]}, "--set gives train.rows twice"),
    ({"sets": ["toy.image_size=32", "toy.image_size=64"]}, "--set gives toy.image_size twice"),
    ({"sweeps": ["betavae.beta=2,3", "betavae.beta=4,5"]}, "--sweep gives betavae.beta twice"),
    (
        {"sets": ["betavae.beta=2"], "sweeps": ["betavae.beta=2,3"]},
        "betavae.beta is given by --set and by --sweep",
    ),
    ({"sweeps": ["betavae.categorical=(3,4),(5,)"]}, "as in '(3,4); (5,)'"),
    ({"sweeps": ["betavae.categorical=[3,4],5"]}, "by semicolons, as in '[3,4]; 5'"),
    ({"sweeps": ["betavae.categorical=3,(4,5)"]}, "by semicolons, as in '3; (4,5)'"),
    ({"sets": ["betavae.categorical=(3,4"]}, "write one list of values"),
    ({"sets": ["betavae.categorical=(3),(4)"]}, "write one list of values"),
    ({"correlate": ["size:posX=0.2", "posX:size=0.5"]}, "correlate each pair of factors once"),
    ({"fix": ["shape=0", "shape=1"]}, "fix each factor once"),
    ({"fix": ["size=0"], "correlate": ["size:posX=0.2"]}, "size is fixed at 0"),
]

NEVER_MET = [
    ({"correlate": ["size:posX=1e-200"]}, "give a sigma from 1e-06"),
    ({"correlate": ["size:posX=1e-320"]}, "give a sigma from 1e-06"),
    ({"correlate": ["size:posX=1e308"]}, "to 1e+06 (no correlation)"),
    ({"correlate": ["size:posX=1e400"]}, "write FACTOR:FACTOR=SIGMA"),
    ({"correlate": ["size:posX=-1"]}, "write FACTOR:FACTOR=SIGMA"),
    ({"hold_out": ["shape=0-2"]}, "would be left to train on"),
]

ABSURD = [
    ({"sets": ["mig.bins=1000000000"]}, "at most 1,000 is taken, as the bins of two latents"),
    ({"sets": ["mig.bins=1e9"]}, "valid integer"),
    ({"sets": ["mig.bins=-1000000000000000000"]}, "mig.bins=-1000000000000000000"),
    ({"sets": ["mig.points=100000000000"]}, "at most 10,000,000 is taken"),
    ({"sets": [f"mig.points={'9' * 5_000}"]}, "mig.points=99"),
    (
        {"metrics": "factorvae_score", "sets": ["factorvae_score.votes=100000000000"]},
        "at most 10,000,000 is taken, as so many votes are held at once",
    ),
    ({"metrics": "factorvae_score", "sets": ["factorvae_score.batch=1000000"]}, "at most 10,000"),
    ({"metrics": "betavae_score", "sets": ["betavae_score.pairs=1000000000"]}, "at most 10,000"),
    ({"metrics": "dci_fast", "sets": ["dci_fast.depth=60"]}, "two to its depth leaves"),
    ({"metrics": "dci_fast", "sets": ["dci_fast.stages=1000000000"]}, "at most 10,000"),
    ({"metrics": "kl_decomposition", "sets": ["kl_decomposition.samples=1000000000"]}, "1,000,000"),
    ({"sets": ["betavae.continuous=1000000000"]}, "each latent is a column of every code"),
    ({"sets": ["betavae.categorical=3,1000000000"]}, "each category is a column of every code"),
    ({"sets": [f"betavae.categorical={'2,' * 2_000}"]}, "2000 values, at most 1,000 are taken"),
    ({"sets": ["betavae.warmup=99999999999999999999"]}, "no whole number here is larger"),
    ({"models": "factorvae", "sets": ["factorvae.hidden=1000000000"]}, "square of weights"),
    ({"models": "factorvae", "sets": ["factorvae.layers=1000000"]}, "at most 1,000"),
    ({"models": "infovae", "sets": ["infovae.samples=1000000000000"]}, "at most 1,000,000"),
    ({"models": "hfsvae", "sets": ["hfsvae.pairs=1000000000000"]}, "at most 10,000"),
    ({"sets": ["train.batch_size=1000000000"]}, "so many images are held at once"),
    ({"sets": ["train.rows=10000000000000000"]}, "no whole number here is larger"),
    ({"steps": MOST_STEPS + 1}, "--steps 100000001: at most 100,000,000"),
    ({"seeds": "1001"}, "at most 1000 of them"),
    (
        {"sweeps": [f"betavae.beta={LONG}", f"betavae.lr={LONG}"]},
        f"the sweeps have 159,201 of betavae points, with 1 seeds 159,201 runs: at most "
        f"{MOST_RUNS:,}",
    ),
    (
        {"sweeps": [f"betavae.{key}={LONG}" for key in ("beta", "lr", "temperature", "warmup")]},
        f"at most {MOST_RUNS:,}",
    ),
    (
        {"seeds": "1000", "sweeps": [f"betavae.beta={','.join(map(str, range(1, 22)))}"]},
        "21,000 runs",
    ),
]


@pytest.mark.parametrize(("given", "said"), [*CONTRADICTIONS, *NEVER_MET, *ABSURD])
def test_it_is_refused_in_one_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError) as refused:
        planned(**given)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_a_value_that_is_given_twice_is_no_contradiction() -> None:
    (run,) = planned(sets=["betavae.beta=3", "betavae.beta=3"]).runs
    assert run.settings["beta"] == 3


def test_tuples_are_swept_by_semicolons() -> None:
    runs = planned(sweeps=["betavae.categorical=(3,4);(5,)"]).runs
    assert [run.settings["categorical"] for run in runs] == [(3, 4), (5,)]
    runs = planned(sweeps=["betavae.categorical=3,4;5"]).runs
    assert [run.settings["categorical"] for run in runs] == [(3, 4), (5,)]
    (run,) = planned(sweeps=["betavae.categorical=(3,4)"]).runs
    assert run.settings["categorical"] == (3, 4)
    assert split_values(Assignment("betavae", "categorical", "3,4")) == ["3", "4"]


def test_a_narrow_correlation_that_rows_fit_is_no_trouble() -> None:
    assert planned(correlate=["size:posX=1e-6"]).runs


def test_a_plug_in_may_mean_something_else_by_a_name() -> None:
    def mine(representation: Any, rng: Any, *, bins: int = 3) -> None: ...

    (assignment,) = parse("--set", ["mine.py:score.bins=5000"])
    assert converted(assignment, parameters(mine)) == 5000
    (assignment,) = parse("--set", ["mine.py:score.bins=5000000000000000"])
    with pytest.raises(RequestError, match=r"at most 1,000,000,000,000,000"):
        converted(assignment, parameters(mine))


def test_the_defaults_of_every_setting_are_below_the_limits() -> None:
    from bench.metrics import METRICS
    from bench.models import MODELS

    for owner, target in {**METRICS, **MODELS}.items():
        for key, parameter in parameters(target).items():
            if isinstance(parameter.default, int):
                text = str(parameter.default)
                assert converted(Assignment(owner, key, text), {key: parameter}) is not None


def test_an_annotation_that_is_no_type_is_named() -> None:
    def mine(representation: Any, rng: Any, *, how: int = 1) -> None: ...

    mine.__annotations__["how"] = 3
    with pytest.raises(RequestError, match=r"mine.how cannot be set: its annotation"):
        definition("mine", [Assignment("mine", "how", "2")], mine)
