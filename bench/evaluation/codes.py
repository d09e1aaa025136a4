"""Codes from any framework, in an npz, h5, csv or parquet file -> Representation.

Arrays of an npz or h5 file: `codes` (N, D) float and/or `categories` (N, C) int, `factors` (N, K)
int (float for continuous ones), and optionally `logvar`, `probabilities`, `kl`, `category_sizes`,
`factor_names`, `factor_kinds`, `factor_sizes` and `unseen` (N,), true for the rows of combinations
that were held out of training; arrays of held-out rows have the suffix `_test`,
those of the other rows may have the suffix `_train`. In an h5 file all of them may lie in one
group, or in two that are called `train` and `test`.

Columns of a csv or parquet file: `codes_1`, `codes_2`, ..., `categories_1`, ..., `factors_NAME`,
`logvar_1`, ..., and optionally `split` ("train" or "test") and `unseen`. In a parquet file a column
`codes` may hold a list of numbers in each row.

Codes, categories, log variances and factors may have other names, which are given by the user.
Whatever else is in the file is not opened.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets.array_files import ArrayFile, ArrayFileError, Table, is_array_file, open_arrays
from bench.errors import RequestError, UnknownNameError
from bench.metrics import Representation

Arrays = dict[str, Any]

LATENTS = ("codes", "categories", "logvar", "probabilities", "kl")
UNSEEN = "unseen"  # which rows were never trained on
NAMED = ("codes", "categories", "logvar", "factors")  # whose names the user may give
_SHARED = ("category_sizes", "factor_names", "factor_kinds", "factor_sizes")
_HELP = "see bench evaluate --help"
_LISTED = 8  # names in a note


@dataclass
class _Content:
    """What was read of a file.

    Attributes:
        train: arrays by what they are, such as `codes`.
        test: those of the held-out rows.
        shared: what both have in common, such as `factor_names`.
        notes: which array was taken for what, one line each.
        read: names of the arrays that were read.
    """

    train: Arrays = field(default_factory=dict)
    test: Arrays = field(default_factory=dict)
    shared: dict[str, Sequence[Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    read: set[str] = field(default_factory=set)


def read_codes(
    path: Path,
    factors: str | Path | None = None,
    kinds: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
    groups: str | None = None,
) -> Representation:
    """The representation in a file; its notes say which arrays it is made of.

    Args:
        path: of the file.
        factors: another file that holds the factors, such a file and the name of an array in it
            (`FILE:NAME`), or names of arrays of this file, comma-separated. A file is looked for
            first.
        kinds: of some factors, by name.
        names: of the arrays that are the codes, the categories or the log variances, by these
            words; several, comma-separated, are put side by side.
        groups: how many columns of the codes each latent has, `4,4,2` or `16x20`; not needed for
            codes (N, latents, columns), nor where the file has an array of that name.

    Raises:
        RequestError: a file cannot be read, or its arrays do not make a representation; the
            message names file and array.
    """
    names = dict(names or {})
    try:
        with open_arrays(path) as file:
            other, name = factors_file(factors, file)
            if name is not None:
                names["factors"] = name
            if other is None:
                content = _content(file, (*LATENTS, UNSEEN, "factors"), names)
            else:
                content = _content(file, (*LATENTS, UNSEEN), names)
                with open_arrays(other) as second:
                    labels = _content(second, ("factors",), names)
                if "factors" not in labels.train:
                    raise RequestError(f"{other} has no array factors: it has {second.listed()}")
                content.train |= labels.train
                content.test |= labels.test
                content.shared |= labels.shared
                content.notes += labels.notes
            _check(content.train, file)
            content.test.pop(UNSEEN, None)  # test rows are neither
    except ArrayFileError as error:
        raise RequestError(str(error)) from error
    shared: dict[str, Any] = dict(content.shared)
    try:
        if groups is not None:
            shared["groups"] = groups
        if kinds:
            shared["factor_kinds"] = _kinds(content.train["factors"], shared, kinds)
        representation = Representation.of(
            **content.train,
            **shared,
            test=content.test or None,
        )
    except ValueError as error:
        raise RequestError(f"{path}: {error}") from error
    except MemoryError as error:  # small types become larger ones
        raise RequestError(f"{path} is too large for the memory: give fewer rows") from error
    return replace(representation, notes=(*content.notes, *representation.notes))


def factors_file(
    factors: str | Path | None, file: ArrayFile | None = None
) -> tuple[Path | None, str | None]:
    """The file that `factors` names, and the names of arrays in it; see `read_codes`.

    Raises:
        RequestError: it names a file that does not exist.
    """
    if factors is None:
        return None, None
    text = str(factors)
    if os.path.isfile(text):
        return Path(text), None
    before, colon, name = text.rpartition(":")
    if colon and os.path.isfile(before):
        return Path(before), name
    if is_array_file(text) and (file is None or text not in file.names):
        raise RequestError(f"--factors {text}: no such file")
    return None, text


def _content(file: ArrayFile, wanted: Sequence[str], names: Mapping[str, str]) -> _Content:
    if isinstance(file, Table):
        content = _table(file, wanted, names)
    else:
        content = _arrays(file, wanted, names)
    unread = [name for name in file.names if name not in content.read]
    if unread:
        more = f" and {len(unread) - _LISTED} more" if len(unread) > _LISTED else ""
        content.notes.append(f"not read of {file.path.name}: {', '.join(unread[:_LISTED])}{more}")
    return content


def _check(train: Arrays, file: ArrayFile) -> None:
    """Raise RequestError if factors or latents are missing."""
    if "codes" not in train and "categories" not in train:
        raise RequestError(
            f"{file.path} has neither codes nor categories: it has {file.listed()}; name the array "
            f"that holds them with --codes ({_HELP})"
        )
    if "factors" not in train:
        raise RequestError(
            f"{file.path} has no array factors: it has {file.listed()}; add it, or name the array "
            f"or another file with --factors ({_HELP})"
        )


# --- npz and h5


def _arrays(file: ArrayFile, wanted: Sequence[str], names: Mapping[str, str]) -> _Content:
    content = _Content()
    group, group_of_test = _groups(file, wanted, names)
    places: dict[str, tuple[list[str], list[str]]] = {}
    for role in wanted:
        if role in names:
            places[role] = _named(file, names[role])
            continue
        usual = [n for n in (f"{group}{role}", f"{group}{role}_train") if n in file.names][:1]
        held_out = f"{group}{role}_test" if group_of_test is None else f"{group_of_test}{role}"
        if usual:
            places[role] = usual, [held_out] if held_out in file.names else []
    for side in (0, 1):
        _check_shapes(file, {role: pair[side] for role, pair in places.items() if pair[side]})
    for role, (train, test) in places.items():
        content.train[role] = _joined(file, role, train)
        if test:
            content.test[role] = _joined(file, role, test)
        content.read |= {*train, *test}
        shape = " x ".join(f"{n:,}" for n in content.train[role].shape)
        aside = f", held-out rows from {', '.join(test)}" if test else ""
        what = "array" if len(train) == 1 else "arrays"
        content.notes.append(
            f"{role}: {what} {', '.join(train)} of {file.path.name} ({shape}, "
            f"{file.header(train[0]).dtype}){aside}"
        )
    for name in _SHARED:
        of_this_file = "codes" in wanted or name.startswith("factor")
        if f"{group}{name}" in file.names and of_this_file:
            content.shared[name] = tuple(file.read(f"{group}{name}").ravel().tolist())
            content.read.add(f"{group}{name}")
    widths = f"{group}groups"
    if "codes" in content.train and widths in file.names:
        if file.header(widths).shape != (len(content.train["codes"]),):  # else labels of the rows
            content.shared["groups"] = tuple(file.read(widths).ravel().tolist())
            content.read.add(widths)
    return content


def _groups(
    file: ArrayFile, wanted: Sequence[str], names: Mapping[str, str]
) -> tuple[str, str | None]:
    """The group in which the arrays lie, and that of the held-out rows if it is another.

    Raises:
        RequestError: there are several.
    """
    usual = {name for role in wanted for name in (role, f"{role}_train")}
    if usual & set(file.names) or all(role in names for role in wanted if role in NAMED):
        return "", None
    groups = [name.rpartition("/")[0] for name in file.names if name.rpartition("/")[2] in usual]
    groups = list(dict.fromkeys(groups))
    if len(groups) == 1:
        return f"{groups[0]}/", None
    last = {group.rpartition("/")[2]: group for group in groups}
    if len(groups) == 2 and set(last) == {"train", "test"}:
        return f"{last['train']}/", f"{last['test']}/"
    if groups and not names:
        listed = ", ".join(groups[:_LISTED])
        raise RequestError(
            f"{file.path} has arrays in the groups {listed}: name those to read, such as "
            f"--codes {groups[0]}/codes --factors {groups[0]}/factors"
        )
    return "", None


def _named(file: ArrayFile, text: str) -> tuple[list[str], list[str]]:
    """The arrays that the user has named, and those of their held-out rows.

    Raises:
        ArrayFileError: there is no such array.
    """
    train, test = [], []
    for part in _split(text, file.names):
        ends = [name for name in file.names if name.rpartition("/")[2] == part]
        options = [name for name in (part, f"{part}_train") if name in file.names] or ends
        if len(options) > 1 and part not in file.names:
            raise RequestError(f"{file.path}: {part!r} may be {' or '.join(options)}: name one")
        name = options[0] if options else part
        file.require(name)
        train.append(name)
        held_out = f"{name.removesuffix('_train')}_test"
        if held_out in file.names:
            test.append(held_out)
    return train, test if len(test) == len(train) else []


def _check_shapes(file: ArrayFile, places: Mapping[str, Sequence[str]]) -> None:
    """Raise RequestError for arrays that cannot belong together, before they are read."""
    rows = {}
    for role, names in places.items():
        for name in names:
            shape = file.header(name).shape
            if role in ("codes", "logvar") and len(shape) > 3:
                raise RequestError(
                    f"{file.path}: array {name} has shape {shape}: give one number per latent, "
                    "(N, D), or one vector, (N, latents, columns of each)"
                )
            if role != "kl" and shape:
                rows[name] = shape[0]
    if len(set(rows.values())) > 1:
        listed = ", ".join(f"{name} {count:,}" for name, count in rows.items())
        raise RequestError(
            f"{file.path}: numbers of rows differ ({listed}): give one row per image in each"
        )


def _joined(file: ArrayFile, role: str, names: Sequence[str]) -> Any:
    """Some arrays of a file side by side; factors and categories, of any type, as a frame."""
    parts = [file.read(name) for name in names]
    if len(parts) == 1:
        return parts[0]
    for name, part in zip(names, parts, strict=True):
        if part.ndim not in (1, 2):
            raise file.error(name, f"has shape {part.shape}: {role} take columns (N,) or (N, D)")
    if role in LATENTS and role != "categories":
        return np.column_stack(parts)
    import pandas

    columns: dict[str, Any] = {}
    for name, part in zip(names, parts, strict=True):
        word = name.rpartition("/")[2].removesuffix("_test").removesuffix("_train")
        several = part.reshape(len(part), -1).T
        for k, column in enumerate(several):
            key = word if len(several) == 1 else f"{word}_{k + 1}"
            if key in columns:
                raise RequestError(f"{file.path}: two columns of {role} are called {key}")
            columns[key] = column
    return pandas.DataFrame(columns)


# --- csv and parquet


def _table(file: Table, wanted: Sequence[str], names: Mapping[str, str]) -> _Content:
    columns = {
        role: _columns(file, names.get(role, role), explicit=role in names)
        for role in wanted
        if role != "kl"
    }
    columns = {role: chosen for role, chosen in columns.items() if chosen}
    missing = "factors" in wanted and "factors" not in columns
    if missing or ("codes" in wanted and not {"codes", "categories"} & set(columns)):
        raise RequestError(
            f"{file.path} has the columns {file.listed()}: name those of latents codes_1, codes_2, "
            "... or categories_1, ..., and those of factors factors_NAME, or name them with "
            "--codes and --factors"
        )
    content = _Content()
    arrays: Arrays = {}
    for role, chosen in columns.items():
        first = ", ".join(list(chosen)[:_LISTED])
        more = f" and {len(chosen) - _LISTED} more" if len(chosen) > _LISTED else ""
        what = "column" if len(chosen) == 1 else "columns"
        content.notes.append(f"{role}: {what} {first}{more} of {file.path.name}")
        content.read |= set(chosen)
        named = role in ("factors", "categories")
        arrays[role] = _frame(file, chosen) if named else _numbers(file, list(chosen))
    if "split" not in file.names or "split" in content.read:
        content.train = arrays
        return content
    content.read.add("split")
    split = file.frame(["split"])["split"].astype(str).str.strip()
    if wrong := sorted(set(split) - {"train", "test"}):
        raise RequestError(f"{file.path}: column split has {wrong[0]!r}: use train and test")
    held_out = (split == "test").to_numpy()
    content.train = {role: array[~held_out] for role, array in arrays.items()}
    if held_out.any():
        content.test = {role: array[held_out] for role, array in arrays.items()}
    content.notes.append(f"split: {held_out.sum():,} rows of {len(held_out):,} are held out")
    return content


def _columns(file: Table, text: str, explicit: bool) -> dict[str, str]:
    """The columns that are named, each with its name among those of its kind.

    A name is that of a column, or of all columns that begin with it and an underscore.
    """
    chosen = {}
    for part in _split(text, file.names):
        start = f"{part}_"
        several = {n: n.removeprefix(start) for n in file.names if n.startswith(start)}
        if part in file.names and (explicit or not several):
            chosen[part] = part
        elif several:
            chosen |= several
        elif explicit:
            file.require(part)
    return chosen


def _numbers(file: Table, columns: Sequence[str]) -> np.ndarray:
    """The columns of latents side by side, or the one column of lists."""
    if len(columns) == 1:
        arrays = [file.read(columns[0])]
    else:
        frame = file.frame(columns)
        arrays = [frame[name].to_numpy() for name in columns]
    for name, array in zip(columns, arrays, strict=True):
        if array.dtype.kind not in "fiub":
            raise RequestError(f"{file.path}: column {name} does not hold numbers")
        if array.dtype.kind == "f" and (absent := int(np.isnan(array).sum())):
            raise RequestError(
                f"{file.path}: column {name} lacks {absent:,} of {array.size:,} values: leave "
                "these rows out"
            )
    joined: np.ndarray = arrays[0] if arrays[0].ndim > 1 else np.column_stack(arrays)
    return joined


def _frame(file: Table, columns: Mapping[str, str]) -> Any:
    """Columns of factors or categories, of whatever type, under their names among these."""
    if len(columns) == 1 and (lists := file.read(next(iter(columns)))).ndim > 1:
        return lists
    return file.frame(list(columns)).set_axis(list(columns.values()), axis="columns")


def _split(text: str, names: Sequence[str]) -> list[str]:
    """Comma-separated names, unless the whole is a name."""
    parts = [text] if text in names else [part.strip() for part in text.split(",")]
    if not all(parts):
        raise RequestError(f"{text!r} names no array: write names, comma-separated")
    return parts


def _kinds(
    factors: Any, shared: Mapping[str, Sequence[Any]], changed: Mapping[str, str]
) -> Mapping[str, str]:
    """The kinds of factors by name that the file tells, with those that are changed."""
    count = factors.shape[1] if factors.ndim > 1 else 1
    names = [f"v{k + 1}" for k in range(count)]
    if not isinstance(factors, np.ndarray):
        names = list(factors)
    names = [str(name) for name in shared.get("factor_names", names)]
    for name in changed:
        if name not in names:
            raise UnknownNameError("factor in --kind", name, names)
    return {**dict(zip(names, shared.get("factor_kinds", ()), strict=False)), **changed}
