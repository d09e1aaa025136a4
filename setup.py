"""What pyproject.toml cannot say: which folder is which package, and that an sdist keeps links.

`models/`, `metrics/` and `datasets/` stand at the top of the repository but are imported as
`bench.models`, `bench.metrics` and `bench.datasets`, so that no generic name reaches site-packages.
The links `bench/models`, `bench/metrics` and `bench/datasets` say the same to tools that know only
paths; building does not need them, since a checkout may lack links (Git on Windows).
"""

import os

from setuptools import find_packages, setup
from setuptools.command.sdist import sdist

LEAVES = ("models", "metrics", "datasets")


class SdistWithLinks(sdist):
    """setuptools leaves links to folders out of an sdist; without them its tests do not run."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        for leaf in LEAVES:
            link = os.path.join(base_dir, "bench", leaf)
            try:
                os.symlink(os.path.join("..", leaf), link, target_is_directory=True)
            except OSError:  # Windows without the right to make links: as Git writes them there
                with open(link, "w", encoding="utf-8") as file:
                    file.write(f"../{leaf}")


setup(
    # A set: where the links exist, find_packages finds the leaves as well.
    packages=sorted(
        {*find_packages(include=["bench", "bench.*"]), *(f"bench.{n}" for n in LEAVES)}
    ),
    package_dir={f"bench.{leaf}": leaf for leaf in LEAVES},
    cmdclass={"sdist": SdistWithLinks},
)
