"""`bench compare`: two studies, or one's own model among known ones.

`studies.py` says what differs between two studies, and `place.py` between which ranks a model of
one may be among the models of the other.
"""
