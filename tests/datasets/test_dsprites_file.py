"""The official dSprites files: small files of their layout, good and bad ones."""

import io
import multiprocessing
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from bench.datasets import DSprites, Factor, blocks, cache, dsprites, sprites
from bench.datasets.dsprites import HDF5, NPZ
from tests.datasets.conftest import checksum_of, make_official, prepared, refusal

FACTORS = (
    *dsprites.FACTORS[:2],
    Factor("orientation", 4, "cyclic", (0.0, 1.0, 2.0, 3.0)),
    Factor("posX", 3, "ordinal", (0.0, 1.0, 2.0)),
    Factor("posY", 2, "ordinal", (0.0, 1.0)),
)
SIZES = (3, 6, 4, 3, 2)
COUNT = 432

# A pickle that fails when opened: it calls int("unpickled").
BOMB = b"cbuiltins\nint\n(S'unpickled'\ntR."


def official_arrays() -> dict[str, np.ndarray]:
    values = np.stack(np.unravel_index(np.arange(COUNT), SIZES), axis=1)
    # Not what the renderer draws at these rows, so that the two cannot be mixed up.
    images = 1 - sprites.unpack(sprites.render(values))
    classes = np.concatenate([np.zeros((COUNT, 1), dtype=int), values], axis=1)
    return {
        "imgs": images,
        "latents_classes": classes.astype("<i8"),
        "latents_values": classes * 1.0,
    }


def write(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """Write arrays in the official layout, with a pickled `metadata`."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|O", "fortran_order": False, "shape": ()}
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.npy", header.getvalue() + BOMB)
        for key, array in arrays.items():
            with archive.open(f"{key}.npy", "w") as member:
                np.lib.format.write_array(member, array, version=(1, 0))
    return path


def write_hdf5(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """Write arrays in the layout of the official HDF5 file, chunks over many images."""
    names = {"latents_classes": "latents/classes", "latents_values": "latents/values"}
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            chunks = (216, 2, 4) if key == "imgs" else True
            name = names.get(key, key)
            file.create_dataset(name, data=array, chunks=chunks, compression="gzip")
    return path


@pytest.fixture
def folder(cache_folder, tmp_path, monkeypatch) -> Path:
    """A folder with a small official file, and a grid to match; it is not the data folder."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setattr(dsprites, "FACTORS", FACTORS)
    monkeypatch.setattr(blocks, "_BLOCK", 100 * 4096)
    make_official(monkeypatch, DSprites, write(folder / NPZ, official_arrays()))
    return folder


def official_images() -> np.ndarray:
    return 255 * official_arrays()["imgs"][:, None]


def test_the_metadata_of_these_tests_fails_when_unpickled(folder) -> None:
    with (
        np.load(folder / NPZ, allow_pickle=True) as archive,
        pytest.raises(Exception, match="unpickled"),
    ):
        archive["metadata"]


def test_official_file_replaces_the_renderer(folder) -> None:
    data = DSprites(data_dir=folder)
    rows = np.random.default_rng(0).permutation(COUNT)
    np.testing.assert_array_equal(data.images(rows), official_images()[rows])
    assert str(folder / NPZ) in data.source
    assert data.fingerprint == f"dsprites-official:md5:{checksum_of(DSprites)}:64x64"
    small = DSprites(data_dir=folder, image_size=32).images(rows)
    assert small.shape == (COUNT, 1, 32, 32)
    assert small.mean() == pytest.approx(official_images().mean(), abs=0.5)


@pytest.fixture
def hdf5(folder, monkeypatch) -> Path:
    """The small official file as HDF5, alone in its folder."""
    (folder / NPZ).unlink()
    path = folder / HDF5
    make_official(monkeypatch, DSprites, write_hdf5(path, official_arrays()))
    return path


def test_official_hdf5_file_has_the_same_images_and_another_name(hdf5) -> None:
    data = DSprites(data_dir=hdf5.parent)
    rows = np.random.default_rng(0).permutation(COUNT)
    np.testing.assert_array_equal(data.images(rows), official_images()[rows])
    assert str(hdf5) in data.source
    (file,) = DSprites.entry.files[0].instead
    assert data.fingerprint == f"dsprites-official-hdf5:sha256:{file.checksum}:64x64"


def test_npz_file_is_taken_before_the_hdf5_file(hdf5, monkeypatch) -> None:
    path = hdf5.with_name(NPZ)
    make_official(monkeypatch, DSprites, write(path, official_arrays()))
    assert str(path) in DSprites(data_dir=path.parent).source


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(slice(None, -100), "is truncated: it has"), (slice(None), "another file: its sha256 is")],
)
def test_wrong_sha256_of_the_hdf5_file_is_refused(hdf5, cache_folder, content, complaint) -> None:
    whole = hdf5.read_bytes()
    hdf5.write_bytes(whole[content] + (b"" if content.stop else b"more"))
    assert str(hdf5) in refusal(DSprites, complaint, data_dir=hdf5.parent)
    assert not prepared(cache_folder)


def test_file_is_packed_once(folder, cache_folder, monkeypatch) -> None:
    DSprites(data_dir=folder)
    (name,) = prepared(cache_folder)
    assert (cache_folder / name).stat().st_size == 128 + COUNT * 512
    monkeypatch.setattr(dsprites, "_blocks", None)
    data = DSprites(data_dir=folder)
    np.testing.assert_array_equal(data.images(range(COUNT)), official_images())


def test_broken_cache_is_written_again(folder, cache_folder) -> None:
    DSprites(data_dir=folder)
    (path,) = cache_folder.glob("*.npy")
    path.write_bytes(path.read_bytes()[:-1])
    np.testing.assert_array_equal(DSprites(data_dir=folder).images(range(COUNT)), official_images())


def test_where_the_file_is_looked_for(folder, cache_folder, tmp_path, monkeypatch) -> None:
    assert "renderer" in DSprites().source
    cache_folder.mkdir(exist_ok=True)
    in_cache = cache_folder / NPZ
    in_cache.write_bytes((folder / NPZ).read_bytes())
    assert str(in_cache) in DSprites().source
    monkeypatch.setenv("BENCH_DATA_DIR", str(folder))
    assert str(folder) in DSprites().source
    named = tmp_path / "named"
    (named / "dsprites").mkdir(parents=True)
    assert "renderer" in DSprites(data_dir=named).source
    in_cache.rename(named / "dsprites" / NPZ)
    assert str(named / "dsprites") in DSprites(data_dir=named).source
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path / "absent"))
    assert "renderer" in DSprites().source
    with pytest.raises(ValueError, match="absent is not a folder"):
        DSprites(data_dir=tmp_path / "absent")


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda whole: whole[: len(whole) // 2], "is truncated or another file: its md5 is"),
        (lambda whole: b"<html>Too many requests</html>", "is a web page"),
        (
            lambda whole: whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:],
            "another file: its md5 is",
        ),
    ],
)
def test_wrong_md5_is_refused(folder, cache_folder, damage, complaint) -> None:
    path = folder / NPZ
    path.write_bytes(damage(path.read_bytes()))
    message = refusal(DSprites, complaint, data_dir=folder)
    assert str(path) in message
    assert "remove it to use the built-in renderer" in message
    assert not prepared(cache_folder)


def _other_order(arrays):
    arrays["latents_classes"][[5, 6]] = arrays["latents_classes"][[6, 5]]


def _other_pixels(arrays):
    arrays["imgs"] *= 255


def _other_shape(arrays):
    arrays["imgs"] = arrays["imgs"][:, :32]


def _other_dtype(arrays):
    arrays["imgs"] = arrays["imgs"].astype(float)


def _fewer(arrays):
    arrays["latents_classes"] = arrays["latents_classes"][:-1]


def _no_images(arrays):
    del arrays["imgs"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_other_order, "in another order"),
        (_other_pixels, "pixels other than 0 and 1"),
        (_other_shape, r"'imgs' as uint8 \(432, 32, 64\), not uint8 \(432, 64, 64\)"),
        (_other_dtype, "'imgs' as float64"),
        (_fewer, "'latents_classes' as"),
        (_no_images, "no array 'imgs'"),
    ],
)
def test_other_content_is_refused(folder, cache_folder, monkeypatch, change, complaint) -> None:
    arrays = official_arrays()
    change(arrays)
    path = write(folder / NPZ, arrays)
    make_official(monkeypatch, DSprites, path)
    assert str(path) in refusal(DSprites, complaint, data_dir=folder)
    assert not prepared(cache_folder)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_other_order, "in another order"),
        (_other_shape, r"'imgs' as uint8 \(432, 32, 64\)"),
        (_no_images, "no array 'imgs'"),
    ],
)
def test_other_content_of_the_hdf5_file_is_refused(
    hdf5, cache_folder, monkeypatch, change, complaint
) -> None:
    arrays = official_arrays()
    change(arrays)
    make_official(monkeypatch, DSprites, write_hdf5(hdf5, arrays))
    refusal(DSprites, complaint, data_dir=hdf5.parent)
    assert not prepared(cache_folder)


def test_bits_that_rot_after_the_md5_are_refused(folder, monkeypatch) -> None:
    path = folder / NPZ
    whole = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("imgs.npy").header_offset
    whole[start + 2000] ^= 255
    path.write_bytes(whole)
    make_official(monkeypatch, DSprites, path)
    refusal(DSprites, "is damaged", data_dir=folder)


def test_cache_that_cannot_be_made_leaves_the_bits_in_memory(folder, cache_folder) -> None:
    cache_folder.write_text("a file where the folder should be")
    data = DSprites(data_dir=folder)
    np.testing.assert_array_equal(data.images(range(COUNT)), official_images())


def test_filled_cache_needs_no_lock(folder, monkeypatch) -> None:
    def refused(*arguments: object) -> None:
        raise PermissionError(13, "Read-only file system")

    DSprites(data_dir=folder)
    monkeypatch.setattr(cache.filelock, "FileLock", refused)
    monkeypatch.setattr(dsprites, "_blocks", None)
    DSprites(data_dir=folder)


def test_full_disk_leaves_the_bits_in_memory(folder, cache_folder, monkeypatch) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, "fsync", fsync)
    data = DSprites(data_dir=folder)
    np.testing.assert_array_equal(data.images(range(COUNT)), official_images())
    assert prepared(cache_folder) == []


def _prepare(folder, barrier, results) -> None:
    blocks = dsprites._blocks
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return blocks(*arguments)

    dsprites._blocks = counted
    barrier.wait(timeout=30)
    data = DSprites(data_dir=folder)
    right = bool((data.images(range(COUNT)) == official_images()).all())
    results.put((right, len(calls)))


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="the patches travel by fork"
)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_processes_that_start_at_once_pack_once(folder) -> None:
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(3), context.Queue()
    processes = [
        context.Process(target=_prepare, args=(folder, barrier, results)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    outcomes = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(timeout=60)
    assert all(right for right, _ in outcomes)
    assert sum(calls for _, calls in outcomes) == 1
