"""Where results are printed; talk goes to stderr."""

import sys

from rich.console import Console


def stdout() -> Console:
    """A terminal is as wide as it is; a file or a pipe takes long lines."""
    return Console() if sys.stdout.isatty() else Console(width=100)
