"""Records -> frame -> tables, plots and pictures: only of what the records hold.

`frame.py` has all numbers of some records as one tidy pandas frame, and `columns.py` which numbers
they are, and the names under which they are shown. `table/` makes the comparison and the further
tables below it, with `statistics/` for numbers over seeds, and `render.py` its text. `plots/` has
the plots as functions: scores, sweeps and many runs, the training curves of `curves.py`, and what
`pictures.py` draws of one run, all in `style.py`. `html/` is the page with the live decoders.
`write.py` writes everything.
"""
