"""Exercises of 05_ablations."""

import numpy as np

from ... import evaluation
from .exercise import RIGHT, exercise, wrong


@exercise(
    "05_ablations",
    number=1,
    points=3,
    hints={
        "coins": "p = {found:.2g}: count images on which exactly one is right, a fair coin each; exactly, "
        "not by chi-squared",
        "tail": "p = {found:.2g}: that is one tail; ask how often coins are as uneven as this in either "
        "direction",
        "stops": "where the rows never differ, it stops with: {error}",
        "same": "p = {found:.2g} for rows that never differ, expected 1: no evidence",
    },
)
def check_mcnemar(function):
    """A function (first, second) -> p-value of McNemar's exact test on two arrays of flags."""
    generator = np.random.default_rng(0)
    first, second = generator.uniform(size=(2, 40)) < np.array([[0.9], [0.8]])
    expected = evaluation.mcnemar(first, second)["p"]
    found = float(function(first, second))
    if not np.isclose(found, expected, rtol=0.01):
        tail = np.isclose(found, expected / 2, rtol=0.01)
        return wrong("tail" if tail else "coins", points=int(tail), found=found)
    try:
        same = float(function(first, first))
    except Exception as error:  # scipy refuses no tosses; whoever divides by their number has another error
        return wrong("stops", points=2, error=error)
    return RIGHT if np.isclose(same, 1) else wrong("same", points=2, found=same)


FAIR = {
    "train each variant anew": True,
    "same number of steps for each": True,
    "leave a stage out of the trained whole": False,
    "tune the whole longer than its parts": False,
    "report the best of three seeds": False,
    "judge all on the same images": True,
}


@exercise(
    "05_ablations",
    number=2,
    points=3,
    hints={
        "set": "{answer!r} is no set of practices, expected {{'...', '...'}}",
        "unknown": "{practice!r} is none of the practices: copy them letter by letter",
        "practice": "think again about: {practice}",
    },
)
def check_fair(answer):
    """Which of the practices in `FAIR` belong to a fair ablation: a set of their names."""
    if not isinstance(answer, set | frozenset | list | tuple) or not all(isinstance(a, str) for a in answer):
        return wrong("set", answer=answer)
    unknown = sorted(set(answer) - FAIR.keys())
    if unknown:
        return wrong("unknown", practice=unknown[0])
    mistaken = sorted({practice for practice, fair in FAIR.items() if fair} ^ set(answer))
    return wrong("practice", points=max(0, 3 - len(mistaken)), practice=mistaken[0]) if mistaken else RIGHT
