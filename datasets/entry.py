"""How the catalogue describes a data set: its files, what is published of it, whose it is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """One file of a data set.

    name      what the loader looks for
    urls      addresses, the first to be tried first; none where only a browser gets it
    digest    algorithm:hexadecimal, of the file as it is downloaded; empty if none is known
    size      bytes, if known
    page      where a browser gets it, if that is not the page of the data set
    content   sha256 of what gzip has packed: others pack the same and get another file
    binding   false where hosts have changed since the checksum was published: another one is told,
              not refused
    instead   files that do as well
    folder    true for a folder, of which nothing is known but its name
    """

    name: str
    urls: tuple[str, ...] = ()
    digest: str = ""
    size: int | None = None
    page: str = ""
    content: str = ""
    binding: bool = True
    instead: tuple["File", ...] = ()
    folder: bool = False


@dataclass(frozen=True)
class Published:
    """Statistics that others have published, a number a channel, of pixels as shares of 255.

    mean             of all pixels
    deviation        of all pixels
    image_deviation  mean over the images of the deviation of their pixels (n - 1)
    tolerance        how far off they may be, for digits that are left out and other resizing
    image_size       for which they hold
    only             a factor and the classes for which they hold; of the images to train on
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...] = ()
    image_deviation: tuple[float, ...] = ()
    tolerance: float = 5e-5
    image_size: int = 64
    only: tuple[str, tuple[int, ...]] | None = None


@dataclass(frozen=True)
class Entry:
    """A data set that comes as files.

    drawn       true if the suite draws the images where there is no file
    page        where its authors describe it, and where a browser finds its files
    places      folders besides the data folder and its subfolder; those without a root are in it
    counts      how many images there may be
    training    how many of them are to train on, where that is not all
    per_class   least and most images of a class to train on, where there is only one factor
    """

    title: str
    files: tuple[File, ...]
    factors: str
    licence: str
    citation: str
    page: str
    counts: tuple[int, ...]
    drawn: bool = False
    training: int | None = None
    per_class: tuple[int, int] | None = None
    places: tuple[str, ...] = ()
    published: Published | None = None


@dataclass(frozen=True)
class BuiltIn:
    """A data set that needs no file.

    base          the data set whose files it is made of where they are there; drawn otherwise
    fingerprint   what it has at its default size, drawn
    pixels        start of the sha256 of images and classes, see `bench.data.verify.pinned`
    """

    origin: str
    licence: str
    base: str = ""
    fingerprint: str = ""
    pixels: str = ""
