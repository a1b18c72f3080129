"""Certificates: images of which it is proved that no image in the ball around them is answered otherwise.

An attack finds an adversarial example or does not. A certificate says that there is none, for any attacker.
What is not certified may still be robust: interval bounds prove less than is true, unless a model was trained
for them.
"""

import numpy as np
import tensorflow as tf

from ..attacks import compiled
from ..batching import in_batches, size_of_batches
from ..defense import PSSR
from ..inputs import check_images, check_labels, check_model, parse_eps
from .intervals import NoBounds, bounds, bounds_before_last

# A margin counts from this share of the largest bound: more than what float32 rounds in a few hundred layers.
ROUNDING = 1e-4


def stages_of(model):
    """The models that make a model, one after the other: E and F of a PSSR without surgery.

    Raises:
        NoBounds: for a PSSR with surgery, whose mask jumps, so that no bounds are known.
    """
    if not isinstance(model, PSSR):
        return [model]
    if model.surgery is not None:
        raise NoBounds(
            "no interval bounds are known of pixel surgery, whose mask jumps: certify a PSSR without it "
            "(surgery=None)"
        )
    return [stage for stage in (model.extrapolator, model.classifier) if stage is not None]


def margins(model, x, y, eps):
    """Lower bounds of logit_y - logit_j over the ball, (B, K); 0 for j = y.

    Args:
        model: see `certified`.
        x, y: images (B, H, W, C) and labels (B,), tensors.
        eps: radius of the Linf ball, which is cut to [0, 1].

    Differentiable by the weights of the model. Where the model ends in a dense layer, the bound is that of
    the difference of two logits, which is tighter than the difference of their bounds.
    """
    *before, last = stages_of(model)
    lower, upper = tf.maximum(x - eps, 0.0), tf.minimum(x + eps, 1.0)
    for stage in before:
        lower, upper = bounds(stage, lower, upper)
    (lower, upper), dense = bounds_before_last(last, lower, upper)
    if dense is None:
        own = tf.gather(lower, y, batch_dims=1)[:, None]
        rest = 1.0 - tf.one_hot(y, lower.shape[-1], dtype=lower.dtype)
        return (own - upper) * rest
    kernel = tf.transpose(tf.convert_to_tensor(dense.kernel))
    difference = tf.gather(kernel, y)[:, None] - kernel[None]  # (B, K, units)
    centre, radius = (upper + lower) / 2, (upper - lower) / 2
    found = tf.einsum("bku,bu->bk", difference, centre) - tf.einsum("bku,bu->bk", tf.abs(difference), radius)
    if dense.bias is not None:
        bias = tf.convert_to_tensor(dense.bias)
        found += tf.gather(bias, y)[:, None] - bias
    return found


def certified(model, x, y, eps, batch_size: int = 500) -> np.ndarray:
    """Whether each image is proved to be answered right in the whole Linf ball around it.

        certify.certified(model, x, y, eps="0.3").mean()

    Args:
        model: a Keras model, images -> logits, or a `PSSR` without surgery; see `intervals` for its layers.
        x: images (N, H, W, C), float32 in [0, 1].
        y: labels (N,), integers.
        eps: radius, a number or text such as "8/255".
        batch_size: images at a time.

    Returns:
        (N,) bool. Where it is True, no image of [0, 1] within eps is answered otherwise, whoever attacks.

    Raises:
        InputError: for images, labels or a radius that do not fit; `NoBounds`, one of these, for a layer
            whose bounds are not known.
    """
    x, eps = check_images(x, check_model(model)), parse_eps(eps)
    y = check_labels(y, len(x))
    check_model(model, x.shape[1:], y)
    stages_of(model)

    def make():
        return tf.function(lambda x, y, eps: proved(margins(model, x, y, eps), y), autograph=False)

    program = compiled.kept("certified", model, make)
    radius = tf.constant(eps, tf.float32)
    return in_batches(
        lambda x, y: program(tf.constant(x), tf.constant(y), radius).numpy(),
        (x, y.astype(np.int32)),
        size_of_batches(len(x), batch_size),
    )


def proved(found, y):
    """Whether all margins but the label's own are greater than what rounding may have added, (B,)."""
    others = tf.one_hot(y, found.shape[-1], on_value=False, off_value=True, dtype=tf.bool)
    finite = tf.reduce_all(tf.math.is_finite(found), axis=-1)
    room = ROUNDING * tf.reduce_max(tf.abs(found), axis=-1, keepdims=True)
    return finite & tf.reduce_all((found > room) | ~others, axis=-1)
