"""`bench check`: the contract of a model, a metric and a data set, and whether one keeps it.

The contract is stated here and nowhere else: `model.py`, `metric.py` and `dataset.py` each have a
list of promises (`PROMISES`), which the command tries on somebody's own class or function, and the
tests on every registered one. `promises.py` is what they share; `find.py` goes from a name to the
promises and their subject; `cases.py` makes codes whose quality is known in advance.

This room imports torch for models only.
"""
