"""Measure accuracy under attack: who crafts, who is judged, and a record that says all of it.

A threat model is a pair of models. Oblivious: the attack is crafted on the classifier alone and judged
on the PSSR. Other threat models craft on another model (a substitute, a surrogate of the PSSR), and
call the same `evaluate`.
"""

import hashlib
import importlib.metadata
import pathlib
import platform
import sys

import keras
import numpy as np
import scipy.stats

from .attacks.base import compiled_logits
from .inputs import InputError, check_logits

OBLIVIOUS = "oblivious: crafted on the classifier alone"
PACKAGES = ("keras", "tensorflow", "tensorflow-datasets", "cleverhans", "numpy")


def wilson_interval(successes, total, confidence=0.95):
    """Wilson's score interval for a proportion: (low, high), both in [0, 1].

    Raises:
        InputError: if total is not positive, or successes are not from 0 to total.
    """
    if total < 1 or not 0 <= successes <= total:
        raise InputError(f"{successes} of {total} is no proportion, expected 0 <= successes <= total")
    interval = scipy.stats.binomtest(int(successes), int(total)).proportion_ci(confidence, "wilson")
    return interval.low, interval.high


def weights_hash(model):
    """SHA-256 of a model's weights: of shapes and bytes, in order."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(str(weight.shape).encode())
        digest.update(np.ascontiguousarray(weight, "<f4").tobytes())
    return digest.hexdigest()


def file_hash(path):
    """SHA-256 of a file.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error


def versions():
    """Versions of Python and of the packages that a result depends on."""
    return {"python": platform.python_version()} | {p: importlib.metadata.version(p) for p in PACKAGES}


def batches(count, batch_size):
    """Slices of at most batch_size that cover range(count)."""
    return [slice(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]


def pad(array, length):
    """Repeat the last row until there are `length` rows, so that every batch has one shape."""
    missing = length - len(array)
    return array if missing == 0 else np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])


def craft(attack, model, images, seed=0, batch_size=500, label=None):
    """Attack every image, the last partial batch included.

    Args:
        attack: an attack of `pssr_keras.attacks`.
        model: what the attack is crafted on, images -> logits.
        images: `data.Images` with true labels.
        seed: integer; with the index of each image it determines the random starts.
        batch_size: images at a time; it changes speed and memory, not the result.
        label: if given, a progress bar with time to go is shown under this name.

    Returns:
        Adversarial images, shaped as images.x.
    """
    batch_size = min(batch_size, len(images))
    x_adv = np.empty_like(images.x)
    progress = Progress(label, len(images))
    for rows in batches(len(images), batch_size):
        x, y, indices = (pad(part[rows], batch_size) for part in (images.x, images.y, images.indices))
        x_adv[rows] = attack(model, x, y, seed=seed, indices=indices)[: rows.stop - rows.start]
        progress.update(rows.stop)
    return x_adv


class Progress:
    """A progress bar with time to go; silent without a label, sparing where output is no terminal."""

    def __init__(self, label, total, unit_name="image"):
        self.bar = None
        if label is not None:
            print(label, flush=True)
            self.bar = keras.utils.Progbar(
                total, interval=0.2 if sys.stdout.isatty() else 20, unit_name=unit_name
            )

    def update(self, done, values=()):
        if self.bar is not None:
            self.bar.stateful_metrics.update(name for name, _ in values)  # shown as they are, not averaged
            self.bar.update(done, values)


def correct(model, x, y, batch_size=500):
    """Which images the model, images -> logits, classifies correctly: (N,) bool.

    Raises:
        InputError: if the model returns NaN, infinite values or probabilities.
    """
    batch_size = min(batch_size, len(x))
    logits = compiled_logits(model)
    parts = [
        logits(pad(x[rows], batch_size)).numpy()[: rows.stop - rows.start]
        for rows in batches(len(x), batch_size)
    ]
    return check_logits(np.concatenate(parts)).argmax(axis=-1) == y


def measurement(flags):
    """Accuracy, interval and per-image flags of one cell of a table."""
    low, high = wilson_interval(flags.sum(), len(flags))
    return {
        "accuracy": float(flags.mean()),
        "interval_95": [low, high],
        "correct": "".join("1" if flag else "0" for flag in flags),
    }


def evaluate(
    crafted_on, judged, images, attacks, *, threat_model=OBLIVIOUS, seed=0, batch_size=500, progress=False
):
    """Accuracy of several models on clean images and under several attacks.

    Args:
        crafted_on: the model that the attacks see, images -> logits.
        judged: {row name: model}, whose answers count.
        images: `data.Images`.
        attacks: attacks of `pssr_keras.attacks`.
        threat_model: what the attacker knows, in words, for the record.
        seed, batch_size: see `craft`.
        progress: show progress bars.

    Returns:
        A record that JSON can hold: everything needed to reproduce it, and for each row and column the
        accuracy over all n images, its Wilson 95% interval and a string of per-image flags (1: correct).
    """
    cells = {
        row: {"benign": measurement(correct(m, images.x, images.y, batch_size))} for row, m in judged.items()
    }
    for attack in attacks:
        label = f"{attack.name}, {len(images)} images" if progress else None
        x_adv = craft(attack, crafted_on, images, seed, batch_size, label)
        for row, model in judged.items():
            cells[row][attack.name] = measurement(correct(model, x_adv, images.y, batch_size))
    return {
        "data": images.source,
        "n": len(images),
        "indices": images.indices.tolist(),
        "threat_model": threat_model,
        "attacks": {attack.name: attack.get_config() for attack in attacks},
        "seed": seed,
        "versions": versions(),
        "crafted_on": weights_hash(crafted_on),
        "weights": {row: weights_hash(model) for row, model in judged.items()},
        "cells": cells,
    }


def table(record):
    """The record as text: rows x columns, percent with Wilson 95% intervals, and what was measured."""
    columns = ["benign", *record["attacks"]]
    lines = [["", *columns]]
    for row, cells in record["cells"].items():
        lines.append([row])
        for column in columns:
            low, high = (100 * bound for bound in cells[column]["interval_95"])
            lines[-1].append(f"{100 * cells[column]['accuracy']:.2f} [{low:.1f}, {high:.1f}]")
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )
    budgets = sorted({f"{config['eps']:g}" for config in record["attacks"].values()})
    budget = f"eps {', '.join(budgets)} (Linf); " if budgets else ""
    return (
        f"{text}\n\naccuracy in %, Wilson 95% intervals; n = {record['n']}; {budget}"
        f"seed {record['seed']}; data: {record['data']}\nthreat model {record['threat_model']}"
    )


def label_leaks(cells):
    """Attacks under which a model is more accurate than on the clean images: a sign of label leaking.

    An attacker may always leave the image alone, so no competent attack raises the accuracy. Where one
    does, images crafted with true labels may carry the label, and the defense may have learned to read
    it. It is a sign, no proof: in PSSR the noise also shows which pixels were removed.
    """
    clean = cells["benign"]["accuracy"]
    return [name for name, cell in cells.items() if cell["accuracy"] > clean]


def remarks(record):
    """What a reader of the table must know, one line each."""
    return [
        f"{row} is more accurate under {', '.join(leaks)} than on benign images: a sign of label leaking, "
        "and that these attacks are no measure of its robustness"
        for row, cells in record["cells"].items()
        if (leaks := label_leaks(cells))
    ]
