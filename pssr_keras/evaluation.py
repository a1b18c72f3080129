"""Measure accuracy under attack: who crafts, who is judged, and a record that says all of it.

A threat model is a pair of models. Oblivious: the attack is crafted on the classifier alone and judged
on the PSSR. Transfer: crafted on a substitute. Adaptive: crafted on surrogates of the PSSR itself (see
`attacks.adaptive`). All are the same call of `evaluate`.
"""

import dataclasses
import hashlib
import importlib.metadata
import pathlib
import platform
import sys

import keras
import numpy as np
import scipy.stats

from . import cache as caching
from .attacks.autoattack import AutoAttack
from .attacks.base import compiled_logits, distances
from .attacks.survivors import SurvivorAttack
from .inputs import InputError, check_logits

OBLIVIOUS = "oblivious: crafted on the classifier alone"
TRANSFER = "transfer: crafted on a substitute of the classifier"
ADAPTIVE = "adaptive: crafted on the PSSR itself, through surrogates of its gradient"
WORST_CASE = "worst case"
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


def mcnemar(first, second):
    """McNemar's exact test of two rows on the same images: are their errors equally many?

    Of the images that exactly one of both classifies correctly, each row should win half: a binomial test.

    Args:
        first, second: (n,) bool, per-image flags.

    Returns:
        {"first_only", "second_only": numbers of images, "p": two-sided p-value, 1 without a difference}.
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    wins, losses = int((first & ~second).sum()), int((second & ~first).sum())
    p = scipy.stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    return {"first_only": wins, "second_only": losses, "p": float(p)}


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


def identity(model):
    """What determines a model's answers and gradients, for a record or the key of a cache."""
    known = {"kind": type(model).__name__, "weights": weights_hash(model)}
    if getattr(model, "surgery", None) is not None:
        known["surgery"] = model.surgery.get_config()
    return known | {n: getattr(model, n) for n in ("temperature", "radius") if hasattr(model, n)}


LABELS = ("true", "predicted", "random target")


def check_labels_kind(kind):
    if kind not in LABELS:
        raise InputError(f"labels are {kind!r}, expected one of {', '.join(LABELS)}")


def with_labels(kind, attack, model, images, seed=0, batch_size=500):
    """An attack and images whose labels are those that the attacker uses: a control of label leaking.

    Args:
        kind: "true": away from the true label. "predicted": away from the class that the model predicts, so
            that the perturbation tells no more than the model does. "random target": towards a class drawn at
            random among those not predicted, so that it tells nothing of the true label.
        attack, model, images, seed, batch_size: see `craft`.

    Returns:
        (attack, images).
    """
    check_labels_kind(kind)
    if kind == "true":
        return attack, images
    predicted = logits_of(model, images.x, batch_size).argmax(axis=-1).astype(np.int32)
    if kind == "predicted":
        return attack, dataclasses.replace(images, y=predicted)
    offsets = np.random.default_rng([seed, 1]).integers(1, images.classes, images.indices.max() + 1)
    targets = (predicted + offsets[images.indices]) % images.classes
    return dataclasses.replace(attack, targeted=True), dataclasses.replace(images, y=targets.astype(np.int32))


def craft(attack, model, images, seed=0, batch_size=500, label=None, cache=None):
    """Attack every image, the last partial batch included.

    Args:
        attack: an attack of `pssr_keras.attacks`.
        model: what the attack is crafted on, images -> logits.
        images: `data.Images` with true labels.
        seed: integer; with the index of each image it determines the random starts.
        batch_size: images at a time; it changes speed and memory, not the result.
        label: if given, a progress bar with time to go is shown under this name.
        cache: a folder; what is found there is not crafted again, see `cache`. It needs a Keras model.

    Returns:
        Adversarial images, shaped as images.x.
    """
    if isinstance(attack, AutoAttack):
        return run_autoattack(attack, model, images, seed, batch_size, label, cache).x_adv
    if cache is not None:
        ingredients = {"model": identity(model), "attack": attack.get_config(), "seed": seed}
        ingredients |= {"x": images.x, "y": images.y, "indices": images.indices, "versions": versions()}
        return caching.remember(
            cache, ingredients, lambda: craft(attack, model, images, seed, batch_size, label)
        )
    batch_size = min(batch_size, len(images))
    x_adv = np.empty_like(images.x)
    progress = Progress(label, len(images))
    for rows in batches(len(images), batch_size):
        # An attack on survivors takes any number of images; others are traced once for each.
        size = rows.stop - rows.start if isinstance(attack, SurvivorAttack) else batch_size
        x, y, indices = (pad(part[rows], size) for part in (images.x, images.y, images.indices))
        x_adv[rows] = attack(model, x, y, seed=seed, indices=indices)[: rows.stop - rows.start]
        progress.update(rows.stop)
    return x_adv


def run_autoattack(attack, model, images, seed=0, batch_size=500, label=None, cache=None):
    """AutoAttack on every image, part by part: with a cache, an interrupted run goes on at its last part.

    Args:
        as `craft`.

    Returns:
        `attacks.autoattack.Result`: adversarial images, and which images each part left standing.
    """

    def attack_part(part, rows):
        name = f"{label}: {part.name}, {len(rows)} images still stand" if label else None
        return craft(part, model, images.take(rows), seed, batch_size, name, cache)

    return attack.cascade(model, images.x, images.y, logits_of(model, images.x, batch_size), attack_part)


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


def logits_of(model, x, batch_size=500):
    """The logits of any number of images, (N, K).

    Raises:
        InputError: if the model returns NaN, infinite values or probabilities.
    """
    batch_size = min(batch_size, len(x))
    logits = compiled_logits(model)
    parts = [
        logits(pad(x[rows], batch_size)).numpy()[: rows.stop - rows.start]
        for rows in batches(len(x), batch_size)
    ]
    return check_logits(np.concatenate(parts))


def correct(model, x, y, batch_size=500):
    """Which images the model, images -> logits, classifies correctly: (N,) bool; raises as `logits_of`."""
    return logits_of(model, x, batch_size).argmax(axis=-1) == y


def measurement(flags):
    """Accuracy, interval and per-image flags of one cell of a table."""
    low, high = wilson_interval(flags.sum(), len(flags))
    return {"accuracy": float(flags.mean()), "interval_95": [low, high], "correct": text_of(flags)}


def text_of(flags):
    """Flags (N,) as a text of 0 and 1."""
    return "".join("1" if flag else "0" for flag in flags)


def within_budget(cells, column, distances, budget):
    """The cell of an attack without a budget, had it one: beyond, the attacker leaves the image as it is.

    Args:
        cells: {column: `measurement`} of one model, the benign one among them, on the same images.
        column: of the attack.
        distances: of its images from the clean ones, (N,).
        budget: the largest distance that counts.
    """
    attacked, clean = (flags_of(cells[name]["correct"]) for name in (column, "benign"))
    return measurement(np.where(np.asarray(distances) <= budget, attacked, clean))


def text_of_indices(indices):
    """Positions in a data set as text, such as "0-9" or "0-9,12"."""
    breaks = np.flatnonzero(np.diff(indices) != 1) + 1
    parts = [(part[0], part[-1]) for part in np.split(np.asarray(indices), breaks)]
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in parts)


def flags_of(text):
    """The flags (N,) that `text_of` wrote."""
    return np.array([character == "1" for character in text])


def worst_case(cells):
    """The cell of an attacker who has tried everything: an image counts only if it is right in all cells.

    Args:
        cells: {column: `measurement`}, the benign one among them, of one model on the same images.
    """
    return measurement(np.all([flags_of(cell["correct"]) for cell in cells.values()], axis=0))


def evaluate(
    crafted_on,
    judged,
    images,
    attacks,
    *,
    queried=None,
    labels="true",
    threat_model=OBLIVIOUS,
    seed=0,
    batch_size=500,
    progress=False,
    cache=None,
):
    """Accuracy of several models on clean images and under several attacks.

    Args:
        crafted_on: the model that the attacks see, images -> logits; or {name: model}, each of which is
            attacked in turn.
        judged: {row name: model}, whose answers count.
        images: `data.Images`.
        attacks: attacks of `pssr_keras.attacks`, each name once.
        queried: {name: model}, what attacks without gradients query where several models are attacked; the
            first of those if None. Surrogates of a PSSR all answer alike, so one suffices.
        labels: which labels the attacker uses, see `with_labels`; what counts are always the true ones.
        threat_model: what the attacker knows, in words, for the record.
        seed, batch_size, cache: see `craft`.
        progress: show progress bars.

    Returns:
        A record that JSON can hold: everything needed to reproduce it, and for each row and column the
        accuracy over all n images, its Wilson 95% interval and a string of per-image flags (1: correct).
        Where several models are attacked, columns are named "model attack", and there is a worst case.
    """
    several = isinstance(crafted_on, dict)
    sources = crafted_on if several else {"": crafted_on}
    cells = {
        row: {"benign": measurement(correct(m, images.x, images.y, batch_size))} for row, m in judged.items()
    }
    described = {}
    queried = dict(list(sources.items())[:1]) if queried is None else queried
    runs = [
        (source, model, attack)
        for by_gradient, models in ((True, sources), (False, queried))
        for source, model in models.items()
        for attack in attacks
        if attack.uses_gradient == by_gradient
    ]
    for source, model, attack in runs:
        column = f"{source} {attack.name}".strip()
        label = f"{column}, {len(images)} images" if progress else None
        attack, labelled = with_labels(labels, attack, model, images, seed, batch_size)
        described[column] = attack.get_config() | ({"crafted_on": source} if several else {})
        if isinstance(attack, AutoAttack):
            result = run_autoattack(attack, model, labelled, seed, batch_size, label, cache)
            x_adv = result.x_adv
            described[column]["robust_when_crafted"] = {
                part: text_of(flags) for part, flags in result.robust.items()
            }
        else:
            x_adv = craft(attack, model, labelled, seed, batch_size, label, cache)
        moved = distances(images.x, x_adv, attack.norm)
        described[column]["distance"] = {
            "median_of_moved": float(np.median(moved[moved > 0])) if (moved > 0).any() else 0.0,
            "largest": float(moved.max()),
            "moved": int((moved > 0).sum()),
        }
        if attack.eps is None:  # so that a reader can count success within any budget
            described[column]["distances"] = [round(float(distance), 3) for distance in moved]
        for row, defended in judged.items():
            cells[row][column] = measurement(correct(defended, x_adv, images.y, batch_size))
    if several:
        # An attack with another norm or without a budget answers another question.
        comparable = [column for column, config in described.items() if config["norm"] == "Linf"]
        if comparable:
            for row in cells.values():
                row[WORST_CASE] = worst_case({column: row[column] for column in ("benign", *comparable)})
    return {
        "data": images.source,
        "n": len(images),
        "indices": text_of_indices(images.indices),
        "threat_model": threat_model,
        "labels": labels,
        "attacks": described,
        "seed": seed,
        "versions": versions(),
        "crafted_on": {n: identity(m) for n, m in (sources | queried).items()}
        if several
        else weights_hash(crafted_on),
        "weights": {row: weights_hash(model) for row, model in judged.items()},
        "cells": cells,
    }


def align(lines):
    """Lines of cells as text in columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def budgets(record):
    """The budgets of a record's attacks in words, such as "eps 0.3 (Linf)"."""
    texts = set()
    for config in record["attacks"].values():
        norm = config.get("norm", "Linf")
        texts.add(f"no budget ({norm})" if config["eps"] is None else f"eps {config['eps']:g} ({norm})")
    return ", ".join(sorted(texts))


def table(record):
    """The record as text, percent with Wilson 95% intervals, and what was measured.

    Rows are models and columns attacks; with many attacks on one model it is the other way round.
    """
    columns = list(next(iter(record["cells"].values())))
    lines = [["", *columns]]
    for row, cells in record["cells"].items():
        lines.append([row])
        for column in columns:
            low, high = (100 * bound for bound in cells[column]["interval_95"])
            lines[-1].append(f"{100 * cells[column]['accuracy']:.2f} [{low:.1f}, {high:.1f}]")
    if len(columns) > 6 and len(columns) > len(lines):
        lines = [list(line) for line in zip(*lines, strict=True)]
    described = budgets(record)
    return (
        f"{align(lines)}\n\naccuracy in %, Wilson 95% intervals; n = {record['n']}; "
        f"{described + '; ' if described else ''}seed {record['seed']}; data: {record['data']}\n"
        f"threat model {record['threat_model']}"
    )


def label_leaks(cells):
    """Attacks under which a model is more accurate than on the same clean images: a symptom.

    An attacker may always leave the image alone, so no competent attack raises the accuracy. Where one
    does, images crafted with true labels may carry the label, and the defense may have learned to read
    it. It is no proof: a small rise may be chance, and in PSSR the noise also shows which pixels were
    removed.

    Args:
        cells: {column: `measurement`}, the benign one among them, of one model on the same images.

    Returns:
        {attack: p-value of `mcnemar` for its difference from the benign column, None without flags}.
    """
    benign = cells["benign"]
    return {
        name: mcnemar(flags_of(benign["correct"]), flags_of(cell["correct"]))["p"]
        if "correct" in cell
        else None
        for name, cell in cells.items()
        if cell["accuracy"] > benign["accuracy"]
    }


def with_chance(leaks, names=None):
    """The attacks of `label_leaks` with their p-values, in words; `names` are those to print."""
    return ", ".join(
        (names or {}).get(name, name) + ("" if p is None else f" (p = {p:.2g})") for name, p in leaks.items()
    )


def leak_remark(leaks, names=None):
    """What `label_leaks` found, in words."""
    return (
        f"more accurate under {with_chance(leaks, names)} than on the same benign images (McNemar's exact "
        "test), so these attacks are no measure of robustness; where p is small, suspect label leaking"
    )


def remarks(record):
    """What a reader of the table must know, one line each."""
    lines = [
        f"{row} is {leak_remark(leaks)}"
        for row, cells in record["cells"].items()
        if (leaks := label_leaks(cells))
    ]
    for column, config in record.get("attacks", {}).items():
        if config.get("norm") == "L2":
            reading = "no budget: success at any distance" if config["eps"] is None else "success within eps"
            distance = config["distance"]
            lines.append(
                f"{column} moves {distance['moved']} of {record['n']} images, by an L2 distance of "
                f"{distance['median_of_moved']:.2f} (median); {reading}"
            )
    for source, findings in record.get("checks", {}).items():
        failed = [finding["name"] for finding in findings if finding["verdict"] == "FAIL"]
        if failed:
            lines.append(f"UNRELIABLE where crafted on the {source}: failed {', '.join(failed)}")
    return lines
