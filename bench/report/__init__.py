"""Records -> frame -> tables, plots and pictures: only of what the records hold.

`frame.py` has all numbers of some records as one tidy pandas frame, and `names.py` the names under
which they are shown. `columns.py` and `table.py` make the comparison, `statistics.py` its numbers
over seeds, `render.py` its text. `plots.py` has the plots as functions: scores and sweeps, the
training curves of `curves.py`, and what `pictures.py` draws of one run, all in `style.py`.
`write.py` writes everything.
"""
