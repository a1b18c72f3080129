"""Exercises of 01_findings."""

import functools

from ... import attacks, data, pretrained, surgery
from .exercise import RIGHT, exercise, is_number, wrong


@exercise(
    "01_findings",
    number=1,
    points=2,
    hints={
        "number": "{answer!r} is no number, expected one between 0 and 1",
        "mean": "let a share s of the pixels lie at 1.5 times the mean, and all others at 0: what is the "
        "mean?",
    },
)
def check_largest_share(answer):
    """The largest share of pixels that can reach 1.5 times the mean of a score that is never negative."""
    if not is_number(answer):
        return wrong("number", answer=answer)
    return RIGHT if abs(answer - 1 / 1.5) < 0.01 else wrong("mean")


@functools.cache
def attacked_digits():
    """The classifier, and the first 350 bundled test images under PGD."""
    classifier = pretrained.load_pretrained("mnist").classifier
    images = data.load("mnist", "test", source="bundled").take(slice(0, 350))
    return classifier, attacks.PGD(0.3, steps=40)(classifier, images.x, images.y)


@exercise(
    "01_findings",
    number=2,
    points=2,
    hints={
        "number": "{answer!r} is no number above 0, expected an alpha",
        "share": "{share:.0f}% of the pixels are salient, try a {direction} alpha",
    },
    context=attacked_digits,
)
def check_equal_shares(answer, classifier, x_adv):
    """An alpha at which half of the pixels, within 2 points, are salient."""
    if not is_number(answer) or not answer > 0:
        return wrong("number", answer=answer)
    share = float(surgery.PixelSurgery(alpha=float(answer)).masks(classifier, x_adv)[0].numpy().mean())
    if abs(share - 0.5) < 0.02:
        return RIGHT
    return wrong("share", share=100 * share, direction="larger" if share > 0.5 else "smaller")
