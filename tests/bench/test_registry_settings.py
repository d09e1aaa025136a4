"""Names, settings and seeds of a request: what they become, and what is refused."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from bench import registry as resolving
from bench.datasets import Toy
from bench.errors import RequestError
from bench.metrics import mig
from bench.models import MODELS, VAE
from bench.registry import resolve
from bench.settings import Assignment, converted, parameters, parse, parse_seeds


def settings(*, n: int = 1, x: float = 0.5, on: bool = False, sizes: tuple[int, ...] = ()) -> None:
    """Something with settings of several types."""


def choose(required: int, *, kind: Literal["small", "large"] = "small", bare=3) -> None:
    """`required` is no setting; `bare` takes its type from the default."""


def value(text: str, target=settings):
    owner_key, _, rest = text.partition("=")
    return converted(Assignment("it", owner_key, rest), parameters(target))


# names


@pytest.mark.parametrize(
    ("kind", "name", "near"),
    [
        ("model", "jointvea", "did you mean jointvae"),
        ("dataset", "dsprite", "did you mean dsprites"),
        ("metric", "factorvae", "did you mean factorvae_score"),
        ("model", "zzz", "choose from vae, betavae, annealedvae, factorvae, "),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(kind, name: str, near: str) -> None:
    with pytest.raises(RequestError, match=f"unknown {kind} '{name}': {near}"):
        resolve(kind, name)


def test_names_of_the_registry() -> None:
    assert [resolve("model", name) for name in MODELS] == list(MODELS.values())
    assert resolve("dataset", "toy") is Toy
    assert resolve("metric", "mig") is mig


def test_a_name_of_unknown_kind(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def mine(): ...\n")
    assert resolving.resolve_any("mig") == [("metric", mig)]
    assert resolving.resolve_any("jointvae") == [("model", MODELS["jointvae"])]
    ((kind, target),) = resolving.resolve_any(f"{file}:mine")
    assert (kind, target.__name__) == (None, "mine")
    ((kind, _),) = resolving.resolve_any("some.npz")
    assert kind == "dataset"
    with pytest.raises(RequestError, match="unknown name 'migs': did you mean mig"):
        resolving.resolve_any("migs")


@pytest.mark.parametrize("call", [resolving.resolve_any, lambda name: resolve("model", name)])
def test_a_file_without_a_name_in_it_is_refused(call) -> None:
    with pytest.raises(RequestError, match="say which class or function in it, as mine.py:Mine"):
        call("mine.py")


def test_a_plug_in_by_file_and_by_module(tmp_path: Path, monkeypatch) -> None:
    text = "from bench.models import VAE\nclass Mine(VAE):\n    '''Mine.'''\n"
    (tmp_path / "plug_by_path.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    # In the console script the current folder is not on the path.
    monkeypatch.setattr("sys.path", [p for p in __import__("sys").path if p])
    for name in ("plug_by_path.py:Mine", f"{tmp_path}/plug_by_path.py:Mine", "plug_by_path:Mine"):
        assert issubclass(resolve("model", name), VAE)
    assert resolve("model", "bench.models:BetaVAE") is MODELS["betavae"]


def test_a_plug_in_that_is_installed(monkeypatch) -> None:
    @dataclass
    class Entry:
        name: str
        value: str

    entries = [Entry("mine", "bench.models:BetaVAE"), Entry("broken", "no_such_package:Mine")]
    monkeypatch.setattr(
        resolving, "entry_points", lambda group: entries if group == "bench.models" else []
    )
    assert resolve("model", "mine") is MODELS["betavae"]
    with pytest.raises(RequestError, match="'broken': cannot import no_such_package"):
        resolve("model", "broken")
    with pytest.raises(RequestError, match="did you mean broken"):
        resolve("model", "brokn")


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("def (", "plug.py:Mine", "cannot import plug.py .SyntaxError"),
        ("raise RuntimeError('no luck')", "plug.py:Mine", "RuntimeError: no luck"),
        ("", "plug.py:Mine", "plug.py has no 'Mine'"),
        ("", "other.py:Mine", "no such file: other.py"),
        ("", "no_such_package.mine:Mine", "ModuleNotFoundError"),
        ("", ":Mine", "cannot import"),
    ],
)
def test_a_broken_plug_in_is_one_message(tmp_path, monkeypatch, text, name, said) -> None:
    (tmp_path / "plug.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match=said):
        resolve("model", name)


# settings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n=7", 7),
        ("x=2", 2.0),
        ("x=1e-3", 1e-3),
        ("on=true", True),
        ("on=no", False),
        ("sizes=3,4", (3, 4)),
        ("sizes=(3,)", (3,)),
        ("sizes=3", (3,)),
        ("sizes=()", ()),
    ],
)
def test_a_value_has_the_type_of_the_signature(text: str, expected) -> None:
    assert value(text) == expected
    assert type(value(text)) is type(expected)


def test_a_choice_and_a_setting_without_annotation() -> None:
    assert value("kind=large", choose) == "large"
    assert value("bare=5", choose) == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("n=1.5", "it.n=1.5: input should be a valid integer"),
        ("x=much", "it.x=much: input should be a valid number"),
        ("x=nan", "it.x=nan: input should be a finite number"),
        ("x=inf", "it.x=inf: input should be a finite number"),
        ("on=perhaps", "it.on=perhaps: input should be a valid boolean"),
        ("sizes=3,x", "it.sizes=3,x: input should be a valid integer"),
        ("m=1", "unknown setting of it 'm': choose from n, x, on, sizes"),
        ("size=1", "unknown setting of it 'size': did you mean sizes?"),
    ],
)
def test_a_wrong_value_or_key_is_refused(text: str, said: str) -> None:
    with pytest.raises(RequestError) as refused:
        value(text)
    assert str(refused.value).startswith(said)


def test_a_wrong_choice_names_the_right_ones() -> None:
    with pytest.raises(RequestError, match="'small' or 'large'"):
        value("kind=medium", choose)
    with pytest.raises(RequestError, match="unknown setting"):
        value("required=1", choose)


@pytest.mark.parametrize("text", ["beta=4", "betavae.beta", "betavae.=4", ".beta=4", "a.b=", "="])
def test_an_assignment_is_owner_key_value(text: str) -> None:
    with pytest.raises(RequestError, match="write OWNER.KEY=VALUE"):
        parse("--set", [text])


def test_an_owner_may_be_a_file() -> None:
    assert parse("--set", ["./my.py:Mine.beta=a=b"]) == [
        Assignment("./my.py:Mine", "beta", "a=b"),
    ]


# seeds


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("5", [0, 1, 2, 3, 4]),
        ("1", [0]),
        ("0-4", [0, 1, 2, 3, 4]),
        ("3,7", [3, 7]),
        ("7, 3,3", [3, 7]),
        ("2-2", [2]),
        ("0-1,8-9", [0, 1, 8, 9]),
        ("123456789012,5", [5, 123456789012]),
        ("1000", list(range(1000))),
    ],
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text",
    ["0", "", "4-1", "a", "-1", "1-", "1,,2", "1001", "0-1000", "1.5", "9" * 30, "9" * 5000]
    + ["0-" + "9" * 5000, "0-999,1000-1001"],
)
def test_seeds_that_make_no_sense(text: str) -> None:
    with pytest.raises(RequestError, match=r"--seeds .*: give a number of seeds \(5\)") as refused:
        parse_seeds(text)
    assert len(str(refused.value)) < 200
