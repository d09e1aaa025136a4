"""Further tables below a comparison: sweeps, agreement, shares of variance, interquartile means."""

from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from bench.report.frame import frame
from bench.report.html.page import page
from bench.report.render import latex, markdown
from bench.report.statistics import paired, welch
from bench.report.table import Table, comparison
from bench.report.table.sections import Section
from bench.report.table.studies import classes_of, score_tables, shared_sections
from tests.bench.report.conftest import STUDY


def section(table: Table, title: str) -> Section | None:
    return next((found for found in table.sections if found.title.startswith(title)), None)


def row(found: Section, label: str) -> dict[str, str]:
    (own,) = (cells for cells in found.rows if cells[0] == label)
    return dict(zip(found.head, own, strict=True))


# --- sweeps

MIG = {1.0: (0.10, 0.30, 0.50), 2.0: (0.20, 0.41, 0.60), 4.0: (0.05, 0.26, 0.45)}
UDR = {1.0: (0.5, 0.5, 0.8), 2.0: (0.3, 0.3, 0.3), 4.0: (0.1, 0.1, 0.1)}


@pytest.fixture
def swept(make_record, make_score):
    """Three values of beta, of which the preset's has no name, and what MIG and UDR say of them."""

    def make(udr: bool = True, **fields):
        records = []
        for beta, values in MIG.items():
            for seed, value in enumerate(values):
                scores = {"mig": make_score("mig", value)}
                if udr:
                    scores["udr"] = make_score("udr", UDR[beta][seed])
                records.append(
                    make_record(
                        scores,
                        folder=Path(f"study/runs/beta{beta}-{seed}"),
                        seed=seed,
                        settings={"beta": beta},
                        changed={} if beta == 2.0 else {"beta": beta},
                        **fields,
                    )
                )
        return records

    return make


def test_every_value_of_a_sweep_is_named_also_the_presets(swept) -> None:
    labels = ["betavae (beta=1)", "betavae (beta=2)", "betavae (beta=4)"]
    table = comparison(swept(), STUDY)
    assert sorted(found.label for found in table.rows) == labels
    assert sorted(frame(swept())["label"].unique()) == labels


def test_a_setting_that_one_run_changed_is_named_in_all_rows_of_its_model(make_record) -> None:
    usual = {"beta": 2.0, "network": "dupont"}
    records = [
        make_record(0.1, settings=usual),
        make_record(0.2, settings=usual | {"beta": 8.0}, changed={"beta": 8.0}),
        make_record(0.3, settings=usual | {"network": "burgess"}, changed={"network": "burgess"}),
        make_record(0.4, model="vae", settings={"network": "dupont"}),
    ]
    assert [found.label for found in comparison(records, STUDY).rows] == [
        "betavae (beta=2, network=dupont)",
        "betavae (beta=8, network=dupont)",
        "betavae (beta=2, network=burgess)",
        "vae",
    ]


def test_what_each_value_of_a_sweep_loses(swept) -> None:
    found = section(comparison(swept(), STUDY), "Sweeps")
    assert found is not None
    assert found.head == ["Model", "Runs", "Chosen by", "MIG lost", "UDR lost"]
    assert [cells[0] for cells in found.rows] == [f"betavae (beta={v})" for v in (1, 2, 4)]
    assert [cells[2] for cells in found.rows] == ["UDR", "MIG", ""]
    assert row(found, "betavae (beta=2)")["MIG lost"] == "0.000"
    lost = paired(MIG[2.0], MIG[1.0])
    interval = f"[{lost.low:.2f}, {lost.high:.2f}]"
    # 0.10, 0.11 and 0.10: as pairs they are apart, as independent samples far from it
    assert row(found, "betavae (beta=1)")["MIG lost"] == f"{lost.mean:.3f} {interval}*"
    assert welch(MIG[2.0], MIG[1.0]).p > 0.5
    # UDR shares runs: what is lost, and no interval
    assert row(found, "betavae (beta=4)")["UDR lost"] == "0.500"
    assert not any("--metrics udr" in note for note in found.notes)
    without = section(comparison(swept(udr=False), STUDY), "Sweeps")
    assert without is not None
    assert any("bench evaluate FOLDER --metrics udr" in note for note in without.notes)


def test_paired_tests_are_those_of_scipy() -> None:
    theirs = stats.ttest_rel(MIG[2.0], MIG[1.0])
    found = paired(MIG[2.0], MIG[1.0])
    assert found.p == pytest.approx(theirs.pvalue)
    interval = theirs.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert paired([0.5] * 3, [0.5] * 3).p == 1.0
    assert paired([0.6] * 3, [0.5] * 3).p == 0.0


def test_values_of_a_sweep_are_pairs_in_the_ranking_too(swept, make_record, make_score) -> None:
    table = comparison(swept(), STUDY)
    assert [r.label for r in table.rows if r.is_best("mig")] == ["betavae (beta=2)"]
    (bold,) = (note for note in table.notes if note.startswith("Bold"))
    assert "paired t tests of values of one sweep" in bold
    # the same numbers of three models are no pairs
    models = dict(zip(MIG, ("vae", "betavae", "infovae"), strict=True))
    apart = [
        replace(r, run=replace(r.run, model=models[r.run.settings["beta"]], changed={}))
        for r in swept()
    ]
    table = comparison(apart, STUDY)
    assert all(r.is_best("mig") for r in table.rows)
    assert section(table, "Sweeps") is None
    assert not any("paired" in note for note in table.notes)


def test_a_sweep_counts_what_collapsed(swept) -> None:
    records = swept()
    records[0] = replace(records[0], status=replace(records[0].status, state="collapsed"))
    table = comparison(records, STUDY)
    found = section(table, "Sweeps")
    assert found is not None
    assert row(found, "betavae (beta=1)")["Runs"] == "3 (1 collapsed)"
    assert any(r.label == "betavae (beta=1) without collapsed" for r in table.rows)


def test_how_the_settings_were_chosen_is_a_column(swept, make_record) -> None:
    assert set(frame(swept())["tuned"]) == {"one value of a sweep over beta"}
    records = [
        make_record(0.1, preset="quick", settings={"network": "broadcast", "lr": 1e-3, "beta": 4}),
        make_record(0.1, changed={"lr": 1.0}, model="vae"),
        make_record(0.1, preset="quick", settings={"beta": 3.0}, model="betatcvae"),
        make_record(0.1, model="random", steps=0),
        make_record(0.1, model="hfsvae", preset="nobody's"),
    ]
    words = frame(records)["tuned"].drop_duplicates().tolist()
    assert "best of three by MIG" in words[0]
    assert words[1:3] == ["by the user: lr=1.0", "by another version of the preset"]
    assert frame(records)["tuned"].isna().tolist().count(True) == 2 * 4


# --- agreement and shares


def test_which_metrics_agree(make_record, make_score) -> None:
    values = {"vae": 0.1, "betavae": 0.2, "infovae": 0.3, "hfsvae": 0.4, "dipvae1": 0.5}
    records = [
        make_record({"mig": make_score("mig", v), "sap": make_score("sap", v * v)}, model=m)
        for m, v in values.items()
    ]
    # a baseline would turn the order
    records += [
        make_record({"mig": make_score("mig", 0.0), "sap": make_score("sap", 1.0)}, model="pca")
    ]
    found = section(comparison(records, STUDY), "Which metrics agree")
    assert found is not None
    assert found.head == ["Metric", "MIG"]
    assert found.rows == [["SAP", "1.00"]]
    assert "5 models" in found.notes[0]
    assert section(comparison(records[:4], STUDY), "Which metrics agree") is None


def test_what_the_scores_depend_on(swept, make_record) -> None:
    records = swept(udr=False)
    found = section(comparison(records, STUDY), "What the scores depend on")
    assert found is not None
    assert found.head == ["Score", "Settings", "Seed"]
    assert sum(map(float, found.rows[0][1:])) == pytest.approx(1, abs=0.011)
    assert "would give 0.25 to the settings" in found.notes[0]  # 2 of 8 degrees of freedom
    others = [make_record(0.1 * s, model="vae", seed=s, folder=Path(f"vae{s}")) for s in range(3)]
    both = section(comparison(records + others, STUDY), "What the scores depend on")
    assert both is not None
    assert both.head == ["Score", "Model", "Settings", "Seed"]
    assert section(comparison(others, STUDY), "What the scores depend on") is None


# --- many runs, several studies


def ten(make_record, make_score, data: str, runs: int = 10, models=("vae", "betavae", "hfsvae")):
    return [
        make_record(
            {"mig": make_score("mig", 0.2 * i + 0.01 * seed)},
            model=model,
            seed=seed,
            dataset=data,
            fingerprint=data,
            folder=Path(f"{data}/runs/{model}-{seed}"),
        )
        for i, model in enumerate(models)
        for seed in range(runs)
    ]


def test_ten_runs_have_interquartile_means(make_record, make_score) -> None:
    records = ten(make_record, make_score, "toy")
    found = section(comparison(records, STUDY), "Interquartile means")
    assert found is not None
    # of 0.00 to 0.09 the middle ones are 0.02 to 0.07
    assert row(found, "vae")["MIG"].startswith("0.045 [")
    assert "10 runs" in found.notes[0]
    table = comparison(ten(make_record, make_score, "toy", 9), STUDY)
    assert section(table, "Interquartile means") is None
    assert not any("nterquartile" in note for note in table.notes)


def test_several_studies_are_a_table_per_score(make_record, make_score) -> None:
    studies = {name: ten(make_record, make_score, name, 3) for name in ("a", "b_1", "c")}
    studies["c"] = [r for r in studies["c"] if r.run.model != "vae"]
    tables = {name: comparison(records, STUDY) for name, records in studies.items()}
    (found,) = score_tables(studies, tables)
    assert (found.title, [c.title for c in found.columns]) == ("MIG", ["a", "b_1", "c"])
    text = markdown(found)
    assert "| vae | 6 | 0.010 ± 0.010 [0.00, 0.03] | 0.010 ± 0.010 [0.00, 0.03] | – |" in text
    best = [r.label for r in found.rows if r.is_best("a")]
    assert best == ["hfsvae"]
    assert "c: toy, preset smoke." in found.notes
    assert r"b\_1" in latex(found)
    (means,) = shared_sections(frame(studies))
    assert means.title == "Interquartile means, preset smoke"
    assert [cells[0] for cells in means.rows] == ["betavae", "hfsvae"]
    assert "9 runs over 3 data sets" in means.notes[0]
    assert classes_of(list(studies.values()), frame(studies)) == {"mig": [["betavae", "hfsvae"]]}


def test_two_definitions_share_no_table_of_several_studies(make_record, make_score) -> None:
    studies = {
        name: [
            make_record({"mig": make_score("mig", 0.1 * s, bins=bins)}, seed=s, dataset=name)
            for s in range(3)
        ]
        for name, bins in (("a", 20), ("b", 10))
    }
    tables = {name: comparison(records, STUDY) for name, records in studies.items()}
    found = score_tables(studies, tables)
    assert [table.title for table in found] == ["MIG (bins=20)", "MIG (bins=10)"]
    assert [[c.key for c in table.columns] for table in found] == [["a"], ["b"]]


def test_what_is_not_alike_is_in_no_common_group(make_record, make_score) -> None:
    records = ten(make_record, make_score, "toy")
    weak = ten(make_record, make_score, "toy", models=("adagvae",))
    longer = [replace(r, run=replace(r.run, model="dipvae1", steps=7)) for r in records[:10]]
    baseline = ten(make_record, make_score, "toy", models=("pca",))
    every = [*records, *weak, *longer, *baseline]
    assert classes_of([every], frame(every)) == {
        "mig": [["vae", "betavae", "hfsvae"], ["adagvae"], ["dipvae1"]]
    }


# --- where they are shown


def test_sections_are_on_the_page_and_in_markdown(swept) -> None:
    records = swept()
    table = comparison(records, STUDY)
    text = markdown(table)
    assert "**Sweeps**" in text
    assert "| betavae (beta=2) | 3 | MIG | 0.000 | 0.300 |" in text
    html = page(STUDY, records, records, table, frame(records))
    assert 'id="statistics"' in html
    assert '<th scope="row">betavae (beta=2)</th><td class="number">3</td>' in html
    assert "Statistics: ranks, sweeps, what the scores depend on" in html


def test_a_name_in_a_section_is_text(swept) -> None:
    hostile = "<script>a</script> | **b** [c](d)"
    records = [replace(r, run=replace(r.run, model=hostile)) for r in swept()]
    table = comparison(records, STUDY)
    lines = markdown(table).split("**Sweeps**")[1].splitlines()
    assert lines[4].startswith(r"| &lt;script>a&lt;/script> \| \*\*b\*\* \[c\](d) (beta=1) |")
    assert "<script>a" not in page(STUDY, records, records, table, frame(records))
