"""Before a study starts: the state of each of its runs, and what they will take."""
