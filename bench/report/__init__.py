"""Records -> tables, plots and pictures. Nothing here computes what a record does not hold.

`frame.py` has all numbers of some records as one tidy pandas frame. `columns.py`, `order.py` and
`table.py` make the comparison, `statistics.py` its numbers over seeds,
`render.py` its text; `plots.py` draws a study and `pictures.py` a run, both in `style.py`;
`write.py` writes everything.
"""
