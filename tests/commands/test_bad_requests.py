"""Wrong requests: exit code 2, one line that names the remedy, nothing written or lost."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from bench.store import claims
from bench.store.claims import Claims
from bench.store.files import read_json, write_json
from bench.store.record import SETTINGS

OFFICIAL = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
RUN = {"--models": "betavae", "--dataset": "toy", "--preset": "smoke", "--seeds": "1"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def study(finished, here: Path) -> Path:
    """A copy of a finished study."""
    return shutil.copytree(finished.folder, here / "study")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
        if path.name != ".lock"
    }


@pytest.fixture
def refused(cli_here, here: Path):
    """The one line with which a command is refused."""

    def call(*arguments: str, **options: Any) -> str:
        before = contents(here)
        given = {**RUN, **{f"--{key.replace('_', '-')}": str(v) for key, v in options.items()}}
        flat = [part for pair in given.items() for part in pair]
        said = cli_here(*(arguments or ("run", *flat)))
        assert said.code == 2
        assert said.out == ""
        assert said.err.startswith("bench: ")
        assert said.err.count("\n") == 1
        assert contents(here) == before
        return said.err

    return call


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"score_every": 0}, "--score-every 0: must be at least 1"),
        ({"models": "betavea"}, "did you mean betavae"),
        ({"models": "mine.py:Mine"}, "no such file: mine.py"),
        ({"dataset": "dsprits"}, "did you mean dsprites"),
        ({"metrics": "mgi"}, "did you mean mig"),
        ({"preset": "fast"}, "choose from smoke, quick"),
        ({"set": "betavae.bta=1"}, "did you mean beta"),
        ({"set": "betavae.beta=big"}, "valid number"),
        ({"set": "betavae.beta=nan"}, "finite"),
        ({"set": "betave.beta=1"}, "did you mean betavae"),
        ({"set": "beta"}, "write OWNER.KEY=VALUE"),
        ({"set": "start=1"}, "unknown setting in --set 'start'"),
        ({"set": "betavae.network=lenet"}, "dupont"),
        ({"sweep": "vae.lr=1,2"}, "vae is not a model of --models (betavae)"),
        ({"fix": "shpe=0"}, "'shpe=0': no factor 'shpe', did you mean shape or size?"),
        ({"fix": "shape=crss"}, "'crss' is no class of shape: did you mean cross?"),
        ({"fix": "shape=0,size=0,posX=0,posY=0"}, "all factors are fixed, leave at least one free"),
        ({"fix": "shape=0,size=0,posX=0"}, "8 images would be left to train on, at least 64"),
        ({"fix": "shape=0", "correlate": "shape:posX=0.2"}, "shape is fixed at square"),
        ({"seeds": "4-1"}, "give a number of seeds (5), a range (0-4) or a list (3,7)"),
        ({"steps": 0}, "--steps 0: must be at least 1"),
        ({"jobs": 0}, "--jobs 0: must be at least 1"),
        ({"threads": 0}, "--threads 0: must be at least 1"),
        ({"threads": 10**9}, "--threads 1000000000: at most 4,096"),
        ({"device": "nonsense"}, "--device nonsense"),
        ({"device": "cuda:99"}, "--device cuda:99"),
        ({"dataset": "dsprites", "data_dir": "nowhere"}, "is not a folder"),
    ],
)
def test_what_is_not_there(refused, options: dict[str, Any], said: str) -> None:
    assert said in refused(**options)


@pytest.mark.parametrize("command", ["report", "status", "export", "compare", "evaluate"])
def test_a_name_that_is_too_long(cli_here, command: str) -> None:
    said = cli_here(command, *["x" * 300] * (2 if command == "compare" else 1))
    assert said.code == 2
    (line,) = said.err.splitlines()
    assert line.startswith(f"bench: {'x' * 60}")


def test_a_missing_option_is_a_usage_error(cli_here) -> None:
    said = cli_here("run", "--dataset", "toy")
    assert said.code == 2
    assert "--models" in said.err


def test_a_plug_in_with_a_long_complaint_is_one_line(refused, here: Path) -> None:
    (here / "mine.py").write_text("raise RuntimeError('first\\nsecond')")
    assert "RuntimeError: first second" in refused(models="mine.py:Mine")


def test_a_truncated_data_file(refused, here: Path) -> None:
    (here / "data").mkdir()
    (here / "data" / OFFICIAL).write_bytes(b"PK\x03\x04 and then nothing")
    said = refused(dataset="dsprites", data_dir="data")
    assert "truncated or another file" in said
    assert "remove it" in said


# the folder


def test_the_output_is_a_file_or_below_one(refused, here: Path) -> None:
    (here / "file").write_text("mine")
    assert "file is a file: choose another folder with --output" in refused(output="file")
    assert "cannot be written" in refused(output="file/study")


@pytest.mark.parametrize("output", ["/proc/study", "x" * 300])
def test_the_output_cannot_be_made(refused, output: str) -> None:
    assert "cannot be written" in refused(output=output)


def test_the_output_holds_somebody_elses_files(refused, here: Path) -> None:
    (here / "thesis").mkdir()
    (here / "thesis" / "chapter.tex").write_text("mine")
    assert "not empty and holds no study" in refused(output="thesis")


def test_what_a_killed_start_left_is_no_foreign_file(cli_here, here: Path) -> None:
    (here / "study").mkdir()
    for name in (".lock", ".study.json.abc.tmp"):
        (here / "study" / name).touch()
    flat = [part for pair in RUN.items() for part in pair]
    assert cli_here("run", *flat, "--output", "study", "--dry-run").code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "was written with steps 20, not None"),
        ({"steps": 21}, "was written with steps 20, not 21"),
        ({"steps": 20, "preset": "quick"}, "was written with"),
        ({"steps": 20, "dataset": "dsprites"}, "was written with dataset toy, not dsprites"),
        ({"steps": 20, "set": "toy.image_size=64"}, "was written with data_settings"),
        ({"steps": 20, "fix": "shape=0"}, "was written with data_settings"),
        ({"steps": 20, "set": "train.batch_size=8"}, "was written with train"),
    ],
)
def test_a_study_of_other_settings_is_left_alone(refused, study, options, said) -> None:
    answer = refused(output="study", **options)
    assert said in answer
    assert "choose another folder with --output" in answer


@pytest.mark.parametrize("text", ["{", "[]", '{"dataset": "toy"}', ""])
def test_a_corrupt_study(refused, study: Path, text: str) -> None:
    (study / "study.json").write_text(text)
    assert "study.json cannot be read" in refused(output="study", steps=20)


@pytest.mark.parametrize("name", ["settings.json", "status.json", "scores.json"])
def test_a_broken_run(refused, study: Path, name: str) -> None:
    folder = sorted((study / "runs").iterdir())[0]
    (folder / name).write_text("{")
    for arguments in [("report", "study"), ()]:
        said = refused(*arguments, **({} if arguments else {"output": "study", "steps": 20}))
        assert folder.name in said
        assert "remove the folder and run again" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"settings": {"beta": 9.0}}, "betavae were made with beta 9.0, not 2.0"),
        ({"rows": 100}, "betavae were made with rows 100, not 576"),
    ],
)
def test_runs_that_differ_in_more_than_the_seed(refused, study: Path, change, said) -> None:
    path = next(study.glob("runs/betavae-seed1-*")) / SETTINGS
    written = read_json(path)
    change = {k: {**written[k], **v} if k == "settings" else v for k, v in change.items()}
    write_json(path, {**written, **change})
    assert said in refused(output="study", steps=20)


@pytest.mark.parametrize("name", ["samples.npz", "history.csv", "evaluation.json"])
def test_a_report_of_a_broken_run(cli_here, study: Path, name: str) -> None:
    folder = sorted((study / "runs").iterdir())[0]
    (folder / name).write_text("{" if name.endswith("json") else "step,reconstruction\n1,x\n")
    said = cli_here("report", "study")
    assert said.code == 2
    assert said.err.splitlines()[-1].startswith("bench: ")
    assert "Traceback" not in said.err


def test_a_folder_that_somebody_has_for_himself(refused, study: Path, monkeypatch) -> None:
    monkeypatch.setattr(claims, "PATIENCE", 0.1)
    with FileLock(study / ".lock"):
        said = refused(output="study", steps=20)
    assert "another bench is at work there; wait for it" in said


def test_force_beside_another_that_is_at_work(cli_here, study: Path) -> None:
    arguments = [part for pair in RUN.items() for part in pair]
    before = contents(study)
    with Claims(study):
        said = cli_here("run", *arguments, "--output", "study", "--steps", "20", "--force")
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert "another bench is at work there, so --force may not remove its runs" in said.err
    assert contents(study) == before


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("timeout", "2 weeks", "--timeout '2 weeks': give the time that a run may take"),
        ("timeout", "0", "--timeout '0': give the time"),
        ("timeout", "-3s", "--timeout '-3s': give the time"),
        ("timeout", "nan", "--timeout 'nan': give the time"),
        ("timeout", "400d", "at most a year"),
        ("retry", "timeouts", "did you mean timeout"),
        ("retry", "done", "unknown state in --retry 'done'"),
        ("retry", "", "unknown state in --retry ''"),
        ("shard", "3", "give which share of how many, as in 2/8"),
        ("shard", "0/2", "the first is 1/8"),
        ("shard", "3/2", "the first is 1/8"),
        ("shard", "2/2", "there are 1 cells, so this share is empty"),
        ("only", "seed=7", "unknown cell in --only 'seed=7'"),
        ("only", "jointvae", "unknown cell in --only 'jointvae'"),
    ],
)
def test_a_wrong_choice_of_cells_or_time(refused, option: str, value: str, said: str) -> None:
    assert said in refused(**{option: value})


def test_a_report_of_what_is_no_study(refused, here: Path) -> None:
    assert "holds no study" in refused("report", "nowhere")
    (here / "empty").mkdir()
    assert "holds no study" in refused("report", "empty")
    write_json(here / "broken" / "study.json", {})
    assert "dataset: Field required): restore it" in refused("report", "broken")
    study = {
        "dataset": "toy",
        "data_settings": {},
        "fingerprint": "",
        "source": "",
        "preset": "smoke",
    }
    write_json(
        here / "new" / "study.json", {**study, "preset": "smoke", "steps": None, "train": {}}
    )
    assert "holds no run yet" in refused("report", "new")


def test_a_record_of_the_wrong_shape(refused, study: Path) -> None:
    path = sorted((study / "runs").iterdir())[0] / SETTINGS
    settings = read_json(path)
    write_json(path, {key: settings[key] for key in settings if key != "seed"})
    assert "not a readable run" in refused("report", "study")
