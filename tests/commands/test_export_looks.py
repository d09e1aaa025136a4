"""What `bench export` writes to be looked at: curves for TensorBoard, and traversals that move."""

import csv
import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.export import animation
from bench.export.animation import ANIMATION, EACH, FRAME, FRAMES, REST
from bench.export.events import EVENTS
from bench.store.files import read_arrays, write_rows
from bench.store.record import read_evaluation


@pytest.fixture
def run(finished, tmp_path: Path) -> Path:
    """A copy of a finished run of JointVAE, six continuous latents and a category."""
    (folder,) = (finished.folder / "runs").glob("jointvae-seed0-*")
    return Path(shutil.copytree(folder, tmp_path / folder.name))


@pytest.fixture
def refused(cli_here) -> Callable[..., str]:
    """The one line with which the command is refused."""

    def call(*arguments: object) -> str:
        said = cli_here("export", *map(str, arguments))
        assert (said.code, said.out) == (2, "")
        assert said.err.startswith("bench: ")
        assert said.err.count("\n") == 1
        return said.err

    return call


def numbers(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of each column of a file of rows."""
    curves: dict[str, list[tuple[int, float]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if name != "step" and value:
                    curves.setdefault(name, []).append((int(float(row["step"])), float(value)))
    return curves


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_events_are_the_numbers_of_the_histories(run: Path, cli_here) -> None:
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    # a score that is missing at a step
    rows = [{"step": 10, "mig": 0.25}, {"step": 20, "kl_total": 1.5}]
    write_rows(run / "score_history.csv", rows)
    for _ in range(2):  # the second takes the place of the first
        said = cli_here("export", str(run), "--tensorboard")
        assert said.code == 0
    assert [path.name for path in (run / "export").iterdir()] == [EVENTS]
    events = EventAccumulator(str(run / "export"), size_guidance={"scalars": 0})
    events.Reload()
    found = {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }
    history = numbers(run / "history.csv")
    assert len(history["loss"]) == 20
    scores = {"scores/mig": [(10, 0.25)], "scores/kl_total": [(20, 1.5)]}
    assert found == {f"training/{name}": curve for name, curve in history.items()} | scores
    times = [event.wall_time for event in events.Scalars("training/loss")]
    assert times == sorted(times)


@pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed"
)
def test_events_need_a_history_that_can_be_read(run: Path, refused) -> None:
    (run / "history.csv").write_text("step,loss\n1,many\n")
    assert "history.csv cannot be read" in refused(run, "--tensorboard")
    (run / "history.csv").write_text("loss\n1\n")
    assert "a row has no step" in refused(run, "--tensorboard")
    (run / "history.csv").unlink()
    assert "name the folder of a run that is trained" in refused(run, "--tensorboard")
    assert not (run / "export").exists()


def test_without_tensorboard_the_extra_is_named(run: Path, refused, monkeypatch) -> None:
    from bench.export import events

    monkeypatch.setattr(events, "find_spec", lambda name: None)
    assert "pip install 'disentanglement-bench[tensorboard]'" in refused(run, "--tensorboard")


def test_each_latent_in_use_moves_in_turn_and_comes_back(run: Path, cli_here) -> None:
    assert cli_here("export", str(run), "--gif").code == 0
    evaluation, samples = read_evaluation(run), read_arrays(run / "samples.npz")
    active = [i for i in np.argsort([-k for k in evaluation.kl]) if evaluation.active[i]]
    lengths = [FRAMES if i < evaluation.continuous else 3 for i in active]
    assert len(lengths) > 1
    with Image.open(run / "export" / ANIMATION) as gif:
        # frames that are alike are one, for as long
        total = sum(FRAME * n if n == FRAMES else EACH * n for n in lengths)
        durations, shown = [], []
        for index in range(gif.n_frames):
            gif.seek(index)
            durations.append(gif.info["duration"])
            shown.append(np.asarray(gif.convert("RGB")))
        assert sum(durations) == total + REST * len(active)
        assert gif.info["loop"] == 0

    def tile(frame: np.ndarray) -> np.ndarray:
        """The decoder's picture of a frame, (32, 32)."""
        left, top, scale = animation._PAD, animation._PAD + animation._ROW, 8
        return frame[top : top + 32 * scale : scale, left : left + 32 * scale : scale, 0]

    ends = [index for index, d in enumerate(durations) if d in (FRAME + REST, EACH + REST)]
    assert len(ends) == len(active)
    for index in ends:  # to where the reference image is; a palette has not all greys
        assert np.abs(tile(shown[index]).astype(int) - samples["reference"][1, 0]).max() <= 6
    # the ends of a traversal look as the run's own pictures of it
    first = active[0]
    if first < evaluation.continuous:
        own = [tile(frame).astype(int) for frame in shown[: ends[0] + 1]]
        for picture in samples[f"z{first + 1}"][[0, -1], 0]:
            assert min(np.abs(picture - other).mean() for other in own) < 3


def test_a_run_without_a_decoder_has_no_traversals(run: Path, refused) -> None:
    (run / "samples.npz").unlink()
    assert "jointvae has no decoder, and so no traversals" in refused(run, "--gif")


def test_damaged_samples_are_named(run: Path, refused) -> None:
    (run / "samples.npz").write_bytes(b"no archive")
    assert "cannot be read" in refused(run, "--gif")


def test_several_runs_go_into_their_own_folders_only(run: Path, refused, cli_here) -> None:
    other = shutil.copytree(run, run.parent / "other")
    assert "the files of 2 runs have the same names" in refused(
        run, other, "--gif", "--output", "x"
    )
    assert cli_here("export", str(run), str(other), "--gif").code == 0
    assert (run / "export" / ANIMATION).read_bytes() == (other / "export" / ANIMATION).read_bytes()
