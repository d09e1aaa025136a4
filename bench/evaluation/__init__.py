"""Scores of codes from files, and of the codes that runs have stored."""
