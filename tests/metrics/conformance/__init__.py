"""The conformance table: every metric on codes whose quality is known in advance.

`bench/check/cases.py` makes the codes and `expected/` says what each metric must give for them, and
why; `engine.py` measures and compares, and `python -m tests.metrics.conformance` (or
`make conformance`) writes the page results/reference/conformance.md.
"""
