"""A study as a YAML file: the requests of the command line, and each wrong line by its number."""

import os
from pathlib import Path
from typing import Any

import pytest

from bench.errors import RequestError
from bench.plan import Plan, Request, plan, runs_without_data
from bench.reproduce.run import ReproductionRequest, study_request
from bench.reproduce.tables import TABLES
from bench.store.run import read_run
from bench.studyfile import document
from bench.studyfile.choices import Choices, study_definition
from bench.studyfile.definition import Blocked, StudyDefinition
from bench.studyfile.shipped import shipped

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "results" / "reference"

SMALL = """\
about: Two models on two data sets.
datasets:
  toy:
  digits: {set: {image_size: 32}, steps: 5}
models:
  vae:
  betavae:
    set: {network: broadcast, categorical: [3, 4]}
    sweep:
      beta: [1, 1e1]
      lr, warmup: [[1e-3, 0], [0.01, 10]]
preset: smoke
seeds: [3, 7]
steps: 9
set:
  train.batch_size: 16
  mig.bins: 10
metrics: [mig, dci_fast]
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def definition(text: str, **choices: Any) -> StudyDefinition:
    Path("study.yaml").write_text(text)
    return study_definition("study.yaml", Choices(**choices))


def identities(*plans: Plan) -> list[str]:
    return [run.identity for planned in plans for run in planned.runs]


def test_a_file_gives_the_requests_of_the_command_line() -> None:
    toy, digits = definition(SMALL).plans()
    words = {
        "models": "vae,betavae",
        "preset": "smoke",
        "seeds": "3,7",
        "metrics": "mig,dci_fast",
        "sweeps": ["betavae.beta=1,10", "betavae.lr,warmup=0.001,0;0.01,10"],
    }
    sets = ["betavae.network=broadcast", "betavae.categorical=3,4", "train.batch_size=16"]
    sets += ["mig.bins=10"]
    by_words = plan(Request(dataset="toy", steps=9, sets=sets, **words))
    assert identities(toy) == identities(by_words)
    assert toy.definitions == by_words.definitions
    assert toy.study == by_words.study
    of_digits = Request(dataset="digits", steps=5, sets=[*sets, "digits.image_size=32"], **words)
    assert identities(digits) == identities(plan(of_digits))
    assert len(toy.runs) == 2 * (1 + 4)
    assert [str(p.folder) for p in (toy, digits)] == ["results/study/toy", "results/study/digits"]


def test_one_data_set_needs_no_folder_of_its_own() -> None:
    (request,) = definition("models: vae\ndataset: toy\n").requests
    assert request.output == Path("results/study")
    (request,) = definition("models: vae\ndataset: toy\noutput: out/mine\n").requests
    assert request.output == Path("out/mine")
    (request,) = definition("models: vae\ndataset: toy\n", output=Path("/tmp/x")).requests
    assert request.output == Path("/tmp/x")


def test_the_command_line_has_several_data_sets_too() -> None:
    requests = study_definition(None, Choices(models="vae", dataset="toy, digits")).requests
    assert [(r.dataset, r.output) for r in requests] == [("toy", None), ("digits", None)]
    below = Choices(models="vae", dataset="toy,digits", output=Path("x"))
    folders = [r.output for r in study_definition(None, below).requests]
    assert folders == [Path("x/toy"), Path("x/digits")]


def request_of(text: str, **choices: Any) -> Request:
    return definition(text, **choices).requests[0]


def test_options_override_the_file() -> None:
    request = request_of(SMALL, preset="quick", seeds="2", steps=4, metrics="sap")
    assert (request.preset, request.seeds, request.steps) == ("quick", "2", 4)
    assert request.metrics == "sap"
    assert request.output == Path("results/study-quick-steps4/toy")  # another study than the file's


def test_an_overriding_setting_takes_the_place_of_the_files() -> None:
    request = request_of(SMALL, sets=["beta=4", "mig.bins=5"])
    assert "betavae.beta=4" in request.sets
    assert "mig.bins=5" in request.sets
    assert "mig.bins=10" not in request.sets
    assert [text for text in request.sweeps if ".beta" in text] == []
    assert len(plan(request).runs) == 2 * (1 + 2)
    request = request_of(SMALL, sweeps=["betavae.categorical=3;3,3"])
    assert [text for text in request.sets if "categorical" in text] == []
    with pytest.raises(RequestError, match=r"betavae\.lr is swept together with others"):
        definition(SMALL, sets=["betavae.lr=1e-3"])


def test_overriding_models_keeps_the_settings_of_those_that_stay() -> None:
    request = request_of(SMALL, models="betavae,pca")
    assert request.models == "betavae,pca"
    assert any(text.startswith("betavae.") for text in request.sweeps)
    request = request_of(SMALL, models="vae")
    assert request.sweeps == []
    assert [text for text in request.sets if text.startswith("betavae")] == []


TWICE = """\
models:
  weak: {model: betavae, set: {beta: 1}}
  strong: {model: betavae, sweep: {beta: [4, 8]}}
dataset: toy
preset: smoke
seeds: 1
"""


def test_one_model_may_stand_there_twice_with_names_of_its_own() -> None:
    study = definition(TWICE)
    (planned,) = study.plans()
    labels = ["weak (beta=1)", "strong (beta=4)", "strong (beta=8)"]
    assert [run.label for run in planned.runs] == labels
    assert {run.model for run in planned.runs} == {"betavae"}
    (only,) = definition(TWICE, models="strong").plans()
    assert [run.label for run in only.runs] == labels[1:]
    listed = definition(TWICE.partition("\n")[0] + " [weak=betavae, vae]\ndataset: toy\n")
    assert listed.requests[0].models == "weak=betavae,vae"
    with pytest.raises(RequestError, match="^study.yaml, line 2: unknown model 'betavea'"):
        definition(TWICE.replace("model: betavae, set", "model: betavea, set")).plans()


def test_overriding_data_sets_keeps_what_the_file_asks_of_them() -> None:
    study = definition(SMALL, dataset="digits")
    (request,) = study.requests
    assert (request.steps, request.output) == (5, Path("results/study/digits"))
    other = definition(SMALL, dataset="dsprites").requests[0]
    assert (other.dataset, other.steps) == ("dsprites", 9)


def test_paired_settings_change_together() -> None:
    sweeps = ["dipvae1.lambda_od,lambda_d=1,10;2,20"]
    runs = plan(Request("dipvae1", "toy", preset="smoke", seeds="1", sweeps=sweeps)).runs
    found = [(run.settings["lambda_od"], run.settings["lambda_d"]) for run in runs]
    assert found == [(1.0, 10.0), (2.0, 20.0)]
    one = ["betavae.categorical,beta=(3,4),2"]
    (run,) = plan(Request("betavae", "toy", preset="smoke", seeds="1", sweeps=one)).runs
    assert (run.settings["categorical"], run.settings["beta"]) == ((3, 4), 2.0)
    with pytest.raises(RequestError, match=r"'1' is not 2 values"):
        plan(Request("dipvae1", "toy", sweeps=["dipvae1.lambda_od,lambda_d=1;2"]))
    with pytest.raises(RequestError, match=r"dipvae1\.lambda_d is given by two sweeps"):
        plan(Request("dipvae1", "toy", sweeps=[*sweeps, "dipvae1.lambda_d=1,2"]))


# --- wrong files

GOOD = "models: vae\ndataset: toy\n"

WRONG = {
    "unknown key": (GOOD + "preset: smoke\nseedz: 3\n", "line 4", "'seedz': did you mean seeds"),
    "unknown key of a model": (
        "models:\n  vae:\n    sets: {lr: 1}\ndataset: toy\n",
        "line 3",
        "key of the model vae 'sets': did you mean set",
    ),
    "unknown key of a data set": (
        "models: vae\ndatasets:\n  toy:\n    stepz: 3\n",
        "line 4",
        "did you mean steps",
    ),
    "an option of bench run": (GOOD + "jobs: 4\n", "line 3", "bench run as --jobs"),
    "an option as it is written": (GOOD + "--data-dir: x\n", "line 3", "bench run as --data-dir"),
    "unknown preset": (GOOD + "preset: quik\n", "line 3", "did you mean quick"),
    "unknown seeds": (GOOD + "seeds: many\n", "line 3", "--seeds 'many'"),
    "steps in words": (GOOD + "steps: many\n", "line 3", "whole number"),
    "steps as a list": (GOOD + "steps: [1]\n", "line 3", "steps is a list"),
    "metrics as a mapping": (GOOD + "metrics: {mig: 1}\n", "line 3", "metrics is a mapping"),
    "set as a list": (GOOD + "set: [a]\n", "line 3", "set is no mapping"),
    "no value": ("models:\ndataset: toy\n", "line 1", "models has no value"),
    "no value of a setting": (GOOD + "set:\n  vae.lr:\n", "line 4", "vae.lr has no value"),
    "an empty sweep": (GOOD + "sweep: {vae.lr: []}\n", "line 3", "vae.lr has no value"),
    "no models": ("dataset: toy\n", "line 1", "models are missing"),
    "no data": ("models: vae\n", "line 1", "the data set is missing"),
    "both": (GOOD + "datasets: [toy]\n", "line 3", "both given"),
    "twice": (GOOD + "models: betavae\n", "line 3", "models is given twice, first in line 1"),
    "a data set twice": ("models: vae\ndatasets: [toy, toy]\n", "line 2", "toy is named twice"),
    "a tab": ("models:\n\tvae:\ndataset: toy\n", "line 2", "a tab"),
    "no YAML": ("models: [vae\ndataset: toy\n", "line 2", "no YAML"),
    "a tag": ("models: !!python/object/apply:os.system [ls]\ndataset: toy\n", "line 1", "the tag"),
    "a list": ("- vae\n", "line 1", "a study is no mapping"),
    "a text": ("vae\n", "line 1", "a study is no mapping"),
    "two documents": (GOOD + "---\n" + GOOD, "line 3", "a second document"),
    "nothing": ("# nothing\n", "", "is empty"),
    "deep": ("models: " + "[" * 60 + "]" * 60 + "\n", "line 1", "levels deep"),
    "an alias to itself": ("models: &a [*a]\n", "line 1", "*a stands for nothing yet"),
    "an unknown alias": ("models: *a\n", "line 1", "*a stands for nothing yet"),
    "a setting with a value": (GOOD + "set: {vae.lr=1: 2}\n", "line 3", "is no setting"),
    "output above": (GOOD + "output: ../there\n", "line 3", "output is '../there'"),
    "output elsewhere": (GOOD + "output: /etc/there\n", "line 3", "output is '/etc/there'"),
    "output at home": (GOOD + "output: ~/there\n", "line 3", "output is '~/there'"),
    "data above": ("models: vae\ndataset: ../mine.npz\n", "line 2", "outside of the folder"),
    "data elsewhere": ("models: vae\ndataset: /x/mine.npz\n", "line 2", "outside of the folder"),
    "a model above": (
        "models: [vae, ../m.py:M]\ndataset: toy\n",
        "line 1",
        "outside of the folder",
    ),
    "a model far above": (
        "models:\n  ./a/../../m.py:M:\ndataset: toy\n",
        "line 2",
        "outside of the folder",
    ),
    "a model of Windows": ("models: C:\\m.py:M\ndataset: toy\n", "line 1", "outside of the folder"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_of_a_file_is_said_by_its_line(what: str) -> None:
    text, line, words = WRONG[what]
    with pytest.raises(RequestError) as raised:
        definition(text)
    message = str(raised.value)
    assert message.startswith(f"study.yaml, {line}: " if line else "study.yaml ")
    assert words in message
    assert "\n" not in message


WRONG_PLANS = {
    "model": ("models:\n  vae:\n  betavea:\ndataset: toy\n", 3, "did you mean betavae"),
    "one of several": ("models: vae,betavea\ndataset: toy\n", 1, "did you mean betavae"),
    "data set": ("models: vae\ndataset: toi\n", 2, "did you mean toy"),
    "metric": (GOOD + "metrics:\n  - mig\n  - mug\n", 5, "did you mean mig"),
    "setting": ("models:\n  betavae:\n    set: {bta: 4}\ndataset: toy\n", 3, "did you mean beta"),
    "value": ("models:\n  betavae:\n    set: {beta: x}\ndataset: toy\n", 3, "betavae.beta=x"),
    "value of a sweep": (GOOD + "sweep:\n  vae.lr: [1, x]\n", 4, "vae.lr=x"),
    "a pair": (GOOD + "sweep:\n  'vae.lr, warmup': [[1, 0], [x, 0]]\n", 4, "vae.lr=x"),
    "twice": (GOOD + "set: {vae.lr: 1}\nsweep: {vae.lr: [1, 2]}\n", 3, "leave out one"),
    "owner": (GOOD + "set:\n  vea.lr: 1\n", 4, "did you mean vae"),
    "budget": (GOOD + "set:\n  train.rows: 0\n", 4, "train.rows=0: must be at least 1"),
}


@pytest.mark.parametrize("what", WRONG_PLANS)
def test_wrong_names_and_values_are_said_by_their_line(what: str) -> None:
    text, line, words = WRONG_PLANS[what]
    with pytest.raises(RequestError, match="^study.yaml, line") as raised:
        definition(text).plans()
    assert str(raised.value).startswith(f"study.yaml, line {line}: ")
    assert words in str(raised.value)


def test_what_does_not_go_together_is_refused_with_the_reason() -> None:
    study = definition("models: vae\ndataset: toy\nfix: nothing=0\n")
    with pytest.raises(RequestError, match="nothing"):
        study.plans()


def test_a_mistake_of_the_command_line_has_no_line_of_the_file() -> None:
    with pytest.raises(RequestError, match="^unknown setting") as raised:
        definition(GOOD, sets=["vae.bta=1"]).plans()
    assert "study.yaml" not in str(raised.value)


def test_a_bomb_of_aliases_is_refused_before_it_is_expanded() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(RequestError, match=r"study.yaml, line 5: more than 20,000 keys and values"):
        definition("\n".join(levels))


def test_a_few_aliases_are_fine() -> None:
    text = "models:\n  vae: {set: &s {lr: 1e-3}}\n  betavae: {set: *s}\ndataset: toy\n"
    assert request_of(text).sets == ["vae.lr=1e-3", "betavae.lr=1e-3"]


def test_texts_mean_what_they_mean_on_the_command_line() -> None:
    text = (
        "models:\n  factorvae:\n    set: {second_batch: no, lr: 1e-3, layers: '5'}\ndataset: toy\n"
    )
    assert request_of(text).sets == [
        "factorvae.second_batch=no",
        "factorvae.lr=1e-3",
        "factorvae.layers=5",
    ]


def test_files_that_are_none(here: Path) -> None:
    cases = {
        "large.yaml": "has 10.0 MB: a study is read from at most 1 MB",
        "binary.yaml": "no text in UTF-8 (byte 0)",
        "control.yaml": "is no YAML",
        "folder.yaml": "is a folder",
        "empty.yaml": "is empty",
    }
    (here / "large.yaml").write_bytes(b"#" * 10_000_000)
    (here / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    (here / "control.yaml").write_bytes(b"models: \x00\x01\n")
    (here / "folder.yaml").mkdir()
    (here / "empty.yaml").touch()
    for name, words in cases.items():
        with pytest.raises(RequestError) as raised:
            study_definition(name, Choices())
        assert str(raised.value).startswith(name)
        assert words in str(raised.value)
    if hasattr(os, "mkfifo"):
        os.mkfifo("pipe.yaml")
        with pytest.raises(RequestError, match=r"pipe\.yaml is no regular file"):
            study_definition("pipe.yaml", Choices())


def test_a_mark_of_the_byte_order_is_no_mistake(here: Path) -> None:
    (here / "study.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert study_definition("study.yaml", Choices()).requests[0].models == "vae"


def test_names_that_are_no_file() -> None:
    with pytest.raises(RequestError, match="unknown study 'quick-comparisn': did you mean quick-c"):
        study_definition("quick-comparisn", Choices())
    with pytest.raises(
        RequestError, match=r"quick_comparison.yaml: there is no such file; did you"
    ):
        study_definition("quick_comparison.yaml", Choices())
    with pytest.raises(RequestError, match=r"x/y.yaml: there is no such file$"):
        study_definition("x/y.yaml", Choices())
    for choices, option in (
        (Choices(dataset="toy"), "--models"),
        (Choices(models="vae"), "--data"),
    ):
        with pytest.raises(RequestError, match=option):
            study_definition(None, choices)


def test_own_files_stand_beside_the_study(here: Path) -> None:
    below = here / "studies"
    (below / "data").mkdir(parents=True)
    text = "models: [./m.py:M, vae]\ndatasets: [./mine.npz, data]\nset: {./m.py:M.lr: 1}\n"
    (below / "a.yaml").write_text(text)
    first, second = study_definition("studies/a.yaml", Choices()).requests
    assert first.models == "studies/m.py:M,vae"
    assert first.sets == ["studies/m.py:M.lr=1"]
    assert (first.dataset, second.dataset) == ("studies/mine.npz", "studies/data")
    assert first.output == Path("results/a/studies-mine.npz")
    os.chdir(below)
    first, _ = study_definition("a.yaml", Choices()).requests
    assert (first.models, first.dataset) == ("./m.py:M,vae", "./mine.npz")  # as they are written


def test_reading_goes_no_further_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file below the limit of bytes, but with more keys than any study has."""
    text = "models: [" + ", ".join(["v"] * 100_000) + "]\n"
    seen = 0
    original = document.yaml.parse

    def counted(*arguments: Any) -> Any:
        nonlocal seen
        for event in original(*arguments):
            seen += 1
            yield event

    monkeypatch.setattr(document.yaml, "parse", counted)
    with pytest.raises(RequestError, match="more than 20,000"):
        document.read_document(_written(text))
    assert seen < 20_100


def _written(text: str) -> Path:
    Path("long.yaml").write_text(text)
    return Path("long.yaml")


# --- the shipped studies


def test_the_shipped_studies() -> None:
    assert {"quick-comparison", "quick-tuning", "jointvae-table", "factorvae-table"} <= {*shipped()}
    assert {"annealedvae-table", "locatello2019"} <= {*shipped()}
    for name in shipped():
        study = study_definition(name, Choices())
        assert study.about.endswith(".")
        assert len(study.about) < 250


@pytest.mark.parametrize(
    ("name", "folder"),
    [("quick-comparison", "dsprites-quick"), ("quick-tuning", "dsprites-quick-tuning")],
)
def test_a_shipped_study_is_that_of_the_committed_records(name: str, folder: str) -> None:
    paths = (REFERENCE / folder / "runs").glob("*/settings.json")
    committed = {read_run(path).identity for path in paths}
    assert committed
    assert {*identities(*study_definition(name, Choices()).plans())} == committed


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("jointvae-table", "jointvae-dsprites"),
        ("factorvae-table", "factorvae-gamma-dsprites"),
        ("annealedvae-table", "annealedvae-dsprites"),
    ],
)
def test_a_shipped_table_has_the_runs_of_its_reproduction(name: str, table: str) -> None:
    request = ReproductionRequest(table)
    parts = [plan(study_request(part, request, Path("x"))) for part in TABLES[table].parts]
    (planned,) = study_definition(name, Choices()).plans()
    assert sorted(identities(planned)) == sorted(identities(*parts))


def test_the_study_of_locatello_has_12600_models() -> None:
    study = study_definition("locatello2019", Choices())
    assert len(study.requests) == 7
    request = study.requests[0]
    runs = runs_without_data(request)
    assert 7 * len(runs) == 12_600
    assert {(run.steps, run.batch_size) for run in runs} == {(300_000, 64)}
    strengths: dict[str, set[Any]] = {}
    keys = {"annealedvae": "C", "factorvae": "gamma", "dipvae1": "lambda_od"}
    keys |= {"betavae": "beta", "betatcvae": "beta", "dipvae2": "lambda_od"}
    for run in runs:
        strengths.setdefault(run.model, set()).add(run.settings[keys[run.model]])
        assert run.settings["network"] == "locatello"
        assert run.settings["initialisation"] == "glorot"
        assert run.settings["lr"] == 1e-4
        assert run.settings["continuous"] == 10
        if run.model.startswith("dipvae"):
            factor = 10 if run.model == "dipvae1" else 1
            assert run.settings["lambda_d"] == factor * run.settings["lambda_od"]
    assert strengths == {
        "betavae": {1, 2, 4, 6, 8, 16},
        "annealedvae": {5, 10, 25, 50, 75, 100},
        "factorvae": {10, 20, 30, 40, 50, 100},
        "dipvae1": {1, 2, 5, 10, 20, 50},
        "dipvae2": {1, 2, 5, 10, 20, 50},
        "betatcvae": {1, 2, 4, 6, 8, 10},
    }


def test_a_data_set_that_is_not_here_blocks_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA_DIR", str(Path("nothing").absolute()))
    text = "models: {betavae: {sweep: {beta: [1, 2]}}}\ndatasets: [cars3d, toy]\npreset: smoke\n"
    study = definition(text)
    cars, toy = study.plans_of_what_is_here()
    assert isinstance(cars, Blocked)
    assert isinstance(toy, Plan)
    assert [run.title for run in cars.runs] == [run.title for run in toy.runs]
    assert "cars3d" in cars.reason
    assert "bench data fetch cars3d" in cars.reason
    with pytest.raises(RequestError, match="bench data fetch cars3d"):
        study.plans()
