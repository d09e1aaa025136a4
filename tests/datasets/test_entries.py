"""What is known of every data set besides its pixels, and pins of those that the suite draws."""

import re
from pathlib import Path

import pytest

from bench.data.verify import sample_checksum
from bench.datasets import DATASETS
from bench.datasets.entry import Entry

PAGE = Path(__file__).resolve().parents[2] / "docs" / "adding-a-data-set.md"

# Fingerprint and checksum of images and labels, made with the package versions of constraints.txt.
DSPRITES = "dsprites-render-1:sha256:2c612e5234d21c2b:64x64"
PINS = {
    "dsprites": (DSPRITES, "5cd399c5049c0f4f"),
    "color_dsprites": (f"color_dsprites-1:seed0:{DSPRITES}:to-64x64", "91eb3df7fc2aa38d"),
    "noisy_dsprites": (f"noisy_dsprites-1:seed0:{DSPRITES}:to-64x64", "3c1a290f33a08d96"),
    "scream_dsprites": (
        f"scream_dsprites-1:350x234-67e7467c79e9d766:seed0:{DSPRITES}:to-64x64",
        "45f4536871a58d55",
    ),
    "rooms3d": ("rooms3d-1:sha256:8ea6035e78f77327:64x64", "6cf8265211dbeefc"),
    "digits": ("digits:sha256:3ee142e7d1a79d6b:32x32", "248f5bc6042212e5"),
    "toy": ("toy-1:sha256:a0b6d67e8028a68c:32x32", "d4b71e14b29612ff"),
}


def test_an_entry_has_the_name_of_the_registry() -> None:
    assert [target.entry.name for target in DATASETS.values()] == list(DATASETS)


def test_a_data_set_comes_from_files_or_from_somewhere_else() -> None:
    for name, target in DATASETS.items():
        entry = target.entry
        assert entry.files or entry.origin, name
        assert all((entry.licence, entry.title, entry.factors, entry.counts)), name
        if entry.files:
            assert entry.citation, name
            assert entry.page.startswith("http"), name


def test_checksums_are_checksums_and_addresses_addresses() -> None:
    lengths = {"md5": 32, "sha256": 64}
    for target in DATASETS.values():
        for wanted in target.entry.files:
            for file in (wanted, *wanted.instead):
                assert len(file.checksum) == (lengths[file.algorithm] if file.digest else 0)
                assert all(re.match(r"https?://[\w.-]+/\S+$", url) for url in file.urls)
                assert file.name == Path(file.name).name
            # Hosts may send anything, so what they send has to be checked.
            assert wanted.digest or wanted.name in (
                "rendered_chairs.tar",
                "real3d_complicated_shapes_ordered.npz",
            )


def test_every_data_set_without_files_is_pinned() -> None:
    assert set(PINS) == {name for name, target in DATASETS.items() if target.entry.origin}


@pytest.mark.parametrize("name", PINS)
def test_no_pixel_of_what_is_built_in_changes_unnoticed(name: str, data_folder) -> None:
    data = DATASETS[name]()
    assert (data.fingerprint, sample_checksum(data)) == PINS[name]


def test_the_entry_of_the_page_on_new_data_sets_is_one() -> None:
    *_, code = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    entry = names["ENTRY"]
    assert isinstance(entry, Entry)
    assert len(entry.files[0].checksum) == 64
