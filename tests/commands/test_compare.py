"""`bench compare`: what differs between two studies, and where one's own model stands."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.store.files import write_json
from bench.store.record import Record, write_evaluation, write_scores, write_status
from bench.store.study import StudyRecord, write_study

STUDY = StudyRecord("toy", {}, "toy-1", "drawn", "smoke", None, {})
CENTRES = {"vae": 0.3, "betavae": 0.5, "factorvae": 0.7}
NOISE = (-0.02, -0.01, 0.0, 0.01, 0.02)

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the records of a study into a folder; its path."""

    def study(name: str, records: Sequence[Record], **fields: Any) -> str:
        folder = tmp_path / name
        write_study(folder, replace(STUDY, **fields))
        for record in records:
            run = folder / "runs" / record.run.folder
            write_json(run / "settings.json", record.run.as_dict())
            write_status(run, record.status)
            write_scores(run, record.scores)
            if record.evaluation is not None:
                write_evaluation(run, record.evaluation)
        return str(folder)

    return study


@pytest.fixture
def rows(make_record) -> Callable[..., list[Record]]:
    """Records with MIGs around a centre for each model."""

    def make(
        centres: Mapping[str, float] = CENTRES, noise: Sequence[float] = NOISE, **fields: Any
    ) -> list[Record]:
        return [
            make_record(centre + epsilon, model=model, seed=seed, **fields)
            for model, centre in centres.items()
            for seed, epsilon in enumerate(noise)
        ]

    return make


def test_a_study_is_identical_to_itself(write, rows, cli_here) -> None:
    one, other = write("a", rows()), write("b", rows())
    said = cli_here("compare", one, other)
    assert said.code == 0
    assert "15 runs in both, 15 of them identical" in said.out
    assert "the studies are identical" in said.out


def test_noise_is_no_difference(write, rows, cli_here) -> None:
    moved = {model: centre + 0.01 for model, centre in CENTRES.items()}
    said = cli_here("compare", write("a", rows()), write("b", rows(moved)))
    assert said.code == 0
    assert "0 of 12 numbers differ beyond noise" in said.out
    assert "0 of them identical" in said.out


def test_a_row_with_collapsed_runs_is_compared_with_and_without_them(
    write, rows, make_record, cli_here
) -> None:
    collapsed = [make_record(0.0, state="collapsed", model="vae", seed=k) for k in (7, 8)]
    said = cli_here("compare", write("a", [*rows(), *collapsed]), write("b", rows()), "--json")
    cells = [cell for cell in json.loads(said.out)["cells"] if cell["metric"] == "mig"]
    means = {cell["label"]: (cell["first"]["mean"], cell["second"]["mean"]) for cell in cells}
    assert means.keys() == {*CENTRES, "vae without collapsed"}
    assert means["vae"] == pytest.approx((0.3 * 5 / 7, 0.3))
    assert means["vae without collapsed"] == pytest.approx((0.3, 0.3))


def test_a_difference_is_named_and_exits_with_1(write, rows, cli_here) -> None:
    worse = rows({**CENTRES, "betavae": 0.4})
    said = cli_here("compare", write("a", rows()), write("b", worse))
    assert said.code == 1
    (line,) = (line for line in said.out.splitlines() if line.startswith("differs"))
    assert line.startswith("differs: MIG of betavae: 0.500 ± 0.016 / 0.400 ± 0.016")
    assert "difference -0.100 [-0.123, -0.077]" in line
    assert "P(second > first) 0.00" in line


def test_holm_corrects_over_the_rows_of_a_column(write, rows, cli_here) -> None:
    # p = 0.03 of one pair: beyond noise alone, and not among eight
    shift = {"betavae": 0.5265}
    alone = write("a", rows({"betavae": 0.5})), write("b", rows(shift))
    many = {f"m{i}": 0.5 for i in range(7)}
    among = write("c", rows({"betavae": 0.5, **many})), write("d", rows({**shift, **many}))
    assert cli_here("compare", *alone).code == 1
    assert cli_here("compare", *among).code == 0


def test_missing_runs_are_named(write, rows, cli_here) -> None:
    one = write("a", rows())
    other = write("b", rows({"vae": 0.3, "betavae": 0.5}, NOISE[:3]))
    said = cli_here("compare", one, other)
    assert said.code == 1
    (line,) = (line for line in said.out.splitlines() if line.startswith("only in"))
    assert line.startswith(f"only in {one}: ")
    assert "vae (seeds 3, 4)" in line
    assert "factorvae (seeds 0, 1, 2, 3, 4)" in line


def test_what_was_changed_is_said(write, rows, make_record, make_score, cli_here) -> None:
    own = {"settings": {"beta": 2.0}}
    one = write("a", rows(settings={"beta": 4.0}))
    other = rows(**own)[:-1]
    other.append(replace(rows(**own)[-1], status=replace(other[0].status, state="collapsed")))
    said = cli_here("compare", one, write("b", other, preset="quick"))
    assert said.code == 1
    assert "changed: preset of the study: smoke / quick" in said.out
    assert "changed: vae: beta 4.0 / 2.0 (seeds 0, 1, 2, 3, 4)" in said.out
    assert "changed: factorvae: done / collapsed (seeds 4)" in said.out


def test_two_definitions_are_said_and_never_compared(
    write, make_record, make_score, cli_here
) -> None:
    def records(bins: int) -> list[Record]:
        scores = [{"mig": make_score("mig", bins / 100 + e, bins=bins)} for e in NOISE]
        return [make_record(score, seed=seed) for seed, score in enumerate(scores)]

    said = cli_here("compare", write("a", records(20)), write("b", records(90)))
    assert said.code == 1
    line = "changed: definition of MIG: version 1 (bins 20) / version 1 (bins 90)"
    assert line in said.out
    assert "differs" not in said.out.replace("differ beyond", "")


def test_two_runs_are_not_tested(write, rows, cli_here) -> None:
    one, other = rows(noise=NOISE[:2]), rows({**CENTRES, "vae": 0.9}, NOISE[:2])
    said = cli_here("compare", write("a", one), write("b", other))
    assert said.code == 0
    assert "0 of 0 numbers differ beyond noise" in said.out
    assert "1 of the others differs and could not be tested, for want of three runs" in said.out


def test_different_data_are_refused(write, rows, cli_here) -> None:
    other = write("b", rows(), fingerprint="toy-2")
    said = cli_here("compare", write("a", rows()), other)
    assert said.code == 2
    assert "different data" in said.err
    assert cli_here("compare", other, "nowhere").code == 2
    assert "holds no run" in cli_here("compare", other, write("c", [])).err


def test_json(write, rows, cli_here) -> None:
    worse = rows({**CENTRES, "betavae": 0.4})
    said = cli_here("compare", write("a", rows()), write("b", worse), "--json")
    found = json.loads(said.out)
    assert (said.code, found["differs"], found["shared"]) == (1, True, 15)
    (cell,) = (cell for cell in found["cells"] if cell["differs"])
    assert (cell["label"], cell["metric"]) == ("betavae", "mig")
    assert cell["p"] < 0.001
    assert cell["improvement"]["probability"] == 0.0


# one's own model among known ones


KNOWN = {"vae": 0.3, "betavae": 0.5, "factorvae": 0.7, "pca": 0.9}


def test_where_a_model_stands(write, rows, cli_here, tmp_path) -> None:
    mine = write("mine", rows({str(tmp_path / "mine.py:Mine"): 0.505}))
    known = write("known", rows(KNOWN))
    said = cli_here("compare", mine, known, "--model", str(tmp_path / "mine.py:Mine"))
    assert said.code == 0
    assert "mine.py:Mine of" in said.out
    assert "MIG: 0.505 ± 0.016 [0.49, 0.52], rank 2 to 3 of 4" in said.out
    assert "  better than: vae (1.00)" in said.out
    assert "  not separated from: betavae (0.60)" in said.out
    assert "  worse than: factorvae (0.00)" in said.out
    assert "pca" not in said.out


@pytest.mark.parametrize("name", ["./mine.py:Mine", "mine.py:Mine"])
def test_a_model_is_found_as_it_was_named(name, write, rows, cli_here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = write("known", rows(KNOWN))
    for stored in ("mine.py:Mine", "./mine.py:Mine", str(tmp_path / "mine.py:Mine")):
        mine = write(f"mine{len(stored)}", rows({stored: 0.505}))
        assert cli_here("compare", mine, known, "--model", name).code == 0


def test_a_model_that_is_not_there_or_has_two_runs(write, rows, cli_here) -> None:
    known = write("known", rows(KNOWN))
    said = cli_here("compare", known, known, "--model", "betavea")
    assert said.code == 2
    assert "betavae" in said.err
    mine = write("mine", rows({"betavae": 0.5}, NOISE[:2]))
    said = cli_here("compare", mine, known, "--model", "betavae")
    assert said.code == 2
    assert "at least 3" in said.err


def test_what_is_not_alike_is_said(write, rows, make_record, make_score, cli_here) -> None:
    scores = [
        {"mig": make_score("mig", 0.5 + e), "sap": make_score("sap", 0.5 + e, points=9)}
        for e in NOISE
    ]
    own = [make_record(s, seed=i, steps=50, model="betavae") for i, s in enumerate(scores)]
    known = rows({"vae": 0.3, "adagvae": 0.4})
    few = rows({"factorvae": 0.7}, NOISE[:2])
    other = [make_record({"sap": make_score("sap", 0.5, points=8)}, seed=9, model="vae")]
    known_folder = write("known", [*known, *few, *other])
    said = cli_here("compare", write("mine", own), known_folder, "--model", "betavae")
    assert said.code == 0
    assert "rank 1 of 3" in said.out
    assert "Not of equal supervision (none here), and yet compared: adagvae." in said.out
    assert "Not of equal budget (50 steps of 32 here), and yet compared: vae, adagvae" in said.out
    assert "SAP is not compared, as it has another definition" in said.out
    assert "fewer than 3 runs: factorvae." in said.out


def test_accuracies_of_other_numbers_of_categories(write, make_record, make_score, cli_here):
    def records(model: str, categories: int) -> list[Record]:
        details = {"factors": {"shape": {"confusion": [[1, 0, 0]] * categories}}}
        return [
            make_record(
                {"discrete_accuracy": make_score("discrete_accuracy", 0.5 + e, details=details)},
                model=model,
                seed=seed,
            )
            for seed, e in enumerate(NOISE)
        ]

    known = write("known", [*records("vae", 3), *records("categoricalvae", 10)])
    said = cli_here(
        "compare", write("mine", records("betavae", 3)), known, "--model", "betavae", "--json"
    )
    found = json.loads(said.out)
    assert found["places"][0]["of"] == 2
    assert found["places"][0]["tied"] == ["vae"]
    assert any("Not compared in accuracies" in note for note in found["notes"])
