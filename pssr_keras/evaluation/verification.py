"""Re-judge a sample of a record's images: does each of its numbers hold?

What an attack does to an image is keyed by (seed, index of the image), so the flags of a sample should be
those of the record, but for rounding. A cell fails where they differ more often one way than the other
(McNemar's exact test), or where the sample contradicts the accuracy over all images.
"""

import dataclasses
import typing

import numpy as np

from ..data.given import images_of
from ..data.images import Images
from ..inputs import InputError, check_integer, check_seed
from . import consistency, matching
from .crafting import check_task, correct, craft, logits_of, with_labels
from .provenance import images_hash, text_of_indices
from .records import WORST_CASE, comparable
from .statistics import exact_interval, flags_of, mcnemar

HOLDS, FAILS, NOT_CHECKED = "holds", "fails", "not checked"
SURE = 0.01  # a p-value below it, of flags that differ, fails a cell
CONFIDENCE = 0.999  # of the interval that is to hold the record's accuracy: a table has many cells
SAME = 1e-4  # of the largest logit: a model whose answers differ by more is a random one; as in `checks`


def verify(
    record: dict,
    models: typing.Any,
    images: typing.Any,
    n: int | None = 50,
    seed: int = 0,
    *,
    rows: typing.Iterable[str] | None = None,
    columns: typing.Iterable[str] | None = None,
    batch_size: int = 500,
    progress: bool = False,
    cache: typing.Any = None,
) -> dict:
    """Check a record against itself, then judge a sample of its images anew.

        found = verify(record, {"PSSR": pssr}, (x, y))

    Args:
        record: of `evaluate`, or a part of a table's.
        models: {name: model} or models, among which those of the record are found by the hashes of their
            weights; the classifier within a defense is one of them. Names tell models of the same weights
            apart: they are then those of the rows.
        images: the record's images in its order, (x, y) or a tf.data.Dataset; or `data.Images`, which may
            hold more or fewer of them, by their positions.
        n: images of the sample; all if None, none if 0.
        seed: of the sample; the attacks have the record's own.
        rows, columns: names of those to judge; all if None.
        batch_size, cache: see `craft`.
        progress: show progress bars.

    Returns:
        What JSON can hold: "holds", True or False, None if nothing was judged; "problems" and "remarks",
        lines; "n", "indices" and "seed" of the sample; "missing", {weights that are not here: [rows and
        columns that need them]}; and "cells", {row: {column: {"verdict", "why", "recorded", ...}}}. The
        verdict is "holds", "fails" or "not checked". Of what was judged there are "accuracy" and
        "interval_999" of the sample, "differing", the places whose flags differ, and "p" of McNemar's exact
        test.

    Raises:
        InputError: for what is no record of `evaluate`, names that it does not have, or images that are not
            its own.
    """
    if not isinstance(record, dict) or [place for place, _ in consistency.evaluations_in(record)][:1] != [""]:
        raise InputError("this is no record of evaluate: expected cells, attacks, weights, n and indices")
    check_names("row", rows, record["cells"])
    check_names("column", columns, known_columns(record))
    found = matching.plan(record, matching.held_models(models), rows, columns)
    problems = consistency.problems(record)
    if not consistency.is_readable(record):
        return summary(problems, {}, consistency.version_remarks(record), found.missing())
    judged = judge(found, sample_of(record, images, n, seed), columns, batch_size, progress, cache)
    return judged | {"problems": problems, "holds": False if problems else judged["holds"]}


def known_columns(record):
    """The columns of a record, in order."""
    return list(next(iter(record["cells"].values()), {}))


def check_names(kind, names, known):
    """Refuse names of rows or columns that a record does not have.

    Raises:
        InputError: if there is one.
    """
    for name in names or ():
        if name not in known:
            raise InputError(f"{kind} {name!r} is not in the record, expected one of {', '.join(known)}")


@dataclasses.dataclass(frozen=True)
class Sample:
    """Some of a record's images.

    Attributes:
        images: `data.Images`, or None for none.
        places: (m,) their places among the record's images, and among its flags.
        seed: by which they were drawn.
        remarks: what a reader must know of them.
    """

    images: Images | None
    places: np.ndarray
    seed: int
    remarks: list


def sample_of(record, images, n=50, seed=0):
    """Draw a sample of a record's images from those at hand; see `verify`.

    Raises:
        InputError: if these are not the record's images, or none of them are here.
    """
    check_seed(seed)
    if n is not None and check_integer("n", n, 0) == 0:
        return Sample(None, np.zeros(0, int), seed, [])
    indices = consistency.positions(record)
    if not isinstance(images, Images):
        images = images_of(images)
        if len(images) != len(indices):
            raise InputError(f"there are {len(images):,} images, expected the record's {len(indices):,}")
        images = dataclasses.replace(images, indices=indices)
    where = {int(index): row for row, index in enumerate(images.indices)}
    here = np.array([place for place, index in enumerate(indices) if int(index) in where], int)
    if not len(here):
        raise InputError(f"none of the record's {len(indices):,} images are here, of {record['data']!r}")
    rows = np.array([where[int(index)] for index in indices[here]])
    remarks, told = [], record.get("images_sha256")
    if len(here) < len(indices):
        remarks.append(
            f"{len(here):,} of the record's {len(indices):,} images are here ({images.source}), and the "
            "sample is drawn among them: whether they are the same cannot be told"
        )
    elif told is None:
        remarks.append("the record has no hash of its images: whether they are the same cannot be told")
    elif (own := images_hash(images.take(rows))) != told:
        raise InputError(
            f"the images are not those of the record, or in another order: their SHA-256 is {own[:12]}..., "
            f"expected {told[:12]}... of {record['data']!r}"
        )
    size = len(here) if n is None else min(n, len(here))
    drawn = np.sort(np.random.default_rng(seed).choice(len(here), size, replace=False))
    return Sample(images.take(rows[drawn]), here[drawn], seed, remarks)


def judge(found, sample, columns=None, batch_size=500, progress=False, cache=None, done=None):
    """Judge what a `matching.Plan` has on a `Sample`; see `verify`.

    Args:
        columns: names of those to judge; all if None.
        done: function (column, [its cells as `verdict` gives them]), called once a column is crafted.
    """
    record, cells = found.record, {row: {} for row in found.models}
    remarks = [*consistency.version_remarks(record), *sample.remarks]
    wanted = [column for column in known_columns(record) if columns is None or column in columns]
    models = {row: model for row, model in found.models.items() if matching.is_there(model)}
    for row, model in found.models.items():
        if not matching.is_there(model):
            for column in wanted:
                cells[row][column] = _unjudged(record["cells"][row][column], str(model))
    for column, run in found.runs.items():
        if not matching.is_there(run):
            why = str(run) if run.weights is None else f"crafted on {run}"
            for row in models:
                cells[row][column] = _unjudged(record["cells"][row][column], why)
    if sample.images is None or not models:
        return summary([], cells, remarks, found.missing())

    images = sample.images
    kind, attack_seed, size = record.get("labels", "true"), record["seed"], {"batch_size": batch_size}
    images, attack_seed = check_task(images, list(models.values()), attack_seed, batch_size)
    random = {row for row, model in models.items() if is_random(model, images, batch_size)}
    remarks += [f"{row} answers at random: its flags are not compared, only intervals" for row in random]
    answers = {row: {} for row in models}

    def judge_column(column, x):
        for row, model in models.items():
            flags = answers[row][column] = correct(model, x, images.y, **size)
            cell = record["cells"][row][column]
            cells[row][column] = verdict(cell, flags, sample.places, row in random)

    if columns is None or {"benign", WORST_CASE} & set(columns):
        judge_column("benign", images.x)
    for number, column in enumerate(found.columns(), 1):
        attack, model = found.runs[column]
        label = f"{column}, {number} of {len(found.columns())}, {len(images)} images" if progress else None
        attack, labelled = with_labels(kind, attack, model, images, attack_seed, **size)
        judge_column(column, craft(attack, model, labelled, attack_seed, label=label, cache=cache, **size))
        if done is not None:
            done(column, [cells[row][column] for row in models])
    for row in models:
        if WORST_CASE in wanted and WORST_CASE in record["cells"][row]:
            cell, counted = record["cells"][row][WORST_CASE], ["benign", *comparable(record["attacks"])]
            if set(counted) <= answers[row].keys():
                flags = np.all([answers[row][column] for column in counted], axis=0)
                cells[row][WORST_CASE] = verdict(cell, flags, sample.places, row in random)
            else:
                cells[row][WORST_CASE] = _unjudged(cell, "it needs columns that were not judged")
    in_order = {row: {c: cells[row][c] for c in wanted if c in cells[row]} for row in cells}
    return summary([], in_order, remarks, found.missing()) | {
        "n": len(images),
        "indices": text_of_indices(images.indices),
        "seed": sample.seed,
    }


def is_random(model, images, batch_size=500):
    """Whether a model answers otherwise when it is asked again."""
    first, second = (logits_of(model, images.x, batch_size) for _ in range(2))
    return bool(np.abs(first - second).max() > SAME * max(np.abs(first).max(), 1e-12))


def verdict(cell, flags, places, is_random=False):
    """What a sample says of a cell.

    Args:
        cell: of the record.
        flags: (m,) bool of the sample.
        places: (m,) places of the sample among the record's images.
        is_random: the model answers otherwise each time, so that single flags say nothing.

    Returns:
        A dictionary, see `verify`.
    """
    # Each end of `exact_interval` errs with 1 - confidence, so both together twice as often.
    low, high = exact_interval(flags.sum(), len(flags), (1 + CONFIDENCE) / 2)
    found = {"verdict": HOLDS, "why": "", "recorded": cell["accuracy"], "accuracy": float(flags.mean())}
    found |= {"n": len(flags), "interval_999": [low, high], "differing": None, "p": None}
    reasons = []
    if "correct" in cell and not is_random:
        recorded = flags_of(cell["correct"])[places]
        found["differing"] = places[recorded != flags].tolist()
        found["p"] = mcnemar(recorded, flags)["p"]
        if found["p"] < SURE:
            reasons.append(f"flags differ in one direction (p = {found['p']:.2g})")
    if not low <= cell["accuracy"] <= high:
        reasons.append(f"the sample allows {100 * low:.1f} to {100 * high:.1f}%")
    return found | ({"verdict": FAILS, "why": "; ".join(reasons)} if reasons else {})


def _unjudged(cell, why):
    return {"verdict": NOT_CHECKED, "why": why, "recorded": cell["accuracy"]}


def summary(problems, cells, remarks, missing):
    """What `verify` returns, of its parts."""
    verdicts = {cell["verdict"] for columns in cells.values() for cell in columns.values()}
    holds = False if problems or FAILS in verdicts else True if HOLDS in verdicts else None
    return {"holds": holds, "problems": problems, "remarks": remarks, "missing": missing, "cells": cells}
