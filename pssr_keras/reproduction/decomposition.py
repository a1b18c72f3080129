"""What pixel surgery splits an attack into, judged by the classifier: an instrument of analysis."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from .. import evaluation, surgery


@functools.lru_cache(maxsize=1)
def predictor(classifier):
    """What a classifier predicts, as a function that is traced once for all parts and readings."""
    return tf.function(lambda x: tf.argmax(classifier(x, training=False), axis=-1), reduce_retracing=True)


@functools.lru_cache(maxsize=4)
def scorer(classifier, reading):
    """The scores of a reading, as a function that is traced once for all attacks."""
    classify = functools.partial(classifier, training=False)
    return tf.function(lambda x: reading.scores(classify, x), reduce_retracing=True)


def decomposed(classifier, images, x_adv, reading):
    """Accuracy of the classifier on the parts into which pixel surgery splits attacked images.

    "full": x + delta; "salient perturbation": x + delta M_s; "trivial perturbation": x + delta M_t (Fig. 1;
    both need the clean image x); "trivial component": (x + delta) M_t (eq. 7).

    Returns:
        {part: measurement}.
    """
    predicted = predictor(classifier)
    scores = scorer(classifier, dataclasses.replace(reading, alpha=1.0))  # alpha has no part in them

    def classes_of_parts(x, x_adv):
        salient = reading.salient_of(scores(x_adv))
        trivial = surgery.trivial_mask(salient)
        parts = (
            x_adv,
            surgery.perturbation_component(x, x_adv, salient),
            surgery.perturbation_component(x, x_adv, trivial),
            surgery.component(x_adv, trivial),
        )
        return [predicted(part).numpy() for part in parts]

    found = [
        classes_of_parts(tf.constant(images.x[rows]), tf.constant(x_adv[rows]))
        for rows in evaluation.batches(len(images), 500)
    ]
    names = ("full", "salient perturbation", "trivial perturbation", "trivial component")
    return {
        name: evaluation.measurement(np.concatenate(classes) == images.y)
        for name, classes in zip(names, zip(*found, strict=True), strict=True)
    }
