"""Published tables beside what was obtained: the registry, the verdicts, the committed records."""

import csv
import json
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import t

from bench.cli.reproduce import ConsoleWatcher, hours_in_words
from bench.epochs import Epochs
from bench.errors import RequestError
from bench.execute import Options, Outcome
from bench.metrics import METRICS, Representation
from bench.plan import Plan, Request, plan
from bench.report.statistics import summarise
from bench.reproduce.cost import cost, cost_of_table
from bench.reproduce.files import read_paper_scores
from bench.reproduce.published import (
    CERTAINTIES,
    EVALUATED,
    Part,
    Protocol,
    Row,
    Table,
    metric_of,
)
from bench.reproduce.run import ReproductionRequest, costs, prepare, reproduce, study_request
from bench.reproduce.scores import as_scored, paper_definitions
from bench.reproduce.table import lines_of, manifest_of, markdown, write_reproduction
from bench.reproduce.tables import TABLES
from bench.reproduce.values import Obtained, RunResult, obtained, results_of, value_of
from bench.reproduce.verdict import difference, verdict
from bench.score import DEFAULT
from bench.store.record import Definition, Evaluation, ScoreRecord

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"
COMMITTED = sorted(path.parent for path in REFERENCE.glob("*/reproduction.json"))
ROWS = [(table, row) for table in TABLES.values() for row in table.rows]
# what stands in for data that nobody may pass on, of the same kind
STAND_IN = {"mnist": "digits", "fashionmnist": "digits", "shapes3d": "rooms3d"}

A_ROW = Row(
    "paper", "table", "model", "toy", "mig", "primary", "source", "0.50", part="p", run="vae"
)


def table_of(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO((folder / "reproduction.csv").read_text())))


def numbers(*values: float, share: float = 1.0, collapsed: int = 0) -> Obtained:
    """What runs with these values gave, of which the last ones have collapsed."""
    sound = values[: len(values) - collapsed]
    states = {"done": len(sound), "collapsed": collapsed}
    return Obtained(summarise(values), summarise(sound), None, states, share)


# the registry


def test_names_are_unique_and_all_tables_are_there() -> None:
    assert [table.name for table in TABLES.values()] == list(TABLES)
    assert {table.id for table in TABLES.values()} == {f"T{n}" for n in range(1, 15) if n != 10}
    for table in TABLES.values():
        names = [part.name for part in table.parts]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"[\w-]+", name) for name in names)  # also those of folders


@pytest.mark.parametrize("name", TABLES)
def test_every_row_has_a_source_a_certainty_and_a_number(name: str) -> None:
    for row in TABLES[name].rows:
        assert all((row.paper, row.table, row.model, row.source))
        assert row.certainty in CERTAINTIES
        assert bool(row.value) + bool(row.low and row.high) == (row.certainty != "beside")
        for number in (row.value, row.low, row.high, row.spread):
            assert number == "" or math.isfinite(float(number))
        if row.tolerance is not None:
            assert row.value
            assert row.basis


@pytest.mark.parametrize("name", TABLES)
def test_every_row_finds_its_runs_or_says_why_it_has_none(name: str) -> None:
    table = TABLES[name]
    for row in table.rows:
        if not row.part:
            assert row.incomparable or not row.is_target or not table.parts
            continue
        if row.certainty == "unverified" and not row.run:
            continue
        part = table.part(row.part)
        assert row.run in part.models.split(",")
        assert row.metric in EVALUATED or metric_of(row.metric) in (*DEFAULT, *part.metrics)
        for key, value in row.settings.items():
            (sweep,) = (s for s in part.sweeps if s.startswith(f"{row.run}.{key}="))
            assert value in map(float, sweep.partition("=")[2].split(","))


def test_numbers_are_those_of_the_sources() -> None:
    """Typed a second time, from the table's picture and the others' pages."""
    rows = {(t.name, r.model, r.metric): r for t, r in ROWS}
    gamma = "factorvae-gamma-dsprites"
    for model, metric, value, spread in (
        ("FactorVAE (gamma 1)", "mig", "0.27", "0.03"),
        ("FactorVAE (gamma 10)", "factorvae_score", "0.83", "0.01"),
        ("FactorVAE (gamma 20)", "betavae_score", "0.85", "0.00"),
        ("FactorVAE (gamma 40)", "dci", "0.74", "0.01"),
        ("FactorVAE (gamma 40)", "modularity", "0.77", "0.01"),
    ):
        row = rows[gamma, model, metric]
        assert (row.value, row.spread, row.n, row.certainty) == (value, spread, 10, "primary")
    joint = rows["jointvae-dsprites", "JointVAE", "factorvae_score"]
    assert (joint.value, joint.certainty, joint.without_collapsed) == ("0.69", "quoted", True)
    assert rows["jointvae-mnist", "JointVAE", "discrete_accuracy"].value == "0.887"
    zhu = rows["vae-dsprites", "VAE", "sap"]
    assert (zhu.value, zhu.spread, zhu.certainty) == ("0.197", "0.106", "primary")
    kl = rows["annealedvae-dsprites", "annealed beta-VAE (gamma 100, C 25)", "kl_total"]
    assert (kl.value, kl.n, kl.certainty) == ("25.0006", 1, "primary")


def test_an_unverified_number_is_marked_wherever_it_is_printed_and_never_a_target() -> None:
    unverified = [row for _, row in ROWS if row.certainty == "unverified"]
    assert len(unverified) > 20
    for row in unverified:
        assert row.published.endswith("(unverified)")
        exact = float(row.value)
        agreeing = numbers(exact, exact, exact)
        assert verdict(row, agreeing) == verdict(row, numbers()) == "no target"


@pytest.mark.parametrize("name", [n for n, table in TABLES.items() if table.trained])
def test_the_plan_of_a_table_resolves(name: str, tmp_path: Path) -> None:
    table, request = TABLES[name], ReproductionRequest(name, seeds="1", output=tmp_path)
    for part in table.parts:
        study = study_request(part, request, tmp_path / "none")
        # another test looks at the metrics, without trying them on data
        stand_in = STAND_IN.get(part.dataset, part.dataset)
        runs = plan(replace(study, dataset=stand_in, metrics="mig")).runs
        assert len(runs) == cost(part, 1.0, 1).runs
        assert {run.steps for run in runs} == {part.steps}
        assert {run.batch_size for run in runs} == {part.batch_size}
        for row in (row for row in table.rows if row.part == part.name and row.run):
            assert any(
                run.model == row.run
                and all(run.settings[key] == value for key, value in row.settings.items())
                for run in runs
            )


@pytest.mark.parametrize("name", TABLES)
def test_the_protocols_are_options_of_metrics(name: str) -> None:
    for part in TABLES[name].parts:
        for definition in paper_definitions(TABLES[name], part):
            assert definition.name in METRICS


def test_a_budget_scales_the_steps_and_the_cost() -> None:
    part = TABLES["jointvae-dsprites"].part("jointvae")
    whole, tenth = cost(part, 1.0, 10), cost(part, 0.1, 10)
    assert (whole.steps, tenth.steps) == (3_456_000, 345_600)
    assert tenth.cpu_hours == pytest.approx(whole.cpu_hours / 10)
    assert whole.cpu_hours == pytest.approx(3_456_000 * part.milliseconds / 1000 / 3600)
    study = study_request(part, ReproductionRequest("jointvae-dsprites", 0.1), Path("none"))
    assert (study.steps, study.seeds) == (34_560, "10")
    several = costs(ReproductionRequest("jointvae-dsprites", seeds="1,5"))
    assert [(c.part, c.runs) for c in several] == [
        ("jointvae", 2), ("betavae", 2), ("factorvae", 2), ("all", 6)
    ]  # fmt: skip
    (only,) = costs(ReproductionRequest("jointvae-dsprites", parts="betavae"))
    assert (only.part, only.runs) == ("betavae", 10)


# the verdict


def test_a_mean_is_compared_with_the_interval_for_another_mean() -> None:
    values = (0.40, 0.44, 0.48)
    mean, sd = 0.44, 0.04
    half = t.ppf(0.975, 2) * sd * math.sqrt(1 / 3 + 1 / 10)  # 0.113
    ten = replace(A_ROW, n=10)
    inside, outside = f"{mean + half:.4f}", f"{mean + half + 2e-4:.4f}"
    assert verdict(replace(ten, value=inside), numbers(*values)) == "undecided"
    assert verdict(replace(ten, value=outside), numbers(*values)) == "outside"
    # of an unknown number of runs as many are taken as there are here
    half = t.ppf(0.975, 2) * sd * math.sqrt(1 / 3 + 1 / 3)  # 0.141
    inside, outside = f"{mean - half:.4f}", f"{mean - half - 2e-4:.4f}"
    assert verdict(replace(A_ROW, value=inside), numbers(*values)) == "undecided"
    assert verdict(replace(A_ROW, value=outside), numbers(*values)) == "outside"


@pytest.mark.parametrize(
    ("metric", "value", "margin"),
    [
        ("mig", "0.440", 0.05),
        ("reconstruction", "40.00", 2.0),
        ("total_correlation", "1.000", 0.05),
        ("active_latents", "5", 1.0),
    ],
)
def test_only_a_narrow_interval_is_agreement(metric: str, value: str, margin: float) -> None:
    row = replace(A_ROW, metric=metric, value=value, n=1)
    rounding = 0.5 * 10.0 ** -len(value.partition(".")[2])
    # of three runs d apart the deviation is d
    widest = (margin - rounding) / (t.ppf(0.975, 2) * math.sqrt(1 / 3 + 1))
    for apart, expected in ((0.99 * widest, "agreement"), (1.01 * widest, "undecided")):
        values = [float(value) + k * apart for k in (-1, 0, 1)]
        assert verdict(row, numbers(*values)) == expected


def test_what_is_printed_to_two_digits_is_known_to_half_a_unit() -> None:
    same = (0.5049, 0.5049, 0.5049)
    assert verdict(A_ROW, numbers(*same)) == "agreement"
    assert verdict(replace(A_ROW, value="0.500"), numbers(*same)) == "outside"


def test_fewer_than_three_runs_have_no_verdict_but_by_a_tolerance() -> None:
    for values in ((0.5,), (0.5, 0.5)):
        assert verdict(A_ROW, numbers(*values)) == "fewer than three runs"
        ranged = replace(A_ROW, value="", low="0.4", high="0.6")
        assert verdict(ranged, numbers(*values)) == "fewer than three runs"
    capacity = replace(A_ROW, value="25", tolerance=0.5, basis="2 %")
    assert verdict(capacity, numbers(25.4)) == "agreement"
    assert verdict(capacity, numbers(24.4)) == "outside"


def test_a_range_of_single_runs_is_compared_run_by_run() -> None:
    """Of a range of 50 runs a further one is outside with a probability of 2/51."""
    published = replace(A_ROW, value="", low="0.4", high="0.6", n=50)
    inside = (0.41, 0.45, 0.5, 0.55, 0.59)
    assert verdict(published, numbers(*inside)) == "undecided"  # half of the width is 0.1
    narrow = replace(published, low="0.41", high="0.5")
    assert verdict(narrow, numbers(0.42, 0.43, 0.49)) == "agreement"
    # the mean is inside, and two of six runs are not: 0.02
    assert verdict(published, numbers(*inside[:4], 0.3, 0.7)) == "outside"
    # one of six: 0.21
    assert verdict(published, numbers(*inside, 0.7)) == "undecided"
    # of unknown n as many runs are taken as there are here: two of six are then nothing unusual
    assert verdict(replace(published, n=None), numbers(*inside[:4], 0.3, 0.7)) == "undecided"
    assert difference(published, numbers(*inside)) is None


def test_a_reduced_budget_is_no_reproduction_whatever_it_gives() -> None:
    three = (0.5, 0.5, 0.5)
    assert verdict(A_ROW, numbers(*three, share=0.1)) == "reduced budget (agreement)"
    assert verdict(A_ROW, numbers(0.7, 0.7, 0.7, share=0.1)) == "reduced budget (outside)"
    few = "reduced budget (fewer than three runs)"
    assert verdict(A_ROW, numbers(0.7, share=0.1)) == few


def test_a_chosen_seed_is_shown_and_enters_no_mean() -> None:
    own = [replace(result(), seed=seed) for seed in (0, 1)]
    own += [replace(result(), seed=5, chosen=True, paper={})]
    found = obtained(A_ROW, {"p": own})
    assert found.every is not None
    assert (found.every.n, found.every.mean) == (2, 0.75)
    assert dict(found.chosen) == {5: 0.5}
    assert dict(found.states) == {"done": 3}


def test_collapsed_runs_count_unless_the_paper_left_them_out() -> None:
    four = numbers(0.50, 0.51, 0.49, 0.0, collapsed=1)
    assert difference(A_ROW, four) == pytest.approx(-0.125)
    assert difference(replace(A_ROW, without_collapsed=True), four) == pytest.approx(0)
    only = numbers(0.0, 0.0, collapsed=2)
    assert verdict(replace(A_ROW, without_collapsed=True), only) == "all collapsed"


def test_what_cannot_be_compared_is_said_so() -> None:
    assert verdict(replace(A_ROW, incomparable="other data"), numbers(0.5)) == "not comparable"
    assert verdict(A_ROW, numbers()) == "not yet run"
    assert verdict(replace(A_ROW, certainty="beside", value=""), numbers()) == "nothing published"


# what is compared


def result(state: str = "done", **settings: float) -> RunResult:
    """MIG 0.5, by the paper's protocol 0.75; two continuous latents and a categorical one."""
    score = ScoreRecord(
        0.5, {"one": 0.25}, Definition("mig", 1, {}), {"factors": {"a": {"nmi": 0.125}}}
    )
    evaluation = Evaluation(
        reconstruction=None,
        mean_image_reconstruction=None,
        kl=(3.0, 2.0, 1.0),
        kl_total=6.0,
        continuous=2,
        spread=(1.0, 1.0, 1.0),
        active=(True, True, True),
        active_latents=3,
        rows=10,
        collapsed=False,
    )
    paper = {"mig": replace(score, value=0.75)}
    return RunResult("vae", state, evaluation, {"mig": score}, paper, settings)


def test_the_papers_protocol_comes_first() -> None:
    keys = ("mig", "mig:standard", "mig.one", "mig/nmi", "kl_total", "sap", "reconstruction")
    assert [value_of(result(), key) for key in keys] == [0.75, 0.5, 0.25, 0.125, 6.0, None, None]
    assert value_of(result(), "kl_continuous") == 5.0
    assert value_of(result(), "kl_categorical") == 1.0
    assert value_of(result(), "active_latents") == 3
    assert value_of(replace(result(), evaluation=None), "kl_continuous") is None


def test_a_row_takes_the_runs_of_its_settings_and_counts_the_others_states() -> None:
    runs = [result(beta=4.0), result(beta=1.0), result("failed", beta=4.0)]
    numbers = obtained(replace(A_ROW, settings={"beta": 4.0}), {"p": runs})
    assert numbers.every is not None
    assert (numbers.every.n, dict(numbers.states)) == (1, {"done": 1, "failed": 1})


def test_a_row_of_a_moment_counts_the_runs_that_have_it() -> None:
    runs = [replace(result(), steps={10: {"mig": 0.25}}), result(), result("failed")]
    numbers = obtained(replace(A_ROW, step=10), {"p": runs})
    assert numbers.every is not None
    assert (numbers.every.n, dict(numbers.states)) == (1, {"done": 1, "failed": 1})
    runs = [replace(result(), epochs={1: {"mig": 0.25}}), result()]
    assert dict(obtained(replace(A_ROW, epoch=1), {"p": runs}).states) == {"done": 1}


def test_sampled_codes_have_the_spread_of_the_posterior() -> None:
    rng = np.random.default_rng(0)
    factors = rng.integers(3, size=(20_000, 2))
    codes = Representation.of(
        codes=np.zeros((20_000, 2)),
        logvar=np.log([[0.25, 4.0]]) * np.ones((20_000, 1)),
        factors=factors,
    )
    sampled = as_scored(codes, Protocol(sampled=True), 0)
    # the standard error of a deviation of 20,000 is 0.5 %
    assert sampled.codes.std(axis=0) == pytest.approx([0.5, 2.0], rel=0.02)
    assert np.array_equal(sampled.codes, as_scored(codes, Protocol(sampled=True), 0).codes)
    assert codes.kl is not None
    assert as_scored(codes, Protocol(by_spread=True), 0).kl is None


# the committed records


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda folder: folder.name)
def test_the_committed_table_is_that_of_the_committed_records(folder: Path) -> None:
    manifest, table = manifest_of(folder)
    results = results_of(folder, table)
    lines = lines_of(table, results)
    stored = table_of(folder)
    assert len(stored) == len(lines)
    if not any(row.epoch for row in table.rows):
        assert len(lines) == len(table.rows)
    for line, row in zip(lines, stored, strict=True):
        assert row["verdict"] == line.verdict
        assert row["published"] == line.row.published
    text = markdown(table, lines, results, manifest)
    assert text == (folder / "reproduction.md").read_text()


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda folder: folder.name)
def test_every_committed_verdict_follows_from_the_raw_numbers(folder: Path) -> None:
    """The rule worked out once more, from the stored values themselves."""
    _, table = manifest_of(folder)
    stored = table_of(folder)
    rows = [line.row for line in lines_of(table, results_of(folder, table))]
    decided = ("agreement", "undecided", "outside")
    for row, line in zip(rows, stored, strict=True):
        if not any(word in line["verdict"] for word in decided):
            continue
        assert row.is_target
        assert not row.incomparable
        kind = "sound" if row.without_collapsed else "obtained"
        mean, n = float(line[f"{kind}.mean"]), int(line[f"{kind}.n"])
        reduced = line["verdict"].startswith("reduced budget")
        assert reduced == (float(line["budget"]) < 0.999)
        assert not row.low  # no committed table has runs beside a range that can be compared
        if row.tolerance is not None:
            expected = "agreement" if abs(mean - float(row.value)) <= row.tolerance else "outside"
        else:
            digits = len(row.value.split(".")[1]) if "." in row.value else 0
            error = float(line[f"{kind}.sd"]) * math.sqrt(1 / n + 1 / (row.n or n))
            reach = t.ppf(0.975, n - 1) * error + 0.5 / 10**digits
            margin = 1.0 if row.metric == "active_latents" else 0.05
            if row.metric in EVALUATED and row.metric != "active_latents":
                margin = 0.05 * float(row.value)
            near = "agreement" if reach <= margin else "undecided"
            expected = near if abs(mean - float(row.value)) <= reach else "outside"
        assert expected in line["verdict"]


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda folder: folder.name)
def test_committed_records_say_how_they_were_made_and_name_no_place(folder: Path) -> None:
    for path in [*folder.glob("records/*.json"), *folder.glob("*/runs/*/paper.json")]:
        record = json.loads(path.read_text())
        assert record["command"].startswith("bench reproduce")
        assert record["environment"]["packages"]["numpy"]
        assert record["seconds"] >= 0
        assert "commit" in record["environment"]
        assert " /" not in record.get("source", "")


# the command


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("jointvae-dsprite",), "did you mean jointvae-dsprites"),
        ((), "name a table"),
        (("jointvae-dsprites", "--budget", "1.5"), "above 0 up to 1"),
        (("jointvae-dsprites", "--budget", "0"), "above 0 up to 1"),
        (("jointvae-dsprites", "--parts", "jointva"), "did you mean jointvae"),
        (("jointvae-dsprites", "--weights", "x"), "leave out --weights"),
        (("jointvae-dsprites", "--seeds", "none", "--dry-run"), "--seeds"),
        (("metric-units",), "unknown table 'metric-units'"),
        (("released-jointvae", "--budget", "0.1"), "leave out --budget"),
        (("released-jointvae", "--seeds", "2"), "leave out --seeds"),
        (("released-jointvae", "--score-every", "5"), "leave out --score-every"),
        (("vae-dsprites", "--score-every", "0", "--output", "out"), "must be at least 1"),
        (("vae-dsprites", "--jobs", "0", "--output", "out"), "must be at least 1"),
        (("released-jointvae", "--output", "out"), "--weights"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(
    cli_here: Callable, tmp_path: Path, monkeypatch, arguments: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = cli_here("reproduce", *arguments)
    assert said.code == 2
    assert said.err.strip().splitlines()[-1].startswith("bench: ")
    assert says in said.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ("{", "cannot be read"),
        ('{"name": "jointvae-mnist", "budget": 1.0}', "cannot be read (commands: Field required)"),
        (
            '{"name": "metric-units", "budget": 1.0, "commands": []}',
            "names the table metric-units, which this version does not have: choose from jointvae",
        ),
    ],
)
def test_a_manifest_that_names_no_table_is_one_line(
    cli_here: Callable, tmp_path: Path, manifest: str, says: str
) -> None:
    path = tmp_path / "reproduction.json"
    path.write_text(manifest)
    said = cli_here("report", str(tmp_path))
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"bench: {path} ")
    assert says in said.err
    assert len(said.err.splitlines()) == 1


def test_the_list_shows_certainty_and_cost_of_every_table(cli_here: Callable) -> None:
    said = cli_here("reproduce", "--list")
    assert said.code == 0
    for name, table in TABLES.items():
        assert name in said.out
        assert f"{len(table.rows)} rows" in said.out
    assert "unverified" in said.out
    assert "a guess" in said.out
    listed = cli_here("list", "reproductions").out.splitlines()
    assert [line.split()[0] for line in listed] == list(TABLES)


def test_the_page_has_every_table_with_its_command_and_cost() -> None:
    page = (REFERENCE.parents[1] / "docs" / "reproductions.md").read_text()
    for name, table in TABLES.items():
        (line,) = (line for line in page.splitlines() if f"`bench reproduce {name}" in line)
        whole = cost_of_table(table)
        hours = hours_in_words(whole.cpu_hours)
        assert table.title in line
        assert (f"{whole.runs} runs: {hours}" if whole.steps else "minutes") in line
        there = any(manifest_of(folder)[1] is table for folder in COMMITTED)
        assert ("not yet run" in line) == (bool(table.parts) and not there)


def test_numbers_on_the_page_are_those_of_the_records() -> None:
    page = (REFERENCE.parents[1] / "docs" / "reproductions.md").read_text()
    sections = {part.split(":")[0]: part for part in page.split("\n### ")[1:]}
    # what others measured
    others = {"0.69", "0.8", "1.0986", "2.3026", "42.5"}
    # gamma, a share of the steps, and KL of published latents, as below T12
    others |= {"6.4", "0.33334", "0.16", "0.12", "0.06", "8.90", "7.18"}
    others |= {"0.543"}  # one to one, of the author's code after 40 epochs, as below T2
    others |= {"0.3", "5.7", "1.4"}  # PyTorch 0.3's initialisation: tests/models/test_networks.py
    known: dict[str, set[str]] = {}  # by the table: it may have several folders
    for folder in COMMITTED:
        table = manifest_of(folder)[1]
        of_table = known.setdefault(table.id, set())
        of_table |= {
            f"{float(row[key]):.{digits}f}"
            for row in table_of(folder)
            for key in ("obtained.mean", "obtained.sd", "sound.mean", "standard.mean")
            if row[key]
            for digits in (2, 3)
        }
        for row in table_of(folder):
            for text in re.findall(r": ([0-9.]+)", row["chosen"]):
                of_table |= {f"{float(text):.{digits}f}" for digits in (2, 3)}
        published = {row["published"].split()[0] for row in table_of(folder) if row["published"]}
        runs = [*folder.glob("*/runs/*"), *REFERENCE.glob(f"{folder.name}-*/runs/*")]
        for run in runs:
            for epoch in _rows_of(run / "epochs.csv"):
                of_table |= {f"{float(number):.2f}" for number in epoch.values()}
            for moment in _rows_of(run / "score_history.csv"):
                of_table |= {f"{float(number):.3f}" for number in moment.values() if number}
            scores = json.loads((run / "scores.json").read_text())
            if "discrete_accuracy" in scores:
                of_table.add(f"{scores['discrete_accuracy']['value']:.3f}")
        of_table |= published
    for table_id, numbers in known.items():
        text = sections.pop(table_id)
        assert set(re.findall(r"\b\d+\.\d+\b", text)) - others <= numbers
    assert not sections  # nothing is said without records


def _rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(path.read_text()))) if path.exists() else []


def test_the_epochs_on_the_page_are_those_of_the_records() -> None:
    page = (REFERENCE.parents[1] / "docs" / "reproductions.md").read_text()
    section = page.partition("### T12")[2].partition("### ")[0]
    short, long = (REFERENCE / f"training-logs-dsprites-budget{b}" for b in ("0.1", "0.33334"))
    parts = {"VAE": "vae", "beta": "betavae", "annealed": "annealedvae", "FactorVAE": "factorvae"}
    metrics = {"kl": "kl_total"}
    columns = {"kl": "kl_continuous"}
    published = {
        (row["model"].partition("-")[0].partition(" ")[0], row["metric"], row["epoch"]): row
        for folder in (long, short)
        for row in table_of(folder)
    }
    shown = 0
    for line in section.splitlines():
        if line.startswith("| ") and "Epoch" in line:
            epochs = [int(number) for number in re.findall(r"Epoch (\d+)", line)]
        if "; " not in line or not line.startswith("| "):
            continue
        folder = long if epochs[0] > 1 else short
        label, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        model, comma, term = label.rpartition(", ")
        model = model.partition("-")[0].partition(" ")[0] if comma else "FactorVAE"
        term = term.lower().replace(" ", "_")
        runs = sorted((folder / parts[model] / "runs").iterdir(), key=lambda path: path.name)
        for epoch, cell in zip(epochs, cells, strict=True):
            theirs = published[model, metrics.get(term, term), str(epoch)]["published"]
            rows = [_rows_of(run / "epochs.csv")[epoch - 1] for run in runs]
            ours = [float(row[columns.get(term, term)]) for row in rows]
            assert cell == f"{theirs}; {', '.join(f'{number:.2f}' for number in ours)}", label
            shown += 1
    assert shown == 6 * 3 + 4 * 6 + 2 * 7


TINY = Table(
    name="tiny",
    id="T0",
    title="a table of two rows",
    parts=(
        Part(
            "some",
            "vae",
            "toy",
            steps=20,
            batch_size=8,
            sets=("train.batch_size=8", "train.rows=200"),
            protocol=Protocol("few votes", ("factorvae_score.votes=50",), sampled=True),
            runs=2,
        ),
    ),
    rows=(
        Row(
            "p", "t", "VAE", "toy", "factorvae_score", "quoted", "s", "0.5", part="some", run="vae"
        ),
        Row("p", "t", "VAE", "toy", "mig", "unverified", "s", "0.5", part="some", run="vae"),
    ),
)


@pytest.fixture(scope="module")
def finished_tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TINY with one seed at the full budget, run once for several tests. Copy it to change it."""
    folder = tmp_path_factory.mktemp("finished") / "tiny"
    request = ReproductionRequest("tiny", seeds="1", output=folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(TABLES, "tiny", TINY)
        watcher = ConsoleWatcher(Console(file=StringIO()))
        assert reproduce(prepare(request), Options(jobs=1, device="cpu"), watcher) is not None
    assert watcher.code == 0
    return folder


def reproduced(cli_here: Callable, folder: Path, name: str, *options: str) -> Any:
    """`bench reproduce` of a table into a folder, whose runs do not compete for the cores."""
    quiet = ("--output", str(folder), "--jobs", "1", "--device", "cpu")
    return cli_here("reproduce", name, *quiet, *options)


def test_a_table_is_run_once_scored_twice_and_written(
    tmp_path: Path, monkeypatch, cli_here: Callable
) -> None:
    monkeypatch.setitem(TABLES, "tiny", TINY)
    folder, budget = tmp_path / "tiny", ("--budget", "0.5", "--seeds", "1")
    assert reproduced(cli_here, folder, "tiny", *budget).code == 0
    runs = sorted((folder / "some" / "runs").iterdir())
    assert len(runs) == 1
    trained = {run: (run / "weights.safetensors").stat().st_mtime_ns for run in runs}
    scored = {run: (run / "paper.json").stat().st_mtime_ns for run in runs}
    for run in runs:
        assert json.loads((run / "settings.json").read_text())["steps"] == 10
        own = json.loads((run / "scores.json").read_text())["factorvae_score"]
        theirs = json.loads((run / "paper.json").read_text())
        assert theirs["command"] == "bench reproduce tiny --budget 0.5 --seeds 1"
        options = theirs["scores"]["factorvae_score"]["definition"]["options"]
        assert (own["definition"]["options"]["votes"], options["votes"]) == (10_000, 50)
    text = (folder / "reproduction.md").read_text()
    assert "REDUCED BUDGET: 0.5" in text
    assert "0.5 (unverified)" in text
    reproduction = write_reproduction(folder)
    verdicts = [line.verdict for line in reproduction.lines]
    assert verdicts == ["reduced budget (fewer than three runs)", "no target"]

    said = reproduced(cli_here, folder, "tiny", *budget)
    assert said.code == 0
    assert said.out.strip() == text.strip()
    assert f"wrote {folder / 'reproduction.csv'}" in said.err
    assert trained == {run: (run / "weights.safetensors").stat().st_mtime_ns for run in runs}
    assert scored == {run: (run / "paper.json").stat().st_mtime_ns for run in runs}
    (folder / "reproduction.md").unlink()
    said = cli_here("report", str(folder))
    assert (said.code, said.out.strip()) == (0, text.strip())
    assert (folder / "reproduction.md").read_text() == text
    said = reproduced(cli_here, folder, "tiny", "--seeds", "1")
    assert said.code == 2
    assert "was written with budget 0.5" in said.err


def test_a_part_is_planned_once_and_a_dry_run_writes_nothing(
    tmp_path: Path, monkeypatch, cli_here: Callable
) -> None:
    monkeypatch.setitem(TABLES, "tiny", TINY)
    planned = []

    def counted(request: Request) -> Plan:
        planned.append(request)
        return plan(request)

    monkeypatch.setattr("bench.reproduce.run.plan", counted)
    said = reproduced(cli_here, tmp_path / "tiny", "tiny", "--dry-run")
    assert said.code == 0
    assert "some: 2 runs, 40 steps in all" in said.out
    assert "2 runs: 0 done, 2 to do, 40 steps" in said.out
    assert not list(tmp_path.iterdir())
    assert len(planned) == 1
    monkeypatch.setattr("bench.reproduce.run.execute", lambda *_: Outcome(True, {}))
    assert reproduced(cli_here, tmp_path / "tiny", "tiny").code == 130
    assert len(planned) == 2


def test_broken_scores_by_the_papers_protocol_are_made_again(
    finished_tiny: Path, tmp_path: Path, monkeypatch, cli_here: Callable
) -> None:
    monkeypatch.setitem(TABLES, "tiny", TINY)
    folder = shutil.copytree(finished_tiny, tmp_path / "tiny")
    (run,) = (folder / "some" / "runs").iterdir()
    first = read_paper_scores(run)
    assert first is not None
    for broken in ("{", "[]", '{"scores": {"mig": 1}}'):
        (run / "paper.json").write_text(broken)
        with pytest.raises(RequestError, match="paper.json cannot be read .*: remove it and run"):
            write_reproduction(folder)
        assert reproduced(cli_here, folder, "tiny", "--seeds", "1").code == 0
        again = read_paper_scores(run)
        assert again is not None
        assert again.scores["mig"].value == first.scores["mig"].value
    stored = json.loads((run / "paper.json").read_text())
    (run / "paper.json").write_text(json.dumps({**stored, "run": "another"}))
    assert reproduced(cli_here, folder, "tiny", "--seeds", "1").code == 0
    assert json.loads((run / "paper.json").read_text())["run"] == stored["run"]


def test_a_run_that_fails_is_exit_code_1_and_the_table_is_written(
    tmp_path: Path, monkeypatch, cli_here: Callable
) -> None:
    part = replace(TINY.parts[0], sets=(*TINY.parts[0].sets, "vae.lr=1e18"), runs=1)
    monkeypatch.setitem(TABLES, "tiny", replace(TINY, parts=(part,)))
    said = reproduced(cli_here, tmp_path / "tiny", "tiny")
    assert said.code == 1
    assert "1 diverged" in said.out
    assert (tmp_path / "tiny" / "reproduction.csv").exists()


def test_a_signal_stops_it_before_the_next_part(
    tmp_path: Path, monkeypatch, cli_here: Callable
) -> None:
    second = replace(TINY.parts[0], name="second")
    monkeypatch.setitem(TABLES, "tiny", replace(TINY, parts=(*TINY.parts, second)))
    executed = []

    def stopped(plan: Plan, options: Options, watch: Any) -> Outcome:
        executed.append(plan.folder.name)
        return Outcome(stopped=True, statuses={})

    monkeypatch.setattr("bench.reproduce.run.execute", stopped)
    said = reproduced(cli_here, tmp_path / "tiny", "tiny")
    assert said.code == 130
    assert executed == ["some"]
    assert "Stopped. The same command continues" in said.err
    assert said.out == ""
    assert not (tmp_path / "tiny" / "reproduction.md").exists()


def test_a_run_of_another_table_beside_is_taken_over(
    finished_tiny: Path, tmp_path: Path, monkeypatch, cli_here: Callable
) -> None:
    part = replace(TINY.parts[0], name="other", protocol=Protocol("", ("mig.bins=5",)))
    other = replace(TINY, name="other", parts=(part,), rows=(replace(TINY.rows[1], part="other"),))
    for table in (TINY, other):
        monkeypatch.setitem(TABLES, table.name, table)

    def made(budget: str, seeds: str) -> tuple[Path, str]:
        folder = tmp_path / f"other{budget}"
        said = reproduced(cli_here, folder, "other", "--budget", budget, "--seeds", seeds)
        assert said.code == 0
        return folder, said.err

    first = shutil.copytree(finished_tiny, tmp_path / "tiny") / "some" / "runs"
    (run,) = first.iterdir()
    broken = tmp_path / "broken" / "runs" / run.name
    broken.mkdir(parents=True)
    (broken / "settings.json").write_text("{}")
    folder, err = made("1", "2")
    second = folder / "other" / "runs"
    assert f"vae, seed 0: from {run}" in err
    assert "1 done, 1 to do" in err  # of two seeds one is there
    for name in ("weights.safetensors", "environment.json", "history.csv"):
        assert (second / run.name / name).read_bytes() == (run / name).read_bytes()
    assert set(json.loads((second / run.name / "paper.json").read_text())["scores"]) == {"mig"}
    assert set(json.loads((run / "paper.json").read_text())["scores"]) == {"factorvae_score", "mig"}
    _, err = made("0.5", "1")  # other steps make another run
    assert "from" not in err.split("1 runs: 0 done")[0]
    assert "1 runs: 0 done, 1 to do" in err


def test_a_copy_that_fails_leaves_no_run(
    finished_tiny: Path, tmp_path: Path, monkeypatch, cli_here: Callable
) -> None:
    monkeypatch.setitem(TABLES, "tiny", TINY)
    shutil.copytree(finished_tiny, tmp_path / "a")

    def full(source: Path, target: Path, **rest: Any) -> None:
        target.mkdir(parents=True)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("bench.store.files.shutil.copytree", full)
        said = reproduced(cli_here, tmp_path / "b", "tiny", "--seeds", "1")
    assert said.code == 2
    assert "No space left on device" in said.err
    assert not list((tmp_path / "b" / "some").glob("runs/*"))
    said = reproduced(cli_here, tmp_path / "b", "tiny", "--seeds", "1")
    assert said.code == 0
    assert "1 runs: 1 done, 0 to do" in said.err


# values at an epoch of a training

LOGGED = Part(
    "some",
    "vae",
    "toy",
    steps=20,
    batch_size=8,
    sets=("train.batch_size=8", "train.rows=200"),
    runs=3,
    epochs=Epochs(steps=5, every=2),
)


def logged_rows(reconstruction: str) -> tuple[Row, ...]:
    row = Row("p", "t", "VAE", "toy", "kl_total", "primary", "s", "1.0", n=1, part="some",
              run="vae")  # fmt: skip
    return tuple(
        replace(row, metric=metric, value=value, epoch=epoch)
        for epoch in (1, 2, 3, 4)
        for metric, value in (("reconstruction", reconstruction), ("active_latents", "2"))
    )


def test_epochs_of_a_shorter_training_are_compared_and_the_others_left_out(
    tmp_path: Path, monkeypatch, cli_here: Callable
) -> None:
    table = Table("logged", "T0", "a log", (LOGGED,), logged_rows("700.0"))
    monkeypatch.setitem(TABLES, "logged", table)
    folder = tmp_path / "logged"
    assert reproduced(cli_here, folder, "logged", "--budget", "0.5", "--seeds", "3").code == 0
    rows = table_of(folder)
    assert [(row["epoch"], row["metric"]) for row in rows] == [
        (epoch, metric) for epoch in "12" for metric in ("reconstruction", "active_latents")
    ]
    found = []
    for run in sorted((folder / "some" / "runs").iterdir()):
        (first, second) = csv.DictReader(StringIO((run / "epochs.csv").read_text()))
        assert [first["step"], second["step"]] == ["5", "10"]
        found.append(float(second["reconstruction"]))
        kl = [float(v) for k, v in second.items() if re.fullmatch(r"kl_\d+", k)]
        assert sum(kl) == pytest.approx(float(second["kl_continuous"]), rel=1e-5)
    assert len(found) == 3
    assert float(rows[2]["obtained.mean"]) == pytest.approx(np.mean(found))
    assert {row["budget"] for row in rows} == {"1.0"}
    # the same numbers as published are in agreement or undecided, others outside
    verdicts = {}
    for value in (f"{np.mean(found):.1f}", "1000000.0"):
        with monkeypatch.context() as patched:
            other = replace(table, rows=logged_rows(value))
            patched.setitem(TABLES, "logged", other)
            lines = lines_of(other, results_of(folder, other))
        verdicts[value] = lines[2].verdict
    assert verdicts.pop("1000000.0") == "outside"
    assert set(verdicts.values()) <= {"agreement", "undecided"}
    text = (folder / "reproduction.md").read_text()
    assert "Reconstruction, epoch 2" in text
    assert "REDUCED" not in text
    for name in ("epochs.png", "epochs.pdf"):
        assert (folder / name).stat().st_size > 1000
    said = reproduced(cli_here, folder, "logged", "--budget", "0.5", "--seeds", "3")
    assert said.code == 0


def test_a_run_without_means_per_epoch_is_not_taken_from_another_study(
    tmp_path: Path, monkeypatch, cli_here: Callable
) -> None:
    """The same run, trained for a table of scores, lacks what a table of epochs is about."""
    scores = replace(TINY, parts=(replace(LOGGED, epochs=None),), rows=TINY.rows)
    monkeypatch.setitem(TABLES, "tiny", scores)
    assert reproduced(cli_here, tmp_path / "tiny", "tiny", "--seeds", "1").code == 0
    table = Table("logged", "T0", "a log", (LOGGED,), logged_rows("700.0"))
    monkeypatch.setitem(TABLES, "logged", table)
    assert reproduced(cli_here, tmp_path / "logged", "logged", "--seeds", "1").code == 0
    (row, *_) = table_of(tmp_path / "logged")
    assert row["obtained.n"] == "1"
    assert row["verdict"] == "fewer than three runs"


def test_the_published_epochs_are_those_of_the_logs(shared: Path) -> None:
    logged = (shared / "published_logs" / "disentangling_vae_epochs.csv").read_text()
    rows = list(csv.DictReader(StringIO(logged)))
    logs = {(row["training"], row["epoch"]): row for row in rows}
    keys = {"kl_total": "kl"}
    for table in (TABLES["training-logs-dsprites"], TABLES["training-logs-mnist"]):
        for row in table.rows:
            training = row.source.split("/")[1]
            log = logs[training, str(row.epoch)]
            assert float(row.value) == float(log[keys.get(row.metric, row.metric)])


def test_the_trainings_have_the_settings_of_the_logs(shared: Path) -> None:
    path = shared / "published_logs" / "disentangling_vae_settings.json"
    published = json.loads(path.read_text())
    for table in (TABLES["training-logs-dsprites"], TABLES["training-logs-mnist"]):
        for part in table.parts:
            source = next(row.source for row in table.rows if row.part == part.name)
            theirs = published[source.split("/")[1]]
            ours = dict(text.partition(".")[2].split("=") for text in part.sets)
            assert part.batch_size == int(ours.pop("batch_size")) == theirs["batch_size"]
            assert float(ours.pop("lr")) == theirs["lr"]
            assert ours.pop("network") == theirs["model_type"].lower()
            if part.models == "annealedvae":
                assert float(ours["gamma"]) == theirs["betaB_G"]
                assert float(ours["C"]) == theirs["betaB_finC"]
                assert int(ours["iterations"]) == theirs["reg_anneal"]
            else:
                assert int(ours["warmup"]) == theirs["reg_anneal"]
            if part.models == "betavae":
                assert float(ours["beta"]) == theirs["betaH_B"]
            if part.models == "factorvae":
                assert float(ours["gamma"]) == theirs["factor_G"]
                assert float(ours["lr_discriminator"]) == theirs["lr_disc"]


# values after a step of a training

MOMENTS = Part("some", "vae", "toy", steps=20, batch_size=8,
               sets=("train.batch_size=8", "train.rows=200"), runs=3)  # fmt: skip


def test_scores_while_training_are_compared_with_what_is_published_of_a_step(
    tmp_path: Path, monkeypatch, cli_here: Callable
) -> None:
    ending = replace(A_ROW, part="some")
    rows = [replace(ending, step=step, n=1) for step in (10, 15, 20)]
    table = Table("moments", "T0", "moments", (MOMENTS,), (*rows, ending))
    monkeypatch.setitem(TABLES, "moments", table)
    folder = tmp_path / "moments"
    seeds = ("--seeds", "3")
    assert reproduced(cli_here, folder, "moments", *seeds).code == 0
    assert [row["verdict"] for row in table_of(folder)][:3] == ["not yet run"] * 3
    assert not list(folder.glob("steps.*"))

    # a run that was not scored while it trained is not taken from another study
    folder = tmp_path / "again"
    every = ("--score-every", "10")
    assert reproduced(cli_here, folder, "moments", *seeds, *every).code == 0
    ten, fifteen, twenty, end = table_of(folder)
    found = []
    for run in sorted((folder / "some" / "runs").iterdir()):
        scores = list(csv.DictReader(StringIO((run / "score_history.csv").read_text())))
        assert [row["step"] for row in scores] == ["10", "20"]
        found.append([float(row["mig"]) for row in scores])
    assert len(found) == 3
    assert float(ten["obtained.mean"]) == pytest.approx(np.mean(found, axis=0)[0])
    assert float(twenty["obtained.mean"]) == pytest.approx(np.mean(found, axis=0)[1])
    assert (ten["step"], end["step"], fifteen["verdict"]) == ("10", "", "not yet run")
    text = (folder / "reproduction.md").read_text()
    assert "MIG, after 10 steps" in text
    assert "--score-every 10`" in text
    assert all((folder / f"steps{suffix}").stat().st_size > 1000 for suffix in (".png", ".pdf"))
    # the same rule as at the end: one published number beside three
    near = replace(rows[0], value=f"{np.mean(found, axis=0)[0]:.3f}")
    for row, expected in ((near, {"agreement", "undecided"}), (rows[0], {"outside"})):
        assert verdict(row, obtained(row, results_of(folder, table))) in expected


# quoted rows, and a study beside published ones


def test_quoted_rows_are_a_table_of_models_for_each_data_set(
    tmp_path: Path, cli_here: Callable
) -> None:
    assert cli_here("reproduce", "vector-latents", "--output", str(tmp_path / "out")).code == 0
    text = (tmp_path / "out" / "reproduction.md").read_text()
    table = TABLES["vector-latents"]
    for row in table.rows:
        (line,) = (
            line for line in text.partition(f"\n{row.dataset}:\n")[2].split("\n\n")[0].splitlines()
            if line.startswith(f"| {row.model} | {row.paper}, {row.table} |")
        )  # fmt: skip
        assert f" {row.published} |" in line
    stored = table_of(tmp_path / "out")
    assert {row["verdict"] for row in stored} == {"quoted only"}
    assert len(stored) == len(table.rows)
    assert cli_here("report", str(tmp_path / "out")).code == 0
    for option in (("--budget", "0.5"), ("--seeds", "2"), ("--parts", "x")):
        said = cli_here("reproduce", "vector-latents", *option)
        assert said.code == 2
        assert said.err.strip().splitlines()[-1].startswith("bench: ")


def test_a_studys_rows_stand_beside_published_ones(
    finished_tiny: Path, tmp_path: Path, monkeypatch, cli_here: Callable
) -> None:
    study = tmp_path / "study"
    shutil.copytree(finished_tiny / "some", study)
    published = Row("Paper", "table 1", "Their VAE", "toy", "mig", "quoted", "source", "0.123",
                    spread="0.01", n=10)  # fmt: skip
    rows = (published, replace(published, metric="reconstruction", value="7.5", spread=""),
            replace(published, metric="sap"), replace(published, dataset="dsprites"))  # fmt: skip
    monkeypatch.setitem(TABLES, "quoted", Table("quoted", "T0", "quoted", (), rows))
    said = cli_here("report", str(study), "--published", "quoted")
    assert said.code == 0
    text = (study / "published-quoted.md").read_text()
    assert text.strip() in said.out
    (run,) = (study / "runs").iterdir()
    mig = json.loads((run / "scores.json").read_text())["mig"]["value"]
    error = json.loads((run / "evaluation.json").read_text())["reconstruction"]
    assert f"| **vae** | here | 1 (1 collapsed) | {mig:.3f} | {error:.2f} | – | – |" in text
    assert "| 10 | 0.123 ± 0.01 | 7.5 |" in text
    assert "No run here has sap: `bench evaluate FOLDER --metrics sap`" in text
    assert "20 steps of 8 images (paper; 64x64 pixels, channels: 1)" in text
    assert "dsprites:" not in text
    flat = list(csv.DictReader(StringIO((study / "published-quoted.csv").read_text())))
    assert [(row["metric"], row["where"]) for row in flat if row["model"] == "vae"] == [
        ("mig", "here"), ("reconstruction", "here")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("vector-latent", "did you mean vector-latents"),
        ("vector-latents", "is about toy, vector-latents about cars3d, shapes3d, mpi3d_toy"),
        ("training-logs", "training-logs-dsprites"),
    ],
)
def test_a_wrong_published_table_is_one_line(
    finished_tiny: Path, tmp_path: Path, cli_here: Callable, name: str, says: str
) -> None:
    study = tmp_path / "study"
    shutil.copytree(finished_tiny / "some", study)
    said = cli_here("report", str(study), "--published", name)
    assert said.code == 2
    assert says in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert not list(study.glob("published-*"))
    said = cli_here("report", str(finished_tiny), "--published", "vector-latents")
    assert said.code == 2
