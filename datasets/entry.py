"""What is known of a data set besides its pixels: its files, its authors, its published numbers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """One file of a data set.

    Attributes:
        name: what the loader looks for.
        urls: addresses to download it from, the preferred one first; empty if only a browser can.
        digest: `algorithm:hexadecimal` of the file as it is downloaded; empty if none is published.
        size: in bytes; None if no source states it.
        page: where a browser finds it, if not on the page of the data set.
        content: sha256 of the unpacked content of a gzip file. Others who pack the same content
            get a file with another checksum.
        binding: False if hosts have changed the file since its checksum was published: another
            checksum is then reported but not refused.
        instead: files that serve as well.
        folder: True for a folder, of which only the name is known.
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

    @property
    def algorithm(self) -> str:
        """The algorithm of the checksum; sha256 if no checksum is published."""
        return self.digest.partition(":")[0] or "sha256"

    @property
    def checksum(self) -> str:
        """The published checksum in hexadecimal, or an empty string."""
        return self.digest.partition(":")[2]


@dataclass(frozen=True)
class Published:
    """Published statistics of the pixels as shares of 255, one number per channel.

    Attributes:
        mean: of all pixels.
        deviation: standard deviation of all pixels.
        image_deviation: standard deviation of the pixels of an image (n - 1), averaged over images.
        tolerance: largest difference that omitted digits and other ways of resizing explain.
        image_size: the size of the images, in pixels, for which the numbers hold.
        only: a factor and its classes, if the numbers hold for these training images only.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...] = ()
    image_deviation: tuple[float, ...] = ()
    tolerance: float = 5e-5
    image_size: int = 64
    only: tuple[str, tuple[int, ...]] | None = None


@dataclass(frozen=True)
class Entry:
    """A data set as `bench data` lists, fetches and verifies it.

    Checksums, sizes and numbers that no source states are left out, never made up.

    Attributes:
        name: its name in the registry.
        title: its name in running text.
        factors: names and sizes of the factors, in words.
        counts: the numbers of images it may have.
        licence: as its authors state it.
        citation: authors, year, title and venue; empty if there is no paper.
        page: where its authors describe it, and where a browser finds its files.
        files: what the loader reads; empty if it needs no files.
        origin: where the images come from if no file is there; empty if files are needed.
        made_of: the data set whose images it changes.
        folders: where to look besides the data folder and its subfolder `name`; relative ones are
            inside the data folder.
        training: how many images there are to train on, if not all.
        per_class: smallest and largest number of training images of a class, if there is only one
            factor.
        published: statistics of the pixels.
        remedy: what to do about a wrong file.
    """

    name: str
    title: str
    factors: str
    counts: tuple[int, ...]
    licence: str
    citation: str = ""
    page: str = ""
    files: tuple[File, ...] = ()
    origin: str = ""
    made_of: "Entry | None" = None
    folders: tuple[str, ...] = ()
    training: int | None = None
    per_class: tuple[int, int] | None = None
    published: Published | None = None
    remedy: str = "fetch the official file again"
