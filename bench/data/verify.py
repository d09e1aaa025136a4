"""`bench data verify`: files, labels and pixels of a data set against what is known of it."""

import hashlib
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from bench.build import build_data
from bench.console import say
from bench.data.files import digest, entry_of, find, root_of
from bench.data.progress import Advance, progress_of
from bench.datasets import FactorData, LabelledData, MissingFileError, files
from bench.datasets.entry import Entry, Published
from bench.datasets.files import Location
from bench.errors import RequestError

SAMPLE = 4096  # images behind the checksum of `sample_checksum`

_LABELS = 2**16  # rows at a time
_IMAGES = 1024  # rows at a time

_MARKS = {True: "ok", False: "DIFFERS", None: "note"}


@dataclass(frozen=True)
class Check:
    """A finding.

    Attributes:
        what: the finding in words.
        holds: whether it is as it should be; None if there is nothing to compare it with.
    """

    what: str
    holds: bool | None


def verify(name: str, data_dir: str | Path | None, out: Console, log: Console) -> int:
    """Print each finding as soon as it is known; the exit code is 0 if all holds, else 1.

    Raises RequestError if a file is missing, or nothing is known of the data set.
    """
    entry = entry_of(name)
    if entry is None:
        raise RequestError(
            f"{name}: nothing is known to compare it with; `bench check {name}` checks what every "
            "data set has to keep"
        )
    failed = 0
    for check in _checks(name, entry, data_dir, log):
        failed += check.holds is False
        say(out, f"{_MARKS[check.holds]:8} {check.what}")
    verdict = f"{failed} of the findings differ" if failed else "all is as it should be"
    say(out, f"{name}: {verdict}")
    return 1 if failed else 0


def _checks(name: str, entry: Entry, data_dir: str | Path | None, log: Console) -> Iterator[Check]:
    locations = find(entry, data_dir)
    present = [location for location in locations if location.path is not None]
    if not entry.origin:
        try:
            files.require(entry, locations, data_dir)
        except MissingFileError as error:
            raise RequestError(str(error)) from error
    elif entry.files and not present:
        folder = root_of(data_dir) / entry.name
        yield Check(f"no official file in {folder}: the images are {entry.origin}", None)
    right = True
    for location in present:
        for check in file_checks(location):
            right = right and check.holds is not False
            yield check
    if right:
        yield from _content_checks(name, entry, data_dir, log)
    else:
        yield Check("labels and pixels are not read: remove the file, or fetch it again", None)


def _content_checks(
    name: str, entry: Entry, data_dir: str | Path | None, log: Console
) -> Iterator[Check]:
    settings = {"image_size": entry.published.image_size} if entry.published else {}
    try:
        with (
            progress_of(f"{name}: reading", log, images=True),
            warnings.catch_warnings(record=True) as caught,
        ):
            warnings.simplefilter("always")
            data: FactorData = build_data(name, settings, data_dir)
    except (ValueError, TypeError, OSError) as error:
        yield Check(str(error), False)
        return
    yield Check(data.source, None)
    yield from (Check(str(warning.message), None) for warning in caught)
    yield from label_checks(data, entry)
    if entry.published is not None:
        with progress_of(f"{name}: statistics", log, images=True) as advance:
            checks = list(statistics_checks(data, entry.published, advance))
        yield from checks
    yield Check(f"fingerprint, as in the records of runs at this size: {data.fingerprint}", None)
    yield Check(
        f"sha256 of {min(SAMPLE, len(data)):,} images and their labels, to compare with another "
        f"machine: {sample_checksum(data)}",
        None,
    )


def file_checks(location: Location) -> Iterator[Check]:
    """Size and checksum of a file that is there. Raises RequestError if it cannot be read."""
    path, file = location.path, location.file
    assert path is not None
    if file.folder != path.is_dir():
        yield Check(f"{path} is no {'folder' if file.folder else 'file'}", False)
        return
    if file.folder:
        yield Check(f"{path} is a folder, its content is checked below", None)
        return
    size = path.stat().st_size
    checksum = digest(path, file.algorithm)
    if file.content and checksum != file.checksum and files.content_digest(path) == file.content:
        yield Check(f"{path}: packed by others, but its content has sha256 {file.content}", True)
        return
    same_size = None if file.size is None else size == file.size
    expected = f", not {file.size:,}" if same_size is False else ""
    yield Check(f"{path}: {size:,} bytes{expected}", same_size)
    line = f"{path}: {file.algorithm} {checksum}"
    if not file.checksum:
        yield Check(f"{line}, none is published", None)
    elif checksum == file.checksum:
        yield Check(line, True)
    elif file.binding:
        yield Check(f"{line}, not {file.checksum}", False)
    else:
        yield Check(f"{line}, not {file.checksum} as first published", None)


def label_checks(data: FactorData, entry: Entry) -> Iterator[Check]:
    """Numbers of images, and whether the labels are those of the grid or of the classes."""
    expected = " or ".join(f"{count:,}" for count in entry.counts)
    yield Check(f"images: {len(data):,} (expected {expected})", len(data) in entry.counts)
    if entry.training is not None:
        yield Check(
            f"images to train on: {data.training:,} (expected {entry.training:,})",
            data.training == entry.training,
        )
    if not isinstance(data, LabelledData):
        wrong = sum(_off_the_grid(data, start) for start in range(0, len(data), _LABELS))
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
        extremes = (int(counts.min()), int(counts.max()))
        yield Check(
            f"training images per class: {extremes[0]:,} to {extremes[1]:,} "
            f"(expected {entry.per_class[0]:,} to {entry.per_class[1]:,})",
            extremes == entry.per_class,
        )


def statistics_checks(data: FactorData, published: Published, advance: Advance) -> Iterator[Check]:
    """Mean and deviations of the pixels of the training images."""
    rows = np.arange(data.training)
    if published.only is not None:
        name, classes = published.only
        column = [factor.name for factor in data.factors].index(name)
        rows = rows[np.isin(data.values(rows)[:, column], classes)]
    deviations = bool(published.deviation or published.image_deviation)
    digits = max(5, 1 + math.ceil(-math.log10(published.tolerance)))
    for what, numbers, expected in zip(
        ("mean", "deviation", "mean deviation within an image"),
        _moments(data, rows, deviations, advance),
        (published.mean, published.deviation, published.image_deviation),
        strict=True,
    ):
        if expected:
            texts = [" ".join(f"{x:.{digits}f}" for x in side) for side in (numbers, expected)]
            near = len(numbers) == len(expected) and np.allclose(
                numbers, expected, rtol=0, atol=published.tolerance
            )
            yield Check(
                f"{what} of {len(rows):,} images: {texts[0]} "
                f"(published {texts[1]}, tolerance {published.tolerance:g})",
                bool(near),
            )


def sample_checksum(data: FactorData) -> str:
    """Start of the sha256 of the images and labels of up to `SAMPLE` rows, evenly spread."""
    rows = np.unique(np.linspace(0, len(data) - 1, SAMPLE).round().astype(np.int64))
    value = hashlib.sha256()
    for start in range(0, len(rows), _IMAGES):
        block = rows[start : start + _IMAGES]
        value.update(np.ascontiguousarray(data.images(block)).data)
        value.update(np.ascontiguousarray(data.values(block), dtype="<i8").data)
    return value.hexdigest()[:16]


def _off_the_grid(data: FactorData, start: int) -> int:
    rows = np.arange(start, min(start + _LABELS, len(data)))
    return int((data.rows(data.values(rows)) != rows).sum())


def _moments(
    data: FactorData, rows: NDArray[np.int64], deviations: bool, advance: Advance
) -> tuple[NDArray[np.float64], ...]:
    """Mean and deviation of all pixels, and mean deviation within an image, (C,) each.

    Without `deviations` only the mean is computed, and the others are 0.
    """
    channels, height, width = data.image_shape
    size = height * width
    sums = np.zeros(channels, dtype=np.int64)
    squares, within = sums.copy(), np.zeros(channels)
    for start in range(0, len(rows), _IMAGES):
        block = rows[start : start + _IMAGES]
        pixels = data.images(block).reshape(len(block), channels, size)
        image_sums = pixels.sum(axis=2, dtype=np.int64)
        sums += image_sums.sum(axis=0)
        if deviations:
            image_squares = np.square(pixels, dtype=np.uint16).sum(axis=2, dtype=np.int64)
            squares += image_squares.sum(axis=0)
            within += np.sqrt((image_squares - image_sums**2 / size) / (size - 1)).sum(axis=0)
        advance(start + len(block), len(rows))
    count = size * len(rows)
    mean = sums / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return mean / 255, deviation / 255, within / len(rows) / 255
