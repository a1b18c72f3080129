"""Evaluate a set of images in parts, on several machines, and merge the parts into one record.

Attacks are keyed by (seed, index of an image), so a part of the images is attacked as it is in the whole.
What might differ is rounding, by the shape of a batch and the place of an image in it. So a shard is made
of whole batches of the set where there are enough: what is crafted is then the same to the last bit, but
for later parts of AutoAttack, whose batches are made of what still stands. Where there are fewer batches
than shards, they are padded to the size of the set's; the early-exit attacks (APGD, FAB, Square) take no
padding, so there a few flags may differ. See `advice` and docs/scaling.md.
"""

import collections
import dataclasses
import json
import os
import pathlib
import typing

import numpy as np

from ..batching import batches
from ..inputs import InputError, check_integer
from ..settings import flat
from . import records
from .crafting import labelled
from .provenance import images_hash, indices_of, text_of_indices
from .statistics import flags_of, measurement

OF_IMAGES = ("distance", "distances", "robust_when_crafted", records.EVERY_DISTANCE)  # of an attack's entry
# All other entries of the records of one evaluation agree.
OF_SHARDS = ("n", "indices", "images_sha256", "attacks", "cells", "checks", "shard")


@dataclasses.dataclass(frozen=True)
class Shard:
    """The number-th of `count` parts of a set of images, counted from 1."""

    number: int
    count: int

    def __str__(self):
        return f"{self.number}/{self.count}"

    def rows(self, images, batch_size):
        """The part's images of so many, a slice.

        Raises:
            InputError: if there are fewer images than parts.
        """
        if images < self.count:
            raise InputError(f"shard {self} of {images:,} images leaves shards empty: use at most {images:,}")
        whole = batches(images, batch_size)
        units = whole if len(whole) >= self.count else batches(images, 1)
        first, last = ((self.number - back) * len(units) // self.count for back in (1, 0))
        return slice(units[first].start, units[last - 1].stop)


def advice(shard: Shard, images: int, batch_size: int) -> str | None:
    """What to say where there are fewer batches than shards, or None."""
    count = len(batches(images, batch_size))
    if count >= shard.count:
        return None
    return (
        f"{images:,} images in batches of {batch_size:,} are {count} for {shard.count} shards: batches are "
        "padded, and APGD, FAB, Square and AutoAttack may answer otherwise for a few images than in one "
        f"process. With --batch-size {images // shard.count} for all shards every batch is whole"
    )


def parse(text: str) -> Shard:
    """A shard from what a user types: "2/8".

    Raises:
        InputError: if it is no number of a part.
    """
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise InputError(f"shard is {text!r}, expected a number of 1 to the number of shards, such as 2/8")
    return Shard(int(number), int(count))


def evaluate(
    shard: Shard,
    crafted_on: typing.Any,
    judged: typing.Any = None,
    images: typing.Any = None,
    attacks: typing.Any = None,
    *,
    batch_size: int = 500,
    **options: typing.Any,
) -> dict:
    """`records.evaluate` on one shard of the images; its record says what `merge` needs.

    Args:
        shard: `Shard`.
        images: all that are to be evaluated.
        crafted_on, judged, attacks, batch_size, options: see `records.evaluate`; either form of it will do.
    """
    judged, images, attacks = records.task_of(crafted_on, judged, images, attacks)
    sources = crafted_on.values() if isinstance(crafted_on, dict) else [crafted_on]
    images = labelled(images, [*sources, *judged.values()])
    batch_size = min(check_integer("batch_size", batch_size, 1), len(images))
    part = images.take(shard.rows(len(images), batch_size))
    record = records.evaluate(
        crafted_on, judged, part, attacks, batch_size=batch_size, is_shard=True, **options
    )
    whole = {"n": len(images), "indices": text_of_indices(images.indices), "images": images_hash(images)}
    return record | {
        "shard": {"number": shard.number, "of": shard.count, "batch_size": batch_size, "whole": whole}
    }


def read(path: str | os.PathLike[str]) -> dict[str, typing.Any]:
    """The record of a file.

    Raises:
        InputError: if it holds none.
    """
    path = pathlib.Path(path)
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} cannot be read as a record ({reason}): make that shard again") from error
    if not isinstance(record, dict) or "cells" not in record:
        raise InputError(f"{path} is no record of scripts/evaluate.py")
    return record


def merge(parts: typing.Any) -> dict[str, typing.Any]:
    """All shards of one evaluation as the record that one process would have made.

    Args:
        parts: [(name, for errors; record of a shard)], in any order, at least one.

    Raises:
        InputError: if a record is no shard, is damaged, or belongs to another evaluation; if a shard is
            there twice, or missing.
    """
    for name, record in parts:
        if "shard" not in record:
            raise InputError(f"{name} is no shard: make it by scripts/evaluate.py with --shard")
    refuse_foreign(parts)
    numbered: dict[int, list] = {}
    for name, record in parts:
        numbered.setdefault(record["shard"]["number"], []).append((name, record))
    count = parts[0][1]["shard"]["of"]
    for number, ((name, _), *others) in numbered.items():
        if others:
            raise InputError(f"{name} and {others[0][0]} are both shard {number}/{count}: give each once")
    missing = [f"{number}/{count}" for number in range(1, count + 1) if number not in numbered]
    if missing:
        raise InputError(
            f"shard {', '.join(missing)} is missing: run the same scripts/evaluate.py with --shard "
            f"{missing[0]}, then merge again"
        )
    ordered = [numbered[number][0] for number in range(1, count + 1)]
    for name, record in ordered:
        refuse_damaged(name, record)
    return joined([record for _, record in ordered])


def shared(record):
    """What all shards of one evaluation agree on, {dotted name: value}."""
    agreed = {name: value for name, value in record.items() if name not in OF_SHARDS}
    agreed["shard"] = {name: value for name, value in record["shard"].items() if name != "number"}
    agreed["attacks"] = {
        column: {name: value for name, value in config.items() if name not in OF_IMAGES}
        for column, config in record["attacks"].items()
    }
    agreed["columns"] = {row: ", ".join(cells) for row, cells in record["cells"].items()}
    return flat(agreed)


def refuse_foreign(parts):
    """Refuse a shard that does not agree with the others, or with the most of them."""
    agreed = []
    for name, record in parts:
        try:
            agreed.append(shared(record))
        except (KeyError, TypeError, AttributeError) as error:
            raise damaged(name) from error
    texts = [json.dumps(entries, sort_keys=True) for entries in agreed]
    (most, _), *_ = collections.Counter(texts).most_common()
    usual = texts.index(most)
    for (name, _), entries, text in zip(parts, agreed, texts, strict=True):
        if text != most:
            others = agreed[usual]
            entry = min(k for k in entries.keys() | others.keys() if entries.get(k) != others.get(k))
            raise InputError(
                f"{name} is a shard of another evaluation than {parts[usual][0]}: {entry} is "
                f"{brief(entries.get(entry))}, expected {brief(others.get(entry))}; leave it out, or make "
                "that shard again"
            )


def brief(value):
    """A value in an error, cut where it is long."""
    text = "not there" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def refuse_damaged(name, record):
    """Refuse a record that does not hold each of its images once everywhere."""
    shard, whole = record["shard"], record["shard"]["whole"]
    try:
        rows = Shard(shard["number"], shard["of"]).rows(whole["n"], shard["batch_size"])
        indices = indices_of(whole["indices"])[rows]
        found = [cell["correct"] for cells in record["cells"].values() for cell in cells.values()]
        for config in record["attacks"].values():
            found += [config[records.EVERY_DISTANCE], *config.get("robust_when_crafted", {}).values()]
        whole_everywhere = all(len(one) == record["n"] == len(indices) for one in found)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise damaged(name) from error
    if not whole_everywhere or record["indices"] != text_of_indices(indices):
        raise damaged(name)


def damaged(name):
    return InputError(f"{name} is damaged, it does not hold what its shard should: make that shard again")


def joined(ordered):
    """The records of all shards, in order and in agreement, as one."""
    first = ordered[0]
    whole = first["shard"]["whole"]
    attacks = {column: joined_attack([r["attacks"][column] for r in ordered]) for column in first["attacks"]}
    cells = {
        row: {
            column: measurement(flags_of("".join(r["cells"][row][column]["correct"] for r in ordered)))
            for column in columns
            if column != records.WORST_CASE
        }
        for row, columns in first["cells"].items()
    }
    if any(records.WORST_CASE in columns for columns in first["cells"].values()):
        cells = records.with_worst_case(cells, attacks)
    changed = {
        "n": whole["n"],
        "indices": whole["indices"],
        "images_sha256": whole["images"],
        "attacks": attacks,
        "cells": cells,
    }
    return {name: changed.get(name, value) for name, value in first.items() if name != "shard"}


def joined_attack(configs):
    """The entries of one attack in all shards as one."""
    moved = np.concatenate([np.array(config[records.EVERY_DISTANCE], np.float32) for config in configs])
    changed = records.described_distances(moved, configs[0]["eps"])
    if "robust_when_crafted" in configs[0]:
        changed["robust_when_crafted"] = {
            part: "".join(config["robust_when_crafted"][part] for config in configs)
            for part in configs[0]["robust_when_crafted"]
        }
    kept = {name: value for name, value in configs[0].items() if name != records.EVERY_DISTANCE}
    return {name: changed.get(name, value) for name, value in kept.items()}
