"""Exercises of 04_robustness."""

import numpy as np

from ... import evaluation
from .exercise import RIGHT, exercise, is_number, wrong


@exercise(
    "04_robustness",
    number=1,
    points=3,
    hints={
        "pair": "{answer!r} is no pair (low, high)",
        "percent": "the numbers are right, but give them in percent",
        "order": "the numbers are right, but the lower comes first",
        "solve": "solve (p_hat - p)^2 = z^2 p (1 - p) / n for p, with z = 1.96; the centre is not p_hat "
        "itself",
    },
    context=lambda: (196, 200),
)
def check_interval(answer, right, n):
    """Wilson's 95% interval of `right` of n images, in percent, as (low, high)."""
    if np.shape(answer) != (2,) or not all(map(is_number, answer)):
        return wrong("pair", answer=answer)
    found = np.array(answer, float)
    expected = [100 * bound for bound in evaluation.wilson_interval(right, n)]
    if np.allclose(found, expected, atol=0.15):
        return RIGHT
    if np.allclose(100 * found, expected, atol=0.15):
        return wrong("percent", points=2)
    if np.allclose(found[::-1], expected, atol=0.15):
        return wrong("order", points=2)
    return wrong("solve")


@exercise(
    "04_robustness",
    number=2,
    points=2,
    hints={
        "number": "{answer!r} is no number of images",
        "width": "with {answer:,} images half the width of the interval is {width:.2f} points",
    },
)
def check_images_needed(answer):
    """How many images make the interval of 98% two points wide: half its width one point, within a tenth."""
    if not is_number(answer) or not 1 <= answer < 1e9:
        return wrong("number", answer=answer)
    low, high = evaluation.wilson_interval(round(0.98 * answer), answer)
    width = 100 * (high - low) / 2
    return RIGHT if 0.9 <= width <= 1.1 else wrong("width", answer=answer, width=width)
