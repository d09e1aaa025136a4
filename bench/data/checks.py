"""What the files, labels and pixels of a data set are checked for."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.data.files import Place, content, digest
from bench.data.progress import Watch
from bench.datasets import FactorData, LabelledData
from bench.datasets.entry import Entry, Published

_ROWS = 2**16  # of labels at a time
_IMAGES = 1024  # at a time
_PINNED = 4096  # images behind a pin


@dataclass(frozen=True)
class Check:
    """A finding in words; `holds` is None where there is nothing to compare it with."""

    what: str
    holds: bool | None


def file_checks(place: Place) -> Iterator[Check]:
    """Size and checksum of a file that is there. Raises RequestError if it cannot be read."""
    path, file = place.path, place.file
    assert path is not None
    if file.folder != path.is_dir():
        yield Check(f"{path} is no {'folder' if file.folder else 'file'}", False)
        return
    if file.folder:
        yield Check(f"{path} is a folder, see below for what is in it", None)
        return
    size = path.stat().st_size
    algorithm, _, known = (file.digest or "sha256:").partition(":")
    checksum = digest(path, algorithm)
    if file.content and checksum != known and content(path) == file.content:
        yield Check(f"{path}: packed by others, but its content has sha256 {file.content}", True)
        return
    right = None if file.size is None else size == file.size
    wanted = f", not {file.size:,}" if right is False else ""
    yield Check(f"{path}: {size:,} bytes{wanted}", right)
    if not known:
        yield Check(f"{path}: {algorithm} {checksum}, none is published", None)
    elif checksum == known:
        yield Check(f"{path}: {algorithm} {checksum}", True)
    else:
        first = "" if file.binding else " as first published"
        yield Check(
            f"{path}: {algorithm} {checksum}, not {known}{first}", False if file.binding else None
        )


def label_checks(data: FactorData, entry: Entry) -> Iterator[Check]:
    """Numbers of images, and whether the labels are those of the grid or of the classes."""
    wanted = " or ".join(f"{count:,}" for count in entry.counts)
    yield Check(f"images: {len(data):,} (published {wanted})", len(data) in entry.counts)
    if entry.training is not None:
        yield Check(
            f"images to train on: {data.training:,} (published {entry.training:,})",
            data.training == entry.training,
        )
    if not isinstance(data, LabelledData):
        wrong = sum(_off_the_grid(data, start) for start in range(0, len(data), _ROWS))
        yield Check(f"labels that do not lead back to their row: {wrong:,}", wrong == 0)
        return
    absent = [
        f"{factor.name} {k}"
        for factor, column in zip(data.factors, data.labels.T, strict=True)
        for k in set(range(factor.size)) - set(np.unique(column).tolist())
    ]
    yield Check(f"classes without an image: {', '.join(absent) or 'none'}", not absent)
    if entry.per_class is not None:
        counts = np.bincount(data.labels[: data.training, 0], minlength=data.sizes[0])
        found = (int(counts.min()), int(counts.max()))
        yield Check(
            f"images of a class to train on: {found[0]:,} to {found[1]:,} "
            f"(published {entry.per_class[0]:,} to {entry.per_class[1]:,})",
            found == entry.per_class,
        )


def statistics_checks(data: FactorData, published: Published, watch: Watch) -> Iterator[Check]:
    """Mean and deviations of the pixels to train on."""
    rows = np.arange(data.training)
    if published.only is not None:
        name, classes = published.only
        column = [factor.name for factor in data.factors].index(name)
        rows = rows[np.isin(data.values(rows)[:, column], classes)]
    deep = bool(published.deviation or published.image_deviation)
    found = _moments(data, rows, deep, watch)
    for what, numbers, wanted in zip(
        ("mean", "deviation", "mean deviation within an image"),
        found,
        (published.mean, published.deviation, published.image_deviation),
        strict=True,
    ):
        if wanted:
            texts = [" ".join(f"{number:.5f}" for number in side) for side in (numbers, wanted)]
            near = len(numbers) == len(wanted) and np.allclose(
                numbers, wanted, rtol=0, atol=published.tolerance
            )
            yield Check(
                f"{what} of {len(rows):,} images: {texts[0]} "
                f"(published {texts[1]}, tolerance {published.tolerance:g})",
                bool(near),
            )


def pinned(data: FactorData) -> str:
    """Start of the sha256 of the images and classes of up to 4,096 rows, evenly spread."""
    rows = np.unique(np.linspace(0, len(data) - 1, _PINNED).round().astype(np.int64))
    value = hashlib.sha256()
    for start in range(0, len(rows), _IMAGES):
        block = rows[start : start + _IMAGES]
        value.update(np.ascontiguousarray(data.images(block)).data)
        value.update(np.ascontiguousarray(data.values(block), dtype="<i8").data)
    return value.hexdigest()[:16]


def _off_the_grid(data: FactorData, start: int) -> int:
    rows = np.arange(start, min(start + _ROWS, len(data)))
    return int((data.rows(data.values(rows)) != rows).sum())


def _moments(
    data: FactorData, rows: NDArray[np.int64], deep: bool, watch: Watch
) -> tuple[NDArray[np.float64], ...]:
    """Mean and deviation of all pixels, and mean deviation within an image, (C,) each."""
    channels, height, width = data.image_shape
    size = height * width
    sums = np.zeros(channels, dtype=np.int64)
    squares, within = sums.copy(), np.zeros(channels)
    for start in range(0, len(rows), _IMAGES):
        block = rows[start : start + _IMAGES]
        pixels = data.images(block).reshape(len(block), channels, size)
        each = pixels.sum(axis=2, dtype=np.int64)
        sums += each.sum(axis=0)
        if deep:
            squared = np.square(pixels, dtype=np.uint16).sum(axis=2, dtype=np.int64)
            squares += squared.sum(axis=0)
            within += np.sqrt((squared - each**2 / size) / (size - 1)).sum(axis=0)
        watch(start + len(block), len(rows))
    count = size * len(rows)
    mean = sums / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return mean / 255, deviation / 255, within / len(rows) / 255
