"""The only writer of results, and the reader of what it wrote.

`run.py` is what is asked for and its identity, `record.py` what came out, `study.py` the folder of
all runs, `representation.py` and `environment.py` two of a run's files; `files.py` writes whole
files or nothing.
"""

from bench.store.files import write_text

__all__ = ["write_text"]
