"""Other people's networks: any torch.nn.Module that encodes images, scored as it comes."""

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bench.models import Encoder, Latents, Posterior

_TRIED = 3  # images of zeros that tell which latents there are: no number of channels by chance
_PARTS = ("mean", "logvar", "logits")
_RETURN = (
    "let it return codes (B, D), a pair (mean, logvar) of such, or a mapping with mean, logvar "
    "and logits"
)


class Refused(ValueError):
    """A network is not of a kind that can be scored; the message says why and what to do."""


class Foreign(Encoder):
    """A network that knows nothing of this suite, behind the interface of those that do.

    Asked are its `encode`, else its `encoder`, else the network itself. It may give a Posterior,
    codes (B, D), a pair (mean, logvar), a triple of these and a list of logits (B, S_c), or a
    mapping with some of these names. Images come in the type of the network's parameters; one
    batch of zeros tells which latents there are.

    Raises ValueError where it does not encode them.
    """

    def __init__(self, net: nn.Module, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.net = net.eval()
        held = [t for t in (*net.parameters(), *net.buffers()) if t.is_floating_point()]
        like = held[0] if held else torch.zeros(0)
        self._type = like.dtype
        with torch.no_grad():
            zeros = torch.zeros(_TRIED, *image_shape, device=like.device)
            try:
                posterior = self.encode(zeros)
            except Refused:
                raise
            except Exception as error:  # whatever it raises: it is theirs to mend
                size = "x".join(map(str, image_shape))
                raise Refused(
                    f"encoding images (B, {', '.join(map(str, image_shape))}) raises "
                    f"{_words(error)}; give a network that takes {size} in [0, 1], or choose "
                    "another size of the images with --set DATASET.image_size=..."
                ) from error
        sizes = tuple(logits.shape[1] for logits in posterior.logits)
        self.latents = Latents(posterior.mean.shape[1], sizes)

    def encode(self, x: Tensor) -> Posterior:
        ways = (getattr(self.net, name, None) for name in ("encode", "encoder"))
        asked = next(filter(callable, ways), self.net)
        return as_posterior(asked(x.to(self._type)), len(x))


def adopt(target: Any, settings: Mapping[str, Any], image_shape: tuple[int, int, int]) -> Foreign:
    """A network, or what a class or function gives that is called with the settings.

    `image_shape` is handed over if it is taken. Raises ValueError.
    """
    what = "it is no subclass of bench.models.VAE"
    if isinstance(target, nn.Module):
        return Foreign(target, image_shape)
    if not callable(target):
        raise Refused(
            f"{what} but of type {type(target).__name__}: name a torch.nn.Module, or a class or "
            "function that gives one"
        )
    signature = inspect.signature(target)
    given = dict(settings)
    if "image_shape" in signature.parameters:
        given["image_shape"] = image_shape
    try:
        signature.bind(**given)
    except TypeError as error:
        raise Refused(
            f"{what}, and to give a torch.nn.Module it lacks arguments ({error}): let all have "
            "defaults but image_shape"
        ) from error
    try:
        net = target(**given)
    except Exception as error:  # whatever it raises: it is theirs to mend
        shape = f" with image_shape={image_shape}" if "image_shape" in given else ""
        raise Refused(f"calling it{shape} raises {_words(error)}") from error
    if not isinstance(net, nn.Module):
        kind = type(net).__name__
        raise Refused(f"{what} and gives an object of type {kind}: let it give a torch.nn.Module")
    return Foreign(net, image_shape)


def as_posterior(result: Any, rows: int) -> Posterior:
    """What a network gives for some rows as a posterior, in float32. Raises Refused."""
    mean, logvar, logits = _parts(result)
    logits = [logits] if isinstance(logits, Tensor) else list(logits)
    if mean is None and logvar is None and logits:
        mean = torch.zeros(rows, 0, device=logits[0].device)
    mean = _matrix(mean, "codes", rows)
    if logvar is not None:
        logvar = _matrix(logvar, "logvar", rows)
        if logvar.shape != mean.shape:
            shapes = f"{tuple(mean.shape)} and {tuple(logvar.shape)}"
            raise Refused(f"its mean and logvar are {shapes}: let both be (B, D)")
    return Posterior(mean, logvar, tuple(_matrix(each, "logits", rows) for each in logits))


def weights_digest(model: Foreign, code: str | None) -> str:
    """Of the code and of all weights, so that a run of other weights is another one."""
    found = hashlib.sha256((code or "").encode())
    for name, tensor in model.state_dict().items():
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()[:16]


def _parts(result: Any) -> tuple[Any, Any, Any]:
    """Mean, logvar and logits of what came, whatever they are."""
    if isinstance(result, Posterior):
        return result.mean, result.logvar, result.logits
    if isinstance(result, Mapping):
        if other := [str(key) for key in result if key not in _PARTS]:
            raise Refused(f"it gives a mapping with {', '.join(other)}: {_RETURN}")
        return result.get("mean"), result.get("logvar"), result.get("logits", ())
    if not isinstance(result, Sequence):
        return result, None, ()
    if len(result) == 2:
        return result[0], result[1], ()
    if len(result) == 3 and isinstance(result[2], Sequence):
        return result[0], result[1], result[2]
    kinds = ", ".join(type(part).__name__ for part in result)
    raise Refused(f"it gives {len(result)} things ({kinds}): {_RETURN}")


def _matrix(tensor: Any, what: str, rows: int) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise Refused(f"its {what} are a {type(tensor).__name__}, no tensor: {_RETURN}")
    if tensor.ndim != 2 or len(tensor) != rows:
        shape = f"a {tensor.ndim}-dimensional tensor {tuple(tensor.shape)} for {rows} images"
        raise Refused(f"its {what} are {shape}: flatten or pool them to (B, D)")
    if not tensor.is_floating_point():
        raise Refused(
            f"its {what} are {tensor.dtype}: give codes as floats, categories as their logits"
        )
    return tensor.float()


def _words(error: Exception) -> str:
    """Kind and first line of an error."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}".rstrip(": ")
