"""What all data sets with files share: finding them, checksums, and what is prepared of them."""

import errno
import gzip
import hashlib
import logging
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from bench.datasets import Factor, LabelledData, MissingFileError, blocks, cache, files
from bench.datasets.entry import Entry, File
from tests.datasets.conftest import prepared

ROWS = np.arange(60, dtype=np.uint8).reshape(10, 2, 3)


NINE = Entry(
    name="nine",
    title="Nine",
    factors="",
    counts=(9,),
    licence="MIT",
    files=(
        File("a.gz", ("http://a.test/a.gz",), instead=(File("a"),)),
        File("b", ("http://a.test/b",)),
    ),
)


def in_blocks(calls: list[int] | None = None) -> Iterator[np.ndarray]:
    if calls is not None:
        calls.append(1)
    yield from np.array_split(ROWS, 3)


def made(**changes) -> np.ndarray:
    options = {"key": "rows", "shape": (10, 2, 3), "dtype": np.uint8, "blocks": in_blocks}
    return cache.prepared(**(options | changes))


def test_the_data_folder_is_the_argument_then_the_variable_then_the_cache(
    cache_folder, tmp_path, monkeypatch
) -> None:
    assert files.data_root() == cache_folder
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path / "later"))
    assert files.data_root() == tmp_path / "later"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    assert files.data_root("here") == tmp_path / "here"
    with pytest.raises(ValueError, match="nowhere is not a folder"):
        files.data_root("nowhere")
    (tmp_path / "later").write_text("")
    with pytest.raises(ValueError, match="BENCH_DATA_DIR .*later is not a folder"):
        files.data_root()


def test_where_files_are_looked_for_and_in_which_order(cache_folder, tmp_path) -> None:
    root = tmp_path / "data"
    folders = [root, root / "nine", root / "deep" / "down", tmp_path / "other"]
    entry = replace(NINE, folders=("deep/down", str(tmp_path / "other")))
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)

    def look() -> dict[str, Path]:
        return files.paths(entry, root)

    (folders[3] / "a").touch()
    (folders[3] / "b").touch()
    assert look() == {"a.gz": folders[3] / "a", "b": folders[3] / "b"}
    (folders[2] / "b").touch()
    assert look()["b"] == folders[2] / "b"
    (folders[1] / "b").touch()
    assert look()["b"] == folders[1] / "b"
    (folders[0] / "b").touch()
    (folders[1] / "a").touch()
    assert look() == {"a.gz": folders[1] / "a", "b": folders[0] / "b"}
    (folders[1] / "a.gz").touch()
    assert look()["a.gz"] == folders[1] / "a.gz"
    location, _ = files.find(entry, root)
    assert location == files.Location(entry.files[0], entry.files[0], folders[1] / "a.gz")
    (folders[1] / "a.gz").unlink()
    location, _ = files.find(entry, root)
    assert location == files.Location(entry.files[0], File("a"), folders[1] / "a")


def test_a_missing_file_is_named_with_its_folder_and_the_command(cache_folder, tmp_path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(MissingFileError) as caught:
        files.paths(NINE, tmp_path)
    assert str(caught.value) == (
        f"nine: b is missing: put it into {tmp_path}/nine, or `bench data fetch nine` downloads it"
    )
    (tmp_path / "a").unlink()
    by_hand = replace(NINE, files=(replace(NINE.files[0], urls=()), NINE.files[1]))
    with pytest.raises(MissingFileError) as caught:
        files.paths(by_hand, tmp_path)
    assert str(caught.value) == (
        f"nine: a.gz or a, b are missing: put them into {tmp_path}/nine; `bench data fetch nine` "
        "says where to get them"
    )


MD5 = f"md5:{hashlib.md5(b'content').hexdigest()}"
UNPACKED = hashlib.sha256(b"content").hexdigest()


WRONG_FILES: dict[str, tuple[File, bytes, str | None]] = {
    "nothing known": (File("x"), b"content", None),
    "right": (File("x", digest=MD5, size=7), b"content", None),
    "another": (File("x", digest=MD5), b"other", f"is truncated or another .*, not {MD5[4:]}"),
    "truncated": (File("x", digest=MD5, size=8), b"content", "is truncated: it has 7 of 8 bytes"),
    "not binding": (File("x", digest=MD5, binding=False), b"other", None),
    "page": (File("x", digest=MD5), b"\n<!DOCTYPE html>Quota", "is a web page: the host answered"),
    "packed by others": (
        File("x", digest=MD5, content=UNPACKED),
        gzip.compress(b"content"),
        None,
    ),
    "other content": (
        File("x", digest=MD5, content=UNPACKED),
        gzip.compress(b"other"),
        "is truncated or another",
    ),
    "not packed": (
        File("x", digest=MD5, content=UNPACKED),
        b"content of no gzip file",
        "is truncated or another",
    ),
    "not a folder": (File("x", folder=True), b"content", "is not a folder"),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_what_is_wrong_with_a_file(cache_folder, tmp_path, case) -> None:
    file, content, problem = WRONG_FILES[case]
    path = tmp_path / "x"
    path.write_bytes(content)
    wrong = files.problem(path, file)
    assert bool(wrong) == bool(problem)
    if problem:
        with pytest.raises(ValueError, match=f"^nine: {path} {problem}.*; fetch the official"):
            files.check(NINE, path, file)
    else:
        files.check(NINE, path, file)
    path.unlink()
    assert files.problem(path, replace(file, folder=False)) == "is not a file"


def test_a_digest_is_remembered_until_the_file_changes(cache_folder, tmp_path, monkeypatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    old = path.stat().st_mtime_ns - 10**10
    os.utime(path, ns=(old, old))
    expected = hashlib.md5(b"content").hexdigest()
    assert files.digest(path) == expected
    assert files.digest(path, "sha256") == hashlib.sha256(b"content").hexdigest()
    with monkeypatch.context() as patch:
        patch.setattr(files.hashlib, "file_digest", None)
        assert files.digest(path) == expected
    path.write_bytes(b"changed")
    assert files.digest(path) == hashlib.md5(b"changed").hexdigest()


def test_the_digest_of_a_fresh_file_is_not_remembered(cache_folder, tmp_path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    files.digest(path)
    time = path.stat().st_mtime_ns
    path.write_bytes(b"changed")  # within the resolution of the file system's clock
    os.utime(path, ns=(time, time))
    assert files.digest(path) == hashlib.md5(b"changed").hexdigest()


def test_a_digest_needs_no_cache_but_a_readable_file(cache_folder, tmp_path) -> None:
    cache_folder.write_text("a file where the folder should be")
    path = tmp_path / "file"
    path.write_bytes(b"content")
    os.utime(path, ns=(0, 0))
    assert files.digest(path) == hashlib.md5(b"content").hexdigest()
    with pytest.raises(ValueError, match=r"absent cannot be read \(No such file"):
        files.digest(tmp_path / "absent")


def test_a_damaged_note_is_not_believed(cache_folder, tmp_path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    os.utime(path, ns=(0, 0))
    files.digest(path)
    (note,) = (cache_folder / "digests").iterdir()
    note.write_bytes(b"\xff" + note.read_bytes()[:-5])
    assert files.digest(path) == hashlib.md5(b"content").hexdigest()


def test_an_array_is_prepared_once_and_mapped_read_only(cache_folder, caplog) -> None:
    calls: list[int] = []
    with caplog.at_level(logging.INFO):
        first = made(blocks=lambda: in_blocks(calls))
    assert "rows.npy" in caplog.text
    np.testing.assert_array_equal(first, ROWS)
    again = made(blocks=lambda: in_blocks(calls))
    np.testing.assert_array_equal(again, ROWS)
    assert calls == [1]
    assert prepared(cache_folder) == ["rows.npy"]
    assert isinstance(again.base, np.memmap)
    assert not again.flags.writeable
    np.testing.assert_array_equal(np.load(cache_folder / "rows.npy"), ROWS)


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:-1],
        lambda whole: whole + b"more",
        lambda whole: whole[:50],
        lambda whole: b"",
        lambda whole: whole.replace(b"(10, 2, 3)", b"(10, 3, 2)"),
        lambda whole: whole.replace(b"|u1", b"|i1"),
        lambda whole: whole.replace(b"'fortran_order': False", b"'fortran_order': True "),
    ],
)
def test_a_damaged_array_is_prepared_again(cache_folder, damage) -> None:
    made()
    path = cache_folder / "rows.npy"
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    np.testing.assert_array_equal(made(), ROWS)
    assert path.read_bytes() == whole


def test_what_a_killed_process_left_is_written_over(cache_folder) -> None:
    cache_folder.mkdir()
    (cache_folder / "rows.partial").write_bytes(b"x" * 1000)
    np.testing.assert_array_equal(made(), ROWS)
    assert prepared(cache_folder) == ["rows.npy"]


def _fails(error: Exception) -> Iterator[np.ndarray]:
    yield ROWS[:4]
    raise error


@pytest.mark.parametrize(
    ("blocks", "complaint"),
    [
        (lambda: _fails(ValueError("the source is bad")), "the source is bad"),
        (lambda: _fails(OSError(5, "Input/output error")), "cannot be read .*Input/output error"),
        (lambda: iter([ROWS[:4]]), "4 rows instead of 10"),
        (lambda: iter([ROWS, ROWS]), "is no part of"),
        (lambda: iter([ROWS[:, :1]]), "is no part of"),
        (lambda: iter([ROWS.astype(np.int8)]), "is no part of"),
    ],
)
@pytest.mark.parametrize("writable", [True, False])
def test_a_bad_source_leaves_nothing(cache_folder, blocks, complaint, writable) -> None:
    if not writable:
        cache_folder.write_text("a file where the folder should be")
    with pytest.raises(ValueError, match=complaint):
        made(blocks=blocks)
    assert not writable or prepared(cache_folder) == []


def _interrupted() -> Iterator[np.ndarray]:
    yield ROWS[:4]
    raise KeyboardInterrupt


def test_an_interrupt_leaves_nothing(cache_folder) -> None:
    with pytest.raises(KeyboardInterrupt):
        made(blocks=_interrupted)
    assert prepared(cache_folder) == []
    np.testing.assert_array_equal(made(), ROWS)


def _no_space(*arguments: object) -> SimpleNamespace:
    return SimpleNamespace(free=59)


def _refused(*arguments: object) -> None:
    raise OSError(errno.EROFS, "Read-only file system")


def _full(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


UNWRITABLE = [
    ((cache.shutil, "disk_usage", _no_space), "needs 0.0 MB in .*cache, 0.0 MB free: free some"),
    ((cache.filelock, "FileLock", _refused), "cache cannot be written .Read-only file system"),
    ((cache.os, "fsync", _full), "cache cannot be written .No space left on device"),
]


@pytest.mark.parametrize(("patch", "complaint"), UNWRITABLE)
def test_without_a_cache_small_arrays_are_in_memory(
    cache_folder, monkeypatch, patch, complaint
) -> None:
    monkeypatch.setattr(*patch)
    array = made()
    np.testing.assert_array_equal(array, ROWS)
    assert not array.flags.writeable
    assert prepared(cache_folder) == []


@pytest.mark.parametrize(("patch", "complaint"), UNWRITABLE)
def test_without_a_cache_large_arrays_are_refused(
    cache_folder, monkeypatch, patch, complaint
) -> None:
    monkeypatch.setattr(*patch)
    monkeypatch.setattr(cache, "SMALL", 59)
    with pytest.raises(ValueError, match=complaint) as caught:
        made()
    assert "\n" not in str(caught.value)
    assert "XDG_CACHE_HOME" in str(caught.value)
    assert prepared(cache_folder) == []


def test_a_disk_that_fills_up_while_it_is_written(cache_folder, monkeypatch) -> None:
    # The real thing: the limit of a file's size gives an error of the same kind.
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    monkeypatch.setattr(cache, "SMALL", 59)
    large = np.zeros((10, 100_000), dtype=np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))
    try:
        with pytest.raises(ValueError, match=r"cannot be written \(File too large\)"):
            made(shape=large.shape, blocks=lambda: iter(large[:, None].transpose(1, 0, 2)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert prepared(cache_folder) == []


def test_a_filled_cache_may_be_read_only(cache_folder, monkeypatch) -> None:
    made()
    monkeypatch.setattr(cache.filelock, "FileLock", _refused)
    np.testing.assert_array_equal(made(blocks=None), ROWS)


def test_a_file_system_without_locks(cache_folder, monkeypatch) -> None:
    def lock(*arguments: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(cache.filelock, "FileLock", lock)
    np.testing.assert_array_equal(made(), ROWS)
    monkeypatch.setattr(cache, "SMALL", 59)
    with pytest.raises(ValueError, match="has no locks"):
        made()


def _prepare(barrier, results) -> None:
    calls: list[int] = []
    barrier.wait(timeout=30)
    array = made(blocks=lambda: in_blocks(calls))
    results.put((bool((array == ROWS).all()), len(calls)))


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="the patches travel by fork"
)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_processes_that_start_at_once_prepare_once(cache_folder) -> None:
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(3), context.Queue()
    processes = [context.Process(target=_prepare, args=(barrier, results)) for _ in range(3)]
    for process in processes:
        process.start()
    outcomes = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(timeout=60)
    assert all(right for right, _ in outcomes)
    assert sum(calls for _, calls in outcomes) == 1


def test_rows_are_copied_and_a_large_file_does_not_stay_in_memory(
    cache_folder, monkeypatch
) -> None:
    array = made()
    rows = [3, 0, 3, 9, 7]
    for limit in (10**9, 0):
        monkeypatch.setattr(cache, "_RESIDENT", limit)
        monkeypatch.setattr(cache, "_AT_A_TIME", 2)
        copy = cache.rows(array, rows)
        np.testing.assert_array_equal(copy, ROWS[rows])
        copy[:] = 0
        np.testing.assert_array_equal(array, ROWS)
    assert cache.rows(array, []).shape == (0, 2, 3)
    np.testing.assert_array_equal(cache.rows(ROWS, rows), ROWS[rows])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="counts the pages with /proc")
def test_memory_stays_bounded(cache_folder, monkeypatch) -> None:
    monkeypatch.setattr(cache, "_RESIDENT", 0)
    row = np.ones((1000, 4096), dtype=np.uint8)
    array = made(shape=(20_000, 4096), blocks=lambda: iter([row] * 20))

    def mapped() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssFile"))

    before = mapped()
    cache.rows(array, np.random.default_rng(0).permutation(20_000)[:5000])
    assert mapped() - before < 10_000  # kB of the 82 MB
    assert array[::50].all()
    assert mapped() - before > 10_000  # and here they are


@pytest.mark.parametrize("member", ["../a", "b/../../a", "/etc/a", "C:\\a", "..\\a", "\\\\host\\a"])
def test_members_that_leave_their_folder_are_refused(member) -> None:
    files.check_members(NINE, Path("x.zip"), ["a", "b/c..d", "b/.e"])
    with pytest.raises(ValueError, match=r"^nine: x\.zip is refused: its member") as caught:
        files.check_members(NINE, Path("x.zip"), ["a", member])
    assert repr(member) in str(caught.value)


def test_an_hdf5_file_is_read_in_whole_chunks(tmp_path, monkeypatch) -> None:
    array = np.arange(70 * 4, dtype=np.uint8).reshape(70, 4)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("group/a", data=array, chunks=(30, 2))
    monkeypatch.setattr(blocks, "_BLOCK", 4 * 40)
    with blocks.open_h5(tmp_path / "a.h5") as file:
        found = list(blocks.h5_blocks(file, "group/a", np.dtype("u1"), (70, 4)))
        assert [len(block) for block in found] == [60, 10]
        np.testing.assert_array_equal(np.concatenate(found), array)
        monkeypatch.setattr(blocks, "_LIMIT", 4 * 25)
        found = list(blocks.h5_blocks(file, "group/a", np.dtype("u1"), (70, 4)))
        assert [len(block) for block in found] == [25, 25, 20]


def test_an_hdf5_file_may_not_point_elsewhere(tmp_path) -> None:
    path, other = tmp_path / "a.h5", tmp_path / "b.h5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.zeros(3)
    layout = h5py.VirtualLayout((3,), "<f8")
    layout[:] = h5py.VirtualSource(other, "secret", (3,))
    with h5py.File(path, "w") as file:
        file["link"] = h5py.ExternalLink("b.h5", "secret")
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("outside", (3,), "<f8", external=[(str(tmp_path / "raw"), 0, 24)])
        file["plain"] = np.zeros(3)
        file["soft"] = h5py.SoftLink("/plain")
        file.create_group("group")
    with blocks.open_h5(path) as file:
        for key in ("link", "virtual", "outside", "soft", "group", "absent", "plain/deeper"):
            with pytest.raises(blocks.WrongFileError, match=f"has no array '{key}'"):
                list(blocks.h5_blocks(file, key, np.dtype("<f8"), (3,)))
        assert len(list(blocks.h5_blocks(file, "plain", np.dtype("<f8"), (3,)))) == 1


class _Labelled(LabelledData):
    factors = (
        Factor("a", 3, "ordinal", (0.0, 1.0, 2.0)),
        Factor("b", 2, "categorical", (0.0, 1.0)),
    )
    image_shape = (1, 28, 28)
    source = fingerprint = "test"
    labels = np.array([[2, 1], [0, 0], [2, 1], [1, 1]])
    held_out = 1

    def images(self, rows):
        return np.zeros((len(self.checked(rows)), 1, 28, 28), dtype=np.uint8)


def test_labelled_data_finds_the_first_row_of_a_combination() -> None:
    data = _Labelled()
    assert (len(data), data.training) == (4, 3)
    np.testing.assert_array_equal(data.values([3, 0]), [[1, 1], [2, 1]])
    np.testing.assert_array_equal(data.rows([[2, 1], [1, 1], [0, 0]]), [0, 3, 1])
    assert data.rows(np.empty((0, 2), dtype=int)).shape == (0,)
    with pytest.raises(ValueError, match="no image has a 0, b 1"):
        data.rows([[0, 1], [2, 1], [0, 1]])
    with pytest.raises(ValueError, match=r"b 2 is outside 0..1"):
        data.rows([[2, 2]])
    with pytest.raises(IndexError, match="row 4 is outside 0..3"):
        data.values([4])
