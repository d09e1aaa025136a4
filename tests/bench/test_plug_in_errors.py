"""Errors in somebody's own metric, data set or model are a line that names it; and its identity."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.errors import RequestError
from bench.execute import Options, Outcome, execute, outstanding
from bench.plan import Plan, Request, plan
from bench.registry import package
from bench.report.columns import Metrics, definition_words
from bench.score import definition
from bench.store.record import read_records, read_scores, write_scores

METRICS = '''
from pathlib import Path
from bench.metrics import Score

def fine(representation, rng, *, scale: float = 1.0):
    """My score (nobody 2024)."""
    return Score(0.5 * scale, {})

def divides(representation, rng):
    return Score(1 / 0, {})

def looks_up(representation, rng):
    return Score({}["missing\\n here"], {})

def returns_float(representation, rng):
    return 0.5

def returns_none(representation, rng):
    return None

def sorts(representation): return sorted(representation)

def takes_nothing(): return None

def later(representation, rng):
    """Breaks only for the codes of a run, which are more than those of the trial."""
    if len(representation) != 500:
        raise ZeroDivisionError("only\\nhere")
    return Score(0.5, {})

def unwritable(representation, rng):
    return Score(0.5, {"names": {"a", "b"}} if len(representation) != 500 else {})

number = 3

class Klass:
    def __init__(self, representation, rng): pass
'''

DATA = """
import numpy as np
from pathlib import Path
from bench.datasets import Toy

class Fine(Toy):
    pass

class Raises(Toy):
    def __init__(self):
        raise KeyError("pixels")

class Half(Toy):
    def values(self, rows):
        raise ZeroDivisionError("values")

class Later(Toy):
    def images(self, rows):
        if len(rows) > 2:
            raise RuntimeError("the disk\\nis gone")
        return super().images(rows)

def no_data():
    return [1, 2, 3]
"""

MODELS = """
from bench.models import VAE

class Raises(VAE):
    def __init__(self, *, image_shape, continuous: int = 2):
        raise LookupError("no\\nweights")

class Signature(VAE):
    def __init__(self, *, image_shape, how: "nowhere.Type" = 2):
        super().__init__(image_shape=image_shape)
"""

FILES = {"metrics": METRICS, "data": DATA, "models": MODELS}


@pytest.fixture
def here(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "leaves.py").write_text("import sys; sys.exit('usage: ...')")
    return tmp_path


def planned(**given: Any) -> Plan:
    request = {"models": "random", "dataset": "toy", "preset": "smoke", "seeds": "1"}
    more = {"metrics": "mig", "sets": ["train.rows=100"], "output": Path("study")}
    return plan(Request(**{**request, **more, **given}))


class Silent:
    """A reporter that says nothing."""

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *error: object) -> None: ...
    def started(self, job: Any) -> None: ...
    def progress(self, job: Any, progress: Any) -> None: ...
    def ended(self, job: Any, status: Any) -> None: ...
    def stopping(self) -> None: ...


IN_PROCESS = Options(jobs=1, device="cpu", in_process=True)


def carried_out(**given: Any) -> Outcome:
    return execute(planned(**given), IN_PROCESS, lambda todo: Silent())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"metrics": "metrics.py:divides"}, "metrics.py:divides raises ZeroDivisionError: divis"),
        ({"metrics": "metrics.py:looks_up"}, "metrics.py:looks_up raises KeyError"),
        ({"metrics": "metrics.py:returns_float"}, "returns float, no Score"),
        ({"metrics": "metrics.py:returns_none"}, "returns NoneType, no Score"),
        ({"metrics": "metrics.py:sorts"}, "metrics.py:sorts raises TypeError"),
        ({"metrics": "metrics.py:takes_nothing"}, "metrics.py:takes_nothing raises TypeError"),
        ({"metrics": "metrics.py:Klass"}, "returns Klass, no Score"),
        ({"metrics": "metrics.py:number"}, "metrics.py:number is of type int: name a function"),
        ({"metrics": "os.path:join"}, "os.path:join raises TypeError"),
        ({"metrics": "math:sqrt"}, "math:sqrt raises TypeError"),
        ({"metrics": "numpy:add"}, "numpy:add"),
        ({"metrics": "builtins:print"}, "builtins:print"),
        ({"metrics": "leaves.py:score"}, "cannot import leaves.py (SystemExit: usage: ...)"),
        ({"dataset": "data.py:Raises"}, "data.py:Raises raises KeyError: 'pixels'"),
        ({"dataset": "data.py:Half"}, "data.py:Half raises ZeroDivisionError: values"),
        ({"dataset": "data.py:no_data"}, "data.py:no_data: it makes a list"),
        ({"dataset": "leaves.py:Data"}, "cannot import leaves.py"),
        ({"models": "models.py:Raises"}, "models.py:Raises raises LookupError: no weights"),
        ({"models": "models.py:Signature"}, "models.py:Signature: its signature cannot be read"),
        ({"models": "leaves.py:Model"}, "cannot import leaves.py"),
    ],
)
def test_in_planning(here: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError) as refused:
        planned(**given)
    assert said in " ".join(str(refused.value).split())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("later", "metrics.py:later raises ZeroDivisionError: only here: try bench check"),
        ("unwritable", "metrics.py:unwritable returns a score that no record can hold"),
    ],
)
def test_a_broken_metric_costs_a_run_nothing_else(here: Path, name: str, said: str) -> None:
    assert carried_out().failed == {}
    metrics = f"mig,metrics.py:{name},sap"
    for _ in range(2):  # the same command tries again
        outcome = carried_out(metrics=metrics)
        (status,) = outcome.failed.values()
        assert status.state in ("done", "collapsed")
        assert said in status.message
        (path,) = outcome.errors.values()
        assert "Traceback" in path.read_text()
        (record,) = read_records(here / "study")
        assert list(record.scores) == ["mig", "sap"]
    # mended: the same name with other code
    (here / "metrics.py").write_text(METRICS.replace("!= 500", "< 0"))
    outcome = carried_out(metrics=metrics)
    assert (outcome.failed, outcome.errors) == ({}, {})
    assert list(read_records(here / "study")[0].scores) == ["mig", "sap", f"metrics.py:{name}"]


def test_a_run_of_which_every_metric_is_broken_has_failed(here: Path) -> None:
    outcome = carried_out(metrics="metrics.py:later")
    (status,) = outcome.failed.values()
    assert status.state == "failed"
    assert "metrics.py:later raises ZeroDivisionError: only here" in status.message


def test_a_data_set_that_breaks_in_a_run_is_named(here: Path) -> None:
    (status,) = carried_out(dataset="data.py:Later").failed.values()
    assert status.state == "failed"
    assert status.message == "data.py:Later raises RuntimeError: the disk is gone"


# identity


def test_a_metric_of_ours_carries_no_code() -> None:
    ours = definition("mig")
    assert (ours.code, ours.package) == (None, None)
    assert ours.as_dict().keys() == {"name", "version", "options"}


@pytest.fixture
def changed(here: Path) -> Callable[[str, str], None]:
    def change(old: str, new: str) -> None:
        path = here / "metrics.py"
        path.write_text(path.read_text().replace(old, new))

    return change


def test_changed_code_is_scored_again_and_mixes_with_nothing(here: Path, changed) -> None:
    metrics = {"metrics": "mig,metrics.py:fine"}
    first = carried_out(**metrics, seeds="2")
    assert first.failed == {}
    assert outstanding(planned(**metrics, seeds="2"), IN_PROCESS).runs == []
    changed("0.5 * scale", "0.25 * scale")
    assert len(outstanding(planned(**metrics, seeds="2"), IN_PROCESS).runs) == 2
    carried_out(**metrics, seeds="1")  # one of the two runs
    records = read_records(here / "study")
    values = [record.scores["metrics.py:fine"].value for record in records]
    assert values == [0.25, 0.5]
    columns = Metrics.of(records)
    keys = {columns.key(record.scores["metrics.py:fine"].definition) for record in records}
    assert len(keys) == 2
    assert all("(code " in key for key in keys)
    assert all("code" in definition_words(d) for d in columns.definitions.values() if d.code)


def test_a_score_by_unknown_code_is_readable_and_scored_again(here: Path) -> None:
    carried_out(metrics="mig,metrics.py:fine")
    (record,) = read_records(here / "study")
    score = record.scores["metrics.py:fine"]
    old = replace(score, definition=replace(score.definition, code=None))
    write_scores(record.folder, {**record.scores, "metrics.py:fine": old})  # as of older versions
    assert read_scores(record.folder)["metrics.py:fine"] == old
    assert len(outstanding(planned(metrics="mig,metrics.py:fine"), IN_PROCESS).runs) == 1


def test_the_version_of_a_package_is_part_of_a_definition() -> None:
    from packaging.version import parse

    name = package("packaging.version:parse", parse, "metric")
    assert name is not None
    assert name.startswith("packaging ")
    other = replace(definition("packaging.version:parse", (), parse), package="packaging 0.1")
    assert other != definition("packaging.version:parse", (), parse)


def test_other_code_of_a_data_set_shares_no_study(here: Path) -> None:
    assert carried_out(dataset="data.py:Fine").failed == {}
    (run,) = planned(dataset="data.py:Fine").runs
    (here / "data.py").write_text(DATA + "# other code\n")
    other = planned(dataset="data.py:Fine")
    assert other.runs[0].identity == run.identity
    with pytest.raises(RequestError, match=r"other code of data.py:Fine.*--force"):
        outstanding(other, IN_PROCESS)
    again = planned(dataset="data.py:Fine", models="pca")
    with pytest.raises(RequestError, match=r"runs of random were made with other code of data.py"):
        outstanding(again, IN_PROCESS)
    assert outstanding(other, replace(IN_PROCESS, force=True)).runs
