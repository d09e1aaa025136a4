"""What a model promises: `bench check` on a subclass of bench.models.VAE."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from bench.check.promises import Broken, Odd, Promise, named, refuses
from bench.datasets import Toy
from bench.models import VAE, Objective, Posterior
from bench.settings import parameters
from bench.streams import lent_global_torch_stream
from bench.train.step import take_step

SHAPES = ((1, 32, 32), (1, 64, 64), (3, 64, 64))  # (C, H, W); the first that fits is trained on
BATCH = 8
STEP = 5  # any one that is not the first
CPU = torch.device("cpu")


class Subject:
    """A model class with the settings to build it by, and the image shapes that it takes."""

    def __init__(self, target: Callable[..., VAE], settings: Mapping[str, Any]) -> None:
        self.target, self.settings = target, settings
        self.shapes: list[tuple[int, int, int]] = []

    def build(self, seed: int = 0, shape: tuple[int, int, int] | None = None) -> VAE:
        """As a run builds it."""
        with lent_global_torch_stream(seed, "initialisation"):
            model = self.target(image_shape=shape or self.shapes[0], **self.settings)
        model.to(CPU, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model.train()

    @cached_property
    def images(self) -> Tensor:
        """(B, C, H, W) of the first shape."""
        return self.images_of(self.shapes[0])

    def images_of(self, shape: tuple[int, int, int]) -> Tensor:
        toy = Toy(image_size=shape[1])
        pixels = toy.images(range(0, len(toy), len(toy) // BATCH))
        return torch.from_numpy(pixels).float().div(255).repeat(1, shape[0], 1, 1)

    def objective(
        self, model: VAE, x: Tensor | None = None, seed: int = 0, step: int = STEP
    ) -> Objective:
        """One objective; whatever it draws from the global generator, it draws the same."""
        with lent_global_torch_stream(seed, "objective"):
            x = self.images if x is None else x
            return model.objective(x, step, torch.Generator().manual_seed(seed))

    def losses(self, model: VAE, **given: Any) -> dict[str, float]:
        losses = self.objective(model, **given).losses
        return {player: float(loss.detach()) for player, loss in losses.items()}


def constructor(subject: Subject) -> str:
    arguments = inspect.signature(subject.target).parameters
    for argument in arguments.values():
        if argument.kind is not argument.KEYWORD_ONLY or argument.default is argument.empty:
            raise Broken(
                "keyword-only settings with defaults",
                f"`{argument}`",
                "write def __init__(self, *, image_shape=(1, 64, 64), continuous=10, ...)",
            )
    if "image_shape" not in arguments:
        raise Broken("a setting image_shape", "none", "take it, and hand it to super().__init__")
    known = parameters(subject.target)  # also reads the annotations, as --set does
    return f"settings {', '.join(name for name in known if name != 'image_shape')}"


def built(subject: Subject) -> str:
    words = []
    for shape in SHAPES:
        size = "x".join(map(str, shape))
        try:
            model = subject.build(shape=shape)
        except ValueError as error:
            if not refuses(error):
                raise
            words.append(f"not for {size} ({error})")
            continue
        subject.shapes.append(shape)
        words.append(f"{sum(p.numel() for p in model.parameters()):,} parameters for {size}")
    if not subject.shapes:
        raise Broken("a model for 32 or 64 pixels a side", "; ".join(words), "take one of these")
    return "; ".join(words)


def planned(subject: Subject) -> None:
    try:
        with torch.device("meta"):
            subject.target(image_shape=subject.shapes[0], **subject.settings)
    except Exception as error:
        raise Broken(
            "a constructor that works on tensors without memory, by which bench run makes its plan",
            named(error),
            "read no values of tensors in __init__, as .item() does",
        ) from error


def encodes(subject: Subject) -> str:
    model = subject.build()
    with torch.no_grad():
        posterior = model.encode(subject.images)
    if not isinstance(posterior, Posterior):
        came = type(posterior).__name__
        raise Broken("a Posterior", came, "return bench.models.Posterior(mean, logvar, logits)")
    latents = model.latents
    of_code = [posterior.mean] if posterior.logvar is None else [posterior.mean, posterior.logvar]
    wanted = [(BATCH, latents.continuous)] * len(of_code)
    wanted += [(BATCH, size) for size in latents.categorical]
    shapes = [tuple(k.shape) for k in (*of_code, *posterior.logits)]
    if shapes != wanted:
        raise Broken(
            f"mean, logvar (if any) and logits of shapes {wanted}",
            str(shapes),
            "give encode() as many latents as `continuous` and `categorical` say",
        )
    return f"{latents.continuous} continuous and {len(latents.categorical)} categorical latents"


def decodes(subject: Subject) -> None:
    _decode(subject.build(), subject.images)


def other_shapes(subject: Subject) -> None:
    for shape in subject.shapes[1:]:
        try:
            _decode(subject.build(shape=shape), subject.images_of(shape))
        except Exception as error:
            size = "x".join(map(str, shape))
            raise Broken(
                f"a model of {size} images that encodes and decodes them",
                named(error),
                f"build the layers after image_shape, or refuse {size} in __init__ by a ValueError",
            ) from error


def scalars(subject: Subject) -> str:
    model = subject.build()
    objective = subject.objective(model)
    players = set(model.players())
    if set(objective.losses) != players:
        raise Broken(
            f"a loss for each player: {_words(players)}",
            _words(objective.losses),
            "return Objective({player: loss, ...}, terms)",
        )
    for name, value in (*objective.losses.items(), *objective.terms.items()):
        if not isinstance(value, Tensor) or value.shape != () or not value.isfinite():
            came = f"{value!r}" if isinstance(value, Tensor) else type(value).__name__
            raise Broken(
                f"{name} as a tensor of one finite number",
                came[:80],
                "sum over pixels and latents, and average over the batch",
            )
    return f"terms {_words(objective.terms)}"


def single(subject: Subject) -> None:
    model = subject.build()
    outputs: dict[str, Tensor] = {}
    with torch.no_grad():
        posterior = model.encode(subject.images)
        outputs["mean"] = posterior.mean
        if posterior.logvar is not None:
            outputs["logvar"] = posterior.logvar
        outputs |= {f"logits {c}": logits for c, logits in enumerate(posterior.logits)}
        outputs["decode()"] = model.decode(posterior.mode())
    outputs |= {f"loss of {name}": v for name, v in subject.objective(model).losses.items()}
    for name, value in outputs.items():
        if value.dtype != torch.float32:
            raise Broken(f"{name} in float32", str(value.dtype), "use .float() where it is made")


def shared_out(subject: Subject) -> None:
    model = subject.build()
    names = {id(p): name for name, p in model.named_parameters() if p.requires_grad}
    owners: dict[int, str] = {}
    optimizers = model.optimizers()
    for player, held in model.players().items():
        for parameter in held:
            name = names.get(id(parameter), "a tensor that is no trainable parameter of the model")
            if id(parameter) in owners:
                both = f"{owners[id(parameter)]} and {player}"
                raise Broken("each parameter with one player", f"{name} with {both}", "choose one")
            if id(parameter) not in names:
                raise Broken("parameters of the model only", name, "name it in no player")
            owners[id(parameter)] = player
        groups = optimizers[player].param_groups if player in optimizers else []
        if {id(p) for group in groups for p in group["params"]} != {id(p) for p in held}:
            raise Broken(
                f"an optimizer of the parameters of {player}",
                "one of others, or none",
                "let optimizers() have one for each of players()",
            )
    if left := [name for key, name in names.items() if key not in owners]:
        raise Broken(
            "every trainable parameter with a player",
            f"{', '.join(left[:3])} with none",
            "override players() and name it there, or it is never trained",
        )


def _decode(model: VAE, images: Tensor) -> None:
    with torch.no_grad():
        posterior = model.encode(images)
        for code in (posterior.mode(), posterior.sample(torch.Generator().manual_seed(0))):
            shape = tuple(model.decode(code).shape)
            if shape != tuple(images.shape):
                raise Broken(
                    f"decode() to give images {tuple(images.shape)}",
                    str(shape),
                    "let the decoder end in image_shape",
                )


def _words(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


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
