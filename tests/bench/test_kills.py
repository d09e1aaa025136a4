"""A study whose processes are killed again and again ends with the table of an undisturbed one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = int(os.environ.get("BENCH_KILLS", "50"))  # of each test
LIMIT = 600  # seconds: never reached but where it hangs

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="processes are forked, and found in /proc"
)

MODEL = '''
import time
from pathlib import Path

from bench.models import VAE


class Held(VAE):
    """A model of somebody's own (nobody 2024), that goes on when there is a file for its step."""

    def objective(self, x, step, generator):
        while step > 3 and not Path(f"open-{held(generator)}").exists():
            time.sleep(0.005)
        return super().objective(x, step, generator)


def held(generator):
    return SEEDS.index(generator.initial_seed())
'''

# It loads the libraries once and forks every process of the study, so that none takes seconds to
# start. Its arguments: where, how many kills, how many folders (then each has a shard).
NURSERY = '''
import contextlib, json, os, random, signal, sys, time
from multiprocessing import Pipe
from pathlib import Path

import sklearn.linear_model
import torch

import bench.encode, bench.metrics, bench.models, bench.score, bench.train.loop  # for all processes
from bench import execute as execution
from bench.cells import Selection, Shard
from bench.executors import processes
from bench.merge import merge
from bench.plan import Request, plan
from bench.report.render import markdown
from bench.report.table import comparison
from bench.store.files import write_text
from bench.store.record import read_records
from bench.store.study import read_study
from bench.streams import torch_stream

kills, folders = int(sys.argv[1]), int(sys.argv[2])
SEEDS = 6
draws = random.Random(folders)


class Forked:
    """A process as multiprocessing shows it."""

    def __init__(self, pid):
        self.pid, self.exitcode = pid, None

    def join(self):
        if self.exitcode is None:
            self.exitcode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def is_alive(self):
        if self.exitcode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.exitcode = os.waitstatus_to_exitcode(status) if pid else None
        return self.exitcode is None

    def kill(self):
        if self.is_alive():
            os.kill(self.pid, signal.SIGKILL)


def spawned(target, name, threads):
    ours, theirs = Pipe()
    pid = os.fork()
    if pid == 0:  # a process that is spawned has none of its parent's files
        with contextlib.suppress(BaseException):
            for handle in os.listdir("/proc/self/fd"):
                if int(handle) > 2 and int(handle) != theirs.fileno():
                    with contextlib.suppress(OSError):
                        os.close(int(handle))
            target(theirs)
        os._exit(1)
    theirs.close()
    return Forked(pid), ours


def table(folder, **options):
    """In the place of the report, of which it is the quickest part."""
    write_text(folder / "table.md", markdown(comparison(read_records(folder), read_study(folder))))


class Silent:
    def __enter__(self): return self
    def __exit__(self, *error): ...
    def started(self, job): ...
    def progress(self, job, progress): ...
    def ended(self, job, status): ...
    def stopping(self): ...


class NoDrawer:
    def draw(self, folder): ...
    def finish(self, at_once=False): ...


processes._spawned = spawned
execution.Drawer = NoDrawer
execution.write_report = table


def carry_out(folder, shard=None):
    made = plan(Request(models="./model.py:Held", dataset="toy", preset="smoke", steps=8,
                        seeds=str(SEEDS), metrics="mig,udr", output=Path(folder)))
    options = execution.Options(jobs=2, device="cpu", checkpoint_seconds=0,
                                selection=Selection(shard=shard))
    return execution.execute(made, options, lambda todo: Silent())


def start(number):
    """A bench run in a process of its own; its number."""
    pid = os.fork()
    if pid == 0:
        code = 2
        with contextlib.suppress(BaseException):
            os.setsid()
            alone = folders == 1
            shard = None if alone else Shard(number + 1, folders)
            outcome = carry_out("study" if alone else f"part-{number}", shard)
            code = 1 if outcome.failed else 0
        os._exit(code)
    return pid


def children(parents):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) in parents and fields[0] != "Z":
                found.append(int(path.parent.name))
    return found


def open_gates(done):
    """Each seed may go on after its share of the kills."""
    for seed in range(SEEDS):
        if done >= seed * kills / SEEDS:
            Path(f"open-{seed}").touch()


def ended(benches):
    """Take out those that have ended; their numbers and exit codes."""
    found = {}
    for number, pid in list(benches.items()):
        if os.waitpid(pid, os.WNOHANG)[0]:
            found[number] = benches.pop(number)
    return found


Path("seeds.json").write_text(json.dumps([
    torch_stream(seed, "noise", torch.device("cpu")).initial_seed() for seed in range(SEEDS)]))
model = Path("model.py")
model.write_text(model.read_text() + f"\\nSEEDS = {Path('seeds.json').read_text()}\\n")

open_gates(kills)  # undisturbed
outcome = carry_out("undisturbed")
assert not outcome.failed, outcome.failed
for seed in range(SEEDS):
    Path(f"open-{seed}").unlink()

benches, hit, began = {}, {"bench": 0, "worker": 0}, time.monotonic()
while sum(hit.values()) < kills:
    open_gates(sum(hit.values()))
    ended(benches)
    for number in range(2):
        if number not in benches:
            benches[number] = start(number)
    time.sleep(draws.uniform(0.02, 0.3))
    kind = draws.choice(["bench", "worker"])
    alive = list(benches.values())
    targets = alive if kind == "bench" else children(alive)
    if targets:
        with contextlib.suppress(ProcessLookupError):
            os.kill(draws.choice(targets), signal.SIGKILL)
            hit[kind] += 1
open_gates(kills)
seconds = time.monotonic() - began
codes, rounds = {}, 0
while set(codes.values()) != {0}:
    rounds += 1
    assert rounds < 20, codes
    for number in range(2):
        pid = benches.pop(number, None) or start(number)
        codes[number] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
if folders > 1:
    merge_module = sys.modules["bench.merge"]
    merge_module.write_report = table
    merged = merge([Path(f"part-{n}") for n in range(folders)], Path("study"))
    assert not merged.conflicts, merged.conflicts
print(json.dumps({**hit, "seconds": seconds, "rounds": rounds}))
'''


def results(study: Path) -> dict[str, object]:
    """All that the runs of a study have computed; seconds and times of day are no results."""
    found: dict[str, object] = {"table": (study / "table.md").read_text()}
    for run in (study / "runs").iterdir():
        scores = json.loads((run / "scores.json").read_text())
        found[f"{run.name}/scores"] = {k: {**v, "seconds": 0} for k, v in scores.items()}
        names = ("weights.safetensors", "history.csv", "evaluation.json", "representation.npz")
        found |= {f"{run.name}/{name}": (run / name).read_bytes() for name in names}
        found[f"{run.name}/state"] = json.loads((run / "status.json").read_text())["state"]
    return found


@pytest.mark.parametrize("folders", [1, 2], ids=["two-at-once", "two-shards"])
def test_random_kills_change_no_number(folders: int, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    ran = subprocess.run(
        [sys.executable, "-c", NURSERY, str(KILLS), str(folders)],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["bench"] + told["worker"] == KILLS
    assert min(told["bench"], told["worker"]) > 0
    undisturbed = results(tmp_path / "undisturbed")
    assert undisturbed["table"].count("UDR") >= 1
    assert results(tmp_path / "study") == undisturbed
    assert not list(tmp_path.rglob("checkpoint*.pt"))
    assert not (tmp_path / "study" / ".locks").exists()
