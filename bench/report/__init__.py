"""Records -> frame -> tables, plots and pictures: only of what the records hold.

`frame.py` has all numbers of some records as one tidy pandas frame, and `columns.py` which numbers
they are, and the names under which they are shown. `table.py` makes the comparison, with
`statistics.py` for numbers over seeds and `comparable.py` for which rows can be told apart, and
`render.py` its text. `plots.py` has the plots as functions: scores and sweeps, the training curves
of `curves.py`, and what `pictures.py` draws of one run, all in `style.py`. `html/` is
the page with the live decoders. `write.py` writes everything.
"""
