"""What is known of the data sets that need no file: where they come from, and what they are.

The pins are of this version of the suite, made with the package versions of constraints.txt.
"""

from .entry import BuiltIn

_DRAWN = "drawn by the suite"

BUILT_IN: dict[str, BuiltIn] = {
    "color_dsprites": BuiltIn(
        _DRAWN,
        "MIT",
        "dsprites",
        "color_dsprites-1:seed0:dsprites-render-1:sha256:2c612e5234d21c2b:64x64:to-64x64",
        "91eb3df7fc2aa38d",
    ),
    "noisy_dsprites": BuiltIn(
        _DRAWN,
        "MIT",
        "dsprites",
        "noisy_dsprites-1:seed0:dsprites-render-1:sha256:2c612e5234d21c2b:64x64:to-64x64",
        "3c1a290f33a08d96",
    ),
    "scream_dsprites": BuiltIn(
        _DRAWN,
        "MIT, its photo CC-BY-2.0",
        "dsprites",
        "scream_dsprites-1:350x234-67e7467c79e9d766:seed0:"
        "dsprites-render-1:sha256:2c612e5234d21c2b:64x64:to-64x64",
        "45f4536871a58d55",
    ),
    "rooms3d": BuiltIn(
        _DRAWN,
        "MIT",
        fingerprint="rooms3d-1:sha256:8ea6035e78f77327:64x64",
        pixels="6cf8265211dbeefc",
    ),
    "digits": BuiltIn(
        "in scikit-learn",
        "CC-BY-4.0",
        fingerprint="digits:sha256:3ee142e7d1a79d6b:32x32",
        pixels="248f5bc6042212e5",
    ),
    "toy": BuiltIn(
        _DRAWN,
        "MIT",
        fingerprint="toy-1:sha256:a0b6d67e8028a68c:32x32",
        pixels="d4b71e14b29612ff",
    ),
}
