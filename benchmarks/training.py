"""Speed of a training step and of encoding: python benchmarks/training.py [--pairs N]

On one core, for 64x64 and 32x32 dSprites in batches of 64, the beta-VAE on the network of Dupont
2018 and on `broadcast`: our step, data included, against the time that the same floating-point
operations take in large matrix products, against the same network written straightforwardly with a
DataLoader, in a process as one starts it and in ours, where the C library keeps freed memory, and
against our own step on Dupont's network. They take turns, since the machine's speed varies; a ratio
is the median over the turns of the ratio within a turn.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

from alone import Beside, in_process, machine

BATCH = 64
STEPS, BATCHES = 5, 50  # trained and encoded in a turn
SIDE = 1024  # of the square matrices
ENCODED = 20_000
HUGE = 10**9
RUNS = (("dupont", 64), ("dupont", 32), ("broadcast", 64), ("broadcast", 32))


def plain_model(network: str, image_size: int):
    """A network and the beta-VAE loss as one writes them first."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    class Repeated(nn.Module):
        """The code at every pixel of a grid, with the pixel's coordinates."""

        def forward(self, z):
            size = image_size // 4
            line = torch.linspace(-1, 1, size)
            coordinates = torch.stack(torch.meshgrid(line, line, indexing="ij"))
            grid = z[:, :, None, None].repeat(1, 1, size, size)
            return torch.cat([grid, coordinates.repeat(len(z), 1, 1, 1)], 1)

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            down, width, up = {
                ("dupont", 64): ((1, 32, 32, 64, 64), 256, (64, 64, 32, 32, 1)),
                ("dupont", 32): ((1, 32, 64, 64), 256, (64, 32, 32, 1)),
                ("broadcast", 64): ((1, 16, 32, 32, 32), 128, (32, 16, 1)),
                ("broadcast", 32): ((1, 16, 32, 32), 128, (32, 16, 1)),
            }[network, image_size]
            flat = 16 * down[-1]
            convolutions = [
                layer
                for a, b in pairwise(down)
                for layer in (nn.Conv2d(a, b, 4, stride=2, padding=1), nn.ReLU())
            ]
            self.encoder = nn.Sequential(
                *convolutions, nn.Flatten(), nn.Linear(flat, width), nn.ReLU(), nn.Linear(width, 20)
            )
            transposed = [
                layer
                for a, b in pairwise(up)
                for layer in (nn.ConvTranspose2d(a, b, 4, stride=2, padding=1), nn.ReLU())
            ]
            if network == "broadcast":
                first = [Repeated(), nn.Conv2d(12, 32, 3, padding=1), nn.ReLU()]
            else:
                first = [nn.Linear(10, width), nn.ReLU(), nn.Linear(width, flat), nn.ReLU()]
                first.append(nn.Unflatten(1, (up[0], 4, 4)))
            self.decoder = nn.Sequential(*first, *transposed[:-1], nn.Sigmoid())

        def loss(self, x):
            mean, logvar = self.encoder(x).chunk(2, dim=1)
            z = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
            error = F.binary_cross_entropy(self.decoder(z), x, reduction="sum") / len(x)
            kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum() / len(x)
            return error + 4 * kl

    return Plain()


def plain_steps(network: str, image_size: int) -> Callable[[], None]:
    """One training step a call: a Dataset of single images, a DataLoader, Adam."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    from bench.datasets import DSprites

    class Images(Dataset):
        def __init__(self) -> None:
            data = DSprites(image_size=image_size)
            self.images = data.images(range(0, len(data), 37))  # in memory, as others have it

        def __len__(self) -> int:
            return len(self.images)

        def __getitem__(self, row: int):
            return torch.from_numpy(self.images[row]).float() / 255

    model = plain_model(network, image_size)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
    loader = DataLoader(Images(), batch_size=BATCH, shuffle=True, drop_last=True)

    def batches() -> Iterator:
        while True:
            yield from loader

    drawn = batches()

    def step() -> None:
        optimizer.zero_grad()
        loss = model.loss(next(drawn))
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def our_model(network: str, image_size: int):
    import torch

    from bench.models import BetaVAE

    model = BetaVAE(image_shape=(1, image_size, image_size), network=network)
    return model.to(memory_format=torch.channels_last)


def our_steps(network: str, image_size: int) -> Callable[[], None]:
    """One training step a call, as `bench.train.loop` takes it, data included."""
    import torch

    from bench.datasets import DSprites
    from bench.streams import rows_stream, torch_stream
    from bench.train.loop import images
    from bench.train.step import take_step

    cpu = torch.device("cpu")
    data, model = DSprites(image_size=image_size), our_model(network, image_size)
    players, optimizers, noise = model.players(), model.optimizers(), torch_stream(0, "noise", cpu)
    at = 0

    def step() -> None:
        nonlocal at
        at += 1
        x = images(data, data.draw(rows_stream(0, at), BATCH), cpu)
        take_step(model, x, at, noise, players, optimizers)

    return step


def products(operations: float) -> Callable[[], float]:
    """Seconds of matrix products that are scaled to this many floating-point operations."""
    import torch

    a, out = torch.randn(SIDE, SIDE), torch.empty(SIDE, SIDE)
    each = 2 * SIDE**3
    count = max(4, round(operations / each))

    def run() -> float:
        started = time.perf_counter()
        for _ in range(count):
            torch.mm(a, a, out=out)
        return (time.perf_counter() - started) * operations / (count * each)

    return run


def operations_of(network: str, image_size: int) -> tuple[float, float]:
    """Floating-point operations of a training step, and of encoding an image."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model, x = plain_model(network, image_size), torch.rand(BATCH, 1, image_size, image_size)
    with FlopCounterMode(display=False) as whole:
        model.loss(x).backward()
    with FlopCounterMode(display=False) as half, torch.no_grad():
        model.encoder(x)
    return float(whole.get_total_flops()), half.get_total_flops() / BATCH


def clocked(call: Callable[[], None], times: int = 1) -> float:
    started = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - started) / times


def measure_step(network: str, image_size: int, turns: int) -> dict[str, float]:
    operations, _ = operations_of(network, image_size)
    ours, plain = our_steps(network, image_size), plain_steps(network, image_size)
    dupont, bound = our_steps("dupont", image_size), products(operations)
    started = Beside(__file__, ["plain", network, str(image_size), "0"])
    for _ in range(5):
        ours(), plain(), dupont(), bound()
    started.turn()
    rows = []
    for _ in range(turns):
        # several steps, as in training: the first finds the cache full of the others' numbers
        before, first = bound(), clocked(ours, STEPS)
        between, second = bound(), clocked(plain, STEPS)
        other = clocked(dupont, STEPS) if network != "dupont" else first
        rows.append((first, second, started.turn(), (before + between) / 2, other))
    started.end()
    return {
        "megaflop": operations / BATCH / 1e6,
        "ours": statistics.median(row[0] for row in rows),
        "plain": statistics.median(row[1] for row in rows),
        "started": statistics.median(row[2] for row in rows),
        "products": statistics.median(row[3] for row in rows),
        "to_products": statistics.median(row[0] / row[3] for row in rows),
        "to_plain": statistics.median(row[1] / row[0] for row in rows),
        "to_dupont": statistics.median(row[0] / row[4] for row in rows),
        "to_started": statistics.median(row[2] / row[0] for row in rows),
    }


def serve_plain(network: str, image_size: int) -> None:
    """Take steps of the plain network whenever a line comes in, and print the seconds of one."""
    plain = plain_steps(network, image_size)
    plain()
    for _ in sys.stdin:
        print(clocked(plain, STEPS), flush=True)


def measure_encoding(network: str, image_size: int, turns: int) -> dict[str, float]:
    """Seconds of 100,000 images, drawn and encoded; of the network alone the products' share."""
    import numpy as np
    import torch

    from bench.datasets import DSprites
    from bench.encode import BATCH, encode

    _, operations = operations_of(network, image_size)
    data, model = DSprites(image_size=image_size), our_model(network, image_size)
    rows = np.random.default_rng(0).integers(len(data), size=ENCODED)
    x = torch.from_numpy(data.images(rows[:BATCH])).float().div(255)
    bound = products(operations * len(x))

    def network() -> None:
        with torch.inference_mode():
            model.encode(x)

    network()
    shares = []
    for _ in range(10 * turns):
        before, took = bound(), clocked(network, BATCHES)
        shares.append((before + bound()) / 2 / took)
    cpu = torch.device("cpu")
    whole = min(clocked(lambda: encode(model, data, rows, cpu) and None) for _ in range(2))
    return {"share": statistics.median(shares), "seconds": whole * 100_000 / ENCODED}


def measure_loop(turns: int) -> dict[str, float]:
    """Seconds a step of all that is not the model: rows, images, schedule, log, news."""
    import torch
    from torch import nn

    from bench.datasets import DSprites
    from bench.models import VAE, Objective
    from bench.train.loop import train

    class Nothing(VAE):
        """An objective that costs nothing."""

        def __post_init__(self) -> None:
            super().__post_init__()
            self.encoder = self.decoder = nn.Linear(1, 1)

        def objective(self, x, step, generator):
            loss = self.encoder.weight.sum()
            return Objective({"vae": loss}, dict.fromkeys("abcd", loss))

        def players(self):
            return {"vae": [self.encoder.weight]}

    found = {}
    for size in (64, 32):
        data = DSprites(image_size=size)
        model = Nothing(image_shape=data.image_shape)
        taken = []
        for _ in range(turns):
            started = time.perf_counter()
            train(model, data, steps=500, batch_size=BATCH, seed=0, device=torch.device("cpu"))
            taken.append((time.perf_counter() - started) / 500)
        found[str(size)] = min(taken)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        import torch

        torch.set_num_threads(1)
        what, network, size, turns = *given.one[:2], int(given.one[2]), int(given.one[3])
        if what == "plain":
            serve_plain(network, size)
            return
        measured = {
            "step": lambda: measure_step(network, size, turns),
            "encoding": lambda: measure_encoding(network, size, max(2, turns // 10)),
            "loop": lambda: measure_loop(3),
        }[what]()
        print(json.dumps(measured))
        return
    core = {min(os.sched_getaffinity(0))}
    loop = in_process(__file__, ["loop", "-", "0", str(given.turns)], core)
    print(machine())
    print(
        "\n| step of 64 images, one core | MFLOP an image | ours ms | products ms | plain ms "
        "| plain, memory kept ms | ours / products | plain / ours | plain, memory kept / ours "
        "| loop and data | ours / ours on dupont |"
    )
    print("|" + " --- |" * 11)
    for network, size in RUNS:
        step = in_process(__file__, ["step", network, str(size), str(given.turns)], core)
        print(
            f"| {network} {size}x{size} | {step['megaflop']:.1f} | {1000 * step['ours']:.1f} "
            f"| {1000 * step['products']:.1f} | {1000 * step['started']:.1f} "
            f"| {1000 * step['plain']:.1f} | {step['to_products']:.2f} "
            f"| {step['to_started']:.2f} | {step['to_plain']:.2f} "
            f"| {100 * loop[str(size)] / step['ours']:.1f} % | {step['to_dupont']:.2f} |",
            flush=True,
        )
    print("\n| encoding, one core | share of the products' rate | s for 100,000 images |")
    print("| --- | --- | --- |")
    for network, size in RUNS:
        made = in_process(__file__, ["encoding", network, str(size), str(given.turns)], core)
        print(f"| {network} {size}x{size} | {100 * made['share']:.0f} % | {made['seconds']:.1f} |")


if __name__ == "__main__":
    main()
