"""What pyproject.toml cannot say: which folder is which package, that an sdist keeps links, how to
install without torch, and where the README's links lead outside a checkout.

`models/`, `metrics/` and `datasets/` stand at the top of the repository but are imported as
`bench.models`, `bench.metrics` and `bench.datasets`, so that no generic name reaches site-packages.
The links `bench/models`, `bench/metrics` and `bench/datasets` say the same to tools that know only
paths; building does not need them, since a checkout may lack links (Git on Windows).

With BENCH_WITHOUT_TORCH=1 in the environment the package does not require torch: metrics, data
sets, `bench evaluate` and `bench report` work without it. An extra can only add a requirement, and
two distributions with the same files would delete each other's.

The README names files beside it. Where pyproject.toml has an address, `Repository` in
`[project.urls]`, the description of the package names them there, in the version's tag, so that an
index shows the pictures.
"""

import os
import re
from typing import Any

from setuptools import Distribution, find_packages, setup
from setuptools.command.sdist import sdist

LEAVES = ("models", "metrics", "datasets")


def with_absolute_links(text: str, repository: str, tag: str) -> str:
    """Markdown whose links to files of the repository lead to a forge's pages of a tag."""

    def absolute(link: re.Match[str]) -> str:
        shown, place = link.groups()
        form = "raw" if shown.startswith("!") else "blob"
        return f"{shown}({repository.rstrip('/')}/{form}/{tag}/{place})"

    return re.sub(r"(!?\[[^\]]*\])\((?!\w+:|#)([^)]*)\)", absolute, text)


class OwnDistribution(Distribution):
    """Drops a requirement, and makes links absolute, after pyproject.toml is read."""

    def parse_config_files(self, *args: Any, **kwargs: Any) -> None:
        super().parse_config_files(*args, **kwargs)
        about = self.metadata
        if repository := (about.project_urls or {}).get("Repository"):
            tag = f"v{about.version}"
            about.long_description = with_absolute_links(about.long_description, repository, tag)
        if os.environ.get("BENCH_WITHOUT_TORCH") == "1":
            kept = [r for r in self.install_requires if not r.startswith("torch")]
            self.install_requires = self.metadata.install_requires = kept


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
    distclass=OwnDistribution,
    cmdclass={"sdist": SdistWithLinks},
)
