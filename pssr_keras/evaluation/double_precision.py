"""A defense in float64, to tell what a gradient should be from what float32 makes of it."""

import keras
import numpy as np
import tensorflow as tf

from ..attacks.base import cross_entropy
from ..defense import PSSR


def in_float64(model):
    """A copy of a model that computes in float64, or None for a model that cannot be copied.

    Args:
        model: a PSSR, or a Keras model that can be made from its configuration.
    """
    if isinstance(model, PSSR):
        guide = model.guide if isinstance(model.guide, str | None) else in_float64(model.guide)
        extrapolator = None if model.extrapolator is None else in_float64(model.extrapolator)
        # Of another type, Keras rounds the images before they reach the stages.
        return PSSR(in_float64(model.classifier), model.surgery, extrapolator, guide, dtype="float64")
    if not isinstance(model, keras.Model):
        return None
    try:
        twin = keras.saving.deserialize_keras_object(
            _with_precision(keras.saving.serialize_keras_object(model))
        )
    except (NotImplementedError, TypeError, ValueError):
        return None
    twin.dtype_policy = keras.DTypePolicy("float64")  # or Keras rounds the images before the first layer
    twin.set_weights(model.get_weights())
    return twin


def _with_precision(config):
    """A configuration with float64 wherever it says float32."""
    if isinstance(config, dict):
        return {name: _with_precision(value) for name, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_with_precision(value) for value in config)
    return "float64" if config == "float32" else config


def slopes(twin, x, y, directions, width):
    """Central differences (L(x + h d) - L(x - h d)) / 2h of the cross-entropy, in float64: (B, N).

    Args:
        twin: a model in float64.
        x, y: images (B, H, W, C), and labels.
        directions: (N, B, H, W, C).
        width: h.
    """
    loss = tf.function(lambda z: cross_entropy(y, twin(z, training=False)))
    x = x.astype(np.float64)
    ends = [[loss(tf.constant(x + side * width * d)).numpy() for side in (1, -1)] for d in directions]
    return np.stack([(ahead - behind) / (2 * width) for ahead, behind in ends], axis=1)
