"""The training curves of a run as an event file of TensorBoard."""

import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from bench.errors import RequestError
from bench.store import files as store
from bench.store import record as records
from bench.store.study import unwritable

# Fixed, so that a second export takes the place of the first. TensorBoard reads what has the middle
# word in its name.
EVENTS = "events.out.tfevents.1.bench"

_GROUPS = {"training": records.HISTORY, "scores": records.SCORE_HISTORY}


def export_events(folder: Path, output: Path) -> Path:
    """Write history.csv and score_history.csv of a run as an event file.

    Each column is a curve: `training/loss` of the first file, `scores/mig` of the second. Numbers
    are float32 there, as TensorBoard's fast loader passes over float64: that is what the means of
    an objective's terms are anyway, and scores are rounded to seven digits. The time of an event is
    that of its step, if all steps took equally long.

    Args:
        folder: of the run.
        output: folder to write to.

    Returns:
        The file.

    Raises:
        RequestError: tensorboard is not installed, there is no history, or a file cannot be read or
            written.
    """
    if find_spec("tensorboard") is None:
        raise RequestError(
            "event files need tensorboard: pip install 'disentanglement-bench[tensorboard]'"
        )
    groups = {group: _rows(folder / name) for group, name in _GROUPS.items()}
    if not any(groups.values()):
        raise RequestError(
            f"{folder} has no {records.HISTORY}: name the folder of a run that is trained"
        )
    content = _events(groups, *_times(folder))
    store.sweep(output)
    path = output / EVENTS
    try:
        with store.replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise unwritable(output, error) from error
    return path


def _rows(path: Path) -> list[dict[str, float]]:
    try:
        rows = store.read_numbers(path)
    except (OSError, ValueError) as error:
        raise RequestError(f"{path} cannot be read ({error}): train again") from error
    if any("step" not in row for row in rows):
        raise RequestError(f"{path} cannot be read (a row has no step): train again")
    return rows


def _times(folder: Path) -> tuple[float, float]:
    """When the training began, in seconds since the epoch, and the seconds that it took."""
    try:
        begun = datetime.fromisoformat(store.read_json(folder / records.ENVIRONMENT)["started"])
        return begun.timestamp(), records.read_status(folder).seconds.get("training", 0.0)
    except (OSError, ValueError, KeyError, TypeError):  # a committed study may leave it out
        return 0.0, 0.0


def _events(
    groups: Mapping[str, Sequence[Mapping[str, float]]], begun: float, seconds: float
) -> bytes:
    """The contents of the file: a record per row, rows of a group by step."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    last = max(row["step"] for rows in groups.values() for row in rows)
    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    writer.write(Event(wall_time=begun, file_version="brain.Event:2").SerializeToString())
    for group, rows in groups.items():
        for row in rows:
            values = [
                Summary.Value(tag=f"{group}/{name}", simple_value=number)
                for name, number in row.items()
                if name != "step"
            ]
            time = begun + seconds * row["step"] / last
            event = Event(wall_time=time, step=int(row["step"]), summary=Summary(value=values))
            writer.write(event.SerializeToString())
    return buffer.getvalue()
