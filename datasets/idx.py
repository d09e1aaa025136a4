"""Reading IDX files, the format of MNIST: a big-endian header, then bytes.

The header is two zero bytes, 8 for unsigned bytes, the number of axes, and the length of each axis
as int32. The files come packed with gzip or plain; which of them is seen from their first bytes.
"""

import gzip
import hashlib
import math
import struct
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from .blocks import Foreign
from .official import is_page

_WHAT = {1: "labels", 3: "images"}


def read(path: Path, shape: tuple[int, ...]) -> tuple[NDArray[np.uint8], str]:
    """The array of a file, which has to have this shape, and the sha256 of its unpacked bytes.

    Raises Foreign, or what `blocks.complaints` takes.
    """
    if is_page(path):
        raise Foreign("is a web page and no IDX file")
    with _open(path) as file:
        header = file.read(4)
        if len(header) < 4 or header[:2] != b"\0\0" or header[3] not in _WHAT:
            raise Foreign("is no IDX file of images or labels")
        if header[2] != 8:
            raise Foreign(f"has values of the type {header[2]:#x}, not unsigned bytes")
        if header[3] != len(shape):
            raise Foreign(f"holds {_WHAT[header[3]]}, not {_WHAT[len(shape)]}: it is swapped")
        lengths = file.read(4 * len(shape))
        if len(lengths) < 4 * len(shape):
            raise EOFError("it ends in its header")
        found = struct.unpack(f">{len(shape)}i", lengths)
        if found != shape:
            raise Foreign(f"holds {_WHAT[len(shape)]} of shape {found}, not {shape}")
        count = math.prod(shape)
        data = file.read(count)
        if len(data) < count:
            raise EOFError(f"it ends after {len(data):,} of {count:,} values")
        # Reading on to the end makes gzip check its checksum.
        if file.read(1):
            raise Foreign("goes on after its last value")
    digest = hashlib.sha256(header + lengths)
    digest.update(data)
    return np.frombuffer(data, dtype=np.uint8).reshape(shape), digest.hexdigest()


def _open(path: Path) -> IO[bytes]:
    file: Any = path.open("rb")
    with file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path)) if packed else path.open("rb")
