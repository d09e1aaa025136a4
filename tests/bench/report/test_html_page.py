"""report.html: what stands on it, and that nothing in a record can harm it."""

import base64
import hashlib
import itertools
import json
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from bench.errors import RequestError
from bench.report.columns import shown, shown_study
from bench.report.frame import frame
from bench.report.html import explorer as explorer_module
from bench.report.html import page as page_module
from bench.report.html.page import page
from bench.report.html.texts import script_json, without_folders
from bench.report.table import comparison
from bench.report.write import FILES, PAGE, write_report, write_studies
from bench.store.files import read_weights, write_arrays, write_weights
from bench.store.record import Record, read_records
from bench.store.study import read_study
from tests.bench.report.conftest import HOSTILE, STUDY

REFERENCE = Path(__file__).resolve().parents[3] / "results" / "reference"


@dataclass
class Parsed(HTMLParser):
    """A page as a browser sees it.

    Attributes:
        elements: the name of each and its attributes.
        scripts: the text of each script element, with its attributes.
        words: all other text.
    """

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    scripts: list[tuple[dict[str, str | None], str]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.inside = ""

    @classmethod
    def of(cls, text: str) -> "Parsed":
        parsed = cls()
        parsed.feed(text)
        parsed.close()
        return parsed

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data
        elif self.inside != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def data(self) -> list[dict]:
        (data,) = [t for a, t in self.scripts if a.get("type") == "application/json"]
        return json.loads(data)


Write = Callable[..., Parsed]


@pytest.fixture
def write() -> Write:
    """The page of some records, parsed."""

    def written(records: Sequence[Record], study=STUDY) -> Parsed:
        visible = shown(records)
        table = comparison(visible, study)
        return Parsed.of(page(shown_study(study), records, visible, table, frame(visible)))

    return written


@pytest.fixture
def study(finished, tmp_path: Path) -> Path:
    """A copy of the finished study."""
    return shutil.copytree(finished.folder, tmp_path / "study")


def text_of(folder: Path) -> str:
    """The page of a study, without all that a report writes beside it."""
    records, about = read_records(folder), shown_study(read_study(folder))
    visible = shown(records)
    return page(about, records, visible, comparison(visible, about), frame(visible))


def parsed(folder: Path) -> Parsed:
    return Parsed.of(text_of(folder))


def change(path: Path, **values) -> None:
    """Replace values of a JSON file of a run."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


# --- a finished study


def test_every_report_writes_it_and_names_it(study: Path) -> None:
    report = write_report(study)
    assert FILES[0] == PAGE
    assert study / PAGE in report.files
    assert report.page == study / PAGE
    before = (study / PAGE).read_bytes()
    write_report(study)
    assert (study / PAGE).read_bytes() == before, "the same records give the same page"
    assert before.decode() == text_of(study)


def test_a_finished_study_has_all_sections(study: Path) -> None:
    found = parsed(study)
    ids = [attributes["id"] for tag, attributes in found.elements if tag == "section"]
    assert ids == ["explorer", "table", "statistics", "scores", "curves", "models", "runs", "about"]
    links = {a["href"] for tag, a in found.elements if tag == "a"}
    assert {f"#{name}" for name in ids} <= links
    assert "toy, preset smoke" in found.text
    for words in (
        "20 steps of 32 images",
        "MIG",
        "95 % t interval",
        "mutual information / entropy",
    ):
        assert words in found.text
    assert "Without an explorer" not in found.text
    headings = [a for tag, a in found.elements if tag == "svg" and a.get("role") == "img"]
    assert headings
    assert all(a["aria-label"] for a in headings)


def test_nothing_is_requested_from_anywhere(study: Path) -> None:
    text = text_of(study)
    found = Parsed.of(text)
    for tag, attributes in found.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "srcset", "action", "data"):
            value = attributes.get(name) or ""
            assert value.startswith(("data:image/png;base64,", "#")) or not value, (tag, value)
    assert "://" not in re.sub(r"data:image/png;base64,[\w+/=]+", "", text)
    for word in ("fetch(", "XMLHttpRequest", "WebSocket", "import(", "url(", "@import", "eval("):
        assert word not in text


def test_its_policy_admits_its_own_script_and_nothing_else(study: Path) -> None:
    text = text_of(study)
    found = Parsed.of(text)
    (policy,) = [a["content"] for t, a in found.elements if a.get("http-equiv")]
    assert policy.startswith("default-src 'none'; img-src data:; script-src 'sha256-")
    (script,) = [text for attributes, text in found.scripts if not attributes]
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    for kind, content in (("script", script), ("style", style)):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    for tag, attributes in found.elements:  # the policy would ignore them
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")], tag


def test_the_median_run_of_each_model_has_an_explorer(study: Path) -> None:
    for value, folder in enumerate(sorted((study / "runs").glob("betavae-*"))):
        scores = json.loads((folder / "scores.json").read_text())
        scores["mig"]["value"] = 0.1 + 0.1 * value
        (folder / "scores.json").write_text(json.dumps(scores))
    models = parsed(study).data
    assert [model["title"] for model in models][0] == "betavae, seed 0"  # the lower of two
    assert len(models) == 2
    latents = models[0]["latents"]
    uses = [float(latent["use"].split()[1]) for latent in latents]
    assert uses == sorted(uses, reverse=True)
    assert [latent for latent in models[1]["latents"] if "size" in latent]
    assert len(models[0]["examples"]) == 10
    for latent in latents:
        codes = [example["code"][latent["column"]] for example in models[0]["examples"]]
        assert max(map(abs, codes)) <= latent["reach"]
        assert latent["unit"] == "prior standard deviations"


def test_a_score_without_a_median_is_no_obstacle(write: Write, make_record) -> None:
    records = [make_record(None, seed=seed) for seed in (0, 1, 2)]
    assert "betavae" in write(records).text


def test_the_same_numbers_as_in_the_table(study: Path) -> None:
    found = parsed(study)
    lines = (study / "table.md").read_text().splitlines()
    rows = list(itertools.takewhile(lambda line: line.startswith("|"), lines[4:]))
    assert len(rows) >= 2
    for line in rows:
        for cell in line.strip("|").split(" | ")[2:]:
            for part in cell.strip().split(" [")[:1]:
                assert part in found.text


def test_a_kl_decomposition_is_a_bar_per_model(write: Write, make_record, make_score) -> None:
    parts = {"mutual_information": 3.0, "total_correlation": -0.1, "dimension_wise": 1.0}
    records = [
        make_record({"kl_decomposition": make_score("kl_decomposition", 4.0, parts=parts)}, seed=s)
        for s in (0, 1)
    ]
    found = write(records)
    assert "What the nats buy" in found.text
    bars = [float(a["width"]) for t, a in found.elements if t == "rect" and a["height"] == "8"]
    assert bars == [75.0, 0.0, 25.0]
    assert "4.00 3.00 -0.10 1.00" in found.text
    assert "What the nats buy" not in write([make_record(0.5)]).text


# --- never wrong pixels: what is not sure is left out, with the reason


def reasons(folder: Path) -> str:
    return " ".join(
        re.findall(r"Without an explorer: [^.]*", parsed(folder).text.replace("\n", " "))
    )


@pytest.mark.parametrize("name", ["weights.safetensors", "samples.npz", "representation.npz"])
def test_a_run_that_lacks_a_file_has_no_explorer(name: str, study: Path) -> None:
    for folder in (study / "runs").glob("betavae-*"):
        (folder / name).unlink()
    text = parsed(study).text
    assert f"Without an explorer: betavae: {name} of its run are not in this folder" in text
    assert [model["title"].split(",")[0] for model in parsed(study).data] == ["jointvae"]


def test_weights_that_give_other_pictures_than_are_stored(study: Path) -> None:
    for folder in (study / "runs").glob("betavae-*"):
        weights = read_weights(folder / "weights.safetensors")
        last = [name for name in weights if name.startswith("decoder")][-1]
        weights[last] += 2
        write_weights(folder / "weights.safetensors", weights)
    assert "betavae: its weights give other pictures than the run has stored" in reasons(study)


@pytest.mark.parametrize("content", [b"", b"no weights"])
def test_damaged_weights(content: bytes, study: Path) -> None:
    for folder in (study / "runs").glob("betavae-*"):
        (folder / "weights.safetensors").write_bytes(content)
    assert "betavae: its weights cannot be read" in reasons(study)


def test_codes_that_are_not_finite(study: Path) -> None:
    for folder in (study / "runs").glob("betavae-*"):
        with np.load(folder / "representation.npz") as held:
            arrays = {name: held[name] for name in held.files}
        arrays["codes"][0, 0] = np.inf
        write_arrays(folder / "representation.npz", arrays)
    assert "betavae:" in reasons(study)
    assert len(parsed(study).data) == 1


def test_a_model_of_ones_own_is_drawn_without_its_code(study: Path) -> None:
    """The record names a file; the page takes the weights and imports nothing."""
    for folder in (study / "runs").glob("betavae-*"):
        change(folder / "settings.json", model="no_such_module_anywhere:Mine", code="0" * 64)
    (mine,) = [m for m in parsed(study).data if m["title"].startswith("no_such")]
    assert "without the model's own code" in mine["about"]


def test_a_model_of_ones_own_with_a_decoder_of_its_own(study: Path) -> None:
    for folder in (study / "runs").glob("betavae-*"):
        change(folder / "settings.json", model="no_such_module_anywhere:Mine", code="0" * 64)
        weights = read_weights(folder / "weights.safetensors")
        renamed = {name.replace("decoder", "drawer"): t for name, t in weights.items()}
        write_weights(folder / "weights.safetensors", renamed)
    assert "its decoder is none of the suite's networks" in reasons(study)


def test_models_without_a_decoder_and_codes_from_a_file(write: Write, make_record) -> None:
    records = [
        make_record(0.5, model="pca", steps=0),
        make_record(0.4, model="mine", steps=0, preset="entered", settings={"source": "c.npz"}),
    ]
    text = write(records).text
    assert "pca: it has no decoder" in text
    assert "mine: these are codes from a file, without a decoder" in text
    assert "No decoder of this study can be drawn here" in text


def test_weights_that_have_no_room_are_left_out(study: Path, monkeypatch) -> None:
    monkeypatch.setattr(explorer_module, "LIMIT", 1_000)
    assert "have no room on the page" in parsed(study).text
    monkeypatch.setattr(explorer_module, "LIMIT", 10**9)
    monkeypatch.setattr(explorer_module, "MODELS", 1)
    assert re.search("(jointvae|betavae): the page has room for 1 models", reasons(study))


def test_pictures_that_have_no_room_are_left_out(study: Path, monkeypatch) -> None:
    monkeypatch.setattr(page_module, "PICTURES", 10)
    found = parsed(study)
    about = "Without pictures, which the page has no room for"
    assert re.search(f"{about}: (betavae, jointvae|jointvae, betavae)", found.text)
    assert "What each latent tells of each factor" in found.text


@pytest.fixture
def no_torch(monkeypatch) -> None:
    for name in [n for n in sys.modules if n.startswith("bench.report.html.decoder")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)


def test_without_torch_the_decoders_that_are_kept_are_drawn(study: Path, no_torch) -> None:
    assert len(parsed(study).data) == 2


def test_without_torch_no_decoder_is_made(study: Path, no_torch) -> None:
    for path in study.rglob("decoder.json"):
        path.unlink()
    assert parsed(study).data == []
    assert "drawing needs torch, which is missing" in reasons(study)
    assert not list(study.rglob("decoder.json"))


def test_a_decoder_is_kept_for_the_runs_that_are_shown(study: Path) -> None:
    (first, second) = paths = sorted(study.rglob("decoder.json"))
    before, page_before = [path.read_bytes() for path in paths], text_of(study)
    first.unlink()
    second.write_text("{")
    assert text_of(study) == page_before
    assert [path.read_bytes() for path in paths] == before


def test_a_kept_decoder_is_that_of_the_weights_or_made_again(study: Path) -> None:
    path = sorted(study.rglob("decoder.json"))[0]
    weights = read_weights(path.parent / "weights.safetensors")
    encoder = next(name for name in weights if name.startswith("encoder"))
    weights[encoder] += 1  # which draws the same pictures
    write_weights(path.parent / "weights.safetensors", weights)
    before = json.loads(path.read_text())
    assert len(parsed(study).data) == 2
    after = json.loads(path.read_text())
    assert before.pop("digest") != after.pop("digest")
    assert after == before


@pytest.mark.parametrize("weights", ["</script><script>pwned=1</script>", "AAA", "é"])
def test_a_kept_decoder_that_was_changed_is_no_markup(weights: str, study: Path) -> None:
    path = sorted(study.rglob("decoder.json"))[0]
    change(path, weights=weights)
    found = parsed(study)
    assert len(found.data) == 1
    assert "its decoder.json is damaged" in found.text
    assert "pwned" not in text_of(study)


@pytest.mark.parametrize("name", ["digits-quick", "jointvae-fashionmnist"])
def test_records_of_older_versions_without_weights(name: str, tmp_path: Path) -> None:
    source = REFERENCE / name
    if not (source / "study.json").exists():
        source = next(path.parent for path in source.rglob("study.json"))
    folder = shutil.copytree(source, tmp_path / "study")
    before = (folder / "table.md").read_bytes() if (folder / "table.md").exists() else None
    write_report(folder)
    found = Parsed.of((folder / PAGE).read_text(encoding="utf-8"))
    assert found.data == []
    assert "weights.safetensors, representation.npz, samples.npz of its run are not" in found.text
    assert "What each latent tells of each factor" in found.text
    if before is not None:
        assert (folder / "table.md").read_bytes() == before


# --- bad input


def test_a_folder_without_runs_is_refused_and_gets_no_page(study: Path) -> None:
    shutil.rmtree(study / "runs")
    (study / PAGE).unlink()
    with pytest.raises(RequestError, match="holds no run yet"):
        write_report(study)
    assert not (study / PAGE).exists()


def test_a_study_whose_runs_have_all_failed(make_record, tmp_path: Path, write: Write) -> None:
    error = tmp_path / "error.txt"
    error.write_text(
        'Traceback (most recent call last):\n  File "/home/me/my work/mine.py", line 3, in f\n'
        "    raise ValueError('<b>&')\nValueError: <b>& in /home/me/data/x.npz"
    )
    records = [
        make_record(None, "failed", folder=tmp_path, message="ValueError: see /home/me/mine.py"),
        replace(make_record(None, "diverged", seed=1), evaluation=None),
    ]
    records[0] = replace(records[0], evaluation=None)
    found = write(records)
    assert "1 run failed , 1 diverged" in found.text
    assert "Runs without scores" in found.text
    assert 'File "my work/mine.py", line 3, in f' in found.text
    assert "ValueError: <b>& in x.npz" in found.text
    assert "/home/me" not in found.text
    assert "No decoder of this study can be drawn here" in found.text
    ids = [attributes["id"] for tag, attributes in found.elements if tag == "section"]
    assert "scores" not in ids
    assert "failures" in ids


def test_a_history_and_an_evaluation_that_are_not_finite(
    write: Write, make_record, tmp_path
) -> None:
    (tmp_path / "history.csv").write_text("step,loss\n1,nan\n2,inf\n3,5.0\n4,\n")
    records = [
        make_record(0.5, folder=tmp_path, evaluation={"reconstruction": float("inf")}),
        make_record(0.25, model="vae", evaluation={"kl_total": float("-inf")}),
    ]
    found = write(records)
    paths = [a["d"] for t, a in found.elements if t == "path" and "line" in (a.get("class") or "")]
    assert all("nan" not in path and "inf" not in path for path in paths)
    assert "Loss, nats" in found.text


def test_a_thousand_runs_make_a_page_of_limited_size(write: Write, make_record, make_score) -> None:
    details = {
        "mutual_information": [[0.5] * 5] * 2,
        "entropies": {f"f{k}": 1.0 for k in range(5)},
        "latents": ["z1", "z2"],
        "factors": [f"f{k}" for k in range(5)],
    }
    records = [
        make_record(
            {"mig": make_score("mig", index / 1000, details=details)}, changed={"beta": index}
        )
        for index in range(1000)
    ]
    visible = shown(records)
    text = page(STUDY, records, visible, comparison(visible, STUDY), frame(visible))
    assert len(text) < 3_000_000
    found = Parsed.of(text)
    rows = [tag for tag, _ in found.elements if tag == "tr"]
    assert len(rows) > 2_000
    assert "940 more models are in the table alone" in found.text
    assert "940 more models are left out here" in found.text


def test_the_limits_leave_a_page_of_less_than_20_megabytes() -> None:
    assert explorer_module.LIMIT * 4 / 3 + page_module.PICTURES < 18e6


def test_more_rows_than_the_page_shows(write: Write, make_record, monkeypatch) -> None:
    monkeypatch.setattr(page_module, "ROWS", 3)
    found = write([make_record(0.5, changed={"beta": index}) for index in range(5)])
    assert "Cut after 3 rows; table.csv has all" in found.text
    assert "Cut after 3 rows; runs.csv has all" in found.text


# --- names


def hostile(study: Path) -> None:
    """Put hostile texts wherever a record of a study has one."""
    change(
        study / "study.json",
        dataset=f"data {HOSTILE}",
        source=f"source {HOSTILE} /home/me/secret/x.npz",
        preset=f"preset {HOSTILE}",
        fingerprint=f"pixels {HOSTILE}",
    )
    for index, folder in enumerate(sorted((study / "runs").iterdir())):
        change(
            folder / "settings.json",
            dataset=f"data {HOSTILE}",
            preset=f"preset {HOSTILE}",
            changed={f"key {HOSTILE}": f"value {HOSTILE} {index % 2}"},
        )
        change(folder / "environment.json", device=f"cpu {HOSTILE}", commit=HOSTILE)
        text = (folder / "scores.json").read_text()
        scores = json.loads(text)
        for score in scores.values():
            score["warnings"] = [f"warning {HOSTILE}"]
            for key in ("factors", "latents"):
                if isinstance(score["details"].get(key), list):
                    score["details"][key] = [f"{n} {HOSTILE}" for n in score["details"][key]]
            entropies = score["details"].get("entropies")
            if isinstance(entropies, dict):
                renamed = {f"{n} {HOSTILE}": v for n, v in entropies.items()}
                score["details"]["entropies"] = renamed
        (folder / "scores.json").write_text(json.dumps(scores))
    failed = sorted((study / "runs").iterdir())[-1]
    change(failed / "status.json", state="failed", message=f"message {HOSTILE}")
    (failed / "error.txt").write_text(f"Traceback {HOSTILE}")
    history = failed / "history.csv"
    lines = history.read_text().splitlines()
    lines[0] += ',"term <script>pwned=1</script>"'
    history.write_text("\n".join([lines[0], *(f"{line},1.5" for line in lines[1:])]))


def test_no_name_becomes_markup(study: Path) -> None:
    plain = parsed(study)
    hostile(study)
    found = parsed(study)
    assert {tag for tag, _ in found.elements} <= {tag for tag, _ in plain.elements} | {"pre"}
    assert [a for a, _ in found.scripts if not a] == [{}]
    kinds = [attributes.get("type") for attributes, _ in found.scripts]
    assert kinds == ["text/plain"] * (len(kinds) - 2) + ["application/json", None]
    allowed = {name for _, a in plain.elements for name in a} | {"tabindex"}
    assert {name for _, a in found.elements for name in a} <= allowed
    for word in ("data", "source", "preset", "pixels", "key", "value", "warning", "message"):
        assert f"{word} {HOSTILE.splitlines()[0][:30]}" in found.text, word
    assert "/home/me" not in found.text
    titles = [model["title"] for model in found.data]
    assert any("</script>" in title for title in titles), "it is data, and comes through whole"
    assert "{{" in found.text
    assert "49" not in {word for word in found.text.split() if "{" in word}


def test_no_place_on_the_disk_stands_on_the_page(study: Path) -> None:
    text = text_of(study)
    text = re.sub(r">[\w+/=]{500,}<", "><", re.sub(r"data:image/png;base64,[\w+/=]+", "", text))
    for place in (str(study), str(study.parent), str(Path.home()), str(Path.cwd())):
        assert place not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cannot read /home/me/data/x.npz: no", "cannot read x.npz: no"),
        ("(/a/b/c.txt)", "(c.txt)"),
        ('File "/home/my name/p/q.py", line 1', 'File "p/q.py", line 1'),
        (r"C:\Users\me\x.npz is bad", "x.npz is bad"),
        (r"'C:\Users\my name\deep\x.npz'", "'deep/x.npz'"),
        (r"\\server\share\me\x", "x"),
        ("source=/srv/x/y.npz, 3", "source=y.npz, 3"),
        ("I(z; v) / H(v), 1/2, a/b/c, 3 / 4", "I(z; v) / H(v), 1/2, a/b/c, 3 / 4"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("nothing", "nothing"),
    ],
)
def test_folders_are_taken_out_of_texts(text: str, expected: str) -> None:
    assert without_folders(text) == expected


def test_json_in_a_script_ends_neither_the_script_nor_a_line() -> None:
    value = {"</script><!--": ["<script>", "\u2028\u2029", "&amp;", "'", '"', "\\", "é\x00"]}
    text = str(script_json(value))
    assert json.loads(text) == value
    assert not set("<>&'\u2028\u2029") & set(text)
    assert text.isascii()
    with pytest.raises(ValueError, match="Out of range"):
        script_json([float("nan")])


def test_no_asset_ends_its_own_element() -> None:
    for name in ("decoder.js", "explorer.js", "page.js", "style.css"):
        text = page_module.asset(name)
        assert "</" not in text
        assert "<!--" not in text
        assert text.isascii() or name != "decoder.js"


# --- what stands first


def order_of_models(text: str) -> list[str]:
    """The models in the order of their pictures and heat maps."""
    section = text[text.index('<section id="models"') : text.index('<section id="runs"')]
    return [title.split(",")[0] for title in re.findall(r"<summary>(.*?)</summary>", section)]


def test_the_best_model_comes_first(study: Path) -> None:
    for best in ("jointvae", "betavae"):
        for folder in (study / "runs").iterdir():
            scores = json.loads((folder / "scores.json").read_text())
            scores["mig"]["value"] = 0.6 if folder.name.startswith(best) else 0.1
            (folder / "scores.json").write_text(json.dumps(scores))
            change(folder / "status.json", state="done")
        assert parsed(study).data[0]["title"].startswith(best)
        assert order_of_models(text_of(study))[0] == best


def test_collapsed_runs_and_baselines_come_last(study: Path, make_record) -> None:
    records = [replace(r, status=replace(r.status, state="done")) for r in read_records(study)]
    best = next(r for r in records if r.run.model == "jointvae")
    better = {
        "mig": replace(best.scores["mig"], value=0.9),
        **{name: score for name, score in best.scores.items() if name != "mig"},
    }
    baseline = replace(best, run=replace(best.run, model="factors", steps=0), scores=better)
    collapsed = replace(
        best,
        run=replace(best.run, model="vae"),
        scores=better,
        status=replace(best.status, state="collapsed"),
    )
    visible = [*records, baseline, collapsed]
    text = page(STUDY, visible, visible, comparison(visible, STUDY), frame(visible))
    order = order_of_models(text)
    assert set(order[:2]) == {"jointvae", "betavae"}
    assert order[2:] == ["vae", "factors"]
    assert text.count('class="baseline"') > len(better), "its mean is a line in each plot"


def test_runs_that_went_wrong_stand_before_those_that_did_not_start(
    write: Write, make_record
) -> None:
    states = ["pending", "running", "interrupted", "skipped", "timeout", "out-of-memory", "failed"]
    records = [make_record(0.5, seed=99)]
    for seed, state in enumerate([*states, "diverged", "pending"]):
        records.append(make_record(None, state, seed=seed, message=f"why {seed}", evaluation={}))
    text = write(records).text
    section = text[text.index("Runs without scores") :]
    places = [section.index(f"seed {seed}: {state}") for seed, state in enumerate(states)]
    assert max(places[4:]) < min(places[:4])
    assert "seed 4: timeout at step 100: why 4" in section
    for state in states:
        assert f"{1 + (state == 'pending')} {state}" in text  # in the line on top


def test_many_failures_are_one_click_away(write: Write, make_record) -> None:
    records = [make_record(None, "failed", seed=seed, message="no") for seed in range(230)]
    found = write(records)
    assert "210 other runs" in found.text
    assert "And 30 others: runs.csv names them." in found.text
    assert found.text.count(": failed at step 100: no") == 200


# --- several studies


def test_several_studies_have_a_page_of_their_own(study: Path, tmp_path: Path) -> None:
    hostile = "b & <i>'\"c"
    other = shutil.copytree(study, tmp_path / hostile)
    for path in (study, other):
        write_report(path)
    paths = write_studies([study, other])
    assert paths[0] == tmp_path / PAGE
    text = paths[0].read_text()
    found = Parsed.of(text)
    titles = [model["title"] for model in found.data]
    assert len(titles) == 4
    first = {"study", hostile}
    assert {title.rpartition(": ")[0] for title in titles[:2]} == first, "the best of each first"
    links = [a["href"] for tag, a in found.elements if tag == "a"]
    anchors = {f"#{a['id']}" for _, a in found.elements if "id" in a}
    pages = [link for link in links if not link.startswith("#")]
    assert set(links) - set(pages) <= anchors
    assert [(tmp_path / unquote(link)).exists() for link in pages] == [True, True]
    assert "<i>" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert found.text.count("toy, preset smoke") == 2
    names = [a for tag, a in found.elements if tag == "table"]
    assert len(names) == 2


def test_the_page_of_a_study_above_others_stays(study: Path) -> None:
    inside = [shutil.copytree(study / "runs", study / name / "runs") for name in ("a", "b")]
    for runs in inside:
        shutil.copy(study / "study.json", runs.parent)
    before = (study / PAGE).read_bytes()
    paths = write_studies([runs.parent for runs in inside])
    assert study / "scores.csv" in paths
    assert (study / PAGE).read_bytes() == before
