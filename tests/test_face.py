"""What the project shows to those who install, cite or report agrees with the code."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bench import __version__
from bench.cli import LIBRARIES

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def parsed(name: str) -> dict[str, Any]:
    """A YAML file of the repository; an sdist has none of those in hidden folders."""
    yaml = pytest.importorskip("yaml")
    if name.startswith(".") and not (ROOT / ".github").exists():
        pytest.skip("no checkout")
    # `on:` is a boolean in YAML 1.1
    read: dict[str, Any] = yaml.load((ROOT / name).read_text(), Loader=yaml.BaseLoader)
    return read


def steps(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_one_version_everywhere() -> None:
    assert PROJECT["version"] == __version__
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited
    assert cited[1] == __version__
    releases = re.findall(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert releases[0] == __version__


def test_the_citation_has_what_its_format_requires_and_nothing_unknown() -> None:
    cited = parsed("CITATION.cff")
    assert cited["cff-version"] == "1.2.0"
    assert {"authors", "message", "title"} <= set(cited)
    # of the keys of format 1.2.0 those that make sense for a program
    optional = {"abstract", "date-released", "doi", "identifiers", "keywords", "license", "type"}
    optional |= {"repository-code", "url", "version", "preferred-citation", "references"}
    assert set(cited) - {"cff-version", "authors", "message", "title"} <= optional
    assert cited["type"] == "software"
    assert cited["license"] == PROJECT["license"]
    assert cited["authors"] == PROJECT["authors"]
    assert all(isinstance(word, str) for word in cited["keywords"])


DESCRIPTION = """
import setuptools
from distutils.core import run_setup
made = run_setup("setup.py", stop_after="config")
print(made.get_long_description())
"""


@pytest.mark.parametrize("address", ["", "https://forge.example/group/bench/"])
def test_an_index_shows_the_pictures_of_the_readme_once_there_is_an_address(
    address: str, tmp_path: Path
) -> None:
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    readme = (ROOT / "README.md").read_text()
    text = re.sub(r"\[project\.urls\]\n(.+\n)*", "", (tmp_path / "pyproject.toml").read_text())
    if address:
        urls = f'[project.urls]\nRepository = "{address}"\n\n[project.scripts]'
        text = text.replace("[project.scripts]", urls)
    (tmp_path / "pyproject.toml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DESCRIPTION],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    shown = done.stdout
    if not address:
        assert readme.strip() in shown
        return
    place = f"https://forge.example/group/bench/{{}}/v{__version__}/docs"
    assert f"dot per seed]({place.format('raw')}/quick-scores.png)" in shown
    assert f"[docs/metrics.md]({place.format('blob')}/metrics.md)" in shown
    relative = re.findall(r"\]\((?!https?:|#)", shown)
    assert not relative
    assert len(re.findall(r"\]\(", shown)) == len(re.findall(r"\]\(", readme))


def test_verbose_names_every_library_that_is_declared() -> None:
    declared = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["parquet"]]
    names = [re.match(r"[\w-]+", requirement)[0] for requirement in declared]
    assert sorted(LIBRARIES) == sorted(names)


def test_the_version_with_all_that_a_report_needs(cli_here) -> None:
    said = cli_here("--version", "--verbose")
    assert said.code == 0
    lines = dict(line.split(": ", 1) for line in said.out.splitlines()[1:])
    assert said.out.startswith(f"disentanglement-bench {__version__}\n")
    assert {"commit", "Python", "system", "processor", "device", *LIBRARIES} <= set(lines)
    assert lines["device"].split(",")[0] in ("cpu", "mps", "cuda")
    assert str(Path.home()) not in said.out
    assert str(ROOT) not in said.out


def test_verbose_alone_is_refused(cli_here) -> None:
    said = cli_here("--verbose")
    assert said.code == 2
    assert said.err == "bench: --verbose goes with --version: bench --version --verbose\n"


def test_the_template_of_an_issue_asks_for_it() -> None:
    form = parsed(".github/ISSUE_TEMPLATE/bug.yml")
    assert {"name", "description", "body"} <= set(form)
    assert "bench --version --verbose" in str(form["body"])
    for field in form["body"]:
        assert field["type"] in ("markdown", "textarea", "input", "dropdown", "checkboxes")
        assert field["type"] == "markdown" or field["attributes"]["label"]


def test_pickles_are_opened_nowhere_but_where_the_security_page_says() -> None:
    calls = re.compile(r"pickle\.loads?\(|allow_pickle=True|torch\.load\((?!.*weights_only=True)")
    files = [
        p
        for leaf in ("bench", "models", "metrics", "datasets")
        for p in ROOT.glob(f"{leaf}/**/*.py")
    ]
    found = {
        path.relative_to(ROOT).as_posix()
        for path in files
        if "models" not in path.relative_to(ROOT).parts[1:2] and calls.search(path.read_text())
    }
    assert found == {"bench/check/dataset.py"}  # of a pickle that it has just made
    page = (ROOT / "SECURITY.md").read_text()
    loads = {p.name for p in files if "torch.load(" in p.read_text()}
    assert loads == {"files.py", "released.py"}
    assert "checkpoint" in page
    assert "released weights" in page


@pytest.fixture
def jobs() -> dict[str, Any]:
    read: dict[str, Any] = parsed(".github/workflows/ci.yml")["jobs"]
    return read


def test_the_workflow_runs_what_the_readme_says_on_three_systems(jobs: dict[str, Any]) -> None:
    readme = (ROOT / "README.md").read_text()
    unix, windows = jobs["unix"], jobs["windows"]
    assert unix["strategy"]["matrix"]["os"] == ["ubuntu-latest", "macos-latest"]
    assert windows["runs-on"] == "windows-latest"
    for command in ("make demo", "make check"):
        assert command in steps(unix)
    assert "    make demo\n" in readme
    by_hand = re.search(r"### Without make.*?\n\n((?:    .*\n)+)", readme)
    assert by_hand
    wanted = [line.strip() for line in by_hand[1].splitlines()]
    assert len(wanted) == 3
    ran = [step.replace("\\Scripts\\", "/bin/") for step in steps(windows)]
    assert ran[1:4] == wanted


def test_the_workflow_starts_at_the_oldest_python(jobs: dict[str, Any]) -> None:
    oldest = PROJECT["requires-python"].removeprefix(">=")
    for job in (jobs["unix"], jobs["windows"]):
        assert job["strategy"]["matrix"]["python"][0] == oldest
        assert len(job["strategy"]["matrix"]["python"]) == 2
    assert f"Programming Language :: Python :: {oldest}" in PROJECT["classifiers"]


def test_the_workflow_has_the_torch_of_the_constraints(jobs: dict[str, Any]) -> None:
    (pin,) = re.findall(r"^torch==\S+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert parsed(".github/workflows/ci.yml")["env"]["TORCH"].split()[0] == pin
