"""The MPI3D data sets of Gondal et al. 2019, read from the official files."""

import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import blocks, cache, files, pictures
from .blocks import WrongFileError
from .entry import Entry, File, Published
from .factors import Factor, FactorData, in_words

# Sizes by number of images: the complex set has fewer, as an early release of the others had.
GRIDS = {1_036_800: (6, 6, 2, 3, 3, 40, 40), 460_800: (4, 4, 2, 3, 3, 40, 40)}

# Kind and words for the classes of each factor.
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


def _factors(sizes: tuple[int, ...], words: Mapping[str, tuple[str, ...]]) -> tuple[Factor, ...]:
    factors = []
    for (name, (kind, usual)), size in zip(_FACTORS.items(), sizes, strict=True):
        labels = words.get(name, usual)
        # Which of the classes an early file with fewer of them has is not known.
        labels = labels if len(labels) == size else ()
        factors.append(Factor(name, size, kind, tuple(map(float, range(size))), labels))
    return tuple(factors)


def _entry(name: str, file: File, counts: tuple[int, ...], published: Published | None) -> Entry:
    return Entry(
        name=name,
        title=f"MPI3D {name.removeprefix('mpi3d_')}",
        files=(file,),
        factors=in_words(_factors(GRIDS[counts[0]], {})),
        licence="CC-BY-4.0",
        citation="Gondal et al. 2019, On the Transfer of Inductive Bias from Simulation to the "
        "Real World: a New Disentanglement Dataset, NeurIPS",
        page="https://github.com/rr-learning/disentanglement_dataset",
        counts=counts,
        published=published,
    )


def _file(name: str, remote: str, md5: str) -> File:
    """A file that hosts have changed since its md5 was published."""
    return File(
        f"{name}.npz",
        (
            f"https://huggingface.co/datasets/waleedgondal/mpi3d/resolve/main/{name}.npz",
            f"https://storage.googleapis.com/mpi3d_disentanglement_dataset/data/{remote}.npz",
        ),
        f"md5:{md5}",
        binding=False,
    )


class MPI3D(FactorData):
    """MPI3D: colour images of a robot arm that holds an object (Gondal et al. 2019, NeurIPS).

    The base of four sets, which differ in how the images were made. Labels in the order of the
    files, the last fastest: object_color (white, green, red, blue, brown, olive), object_shape
    (cone, cube, cylinder, hexagonal, pyramid, sphere), object_size (small, large), camera_height
    (top, center, bottom), background_color (purple, sea green, salmon), horizontal_axis and
    vertical_axis (40 steps of the two joints of the arm). Sizes come from the number of images in
    the file. No duplicates or symmetries are known.

    `image_size` 64 gives the pixels of the file; 32 the mean of 2x2 pixels, rounded.

    Reads an npz file (github.com/rr-learning/disentanglement_dataset, CC-BY-4.0) from the data
    folder or its subfolder of the name of the set; see `files.data_root`. The first use of a size
    unpacks it into the user's cache folder: 12.7 GB, or 3.2 GB at 32x32. The files hold no labels.
    Their hosts have changed since their checksums were published, so another checksum is only
    a warning, and the mean colour is compared with the published one.

    Attributes:
        words: for the classes of some factors, where they are not the usual ones.

    Raises:
        ValueError: for another `image_size`, and a file that is missing, damaged or another one.
    """

    words: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __init__(self, *, image_size: int = 64, data_dir: str | Path | None = None) -> None:
        name = self.entry.name
        pictures.check_full_or_half(name, image_size)
        self.reopen_with = {"image_size": image_size, "data_dir": files.absolute(data_dir)}
        (file,) = self.entry.files
        path = files.paths(self.entry, data_dir)[file.name]
        if wrong := files.quick_problem(path, file):
            raise files.refusal(self.entry, path, wrong)
        checksum = files.digest(path)
        self._refuse_other_sets(path, checksum)
        self.factors = _factors(self._sizes(path), self.words)
        self.image_shape = (3, image_size, image_size)
        as_published = checksum == file.checksum
        self._images = cache.prepared(
            f"{name}-{checksum}-{image_size}",
            (len(self), *self.image_shape),
            np.uint8,
            lambda: self._blocks(path, None if as_published else self.entry.published),
        )
        origin = "official file" if as_published else "file of unknown checksum"
        if file.checksum and not as_published:
            warnings.warn(
                f"{name}: {path} has the md5 {checksum}, not {file.checksum} as first published; "
                "its size and mean colour are right",
                stacklevel=2,
            )
        self.source = f"{name}, {origin} {path}, {pictures.full_or_half(image_size)}"
        self.fingerprint = f"{name}:md5:{checksum}:{image_size}x{image_size}"

    def images(self, rows: ArrayLike) -> NDArray[np.uint8]:
        return cache.rows(self._images, self.checked(rows))

    def _refuse_other_sets(self, path: Path, checksum: str) -> None:
        for other in (data.entry for data in MPI3D.__subclasses__()):
            if other.name != self.entry.name and checksum == other.files[0].checksum:
                raise ValueError(
                    f"{self.entry.name}: {path} is the file of {other.name}: rename it"
                )

    def _sizes(self, path: Path) -> tuple[int, ...]:
        """Sizes of the factors, by the number of images that the file announces."""
        with files.reading(self.entry, path), zipfile.ZipFile(path) as archive:
            shape, _ = blocks.npz_header(archive, "images")
            if not shape or shape[0] not in self.entry.counts:
                expected = " or ".join(f"{count:,}" for count in self.entry.counts)
                raise WrongFileError(f"holds images of shape {shape}, not {expected} of them")
        return GRIDS[shape[0]]

    def _blocks(self, path: Path, published: Published | None) -> Iterator[NDArray[np.uint8]]:
        """The images in blocks; their mean colour is compared with `published` if it is given."""
        shape = (len(self), pictures.FULL, pictures.FULL, 3)
        total = np.zeros(3)
        with (
            files.reading(self.entry, path),
            zipfile.ZipFile(path) as archive,
            closing(blocks.npz_blocks(archive, "images", np.dtype("u1"), shape)) as images,
        ):
            for block in images:
                if published is not None:
                    total += block.mean(axis=(1, 2)).sum(axis=0)
                yield from pictures.planes(block, self.image_shape[1])
            mean = total / (255 * len(self))
            if published is not None and not np.allclose(
                mean, published.mean, rtol=0, atol=published.tolerance
            ):
                shown = [" ".join(f"{x:.4f}" for x in side) for side in (mean, published.mean)]
                raise WrongFileError(f"has the mean colour {shown[0]}, not {shown[1]}")


class MPI3DToy(MPI3D):
    """MPI3D toy: 1,036,800 simplistic renderings of a robot arm (Gondal et al. 2019).

    See `MPI3D`.
    """

    entry = _entry(
        "mpi3d_toy",
        _file("mpi3d_toy", "mpi3d_toy", "55889cb7c7dfc655d6e0277beee88868"),
        tuple(GRIDS),
        Published((0.22437, 0.22142, 0.22625), tolerance=_TOLERANCE),
    )


class MPI3DRealistic(MPI3D):
    """MPI3D realistic: 1,036,800 realistic renderings of a robot arm (Gondal et al. 2019).

    See `MPI3D`.
    """

    entry = _entry(
        "mpi3d_realistic",
        _file("mpi3d_realistic", "mpi3d_realistic", "59a6225b88b635365f70c91b3e52f70f"),
        tuple(GRIDS),
        Published((0.17987, 0.20475, 0.18148), tolerance=_TOLERANCE),
    )


class MPI3DReal(MPI3D):
    """MPI3D real: 1,036,800 photographs of a robot arm with a simple object (Gondal et al. 2019).

    See `MPI3D`.
    """

    entry = _entry(
        "mpi3d_real",
        _file("mpi3d_real", "real", "0f33f609918fb5c97996692f91129802"),
        (1_036_800,),
        Published((0.12849, 0.16480, 0.13972), tolerance=_TOLERANCE),
    )


class MPI3DComplex(MPI3D):
    """MPI3D complex: 460,800 photographs of a robot arm with everyday objects (Gondal et al. 2019).

    Colours are yellow, green, olive and red, shapes coffee-cup, tennis-ball, croissant and
    beer-cup. No checksum of the file was ever published. See `MPI3D`.
    """

    entry = _entry(
        "mpi3d_complex",
        File(
            "real3d_complicated_shapes_ordered.npz",
            page="https://drive.google.com/file/d/1Tp8eTdHxgUMtsZv5uAoYAbJR1BOa_OQm/view",
            binding=False,
            instead=(File("mpi3d_complex.npz", binding=False),),
        ),
        (460_800,),
        None,
    )
    words = {
        "object_color": ("yellow", "green", "olive", "red"),
        "object_shape": ("coffee-cup", "tennis-ball", "croissant", "beer-cup"),
    }
