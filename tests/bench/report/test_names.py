"""Names that people gave: in tables they are text, on one line, and without the user's folders."""

import csv
import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from bench.report.columns import one_line, shown, shown_study
from bench.report.render import console_table, latex, markdown, summary_rows
from bench.report.table import Table, comparison, run_rows
from bench.store.files import write_rows
from tests.bench.report.conftest import STUDY

HOSTILE = r"<script>a</script> $\mine$ _b_ 5 % & #1 {x} ^~ `c` **d** [l](u) a|b &lt; c_z"


@pytest.fixture
def table(make_record, make_score) -> Table:
    scores = {"mig": replace(make_score("mig", 0.5), warnings=(f"look at {HOSTILE}",))}
    return comparison([make_record(scores, model=HOSTILE)], STUDY)


def test_markdown_holds_no_markup_of_a_name(table: Table) -> None:
    text = markdown(table)
    row = text.splitlines()[4]
    escaped = (
        r"&lt;script>a&lt;/script> \$\\mine\$ \_b_ 5 % & #1 {x} ^\~ \`c\` \*\*d\*\* \[l\](u) a\|b "
        r"&amp;lt; c_z"
    )
    assert row.startswith(f"| {escaped} | 1 | 0.500 |")
    assert f"look at {escaped}" in text
    assert "<" not in text
    assert len(re.findall(r"(?<!\\)\|", row)) == len(re.findall(r"\|", text.splitlines()[3]))


def test_latex_holds_no_command_of_a_name(table: Table) -> None:
    text = latex(table)
    escaped = (
        r"$<$script$>$a$<$/script$>$ \$\textbackslash{}mine\$ \_b\_ 5 \% \& \#1 \{x\} "
        r"\textasciicircum{}\textasciitilde{} `c` **d** [l](u) a$|$b \&lt; c\_z"
    )
    text = text.replace(r"\penalty500{}", "")  # where a long word may be broken
    assert rf"{{\raggedright {escaped}\strut}} & 1 & " in text
    assert f"look at {escaped}" in text


@pytest.mark.parametrize("name", ["[b]", "*"])
def test_a_name_is_no_option_of_the_row_above(name: str, make_record) -> None:
    text = latex(comparison([make_record(0.5, model=name)], STUDY))
    assert f"    {{}}{name} & 1 &" in text


def test_csv_and_terminal_hold_the_name_itself(table: Table, make_record, tmp_path) -> None:
    write_rows(tmp_path / "table.csv", summary_rows(table))
    write_rows(tmp_path / "runs.csv", run_rows([make_record(0.5, model=HOSTILE)]))
    for path in tmp_path.iterdir():
        with path.open(newline="") as file:
            assert next(csv.DictReader(file))["model"] == HOSTILE
    out = io.StringIO()
    console_table(table, Console(file=out, width=400))
    assert "[l](u)" in out.getvalue()


def test_control_characters_reach_no_table(make_record) -> None:
    table = comparison([make_record(0.5, model="a\nb\tc\x1b[31md")], STUDY)
    assert "| a b c?\\[31md | 1 |" in markdown(table)
    assert "a b c?[31md & 1 &" in latex(table)
    out = io.StringIO()
    console_table(table, Console(file=out, width=200))
    assert "\x1b" not in out.getvalue()
    assert one_line("as it is: β, 模型") == "as it is: β, 模型"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["/home/me/mine.py:Mine", "vae"], ["mine.py:Mine", "vae"]),
        (["/home/a/m.py:M", "/home/b/m.py:M"], ["a/m.py:M", "b/m.py:M"]),
        (["/m.py:M", "m.py:M"], ["/m.py:M", "m.py:M"]),
        (["./mine.py:Mine"], ["./mine.py:Mine"]),
        ([r"C:\me\mine.py:Mine"], ["mine.py:Mine"]),
    ],
)
def test_models_are_shown_without_their_folders(names, expected, make_record) -> None:
    records = shown([make_record(0.5, model=name) for name in names])
    assert [record.run.model for record in records] == expected


def test_files_among_the_changed_settings_are_shown_without_their_folders(make_record) -> None:
    (record,) = shown([make_record(0.5, changed={"weights": "/home/me/w.pt", "beta": 2.0})])
    assert record.run.label == "betavae (weights=w.pt, beta=2)"


def test_a_record_with_plain_names_is_shown_as_it_is(make_record) -> None:
    record = make_record(0.5, changed={"beta": 2.0, "hidden": (1, 2)})
    assert shown([record])[0] is record


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("3D Shapes, official file /mnt/my data/3dshapes.h5, halved", "official file 3dshapes.h5,"),
        ("MNIST, official files in /usr/share/mnist, 28x28", "official files in mnist, 28x28"),
        (r"Own arrays in C:\Users\me\bars.npz", "Own arrays in bars.npz"),
        ("dSprites /a/b.npz; trained on rows without I(z; v) / H(v)", "dSprites b.npz; trained"),
        ("Digits of scikit-learn, 8x8", "Digits of scikit-learn, 8x8"),
    ],
)
def test_the_source_of_the_data_is_shown_without_folders(source: str, expected: str) -> None:
    study = shown_study(replace(STUDY, source=source))
    assert expected in study.source
    assert not re.search(r"(^|\s)(/|C:)\S", study.source)


def test_the_title_names_the_file_of_ones_own_data() -> None:
    path = "/home/me, too/bars.npz"
    study = shown_study(replace(STUDY, dataset=path, source=f"Own arrays in {path}"))
    assert (study.data_name, study.source) == ("bars.npz", "Own arrays in bars.npz")
