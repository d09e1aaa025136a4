"""The pages in docs/: their code runs, and no model, metric or data set is missing."""

import csv
import re
import shlex
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import ttest_ind

from bench.datasets import DATASETS
from bench.metrics import METRICS, STUDY_METRICS
from bench.models import GROUPS, MODELS, NETWORKS
from bench.plan import runs_without_data
from bench.presets import PRESETS
from bench.report.frame import sweeps_of
from bench.store.record import read_records
from bench.studyfile.choices import Choices, study_definition
from bench.studyfile.shipped import shipped

ROOT = Path(__file__).resolve().parents[2]
DOCS, REFERENCE = ROOT / "docs", ROOT / "results" / "reference"
METRICS_PAGE = (DOCS / "metrics.md").read_text()
DATA_PAGE = (DOCS / "data.md").read_text()
MODELS_PAGE = (DOCS / "models.md").read_text()
NEW_MODELS_PAGE = (DOCS / "adding-a-model.md").read_text()


def test_every_metric_has_a_section() -> None:
    headings = re.findall(r"^### (.*)$", METRICS_PAGE, re.MULTILINE)
    named = [name for heading in headings for name in re.findall(r"`(\w+)`", heading)]
    assert sorted(named) == sorted([*METRICS, *STUDY_METRICS])


def test_the_code_of_the_metrics_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", METRICS_PAGE, re.DOTALL)
    exec(code, {})
    value, gaps, warnings = re.fullmatch(
        r"([\d.]+) ({.*}) (\(.*\))\n", capsys.readouterr().out
    ).groups()
    assert 0.5 < float(value) < 1
    assert "orientation" in gaps
    assert warnings == "()"


def test_every_data_set_is_in_the_table() -> None:
    table = [line for line in DATA_PAGE.splitlines() if line.startswith("| `")]
    named = set()
    for line in table:
        first, *others = re.findall(r"`(\w+)`", line.split("|")[1])
        named |= {first}
        # `mpi3d_toy`, `_realistic`, `_real`
        named |= {first.split("_")[0] + o if o.startswith("_") else o for o in others}
    assert named == set(DATASETS)


@pytest.mark.parametrize(
    "command", re.findall(r"^    (bench run [^#\n]*)", DATA_PAGE, re.MULTILINE)
)
def test_commands_of_the_data_page(command: str, cli_here, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32), dtype=np.uint8)
    np.savez("my.npz", images=images)
    Path("faces").mkdir()
    for k, image in enumerate(images):
        Image.fromarray(image).save(f"faces/{k}.png")
    said = cli_here(*shlex.split(command)[1:], "--dry-run")
    assert said.code == 0, said.err


STUDIES_PAGE = (DOCS / "studies.md").read_text()


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", STUDIES_PAGE, re.DOTALL))
def test_the_files_of_the_page_on_studies(text: str, cli_here, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("strengths.yaml").write_text(text)
    said = cli_here("run", "strengths.yaml", "--dry-run")
    assert said.code == 0, said.err
    if "seeds: 5" in text:
        assert "2 data sets, 70 runs: 70 to do" in said.out
        assert "2 data sets, 70 runs: 70 to do" in STUDIES_PAGE


@pytest.mark.parametrize(
    "command", re.findall(r"^    (bench run strengths[^#\n]*)", STUDIES_PAGE, re.MULTILINE)
)
def test_commands_of_the_page_on_studies(command: str, cli_here, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = re.findall(r"```yaml\n(.*?)```", STUDIES_PAGE, re.DOTALL)[0]
    Path("strengths.yaml").write_text(text)
    words = [word for word in shlex.split(command)[1:] if word not in ("--dry-run", "--pilot")]
    assert cli_here(*words, "--dry-run").code == 0


def test_every_shipped_study_is_on_the_page_with_its_number_of_runs() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| ([\d,]+) \|", STUDIES_PAGE, re.MULTILINE)
    listed = {name: int(number.replace(",", "")) for name, number in rows}
    counted = {
        name: sum(
            len(runs_without_data(request))
            for request in study_definition(name, Choices()).requests
        )
        for name in shipped()
    }
    assert listed == counted


def test_the_code_of_the_page_on_records_runs() -> None:
    page = (DOCS / "records.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(code, {})
    names = re.findall(r"bench/store/schema/(\w+)\.json", page)
    assert sorted(names) == sorted(
        path.stem for path in (ROOT / "bench" / "store" / "schema").glob("*.json")
    )


def test_every_model_has_a_section_in_its_group() -> None:
    headings = re.findall(r"^##+ (.*)$", MODELS_PAGE, re.MULTILINE)
    named = [name for heading in headings for name in re.findall(r"`(\w+)`", heading)]
    assert named == list(MODELS)
    assert [h.lower() for h in headings if h.lower() in map(str.lower, GROUPS)] == [
        group.lower() for group in GROUPS
    ]


def test_every_network_is_in_the_table() -> None:
    settings, _, _ = MODELS_PAGE.partition("## What is the same for all")
    rows = re.findall(r"^\| `(\w+)` \|", settings, re.MULTILINE)
    assert [row for row in rows if row in NETWORKS] == list(NETWORKS)


@pytest.fixture
def new_models(tmp_path: Path, monkeypatch) -> list[str]:
    """The files that the page on new models asks for, in the folder at hand."""
    monkeypatch.chdir(tmp_path)
    names = re.findall(r"Put this into `(\w+\.py)`|Put it into\s`(\w+\.py)`", NEW_MODELS_PAGE)
    names = ["".join(pair) for pair in names]
    blocks = re.findall(r"```python\n(.*?)```", NEW_MODELS_PAGE, re.DOTALL)
    assert len(names) == len(blocks) == 3
    for name, block in zip(names, blocks, strict=True):
        (tmp_path / name).write_text(block)
    return names


@pytest.mark.parametrize("command", re.findall(r"^    (bench check .*)", NEW_MODELS_PAGE, re.M))
def test_the_models_of_the_page_pass_the_check(command: str, new_models, cli_here) -> None:
    said = cli_here(*shlex.split(command)[1:])
    assert said.code == 0, said.out
    assert "FAILS" not in said.out
    assert "note" not in said.out


@pytest.mark.parametrize("command", re.findall(r"^    (bench run .*)", NEW_MODELS_PAGE, re.M))
def test_the_models_of_the_page_run(
    command: str, new_models, bench, cli_here, tmp_path: Path
) -> None:
    words = shlex.split(command)[1:]
    assert cli_here(*words, "--dry-run").code == 0
    toy = ["toy" if word == "dsprites" else word for word in words]
    ran = bench(*toy, "--preset", "smoke", "--steps", "20", "--seeds", "1", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    asked = words[words.index("--models") + 1].split(",")[0].partition("=")[0]
    assert asked in ran.stdout


def test_the_sigma_vae_of_the_page_is_a_gaussian_likelihood(new_models, tmp_path: Path) -> None:
    import torch
    from scipy.stats import norm

    from bench.registry import resolve

    model = resolve("model", "./sigmavae.py:SigmaVAE")(image_shape=(1, 32, 32), sigma=0.2)
    generator = torch.Generator().manual_seed(0)
    x, logits = (torch.rand(3, 1, 32, 32, generator=generator) for _ in range(2))
    means = torch.sigmoid(logits)
    expected = -norm.logpdf(x.numpy(), means.numpy(), 0.2).sum() / 3
    assert model.reconstruction(x, logits).item() == pytest.approx(expected, rel=1e-4)
    average, square = x.double().mean(0), x.double().square().mean(0)
    constant = -norm.logpdf(x.double().numpy(), average.numpy(), 0.2).sum() / 3
    assert model.mean_image_reconstruction(average, square) == pytest.approx(constant, rel=1e-4)


def test_the_quick_preset_has_the_strengths_that_its_tuning_chose() -> None:
    records = read_records(REFERENCE / "dsprites-quick-tuning")
    rows = re.findall(
        r"^\| `(\w+)` \| `(\w+)` \| (.* ± .*) \| (\S+) \| (\S+) \|$", MODELS_PAGE, re.M
    )
    sweeps = sweeps_of(records)
    assert [row[:2] for row in rows] == [(sweep.model, sweep.setting) for sweep in sweeps]
    assert len(sweeps) == 13
    recipes = PRESETS["quick"].recipes
    for sweep, (model, setting, cells, chosen, by_udr) in zip(sweeps, rows, strict=True):
        scores = {
            metric: {
                v: [r.scores[metric].value for x, r in sweep.runs if x == v] for v in sweep.values
            }
            for metric in ("mig", "udr")
        }
        assert {len(values) for by_value in scores.values() for values in by_value.values()} == {3}
        assert len(sweep.values) == 3
        mean = {v: np.mean(values) for v, values in scores["mig"].items()}
        assert cells == "; ".join(
            f"{v:g}: {mean[v]:.3f} ± {np.std(values, ddof=1):.3f}"
            for v, values in scores["mig"].items()
        )
        assert float(chosen) == max(mean, key=mean.__getitem__)
        assert float(by_udr) == max(scores["udr"], key=lambda v: np.mean(scores["udr"][v]))
        default = MODELS[model].__dataclass_fields__[setting].default
        assert recipes.get(model, PRESETS["quick"].other).settings.get(setting, default) == float(
            chosen
        )


@pytest.mark.parametrize(
    ("heading", "studies"),
    [
        (
            "### What the quick comparison shows",
            ("dsprites-quick", "digits-quick", "dsprites-quick-fix-orientation-0"),
        ),
        ("## The preset standard", ("dsprites-standard",)),
    ],
)
def test_the_numbers_of_a_comparison_are_those_of_its_records(
    heading: str, studies: tuple[str, ...]
) -> None:
    section = MODELS_PAGE.partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    numbers = re.findall(r"(\d\.\d{3})\s±\s(\d\.\d{3})", section)
    known = set()
    for name in studies:
        with (REFERENCE / name / "table.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                known |= {
                    (f"{float(row[f'{key}.mean']):.3f}", f"{float(row[f'{key}.sd']):.3f}")
                    for key in ("mig", "factorvae_score", "discrete_accuracy", "dci_fast")
                    if row.get(f"{key}.sd")
                }
    assert len(numbers) >= 10
    assert set(numbers) <= known


def test_the_numbers_of_the_page_on_splits_are_those_of_the_records() -> None:
    page = (ROOT / "docs" / "data.md").read_text()
    section = page.partition("## What is scored of unseen combinations")[2].partition("\n## ")[0]
    shown = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and re.fullmatch(r"\d\.\d{3}", cells[1]):
            shown[cells[0]] = cells[1:]
    keys = ("generalisation_linear.seen", "generalisation_linear", "seen_reconstruction",
            "unseen_reconstruction")  # fmt: skip
    with (REFERENCE / "dsprites-quick-split-composition" / "table.csv").open(newline="") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    assert shown.keys() == rows.keys()
    for model, cells in shown.items():
        for key, cell, digits in zip(keys, cells, (3, 3, 2, 2), strict=True):
            mean = rows[model][f"{key}.mean"]
            assert cell == (f"{float(mean):.{digits}f}" if mean else "")


def test_the_pairs_that_the_quick_comparison_tells_apart() -> None:
    unsupervised = [m for g, models in GROUPS.items() if g.startswith("unsup") for m in models]
    records = read_records(REFERENCE / "dsprites-quick")
    apart = []
    for metric in ("mig", "dci_fast"):
        values = {
            model: [r.scores[metric].value for r in records if r.run.label == model]
            for model in unsupervised
        }
        tests = sorted(
            (ttest_ind(values[a], values[b], equal_var=False).pvalue, a, b)
            for a, b in combinations(unsupervised, 2)
        )
        # Holm's correction: the first p-value that is too large ends the list
        small = [p * (len(tests) - k) < 0.05 for k, (p, _, _) in enumerate(tests)]
        apart.append({(a, b) for _, a, b in tests[: [*small, False].index(False)]})
    words = " ".join(MODELS_PAGE.split())
    mig, dci = apart
    assert (
        f"{len(mig)} of the {len(tests)} pairs of unsupervised models differ in MIG, "
        f"{len(dci)} in fast DCI, and {len(mig | dci)} in one or the other"
    ) in words
    assert "No run collapsed" in words
    assert {record.status.state for record in records} == {"done"}
