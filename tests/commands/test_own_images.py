"""`bench run` on images of one's own: what it says, and what comes out."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

RNG = np.random.default_rng
RUN = ("--preset", "smoke", "--steps", "4", "--jobs", "1")


def test_images_without_labels_are_trained_scored_and_drawn(bench, cli_here, here) -> None:
    np.savez("plain.npz", images=RNG(0).random((120, 40, 30)))
    command = ("run", "--models", "betavae", "--dataset", "plain.npz", *RUN, "--seeds", "2")
    ran = bench(*command, cwd=here)
    assert ran.returncode == 0, ran.stderr
    assert "images: 40x30 pixels, grey, float64, 0 to 1, times 255, padded with black" in ran.stderr
    assert "no array 'factors': metrics that need factors are left out" in ran.stderr
    (line,) = [line for line in ran.stderr.splitlines() if "left out: " in line]
    assert line.startswith("  left out: mig, ")
    assert line.endswith(" (needs factors, the data have none)")
    study = here / "results" / "plain.npz-smoke-steps4"
    assert json.loads((study / "study.json").read_text())["notes"][0].startswith("images: 40x30")
    table = (study / "table.md").read_text()
    assert "Active units" in table
    assert "MIG" not in table
    for folder in (study / "runs").iterdir():
        assert {"reconstructions.png", "traversals.png"} <= {p.name for p in folder.iterdir()}
        scores = json.loads((folder / "scores.json").read_text())
        assert {"active_units", "total_correlation", "kl_decomposition"} <= scores.keys()
    assert "2 runs: 2 done, 0 to do" in cli_here(*command, "--dry-run").out


def test_a_folder_of_pictures_with_factors(bench, here) -> None:
    Path("faces").mkdir()
    lines = ["file,hair,smile,age"]
    for k in range(60):
        pixels = RNG(k).integers(0, 256, (40 + k % 3, 60, 4), dtype=np.uint8)
        Image.fromarray(pixels).save(f"faces/{k}.png")
        lines.append(f"{k}.png,{('red', 'black', '')[k % 3]},{k % 3 == 0},{k / 7 if k % 5 else ''}")
    Path("faces/factors.csv").write_text("\n".join(lines))
    command = ("run", "--models", "random,factors", "--dataset", "./faces", *RUN)
    ran = bench(*command, "--seeds", "1", "--metrics", "mig,discrete_accuracy,sap", cwd=here)
    assert ran.returncode == 0, ran.stderr
    assert "hair: categorical (words), 2 classes (black, red); 40 of 60 labelled" in ran.stderr
    assert "48 of 60 labelled, the others are NaN" in ran.stderr
    (study,) = (here / "results").iterdir()
    assert study.name == "faces-smoke-steps4"
    assert str(here) not in (study / "table.tex").read_text()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "my.npz has no array 'images' but nothing: add it"),
        ({"images": np.zeros((9, 28, 28))}, "has 9 images that are all the same"),
        ({"images": np.full((9, 28, 28), np.nan)}, "NaN or infinite pixels in the array 'images'"),
        ({"images": RNG(0).random((1, 28, 28))}, "has one image: nothing can be learned"),
        (
            {"images": RNG(0).random((9, 28, 28)), "factors": np.zeros((8, 2), dtype=int)},
            "has 'factors' of shape (8, 2) for images (9,): make the rows match",
        ),
        (
            {"images": RNG(0).random((9, 28, 28)), "factors": np.array([["a", "b"]] * 9)},
            "no metric is left for my.npz",
        ),
    ],
)
def test_files_that_cannot_be_used_are_one_line(cli_here, here, arrays, message) -> None:
    np.savez("my.npz", **arrays)
    said = cli_here("run", "--models", "vae", "--dataset", "my.npz", *RUN, "--dry-run")
    assert said.code == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert "choose from \n" not in said.err


def test_a_setting_that_own_images_do_not_have(cli_here, here) -> None:
    np.savez("my.npz", images=RNG(0).random((9, 28, 28)))
    command = ("run", "--models", "vae", "--dataset", "my.npz", *RUN, "--dry-run")
    said = cli_here(*command, "--set", "my.npz.size=64")
    assert said.code == 2
    assert "unknown setting of my.npz 'size': did you mean image_size" in said.err


def test_own_images_are_checked_and_previewed(cli_here, here) -> None:
    np.savez("plain.npz", images=RNG(0).random((50, 28, 28)))
    numbers = RNG(0).random((50, 2))
    numbers[:5, 0] = np.nan
    np.savez("numbers.npz", images=RNG(0).random((50, 28, 28)), factors=numbers)
    for name in ("plain.npz", "numbers.npz"):
        said = cli_here("check", name)
        assert said.code == 0, said.out
        assert cli_here("data", "preview", name).code == 0
        assert Path(f"preview-{name.replace('.', '-')}.png").stat().st_size > 1_000
