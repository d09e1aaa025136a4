"""The comparison of models and the tables below it.

`comparison.py` makes it of the records of a study, and `comparable.py` says which rows of it can be
told apart. `sections.py` has the further tables: ranks, interquartile means, sweeps, agreement of
metrics and shares of variance; `studies.py` puts several studies side by side.
"""

from bench.report.table.comparison import Row, Table, comparison, run_rows

__all__ = ["Row", "Table", "comparison", "run_rows"]
