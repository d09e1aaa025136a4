"""A study as data: a YAML file, and what the command line says, -> the requests of one study.

`document` reads YAML safely, `shipped` has the studies of the package, `reader` makes requests of a
file, `choices` lets the command line override them, and `definition` is what comes out.
"""
