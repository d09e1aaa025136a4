"""Train disentangled VAEs on data with known generative factors and compare them."""

__version__ = "0.1.0"
