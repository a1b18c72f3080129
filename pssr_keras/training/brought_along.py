"""A classifier that a user brought along: whether its shapes, its answers and its pixels fit a data set."""

import numpy as np

from .. import evaluation
from ..files import load_model
from ..inputs import InputError, check_logits, shapes_of


def classifier_of(file, entry):
    """The classifier of a `.keras` file, if its inputs and outputs are those of a data set.

    Args:
        file: the file.
        entry: `data.DataSet`.

    Raises:
        InputError: for another input shape, number of classes, or probabilities.
    """
    model = load_model(file)
    taken, returned = shapes_of(model)
    if taken != entry.shape:
        first = taken[1:] + taken[:1] == entry.shape
        advice = ": its channels are first, begin it with keras.layers.Permute((3, 1, 2))" if first else ""
        raise InputError(f"{file} takes images {taken}, expected {entry.shape} of {entry.name}{advice}")
    if returned != (entry.classes,):
        raise InputError(
            f"{file} returns {returned}, expected ({entry.classes},): a logit for each class of {entry.name}"
        )
    noise = np.random.default_rng(0).random((100, *entry.shape), np.float32)
    try:
        check_logits(model.predict(noise, verbose=0))
    except InputError as error:
        raise InputError(f"{file} does not fit: {error}") from error
    return model


LOOKED_AT = 1000  # images: enough to tell one range of pixels from another
SURELY = 1e-6  # where chance gives a difference so rarely, the difference is real


def check_pixels(classifier, images, statistics):
    """The accuracy of a classifier on images, in words.

    Args:
        classifier: images -> logits.
        images: `data.Images`, labelled.
        statistics: {"mean", "variance"} of each channel; see `data.DataSet`.

    Raises:
        InputError: if it is clearly better where pixels have another range than [0, 1], for then it was
            trained on those.
    """
    few = images.take(slice(0, LOOKED_AT))
    readings = {
        "from 0 to 255": (few.x * 255, "Rescaling(255)"),
        "from -1 to 1": (few.x * 2 - 1, "Rescaling(2, offset=-1)"),
    }
    if statistics is not None:
        mean, variance = statistics["mean"], statistics["variance"]
        standardised = (few.x - np.array(mean)) / np.sqrt(variance)
        readings["standardised"] = (standardised, f"Normalization(mean={mean}, variance={variance})")

    def right(x):
        return classifier.predict(x.astype(np.float32), verbose=0).argmax(axis=-1) == few.y

    flags = right(few.x)
    others = {reading: right(x) for reading, (x, _) in readings.items()}
    best = max(others, key=lambda reading: others[reading].mean())
    here, there = flags.mean(), others[best].mean()
    if there > here and evaluation.mcnemar(others[best], flags)["p"] < SURELY:
        raise InputError(
            f"the classifier is right on {100 * here:.1f}% of {len(few):,} validation images in [0, 1], and "
            f"on {100 * there:.1f}% where pixels are {best}: begin it with keras.layers.{readings[best][1]}"
        )
    low, _ = evaluation.wilson_interval(flags.sum(), len(flags))
    doubt = ", no better than chance: does it know these images, and the order of their classes?"
    return f"{100 * here:.2f}% of {len(flags):,} images{'' if low > 1 / images.classes else doubt}"
