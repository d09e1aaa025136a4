"""What a model promises: `bench check` on a subclass of bench.models.VAE."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from bench.check.promises import Caveat, Promise, PromiseBrokenError, in_words, is_refusal
from bench.datasets import Toy
from bench.models import VAE, Objective, Posterior
from bench.settings import parameters
from bench.streams import lent_global_torch_stream
from bench.train.step import take_step

SHAPES = ((1, 32, 32), (1, 64, 64), (3, 64, 64))  # (C, H, W); the first that fits is trained on
BATCH = 8
STEP = 5  # any step but the first
CPU = torch.device("cpu")
SEEDS = 4  # behind the mean and the noise of a term
PER_IMAGE = ("reconstruction", "kl")  # how the names of terms begin that are per image by nature


class ModelSubject:
    """A model class and the settings to build it with.

    Attributes:
        target: the class.
        settings: its arguments, without `image_shape`.
        shapes: those of `SHAPES` that it can be built for; `builds` finds them.
    """

    def __init__(self, target: Callable[..., VAE], settings: Mapping[str, Any]) -> None:
        self.target, self.settings = target, settings
        self.shapes: list[tuple[int, int, int]] = []

    def build(self, seed: int = 0, shape: tuple[int, int, int] | None = None) -> VAE:
        """Build the model as a run does."""
        with lent_global_torch_stream(seed, "initialisation"):
            model = self.target(image_shape=shape or self.shapes[0], **self.settings)
        model.to(CPU, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model.train()

    @cached_property
    def images(self) -> Tensor:
        """Images (B, C, H, W) of the first shape."""
        return self.images_of(self.shapes[0])

    def images_of(self, shape: tuple[int, int, int]) -> Tensor:
        """Images (B, C, H, W) of a shape."""
        toy = Toy(image_size=shape[1])
        pixels = toy.images(range(0, len(toy), len(toy) // BATCH))
        return torch.from_numpy(pixels).float().div(255).repeat(1, shape[0], 1, 1)

    def objective(
        self, model: VAE, x: Tensor | None = None, seed: int = 0, step: int = STEP
    ) -> Objective:
        """One objective; what it draws from the global generator depends on the seed, too."""
        with lent_global_torch_stream(seed, "objective"):
            x = self.images if x is None else x
            return model.objective(x, step, torch.Generator().manual_seed(seed))

    def losses(self, model: VAE, seed: int = 0, step: int = STEP) -> dict[str, float]:
        """The loss of each player."""
        losses = self.objective(model, seed=seed, step=step).losses
        return {player: float(loss.detach()) for player, loss in losses.items()}


def takes_settings(subject: ModelSubject) -> str:
    arguments = inspect.signature(subject.target).parameters
    for argument in arguments.values():
        if argument.kind is not argument.KEYWORD_ONLY or argument.default is argument.empty:
            raise PromiseBrokenError(
                "keyword-only settings with defaults",
                f"`{argument}`",
                "write def __init__(self, *, image_shape=(1, 64, 64), continuous=10, ...)",
            )
    if "image_shape" not in arguments:
        raise PromiseBrokenError(
            "a setting image_shape", "none", "take it, and pass it to super().__init__"
        )
    settings = parameters(subject.target)  # also reads the annotations, as --set does
    return f"settings {', '.join(name for name in settings if name != 'image_shape')}"


def builds(subject: ModelSubject) -> str:
    outcomes = []
    for shape in SHAPES:
        try:
            model = subject.build(shape=shape)
        except ValueError as error:
            if not is_refusal(error):
                raise
            outcomes.append(f"not for {_size(shape)} ({error})")
            continue
        subject.shapes.append(shape)
        count = sum(p.numel() for p in model.parameters())
        outcomes.append(f"{count:,} parameters for {_size(shape)}")
    if not subject.shapes:
        raise PromiseBrokenError(
            "a model for images of 32 or 64 pixels per side",
            "; ".join(outcomes),
            "accept one of these shapes",
        )
    return "; ".join(outcomes)


def builds_without_memory(subject: ModelSubject) -> None:
    try:
        with torch.device("meta"):
            subject.target(image_shape=subject.shapes[0], **subject.settings)
    except Exception as error:
        raise PromiseBrokenError(
            "a constructor that works on tensors without memory, with which bench run plans",
            in_words(error),
            "read no values of tensors in __init__, as .item() does",
        ) from error


def draws_weights_from_seed(subject: ModelSubject) -> None:
    weights, again, other = (subject.build(seed).state_dict() for seed in (0, 0, 1))
    for name, tensor in weights.items():
        if name not in again or not _identical(tensor, again[name]):
            raise PromiseBrokenError(
                "the same weights for the same seed",
                f"others in {name}",
                "draw from torch's generator, and not from numpy or random",
            )
    if weights and all(_identical(tensor, other[name]) for name, tensor in weights.items()):
        raise PromiseBrokenError(
            "other weights for another seed",
            "the same ones",
            "do not seed the generator in __init__: each run has done that",
        )


def encodes(subject: ModelSubject) -> str:
    model = subject.build()
    with torch.no_grad():
        posterior = model.encode(subject.images)
    if not isinstance(posterior, Posterior):
        raise PromiseBrokenError(
            "a Posterior",
            type(posterior).__name__,
            "return bench.models.Posterior(mean, logvar, logits)",
        )
    latents = model.latents
    continuous = [posterior.mean]
    continuous += [] if posterior.logvar is None else [posterior.logvar]
    expected = [(BATCH, latents.continuous)] * len(continuous)
    expected += [(BATCH, size) for size in latents.categorical]
    shapes = [tuple(tensor.shape) for tensor in (*continuous, *posterior.logits)]
    if shapes != expected:
        raise PromiseBrokenError(
            f"mean, logvar (if any) and logits of shapes {expected}",
            str(shapes),
            "give encode() as many latents as `continuous` and `categorical` say",
        )
    return f"{latents.continuous} continuous and {len(latents.categorical)} categorical latents"


def decodes(subject: ModelSubject) -> None:
    _decode(subject.build(), subject.images)


def takes_every_shape(subject: ModelSubject) -> None:
    for shape in subject.shapes[1:]:
        try:
            _decode(subject.build(shape=shape), subject.images_of(shape))
        except Exception as error:
            raise PromiseBrokenError(
                f"a model of {_size(shape)} images that encodes and decodes them",
                in_words(error),
                f"build the layers from image_shape, or refuse {_size(shape)} in __init__ with a "
                "ValueError",
            ) from error


def gives_scalars(subject: ModelSubject) -> str:
    model = subject.build()
    players = set(model.players())
    for step in (1, STEP):
        objective = subject.objective(model, step=step)
        if set(objective.losses) != players:
            raise PromiseBrokenError(
                f"a loss for each player: {_words(players)}",
                _words(objective.losses),
                "return Objective({player: loss, ...}, terms)",
            )
        for name, value in (*objective.losses.items(), *objective.terms.items()):
            if not isinstance(value, Tensor) or value.shape != () or not value.isfinite():
                got = f"{value!r}" if isinstance(value, Tensor) else type(value).__name__
                raise PromiseBrokenError(
                    f"{name} as a tensor of one finite number at step {step}",
                    got[:80],
                    "sum over pixels and latents, and average over the batch",
                )
    return f"terms {_words(objective.terms)}"


def is_float32(subject: ModelSubject) -> None:
    model = subject.build()
    outputs: dict[str, Tensor] = {}
    with torch.no_grad():
        posterior = model.encode(subject.images)
        outputs["mean"] = posterior.mean
        if posterior.logvar is not None:
            outputs["logvar"] = posterior.logvar
        outputs |= {f"logits {c}": logits for c, logits in enumerate(posterior.logits)}
        outputs["decode()"] = model.decode(posterior.mode())
    losses = subject.objective(model).losses
    outputs |= {f"loss of {player}": loss for player, loss in losses.items()}
    for name, value in outputs.items():
        if value.dtype != torch.float32:
            raise PromiseBrokenError(
                f"{name} in float32", str(value.dtype), "use .float() where it is computed"
            )


def repeats(subject: ModelSubject) -> None:
    first, *others = (subject.losses(subject.build()) for _ in range(3))
    for other in others:
        if first != other:
            raise PromiseBrokenError(
                "the same loss for the same generator and the same weights",
                f"{first} and then {other}",
                "draw from the generator of objective(), with generator=generator, and from "
                "nothing else",
            )


def leaves_global_generator(subject: ModelSubject) -> None:
    model = subject.build()
    before = torch.get_rng_state()
    with torch.random.fork_rng(devices=[]):
        model.objective(subject.images, STEP, torch.Generator().manual_seed(0))
        after = torch.get_rng_state()
    if not torch.equal(before, after):
        raise PromiseBrokenError(
            "draws from the generator of objective()",
            "draws from torch's global one",
            "draw with generator=generator, e.g. torch.empty_like(z).normal_(generator=generator); "
            "nn.Dropout cannot",
        )


def counts_nothing(subject: ModelSubject) -> None:
    model = subject.build()
    first = subject.losses(model)
    subject.losses(model, step=1, seed=1)
    again = subject.losses(model)
    if first != again:
        raise PromiseBrokenError(
            f"the same loss at step {STEP}, whatever was computed before",
            f"{first} and then {again}",
            "make schedules functions of the argument `step`, and keep nothing between calls",
        )


def is_per_image(subject: ModelSubject) -> str | None:
    model, x = subject.build(), subject.images
    once, noise = _terms(subject, model, x)
    twice, more_noise = _terms(subject, model, x.repeat_interleave(2, 0))
    moved = {
        name: f"{name} from {value:.4g} to {twice[name]:.4g}"
        for name, value in once.items()
        if abs(twice[name] - value)
        > 0.05 * abs(value) + 4 * max(noise[name], more_noise[name]) + 1e-5
    }
    if wrong := [change for name, change in moved.items() if name.startswith(PER_IMAGE)]:
        raise PromiseBrokenError(
            "nats per image: the same when every image is there twice",
            ", ".join(wrong),
            "sum over pixels and latents, and average over the batch",
        )
    if moved:
        return Caveat(
            f"{', '.join(moved.values())} when every image is there twice: right for what is "
            "estimated from the batch; average anything else over it"
        )
    return None


def shares_out_parameters(subject: ModelSubject) -> None:
    model = subject.build()
    names = {id(p): name for name, p in model.named_parameters() if p.requires_grad}
    owners: dict[int, str] = {}
    players, optimizers = model.players(), model.optimizers()
    if set(optimizers) != set(players):
        raise PromiseBrokenError(
            f"an optimizer for each player: {_words(players)}",
            _words(optimizers),
            "let optimizers() have one for each of players()",
        )
    for player, held in players.items():
        for parameter in held:
            name = names.get(id(parameter), "a tensor that is no trainable parameter of the model")
            if id(parameter) in owners:
                raise PromiseBrokenError(
                    "each parameter with one player",
                    f"{name} with {owners[id(parameter)]} and {player}",
                    "choose one",
                )
            if id(parameter) not in names:
                raise PromiseBrokenError(
                    "parameters of the model only", name, "leave it out of players()"
                )
            owners[id(parameter)] = player
        moved = {id(p) for group in optimizers[player].param_groups for p in group["params"]}
        if moved != {id(p) for p in held}:
            raise PromiseBrokenError(
                f"an optimizer of the parameters of {player}",
                "an optimizer of others",
                "give it the parameters that players() names",
            )
    if left := [name for key, name in names.items() if key not in owners]:
        raise PromiseBrokenError(
            "every trainable parameter with a player",
            f"{', '.join(left[:3])} with none",
            "override players() and name it there, or it is never trained",
        )


def keeps_gradients_apart(subject: ModelSubject) -> None:
    model = subject.build()
    names = {id(p): name for name, p in model.named_parameters()}
    players, losses = model.players(), subject.objective(model).losses
    for player, held in players.items():
        if not losses[player].requires_grad:
            raise PromiseBrokenError(
                f"a loss of {player} that its parameters move",
                "one without a gradient",
                "use no detach(), item() or no_grad() on the way to it",
            )
        losses[player].backward(inputs=held, retain_graph=True)
    for player, held in players.items():
        fresh = subject.build()
        loss = subject.objective(fresh).losses[player]
        alone = torch.autograd.grad(loss, fresh.players()[player], allow_unused=True)
        for parameter, gradient in zip(held, alone, strict=True):
            if gradient is None:
                raise PromiseBrokenError(
                    f"a gradient for {names[id(parameter)]}",
                    "none",
                    f"use it in the loss of {player}, or take it out of the model",
                )
            if parameter.grad is None or not torch.equal(parameter.grad, gradient):
                raise PromiseBrokenError(
                    f"the gradient of {names[id(parameter)]} from the loss of {player} alone",
                    "another one beside the other players",
                    "detach() what one player gets from another",
                )


def moves_every_player(subject: ModelSubject) -> str | None:
    model = _trained(subject)
    before = dict(subject.build().named_parameters())
    names = {id(p): name for name, p in model.named_parameters()}
    still: list[str] = []
    for player, held in model.players().items():
        unmoved = [names[id(p)] for p in held if torch.equal(p, before[names[id(p)]])]
        if len(unmoved) == len(held):
            raise PromiseBrokenError(
                f"other parameters of {player} after one step",
                "the same ones",
                "look at its optimizer, and for a gradient that is 0 everywhere",
            )
        still += unmoved
    if still:
        return Caveat(
            f"{', '.join(still[:3])} did not move in one step: right if the first losses do not "
            "depend on it, else look for a gradient that is 0"
        )
    return None


def restores(subject: ModelSubject) -> None:
    model, other = _trained(subject), subject.build(seed=1)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    other.load_state_dict(load(save(tensors)))
    expected, got = subject.losses(model), subject.losses(other)
    if expected != got:
        raise PromiseBrokenError(
            "the same next loss from the saved weights",
            f"{got} instead of {expected}",
            "keep every tensor as nn.Parameter or with register_buffer, so that it is saved",
        )


_BUILT = (builds,)
PROMISES = (
    Promise("the constructor is the configuration", takes_settings),
    Promise("it builds for common image shapes, or refuses in one line", builds, (takes_settings,)),
    Promise("it builds without memory, for the plan", builds_without_memory, _BUILT),
    Promise("the seed decides the initial weights", draws_weights_from_seed, _BUILT),
    Promise("encode() gives a Posterior of its latents", encodes, _BUILT),
    Promise("decode() gives images", decodes, (encodes,)),
    Promise("it works on every image shape that it builds for", takes_every_shape, (decodes,)),
    Promise("objective() gives finite scalars, a loss for each player", gives_scalars, (decodes,)),
    Promise("outputs are float32", is_float32, (gives_scalars,)),
    Promise(
        "the same generator gives the same loss",
        repeats,
        (gives_scalars, draws_weights_from_seed),
    ),
    Promise("torch's global generator is left alone", leaves_global_generator, (gives_scalars,)),
    Promise("nothing is counted inside", counts_nothing, (repeats,)),
    Promise("terms are nats per image", is_per_image, (counts_nothing,)),
    Promise("players share out the trainable parameters", shares_out_parameters, (gives_scalars,)),
    Promise(
        "each player has the gradient of its own loss",
        keeps_gradients_apart,
        (shares_out_parameters, repeats),
    ),
    Promise("one step changes every player", moves_every_player, (keeps_gradients_apart,)),
    Promise(
        "saved weights give the same next loss", restores, (counts_nothing, moves_every_player)
    ),
)


def _decode(model: VAE, images: Tensor) -> None:
    """Encode images and decode the most probable code and a drawn one."""
    with torch.no_grad():
        posterior = model.encode(images)
        for code in (posterior.mode(), posterior.sample(torch.Generator().manual_seed(0))):
            shape = tuple(model.decode(code).shape)
            if shape != tuple(images.shape):
                raise PromiseBrokenError(
                    f"decode() to give images {tuple(images.shape)}",
                    str(shape),
                    "let the decoder end in image_shape",
                )


def _trained(subject: ModelSubject) -> VAE:
    """A model after one step, as the training loop takes it."""
    model = subject.build()
    noise = torch.Generator().manual_seed(0)
    with lent_global_torch_stream(0, "objective"):
        take_step(model, subject.images, STEP, noise, model.players(), model.optimizers())
    return model


def _terms(
    subject: ModelSubject, model: VAE, x: Tensor
) -> tuple[dict[str, float], dict[str, float]]:
    """Mean and range over some seeds of every term and every loss of one batch (B, C, H, W)."""
    values: dict[str, list[float]] = {}
    for seed in range(SEEDS):
        objective = subject.objective(model, x, seed)
        losses = {f"loss of {player}": loss for player, loss in objective.losses.items()}
        for name, value in {**objective.terms, **losses}.items():
            values.setdefault(name, []).append(float(value.detach()))
    means = {name: sum(drawn) / len(drawn) for name, drawn in values.items()}
    return means, {name: max(drawn) - min(drawn) for name, drawn in values.items()}


def _identical(tensor: Tensor, other: Tensor) -> bool:
    return tensor.shape == other.shape and torch.equal(tensor, other)


def _size(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))


def _words(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
