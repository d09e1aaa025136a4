"""What differs on Windows, shown wherever the tests run: nobody here has a machine with it."""

import ast
import multiprocessing
import ntpath
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import registry, settings
from bench.errors import RequestError
from bench.executors import processes
from bench.store import files
from bench.store.claims import locked

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    p for leaf in ("bench", "models", "metrics", "datasets") for p in (ROOT / leaf).glob("**/*.py")
]


# --- paths with a drive letter


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """The paths of the plug-ins that were imported."""
    paths: list[str] = []

    def from_file(path: Path) -> Any:
        paths.append(str(path))
        return type("Module", (), {"Mine": dict})

    monkeypatch.setattr(registry, "_from_file", from_file)
    return paths


@pytest.mark.parametrize("path", [r"C:\work\mine.py", "C:/work/mine.py", r"\\host\share\mine.py"])
def test_a_plug_in_on_a_drive(path: str, opened: list[str]) -> None:
    assert registry.resolve("model", f"{path}:Mine") is dict
    assert opened == [path]


def test_a_plug_in_on_a_drive_without_the_name_of_a_class() -> None:
    with pytest.raises(RequestError, match="say which class or function in it"):
        registry.resolve("model", r"C:\work\mine.py")


def test_a_file_of_arrays_on_a_drive_is_no_address() -> None:
    made = registry.resolve("dataset", r"C:\work\mine.npz")
    assert made.args[0].name == r"C:\work\mine.npz"
    assert [kind for kind, _ in registry.resolve_any("C:/work/mine.npz")] == ["dataset"]


def test_a_setting_of_a_plug_in_on_a_drive() -> None:
    (assignment,) = settings.parse("--set", [r"C:\work\mine.py:Mine.start=4"])
    assert (assignment.owner, assignment.key) == (r"C:\work\mine.py:Mine", "start")


def test_the_folder_of_a_run_is_a_name_that_windows_allows(make_run) -> None:
    run = make_run(model=r"C:\work\mine.py:Mine", changed={"beta": 4.0, "categorical": ()})
    assert not set('<>:"/\\|?*') & set(run.folder)
    assert not run.folder.endswith((".", " "))
    assert not ntpath.isreserved(run.folder) if hasattr(ntpath, "isreserved") else True


# --- spawn


def nothing(pipe: Any) -> None:
    pipe.send(multiprocessing.get_start_method(allow_none=True))


def test_workers_are_spawned_whatever_the_system_forks(monkeypatch) -> None:
    asked = []
    get = multiprocessing.get_context
    monkeypatch.setattr(
        multiprocessing, "get_context", lambda method=None: asked.append(method) or get(method)
    )
    process, pipe = processes._spawned(nothing, "test", threads=1)
    assert pipe.poll(300)
    process.join()
    pipe.close()
    assert asked[0] == "spawn"


# --- file locks, and renaming over an open file


def test_a_lock_is_no_file_that_somebody_reads(tmp_path: Path) -> None:
    # Windows locks are mandatory: what is locked cannot be read by others
    with locked(tmp_path):
        locks = [path.name for path in tmp_path.iterdir()]
    assert all(name.startswith(".") or name.endswith(".lock") for name in locks)


@pytest.fixture
def held(monkeypatch) -> list[int]:
    """Renaming over a file fails as often as the number says: somebody has it open."""
    times = [0]
    replace = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if times[0] > 0:
            times[0] -= 1
            raise PermissionError(13, "being used by another process")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(files, "_DELAYS", (0.0, 0.0, 0.0))
    return times


def test_a_file_that_is_read_at_the_moment_is_replaced_soon_after(
    tmp_path: Path, held: list[int]
) -> None:
    path = tmp_path / "status.json"
    path.write_text("old")
    held[0] = 3
    files.write_text(path, "new")
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["status.json"]


def test_a_file_that_stays_open_is_an_error_and_whole(tmp_path: Path, held: list[int]) -> None:
    path = tmp_path / "status.json"
    path.write_text("old")
    held[0] = 9
    with pytest.raises(PermissionError):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["status.json"]


def test_what_is_read_is_closed_again(tmp_path: Path) -> None:
    path = tmp_path / "codes.npz"
    files.write_arrays(path, {"codes": np.zeros(3)})
    files.read_arrays(path)
    if Path("/proc/self/fd").exists():
        held = {os.readlink(fd) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()}
        assert str(path) not in held


# --- text


def texts_without_encoding(tree: ast.AST) -> Iterator[int]:
    """Lines that open text in whatever encoding the system has."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", None))
        named = {keyword.arg for keyword in node.keywords}
        modes = [a.value for a in node.args if isinstance(a, ast.Constant)]
        binary = any(isinstance(mode, str) and "b" in mode for mode in modes)
        is_open = (
            name == "open" and not binary and (isinstance(node.func, ast.Name) or not node.args)
        )
        if (name == "read_text" or is_open) and "encoding" not in named:
            yield node.lineno
        # our own `files.write_text(path, text)` has two arguments and writes UTF-8
        is_text = name == "write_text" and len(node.args) == 1
        if is_text and "encoding" not in named:
            yield node.lineno


def test_a_text_without_an_encoding_is_found() -> None:
    for text in ("p.read_text()", "open('a')", "p.open()", "p.write_text('x')", "open('a', 'w')"):
        assert list(texts_without_encoding(ast.parse(text))) == [1], text
    for text in ("p.read_text(encoding='utf-8')", "p.open('rb')", "files.write_text(p, 'x')"):
        assert list(texts_without_encoding(ast.parse(text))) == [], text


def test_every_text_has_an_encoding() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in SOURCES
        for line in texts_without_encoding(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_output_in_an_encoding_without_some_letters(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    factors = rng.integers(3, size=(300, 2))
    np.savez(tmp_path / "codes.npz", codes=factors + 0.1, factors=factors)
    command = [sys.executable, "-m", "bench", "evaluate", "codes.npz", "--metrics", "mig"]
    done = subprocess.run(
        [*command, "--resamples", "2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "MIG" in done.stdout


# --- what only other systems have


ELSEWHERE = {"os": {"fork", "getuid", "geteuid", "sched_getaffinity", "killpg", "setsid"}}
ELSEWHERE |= {"signal": {"SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "alarm"}}


def used_elsewhere(tree: ast.AST) -> Iterator[str]:
    """What Windows has not, but for what is only reached on other systems."""
    match tree:
        case ast.If(test=ast.Compare(left=ast.Attribute(value=ast.Name("sys"), attr="platform"))):
            return
        case ast.With(items=[ast.withitem(context_expr=ast.Call(args=[ast.Name("ImportError")]))]):
            return
        case ast.Attribute(value=ast.Name(module), attr=name) if name in ELSEWHERE.get(module, ()):
            yield f"{module}.{name}"
        case ast.Import(names=names):
            yield from sorted({"fcntl", "resource", "pwd", "termios"} & {n.name for n in names})
    for child in ast.iter_child_nodes(tree):
        yield from used_elsewhere(child)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import fcntl", ["fcntl"]),
        ("def f():\n    return -signal.SIGKILL", ["signal.SIGKILL"]),
        ("if sys.platform == 'win32': ...\nelse:\n    import fcntl", []),
        ("with suppress(ImportError):\n    import resource", []),
    ],
)
def test_what_windows_has_not_is_found(text: str, found: list[str]) -> None:
    assert list(used_elsewhere(ast.parse(text))) == found


def test_nothing_is_used_that_windows_has_not() -> None:
    found = [
        f"{path.name}: {use}"
        for path in SOURCES
        for use in used_elsewhere(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


# --- a ZIP of the repository has no links


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """The repository as a forge packs it, unpacked by a program that does not make links."""
    packed = tmp_path / "main.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for leaf in ("bench", "models", "metrics", "datasets"):
            for path in (ROOT / leaf).glob("**/*.py"):
                if not any(p.is_symlink() for p in path.relative_to(ROOT).parents):
                    archive.write(path, path.relative_to(ROOT))
        for leaf in ("models", "metrics", "datasets"):
            archive.writestr(f"bench/{leaf}", f"../{leaf}")
    folder = tmp_path / "main"
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder)
    for leaf in ("models", "metrics", "datasets"):
        shutil.rmtree(folder / "bench" / leaf, ignore_errors=True)
        (folder / "bench" / leaf).write_text(f"../{leaf}")
    return folder


def test_a_zip_of_the_repository_says_that_it_has_to_be_installed(unpacked: Path) -> None:
    libraries = [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    done = subprocess.run(
        [sys.executable, "-S", "-m", "bench", "list", "models"],
        cwd=unpacked,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(libraries)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"bench: {unpacked} is a copy of the repository without its links: install it, by "
        "`pip install --editable .` there\n"
    )
