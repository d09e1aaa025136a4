"""What the tests of commands share."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.datasets import DATASETS, cache
from bench.datasets.entry import File


@pytest.fixture
def here(tmp_path: Path, monkeypatch) -> Path:
    """An empty folder to work in, which has the cache and may have the data folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cache.platformdirs, "user_cache_dir", lambda name: tmp_path / "cache")
    monkeypatch.delenv("BENCH_DATA_DIR", raising=False)
    return tmp_path


@pytest.fixture
def give_files(monkeypatch) -> Callable[..., None]:
    """Give a data set other files, and other facts about it: `give_files(*files, name="cars3d")`.

    By default it is cars3d: any set that comes as files would do.
    """

    def give(*files: File, name: str = "cars3d", **fields: Any) -> None:
        target = DATASETS[name]
        monkeypatch.setattr(target, "entry", replace(target.entry, files=files, **fields))

    return give
