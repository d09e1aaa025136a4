"""The comparison: numbers over seeds, every run accounted for, and its renderings."""

import csv
import io
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench.errors import UnknownNameError
from bench.report.columns import Metrics, values_of
from bench.report.frame import frame, score_keys
from bench.report.html.page import page
from bench.report.render import console_table, latex, markdown, summary_rows
from bench.report.table import Table, comparison, run_rows
from bench.store.record import read_records
from bench.store.study import read_study
from tests.bench.report.conftest import STUDY

REFERENCE = Path(__file__).resolve().parents[3] / "results" / "reference"


def cell(table: Table, label: str, key: str):
    return next(row for row in table.rows if row.label == label).cells[key]


def runs(table: Table) -> dict[str, str]:
    return {row.label: row.runs for row in table.rows}


# statistics


def test_the_note_on_the_preset_names_what_was_changed(make_record) -> None:
    study = replace(STUDY, preset="paper", steps=7, train={"batch_size": 8})
    (note,) = (n for n in comparison([make_record()], study).notes if n.startswith("Preset"))
    assert note.endswith("; but steps 7, batch_size 8.")
    assert "but" not in comparison([make_record()], STUDY).notes[0]


# the comparison


def test_a_row_per_model_and_mean_over_seeds(make_record) -> None:
    records = [make_record(0.1 * s, seed=s) for s in (1, 2, 3)] + [make_record(0.7, model="vae")]
    table = comparison(records, STUDY)
    assert runs(table) == {"betavae": "3", "vae": "1"}
    assert cell(table, "betavae", "mig").mean == pytest.approx(0.2)
    assert cell(table, "betavae", "mig").n == 3
    assert cell(table, "vae", "mig").sd is None
    assert cell(table, "vae", "kl_total").mean == 5.0
    assert not any("Fewer" in note for note in table.notes)


def test_every_run_is_accounted_for(make_record) -> None:
    states = ["done", "collapsed", "diverged", "failed", "interrupted", "running", "pending"]
    # A failed run may have scores of an earlier try: they do not count.
    records = [make_record(0.1 * i, state=s, seed=i) for i, s in enumerate(states, 1)]
    table = comparison(records, STUDY)
    others = "1 collapsed, 1 diverged, 1 failed, 1 interrupted, 1 running, 1 pending"
    sound = others.removeprefix("1 collapsed, ")
    assert runs(table) == {
        "betavae": f"2 of 7 ({others})",
        "betavae without collapsed": f"1 of 6 ({sound})",
    }
    assert cell(table, "betavae", "mig").mean == pytest.approx(0.15)
    assert cell(table, "betavae without collapsed", "mig").mean == pytest.approx(0.1)


def test_baselines_come_last_and_rows_of_a_kind_by_name(make_record) -> None:
    models = ["adagvae", "betavae", "factors", "mine.py:Mine", "pca", "vae"]
    table = comparison([make_record(0.5, model=model) for model in models], STUDY)
    expected = ["betavae", "vae", "adagvae", "mine.py:Mine", "factors", "pca"]
    assert [row.label for row in table.rows] == expected


def test_a_model_without_any_score_is_a_row(make_record) -> None:
    table = comparison([make_record(None, state="failed"), make_record(0.5, model="vae")], STUDY)
    assert runs(table)["betavae"] == "0 of 1 (1 failed)"
    assert cell(table, "betavae", "mig") is None
    assert "| betavae | 0 of 1 (1 failed) | – |" in markdown(table)
    assert comparison([make_record(None, state="diverged")], STUDY).rows


def test_an_option_that_only_one_definition_has_is_named(make_record, make_score) -> None:
    records = [
        make_record({"mig": make_score("mig", 0.1, bins=20)}, seed=0),
        make_record({"mig": make_score("mig", 0.3, bins=20, binning="width")}, seed=1),
    ]
    names = [c.title for c in comparison(records, STUDY).columns if c.is_score]
    assert names == ["MIG (no binning)", "MIG (binning=width)"]


def test_two_definitions_never_share_a_column(make_record, make_score) -> None:
    records = [
        make_record({"mig": make_score("mig", 0.1, bins=20, points=5)}, seed=0),
        make_record({"mig": make_score("mig", 0.3, bins=10, points=5)}, seed=1),
    ]
    table = comparison(records, STUDY)
    assert cell(table, "betavae", "mig (bins=20)").mean == 0.1
    assert cell(table, "betavae", "mig (bins=10)").mean == 0.3
    titles = [column.title for column in table.columns if column.is_score]
    assert titles == ["MIG (bins=20)", "MIG (bins=10)"]
    fewer = "Fewer runs than the row has: MIG (bins=20) of betavae 1; MIG (bins=10) of betavae 1."
    assert fewer in table.notes


def test_two_versions_never_share_a_column(make_record, make_score) -> None:
    new = make_score("mig", 0.3)
    new = replace(new, definition=replace(new.definition, version=2))
    table = comparison([make_record(0.1), make_record({"mig": new}, seed=1)], STUDY)
    titles = [column.title for column in table.columns if column.is_score]
    assert titles == ["MIG (version 1)", "MIG (version 2)"]


def test_a_run_with_few_scores_does_not_decide_which_score_is_the_first(
    make_record, make_score
) -> None:
    names = ("mig", "dci", "sap")
    few = make_record({"sap": make_score("sap", 0.9)}, model="autoencoder")
    whole = make_record({name: make_score(name, 0.5) for name in names}, model="betavae")
    other = make_record({name: make_score(name, 0.5) for name in ("sap", "mcc")}, model="vae")
    expected = [*names, "mcc"]
    columns = comparison([few, whole, other], STUDY).columns
    assert [column.key for column in columns if column.is_score] == expected
    assert score_keys(frame([few, whole, other])) == expected


def test_parts_have_columns_of_their_own(make_record, make_score) -> None:
    score = make_score(
        "discrete_accuracy", 0.6, parts={"one_to_one": 0.4}, details={"chance": 1 / 3}
    )
    record = make_record({"discrete_accuracy": score})
    table = comparison([record], STUDY)
    assert [c.title for c in table.columns][:2] == ["Accuracy, majority", "Accuracy, one-to-one"]
    assert cell(table, "betavae", "discrete_accuracy.one_to_one").mean == 0.4
    assert values_of(record, Metrics.of([record]))["discrete_accuracy"] == 0.6
    assert "Chance: Accuracy, majority 0.333." in table.notes


def test_a_model_that_stood_in_for_a_category_is_named(make_record, make_score) -> None:
    score = make_score("discrete_accuracy", 0.6, details={"binned": True})
    table = comparison([make_record({"discrete_accuracy": score})], STUDY)
    assert any(note.startswith("Accuracy of betavae: no categorical") for note in table.notes)


def test_the_notes_say_preset_data_definition_and_budget(make_record, make_score) -> None:
    scores = {"mig": make_score("mig", 0.1, bins=20)}
    notes = comparison([make_record(scores)], STUDY).notes
    assert notes[0].startswith("Preset smoke: ")
    assert "Budget: 100 steps of 32 images per run." in notes
    assert "Data: toy_shapes 100%." in notes
    assert "MIG: version 1 (bins 20)." in notes


def test_budgets_that_differ_are_said(make_record) -> None:
    table = comparison([make_record(0.1), make_record(0.2, model="vae", steps=7)], STUDY)
    expected = "Budgets differ: betavae 100 steps of 32; vae 7 steps of 32."
    assert expected in table.notes


def test_a_row_per_run(make_record) -> None:
    failed = make_record(None, state="failed", seed=1, message="out of luck")
    rows = run_rows([make_record(0.25), failed])
    assert [row["mig"] for row in rows] == [0.25, None]
    assert [row["status"] for row in rows] == ["done", "failed"]
    assert rows[1]["message"] == "out of luck"
    assert rows[0].keys() == rows[1].keys()


# renderings


@pytest.fixture
def table(make_record) -> Table:
    changed = {"C_z": 5.0, "kind": "a&b^c~d\\e#"}
    records = [make_record(0.1 * s, seed=s) for s in (1, 2, 3)]
    records += [make_record(0.5, changed=changed), make_record(None, state="failed", model="vae")]
    return comparison(records, STUDY)


def test_markdown(table: Table) -> None:
    lines = markdown(table).splitlines()
    assert lines[0] == "**toy, preset smoke**"
    assert lines[2] == "| Model | Runs | MIG | Reconstruction | KL | Active latents |"
    assert lines[4].startswith("| betavae | 3 | 0.200 ± 0.100 [0.00, 0.45] | 100.0 ± 0.0 [")
    assert "| 0.500 |" in lines[5]
    assert {line.count(" | ") for line in lines[4:7]} == {5}
    assert lines[8] == f"- {table.notes[0]}"


def test_latex_is_escaped(table: Table) -> None:
    text = latex(table).replace(r"\penalty500{}", "")  # where a long word may be broken
    assert r"\raggedright betavae (C\_z=5, kind=a\&b\textasciicircum{}c\textasciitilde{}d" in text
    assert r"d\textbackslash{}e\#)" in text
    assert r"toy\_shapes 100\%" in text
    stacked = r"$0.200 \pm 0.100$ \\ \scriptsize $[0.00, 0.45]$"
    assert rf"betavae & 3 & \begin{{tabular}}[t]{{@{{}}r@{{}}}}{stacked}\end{{tabular}} & " in text
    assert r"\raggedright 0 of 1 (1 failed)\strut} & -- &" in text
    assert "±" not in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {len(row.replace(r"\&", "").split("&")) for row in rows} == {6}


def test_csv_has_every_number(table: Table) -> None:
    rows = summary_rows(table)
    assert rows[0]["mig.mean"] == pytest.approx(0.2)
    assert (rows[0]["mig.n"], rows[1]["mig.sd"], rows[2]["mig.mean"]) == (3, None, None)
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    assert len(file.getvalue().splitlines()) == 4


def shown(table: Table, width: int = 100, *, notes: bool = False) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console_table(table, console, notes=notes)
    return console.export_text()


def test_latex_of_many_columns_goes_on_in_further_tables(make_record, make_score) -> None:
    def scores(seed: int):
        return {f"metric_{i}": make_score(f"metric_{i}", 0.1 * seed) for i in range(12)}

    models = [f"model_{i}" for i in range(25)]
    records = [make_record(scores(s), model=m, seed=s) for m in models for s in range(3)]
    text = latex(comparison(records, STUDY))
    tables = text.split(r"\begin{table}")[1:]
    assert len(tables) >= 6
    assert all(table.count("\n    model\\_") <= 20 for table in tables)
    assert text.count("(continued)") >= len(tables) - 2
    assert text.count(r"\begin{minipage}") == 1
    for part in ("table", "tabular", "minipage"):
        assert text.count(rf"\begin{{{part}}}") == text.count(rf"\end{{{part}}}")


@pytest.fixture
def typeset(tmp_path) -> Callable[[str], str]:
    """What pdflatex says of a text in the middle of a document."""
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed (texlive-latex-recommended)")

    def run(body: str) -> str:
        head = r"\documentclass{article}\usepackage{booktabs}\begin{document}"
        (tmp_path / "t.tex").write_text(f"{head}\n{body}\n\\end{{document}}\n")
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout
        assert "Overfull" not in ran.stdout
        assert "too large for page" not in ran.stdout
        return ran.stdout

    return run


HOSTILE = [
    "[b]",
    "*",
    "a & b_c",
    r"\input{/etc/passwd} $\frac{1}{2}$ 50 % #1 ~^{x}",
    "a model of a rather long name (beta=4, kind=other)",
    "long" * 40,
    "W" * 60,
    "two\nlines\tand \x1b[31mred",
]


def test_latex_of_hostile_names_compiles_and_fits_a_page(
    table: Table, make_record, make_score, typeset
) -> None:
    records = [
        make_record(
            {"mig": make_score("mig", v), "n" * 50: make_score("n" * 50, v)}, model=m, seed=s
        )
        for m in HOSTILE
        for s, v in enumerate((0.8, 0.81, 0.82))
    ]
    records += [
        make_record(None, state=state, model=HOSTILE[5], seed=9)
        for state in ("failed", "diverged", "interrupted")
    ]
    study = replace(STUDY, dataset="x_" * 60, source="$ % & # " * 40)
    typeset(latex(table) + latex(comparison(records, study)))


@pytest.mark.parametrize(
    "name", ["dsprites-quick", "dsprites-standard-trials", "jointvae-torch03-800steps"]
)
def test_latex_of_a_committed_study_compiles_and_fits_a_page(name: str, typeset) -> None:
    text = latex(comparison(read_records(REFERENCE / name), read_study(REFERENCE / name)))
    typeset(text)
    assert not re.search(r"(?<![\w}])/(home|work|tmp|root|Users)/", text)


# which models can be told apart


def test_the_group_of_the_best_is_bold_and_never_a_baseline(make_record) -> None:
    means = {"betavae": 0.8, "vae": 0.79, "factorvae": 0.2, "factors": 0.99}
    records = [
        make_record(mean + 0.01 * s, model=model, seed=s)
        for model, mean in means.items()
        for s in range(4)
    ]
    table = comparison(records, STUDY)
    assert [r.label for r in table.rows if r.is_best("mig")] == ["betavae", "vae"]
    text = markdown(table)
    assert "| **0.815 ± 0.013 [0.79, 0.84]** |" in text
    assert "| 0.215 ± 0.013 [0.19, 0.24] |" in text
    assert "| factorvae | 3 of 3 (b) |" in text
    assert "| betavae | 1 to 2 of 3 (a) |" in text
    assert r"$\mathbf{0.815} \pm 0.013$" in latex(table)
    assert any(n.startswith("Bold: ") and "Baselines take no part" in n for n in table.notes)
    assert "Separated pairs: MIG 2 of 3." in table.notes
    row = summary_rows(table)[0]
    assert (row["mig.rank_low"], row["mig.rank_high"], row["mig.rank_of"]) == (1, 2, 3)
    assert "0.815 [0.79, 0.84]*" in shown(table)
    assert "0.215 [0.19, 0.24]*" not in shown(table)


def test_rows_of_two_runs_are_not_compared_and_show_them(make_record) -> None:
    records = [make_record(0.1 * s, model=m, seed=s) for m in ("vae", "betavae") for s in (1, 2)]
    table = comparison(records, STUDY)
    assert not any(row.is_best("mig") for row in table.rows)
    assert not any(note.startswith("Bold") for note in table.notes)
    assert "0.150 (0.100, 0.200)" in shown(table)
    assert "| 0.150 ± 0.071 (0.100, 0.200) |" in markdown(table)
    assert summary_rows(table)[0]["mig.low"] is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"settings": {"network": "dupont"}}, "networks differ"),
        ({"settings": {"likelihood": "gaussian"}}, "likelihoods differ"),
        ({"steps": 7}, "budgets differ"),
        ({"model": "adagvae"}, "supervision differs"),
    ],
)
def test_what_is_not_alike_has_no_common_group(fields, words, make_record) -> None:
    usual = {"network": "broadcast", "likelihood": "bernoulli"}
    other = {"model": "factorvae", **fields}
    other["settings"] = usual | fields.get("settings", {})
    records = [
        make_record(mean + 0.01 * s, seed=s, **own)
        for mean, own in (
            (0.9, other),
            (0.5, {"model": "vae", "settings": usual}),
            (0.5, {"model": "betavae", "settings": usual}),
            (0.5, {"model": "mine.py:Mine", "settings": {}}),
        )
        for s in range(3)
    ]
    table = comparison(records, STUDY)
    best = [row.label for row in table.rows if row.is_best("mig")]
    assert sorted(best) == ["betavae", "mine.py:Mine", "vae"]
    assert any(words in note and other["model"] in note for note in table.notes)


def accuracies(make_score, value: float, categories: int):
    confusion = [[1, 0, 0]] * categories
    return {
        "discrete_accuracy": make_score(
            "discrete_accuracy",
            value,
            parts={"one_to_one": value / 2},
            details={"factors": {"shape": {"confusion": confusion}}},
        )
    }


def test_accuracies_of_different_numbers_of_categories(make_record, make_score) -> None:
    models = {"vae": 3, "betavae": 3, "categoricalvae": 10}
    records = [
        make_record(accuracies(make_score, 0.1 * categories / 2 + 0.01 * s, categories), seed=s)
        if model == "betavae"
        else make_record(
            accuracies(make_score, 0.05 * categories + 0.01 * s, categories), model=model, seed=s
        )
        for model, categories in models.items()
        for s in range(3)
    ]
    table = comparison(records, STUDY)
    best = {row.label for row in table.rows if row.is_best("discrete_accuracy")}
    assert best == {"vae", "betavae"}
    assert cell(table, "categoricalvae", "discrete_accuracy.one_to_one") is None
    assert cell(table, "vae", "discrete_accuracy.one_to_one").n == 3
    # accuracies of ten categories and of three share no column, nor a bold group
    titles = [column.title for column in table.columns if "ccuracy" in column.title]
    assert titles == [
        "Accuracy, majority (3 categories)",
        "Accuracy, majority (10 categories)",
        "Accuracy, one-to-one",
    ]
    assert cell(table, "categoricalvae", "discrete_accuracy") is None
    assert cell(table, "categoricalvae", "discrete_accuracy (10 categories)").n == 3
    assert cell(table, "vae", "discrete_accuracy (10 categories)") is None
    chosen = comparison(records, STUDY, ["discrete_accuracy"])
    assert [column.title for column in chosen.columns] == titles[:2]
    assert cell(chosen, "categoricalvae", "discrete_accuracy (10 categories)").n == 3
    assert any("more categories than classes" in note for note in table.notes)
    assert run_rows(records)[-1]["discrete_accuracy.one_to_one"] is not None


def test_reconstructions_by_different_likelihoods_share_no_column(make_record) -> None:
    records = [
        make_record(0.1, settings={"likelihood": likelihood}, model=model, seed=s)
        for model, likelihood in (
            ("vae", "bernoulli"),
            ("betavae", "bernoulli"),
            ("infovae", "continuous_bernoulli"),
        )
        for s in range(3)
    ]
    records += [make_record(0.1, settings={}, model="mine.py:Mine")]  # as most are
    table = comparison(records, STUDY)
    titles = [column.title for column in table.columns if column.title.startswith("Recon")]
    assert titles == ["Reconstruction (bernoulli)", "Reconstruction (continuous bernoulli)"]
    other = "reconstruction (continuous bernoulli)"
    assert cell(table, "infovae", "reconstruction") is None
    assert cell(table, "infovae", other).mean == 100.0
    for label in ("vae", "betavae", "mine.py:Mine"):
        assert cell(table, label, other) is None
        assert cell(table, label, "reconstruction").mean == 100.0
    html = page(STUDY, records, records, table, frame(records))
    assert "Reconstruction (continuous bernoulli)" in html
    usual = comparison(records[:6], STUDY)
    assert [c.title for c in usual.columns if c.key == "reconstruction"] == ["Reconstruction"]


def test_udr_has_no_interval_and_no_ranks(make_record, make_score) -> None:
    records = [
        make_record({"udr": make_score("udr", 0.1 * s)}, model=model, seed=s)
        for model in ("vae", "betavae")
        for s in range(1, 4)
    ]
    table = comparison(records, STUDY)
    found = cell(table, "vae", "udr")
    assert (found.low, found.sd) == (None, pytest.approx(0.1))
    assert not any(row.standings for row in table.rows)
    assert any("UDR" in note and "no interval" in note for note in table.notes)


def test_what_five_seeds_can_show_is_said(make_record) -> None:
    values = [0.4, 0.45, 0.5, 0.55, 0.6]
    records = [make_record(v, model=m, seed=s) for m in "ab" for s, v in enumerate(values)]
    (note,) = (n for n in comparison(records, STUDY).notes if n.startswith("Differences"))
    assert "MIG 0.160 with 5 runs, 0.05 needs 41 (deviation 0.079)" in note


def test_some_columns_only(make_record, make_score) -> None:
    scores = {"mig": make_score("mig", 0.1), "sap": make_score("sap", 0.2)}
    records = [make_record(scores)]
    table = comparison(records, STUDY, ["kl_total", "sap"])
    assert [column.key for column in table.columns] == ["kl_total", "sap"]
    assert not any(note.startswith("MIG") for note in table.notes)
    assert any(note.startswith("SAP: version 1") for note in table.notes)
    with pytest.raises(UnknownNameError, match="column 'saq'|column saq"):
        comparison(records, STUDY, ["saq"])


def test_a_part_without_its_score_may_be_chosen(make_record, make_score) -> None:
    scores = {"dci_fast": make_score("dci_fast", 0.1, parts={"completeness": 0.2})}
    table = comparison([make_record(scores)], STUDY, ["dci_fast.completeness"])
    assert [column.title for column in table.columns] == ["Fast DCI completeness"]
    assert table.rows[0].cells["dci_fast.completeness"].mean == 0.2


def test_notes_are_behind_an_option_but_for_warnings(make_record) -> None:
    records = [make_record(0.1), make_record(0.2, model="vae", steps=7)]
    table = comparison(records, STUDY)
    assert "Budgets differ" in shown(table)
    assert "MIG: version 1" not in shown(table)
    assert "--notes" in shown(table)
    assert "MIG: version 1" in shown(table, notes=True)


@pytest.mark.parametrize("width", [100, 80])
def test_the_console_shows_every_number_in_its_width(make_record, make_score, width) -> None:
    def scores(votes: int, seed: int):
        return {
            "mig": make_score("mig", 0.1 + seed / 7, bins=20),
            "factorvae_score": make_score("factorvae_score", 0.5 + seed / 9, votes=votes),
            "discrete_accuracy": make_score(
                "discrete_accuracy", 0.5 + seed / 9, parts={"one_to_one": 0.4 + seed / 7}
            ),
        }

    changed = {"gamma": 30.0, "network": "factorvae"}
    records = [
        make_record(scores(10_000, s), state=state, seed=s, evaluation={"reconstruction": 1e4 * s})
        for s, state in enumerate(["done", "collapsed", "done"])
    ]
    records += [make_record(scores(500, s), seed=s, changed=changed) for s in range(3)]
    records += [make_record(None, state="interrupted", seed=9)]
    table = comparison(records, STUDY)
    console = Console(width=width, record=True, file=io.StringIO())
    console_table(table, console)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for row in table.rows:
        for column, found in zip(table.columns, row.cells.values(), strict=True):
            if found is not None:
                assert f"{found.mean:.{column.digits}f}" in text
    # Nothing is cut off: brackets of intervals close, and all titles are there.
    assert text.count("[") == text.count("]")
    assert all(word in text for column in table.columns for word in column.title.split())
    assert all(word in text for row in table.rows for word in f"{row.label} {row.runs}".split())
    assert "…" not in text
