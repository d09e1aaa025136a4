"""`bench.load`: a study's folder -> its runs, their models, codes and scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api.scores import Scores
from bench.errors import RequestError, UnknownNameError
from bench.metrics import Representation
from bench.store.record import (
    REPRESENTATION,
    SCORE_HISTORY,
    Evaluation,
    Record,
    Status,
    read_history,
    read_records,
)
from bench.store.representation import read_representation
from bench.store.study import StudyRecord, read_study

if TYPE_CHECKING:
    import pandas

    from bench.datasets import FactorData
    from bench.models import Encoder


@dataclass(frozen=True, repr=False)
class FinishedRun:
    """One run of a study, finished or not.

    Attributes:
        record: what is stored of it.
        data_dir: where its data set looks for files.
    """

    record: Record
    data_dir: Path | None = None

    @property
    def name(self) -> str:
        """The name of its folder, which no other run has."""
        return self.record.folder.name

    @property
    def folder(self) -> Path:
        return self.record.folder

    @property
    def label(self) -> str:
        """The row of the table that it belongs to: the model and what was changed."""
        return self.record.run.label

    @property
    def seed(self) -> int:
        return self.record.run.seed

    @property
    def settings(self) -> Mapping[str, Any]:
        """All arguments of the model's constructor but the shape of the images."""
        return self.record.run.settings

    @property
    def status(self) -> Status:
        """How far it is, and why it ended as it did."""
        return self.record.status

    @property
    def evaluation(self) -> Evaluation | None:
        """Reconstruction and KL in nats per image, latents in use; None until it is there."""
        return self.record.evaluation

    @property
    def scores(self) -> Scores:
        undefined = self.evaluation.undefined if self.evaluation else {}
        reasons = {name: entry.reason for name, entry in undefined.items()}
        return Scores(self.record.scores, reasons)

    def model(self) -> "Encoder":
        """The trained model with its weights, on the CPU, for evaluation.

        Raises:
            RequestError: the run is not finished, or weights or data cannot be read.
        """
        from bench.build import model_of

        self._check_finished()
        return model_of(self.record, self.data())

    def data(self) -> "FactorData":
        """The data set that it was trained on.

        Raises:
            RequestError: it cannot be opened, or has other pixels here.
        """
        from bench.build import data_of

        return data_of(self.record, self.data_dir)

    def representation(self) -> Representation:
        """The codes and factors that were scored.

        Raises:
            RequestError: the run is not finished, or they cannot be read.
        """
        self._check_finished()
        path = self.folder / REPRESENTATION
        try:
            return read_representation(path)
        except (OSError, ValueError, KeyError) as error:
            raise RequestError(f"{path} cannot be read ({error}): train again") from error

    def history(self) -> "pandas.DataFrame":
        """The means of all terms of the objective, in nats per image, a row per interval of steps.

        Empty for a model that is not trained in steps.

        Raises:
            RequestError: it cannot be read, or holds what is no number.
        """
        return read_history(self.folder)

    def score_history(self) -> "pandas.DataFrame":
        """The quick scores on 2,000 images while the model trained, a row per time it was scored.

        Empty for a run that was trained without `score_every`.

        Raises:
            RequestError: it cannot be read, or holds what is no number.
        """
        return read_history(self.folder, SCORE_HISTORY)

    def _check_finished(self) -> None:
        if not self.record.scored:
            raise RequestError(
                f"{self.record.run.title} is {self.status.state}: the call that made the study "
                "finishes it"
            )

    def __repr__(self) -> str:
        return f"<{self.record.run.title}: {self.status.state}>"


class Study:
    """A study: all its runs, and what came out of them.

    Attributes:
        folder: of the study.
        definition: data set, preset and budget, which all runs share.
        runs: by label, then seed, whatever their status.
    """

    def __init__(
        self,
        folder: Path,
        definition: StudyRecord,
        runs: tuple[FinishedRun, ...],
    ) -> None:
        self.folder, self.definition, self.runs = folder, definition, runs

    @property
    def records(self) -> list[Record]:
        return [run.record for run in self.runs]

    def run(self, name: str) -> FinishedRun:
        """The run with this folder name, or with this label, of which it is then the only seed.

        Raises:
            UnknownNameError: there is no such run.
            RequestError: several runs have the label.
        """
        if same := [run for run in self.runs if run.name == name]:
            return same[0]
        rows = [run for run in self.runs if name in (run.label, run.record.run.title)]
        if len(rows) == 1:
            return rows[0]
        if rows:
            titles = ", ".join(repr(run.record.run.title) for run in rows)
            raise RequestError(f"{len(rows)} runs are {name!r}: choose from {titles}")
        choices = [text for run in self.runs for text in (run.record.run.title, run.name)]
        raise UnknownNameError("run", name, choices)

    def frame(self) -> "pandas.DataFrame":
        """A tidy frame: a row per run and number, with the run's status.

        Its columns are described in `bench.report.frame`.
        """
        from bench.report.frame import frame

        return frame(self.records)

    def table(self) -> "pandas.DataFrame":
        """The comparison as table.csv has it: a row per model, several columns per score.

        They are the mean over seeds, deviation, number of runs and interval.
        """
        import pandas

        from bench.report.render import summary_rows
        from bench.report.table import comparison

        return pandas.DataFrame(summary_rows(comparison(self.records, self.definition)))

    def __repr__(self) -> str:
        states = [run.status.state for run in self.runs]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        d = self.definition
        return f"<Study {self.folder}: {d.data_name}, preset {d.preset}, runs: {counts or 'none'}>"

    def _repr_html_(self) -> str:
        from html import escape

        import pandas

        from bench.report.table import comparison

        table = comparison(self.records, self.definition)
        rows = []
        for row in table.rows:
            shown: dict[str, str] = {"Model": row.label, "Runs": row.runs}
            for column in table.columns:
                cell = row.cells[column.key]
                sd = "" if cell is None or cell.sd is None else f" ± {cell.sd:.{column.digits}f}"
                shown[column.title] = "–" if cell is None else f"{cell.mean:.{column.digits}f}{sd}"
            rows.append(shown)
        notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
        html = pandas.DataFrame(rows).to_html(index=False)  # escapes names itself
        return f"<p><b>{escape(table.title)}</b></p>{html}<small><ul>{notes}</ul></small>"


def load(folder: str | Path, *, data_dir: str | Path | None = None) -> Study:
    """The study in a folder that `bench run` or `bench.run` has written.

    Args:
        folder: of the study.
        data_dir: where its data set looks for files.

    Raises:
        RequestError: the folder holds no study, or a record cannot be read.
    """
    from bench.report.columns import named

    path = Path(folder)
    definition = read_study(path)
    directory = None if data_dir is None else Path(data_dir)
    records = named(read_records(path))
    return Study(path, definition, tuple(FinishedRun(record, directory) for record in records))


def published() -> "pandas.DataFrame":
    """The published numbers that `bench reproduce` knows, a row each.

    Columns: `reproduction` (the name that `bench reproduce` takes), `paper`, `table`, `model`,
    `dataset`, `metric`, `epoch` (of a training; missing for all other numbers), `published` (as it
    is printed), `value`, `low`, `high`, `spread`, `spread_is`, `n`, `certainty`, `source`.
    """
    import pandas

    from bench.reproduce.tables import TABLES

    columns = ["paper", "table", "model", "dataset", "metric", "epoch", "published", "value", "low"]
    columns += ["high", "spread", "spread_is", "n", "certainty", "source"]
    rows = [
        {"reproduction": name, **{column: getattr(row, column) for column in columns}}
        for name, table in TABLES.items()
        for row in table.rows
        if row.certainty != "beside"  # ours, not published
    ]
    frame = pandas.DataFrame(rows, columns=["reproduction", *columns])
    for column in ("value", "low", "high", "spread"):
        frame[column] = pandas.to_numeric(frame[column])
    frame["epoch"] = frame["epoch"].where(frame["epoch"] > 0)
    return frame.astype({"n": "Int64", "epoch": "Int64"})
