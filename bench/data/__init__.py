"""`bench data`: which data sets are on disk, downloads, checks and pictures."""
