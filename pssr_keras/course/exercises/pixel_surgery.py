"""Exercises of 02_pixel_surgery."""

import dataclasses
import functools

import numpy as np

from ... import data, pretrained, surgery
from .exercise import RIGHT, exercise, wrong


@functools.cache
def clean_digits():
    """The classifier, and the first 300 bundled test images."""
    images = data.load("mnist", "test", source="bundled").take(slice(0, 300))
    return pretrained.load_pretrained("mnist").classifier, images.x


@exercise(
    "02_pixel_surgery",
    number=1,
    points=3,
    hints={
        "shape": "the mask has shape {found}, expected {expected}",
        "complement": "that is the mask of what stays; 1 stands for salient",
        "magnitude": "that scores by |S|; here the sign counts",
        "mean": "the threshold is alpha times the mean, not the mean",
        "batch": "the mean is that of each image, not of the batch",
        "differ": "{differ:.0f}% of the pixels differ: is the mean that of the signed gradient, image by "
        "image?",
    },
    context=clean_digits,
)
def check_signed_mask(function, classifier, x):
    """A function (gradient) -> salient mask that scores by the signed gradient, as `score="signed"` does."""
    gradient = surgery.saliency(lambda z: classifier(z, training=False), x).numpy()
    signed = surgery.PixelSurgery(score="signed")
    expected = signed.masks(classifier, x)[0].numpy()
    found = np.asarray(function(gradient), np.float32)
    if found.shape != expected.shape:
        return wrong("shape", found=found.shape, expected=expected.shape)
    differ = float((found != expected).mean())
    if differ < 0.005:
        return RIGHT
    readings = (surgery.PixelSurgery(), dataclasses.replace(signed, alpha=1.0))
    by_magnitude, by_mean = (reading.masks(classifier, x)[0].numpy() for reading in readings)
    mistakes = {
        "complement": (1 - expected, 1),
        "magnitude": (by_magnitude, 0),
        "mean": (by_mean, 1),
        "batch": (gradient >= signed.alpha * gradient.mean(), 1),
    }
    for mistake, (mask, points) in mistakes.items():
        if (found != mask).mean() < 0.005:
            return wrong(mistake, points)
    return wrong("differ", differ=100 * differ)


@exercise(
    "02_pixel_surgery",
    number=2,
    points=2,
    hints={
        "equation": "equation 4 asks whether S >= 1.5 mean(S). Put in S = 0: is 0 >= 0 true?",
        "package": "right for the equation; for the package, see `flat` in help(surgery.PixelSurgery)",
    },
    answers=2,
)
def check_flat_image(kept_by_equation, kept_by_package):
    """Shares of pixels that remain of an image whose saliency is 0 everywhere."""
    if kept_by_equation != 0:
        return wrong("equation")
    return RIGHT if kept_by_package == 1 else wrong("package", points=1)
