"""External models: any torch.nn.Module that encodes images, scored without being trained here."""

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bench.models import Encoder, Latents, Posterior

_TRIED = 3  # images of zeros that tell which latents there are: no number of channels by chance
_PARTS = ("mean", "logvar", "logits")
_RETURN = (
    "let it return codes (B, D), or (B, latents, columns of each) where latents are vectors, a "
    "pair (mean, logvar) of such, or a mapping with mean, logvar "
    "and logits"
)


class UnsupportedModelError(ValueError):
    """A network cannot be scored; the message says why and what to do."""


class ExternalEncoder(Encoder):
    """A network that knows nothing of this suite, behind the interface of those that do.

    Its `encode` is called, or else its `encoder`, or else the network itself. It may return a
    Posterior, codes (B, D), a pair (mean, logvar), a triple of these and a list of logits (B, S_c),
    or a mapping with some of these names. Codes (B, latents, columns) are vectors, one per latent,
    and are put side by side. Images have the type of the network's parameters; one
    batch of zeros tells which latents there are.

    Attributes:
        found: what was taken for what, in one line.

    Raises:
        UnsupportedModelError: it does not encode images of this shape.
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
                way, encode = self._way()
                result = encode(zeros.to(self._type))
                posterior = as_posterior(result, len(zeros))
            except UnsupportedModelError:
                raise
            except Exception as error:  # whatever it raises, its authors mend it
                size = "x".join(map(str, image_shape))
                raise UnsupportedModelError(
                    f"encoding images (B, {', '.join(map(str, image_shape))}) raises "
                    f"{_words(error)}; give a network that takes {size} in [0, 1], or choose "
                    "another size of the images with --set DATASET.image_size=..."
                ) from error
        sizes = tuple(logits.shape[1] for logits in posterior.logits)
        self.latents = Latents(posterior.mean.shape[1], sizes)
        self.groups = _groups(result)
        taken = _taken(result, posterior, self.groups)
        self.found = f"{way} returns {taken}{self._doubt(zeros, posterior)}"

    def encode(self, x: Tensor) -> Posterior:
        _, encode = self._way()
        return as_posterior(encode(x.to(self._type)), len(x))

    def _doubt(self, zeros: Tensor, posterior: Posterior) -> str:
        """A hint where the codes look like means and log variances side by side."""
        width = posterior.mean.shape[1]
        if posterior.logvar is not None or width % 2:
            return ""
        try:
            result = self.net(zeros.to(self._type))
        except Exception:  # whatever it raises: it was not asked for
            return ""
        parts = result if isinstance(result, tuple | list) else ()
        shapes = [tuple(part.shape) for part in parts if isinstance(part, Tensor)]
        if shapes.count((len(zeros), width // 2)) != 2:
            return ""
        return (
            f"; but forward returns two tensors of {width // 2} columns: if these are means and "
            "log variances, let encode return them"
        )

    def _way(self) -> tuple[str, Callable[[Tensor], Any]]:
        """What encodes images, in words and as a function."""
        for name in ("encode", "encoder"):
            if callable(encode := getattr(self.net, name, None)):
                return f"its {name}", encode
        return "the network itself", self.net


def wrap(
    target: Any, settings: Mapping[str, Any], image_shape: tuple[int, int, int]
) -> ExternalEncoder:
    """A network, or what a class or function returns when it is called with the settings.

    `image_shape` is handed over if it is taken.

    Raises:
        UnsupportedModelError: there is no network, or it does not encode images.
    """
    what = "it is no subclass of bench.models.VAE"
    if isinstance(target, nn.Module):
        return ExternalEncoder(target, image_shape)
    if not callable(target):
        raise UnsupportedModelError(
            f"{what} but of type {type(target).__name__}: name a torch.nn.Module, or a class or "
            "function that returns one"
        )
    signature = inspect.signature(target)
    arguments = dict(settings)
    if "image_shape" in signature.parameters:
        arguments["image_shape"] = image_shape
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise UnsupportedModelError(
            f"{what}, and to return a torch.nn.Module it lacks arguments ({error}): let all have "
            "defaults but image_shape"
        ) from error
    try:
        net = target(**arguments)
    except Exception as error:  # whatever it raises, its authors mend it
        shape = f" with image_shape={image_shape}" if "image_shape" in arguments else ""
        raise UnsupportedModelError(f"calling it{shape} raises {_words(error)}") from error
    if not isinstance(net, nn.Module):
        kind = type(net).__name__
        raise UnsupportedModelError(
            f"{what} and returns an object of type {kind}: let it return a torch.nn.Module"
        )
    return ExternalEncoder(net, image_shape)


def as_posterior(result: Any, rows: int) -> Posterior:
    """What a network returns for some rows as a posterior, in float32."""
    mean, logvar, logits = _parts(result)
    logits = [logits] if isinstance(logits, Tensor) else list(logits)
    if mean is None and logvar is None and logits:
        mean = torch.zeros(rows, 0, device=logits[0].device)
    shape = tuple(getattr(mean, "shape", ()))
    mean = _matrix(_side_by_side(mean), "codes", rows)
    if logvar is not None:
        other = tuple(getattr(logvar, "shape", ()))
        logvar = _matrix(_side_by_side(logvar), "logvar", rows)
        if other != shape:
            raise UnsupportedModelError(
                f"its mean and logvar are {shape} and {other}: let both be (B, D)"
            )
    return Posterior(mean, logvar, tuple(_matrix(each, "logits", rows) for each in logits))


def _side_by_side(tensor: Any) -> Any:
    """Vectors (B, S, W) as (B, S W); all else as it is."""
    vectors = isinstance(tensor, Tensor) and tensor.ndim == 3
    return tensor.flatten(1) if vectors else tensor


def _groups(result: Any) -> tuple[int, ...] | None:
    """The columns of each latent where a network's codes are vectors."""
    mean = _parts(result)[0]
    if not isinstance(mean, Tensor) or mean.ndim != 3 or mean.shape[2] == 1:
        return None
    return (mean.shape[2],) * mean.shape[1]


def _taken(result: Any, posterior: Posterior, groups: tuple[int, ...] | None) -> str:
    """What the parts of a network's result were taken for."""
    width = posterior.mean.shape[1]
    vectors = f"{len(groups)} latents of {groups[0]} columns each" if groups else ""
    sizes = ", ".join(str(logits.shape[1]) for logits in posterior.logits)
    if isinstance(result, Tensor):
        codes = vectors or f"{width} latents"
        return f"one tensor, taken for the codes of {codes} without log variances"
    named = isinstance(result, Posterior | Mapping)
    order = ("the first tensor", "the second", "the third part")
    means = vectors or f"{width} codes"
    parts = [f"{'mean' if named else order[0]}, taken for the means of {means}"]
    if not width:
        parts = []
    if posterior.logvar is not None:
        parts.append(f"{'logvar' if named else order[1]}, taken for their log variances")
    elif width:
        parts.append("no log variances")
    if sizes:
        what = "logits" if named else order[2]
        parts.append(f"{what}, taken for the logits of categories ({sizes})")
    return "; ".join(parts)


def weights_digest(model: ExternalEncoder, code: str | None) -> str:
    """Digest of the code and of all weights, so that a run with other weights is another run."""
    digest = hashlib.sha256((code or "").encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def _parts(result: Any) -> tuple[Any, Any, Any]:
    """Mean, logvar and logits of a network's result, whatever they are."""
    if isinstance(result, Posterior):
        return result.mean, result.logvar, result.logits
    if isinstance(result, Mapping):
        if other := [str(key) for key in result if key not in _PARTS]:
            raise UnsupportedModelError(f"it returns a mapping with {', '.join(other)}: {_RETURN}")
        return result.get("mean"), result.get("logvar"), result.get("logits", ())
    if not isinstance(result, Sequence):
        return result, None, ()
    if len(result) == 2:
        return result[0], result[1], ()
    if len(result) == 3 and isinstance(result[2], Sequence):
        return result[0], result[1], result[2]
    kinds = ", ".join(type(part).__name__ for part in result)
    raise UnsupportedModelError(f"it returns {len(result)} things ({kinds}): {_RETURN}")


def _matrix(tensor: Any, what: str, rows: int) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise UnsupportedModelError(
            f"its {what} are a {type(tensor).__name__}, no tensor: {_RETURN}"
        )
    if tensor.ndim != 2 or len(tensor) != rows:
        shape = f"a {tensor.ndim}-dimensional tensor {tuple(tensor.shape)} for {rows} images"
        raise UnsupportedModelError(f"its {what} are {shape}: flatten or pool them to (B, D)")
    if not tensor.is_floating_point():
        raise UnsupportedModelError(
            f"its {what} are {tensor.dtype}: give codes as floats, categories as their logits"
        )
    return tensor.float()


def _words(error: Exception) -> str:
    """Kind and first line of an error."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}".rstrip(": ")
