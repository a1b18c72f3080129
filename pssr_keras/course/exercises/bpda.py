"""Exercises of 06_bpda."""

import dataclasses
import functools

import numpy as np

from ... import data, pretrained
from .exercise import RIGHT, exercise, wrong


@exercise(
    "06_bpda",
    number=1,
    points=1,
    hints={"leave": "may the attacker leave the image as it is?"},
)
def check_ceiling(answer):
    """Whether robust accuracy, as the worst case within the budget, can exceed clean accuracy."""
    return RIGHT if isinstance(answer, bool | np.bool_) and not answer else wrong("leave")


@functools.cache
def defense_and_digits():
    """The shipped PSSR, and the first 100 bundled test images with their labels."""
    images = data.load("mnist", "test", source="bundled").take(slice(0, 100))
    return pretrained.load_pretrained("mnist"), images.x, images.y


@exercise(
    "06_bpda",
    number=2,
    points=4,
    hints={
        "shape": "the images have shape {found}, expected {expected}",
        "budget": "images must stay within {eps} of the clean ones and within [0, 1]",
        "standing": "{accuracy:.0f}% of the pairs of an image and one of {draws} alphas are still answered "
        "correctly, fewer than 10% are wanted: attack a surrogate of the whole defense",
    },
    context=defense_and_digits,
)
def check_random_threshold(x_adv, pssr, x, y, eps=0.3, draws=10):
    """Adversarial images for a PSSR that draws its alpha from 1 to 2 anew for each call.

    Right if, of all pairs of an image and one of `draws` alphas, fewer than 10% are still answered correctly.
    """
    if np.shape(x_adv) != x.shape:
        return wrong("shape", found=np.shape(x_adv), expected=x.shape)
    x_adv = np.asarray(x_adv, np.float32)
    # Written so that NaN fails, too.
    if not (np.abs(x_adv - x).max() <= eps + 1e-6 and x_adv.min() >= 0 and x_adv.max() <= 1):
        return wrong("budget", eps=eps)
    right = []
    for alpha in np.random.default_rng(7).uniform(1, 2, draws):
        reading = dataclasses.replace(pssr.surgery, alpha=float(alpha))
        answers = pssr.classifier(pssr.restore(reading.remove(pssr.guiding_logits, x_adv)))
        right.append(np.argmax(answers, axis=-1) == y)
    accuracy = float(np.mean(right))
    if accuracy < 0.1:
        return RIGHT
    return wrong("standing", points=2 if accuracy < 0.5 else 0, accuracy=100 * accuracy, draws=draws)
