"""What the answers to single images say about many: flags, accuracies, intervals and exact tests.

A flag says whether a model classifies an image correctly. Everything here is a function of flags.
"""

import typing

import numpy as np
import scipy.stats

from ..inputs import InputError


def wilson_interval(successes: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a proportion: (low, high), both in [0, 1].

    Raises:
        InputError: if total is not positive, or successes are not from 0 to total.
    """
    if total < 1 or not 0 <= successes <= total:
        raise InputError(f"{successes} of {total} is no proportion, expected 0 <= successes <= total")
    interval = scipy.stats.binomtest(int(successes), int(total)).proportion_ci(confidence, "wilson")
    return interval.low, interval.high


def mcnemar(first: typing.Any, second: typing.Any) -> dict[str, typing.Any]:
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


def exact_interval(successes, total, confidence=0.95):
    """Clopper and Pearson's interval for a proportion: (low, high); each end alone errs with 1 - confidence.

    So `low` exceeds a tolerance exactly where `chance_of_share` is below 1 - confidence.
    """
    exact = scipy.stats.binomtest(int(successes), int(total)).proportion_ci(2 * confidence - 1, "exact")
    return float(exact.low), float(exact.high)


def chance_of_share(successes, total, tolerance):
    """The chance of so many successes, or more, where each image is one with probability `tolerance`."""
    return float(scipy.stats.binom.sf(successes - 1, total, tolerance))


def chance_of_rise(gained, lost, total, tolerance=0.0):
    """The chance of a net gain this clear where the accuracy truly rises by `tolerance`, on the same images.

    McNemar's exact test where nothing is tolerated. Otherwise the score test of Tango 1998 for a difference
    of paired proportions; where hardly an image is lost it is too sure, and the count of the net gain, as
    if none were ever lost, bounds it. A rise that is just tolerated is then called one in at most 6 of 100
    cases at a level of 5 (n from 40 to 1,000, tolerance 0.01).

    Args:
        gained, lost: numbers of images, right only after or only before.
        total: number of images.
        tolerance: the rise of the accuracy that is tolerated, a share.
    """
    if tolerance == 0:
        return float(scipy.stats.binom.sf(gained - 1, gained + lost, 0.5)) if gained + lost else 1.0
    # Under the tolerated rise, the most likely probability that an image is lost solves a quadratic equation.
    a = 2 * total
    b = (2 * total - gained + lost) * tolerance - gained - lost
    c = -lost * tolerance * (1 - tolerance)
    losing = (np.sqrt(b * b - 4 * a * c) - b) / (2 * a)
    variance = total * (2 * losing + tolerance * (1 - tolerance))
    score = (gained - lost - total * tolerance) / np.sqrt(variance)
    return float(max(scipy.stats.norm.sf(score), chance_of_share(gained - lost, total, tolerance)))


def text_of(flags: typing.Any) -> str:
    """Flags (N,) as a text of 0 and 1."""
    return "".join("1" if flag else "0" for flag in flags)


def flags_of(text: str) -> np.ndarray:
    """The flags (N,) that `text_of` wrote."""
    return np.array([character == "1" for character in text])


def measurement(flags: typing.Any) -> dict[str, typing.Any]:
    """Accuracy, interval and per-image flags of one cell of a table."""
    low, high = wilson_interval(flags.sum(), len(flags))
    return {"accuracy": float(flags.mean()), "interval_95": [low, high], "correct": text_of(flags)}


def worst_case(cells: dict[str, typing.Any]) -> dict[str, typing.Any]:
    """The cell of an attacker who has tried everything: an image counts only if it is right in all cells.

    Args:
        cells: {column: `measurement`}, the benign one among them, of one model on the same images.
    """
    return measurement(np.all([flags_of(cell["correct"]) for cell in cells.values()], axis=0))


def within_budget(
    cells: dict[str, typing.Any], column: str, distances: typing.Any, budget: float
) -> dict[str, typing.Any]:
    """The cell of an attack without a budget, had it one: beyond, the attacker leaves the image as it is.

    Args:
        cells: {column: `measurement`} of one model, the benign one among them, on the same images.
        column: of the attack.
        distances: of its images from the clean ones, (N,).
        budget: the largest distance that counts.
    """
    attacked, clean = (flags_of(cells[name]["correct"]) for name in (column, "benign"))
    return measurement(np.where(np.asarray(distances) <= budget, attacked, clean))


def label_leaks(cells: dict[str, typing.Any]) -> dict[str, typing.Any]:
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
