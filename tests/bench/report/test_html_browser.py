"""report.html in a browser: its pixels, sliders and tables, without an error or a request."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.build import build_model
from bench.report.write import PAGE, write_report, write_studies
from bench.store.files import read_arrays, read_weights
from bench.store.record import read_records
from tests.bench.report.conftest import HOSTILE

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# Before the page's own script: what goes wrong is kept. A browser without a screen whose clock is
# made to run ahead draws hardly a frame, so that frames come from the clock.
WATCH = """
window.requestAnimationFrame = (f) => setTimeout(() => f(performance.now()), 16);
window.cancelAnimationFrame = clearTimeout;
window.problems = [];
addEventListener("error", (e) => problems.push("error: " + e.message));
addEventListener("unhandledrejection", (e) => problems.push("rejected: " + e.reason));
addEventListener("securitypolicyviolation", (e) => problems.push("policy: " + e.blockedURI));
"""

# After it: the steps of a test, whose answer the browser prints with the page.
ANSWER = """
(async () => {
  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const frame = () => new Promise(requestAnimationFrame);
  const $ = (selector, root) => (root || document).querySelector(selector);
  const all = (selector, root) => [...(root || document).querySelectorAll(selector)];
  const move = (input, value) => {
    input.value = value;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const pixels = (canvas) => {
    const data = canvas
      .getContext("2d", { willReadFrequently: true })
      .getImageData(0, 0, canvas.width, canvas.height);
    return Array.from(data.data);
  };
  const steps = async () => { STEPS };
  let answer;
  try { answer = await steps(); } catch (error) { problems.push("test: " + error.stack); }
  const requests = performance.getEntriesByType("resource").map((entry) => entry.name);
  const block = document.createElement("pre");
  block.id = "answer";
  block.textContent = JSON.stringify({ answer, problems, requests });
  document.body.append(block);
})();
"""

Browse = Callable[..., Any]


@pytest.fixture(scope="module")
def browse(tmp_path_factory) -> Browse:
    """What JavaScript answers on a page; fails on an error, and on a request to anywhere."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"no browser is installed ({', '.join(BROWSERS)})")

    def answer(page: Path, steps: str, *, width: int = 1280) -> Any:
        folder = tmp_path_factory.mktemp("browser")
        copy = folder / PAGE
        copy.write_text(_with(page.read_text(encoding="utf-8"), steps), encoding="utf-8")
        command = [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *(f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr"),
            *("--virtual-time-budget=20000", f"--window-size={width},900", "--dump-dom"),
        ]
        ran = subprocess.run([*command, copy.as_uri()], capture_output=True, text=True, timeout=300)
        found = re.search(r'<pre id="answer">(.*?)</pre>', ran.stdout, re.DOTALL)
        assert found, f"the page gave no answer: {ran.stderr[-2000:]}"
        text = found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        held = json.loads(text)
        assert held["problems"] == []
        assert [name for name in held["requests"] if not name.startswith("data:")] == []
        assert "CONSOLE" not in ran.stderr, ran.stderr[-2000:]
        return held["answer"]

    return answer


def _with(text: str, steps: str) -> str:
    """The page with a test's scripts, which its policy admits beside its own."""
    scripts = WATCH, ANSWER.replace("STEPS", steps)
    hashes = "".join(
        f" 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    text, count = re.subn(r"(script-src '[^']+')", rf"\1{hashes}", text, count=1)
    assert count == 1
    text = text.replace("<style>", f"<script>{scripts[0]}</script><style>", 1)
    return text.replace("</body>", f"<script>{scripts[1]}</script></body>", 1)


def models_of(study: Path, titles: list[str]) -> list[tuple[Any, dict[str, np.ndarray]]]:
    """Of each title the trained model and its stored images."""
    by_title = {record.run.title: record for record in read_records(study)}
    made = []
    for title in titles:
        record = by_title[title]
        model = build_model(record.run, torch.device("cpu")).eval()
        model.load_state_dict(read_weights(record.folder / "weights.safetensors"))
        made.append((model, read_arrays(record.folder / "samples.npz")))
    return made


def images(flat: list[list[int]], shape: tuple[int, int, int]) -> np.ndarray:
    """Images (n, C, H, W) of what canvases hold, row by row with four channels."""
    channels, height, width = shape
    rgba = np.array(flat).reshape(-1, height, width, 4)
    assert (rgba[..., 3] == 255).all()
    return rgba[..., :channels].transpose(0, 3, 1, 2)


def test_every_example_is_drawn_as_the_model_draws_it(finished, browse) -> None:
    held = browse(
        finished.folder / PAGE,
        """
        const answer = [];
        const panel = explorer.panels[0], select = $("#panels select");
        for (let i = 0; i < explorer.models.length; i++) {
          select.value = i;
          select.dispatchEvent(new Event("change"));
          const drawn = [];
          for (const button of all("#panels .examples button")) {
            button.click();
            await wait(60);
            drawn.push(pixels($("#panels canvas")));
          }
          answer.push([explorer.models[i].title, drawn, $("#panels .problem").textContent]);
        }
        return answer;
        """,
    )
    assert len(held) == 2
    models = models_of(finished.folder, [title for title, _, _ in held])
    for (_, drawn, problem), (model, samples) in zip(held, models, strict=True):
        assert problem == ""
        stored = samples["reconstructions"].astype(int)
        assert np.abs(images(drawn, model.image_shape) - stored).max() <= 1


def test_sliders_and_buttons_set_the_code_that_is_drawn(finished, browse) -> None:
    held = browse(
        finished.folder / PAGE,
        """
        const answer = [], select = $("#panels select"), panel = explorer.panels[0];
        for (let i = 0; i < explorer.models.length; i++) {
          select.value = i;
          select.dispatchEvent(new Event("change"));
          const start = panel.code.slice();
          all("#panels input[type=range]").forEach((input, k) => move(input, k % 2 ? -1.5 : 2.5));
          all("#panels input[type=radio]").slice(-1).forEach((input) => input.click());
          await wait(100);
          const code = panel.code.slice(), drawn = pixels($("#panels canvas"));
          const shown = all("#panels output").map((output) => output.textContent);
          $("#panels .reset").click();
          const back = panel.code.slice();
          $("#panels .middle").click();
          const ranges = all("#panels input[type=range]");
          answer.push({ title: explorer.models[i].title, start, code, drawn, shown, back,
            middle: panel.code.slice(),
            spoken: ranges.map((range) => range.getAttribute("aria-valuetext")) });
        }
        return answer;
        """,
    )
    models = models_of(finished.folder, [each["title"] for each in held])
    for each, (model, _) in zip(held, models, strict=True):
        count, sizes = model.latents.continuous, model.latents.categorical
        assert set(each["code"][:count]) == {-1.5, 2.5}
        assert set(each["shown"]) == {"-1.50", "2.50"}
        assert each["spoken"][0] == "0.00 prior standard deviations"
        if sizes:
            assert each["code"][count:] == [*[0] * (sizes[0] - 1), 1]
        with torch.inference_mode():
            expected = model.pictures(torch.tensor([each["code"]])).numpy()
        drawn = images([each["drawn"]], model.image_shape)
        assert np.abs(drawn - np.rint(255 * expected)).max() <= 1
        assert each["back"] == each["start"]
        assert each["middle"] == [0.0] * count + [1.0, *[0.0] * (sum(sizes) - 1)][: sum(sizes)]


def test_a_traversal_plays_and_stops(finished, browse) -> None:
    held = browse(
        finished.folder / PAGE,
        """
        const panel = explorer.panels[0], button = $("#panels .play");
        const column = explorer.models[panel.index].latents[0].column;
        const places = [], labels = [button.getAttribute("aria-pressed")];
        button.click();
        for (let i = 0; i < 300; i++) { await frame(); places.push(panel.code[column]); }
        labels.push(button.getAttribute("aria-pressed"));
        button.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
        labels.push(button.getAttribute("aria-pressed"));
        const stopped = panel.code[column];
        for (let i = 0; i < 5; i++) await frame();
        return { places, labels, moved: panel.code[column] !== stopped };
        """,
    )
    assert held["labels"] == ["false", "true", "false"]
    assert not held["moved"]
    assert max(held["places"]) - min(held["places"]) > 2
    assert max(map(abs, held["places"])) <= 2.001


def test_two_models_side_by_side_show_the_same_image(finished, browse) -> None:
    held = browse(
        finished.folder / PAGE,
        """
        $("#compare").click();
        const [first, second] = explorer.panels;
        const titles = all("#panels select").map((s) => s.selectedOptions[0].textContent);
        all(".examples", $("#panels"))[0].children[3].click();
        await wait(100);
        const originals = all("#panels .original").map((image) => image.src);
        const names = all("#panels input[type=radio]").map((input) => input.name);
        $("#compare").click();
        return { titles, originals, codes: [first.code.length, second.code.length],
          open: $("#compare").getAttribute("aria-expanded"), left: all("#panels .panel").length };
        """,
    )
    assert len(set(held["titles"])) == 2
    seeds = {title[-1] for title in held["titles"]}
    if len(seeds) == 1:  # runs of one seed are scored on the same images
        assert len(set(held["originals"])) == 1
    assert held["open"] == "false"
    assert held["left"] == 1


def test_models_of_two_studies_stand_side_by_side(finished, browse, tmp_path) -> None:
    for name in ("one", "b & <i>two"):
        shutil.copytree(finished.folder, tmp_path / name)
    page = write_studies([tmp_path / "one", tmp_path / "b & <i>two"])[0]
    held = browse(
        page,
        """
        $("#compare").click();
        await wait(100);
        const titles = all("#panels select").map((s) => s.selectedOptions[0].textContent);
        const drawn = all("#panels canvas").map((canvas) => pixels(canvas).some((v) => v));
        const table = all("table.sortable")[1];
        $("button", table.tHead.rows[0].cells[2]).click();
        const order = all("[aria-sort]").map((head) => head.getAttribute("aria-sort"));
        return { titles, drawn, order, problems: all("#panels .problem").map((p) => p.hidden) };
        """,
    )
    assert {title.rpartition(": ")[0] for title in held["titles"]} == {"one", "b & <i>two"}
    assert held["drawn"] == [True, True]
    assert held["problems"] == [True, True]
    assert held["order"] == ["descending"]


def test_a_decoder_that_computes_something_else_draws_nothing(finished, browse, tmp_path) -> None:
    text = (finished.folder / PAGE).read_text(encoding="utf-8")
    data = re.search(r'(<script type="application/json" id="explorer-data">)(.*?)(</script>)', text)
    models = json.loads(data[2])
    check = np.frombuffer(base64.b64decode(models[0]["check"]), dtype=np.uint8) ^ 4
    models[0]["check"] = base64.b64encode(check.tobytes()).decode()
    models[1]["decoder"]["layers"][0]["op"] = "fold"
    changed = tmp_path / PAGE
    changed.write_text(text.replace(data[2], json.dumps(models).replace("<", "\\u003c")))
    held = browse(
        changed,
        """
        const answer = [], select = $("#panels select");
        for (const index of [0, 1]) {
          select.value = index;
          select.dispatchEvent(new Event("change"));
          move($("#panels input[type=range]"), 1);
          await wait(100);
          answer.push([$("#panels .problem").textContent, $("#panels .problem").hidden,
            pixels($("#panels canvas")).some((v) => v)]);
        }
        return answer;
        """,
    )
    assert held[0][0].startswith("This browser draws pixels that are")
    assert held[1][0] == "This decoder cannot be drawn: unknown layer: fold"
    assert [hidden for _, hidden, _ in held] == [False, False]
    assert [drawn for _, _, drawn in held] == [False, False]


def test_tables_sort_filter_and_come_in_pages(make_record, browse, tmp_path) -> None:
    from bench.report.frame import frame
    from bench.report.html.page import page
    from bench.report.table import comparison
    from tests.bench.report.conftest import STUDY

    records = [
        make_record(None if index == 7 else index % 60 / 60, changed={"beta": index})
        for index in range(120)
    ]
    path = tmp_path / PAGE
    table = comparison(records, STUDY)
    path.write_text(page(STUDY, records, records, table, frame(records)), encoding="utf-8")
    held = browse(
        path,
        """
        const table = $("table[data-name=models]"), tools = table.parentElement.previousSibling;
        const rows = () => all("tbody tr", table).filter((row) => !row.hidden);
        const names = () => rows().map((row) => row.cells[0].textContent);
        const click = (column) => $("button", table.tHead.rows[0].cells[column]).click();
        const answer = { start: names(), said: $("[role=status]", tools).textContent };
        $("button", tools).click();
        answer.all = names().length;
        click(2);
        answer.falling = names();
        answer.order = table.tHead.rows[0].cells[2].getAttribute("aria-sort");
        click(2);
        answer.rising = names();
        answer.back = table.tHead.rows[0].cells[2].getAttribute("aria-sort");
        click(0);
        answer.by_name = names();
        answer.none = table.tHead.rows[0].cells[2].getAttribute("aria-sort");
        move($("input", tools), "BETA=11");
        answer.filtered = names();
        move($("input", tools), "nothing like it");
        answer.empty = names();
        return answer;
        """,
    )
    assert len(held["start"]) == 50
    assert held["said"] == "50 of 120 models"
    assert held["all"] == 120
    values = {f"betavae (beta={k})": k % 60 / 60 for k in range(120) if k != 7}
    for order, sign in (("falling", -1), ("rising", 1)):
        numbers = [sign * values[name] for name in held[order] if name in values]
        assert numbers == sorted(numbers)
        assert held[order][-1] == "betavae (beta=7)", "a row without a value comes last"
    assert (held["order"], held["back"], held["none"]) == ("descending", "ascending", None)
    assert held["by_name"][:3] == [f"betavae (beta={k})" for k in range(3)]
    expected = {f"betavae (beta={k})" for k in (11, *range(110, 120))}
    assert set(held["filtered"]) == expected
    assert held["empty"] == []


def test_hostile_names_run_nothing(finished, browse, tmp_path) -> None:
    study = shutil.copytree(finished.folder, tmp_path / "study")
    for folder in (study / "runs").iterdir():
        path = folder / "settings.json"
        settings = json.loads(path.read_text())
        settings["changed"] = {"key": HOSTILE}
        path.write_text(json.dumps(settings))
        path = folder / "scores.json"
        scores = json.loads(path.read_text())
        factors = scores["mig"]["details"]["factors"]
        entropies = scores["mig"]["details"]["entropies"]
        scores["mig"]["details"]["factors"] = [f"{name} {HOSTILE}" for name in factors]
        renamed = {f"{name} {HOSTILE}": value for name, value in entropies.items()}
        scores["mig"]["details"]["entropies"] = renamed
        path.write_text(json.dumps(scores))
    write_report(study)
    held = browse(
        study / PAGE,
        """
        await wait(200);
        all("button").forEach((button) => button.click());
        return { pwned: typeof pwned, option: $("#panels option").textContent,
          images: all("img").filter((image) => !image.src.startsWith("data:")).length };
        """,
    )
    assert held["pwned"] == "undefined"
    assert "<script>pwned=1</script>" in held["option"]
    assert held["images"] == 0


@pytest.mark.parametrize("width", [1280, 500])  # narrower windows a browser without a head has not
def test_nothing_is_wider_than_the_window(width: int, finished, browse) -> None:
    held = browse(
        finished.folder / PAGE,
        """
        $("#compare").click();
        all("details").forEach((details) => (details.open = true));
        await wait(100);
        return [document.documentElement.scrollWidth, innerWidth];
        """,
        width=width,
    )
    assert held[0] <= held[1]
