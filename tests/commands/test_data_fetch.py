"""`bench data fetch`: what it gets from hosts good and bad, and what it leaves on disk."""

import hashlib
import io
import os
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from filelock import FileLock
from rich.console import Console

from bench.data import fetch as data_fetch
from bench.data.progress import progress_of
from bench.datasets.entry import File

pytestmark = pytest.mark.usefixtures("here")

NAME = "cars3d"
BODY = np.random.default_rng(0).bytes(300_000)
MD5 = f"md5:{hashlib.md5(BODY).hexdigest()}"
PAGE = b"<!DOCTYPE html><title>Quota exceeded</title>"


# a host on this machine


@dataclass
class Answer:
    """What a host sends: `cut` bytes of a body that it announces as a whole."""

    body: bytes
    cut: int | None = None
    kind: str = "application/octet-stream"
    ranges: bool = True
    encoding: str = ""


@dataclass
class Host:
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    port: int = 0

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"


class _Handler(BaseHTTPRequestHandler):
    host: ClassVar[Host]

    def do_GET(self) -> None:
        name, range_ = self.path.lstrip("/"), self.headers.get("Range")
        self.host.requests.append((name, range_))
        answer = self.host.answers.get(name)
        if answer is None:
            self.send_error(404)
            return
        start = int(re.sub(r"\D", "", range_)) if range_ and answer.ranges else 0
        total = len(answer.body)
        if start >= total > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(total - start))
        self.send_header("Content-Type", answer.kind)
        if answer.encoding:
            self.send_header("Content-Encoding", answer.encoding)
        self.end_headers()
        self.wfile.write(answer.body[start : answer.cut])

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def host(monkeypatch) -> Iterator[Host]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    host = Host()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"host": host}))
    host.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield host
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def fetch(cli_here, here: Path):
    """The command with a data folder; the lines that it writes to stderr."""
    (here / "data").mkdir()

    def call(code: int = 0, name: str = NAME) -> list[str]:
        result = cli_here("data", "fetch", name, "--data-dir", "data")
        assert (result.code, result.out) == (code, ""), result.err
        if code:
            assert result.err.splitlines()[-1].startswith("bench: ")
        return result.err.splitlines()

    return call


def folder(here: Path) -> dict[str, bytes]:
    """What is in the folder of NAME, except the lock."""
    files = (here / "data" / NAME).glob("*")
    return {path.name: path.read_bytes() for path in files if path.name != ".fetch.lock"}


def test_a_file_is_fetched_once(fetch, host, give_files, here) -> None:
    host.answers["x.bin"] = Answer(BODY)
    give_files(File("x.bin", (host.url("x.bin"),), MD5, len(BODY)))
    lines = fetch()
    assert folder(here) == {"x.bin": BODY}
    assert lines[-1] == f"{NAME}: wrote {here}/data/{NAME}/x.bin (its md5 is right)"
    assert "licence: none stated" in lines[0]
    assert (here / "data" / NAME / "x.bin").stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert "already there" in fetch()[0]
    assert host.requests == [("x.bin", None)]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_right_file_in_the_data_folder_itself_is_left_alone(fetch, give_files, here) -> None:
    (here / "data" / "x.bin").write_bytes(BODY)
    before = (here / "data" / "x.bin").stat()
    give_files(File("x.bin", ("http://127.0.0.1:9/x.bin",), MD5))
    assert "x.bin is already there" in fetch()[0]
    after = (here / "data" / "x.bin").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not (here / "data" / NAME).exists()


def test_the_next_mirror_is_tried(fetch, host, give_files, here) -> None:
    host.answers["good.bin"] = Answer(BODY)
    dead = f"http://127.0.0.1:{_closed_port()}/x.bin"
    urls = (dead, host.url("lost.bin"), host.url("good.bin"))
    give_files(File("x.bin", urls, MD5))
    fetch()
    assert folder(here) == {"x.bin": BODY}
    assert [name for name, _ in host.requests] == ["lost.bin", "good.bin"]


def _closed_port() -> int:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.server_close()
    return server.server_port


@pytest.mark.parametrize(
    ("answer", "reason", "left"),
    [
        (Answer(BODY[::-1]), "sent another file: its md5 is not", {}),
        (Answer(PAGE, kind="text/html; charset=utf-8"), "answered with a web page", {}),
        (Answer(PAGE), "answered with a web page", {}),
        (
            Answer(BODY, cut=100_000),
            "broke off after 100,000 of 300,000 bytes",
            {"x.bin.part": BODY[:100_000]},
        ),
        (None, "HTTP status 404", {}),
    ],
)
def test_a_host_that_sends_something_else(
    fetch, host, give_files, here, answer, reason, left
) -> None:
    if answer:
        host.answers["x.bin"] = answer
    give_files(File("x.bin", (host.url("x.bin"),), MD5), File("y.bin", (host.url("y.bin"),)))
    line = fetch(code=2)[-1]
    assert f"x.bin could not be fetched (127.0.0.1: {reason}" in line
    assert f"download {host.url('x.bin')} elsewhere and put it into {here}/data/{NAME}" in line
    assert "y.bin from there too" in line
    assert folder(here) == left


def test_a_file_of_another_size_is_not_downloaded(fetch, host, give_files, here) -> None:
    host.answers["x.bin"] = Answer(BODY)
    give_files(File("x.bin", (host.url("x.bin"),), MD5, 299_999))
    assert "has a file of 300,000 bytes, not 299,999" in fetch(code=2)[-1]
    assert folder(here) == {}


def test_a_download_resumes_where_it_broke_off(fetch, host, give_files, here) -> None:
    host.answers["x.bin"] = Answer(BODY, cut=100_000)
    give_files(File("x.bin", (host.url("x.bin"),), MD5))
    fetch(code=2)
    host.answers["x.bin"] = Answer(BODY)
    fetch()
    assert host.requests == [("x.bin", None), ("x.bin", "bytes=100000-")]
    assert folder(here) == {"x.bin": BODY}


@pytest.mark.parametrize(
    ("part", "ranges", "requested"),
    [
        (BODY[:1000], False, ["bytes=1000-"]),  # the host starts over
        (b"x" * 1000, True, ["bytes=1000-", None]),  # part of another file
        (BODY + b"x", True, ["bytes=300001-", None]),  # too long
        (BODY, True, ["bytes=300000-"]),  # whole
        (b"", True, [None]),
    ],
)
def test_what_an_earlier_call_left(fetch, host, give_files, here, part, ranges, requested) -> None:
    host.answers["x.bin"] = Answer(BODY, ranges=ranges)
    give_files(File("x.bin", (host.url("x.bin"),), MD5))
    (here / "data" / NAME).mkdir()
    (here / "data" / NAME / "x.bin.part").write_bytes(part)
    fetch()
    assert folder(here) == {"x.bin": BODY}
    assert [range_ for _, range_ in host.requests] == requested


def test_what_a_killed_call_left_is_swept(fetch, host, give_files, here) -> None:
    host.answers["x.bin"] = Answer(BODY)
    give_files(File("x.bin", (host.url("x.bin"),), MD5))
    (here / "data" / NAME).mkdir()
    (here / "data" / NAME / "tmpabcd1234").touch()
    (here / "data" / NAME / "tmpnotes.txt").write_text("mine")
    fetch()
    assert folder(here) == {"x.bin": BODY, "tmpnotes.txt": b"mine"}


def test_parts_of_two_hosts_are_not_mixed_without_a_checksum(here) -> None:
    urls = ("http://one.test/x", "http://two.test/x")
    unknown, known = File("x"), File("x", digest=MD5)
    assert len({data_fetch.part_of(here / "x", unknown, url) for url in urls}) == 2
    assert len({data_fetch.part_of(here / "x", known, url) for url in urls}) == 1


def test_a_packed_file_stays_packed(fetch, host, give_files, here) -> None:
    host.answers["x.gz"] = Answer(BODY, encoding="gzip")
    give_files(File("x.gz", (host.url("x.gz"),), MD5))
    fetch()
    assert folder(here) == {"x.gz": BODY}


def test_without_a_published_checksum_the_computed_one_is_reported(
    fetch, host, give_files, here
) -> None:
    host.answers["x.bin"] = Answer(BODY)
    give_files(File("x.bin", (host.url("x.bin"),)))
    assert f"its sha256 is {hashlib.sha256(BODY).hexdigest()}; no checksum" in fetch()[-1]
    other = "md5:" + "0" * 32
    give_files(File("z.bin", (host.url("x.bin"),), other, binding=False))
    assert f"its md5 is {MD5[4:]}, not {other[4:]} as first published" in fetch()[-1]
    assert folder(here) == {"x.bin": BODY, "z.bin": BODY}


@pytest.mark.parametrize("place", [f"{NAME}/x.bin", "x.bin"])
def test_a_wrong_file_is_replaced_when_the_right_one_is_there(
    fetch, host, give_files, here, place
) -> None:
    wrong = here / "data" / place
    wrong.parent.mkdir(exist_ok=True)
    wrong.write_bytes(b"something else")
    give_files(File("x.bin", (host.url("x.bin"),), MD5))
    assert any("it will be replaced" in line for line in fetch(code=2))
    assert wrong.read_bytes() == b"something else"
    host.answers["x.bin"] = Answer(BODY)
    fetch()
    assert wrong.read_bytes() == BODY
    assert "already there" in fetch()[0]


@pytest.mark.parametrize("digest", ["", MD5])
def test_a_web_page_under_the_name_of_the_file_is_replaced(
    fetch, host, give_files, here, digest
) -> None:
    (here / "data" / NAME).mkdir()
    (here / "data" / NAME / "x.bin").write_bytes(PAGE)
    host.answers["x.bin"] = Answer(BODY)
    give_files(File("x.bin", (host.url("x.bin"),), digest))
    assert "is a web page" in fetch()[0]
    assert folder(here) == {"x.bin": BODY}


@pytest.mark.parametrize("size", [None, len(BODY)])
def test_a_full_disk(fetch, host, give_files, here, monkeypatch, size) -> None:
    host.answers["x.bin"] = Answer(BODY)
    give_files(File("x.bin", (host.url("x.bin"),), MD5, size))
    usage = type(shutil.disk_usage("."))
    monkeypatch.setattr(data_fetch.shutil, "disk_usage", lambda _: usage(10**6, 10**6, 1000))
    line = fetch(code=2)[-1]
    assert "needs 300.0 kB in" in line
    assert "has 1.0 kB: free some, or choose another folder with --data-dir" in line
    assert folder(here) == {}
    assert bool(host.requests) == (size is None)  # unknown until the host says it


def test_a_disk_that_fills_up_keeps_what_has_arrived(fetch, host, give_files, here, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    host.answers["x.bin"] = Answer(BODY)
    give_files(File("x.bin", (host.url("x.bin"),), MD5))
    with monkeypatch.context() as patched:
        patched.setattr(data_fetch.os, "fsync", full)
        assert "cannot be written (No space left on device)" in fetch(code=2)[-1]
    assert list(folder(here)) == ["x.bin.part"]
    fetch()
    assert folder(here) == {"x.bin": BODY}


@pytest.mark.parametrize("place", ["file/data", "/proc/data"])
def test_a_folder_that_cannot_be_created(
    cli_here, host, give_files, here, monkeypatch, place
) -> None:
    (here / "file").touch()
    give_files(File("x.bin", (host.url("x.bin"),), MD5))
    monkeypatch.setenv("BENCH_DATA_DIR", place)
    result = cli_here("data", "fetch", NAME)
    assert result.code == 2
    assert "cannot be written" in result.err.splitlines()[-1]
    assert "choose another folder with --data-dir" in result.err.splitlines()[-1]
    assert not host.requests


def test_a_folder_that_may_not_be_written(fetch, host, give_files, here, monkeypatch) -> None:
    def refused(self: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if "w" in mode:
            raise PermissionError(13, "Permission denied")
        return io.open(self, mode, *arguments, **options)  # noqa: UP020

    host.answers["x.bin"] = Answer(BODY)
    give_files(File("x.bin", (host.url("x.bin"),), MD5))
    monkeypatch.setattr(Path, "open", refused)
    assert "cannot be written (Permission denied)" in fetch(code=2)[-1]
    assert folder(here) == {}


def test_two_commands_at_once(fetch, host, give_files, here) -> None:
    give_files(File("x.bin", (host.url("x.bin"),), MD5))
    (here / "data" / NAME).mkdir()
    with FileLock(here / "data" / NAME / ".fetch.lock"):
        assert "another bench data fetch is at work" in fetch(code=2)[-1]
    assert not host.requests


def test_no_network(fetch, give_files, here) -> None:
    url = f"http://127.0.0.1:{_closed_port()}/x.bin"
    give_files(File("x.bin", (url,), MD5))
    line = fetch(code=2)[-1]
    assert "(127.0.0.1: connection refused)" in line
    assert f"download {url} elsewhere and put it into {here}/data/{NAME} as x.bin" in line
    assert folder(here) == {}


def test_files_that_only_a_browser_can_fetch(fetch, host, give_files, here) -> None:
    line = fetch(code=2, name="mpi3d_complex")[-1]
    assert "real3d_complicated_shapes_ordered.npz cannot be fetched by a program" in line
    assert "drive.google.com/file/d/1Tp8eTdHxgUMtsZv5uAoYAbJR1BOa_OQm/view in a" in line
    assert f"put it into {here}/data/mpi3d_complex" in line
    assert not (here / "data" / "mpi3d_complex").exists()
    host.answers["x.bin"] = Answer(BODY)
    give_files(File("x.bin", (host.url("x.bin"),), MD5), File("a.txt"), File("b.txt"))
    assert "a.txt and b.txt cannot be fetched" in fetch(code=2)[-1]
    assert folder(here) == {"x.bin": BODY}
    for name in ("a.txt", "b.txt"):
        (here / "data" / NAME / name).touch()
    fetch()


def test_names(cli_here, fetch, here) -> None:
    assert "nothing to fetch, it is drawn by the suite" in fetch(name="toy")[0]
    assert fetch(code=2, name="fashion_mnist") == [
        "bench: unknown dataset 'fashion_mnist': did you mean fashionmnist or mnist?"
    ]
    result = cli_here("data", "fetch", "toy", "--data-dir", "nowhere")
    assert (result.code, result.err.count("\n")) == (0, 1)
    result = cli_here("data", "fetch", NAME, "--data-dir", "nowhere")
    assert (result.code, "nowhere is not a folder" in result.err) == (2, True)


def test_one_failure_does_not_stop_the_others(cli_here, host, give_files, here) -> None:
    host.answers["x.bin"] = Answer(BODY)
    give_files(File("x.bin", (host.url("x.bin"),), MD5))
    give_files(File("y.bin", (host.url("y.bin"),), MD5), name="chairs3d")
    (here / "data").mkdir()
    result = cli_here("data", "fetch", "chairs3d", NAME, "--data-dir", "data")
    assert result.code == 2
    assert "chairs3d: y.bin could not be fetched" in result.err.splitlines()[-1]
    assert folder(here) == {"x.bin": BODY}


def test_a_terminal_sees_a_bar(host, here) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=100)
    with progress_of("x.bin from a.host", screen) as advance:
        advance(50_000_000, 100_000_000)
    assert "50.0/100.0 MB" in screen.file.getvalue()
