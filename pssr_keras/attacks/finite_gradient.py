"""A model whose gradient is NaN or infinite cannot be attacked through it: say so, and where it arises.

The usual causes are a square root or a power at 0, and a logarithm that tf.where hides: forward it is not
used, backward it is multiplied by zero, and 0 times infinity is NaN. An attack that followed such a gradient
would find nothing, and the model would look robust.
"""

import contextlib

import keras
import numpy as np
import tensorflow as tf

from ..inputs import InputError, layers_within

MARK = "pssr_keras: the gradient of the model"
LOOKED_AT = 32  # images at which the place is sought


def with_finite_gradient(logits):
    """The function images -> logits, with an error where a gradient by the images is NaN or infinite."""

    @tf.custom_gradient
    def guarded(x):
        return tf.identity(x), lambda upstream: tf.debugging.check_numerics(upstream, MARK)

    return lambda x: logits(guarded(x))


@contextlib.contextmanager
def refuse_bad_gradients(attack, model, x, y):
    """Turn what `with_finite_gradient` raises into one line that names the place in the model.

    Raises:
        InputError: if the gradient of the model is NaN or infinite.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if MARK not in str(error):
            raise
        raise InputError(
            f"the gradient of the model is NaN or infinite{place_of(model, x, y, attack.eps)}: {attack.name} "
            "cannot follow it, and the model would look robust. Mend it there, as in tf.sqrt(x + 1e-12), or "
            "attack a surrogate"
        ) from None


def place_of(model, x, y, eps):
    """Where in the model the gradient is first NaN or infinite, in words; "" where it is not found.

    Looked for at the images themselves, then at corners of the ball around them.
    """
    x, y = np.asarray(x)[:LOOKED_AT], np.reshape(y, -1)[:LOOKED_AT]
    eps = min(eps or 0.0, 1.0)
    signs = np.sign(np.random.default_rng(0).uniform(-1, 1, x.shape)).astype(np.float32)
    for moved in (x, np.clip(x - eps, 0, 1), np.clip(x + eps, 0, 1), np.clip(x + eps * signs, 0, 1)):
        operation = first_bad_operation(model, tf.constant(moved, tf.float32), tf.constant(y, tf.int32))
        if operation is not None:
            return f", first in {in_words(operation, model)}"
    return ""


def first_bad_operation(model, x, y):
    """The operation nearest to the logits that makes a bad gradient of a good one: (kind, name), or None."""
    found = []

    @tf.function(autograph=False)
    def look(x):
        outputs = model(x, training=False) if isinstance(model, keras.Model) else model(x)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(y, tf.cast(outputs, tf.float32))
        operations = tf.compat.v1.get_default_graph().get_operations()
        tensors = [t for op in operations for t in op.outputs if t.dtype.is_floating]
        known = zip(tensors, tf.gradients(loss, tensors), strict=True)
        known = {tensor.ref(): gradient for tensor, gradient in known if gradient is not None}

        def finite(gradients):
            return tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients if g is not None])

        flags = []
        for op in operations:
            outputs = [tensor for tensor in op.outputs if tensor.ref() in known]
            inputs = [tensor for tensor in op.inputs if tensor.ref() in known]
            if outputs and inputs:
                above = [known[tensor.ref()] for tensor in outputs]
                # Its own share of the gradient of its inputs, which others may have a part in.
                own = tf.gradients(outputs, inputs, above, stop_gradients=inputs)
                found.append((op.type, op.name))
                flags.append(finite(above) & ~finite(own))
        return tf.stack(flags)

    # Concrete: TensorFlow warns of a function that is traced again and again.
    bad = np.flatnonzero(look.get_concrete_function(tf.TensorSpec(x.shape, x.dtype))(x).numpy())
    return found[bad[-1]] if len(bad) else None


def in_words(operation, model):
    """An operation of a graph, such as ("Sqrt", "lenet5_1/gamma_1/Sqrt"), as a user knows it."""
    kind, name = operation
    layers = {layer.name for layer in layers_within(model)} if isinstance(model, keras.Model) else set()
    parts = name.split("/")[:-1]
    for part in reversed(parts):
        plain = part.rpartition("_")[0] if part.rpartition("_")[2].isdigit() else part
        for known in (part, plain):
            if known in layers:
                return f"{kind} of the layer {known!r}"
    return f"{kind} ({name})" if parts else kind
