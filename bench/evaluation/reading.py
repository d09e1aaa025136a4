"""What was read: the factors, latents and arrays of a representation, in numbers and in words."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bench.metrics import Representation
from bench.metrics.arrays import MISSING
from bench.metrics.vectors import in_words
from bench.score import SPREAD, evaluate
from bench.store.record import ACTIVE

_SHOWN = 8  # factors and latents that are shown one by one
_NOTES = 16  # notes that are shown: most are of factors


def what_was_read(representation: Representation) -> dict[str, Any]:
    """What a representation holds, as plain values for a record.

    Returns:
        `rows` and `held_out_rows`; `factors` by name, each with its kind, its declared number of
        classes, how many of them occur, the rows that have a label and those that lack it;
        `latents` by name, each with its spread (standard deviation, entropy in nats of a
        categorical one), its mean KL in nats or None, whether it is active, and of a vector how
        many columns it has; `active_from`,
        the threshold of that in words; `posterior`, where the KL comes from; and `notes` and
        `warnings`, one line each, of whoever read the arrays.
    """
    r = representation
    evaluation = evaluate(r)
    factors = {}
    for k, name in enumerate(r.factor_names):
        labels = np.concatenate([side.factors[:, k] for side in (r, r.test) if side is not None])
        known = labels[labels != MISSING]
        factors[name] = {
            "kind": r.factor_kinds[k],
            "classes": r.factor_sizes[k],
            "classes_that_occur": len(np.unique(known)),
            "rows": len(known),
            "rows_without_a_label": len(labels) - len(known),
        }
    widths = (*r.widths, *(1 for _ in r.category_sizes))
    latents = {
        name: {
            "spread": evaluation.spread[j],
            "kl": None if evaluation.kl is None else evaluation.kl[j],
            "active": evaluation.active[j],
            **({"columns": width} if width > 1 else {}),
        }
        for j, (name, width) in enumerate(zip(r.latent_names, widths, strict=True))
    }
    by_kl = evaluation.kl is not None
    return {
        "rows": len(r),
        "held_out_rows": None if r.test is None else len(r.test),
        "factors": factors,
        "latents": latents,
        "active_from": f"a mean KL of {ACTIVE:g} nats"
        if by_kl
        else f"a spread of {SPREAD:.0%} of the largest",
        "posterior": _posterior(r),
        "notes": list(r.notes),
        "warnings": list(r.warnings),
    }


def lines(read: Mapping[str, Any]) -> Iterator[str]:
    """What was read in a few lines, however many factors and latents there are."""
    for line in _lines(read):
        yield line.replace("\n", " ")  # names come from somebody's file


def _lines(read: Mapping[str, Any]) -> Iterator[str]:
    yield "What was read"
    held_out = read["held_out_rows"]
    yield f"  rows: {read['rows']:,}" + (f" and {held_out:,} held out" if held_out else "")
    notes = read["notes"]
    yield from (f"  {note}" for note in notes[:_NOTES])
    if len(notes) > _NOTES:
        yield f"  and {len(notes) - _NOTES:,} more notes"
    # the notes are of all factors, but for what was declared and does not occur
    factors = {n: f for n, f in read["factors"].items() if not notes or _lacks_classes(f)}
    for name, factor in list(factors.items())[:_SHOWN]:
        yield f"  factor {name}: {_in_words(factor)}"
    if len(factors) > _SHOWN:
        yield f"  and {len(factors) - _SHOWN:,} more factors"
    latents = read["latents"]
    widths = [latent["columns"] for latent in latents.values() if "columns" in latent]
    if widths:
        yield f"  latents that are vectors: {in_words(widths)}, each one latent"
    passive = [name for name, latent in latents.items() if not latent["active"]]
    yield (
        f"  active: {len(latents) - len(passive):,} of {len(latents):,} latents, from "
        f"{read['active_from']} on" + (f"; not {_few(passive)}" if passive else "")
    )
    shown = list(latents.items())[:_SHOWN]
    yield "  spread: " + _few([f"{name} {_number(v['spread'])}" for name, v in shown], len(latents))
    if all(latent["kl"] is not None for latent in latents.values()):
        yield "  KL: " + _few([f"{n} {_number(v['kl'])}" for n, v in shown], len(latents)) + " nats"
    yield f"  posterior: {read['posterior']}"
    yield from (f"  ! {warning}" for warning in read["warnings"])


def _posterior(r: Representation) -> str:
    """Where the posterior comes from."""
    parts = [
        text
        for array, text in (
            (r.logvar, "log variances (logvar)"),
            (r.probabilities, "probabilities of the categories"),
        )
        if array is not None
    ]
    if parts:
        return " and ".join(parts)
    return "none; its KL was given (kl)" if r.kl is not None else "none, the latents are points"


def _lacks_classes(factor: Mapping[str, Any]) -> bool:
    lacking: int = factor["classes"] - factor["classes_that_occur"]
    return lacking > 0 and str(factor["kind"]) != "continuous"


def _in_words(factor: Mapping[str, Any]) -> str:
    classes, without = factor["classes"], factor["rows_without_a_label"]
    some = f"{classes:,} classes"
    if _lacks_classes(factor):
        some = f"{factor['classes_that_occur']:,} of {classes:,} classes occur"
    lacking = f", {without:,} left out, as they have no label" if without else ""
    return f"{factor['kind']}, {some}, {factor['rows']:,} rows{lacking}"


def _number(value: float) -> str:
    return f"{value:.3g}"


def _few(words: Sequence[str], total: int | None = None) -> str:
    """The first few words, and how many more there are."""
    more = (len(words) if total is None else total) - min(len(words), _SHOWN)
    return ", ".join(words[:_SHOWN]) + (f" and {more:,} more" if more else "")
