"""`bench list` and the help: one line on everything that has a name."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import __version__
from bench.datasets import DATASETS
from bench.metrics import METRICS, STUDY_METRICS
from bench.models import GROUPS, MODELS
from bench.presets import PRESETS
from bench.studyfile.shipped import shipped

REGISTRIES = {
    "models": MODELS,
    "metrics": METRICS | STUDY_METRICS,
    "datasets": DATASETS,
    "presets": PRESETS,
}


def described(out: str) -> list[str]:
    """The lines that are no name of a group."""
    return [line for line in out.splitlines() if line and not line.endswith(":")]


@pytest.mark.parametrize("what", REGISTRIES)
def test_one_line_each(cli_here, what: str) -> None:
    said = cli_here("list", what)
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    if what == "models":
        assert [line[:-1] for line in lines if line.endswith(":")] == list(GROUPS)
        lines = described(said.out)
    assert [line.split()[0] for line in lines] == list(REGISTRIES[what])
    if what != "presets":
        for line, target in zip(lines, REGISTRIES[what].values(), strict=True):
            assert line[24:].strip() == inspect.getdoc(target).partition("\n")[0]
    assert all(len(line.split()) > 4 for line in lines)


@pytest.mark.parametrize("what", ["models", "metrics", "datasets"])
def test_each_line_names_the_paper_and_its_year(cli_here, what: str) -> None:
    for line in described(cli_here("list", what).out):
        assert re.search(r"\(.*\b(19|20)\d\d\b.*\)|\(no paper\)", line) or "no paper" in line, line


def test_an_unknown_kind(cli_here) -> None:
    said = cli_here("list", "model")
    assert said.code == 2
    assert said.err == "bench: unknown kind 'model': did you mean models?\n"


def test_help_has_examples_that_can_be_copied(cli_here) -> None:
    text = cli_here("run", "--help").out
    assert "bench run --models jointvae,betavae --dataset dsprites" in text
    for option in ("--sweep", "--fail-fast", "--checkpoint-seconds", "--dry-run"):
        assert option in text
    assert "bench report results/dsprites-quick" in cli_here("report", "--help").out
    assert "bench list models" in cli_here("list", "--help").out


def test_the_module_and_the_script_are_the_command(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("bench")
    commands = [[sys.executable, "-m", "bench"]] + ([[str(script)]] if script.exists() else [])
    for command in commands:
        ran = subprocess.run(
            [*command, "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert ran.returncode == 0
        assert all(name in ran.stdout for name in ("run", "list", "report"))


def test_the_version(cli_here) -> None:
    assert cli_here("--version").out == f"{__version__}\n"


def test_no_argument_is_answered_with_the_help(cli_here) -> None:
    said = cli_here()
    assert said.code == 2
    assert "Usage" in said.out + said.err


def test_without_an_argument_the_kinds_are_listed(cli_here) -> None:
    said = cli_here("list")
    assert said.code == 0
    kinds = [line.split()[0] for line in said.out.splitlines()]
    assert set(kinds) == {*REGISTRIES, "reproductions", "studies"}
    assert f"{len(MODELS)} names: bench list models" in said.out


def test_all_about_a_model(cli_here) -> None:
    said = cli_here("list", "jointvae")
    assert said.code == 0
    assert "Dupont 2018" in said.out
    settings = said.out.partition("--set jointvae.KEY=VALUE")[2]
    assert "  gamma=150  (float)\n" in settings
    assert "  categorical=3  (tuple[int, ...])\n" in settings
    assert "  likelihood=bernoulli  (bernoulli, gaussian, continuous_bernoulli)\n" in settings
    for name, preset in PRESETS.items():
        recipe = preset.recipes["jointvae"]
        block = settings.partition(f"Preset {name}:\n")[2].partition("Preset")[0]
        assert f"{recipe.steps} steps of {recipe.batch_size} images" in block
        assert f"gamma={recipe.settings['gamma']:g}" in block
        assert f"source: {recipe.source}" in block
    assert "Preset paper, on mnist:" in settings


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("factors", "It has no settings."),
        ("mig", "  bins=20  (int)"),
        ("mig", "  binning=width  (width, frequency)"),
        ("udr", "KEY=VALUE"),
        ("digits", "bench data list digits"),
        ("smoke", "200 steps of 32 images"),
        ("jointvae-mnist", "bench reproduce jointvae-mnist --dry-run"),
        ("locatello2019", "bench run locatello2019 --dry-run"),
        ("locatello2019", "lambda_od, lambda_d: [[1, 10], [2, 20]"),
    ],
)
def test_all_about_other_names(cli_here, name: str, shown: str) -> None:
    said = cli_here("list", name)
    assert said.code == 0, said.err
    assert shown in said.out


def test_the_shipped_studies_are_listed(cli_here) -> None:
    said = cli_here("list", "studies")
    assert said.code == 0
    lines = dict(line.split(maxsplit=1) for line in said.out.splitlines())
    assert lines.keys() == shipped().keys()
    assert lines["locatello2019"].startswith("The 12,600 models of Locatello et al. 2019")


def test_every_name_can_be_described(cli_here) -> None:
    for kind in ("metrics", "datasets", "models", "presets"):
        for name in REGISTRIES[kind]:
            said = cli_here("list", name)
            assert said.code == 0, said.err
            assert name in said.out


def test_a_name_that_is_unknown(cli_here) -> None:
    said = cli_here("list", "jointvea")
    assert said.code == 2
    assert said.err.startswith("bench: unknown name 'jointvea': did you mean jointvae")


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch) -> None:
    """An installed distribution with a model, whose module must not be imported to list it."""
    (tmp_path / "warmpack").mkdir()
    (tmp_path / "warmpack" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (tmp_path / "warmpack" / "models.py").write_text(
        "class Warm:\n    '''A warm VAE (no paper).'''\n"
    )
    info = tmp_path / "warmpack-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: warmpack\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[bench.models]\nwarm = warmpack.models:Warm\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_a_plug_in_is_listed_with_its_package_and_version(plug_in, cli_here) -> None:
    said = cli_here("list", "models")
    assert said.code == 0, said.err
    assert said.out.endswith(f"\nplug-ins:\n{'warm':24} A warm VAE (no paper). [warmpack 1.2]\n")


def test_a_plug_in_is_among_all_models(plug_in, cli_here) -> None:
    said = cli_here("run", "--models", "all", "--dataset", "toy", "--dry-run")
    assert said.code == 2
    assert "model 'warm': cannot import warmpack.models (RuntimeError: imported)" in said.err


def completed(line: str, cwd: Path) -> list[str]:
    """What a shell offers at the end of a line."""
    code = "import sys; sys.argv = ['bench']; from bench.cli import main; main()"
    environment = {
        **os.environ,
        "_BENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("bench run --models joint", ["jointvae", "jointbetavae"]),
        ("bench run --models vae,baseli", ["vae,baselines"]),
        ("bench run --dataset shapes", ["shapes3d"]),
        ("bench run --preset sta", ["standard"]),
        ("bench run --metrics mig,mig_s", ["mig,mig_sup"]),
        ("bench list data", ["datasets"]),
        ("bench list categ", ["categoricalvae"]),
        ("bench check kl_", ["kl_decomposition"]),
        ("bench reproduce released", ["released-jointvae"]),
        ("bench run quick-t", ["quick-tuning"]),
        ("bench run --dataset toy,shapes", ["toy,shapes3d"]),
    ],
)
def test_the_shell_completes_names(line: str, offered: list[str], tmp_path: Path) -> None:
    assert completed(line, tmp_path) == offered


def test_completing_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from bench.cli import options as o; "
        "assert o.complete_models('') and o.complete_metrics('') and o.complete_listed(''); "
        "sys.exit(bool({'torch', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, timeout=300)
    assert done.returncode == 0
