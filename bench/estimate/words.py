"""What `--dry-run` says of a study beyond its plan, line by line."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from bench.console import size_in_words, time_in_words

if TYPE_CHECKING:
    from bench.estimate.preview import Cell, Preview

SHOWN = 20  # runs with a reason: more are counted


def lines_of(part: "Preview") -> Iterator[str]:
    """The state of each run of a data set, by row of the table, and what is left will take."""
    if part.blocked is not None:
        request = part.blocked.request
        yield f"{request.dataset}, preset {request.preset}: not on this machine"
        yield f"  {part.blocked.reason}"
    rows: dict[str, list[Cell]] = {}
    for cell in part.cells:
        rows.setdefault(cell.run.label, []).append(cell)
    for label, cells in rows.items():
        states: dict[str, list[int]] = {}
        for cell in cells:
            states.setdefault(cell.state, []).append(cell.run.seed)
        words = (f"{state} {in_ranges(seeds)}" for state, seeds in states.items())
        yield f"  {label}, seeds: {'; '.join(words)}"
    reasons = [cell for cell in part.cells if cell.reason]
    for cell in islice(reasons, SHOWN):
        yield f"  {cell.run.title}: {cell.state}: {cell.reason}"
    if len(reasons) > SHOWN:
        yield f"  and {len(reasons) - SHOWN:,} more with a reason: --json has all"
    if not part.counts.keys() <= {"done", "to do"}:
        yield f"{len(part.cells):,} runs: {in_words(part.counts)}"
    if part.todo is None or not part.todo.runs:
        return
    wall = part.estimate.wall(part.todo.slots)
    if wall is None:
        yield f"time and disk: {part.estimate.basis}; --pilot tries some steps of each kind"
        return
    size = part.estimate.size
    disk = "" if size is None else f", {size_in_words(size)} on disk"
    beside = f"{part.todo.slots} side by side{part.todo.engine}"
    yield f"time: about {time_in_words(wall)} with {beside}{disk}; {part.estimate.basis}"


def lines_of_all(parts: Sequence["Preview"]) -> Iterator[str]:
    """The sums over the data sets of a study."""
    from bench.estimate.preview import counted  # what a list of studies need not wait for

    counts = counted(cell.state for part in parts for cell in part.cells)
    yield f"{len(parts)} data sets, {sum(counts.values()):,} runs: {in_words(counts)}"
    walls = [part.estimate.wall(part.todo.slots) for part in parts if part.todo is not None]
    known = [wall for wall in walls if wall is not None]
    if known:
        rest = "" if len(known) == len(parts) else f", {len(known)} of {len(parts)} data sets"
        yield f"time: about {time_in_words(sum(known))} in all{rest}"


def in_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {state}" for state, count in counts.items())


def in_ranges(seeds: Sequence[int]) -> str:
    """`0, 1, 2`; of more than ten seeds `0-49, 60`."""
    if len(seeds) <= 10:
        return ", ".join(map(str, seeds))
    ranges: list[list[int]] = []
    for seed in seeds:
        if ranges and seed == ranges[-1][1] + 1:
            ranges[-1][1] = seed
        else:
            ranges.append([seed, seed])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)
