"""A record against itself: does each of its numbers follow from its own flags? No model is needed."""

import re

import numpy as np

from ..inputs import InputError
from .provenance import indices_of, versions
from .records import WORST_CASE, comparable
from .statistics import flags_of, wilson_interval, worst_case

SETTINGS = ("configuration", "attacks")  # which hold no accuracies
HASHES = ("weights", "digests", "digest", "crafted_on", "images_sha256")
OF_ANSWERS = ("pssr-keras", "keras", "tensorflow")  # the packages whose code and rounding decide an answer


def evaluations_in(content, place=""):
    """[(place, record)] of the evaluations that a file holds, such as those of a table's `parts`.

    An evaluation names its images, its attacks and its models, as records of `evaluate` do; of figures and
    other readings, which name fewer, there is none.
    """
    if isinstance(content, list):
        content = {f"part {i}": part for i, part in enumerate(content, 1)}
    if not isinstance(content, dict):
        return []
    found = [(place, content)] if _is_evaluation(content) else []
    for key, part in content.items():
        if isinstance(part, dict | list) and key not in ("cells", *SETTINGS):
            found += evaluations_in(part, place if key == "parts" else f"{place}, {key}" if place else key)
    return found


def _is_evaluation(content):
    of_rows = all(isinstance(content.get(key), dict) for key in ("cells", "attacks", "weights"))
    return of_rows and {"n", "indices", "data", "seed", "crafted_on"} <= content.keys()


def problems(content):
    """What contradicts itself in the content of a record, of any structure, one line each.

    Checked are each accuracy and interval, the numbers of flags and indices, the worst cases, that rows and
    columns are complete, and that hashes are SHA-256.

    Raises:
        InputError: for what holds no accuracies at all.
    """
    seen = []
    found = list(_of_numbers(content, None, "", seen))
    if not seen:
        raise InputError("there is no accuracy in it: expected a record of pssr-evaluate or pssr-reproduce")
    for place, record in evaluations_in(content):
        found += [f"{place}: {line}" if place else line for line in _of_evaluation(record)]
    return found


def cells_in(content):
    """How many accuracies a record holds."""
    seen = []
    list(_of_numbers(content, None, "", seen))
    return len(seen)


def version_remarks(content):
    """Where a record was made with other versions than those here, one line for each set of versions."""
    here, told = versions(), []
    for made in _versions_in(content):
        others = [
            f"{name} {made.get(name, 'of an unknown version')} (here {here[name]})"
            for name in OF_ANSWERS
            if made.get(name) != here[name]
        ]
        if others and (line := f"made with {', '.join(others)}") not in told:
            told.append(line)
    return told


def same_versions(record):
    """Whether a record was made with the versions that are here."""
    here, made = versions(), record.get("versions", {})
    return all(made.get(name) == here[name] for name in OF_ANSWERS)


def _versions_in(content):
    if isinstance(content, list):
        return [made for part in content for made in _versions_in(part)]
    if not isinstance(content, dict):
        return []
    own = [content["versions"]] if isinstance(content.get("versions"), dict) else []
    return own + [made for part in content.values() for made in _versions_in(part)]


def _of_numbers(content, n, place, seen):
    """Contradictions of accuracies, intervals and hashes within `content`, of `n` images if it says none."""
    if isinstance(content, list):
        content = {f"part {i}": part for i, part in enumerate(content, 1) if isinstance(part, dict | list)}
    elif not isinstance(content, dict):
        return
    n = content["n"] if isinstance(content.get("n"), int) else n
    if {"accuracy", "interval_95"} <= content.keys():
        seen.append(place)
        yield from (f"{place}: {line}" for line in _of_cell(content, n))
    for key, part in content.items():
        if key in SETTINGS:
            continue
        if key in HASHES:
            yield from _of_hashes(part, f"{place}, {key}" if place else key)
        if isinstance(part, dict | list):
            inner = place if key in ("parts", "cells") else f"{place}, {key}" if place else key
            yield from _of_numbers(part, n, inner, seen)


def _of_cell(cell, n):
    accuracy, flags = cell["accuracy"], cell.get("correct")
    if not isinstance(accuracy, int | float) or not 0 <= accuracy <= 1:
        yield f"the accuracy is {accuracy!r}, expected 0 to 1"
        return
    if flags is not None:
        if not (isinstance(flags, str) and flags and set(flags) <= {"0", "1"}):
            yield "its flags are no text of 0 and 1"
            return
        if n is not None and len(flags) != n:
            yield f"it has {len(flags):,} flags, expected {n:,}, one for each image"
        n, right = len(flags), flags.count("1")
        if not np.isclose(accuracy, right / n, rtol=0, atol=1e-9):
            yield f"the accuracy is {accuracy:g}, but its flags say {right:,} of {n:,}, {right / n:g}"
    elif n is None:
        return
    else:
        right = round(accuracy * n)
    interval = wilson_interval(right, n)
    if np.shape(cell["interval_95"]) != (2,) or not np.allclose(cell["interval_95"], interval, atol=1e-6):
        low, high = interval
        yield f"the interval is {cell['interval_95']}, expected [{low:.4f}, {high:.4f}] of {right:,} of {n:,}"


def _of_hashes(value, place):
    """A hash, None for what has none, or a dictionary of them."""
    if isinstance(value, dict):
        for name, one in value.items():
            if not isinstance(one, dict):  # what describes a model is walked into like anything else
                yield from _of_hashes(one, f"{place}, {name}")
    elif value is not None and not (isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value)):
        yield f"{place} is {value!r}, expected a SHA-256, 64 hexadecimal digits"


def _of_evaluation(record):
    """Contradictions between the parts of one evaluation."""
    n, cells, attacks = record["n"], record["cells"], record["attacks"]
    try:
        indices = positions(record)
    except InputError as error:
        yield str(error)
    else:
        if len(indices) != n:
            yield f"n is {n:,}, but the indices are {len(indices):,}"
        if len(np.unique(indices)) != len(indices):
            yield "an index is there twice"
    if record["weights"].keys() != cells.keys():
        yield f"the rows are {', '.join(cells)}, but weights are named of {', '.join(record['weights'])}"
    for name, config in attacks.items():
        flags = config.get("robust_when_crafted", {}) | {"": config.get("distances") or "-" * n}
        if any(len(text) != n for text in flags.values()):
            yield f"attack {name} does not tell of {n:,} images"
    for row, columns in cells.items():
        missing = {"benign", *attacks} - columns.keys()
        if missing or columns.keys() - {"benign", *attacks, WORST_CASE}:
            yield f"{row} has the columns {', '.join(columns)}, expected benign, {', '.join(attacks)}"
            continue
        counted = {column: columns[column] for column in ("benign", *comparable(attacks))}
        lengths = {len(cell["correct"]) if "correct" in cell else None for cell in counted.values()}
        if WORST_CASE in columns and len(lengths) == 1 and None not in lengths:
            found, said = worst_case(counted)["correct"], columns[WORST_CASE].get("correct", "")
            if found != said:
                right, claimed = (flags_of(text).sum() for text in (found, said))
                yield f"{row}, worst case: its flags say {claimed:,}, but {right:,} stand in all columns"


def is_readable(record):
    """Whether each image of an evaluation has one index, and one flag in each cell that has flags."""
    try:
        indices = positions(record)
    except InputError:
        return False
    flags = [
        cell.get("correct", "0" * len(indices))
        for cells in record["cells"].values()
        for cell in cells.values()
    ]
    columns = {"benign", *record["attacks"]}
    return (
        len(indices) == record["n"]
        and record["weights"].keys() == record["cells"].keys()
        and all(columns <= cells.keys() for cells in record["cells"].values())
        and all(len(text) == len(indices) and set(text) <= {"0", "1"} for text in flags)
    )


def positions(record):
    """The indices (n,) of a record's images, from either of their forms.

    Raises:
        InputError: if they are in none.
    """
    indices = record["indices"]
    try:
        found = indices_of(indices) if isinstance(indices, str) else np.asarray(indices, np.int64)
    except (ValueError, TypeError, IndexError):
        found = np.zeros((0, 0))
    if found.ndim != 1 or not len(found) or found.min() < 0:
        raise InputError(f"the indices are {str(indices)[:40]!r}, expected positions such as '0-99'")
    return found
