"""Every registered data set that needs no files keeps the promises of `bench check`."""

import pytest

from bench.check.dataset import PROMISES, DatasetSubject
from bench.check.promises import OK, try_promises
from bench.datasets import DATASETS, MissingFileError


@pytest.mark.parametrize("name", DATASETS)
def test_a_data_set_keeps_its_promises(name: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    try:
        DATASETS[name]()
    except MissingFileError:
        pytest.skip("needs files; the tests of this set write small ones")
    findings = list(try_promises(PROMISES, DatasetSubject(DATASETS[name]), None))
    broken = [str(finding) for finding in findings if finding.mark != OK]
    assert broken == [], "\n".join(broken)
