"""`bench data`: what it lists, fetches from hosts good and bad, verifies and draws."""

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from bench.data import checks as data_checks
from bench.data import download as data_download
from bench.data import dsprites as data_dsprites
from bench.data import preview as data_preview
from bench.data.files import Place
from bench.datasets import DATASETS, Factor, Toy, cache, dsprites, dsprites_file, sprites
from bench.datasets.built_in import BUILT_IN
from bench.datasets.catalogue import CATALOGUE
from bench.datasets.entry import File, Published

NAME = "cars3d"  # whichever comes as a file: the tests give it files of their own
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
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    port: int = 0

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"


class _Handler(BaseHTTPRequestHandler):
    host: ClassVar[Host]

    def do_GET(self) -> None:
        name, asked = self.path.lstrip("/"), self.headers.get("Range")
        self.host.asked.append((name, asked))
        answer = self.host.answers.get(name)
        if answer is None:
            self.send_error(404)
            return
        start = int(re.sub(r"\D", "", asked)) if asked and answer.ranges else 0
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


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch) -> Path:
    """An empty folder, in which the cache is and the data folder may be."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cache.platformdirs, "user_cache_dir", lambda name: tmp_path / "cache")
    monkeypatch.delenv("BENCH_DATA_DIR", raising=False)
    return tmp_path


@pytest.fixture
def catalogue(monkeypatch):
    """Give NAME, or another, files in place of its own."""

    def give(*files: File, name: str = NAME, **fields: Any) -> None:
        monkeypatch.setitem(CATALOGUE, name, replace(CATALOGUE[name], files=files, **fields))

    return give


@pytest.fixture
def fetch(cli_here, here: Path):
    """The command with a data folder; the lines of its talk."""
    (here / "data").mkdir()

    def call(code: int = 0, name: str = NAME) -> list[str]:
        said = cli_here("data", "fetch", name, "--data-dir", "data")
        assert (said.code, said.out) == (code, ""), said.err
        if code:
            assert said.err.splitlines()[-1].startswith("bench: ")
        return said.err.splitlines()

    return call


def folder(here: Path) -> dict[str, bytes]:
    """What is in the folder of NAME, but for the lock."""
    files = (here / "data" / NAME).glob("*")
    return {path.name: path.read_bytes() for path in files if path.name != ".fetch.lock"}


# fetch


def test_a_file_is_fetched_once(fetch, host, catalogue, here) -> None:
    host.answers["x.bin"] = Answer(BODY)
    catalogue(File("x.bin", (host.url("x.bin"),), MD5, len(BODY)))
    lines = fetch()
    assert folder(here) == {"x.bin": BODY}
    assert lines[-1] == f"{NAME}: wrote {here}/data/{NAME}/x.bin (its md5 is right)"
    assert "licence: none stated" in lines[0]
    assert (here / "data" / NAME / "x.bin").stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert "already there" in fetch()[0]
    assert host.asked == [("x.bin", None)]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_right_file_in_the_data_folder_itself_is_left_alone(fetch, catalogue, here) -> None:
    (here / "data" / "x.bin").write_bytes(BODY)
    before = (here / "data" / "x.bin").stat()
    catalogue(File("x.bin", ("http://127.0.0.1:9/x.bin",), MD5))
    assert "x.bin is already there" in fetch()[0]
    after = (here / "data" / "x.bin").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not (here / "data" / NAME).exists()


def test_the_next_mirror_is_tried(fetch, host, catalogue, here) -> None:
    host.answers["good.bin"] = Answer(BODY)
    dead = f"http://127.0.0.1:{_closed_port()}/x.bin"
    urls = (dead, host.url("lost.bin"), host.url("good.bin"))
    catalogue(File("x.bin", urls, MD5))
    fetch()
    assert folder(here) == {"x.bin": BODY}
    assert [name for name, _ in host.asked] == ["lost.bin", "good.bin"]


def _closed_port() -> int:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.server_close()
    return server.server_port


@pytest.mark.parametrize(
    ("answer", "said", "left"),
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
def test_a_host_that_sends_something_else(fetch, host, catalogue, here, answer, said, left) -> None:
    if answer:
        host.answers["x.bin"] = answer
    catalogue(File("x.bin", (host.url("x.bin"),), MD5), File("y.bin", (host.url("y.bin"),)))
    line = fetch(code=2)[-1]
    assert f"x.bin could not be fetched (127.0.0.1: {said}" in line
    assert f"download {host.url('x.bin')} elsewhere and put it into {here}/data/{NAME}" in line
    assert "y.bin from there too" in line
    assert folder(here) == left


def test_a_file_of_another_size_is_not_even_loaded(fetch, host, catalogue, here) -> None:
    host.answers["x.bin"] = Answer(BODY)
    catalogue(File("x.bin", (host.url("x.bin"),), MD5, 299_999))
    assert "has a file of 300,000 bytes, not 299,999" in fetch(code=2)[-1]
    assert folder(here) == {}


def test_a_download_goes_on_where_it_broke_off(fetch, host, catalogue, here) -> None:
    host.answers["x.bin"] = Answer(BODY, cut=100_000)
    catalogue(File("x.bin", (host.url("x.bin"),), MD5))
    fetch(code=2)
    host.answers["x.bin"] = Answer(BODY)
    fetch()
    assert host.asked == [("x.bin", None), ("x.bin", "bytes=100000-")]
    assert folder(here) == {"x.bin": BODY}


@pytest.mark.parametrize(
    ("part", "ranges", "asked"),
    [
        (BODY[:1000], False, ["bytes=1000-"]),  # the host starts anew
        (b"x" * 1000, True, ["bytes=1000-", None]),  # of another file
        (BODY + b"x", True, ["bytes=300001-", None]),  # too long
        (BODY, True, ["bytes=300000-"]),  # whole
        (b"", True, [None]),
    ],
)
def test_what_an_earlier_call_left(fetch, host, catalogue, here, part, ranges, asked) -> None:
    host.answers["x.bin"] = Answer(BODY, ranges=ranges)
    catalogue(File("x.bin", (host.url("x.bin"),), MD5))
    (here / "data" / NAME).mkdir()
    (here / "data" / NAME / "x.bin.part").write_bytes(part)
    fetch()
    assert folder(here) == {"x.bin": BODY}
    assert [given for _, given in host.asked] == asked


def test_what_a_killed_call_left_is_swept(fetch, host, catalogue, here) -> None:
    host.answers["x.bin"] = Answer(BODY)
    catalogue(File("x.bin", (host.url("x.bin"),), MD5))
    (here / "data" / NAME).mkdir()
    (here / "data" / NAME / "tmpabcd1234").touch()
    (here / "data" / NAME / "tmpnotes.txt").write_text("mine")
    fetch()
    assert folder(here) == {"x.bin": BODY, "tmpnotes.txt": b"mine"}


def test_parts_of_two_hosts_are_not_mixed_without_a_checksum(here) -> None:
    urls = ("http://one.test/x", "http://two.test/x")
    unknown, known = File("x"), File("x", digest=MD5)
    assert len({data_download.part_of(here / "x", unknown, url) for url in urls}) == 2
    assert len({data_download.part_of(here / "x", known, url) for url in urls}) == 1


def test_a_packed_file_stays_packed(fetch, host, catalogue, here) -> None:
    host.answers["x.gz"] = Answer(BODY, encoding="gzip")
    catalogue(File("x.gz", (host.url("x.gz"),), MD5))
    fetch()
    assert folder(here) == {"x.gz": BODY}


def test_without_a_checksum_the_one_found_is_told(fetch, host, catalogue, here) -> None:
    host.answers["x.bin"] = Answer(BODY)
    catalogue(File("x.bin", (host.url("x.bin"),)))
    assert f"its sha256 is {hashlib.sha256(BODY).hexdigest()}; no checksum" in fetch()[-1]
    other = "md5:" + "0" * 32
    catalogue(File("z.bin", (host.url("x.bin"),), other, binding=False))
    assert f"its md5 is {MD5[4:]}, not {other[4:]} as first published" in fetch()[-1]
    assert folder(here) == {"x.bin": BODY, "z.bin": BODY}


@pytest.mark.parametrize("place", [f"{NAME}/x.bin", "x.bin"])
def test_a_wrong_file_is_replaced_when_the_right_one_is_there(
    fetch, host, catalogue, here, place
) -> None:
    wrong = here / "data" / place
    wrong.parent.mkdir(exist_ok=True)
    wrong.write_bytes(b"something else")
    catalogue(File("x.bin", (host.url("x.bin"),), MD5))
    assert any("it will be replaced" in line for line in fetch(code=2))
    assert wrong.read_bytes() == b"something else"
    host.answers["x.bin"] = Answer(BODY)
    fetch()
    assert wrong.read_bytes() == BODY
    assert "already there" in fetch()[0]


@pytest.mark.parametrize("digest", ["", MD5])
def test_a_web_page_under_the_name_of_the_file_is_replaced(
    fetch, host, catalogue, here, digest
) -> None:
    (here / "data" / NAME).mkdir()
    (here / "data" / NAME / "x.bin").write_bytes(PAGE)
    host.answers["x.bin"] = Answer(BODY)
    catalogue(File("x.bin", (host.url("x.bin"),), digest))
    assert "is a web page" in fetch()[0]
    assert folder(here) == {"x.bin": BODY}


@pytest.mark.parametrize("size", [None, len(BODY)])
def test_a_full_disk(fetch, host, catalogue, here, monkeypatch, size) -> None:
    host.answers["x.bin"] = Answer(BODY)
    catalogue(File("x.bin", (host.url("x.bin"),), MD5, size))
    usage = type(shutil.disk_usage("."))
    monkeypatch.setattr(data_download.shutil, "disk_usage", lambda _: usage(10**6, 10**6, 1000))
    line = fetch(code=2)[-1]
    assert "needs 300.0 kB in" in line
    assert "has 1.0 kB: free some, or choose another folder with --data-dir" in line
    assert folder(here) == {}
    assert bool(host.asked) == (size is None)  # unknown until the host tells it


def test_a_disk_that_fills_up_keeps_what_has_arrived(fetch, host, catalogue, here, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    host.answers["x.bin"] = Answer(BODY)
    catalogue(File("x.bin", (host.url("x.bin"),), MD5))
    with monkeypatch.context() as patched:
        patched.setattr(data_download.os, "fsync", full)
        assert "cannot be written (No space left on device)" in fetch(code=2)[-1]
    assert list(folder(here)) == ["x.bin.part"]
    fetch()
    assert folder(here) == {"x.bin": BODY}


@pytest.mark.parametrize("place", ["file/data", "/proc/data"])
def test_a_folder_that_cannot_be_made(cli_here, host, catalogue, here, monkeypatch, place) -> None:
    (here / "file").touch()
    catalogue(File("x.bin", (host.url("x.bin"),), MD5))
    monkeypatch.setenv("BENCH_DATA_DIR", place)
    said = cli_here("data", "fetch", NAME)
    assert said.code == 2
    assert "cannot be written" in said.err.splitlines()[-1]
    assert "choose another folder with --data-dir" in said.err.splitlines()[-1]
    assert not host.asked


def test_a_folder_that_may_not_be_written(fetch, host, catalogue, here, monkeypatch) -> None:
    def refused(self: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if "w" in mode:
            raise PermissionError(13, "Permission denied")
        return io.open(self, mode, *arguments, **options)  # noqa: UP020

    host.answers["x.bin"] = Answer(BODY)
    catalogue(File("x.bin", (host.url("x.bin"),), MD5))
    monkeypatch.setattr(Path, "open", refused)
    assert "cannot be written (Permission denied)" in fetch(code=2)[-1]
    assert folder(here) == {}


def test_two_at_once(fetch, host, catalogue, here) -> None:
    catalogue(File("x.bin", (host.url("x.bin"),), MD5))
    (here / "data" / NAME).mkdir()
    with FileLock(here / "data" / NAME / ".fetch.lock"):
        assert "another bench data fetch is at work" in fetch(code=2)[-1]
    assert not host.asked


def test_no_network(fetch, catalogue, here) -> None:
    url = f"http://127.0.0.1:{_closed_port()}/x.bin"
    catalogue(File("x.bin", (url,), MD5))
    line = fetch(code=2)[-1]
    assert "(127.0.0.1: connection refused)" in line
    assert f"download {url} elsewhere and put it into {here}/data/{NAME} as x.bin" in line
    assert folder(here) == {}


def test_what_only_a_browser_gets(fetch, host, catalogue, here) -> None:
    line = fetch(code=2, name="mpi3d_complex")[-1]
    assert "real3d_complicated_shapes_ordered.npz cannot be fetched by a program" in line
    assert "drive.google.com/file/d/1Tp8eTdHxgUMtsZv5uAoYAbJR1BOa_OQm/view in a" in line
    assert f"put it into {here}/data/mpi3d_complex" in line
    assert not (here / "data" / "mpi3d_complex").exists()
    host.answers["x.bin"] = Answer(BODY)
    catalogue(File("x.bin", (host.url("x.bin"),), MD5), File("a.txt"), File("b.txt"))
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
    said = cli_here("data", "fetch", "toy", "--data-dir", "nowhere")
    assert (said.code, said.err.count("\n")) == (0, 1)
    said = cli_here("data", "fetch", NAME, "--data-dir", "nowhere")
    assert (said.code, "nowhere is not a folder" in said.err) == (2, True)


def test_one_that_fails_does_not_keep_the_others(cli_here, host, catalogue, here) -> None:
    host.answers["x.bin"] = Answer(BODY)
    catalogue(File("x.bin", (host.url("x.bin"),), MD5))
    catalogue(File("y.bin", (host.url("y.bin"),), MD5), name="chairs3d")
    (here / "data").mkdir()
    said = cli_here("data", "fetch", "chairs3d", NAME, "--data-dir", "data")
    assert said.code == 2
    assert "chairs3d: y.bin could not be fetched" in said.err.splitlines()[-1]
    assert folder(here) == {"x.bin": BODY}


def test_a_terminal_sees_a_bar(host, here) -> None:
    from rich.console import Console

    from bench.data.progress import watched

    screen = Console(file=io.StringIO(), force_terminal=True, width=100)
    with watched("x.bin from a.host", screen) as watch:
        watch(50_000_000, 100_000_000)
    assert "50.0/100.0 MB" in screen.file.getvalue()


# the catalogue


def test_everything_in_the_registry_is_known() -> None:
    assert set(CATALOGUE) | set(BUILT_IN) == set(DATASETS)
    assert not set(CATALOGUE) & set(BUILT_IN)


def test_checksums_are_checksums_and_addresses_addresses() -> None:
    lengths = {"md5": 32, "sha256": 64}
    for name, entry in CATALOGUE.items():
        assert all((entry.licence, entry.citation, entry.title, entry.factors)), name
        for wanted in entry.files:
            for file in (wanted, *wanted.instead):
                algorithm, _, value = file.digest.partition(":")
                assert len(value) == lengths.get(algorithm, 0), file.name
                assert all(re.match(r"https?://[\w.-]+/\S+$", url) for url in file.urls)
                assert file.name == Path(file.name).name
            # who may send anything has to be checked
            assert wanted.digest or wanted.name in (
                "rendered_chairs.tar",
                "real3d_complicated_shapes_ordered.npz",
            )


# list


def test_the_list_says_what_is_where(cli_here, here) -> None:
    (here / "data" / "shapes3d").mkdir(parents=True)
    (here / "data" / "shapes3d" / "3dshapes.h5").write_bytes(BODY)
    (here / "data" / "mnist").mkdir()
    (here / "data" / "mnist" / "t10k-labels-idx1-ubyte.gz").touch()
    said = cli_here("data", "list", "--data-dir", "data", "--json")
    shown = json.loads(said.out)
    assert shown["folder"] == str(here / "data")
    cards = {card["name"]: card for card in shown["datasets"]}
    assert list(cards) == list(DATASETS)
    assert cards["shapes3d"]["on_disk"].startswith("./shapes3d/3dshapes.h5 is truncated")
    assert cards["mnist"]["on_disk"] == "1 of 4 files: ./mnist"
    assert cards["celeba"]["on_disk"] == "not there"
    assert cards["celeba"]["fetch"] == "1.4 GB, 2 files by hand"
    assert cards["toy"]["on_disk"] == "drawn by the suite"
    assert cards["digits"]["on_disk"] == "in scikit-learn"
    assert cards["dsprites"]["licence"] == "Apache-2.0"
    table = cli_here("data", "list", "--data-dir", "data")
    assert (table.code, table.err) == (0, "")
    lines = table.out.splitlines()
    assert [line.split()[0] for line in lines if re.match(r"\w+ {2}", line)] == list(DATASETS)
    card = cli_here("data", "list", "shapes3d", "--data-dir", "data").out
    for part in ("Burgess & Kim 2018", "sha256:0a0f6ed9", "https://storage", "floor_hue 10"):
        assert part in card
    assert "did you mean" in cli_here("data", "list", "mnst").err


@pytest.mark.parametrize("command", ["list", "fetch", "verify", "preview"])
def test_help_has_examples(cli_here, command: str) -> None:
    assert f"bench data {command} " in cli_here("data", command, "--help").out
    assert command in cli_here("data", "--help").out


# verify


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_is_built_in_is_what_it_was(cli_here, name: str) -> None:
    said = cli_here("data", "verify", name)
    assert said.code == 0, said.out
    assert said.out.count("ok ") == 2


def test_what_is_built_in_and_changed(cli_here, monkeypatch) -> None:
    images = Toy.images
    monkeypatch.setattr(Toy, "images", lambda self, rows: images(self, rows) ^ np.uint8(1))
    said = cli_here("data", "verify", "toy")
    assert said.code == 1
    assert said.out.splitlines()[1].startswith("DIFFERS  images and classes")
    assert said.out.splitlines()[-1] == "toy: 1 of the findings differ"


def idx(values: np.ndarray) -> bytes:
    return (
        bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes() + values.tobytes()
    )


@pytest.fixture
def small_mnist(catalogue, monkeypatch, here) -> Path:
    """A small MNIST in the official format, and a catalogue to match."""
    from bench.datasets import mnist

    rng = np.random.default_rng(0)
    counts = {"train": 40, "t10k": 20}
    content, files, place = {}, [], here / "data" / "mnist"
    place.mkdir(parents=True)
    pixels = rng.integers(256, size=(40, 28, 28), dtype=np.uint8)
    for part, count in counts.items():
        for kind, values in (
            ("images-idx3", pixels[:count]),
            ("labels-idx1", (np.arange(count) % 10).astype(np.uint8)),
        ):
            name, data = f"{part}-{kind}-ubyte", idx(values)
            content[name] = hashlib.sha256(data).hexdigest()
            (place / name).write_bytes(data)
            plain = File(name, digest=f"sha256:{content[name]}", size=len(data))
            files.append(File(f"{name}.gz", ("http://a.test/x",), MD5, instead=(plain,)))
    monkeypatch.setattr(mnist, "COUNTS", counts)
    monkeypatch.setitem(mnist.CONTENT, "mnist", content)
    mean, deviation = pixels.mean() / 255, pixels.std() / 255
    within = np.mean([image.std(ddof=1) for image in pixels]) / 255
    catalogue(
        *files,
        name="mnist",
        counts=(60,),
        training=40,
        per_class=(4, 4),
        published=Published((mean,), (deviation,), (within,), tolerance=1e-9, image_size=28),
    )
    return place


def test_right_files_are_verified(cli_here, small_mnist) -> None:
    said = cli_here("data", "verify", "mnist", "--data-dir", "data")
    assert said.code == 0, said.out
    assert said.out.count("ok ") == 8 + 4 + 3
    assert said.out.splitlines()[-1] == "mnist: all is as it should be"


def test_a_wrong_file_is_found(cli_here, small_mnist) -> None:
    path = small_mnist / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    said = cli_here("data", "verify", "mnist", "--data-dir", "data")
    assert said.code == 1
    assert re.search(rf"^DIFFERS  {path}: sha256 \w+, not \w+$", said.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"counts": (61,)}, "images: 60 (published 61)"),
        ({"training": 41}, "images to train on: 40 (published 41)"),
        ({"per_class": (3, 4)}, "4 to 4 (published 3 to 4)"),
        ({"published": Published((0.4,), image_size=28)}, "mean of 40 images"),
        (
            {"published": Published((0.5,), (0.2,), tolerance=0.02, image_size=28)},
            "deviation of 40 images",
        ),
    ],
)
def test_other_numbers_than_published_are_found(
    cli_here, small_mnist, catalogue, fields, said
) -> None:
    catalogue(*CATALOGUE["mnist"].files, name="mnist", **fields)
    answer = cli_here("data", "verify", "mnist", "--data-dir", "data")
    assert answer.code == 1
    differing = [line for line in answer.out.splitlines() if line.startswith("DIFFERS")]
    assert len(differing) == 1
    assert said in differing[0]


def test_missing_files(cli_here, small_mnist) -> None:
    (small_mnist / "t10k-labels-idx1-ubyte").unlink()
    said = cli_here("data", "verify", "mnist", "--data-dir", "data")
    assert (said.code, said.out) == (2, "")
    assert said.err == (
        "bench: mnist: t10k-labels-idx1-ubyte.gz or t10k-labels-idx1-ubyte is missing: put it into "
        f"{small_mnist}, or `bench data fetch mnist` downloads it\n"
    )
    said = cli_here("data", "verify", "celeba", "--data-dir", "data")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "did you mean mnist" in cli_here("data", "verify", "minst").err


def test_statistics_of_a_part_and_of_colours() -> None:
    class Colours(Toy):
        def images(self, rows: Any) -> np.ndarray:
            grey = super().images(rows)
            return np.concatenate([grey, grey // 2, 255 - grey], axis=1)

    data = Colours()
    data.image_shape = (3, 32, 32)
    rows = np.flatnonzero(data.values(range(576))[:, 0] == 2)
    x = data.images(rows) / 255
    mean, deviation = tuple(x.mean((0, 2, 3))), tuple(x.std((0, 2, 3)))
    within = tuple(x.std((2, 3), ddof=1).mean(0))
    published = Published(mean, deviation, within, tolerance=1e-12, only=("shape", (2,)))
    found = list(data_checks.statistics_checks(data, published, lambda done, total: None))
    assert [check.holds for check in found] == [True] * 3
    published = replace(published, only=("shape", (1,)))
    found = list(data_checks.statistics_checks(data, published, lambda done, total: None))
    assert [check.holds for check in found] == [False] * 3


@pytest.mark.parametrize(
    ("file", "holds", "said"),
    [
        (File("x.gz", digest=MD5, size=1, content=hashlib.sha256(BODY).hexdigest()), [True], "sha"),
        (File("x.gz", digest=MD5, size=1, content="0" * 64), [False, False], "bytes, not 1"),
        (File("x.gz"), [None, None], "none is published"),
        (File("x.gz", digest=MD5, binding=False), [None, None], "as first published"),
        (File("x.gz", digest=MD5), [None, False], f"not {MD5[4:]}"),
        (File("x.gz", folder=True), [False], "is no folder"),
    ],
)
def test_what_a_file_is_checked_for(here, file, holds, said) -> None:
    (here / "x.gz").write_bytes(gzip.compress(BODY))
    found = list(data_checks.file_checks(Place(file, file, here / "x.gz")))
    assert [check.holds for check in found] == holds
    assert any(said in check.what for check in found)


def test_labels_of_a_grid() -> None:
    class Swapped(Toy):
        def rows(self, values: Any) -> np.ndarray:
            return super().rows(values)[::-1]

    entry = replace(CATALOGUE[NAME], counts=(576,))
    for data, holds in ((Toy(), [True, True]), (Swapped(), [True, False])):
        assert [check.holds for check in data_checks.label_checks(data, entry)] == holds


SIZES = (3, 6, 4, 3, 2)
COUNT = 432


@pytest.fixture
def official(here, monkeypatch, catalogue):
    """Write a small official dSprites file; `change` gets images, classes and values before."""
    factors = [
        Factor(f.name, size, f.kind, f.values[:size])
        for f, size in zip(dsprites.FACTORS, SIZES, strict=True)
    ]
    classes = np.stack(np.unravel_index(np.arange(COUNT), SIZES), axis=1)
    drawn = sprites.unpack(sprites.render(classes))
    white = int(drawn.sum())
    monkeypatch.setattr(dsprites, "FACTORS", tuple(factors))
    monkeypatch.setattr(data_dsprites, "WHITE", white)
    monkeypatch.setattr(data_dsprites, "DRAWN_WHITE", white)
    monkeypatch.setattr(
        data_dsprites, "IMAGE_DEVIATION", float(drawn.reshape(COUNT, -1).std(1, ddof=1).mean())
    )
    monkeypatch.setattr(sprites, "SHA256", hashlib.sha256(drawn.tobytes()).hexdigest())
    (here / "data").mkdir()

    def write(change: Any = None) -> Path:
        values = np.stack([np.array(f.values)[c] for f, c in zip(factors, classes.T, strict=True)])
        arrays = {
            "imgs": drawn.copy(),
            "latents_classes": np.insert(classes, 0, 0, axis=1).astype("<i8"),
            "latents_values": np.ascontiguousarray(np.insert(values.T, 0, 1.0, axis=1)),
        }
        if change:
            change(**{key.removeprefix("latents_"): array for key, array in arrays.items()})
        path = here / "data" / dsprites_file.NAME
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for key, array in arrays.items():
                with archive.open(f"{key}.npy", "w") as member:
                    np.lib.format.write_array(member, array, version=(1, 0))
        md5 = hashlib.md5(path.read_bytes()).hexdigest()
        catalogue(File(path.name, digest=f"md5:{md5}"), name="dsprites")
        return path

    return write


def _differing(said) -> list[str]:
    return [line[9:] for line in said.out.splitlines() if line.startswith("DIFFERS")]


def test_dsprites_file_is_compared_with_the_renderer(cli_here, official) -> None:
    official()
    said = cli_here("data", "verify", "dsprites", "--data-dir", "data")
    assert said.code == 0, said.out
    assert "images that differ from the renderer: 0 of 432, by 0 pixels" in said.out
    assert said.out.count("ok ") == 1 + 2 + 4


def _a_few_pixels(imgs: np.ndarray, **labels: np.ndarray) -> None:
    imgs[7, 0, :2] = 1
    imgs[9, 0, 5] = 1


def _many_pixels(imgs: np.ndarray, **labels: np.ndarray) -> None:
    imgs[7, 0, :3] = 1


def _a_swap(imgs: np.ndarray, **labels: np.ndarray) -> None:
    imgs[[0, 431]] = imgs[[431, 0]]


def _bright(imgs: np.ndarray, **labels: np.ndarray) -> None:
    imgs *= 255


def _classes(classes: np.ndarray, **others: np.ndarray) -> None:
    classes[[3, 4]] = classes[[4, 3]]


def _values(values: np.ndarray, **others: np.ndarray) -> None:
    values[:, 3] += 1e-6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_a_few_pixels, ["white pixels", "mean deviation"]),
        (_many_pixels, ["white pixels", "mean deviation", "images that differ"]),
        (_a_swap, ["images that differ"]),
        (_bright, ["pixels other than 0 and 1"]),
        (_classes, ["latents/classes of 432 images: 2 differ"]),
        (_values, ["latents/values of 432 images: 432 differ"]),
    ],
)
def test_a_dsprites_file_that_differs(cli_here, official, change, said) -> None:
    official(change)
    answer = cli_here("data", "verify", "dsprites", "--data-dir", "data")
    assert answer.code == 1
    found = _differing(answer)
    assert len(found) == len(said)
    assert all(line.startswith(start) for line, start in zip(found, said, strict=True))


def test_too_many_images_of_dsprites_differ(cli_here, official, monkeypatch) -> None:
    official(_a_few_pixels)
    monkeypatch.setattr(data_dsprites, "MOST_IMAGES", 1)
    answer = cli_here("data", "verify", "dsprites", "--data-dir", "data")
    assert "images that differ from the renderer: 2 of 432, by 3 pixels, at most 2" in answer.out
    assert len(_differing(answer)) == 3


def test_a_damaged_dsprites_file(cli_here, official) -> None:
    path = official()
    path.write_bytes(path.read_bytes()[:-200])
    said = cli_here("data", "verify", "dsprites", "--data-dir", "data")
    assert said.code == 1
    assert any("md5" in line for line in _differing(said))
    assert any("is damaged" in line for line in _differing(said))


def test_without_a_dsprites_file_the_renderer_is_verified(cli_here, official, monkeypatch) -> None:
    said = cli_here("data", "verify", "dsprites", "--data-dir", "data")
    assert said.code == 0, said.out
    assert "sha256 of 432 images drawn" in said.out
    monkeypatch.setattr(sprites, "SHA256", "0" * 64)
    assert cli_here("data", "verify", "dsprites", "--data-dir", "data").code == 1


# preview


def test_a_factor_a_row(here) -> None:
    data = Toy()
    strips = data_preview.strips(data)
    assert [strip.name for strip in strips] == ["shape", "size", "posX", "posY"]
    for column, strip in enumerate(strips):
        values = data.values(strip.rows)
        assert values[:, column].tolist() == list(range(data.sizes[column]))
        assert (np.delete(values, column, axis=1) == np.delete(values[:1], column, axis=1)).all()
    assert strips[0].words == ("square", "disc", "cross")
    columns = [len(strip.rows) for strip in data_preview.strips(DATASETS["dsprites"]())]
    assert columns == [3, 6, 10, 10, 10]


def test_the_picture_has_the_pixels_of_the_data(cli_here, here) -> None:
    said = cli_here("data", "preview", "toy")
    assert (said.code, said.err) == (0, "wrote preview-toy.png\n")
    with Image.open(here / "preview-toy.png") as picture:
        shown = np.asarray(picture.convert("RGB")).astype(int)
    data = Toy()
    first = data.images(data_preview.strips(data)[3].rows)[2, 0]
    large = first.repeat(4, axis=0).repeat(4, axis=1)
    # somewhere in the picture, dot by dot
    windows = np.lib.stride_tricks.sliding_window_view(shown[..., 0], large.shape)[:, ::2]
    found = (windows[:, :, 20::40, 20::40] == large[20::40, 20::40]).all(axis=(2, 3))
    assert any((windows[at] == large).all() for at in map(tuple, np.argwhere(found)))


def test_classes_only_are_shown_class_by_class() -> None:
    data = DATASETS["digits"]()
    strips = data_preview.strips(data)
    assert [strip.name for strip in strips] == [f"class {k}" for k in range(10)]
    for k, strip in enumerate(strips):
        assert len(set(strip.rows.tolist())) == 10
        assert (data.values(strip.rows)[:, 0] == k).all()


MINE = """
import numpy as np
from bench.datasets import Factor, LabelledData

class Mine(LabelledData):
    '''Mine (no paper).'''
    def __init__(self, *, image_size: int = 32) -> None:
        words = ("no", "yes")
        self.factors = tuple(
            Factor(name, 2, "categorical", (0.0, 1.0), words) for name in ("hat", "smile")
        )
        self.image_shape = (3, image_size, image_size)
        self.labels = np.array([[0, 0], [0, 1], [1, 0]] * 9)
        self.source, self.fingerprint = "mine", "mine-1"

    def images(self, rows):
        return np.full((len(rows), *self.image_shape), 200, np.uint8)
"""


def test_somebodys_own_data_without_a_grid(cli_here, here) -> None:
    (here / "mine.py").write_text(MINE)
    said = cli_here("data", "preview", "./mine.py:Mine", "--set", "./mine.py:Mine.image_size=64")
    assert said.code == 0, said.err
    with Image.open(here / "preview-Mine.png") as picture:
        assert picture.size[0] > 10 * 128
    strips = data_preview.strips(sys.modules["bench_plugin_mine"].Mine())
    assert [strip.name for strip in strips] == ["hat", "smile"]
    for column, strip in enumerate(strips):
        values = np.array([[0, 0], [0, 1], [1, 0]] * 9)[strip.rows]
        wanted = ["no", "yes"]
        assert [wanted[k] for k in values[:, column]] == list(strip.words)
        assert set(strip.words) == {"no", "yes"}


@pytest.mark.parametrize("suffix", ["pdf", "svg"])
def test_other_kinds_of_picture(cli_here, here, suffix: str) -> None:
    starts = {"pdf": b"%PDF", "svg": b"<?xml"}
    for name in ("one", "two"):
        assert cli_here("data", "preview", "toy", "--output", f"{name}.{suffix}").code == 0
    one, two = ((here / f"{name}.{suffix}").read_bytes() for name in ("one", "two"))
    assert one.startswith(starts[suffix])
    assert one == two


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("toys",), "did you mean toy"),
        (("toy", "--output", "toy.jpg"), "ends in .png, .pdf, .svg"),
        (("toy", "--output", "/proc/toy.png"), "cannot be written"),
        (("toy", "--set", "toy.size=3"), "unknown setting of toy 'size'"),
        (("toy", "--set", "digits.image_size=32"), "unknown owner in --set 'digits'"),
        (("toy", "--set", "toy.image_size=7"), "image_size must be 28 to 128"),
        (("shapes3d",), "3dshapes.h5 is missing: put it into"),
        (("./mine.py:Mine",), "no such file"),
    ],
)
def test_a_preview_that_cannot_be(cli_here, here, arguments, said) -> None:
    answer = cli_here("data", "preview", *arguments)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert said in answer.err
    assert not list(here.iterdir())
