"""A classifier that a user brought along: whether its shapes, its answers and its pixels fit a data set."""

import numpy as np

from .. import evaluation
from ..files import load_model
from ..inputs import InputError, check_logits, check_model, check_outputs, check_rows, fits, shapes_of


def classifier_of(file, entry):
    """The classifier of a `.keras` file, if its inputs and outputs are those of a data set.

    Args:
        file: the file.
        entry: `data.DataSet`.

    Raises:
        InputError: for another input shape, number of classes, or probabilities.
    """
    model = load_model(file)
    try:
        check_model(model)
    except InputError as error:
        raise InputError(f"{file} does not fit: {error}") from error
    taken, returned = shapes_of(model)  # nothing, of a subclassed model: then its answers tell
    if taken and not fits(taken, entry.shape):
        first = taken[1:] + taken[:1] == entry.shape
        advice = ": its channels are first, begin it with keras.layers.Permute((3, 1, 2))" if first else ""
        raise InputError(f"{file} takes images {taken}, expected {entry.shape} of {entry.name}{advice}")
    noise = np.random.default_rng(0).random((100, *entry.shape), np.float32)
    found = returned or logits_for(noise, model, file).shape[1:]
    if not fits(found, (entry.classes,)):
        raise InputError(
            f"{file} returns {found}, expected ({entry.classes},): a logit for each class of {entry.name}"
        )
    logits_for(noise, model, file)
    return model


def logits_for(images, model, file):
    """The logits (N, K) that the model of a file returns for images.

    Raises:
        InputError: if it returns no logits, or does not take the images.
    """
    try:
        return check_rows(check_logits(check_outputs(model(images, training=False), model)), len(images))
    except InputError as error:
        raise InputError(f"{file} does not fit: {error}") from error
    except Exception as error:  # whatever a layer says of a shape that is not its own
        reason = str(error).strip().splitlines()[0][:200]
        raise InputError(f"{file} does not take images {images.shape[1:]} ({reason})") from error


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
