"""`bench data list`: what it says of data sets, of their files and of plug-ins."""

import json
import re
from importlib.metadata import EntryPoint

import pytest

from bench import registry
from bench.datasets import DATASETS
from bench.datasets.dsprites import NPZ

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def cards(cli_here, here):
    """The cards of all data sets by name; the data folder is `data`."""
    (here / "data").mkdir()

    def call() -> dict[str, dict[str, object]]:
        listed = json.loads(cli_here("data", "list", "--data-dir", "data", "--json").out)
        return {card["name"]: card for card in listed["datasets"]}

    return call


def test_the_list_says_what_is_where(cli_here, cards, here) -> None:
    (here / "data" / "shapes3d").mkdir()
    (here / "data" / "shapes3d" / "3dshapes.h5").write_bytes(b"a few bytes")
    (here / "data" / "mnist").mkdir()
    (here / "data" / "mnist" / "t10k-labels-idx1-ubyte.gz").touch()
    listed = cli_here("data", "list", "--data-dir", "data", "--json")
    assert json.loads(listed.out)["folder"] == str(here / "data")
    by_name = cards()
    assert list(by_name) == list(DATASETS)
    assert by_name["shapes3d"]["on_disk"].startswith("./shapes3d/3dshapes.h5 is truncated")
    assert by_name["mnist"]["on_disk"] == "1 of 4 files: ./mnist"
    assert by_name["celeba"]["on_disk"] == "not there"
    assert by_name["celeba"]["fetch"] == "1.4 GB, 2 files by hand"
    assert by_name["mpi3d_complex"]["fetch"] == "by hand"
    assert by_name["toy"]["on_disk"] == "drawn by the suite"
    assert by_name["toy"]["fetch"] == "nothing needed"
    assert by_name["digits"]["on_disk"] == "in scikit-learn"
    assert by_name["dsprites"]["licence"] == "Apache-2.0"
    assert by_name["dsprites"]["on_disk"] == "no file: drawn by the suite"
    table = cli_here("data", "list", "--data-dir", "data")
    assert (table.code, table.err) == (0, "")
    lines = table.out.splitlines()
    assert [line.split()[0] for line in lines if re.match(r"\w+ {2}", line)] == list(DATASETS)


def test_with_a_name_it_says_all_that_is_known(cli_here, here) -> None:
    card = cli_here("data", "list", "shapes3d").out
    for part in ("Burgess & Kim 2018", "sha256:0a0f6ed9", "https://storage", "floor_hue 10"):
        assert part in card
    assert "shape 3, size 3, posX 8, posY 8" in cli_here("data", "list", "toy").out
    assert "did you mean" in cli_here("data", "list", "mnst").err


def test_what_is_made_of_a_file_says_so(cards, here) -> None:
    (here / "data" / "dsprites").mkdir()
    (here / "data" / "dsprites" / NPZ).touch()
    by_name = cards()
    assert by_name["color_dsprites"]["on_disk"] == f"made of ./dsprites/{NPZ}"
    assert by_name["dsprites"]["on_disk"] == "./dsprites"
    assert by_name["rooms3d"]["on_disk"] == "drawn by the suite"


PLUGIN = """
from bench.datasets import Toy
from bench.datasets.entry import Entry

class Mine(Toy):
    entry = Entry("mine", "Mine", factors="shape 3", counts=(576,), licence="CC0", origin="mine")
"""


def test_plug_ins_are_listed_and_a_broken_one_does_not_hide_the_others(
    cards, here, monkeypatch
) -> None:
    (here / "plugin_of_mine.py").write_text(PLUGIN)
    installed = [
        EntryPoint("mine", "plugin_of_mine:Mine", "bench.datasets"),
        EntryPoint("broken", "no_such_plugin:Broken", "bench.datasets"),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: installed)
    monkeypatch.syspath_prepend(str(here))
    by_name = cards()
    assert list(by_name) == [*DATASETS, "mine", "broken"]
    assert (by_name["mine"]["on_disk"], by_name["mine"]["licence"]) == ("mine", "CC0")
    assert "cannot import no_such_plugin" in by_name["broken"]["on_disk"]


@pytest.mark.parametrize("command", ["list", "fetch", "verify", "preview"])
def test_help_has_examples(cli_here, command: str) -> None:
    assert f"bench data {command} " in cli_here("data", command, "--help").out
    assert command in cli_here("data", "--help").out
