"""Exercises of 03_regeneration."""

import numpy as np

from ... import losses
from .exercise import RIGHT, exercise, is_number, wrong


@exercise(
    "03_regeneration",
    number=1,
    points=2,
    hints={
        "pair": "{answer!r} is no pair of numbers (loss of D, loss of E)",
        "half": "D adds -log D over a real and -log(1 - D) over a restored pair; E minimises log(1 - D)",
    },
)
def check_undecided_discriminator(answer):
    """Both parts of equation 8 where D gives every pair the probability one half: (loss of D, loss of E)."""
    if np.shape(answer) != (2,) or not all(map(is_number, answer)):
        return wrong("pair", answer=answer)
    right = np.isclose(np.array(answer, float), [2 * np.log(2), -np.log(2)], atol=0.01)
    return RIGHT if right.all() else wrong("half", points=int(right.sum()))


@exercise(
    "03_regeneration",
    number=2,
    points=3,
    hints={
        "shape": "the result has shape {found}, expected {expected}: one a row",
        "overflow": "for a logit of 200 the result is {found}: take log_softmax",
        "swapped": "that is KL(q || p)",
        "sum": "sum p (log p - log q) over classes",
    },
)
def check_divergence(function):
    """A function (logits, reference_logits) -> KL(p || q) of each row."""
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(2, 6, 10)).astype(np.float32) * 3
    first[0, 0] = second[0, 1] = 200  # e^200 is more than float32 can hold
    found = np.asarray(function(first, second))
    expected = losses.kl_divergence(first, second).numpy()
    if found.shape != expected.shape:
        return wrong("shape", found=found.shape, expected=expected.shape)
    if not np.isfinite(found).all():
        tame = np.allclose(found[1:], expected[1:], rtol=1e-3)
        return wrong("overflow", points=2 if tame else 0, found=found[0])
    if np.allclose(found, expected, rtol=1e-3):
        return RIGHT
    swapped = np.allclose(found, losses.kl_divergence(second, first).numpy(), rtol=1e-3)
    return wrong("swapped", points=2) if swapped else wrong("sum")
