"""A defense in float64, to tell what a gradient should be from what float32 makes of it."""

import keras
import numpy as np
import tensorflow as tf

from ..attacks.base import compiled_logits, cross_entropy
from ..building import building_in
from ..defense import PSSR

AGREE = 1e-3  # of the largest logit; a copy in float64 that differs by more is another model


def in_float64(model):
    """A copy of a model that computes in float64, or None for a model that cannot be copied.

    Args:
        model: a PSSR, or a Keras model that can be made from its configuration.
    """
    if isinstance(model, PSSR):
        parts = {"classifier": model.classifier, "extrapolator": model.extrapolator, "guide": model.guide}
        twins = {n: part if isinstance(part, str | None) else in_float64(part) for n, part in parts.items()}
        if any(twins[name] is None and part is not None for name, part in parts.items()):
            return None
        return PSSR(surgery=model.surgery, dtype="float64", **twins)
    if not isinstance(model, keras.Model):
        return None
    try:
        config = _with_precision(keras.saving.serialize_keras_object(model))
        with building_in("float64"):  # or Keras rounds the images before the first layer
            twin = keras.saving.deserialize_keras_object(config)
        twin.set_weights(model.get_weights())
    except Exception:  # a model of one's own may fail in any way that Python knows
        return None
    return twin


def _with_precision(config):
    """A configuration with float64 wherever it says float32."""
    if isinstance(config, dict):
        return {name: _with_precision(value) for name, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_with_precision(value) for value in config)
    return "float64" if config == "float32" else config


def slopes(model, x, y, directions, width):
    """Central differences (L(x + h d) - L(x - h d)) / 2h of the cross-entropy, in float64: (B, N).

    None for a model that has no copy in float64 with the same answers: one that cannot be made from its
    configuration, or computes in float32 whatever it is given.

    Args:
        model: see `in_float64`.
        x, y: images (B, H, W, C), and labels.
        directions: (N, B, H, W, C).
        width: h.
    """
    twin = in_float64(model)
    if twin is None:
        return None
    logits = tf.function(lambda z: twin(z, training=False), autograph=False, reduce_retracing=True)
    expected = compiled_logits(model)(x).numpy()
    x = x.astype(np.float64)
    try:
        answers = logits(tf.constant(x))
    except Exception:  # as where a layer of one's own adds numbers of float32
        return None
    if answers.dtype != tf.float64 or np.abs(answers - expected).max() > AGREE * np.abs(expected).max():
        return None

    def loss(z):
        return cross_entropy(y, logits(tf.constant(z))).numpy()

    ends = [[loss(x + side * width * d) for side in (1, -1)] for d in directions]
    return np.stack([(ahead - behind) / (2 * width) for ahead, behind in ends], axis=1)
