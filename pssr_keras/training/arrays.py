"""A PSSR around a classifier of one's own, trained on arrays: no data set entry, no run folder."""

import contextlib
import io
import pathlib
import tempfile
import typing

import keras

from .. import cae, config, evaluation, setting_names
from ..data import images_of
from ..defense import PSSR, check_stage
from ..inputs import InputError, check_model, parse_eps
from ..surgery import PixelSurgery
from .own_classifier import check_pixels
from .pssr import check_names, fitted_pssr, unfitted_surgery

SMALL = 32 * 32 * 3  # values of an image, up to which the usual number is attacked at once


def fit_to(
    classifier: keras.Model,
    x: typing.Any,
    y: typing.Any = None,
    *,
    eps: float | str,
    epochs: int | None = None,
    validation: typing.Any = None,
    surgery: PixelSurgery | typing.Literal[False] | None = None,
    seed: int = 0,
    verbose: bool | int = True,
    **changes: typing.Any,
) -> PSSR:
    """Train the two stages of a PSSR around a classifier, which stays as it is.

        pssr = fit_to(classifier, x, y, eps="8/255", epochs=8)

    All numbers that are not given are those of the experiment of preset "cpu" on MNIST for images of one
    channel, on CIFAR-10 for others. Attacked images are kept in a temporary folder while it trains. Keras'
    random seed is set.

    Args:
        classifier: a Keras model, images (B, H, W, C) in [0, 1] -> logits (B, K).
        x: training images (N, H, W, C), float32 in [0, 1], H and W divisible by 4; or without `y` a
            tf.data.Dataset or `data.Images`.
        y: true labels (N,) or (N, 1), integers.
        eps: the Linf budget of the attacks to train against, a number or text such as "8/255".
        epochs: passes over the images.
        validation: (x, y), held out: the accuracy on them is printed. Nothing is chosen by it.
        surgery: a `PixelSurgery`; None takes that of the experiment, False leaves the stage out.
        seed: integer; the same one trains the same weights.
        verbose: print progress.
        changes: further numbers of the experiment by their names, such as dropout=0.1; see
            `setting_names.full_name`.

    Raises:
        InputError: for a classifier, images, labels or numbers that do not fit, or a classifier that expects
            other pixels than those in [0, 1].
    """
    if not isinstance(classifier, keras.Model):
        kind = type(classifier).__name__
        raise InputError(f"the classifier is a {kind}, expected a Keras model, images -> logits")
    returned = check_model(classifier) and classifier.output_shape[-1]
    train = images_of(x if y is None else (x, y), returned or None)
    cae.check_shape(train.x.shape[1:])
    held_out = None if validation is None else images_of(validation, returned or None)
    check_surgery(surgery)
    experiment = experiment_for(train.x.shape[1:], eps, epochs, seed, changes)
    check_names(experiment)
    evaluation.correct(classifier, train.x[:1], train.y[:1])  # it returns logits, and knows the classes
    removing = unfitted_surgery(experiment) if surgery is None else surgery or None
    with contextlib.ExitStack() as until_the_end:
        if not verbose:
            until_the_end.enter_context(contextlib.redirect_stdout(io.StringIO()))
        print(f"the classifier is right on {check_pixels(classifier, train, None)}")
        folder = pathlib.Path(until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="pssr-")))
        pssr = fitted_pssr(experiment, folder, classifier, train, removing)
        if held_out is not None:
            flags = evaluation.correct(pssr, held_out.x, held_out.y, experiment.batch_size)
            print(
                f"\nthe PSSR is right on {100 * flags.mean():.2f}% of {len(flags):,} benign images held out"
            )
    return pssr


def check_surgery(surgery):
    """Refuse what is neither a surgery, nor None or False."""
    if surgery is not False:
        check_stage("surgery", surgery)


def experiment_for(shape, eps, epochs, seed, changes):
    """The experiment for images of a shape (H, W, C): that of the data set they are most like."""
    height, width, channels = shape
    numbers = {"attack.eps": parse_eps(eps), "seed": seed}
    if epochs is not None:
        numbers["cae.epochs"] = epochs
    experiment = config.experiment("mnist" if channels == 1 else "cifar10", "cpu", **numbers)
    smaller = max(1, experiment.batch_size * SMALL // max(SMALL, height * width * channels))
    return setting_names.changed(experiment, {"batch_size": smaller} | changes)
