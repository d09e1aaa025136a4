"""What a model promises: `bench check` on a subclass of bench.models.VAE."""

import torch
from safetensors.torch import load, save
from torch import Tensor

from bench.check.model_parts import (
    STEP,
    Subject,
    built,
    constructor,
    decodes,
    encodes,
    other_shapes,
    planned,
    scalars,
    shared_out,
    single,
)
from bench.check.promises import Broken, Odd, Promise
from bench.models import VAE
from bench.streams import lent_global_torch_stream
from bench.train.step import take_step

SEEDS = 4  # behind the mean and the noise of a term
KEPT = ("reconstruction", "kl")  # how the names of terms begin that no batch may change


def own_gradients(subject: Subject) -> None:
    model = subject.build()
    names = {id(p): name for name, p in model.named_parameters()}
    players, together = model.players(), subject.objective(model).losses
    for player, held in players.items():
        if not together[player].requires_grad:
            raise Broken(
                f"a loss of {player} that its parameters move",
                "one without a gradient",
                "use no detach(), item() or no_grad() on the way to it",
            )
        together[player].backward(inputs=held, retain_graph=True)
    for player, held in players.items():
        fresh = subject.build()
        loss = subject.objective(fresh).losses[player]
        alone = torch.autograd.grad(loss, fresh.players()[player], allow_unused=True)
        for parameter, gradient in zip(held, alone, strict=True):
            if gradient is None:
                raise Broken(
                    f"a gradient for {names[id(parameter)]}",
                    "none",
                    f"use it in the loss of {player}, or take it out of the model",
                )
            if parameter.grad is None or not torch.equal(parameter.grad, gradient):
                raise Broken(
                    f"the gradient of {names[id(parameter)]} by the loss of {player} alone",
                    "another one beside the other players",
                    "detach() what one player gets from another",
                )


def moves(subject: Subject) -> None:
    model = _trained(subject)
    before = dict(subject.build().named_parameters())
    names = {id(p): name for name, p in model.named_parameters()}
    for player, held in model.players().items():
        if all(torch.equal(p, before[names[id(p)]]) for p in held):
            raise Broken(
                f"other parameters of {player} after one step",
                "the same ones",
                "look at its optimizer, and at a gradient that is 0 everywhere",
            )


def repeated(subject: Subject) -> None:
    one, *others = (subject.losses(subject.build()) for _ in range(3))
    for other in others:
        if one != other:
            raise Broken(
                "one loss for one generator and one initialisation",
                f"{one} and then {other}",
                "draw from the generator given, with generator=generator, and from nothing else",
            )


def private(subject: Subject) -> None:
    model = subject.build()
    before = torch.get_rng_state()
    with torch.random.fork_rng(devices=[]):
        model.objective(subject.images, STEP, torch.Generator().manual_seed(0))
        after = torch.get_rng_state()
    if not torch.equal(before, after):
        raise Broken(
            "draws from the generator given",
            "draws from torch's global one",
            "draw with generator=generator, e.g. torch.empty_like(z).normal_(generator=generator); "
            "nn.Dropout cannot",
        )


def counts_nothing(subject: Subject) -> None:
    model = subject.build()
    first = subject.losses(model)
    subject.losses(model, step=1, seed=1)
    again = subject.losses(model)
    if first != again:
        raise Broken(
            f"the same loss at step {STEP}, whatever was asked before",
            f"{first} and then {again}",
            "make schedules of the argument `step`, and keep nothing between calls",
        )


def an_image(subject: Subject) -> None:
    model, x = subject.build(), subject.images
    once, spread = _terms(subject, model, x)
    twice, more = _terms(subject, model, x.repeat_interleave(2, 0))
    moved = [
        name
        for name, value in once.items()
        if abs(twice[name] - value) > 0.05 * abs(value) + 4 * max(spread[name], more[name]) + 1e-5
    ]
    changes = {name: f"{name} from {once[name]:.4g} to {twice[name]:.4g}" for name in moved}
    if wrong := [changes[name] for name in moved if name.startswith(KEPT)]:
        raise Broken(
            "nats an image: the same when every image comes twice",
            ", ".join(wrong),
            "sum over pixels and latents, and average over the batch",
        )
    if moved:
        raise Odd(
            f"{', '.join(changes.values())} when every image comes twice: right for what is "
            "estimated from the batch, else average over it"
        )


def restored(subject: Subject) -> None:
    model, other = _trained(subject), subject.build(seed=1)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    other.load_state_dict(load(save(tensors)))
    expected, came = subject.losses(model), subject.losses(other)
    if expected != came:
        raise Broken(
            "the same next loss from the saved weights",
            f"{came} instead of {expected}",
            "keep every tensor as nn.Parameter or by register_buffer, so that it is saved",
        )


_BUILT = (built,)
PROMISES = (
    Promise("the constructor is the configuration", constructor),
    Promise("it builds for common image shapes, or refuses in a line", built, (constructor,)),
    Promise("it builds without memory, for the plan", planned, _BUILT),
    Promise("encode() gives a Posterior of its latents", encodes, _BUILT),
    Promise("decode() gives images", decodes, (encodes,)),
    Promise("it works on every image shape that it builds for", other_shapes, (decodes,)),
    Promise("objective() gives finite scalars, a loss for each player", scalars, (decodes,)),
    Promise("outputs are float32", single, (scalars,)),
    Promise("the same generator gives the same loss", repeated, (scalars,)),
    Promise("torch's global generator is left alone", private, (scalars,)),
    Promise("nothing is counted inside", counts_nothing, (repeated,)),
    Promise("terms are nats an image", an_image, (counts_nothing,)),
    Promise("players share out the trainable parameters", shared_out, (scalars,)),
    Promise("each player has the gradient of its own loss", own_gradients, (shared_out, repeated)),
    Promise("one step changes every player", moves, (own_gradients,)),
    Promise("saved weights give the same next loss", restored, (counts_nothing, moves)),
)


def _trained(subject: Subject) -> VAE:
    """A model after one step, as the training loop takes it."""
    model = subject.build()
    noise = torch.Generator().manual_seed(0)
    with lent_global_torch_stream(0, "objective"):
        take_step(model, subject.images, STEP, noise, model.players(), model.optimizers())
    return model


def _terms(subject: Subject, model: VAE, x: Tensor) -> tuple[dict[str, float], dict[str, float]]:
    """Mean and range of every term and loss over some generators."""
    drawn: dict[str, list[float]] = {}
    for seed in range(SEEDS):
        objective = subject.objective(model, x, seed)
        losses = {f"loss of {player}": loss for player, loss in objective.losses.items()}
        for name, value in {**objective.terms, **losses}.items():
            drawn.setdefault(name, []).append(float(value.detach()))
    means = {name: sum(values) / len(values) for name, values in drawn.items()}
    return means, {name: max(values) - min(values) for name, values in drawn.items()}
