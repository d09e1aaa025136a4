"""The MPI3D data sets of Gondal et al. 2019, read from the official files."""

import functools
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import blocks, colour, files, official
from .factors import Factor, FactorData

# Sizes by number of images: the complex set has less, as an early release of the others had.
GRIDS = {1_036_800: (6, 6, 2, 3, 3, 40, 40), 460_800: (4, 4, 2, 3, 3, 40, 40)}

# Kind and words for the classes of each factor; where there are fewer classes, see `Official`.
_FACTORS: dict[str, tuple[str, tuple[str, ...]]] = {
    "object_color": ("categorical", ("white", "green", "red", "blue", "brown", "olive")),
    "object_shape": (
        "categorical",
        ("cone", "cube", "cylinder", "hexagonal", "pyramid", "sphere"),
    ),
    "object_size": ("ordinal", ("small", "large")),
    "camera_height": ("ordinal", ("top", "center", "bottom")),
    "background_color": ("categorical", ("purple", "sea green", "salmon")),
    "horizontal_axis": ("ordinal", ()),
    "vertical_axis": ("ordinal", ()),
}

_TOLERANCE = 1e-3  # of a mean: the sets are more than .01 apart


@dataclass(frozen=True)
class Official:
    """What is known of a file: its names, md5 as first published, mean of each channel, counts.

    labels: words for the classes of some factors, where they are not the usual ones.
    """

    files: tuple[str, ...]
    md5: str | None
    mean: tuple[float, float, float] | None
    counts: tuple[int, ...]
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


OFFICIAL = {
    "mpi3d_toy": Official(
        ("mpi3d_toy.npz",),
        "55889cb7c7dfc655d6e0277beee88868",
        (0.22437, 0.22142, 0.22625),
        tuple(GRIDS),
    ),
    "mpi3d_realistic": Official(
        ("mpi3d_realistic.npz",),
        "59a6225b88b635365f70c91b3e52f70f",
        (0.17987, 0.20475, 0.18148),
        tuple(GRIDS),
    ),
    "mpi3d_real": Official(
        ("mpi3d_real.npz",),
        "0f33f609918fb5c97996692f91129802",
        (0.12849, 0.16480, 0.13972),
        (1_036_800,),
    ),
    "mpi3d_complex": Official(
        ("real3d_complicated_shapes_ordered.npz", "mpi3d_complex.npz"),
        None,
        None,
        (460_800,),
        {
            "object_color": ("yellow", "green", "olive", "red"),
            "object_shape": ("coffee-cup", "tennis-ball", "croissant", "beer-cup"),
        },
    ),
}


class MPI3D(FactorData):
    """MPI3D: colour images of a robot arm that holds an object (Gondal et al. 2019, NeurIPS).

    The base of four sets, which differ in how the images were made; each names its own in `name`.
    Labels in the order of the files, the last fastest: object_color (white, green, red, blue,
    brown, olive), object_shape (cone, cube, cylinder, hexagonal, pyramid, sphere), object_size
    (small, large), camera_height (top, center, bottom), background_color (purple, sea green,
    salmon), horizontal_axis and vertical_axis (40 steps of the two joints of the arm). Sizes come
    from the number of images in the file. No duplicates or symmetries are known.

    `image_size` 64 gives the pixels of the file; 32 the mean of 2x2 pixels, rounded.

    Reads an npz file (github.com/rr-learning/disentanglement_dataset, CC-BY-4.0) from the data
    folder or its subfolder of the name of the set; see `files.data_root`. The first use of a size
    unpacks it into the user's cache folder: 12.7 GB, or 3.2 GB at 32x32. The files hold no labels.
    Their hosts have changed since their checksums were published, so another checksum is only
    a warning, and the mean colour is compared with the published one.

    Raises ValueError for another `image_size`, and a file that is missing, damaged or another.
    """

    name: str

    def __init__(self, *, image_size: int = 64, data_dir: str | Path | None = None) -> None:
        colour.check_size(self.name, image_size)
        known = OFFICIAL[self.name]
        # Absolute, as a worker process may start in another folder.
        self._data_dir = None if data_dir is None else files.data_root(data_dir)
        (path,) = files.located(self.name, self._data_dir, [known.files]).values()
        if official.is_page(path):
            raise self._refusal(path, "is a web page: the host answered with a notice")
        checksum = files.digest(path)
        self._refuse_other_sets(path, checksum)
        sizes = self._sizes(path)
        self.factors = _factors(sizes, known)
        self.image_shape = (3, image_size, image_size)
        as_published = checksum == known.md5
        self._images = files.prepared(
            f"{self.name}-{checksum}-{image_size}",
            (len(self), *self.image_shape),
            np.uint8,
            lambda: self._blocks(path, None if as_published else known.mean),
        )
        origin = "official file" if as_published else "file of unknown checksum"
        if known.md5 is not None and not as_published:
            warnings.warn(
                f"{self.name}: {path} has the md5 {checksum}, not {known.md5} as first published; "
                "its size and mean colour are right",
                stacklevel=2,
            )
        self.source = f"{self.name}, {origin} {path}, {colour.scaling(image_size)}"
        self.fingerprint = f"{self.name}:md5:{checksum}:{image_size}x{image_size}"

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        return files.taken(self._images, self.checked(rows))

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(
            type(self), image_size=self.image_shape[1], data_dir=self._data_dir
        ), ()

    def _refusal(self, path: Path, what: str) -> ValueError:
        return ValueError(f"{self.name}: {path} {what}; {official.AGAIN}")

    def _refuse_other_sets(self, path: Path, checksum: str) -> None:
        for name, other in OFFICIAL.items():
            if name != self.name and checksum == other.md5:
                raise ValueError(f"{self.name}: {path} is the file of {name}: rename it")

    def _sizes(self, path: Path) -> tuple[int, ...]:
        """Sizes of the factors, by the number of images that the file announces."""
        with (
            blocks.complaints(lambda what: self._refusal(path, what)),
            zipfile.ZipFile(path) as archive,
        ):
            shape, _ = blocks.npz_header(archive, "images")
            counts = OFFICIAL[self.name].counts
            if not shape or shape[0] not in counts:
                wanted = " or ".join(f"{count:,}" for count in counts)
                raise blocks.Foreign(f"holds images of shape {shape}, not {wanted} of them")
        return GRIDS[shape[0]]

    def _blocks(
        self, path: Path, mean: tuple[float, float, float] | None
    ) -> Iterator[NDArray[np.uint8]]:
        """The images in blocks; `mean` is compared with that of the channels if it is given."""
        shape = (len(self), colour.SIDE, colour.SIDE, 3)
        total = np.zeros(3)
        with (
            blocks.complaints(lambda what: self._refusal(path, what)),
            zipfile.ZipFile(path) as archive,
            closing(blocks.npz_blocks(archive, "images", np.dtype("u1"), shape)) as images,
        ):
            for block in images:
                if mean is not None:
                    total += block.mean(axis=(1, 2)).sum(axis=0)
                yield from colour.planes(block, self.image_shape[1])
            found = total / (255 * len(self))
            if mean is not None and not np.allclose(found, mean, rtol=0, atol=_TOLERANCE):
                shown = [" ".join(f"{x:.4f}" for x in channels) for channels in (found, mean)]
                raise blocks.Foreign(f"has the mean colour {shown[0]}, not {shown[1]}")


def _factors(sizes: tuple[int, ...], known: Official) -> tuple[Factor, ...]:
    factors = []
    for (name, (kind, usual)), size in zip(_FACTORS.items(), sizes, strict=True):
        labels = known.labels.get(name, usual)
        # Which of the classes an early file of fewer has is not known.
        labels = labels if len(labels) == size else ()
        factors.append(Factor(name, size, kind, tuple(map(float, range(size))), labels))
    return tuple(factors)


class MPI3DToy(MPI3D):
    """MPI3D toy: 1,036,800 simplistic renderings of a robot arm (Gondal et al. 2019).

    See `MPI3D`.
    """

    name = "mpi3d_toy"


class MPI3DRealistic(MPI3D):
    """MPI3D realistic: 1,036,800 realistic renderings of a robot arm (Gondal et al. 2019).

    See `MPI3D`.
    """

    name = "mpi3d_realistic"


class MPI3DReal(MPI3D):
    """MPI3D real: 1,036,800 photographs of a robot arm with a simple object (Gondal et al. 2019).

    See `MPI3D`.
    """

    name = "mpi3d_real"


class MPI3DComplex(MPI3D):
    """MPI3D complex: 460,800 photographs of a robot arm with everyday objects (Gondal et al. 2019).

    Colours are yellow, green, olive and red, shapes coffee-cup, tennis-ball, croissant and
    beer-cup. No checksum of the file was ever published. See `MPI3D`.
    """

    name = "mpi3d_complex"
