"""What pixel surgery splits an attack into, judged by the classifier: an instrument of analysis."""

import numpy as np
import tensorflow as tf

from .. import evaluation, surgery


def decomposed(classifier, images, x_adv, reading):
    """Accuracy of the classifier on the parts into which pixel surgery splits attacked images.

    "full": x + delta; "salient perturbation": x + delta M_s; "trivial perturbation": x + delta M_t (Fig. 1;
    both need the clean image x); "trivial component": (x + delta) M_t (eq. 7).

    Returns:
        {part: measurement}.
    """

    @tf.function(reduce_retracing=True)
    def predicted(x, x_adv):
        salient, trivial = reading.masks(classify, x_adv)
        parts = (
            x_adv,
            surgery.perturbation_component(x, x_adv, salient),
            surgery.perturbation_component(x, x_adv, trivial),
            surgery.component(x_adv, trivial),
        )
        return [tf.argmax(classify(part), axis=-1) for part in parts]

    def classify(x):
        return classifier(x, training=False)

    found = [
        [part.numpy() for part in predicted(images.x[rows], x_adv[rows])]
        for rows in evaluation.batches(len(images), 500)
    ]
    names = ("full", "salient perturbation", "trivial perturbation", "trivial component")
    return {
        name: evaluation.measurement(np.concatenate(classes) == images.y)
        for name, classes in zip(names, zip(*found, strict=True), strict=True)
    }
