"""What the tests of data sets share: empty folders, small official files, the way to a worker."""

import hashlib
import io
import pickle
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.datasets import FactorData, cache
from bench.datasets.entry import File


@pytest.fixture
def cache_folder(tmp_path, monkeypatch) -> Path:
    """The user's cache folder, which is absent at first; no data folder is set."""
    monkeypatch.setattr(cache.platformdirs, "user_cache_dir", lambda name: tmp_path / "cache")
    monkeypatch.delenv("BENCH_DATA_DIR", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def data_folder(cache_folder, tmp_path, monkeypatch) -> Path:
    """An empty data folder, with an empty cache beside it."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("BENCH_DATA_DIR", str(folder))
    return folder


def prepared(cache_folder: Path) -> list[str]:
    """Names of the arrays in the cache, without what is left of unfinished ones."""
    return sorted(path.name for path in cache_folder.glob("*") if path.suffix not in (".lock", ""))


def make_official(monkeypatch: Any, target: type[FactorData], *paths: Path) -> None:
    """Let a data set know the checksums and sizes of files that a test has written.

    Files of which nothing is published stay unknown.
    """
    contents = {path.name: path.read_bytes() for path in paths}

    def known(file: File) -> File:
        file = replace(file, instead=tuple(map(known, file.instead)))
        if file.name not in contents or not file.digest:
            return file
        content = contents[file.name]
        checksum = hashlib.new(file.algorithm, content).hexdigest()
        size = None if file.size is None else len(content)
        return replace(file, digest=f"{file.algorithm}:{checksum}", size=size)

    files = tuple(map(known, target.entry.files))
    monkeypatch.setattr(target, "entry", replace(target.entry, files=files))


def checksum_of(target: type[FactorData], index: int = 0) -> str:
    """The checksum that a data set knows of one of its files."""
    return target.entry.files[index].checksum


def write_tar(path: Path, mode: str, members: Mapping[str, bytes], link: str = "") -> Path:
    """Write an archive with a folder; the member `link` becomes a link to a file elsewhere."""
    options = {"compresslevel": 1} if mode == "w:gz" else {}
    with tarfile.open(path, mode, **options) as archive:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if name == link:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def refusal(target: type[FactorData], complaint: str, **options: Any) -> str:
    """The message of the ValueError that a constructor raises, which is one line."""
    with pytest.raises(ValueError, match=complaint) as caught:
        target(**options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def assert_travels_light(data: FactorData) -> FactorData:
    """A worker process is sent some bytes and opens the same data set; it is returned."""
    sent = pickle.dumps(data)
    assert len(sent) < 1000
    received = pickle.loads(sent)
    assert isinstance(received, FactorData)
    assert (received.source, received.fingerprint) == (data.source, data.fingerprint)
    np.testing.assert_array_equal(received.images([3]), data.images([3]))
    np.testing.assert_array_equal(received.values([3]), data.values([3]))
    return received
