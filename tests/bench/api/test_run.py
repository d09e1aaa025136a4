"""`bench.run`: the same as the command, in this process or in others."""

import json
import linecache
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bench
from bench.datasets import DATASETS
from bench.models import PlainVAE
from bench.registry import _OFFERED
from tests.conftest import Finished

SMALL: dict[str, Any] = {"preset": "smoke", "steps": 20, "progress": False}


@pytest.fixture(autouse=True)
def nothing_offered() -> Any:
    yield
    for names in _OFFERED.values():
        names.clear()


def test_it_gives_the_study_of_the_command(finished: Finished, tmp_path: Path) -> None:
    study = bench.run(["betavae", "jointvae"], "toy", seeds=2, output=tmp_path / "study", **SMALL)
    theirs = bench.load(finished.folder)
    assert [run.name for run in study.runs] == [run.name for run in theirs.runs]
    for ours, other in zip(study.runs, theirs.runs, strict=True):
        assert ours.status.state == other.status.state
        assert dict(ours.scores) == dict(other.scores) or [
            float(score) for score in ours.scores.values()
        ] == [float(score) for score in other.scores.values()]
        np.testing.assert_array_equal(ours.representation().codes, other.representation().codes)
    ours = {path.relative_to(study.folder) for path in study.folder.rglob("*.png")}
    assert ours == {path.relative_to(finished.folder) for path in finished.folder.rglob("*.png")}


def test_it_trains_nothing_twice_and_adds_what_is_missing(tmp_path: Path) -> None:
    call: dict[str, Any] = {**SMALL, "output": tmp_path / "study"}
    first = bench.run("betavae", "toy", seeds=1, **call)
    weights = first.runs[0].folder / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    more = bench.run("betavae", "toy", seeds=[0, 5], **call)
    assert weights.stat().st_mtime_ns == before
    assert [run.seed for run in more.runs] == [0, 5]


def test_settings_and_sweeps_are_those_of_the_command(tmp_path: Path) -> None:
    study = bench.run(
        "jointvae",
        "toy",
        seeds="3-3",
        settings={"jointvae.C_c": 0.1, "train.rows": 100},
        sweep={"jointvae.gamma": [1, 2.5], "jointvae.categorical": [(2, 3), (4,)]},
        metrics=["mig"],
        output=tmp_path / "study",
        **SMALL,
    )
    swept = {(run.settings["gamma"], run.settings["categorical"]) for run in study.runs}
    assert swept == {(1.0, (2, 3)), (1.0, (4,)), (2.5, (2, 3)), (2.5, (4,))}
    assert {run.settings["C_c"] for run in study.runs} == {0.1}
    assert {len(run.representation()) for run in study.runs} == {100}
    assert {tuple(run.scores) for run in study.runs} == {("mig",)}


class Warm(PlainVAE):
    """A class that another process can import."""


def test_classes_and_networks_may_stand_in_the_place_of_names(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(3))
    network(torch.zeros(1, 1, 32, 32))
    study = bench.run(
        [PlainVAE, Warm, network, "betavae"], "toy", seeds=1, output=tmp_path / "study", **SMALL
    )
    labels = {run.label for run in study.runs}
    assert labels == {"vae", "betavae", "Sequential", f"{Warm.__module__}:Warm"}
    with torch.no_grad():
        data = DATASETS["toy"](image_size=32)
        images = torch.stack([torch.from_numpy(data[row][0]) for row in range(4)])
        direct = network(images)
    codes = bench.represent(network, data, rows=len(data)).codes
    order = np.argsort(bench.represent(network, data, rows=len(data)).factors[:, 0], kind="stable")
    assert codes[order].shape == (len(data), direct.shape[1])


def test_a_mapping_gives_models_their_names_in_tables(tmp_path: Path) -> None:
    models = {"Mine": Warm, "Strong": "betavae"}
    named = {"settings": {"Strong.beta": 8}, "output": tmp_path / "study"}
    study = bench.run(models, "toy", seeds=1, **named, **SMALL)
    assert {run.label for run in study.runs} == {"Mine", "Strong (beta=8)"}
    assert "| Mine |" in (tmp_path / "study" / "table.md").read_text()


NOTEBOOK = """
from bench.models import PlainVAE

class Mine(PlainVAE):
    weight = {weight}

    def regularizer(self, posterior, z, step):
        return self.weight * super().regularizer(posterior, z, step)
"""


def defined(monkeypatch: pytest.MonkeyPatch, weight: float) -> type:
    """A class of `__main__`, as a notebook's cell defines it: IPython fills the cache of lines."""
    text, file = NOTEBOOK.format(weight=weight), f"<cell {weight}>"
    lines = text.splitlines(keepends=True)
    monkeypatch.setitem(linecache.cache, file, (len(text), None, lines, file))
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, file, "exec"), space)
    return space["Mine"]


def test_a_class_of_a_notebook_is_run_here_and_known_by_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call: dict[str, Any] = {**SMALL, "seeds": 1, "output": tmp_path / "study"}
    mine = defined(monkeypatch, 2.0)
    study = bench.run([mine, "vae"], "toy", **call)
    assert [run.label for run in study.runs] == ["Mine", "vae"]
    assert study.runs[0].model().latents.continuous == 10
    with pytest.raises(bench.RequestError, match="Mine is known to this process only: use jobs=1"):
        bench.run([mine], "toy", **{**call, "jobs": 2})
    changed = defined(monkeypatch, 3.0)
    with pytest.raises(bench.RequestError, match="runs of Mine were made with other code"):
        bench.run([changed], "toy", **call)


def test_a_class_with_the_name_of_a_model_of_the_suite_is_refused(tmp_path: Path) -> None:
    vae = type("vae", (PlainVAE,), {"__module__": "__main__"})
    with pytest.raises(bench.RequestError, match="the source of vae cannot be read"):
        bench.run([vae], "toy", output=tmp_path / "study", **SMALL)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": "betavea"}, "unknown model 'betavea': did you mean betavae"),
        ({"models": []}, "--models is empty"),
        ({"dataset": "dsprite"}, "unknown dataset 'dsprite'"),
        ({"dataset": 3}, "int is no data set"),
        ({"seeds": 0}, "--seeds '0'"),
        ({"seeds": []}, "--seeds ''"),
        ({"settings": {"bta": 3}}, "unknown setting in --set .bta.: did you mean beta"),
        ({"settings": {"betavae.beta": "much"}}, "betavae.beta=much"),
        ({"sweep": {"betavae.beta": 3}}, "sweep betavae.beta: give a list"),
        ({"fix": [3]}, r"fix=\[3\]: give texts"),
        ({"steps": 0}, "--steps 0"),
        ({"jobs": 0}, "--jobs 0"),
        ({"metrics": "mgi"}, "unknown metric 'mgi'"),
    ],
)
def test_a_wrong_request_is_one_line(
    arguments: dict[str, Any], message: str, tmp_path: Path
) -> None:
    call = {"models": "betavae", "dataset": "toy", **SMALL, "output": tmp_path / "s", **arguments}
    with pytest.raises(bench.RequestError, match=message) as raised:
        bench.run(**call)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "s").exists()


SCRIPT = """
import bench

call = dict(preset="smoke", steps=5, seeds=1, output="study")
{guard}bench.run("betavae,vae", "toy", jobs={jobs}, **call)
"""


@pytest.mark.parametrize(
    ("guard", "jobs", "message"),
    [
        ("", 1, ""),
        ('if __name__ == "__main__": ', 2, ""),
        ("", 2, 'put the call below if __name__ == "__main__":'),
    ],
)
def test_a_script_needs_a_guard_for_several_jobs_only(
    guard: str, jobs: int, message: str, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT.format(guard=guard, jobs=jobs))
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (done.returncode == 0) == (not message), done.stderr
    assert message in done.stderr
    assert (tmp_path / "study").exists() == (not message)


def test_an_interrupt_leaves_a_checkpoint_and_the_same_call_goes_on(tmp_path: Path) -> None:
    call: dict[str, Any] = {"preset": "smoke", "seeds": 1, "progress": False}
    folder = tmp_path / "study"
    before = signal.getsignal(signal.SIGINT)

    def interrupt() -> None:
        while not list(folder.glob("runs/*/status.json")):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    with pytest.raises(KeyboardInterrupt, match="continues from the last checkpoints"):
        bench.run("betavae", "toy", steps=3000, output=folder, **call)
    watcher.join()
    assert signal.getsignal(signal.SIGINT) is before
    (status,) = folder.glob("runs/*/status.json")
    assert json.loads(status.read_text())["state"] == "interrupted"
    assert (status.parent / "checkpoint.pt").exists()


def test_the_threads_of_the_process_are_as_before(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        bench.run("vae", "toy", seeds=1, output=tmp_path / "study", **SMALL)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_a_study_of_a_file_is_that_of_the_command(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "models: [random, factors]\ndatasets: [toy, digits]\npreset: smoke\nseeds: 2\n"
    Path("both.yaml").write_text(f"{text}metrics: [mig]\n")
    quiet = {"seeds": 1, "progress": False}
    studies = bench.run("both.yaml", **quiet)
    assert [study.definition.dataset for study in studies] == ["toy", "digits"]
    assert [len(study.runs) for study in studies] == [2, 2]
    assert Path("results/both/scores.csv").exists()
    one = bench.run(Path("both.yaml"), output="one/toy", steps=None, **quiet)
    assert [study.folder for study in one] == [Path("one/toy/toy"), Path("one/toy/digits")]
    Path("toy.yaml").write_text("models: random\ndataset: toy\npreset: smoke\nmetrics: mig\n")
    single = bench.run("toy.yaml", **quiet)
    assert single.run("random").status.state == "done"
    by_words = bench.run("random", "toy", preset="smoke", metrics="mig", output="w", **quiet)
    assert [r.name for r in by_words.runs] == [r.name for r in single.runs]


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("nothing.yaml", "there is no such file"),
        ("betavae", "unknown study"),
        (["vae"], "data set"),
    ],
)
def test_without_a_data_set_a_study_is_meant(
    models, said: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(bench.RequestError, match=said):
        bench.run(models)


def test_some_cells_of_several_data_sets(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text("models: [vae, betavae]\ndatasets: [toy, digits]\n")
    options = {"output": "out", "seeds": 1, **SMALL}
    study = bench.run("study.yaml", only=["toy"], shard="1/2", timeout="1h", **options)
    assert study.folder == Path("out/toy")
    assert [run.label for run in study.runs] == ["betavae"]
    assert not Path("out/digits").exists()
    with pytest.raises(bench.RequestError, match="cell in --only 'dsprites'"):
        bench.run("study.yaml", only="dsprites", **options)


def test_a_finished_run_gets_the_name_that_its_model_has_now(tmp_path: Path) -> None:
    output = {"seeds": 1, "output": tmp_path / "study", **SMALL}
    (before,) = bench.run("betavae", "toy", **output).runs
    (after,) = bench.run({"Ours": "betavae"}, "toy", **output).runs
    assert (before.label, after.label) == ("betavae", "Ours")
    assert after.folder == before.folder
    assert after.scores == before.scores


def test_scores_while_training_change_no_number_and_are_drawn(tmp_path: Path) -> None:
    call: dict[str, Any] = {**SMALL, "metrics": ["mig", "discrete_accuracy", "dci_fast"]}
    plain = bench.run("jointvae", "toy", seeds=1, output=tmp_path / "plain", **call)
    call = {**call, "output": tmp_path / "scored", "score_every": 8}
    study = bench.run("jointvae", "toy", seeds=1, **call)
    (ours,), (other,) = study.runs, plain.runs
    assert ours.name == other.name  # which holds the identity
    for name, weights in ours.model().state_dict().items():
        assert torch.equal(weights, other.model().state_dict()[name])
    assert {k: float(v) for k, v in ours.scores.items()} == {
        k: float(v) for k, v in other.scores.items()
    }
    assert ours.history().equals(other.history())

    rows = ours.score_history()
    facts = ["reconstruction", "kl_total", "active_latents"]
    assert list(rows) == ["step", "mig", "discrete_accuracy", *facts]
    assert list(rows["step"]) == [8, 16, 20]
    # toy has fewer than 2,000 images, so that the last row is on those of the finished run
    assert rows["mig"].iloc[-1] == float(ours.scores["mig"])
    assert rows["kl_total"].iloc[-1] == pytest.approx(ours.evaluation.kl_total)
    assert rows["reconstruction"].iloc[-1] == pytest.approx(ours.evaluation.reconstruction)
    assert other.score_history().empty

    drawn = {path.stem for path in (study.folder / "plots").iterdir()}
    assert "score_curves" in drawn
    assert "score_curves" not in {path.stem for path in (plain.folder / "plots").iterdir()}
    words = "Scores while training, on up to 2,000 images"
    assert words in (study.folder / "report.html").read_text()
    assert words not in (plain.folder / "report.html").read_text()

    before = (ours.folder / "score_history.csv").read_bytes()
    bench.run("jointvae", "toy", seeds=1, **{**call, "score_every": 2})  # trains nothing again
    assert (ours.folder / "score_history.csv").read_bytes() == before
