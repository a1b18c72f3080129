"""The models that a user gives: what they take, and whether they return logits.

A model maps images (B, H, W, C) to logits (B, K) of two classes or more, in one tensor.
"""

import collections

import keras
import numpy as np
import tensorflow as tf

from .arrays import check_images, check_indices, check_labels, check_shape
from .numbers import InputError, check_seed


def shapes_of(model):
    """What a model takes and returns, without the batch: (H, W, C) and (K,); () where it does not say.

    Raises:
        InputError: for several inputs or outputs.
    """
    taken, returned = (getattr(model, name, None) or () for name in ("input_shape", "output_shape"))
    if _is_several(taken):
        names = [getattr(tensor, "name", "") for tensor in getattr(model, "inputs", None) or ()]
        raise InputError(
            f"the model takes {len(taken)} inputs, {_described(taken, names)}, expected one batch of images: "
            "give the others in a function of the images, as lambda x: model([x, ...], training=False)"
        )
    if _is_several(returned):
        raise _several_outputs(returned, model)
    return tuple(taken)[1:], tuple(returned)[1:]


def layers_within(model):
    """The layers of a Keras model and those in them, in an order on which published weights depend."""
    found, waiting = {}, collections.deque(model.layers)
    while waiting:
        layer = waiting.popleft()
        if id(layer) not in found:
            found[id(layer)] = layer
            waiting.extendleft(layer.layers if isinstance(layer, keras.Model) else _parts_of(layer))
    return list(found.values())


def _parts_of(layer):
    """The layers that another one has as its attributes, or in lists there."""
    values = [value if isinstance(value, list | tuple) else [value] for value in vars(layer).values()]
    return [part for value in values for part in value if isinstance(part, keras.layers.Layer)]


def check_model(model, input_shape=None, y=None):
    """Refuse a model whose own shapes do not map images to logits; return its (H, W, C), None if unsaid.

    A function has no shapes: what it returns is checked when it is called, see `check_outputs`.

    Args:
        model: images -> logits.
        input_shape: (H, W, C) of the images, if they are known.
        y: their labels (N,), if they are known.

    Raises:
        InputError: for what is no model, several inputs or outputs, another shape, or one output alone.
    """
    if not callable(model):
        raise InputError(f"the model is {model!r}, expected a Keras model or a function, images -> logits")
    taken, returned = shapes_of(model)
    if returned:
        _check_logits_shape((None, *returned))
        if y is not None and returned[0] is not None:
            check_labels(y, len(y), returned[0])
    if taken and input_shape is not None:
        check_shape((None, *input_shape), taken)
    return taken or None


def check_outputs(outputs, model=None):
    """Refuse what a model returns unless it is one tensor (B, K), K >= 2, symbolic or not; return it.

    Args:
        outputs: what it returned.
        model: the model, whose outputs an error then names.

    Raises:
        InputError: for several outputs, another rank, or one output alone, on which softmax is always 1.
    """
    if isinstance(outputs, dict | list | tuple):
        raise _several_outputs(outputs, model)
    if not tf.is_tensor(outputs):
        kind = type(outputs).__name__
        raise InputError(f"the model returns a {kind}, expected one tensor of logits (images, classes)")
    if outputs.shape.rank is not None:
        _check_logits_shape(tuple(outputs.shape))
    return outputs


def _check_logits_shape(shape):
    if len(shape) != 2:
        raise InputError(f"the model returns shape {shape}, expected one tensor of logits (images, classes)")
    if shape[1] is not None and shape[1] < 2:
        raise InputError(
            f"the model returns shape {shape}, one output for each image, expected two logits or more: of "
            "one logit z, before any sigmoid, return keras.ops.concatenate([0 * z, z], -1)"
        )


def _is_several(shape):
    """Whether what Keras calls a shape is that of several tensors."""
    return isinstance(shape, dict) or any(isinstance(part, dict | list | tuple) for part in shape)


def _described(outputs, names):
    """Several tensors or their shapes in words, with names where there is one for each."""
    if isinstance(outputs, dict):
        names, outputs = list(outputs), list(outputs.values())
    names = names if len(names) == len(outputs) and all(names) else range(len(outputs))
    return " and ".join(f"{n} {_shape_of(part)}" for n, part in zip(names, outputs, strict=True))


def _shape_of(part):
    """The shape of a tensor, or what Keras gives as one."""
    if isinstance(part, tuple) and all(isinstance(side, int | None) for side in part):
        return part
    shape = getattr(part, "shape", None)
    return f"a {type(part).__name__}" if shape is None else tuple(shape)


def _several_outputs(outputs, model):
    """The error that says which outputs there are, and how to choose the one that may be logits."""
    keys = list(outputs) if isinstance(outputs, dict) else range(len(outputs))
    shapes = [_shape_of(part) for part in (outputs.values() if isinstance(outputs, dict) else outputs)]
    found = zip(keys, shapes, strict=True)
    likely = [key for key, shape in found if isinstance(shape, tuple) and len(shape) == 2 and shape[1] != 1]
    chosen = next(iter(likely or keys), 0)
    listed = getattr(model, "outputs", None)
    if isinstance(chosen, int) and isinstance(listed, list | tuple) and len(listed) == len(outputs):
        advice = f"keras.Model(model.inputs, model.outputs[{chosen}])"
    else:
        inference = ", training=False" if hasattr(model, "layers") else ""
        advice = f"lambda x: model(x{inference})[{chosen!r}]"
    names = getattr(model, "output_names", None) or ()
    return InputError(
        f"the model returns {len(outputs)} output{'s' * (len(outputs) != 1)}, {_described(outputs, names)}, "
        f"expected one tensor of logits (images, classes): choose it, as {advice}"
    )


def check_rows(logits, count):
    """Refuse logits that are not one row for each of `count` images; return them.

    Raises:
        InputError: if they are not.
    """
    if len(logits) != count:
        raise InputError(
            f"the model returns {len(logits)} rows of logits for {count} images, expected {count}"
        )
    return logits


def check_logits(logits):
    """Refuse probabilities and NaN where logits (B, K) are expected, K >= 2; return them as an array.

    The gradient of a softmax or a sigmoid vanishes where the model is confident, so an attack on
    probabilities fails silently and the model looks robust.

    Raises:
        InputError: for another shape; if the rows are not finite, or are probabilities: in [0, 1], with sum 1
            or with so many numbers, and some near 1, that only a sigmoid explains it.
    """
    logits = np.asarray(logits)
    _check_logits_shape(logits.shape)
    if not np.isfinite(logits).all():
        raise InputError("the model returns NaN or infinite logits: its accuracy means nothing")
    sums_to_one = np.allclose(logits.sum(axis=-1), 1.0, atol=1e-4)
    if logits.size and logits.min() >= 0 and logits.max() <= 1 + 1e-5:
        if sums_to_one:
            raise InputError("the model returns probabilities, expected logits: remove its final softmax")
        if logits.size >= 100 and logits.max() > 0.5:
            raise InputError(
                f"the model returns numbers from {logits.min():.2g} to {logits.max():.2g}, expected logits: "
                "remove its final sigmoid"
            )
    return logits


def check_attacked(model, answer, x, y, seed=0, indices=None):
    """All that an attack is given, checked: images, labels, logits (arrays), seed (int), indices (array).

    Args:
        model: the model.
        answer: function, images -> logits, of that model.
        x, y, seed, indices: see `attacks.Attack`.

    Raises:
        InputError: for whatever of it does not fit.
    """
    x = check_images(x, check_model(model))
    y, seed, indices = check_labels(y, len(x)), check_seed(seed), check_indices(indices, len(x))
    logits = check_rows(check_logits(answer(x)), len(x))
    return x, check_labels(y, len(x), logits.shape[-1]), logits, seed, indices
