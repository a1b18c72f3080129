"""Interval bounds of a Keras model: which outputs are possible for any input between two images.

    lower <= x <= upper   implies   bounds(f, lower, upper)[0] <= f(x) <= bounds(f, lower, upper)[1]

Each layer maps an interval to one that contains all of its answers, in inference mode (Gowal et al. 2018, "On
the Effectiveness of Interval Bound Propagation"). A linear layer moves centre and radius, W c + b and |W| r;
a monotone one moves the two ends. All is differentiable, so a training may use it.

The bounds are computed in float32, as the model itself is. Whoever concludes something from them leaves room
for rounding, see `certificates.ROUNDING`.
"""

import functools
import typing

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from ..inputs import InputError

RULES: dict[type, typing.Callable] = {}


class NoBounds(InputError):
    """No interval bounds are known of a part of a model."""


def rule(*classes):
    """Decorator: how layers of these classes, and of those made from them, move an interval.

    The function takes the layer, and lower and upper bounds of its input, or lists of them where it has
    several.
    """

    def register(function):
        RULES.update(dict.fromkeys(classes, function))
        return function

    return register


def bounds(model, lower, upper):
    """Lower and upper bounds of each output of a model, for all inputs between two.

    Args:
        model: a Functional or Sequential Keras model of layers that have a rule, with one input and one
            output.
        lower, upper: (B, ...) tensors, such as the ends of the ball around images.

    Returns:
        Two tensors of the output's shape.

    Raises:
        NoBounds: for a layer without a rule, named, or a model that is no graph of layers.
    """
    return _bounds(model, lower, upper)[0]


def bounds_before_last(model, lower, upper):
    """`bounds` of what the last layer takes, and that layer, where it is a dense one without activation.

    Returns:
        (lower, upper), dense layer; (`bounds`, None) for any other end.
    """
    answers, last, before = _bounds(model, lower, upper)
    if type(last) is layers.Dense and _is_linear(last):
        return before, last
    return answers, None


def move(layer, lower, upper):
    """The interval of what one layer answers."""
    for base in type(layer).__mro__:
        if base in RULES:
            return RULES[base](layer, lower, upper)
    raise NoBounds(
        f"no interval bounds are known of layer {layer.name!r}, a {type(layer).__name__}: certify a model "
        f"made of {', '.join(sorted(cls.__name__ for cls in RULES))}, or add a rule, see certify.intervals"
    )


def _bounds(model, lower, upper):
    """Bounds of the output, the last layer, and the bounds of what that takes."""
    if isinstance(model, keras.Sequential):
        before = (lower, upper)
        for layer in model.layers:
            before, (lower, upper) = (lower, upper), move(layer, lower, upper)
        return (lower, upper), model.layers[-1], before
    graph = _graph(model)
    known = {}

    def found(tensor):
        """The interval of a tensor of the graph, named by the call that made it."""
        if tensor not in known:
            taken = graph[tensor]
            if isinstance(taken, list):
                parts = [found(part) for part in taken]
                known[tensor] = move(
                    _layer_of(model, tensor[0]), [low for low, _ in parts], [up for _, up in parts]
                )
            else:
                known[tensor] = move(_layer_of(model, tensor[0]), *found(taken))
        return known[tensor]

    begin, end = graph["inputs"], graph["outputs"]
    known[begin] = (lower, upper)
    answers = found(end)
    taken = graph.get(end)
    return answers, _layer_of(model, end[0]), known.get(taken) if isinstance(taken, tuple) else None


def _graph(model):
    """What each call of a layer takes: {(layer name, number of the call): the same, or a list of such}.

    "inputs" and "outputs" name the ends. Read from the configuration, which is Keras' public form of a graph.
    """
    try:
        config = model.get_config()
        ends = config["input_layers"], config["output_layers"]
    except (NotImplementedError, KeyError, TypeError):
        raise NoBounds(
            f"{model.name} ({type(model).__name__}) is no graph of layers: interval bounds need a Functional "
            "or Sequential model"
        ) from None
    graph = {}
    for name, end in zip(("inputs", "outputs"), ends, strict=True):
        if not end or not isinstance(end[0], str):
            if len(end) != 1:
                raise NoBounds(f"{model.name} has {len(end)} {name}, expected one")
            (end,) = end
        graph[name] = (end[0], end[1])
    for layer in config["layers"]:
        # Keras counts the making of a Functional model as its first call.
        first = int(isinstance(_layer_of(model, layer["name"]), _functional()))
        for number, node in enumerate(layer["inbound_nodes"], start=first):
            (taken,) = node["args"] if len(node["args"]) == 1 else (list(node["args"]),)
            if node["args"] and all(_is_tensor(part) for part in np.ravel(taken).tolist()):
                graph[layer["name"], number] = _calls(taken)
            elif layer["class_name"] != "InputLayer":
                raise NoBounds(
                    f"layer {layer['name']!r} of {model.name} takes a constant, expected layers only"
                )
    return graph


def _layer_of(model, name):
    try:
        return model.get_layer(name)
    except ValueError:
        raise NoBounds(
            f"no interval bounds are known of the operation {name!r} in {model.name}: build it of layers"
        ) from None


@functools.cache
def _functional():
    """The class of Functional models, which Keras does not export."""
    inputs = keras.Input((1,))
    return type(keras.Model(inputs, inputs))


def _is_tensor(part):
    return isinstance(part, dict) and part.get("class_name") == "__keras_tensor__"


def _calls(taken):
    if isinstance(taken, list | tuple):
        return [_calls(part) for part in taken]
    name, number, _ = taken["config"]["keras_history"]
    return name, number


def _is_linear(layer):
    return layer.activation is keras.activations.linear


@rule(
    layers.InputLayer, layers.Dropout, layers.SpatialDropout2D, layers.GaussianNoise, layers.GaussianDropout
)
def unchanged(layer, lower, upper):
    return lower, upper


@rule(
    layers.ReLU,
    layers.LeakyReLU,
    layers.ELU,
    layers.MaxPooling2D,
    layers.AveragePooling2D,
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D,
    layers.Flatten,
    layers.Reshape,
    layers.Permute,
    layers.ZeroPadding2D,
    layers.Cropping2D,
    layers.UpSampling2D,
    layers.Add,
    layers.Average,
    layers.Concatenate,
    layers.Maximum,
    layers.Minimum,
)
def monotone(layer, lower, upper):
    """What rises, or stays, with each of its inputs moves the two ends."""
    return _answer(layer, lower), _answer(layer, upper)


@rule(layers.Rescaling, layers.Normalization, layers.BatchNormalization)
def elementwise(layer, lower, upper):
    """A scale of either sign for each value: the ends may change places."""
    ends = _answer(layer, lower), _answer(layer, upper)
    return tf.minimum(*ends), tf.maximum(*ends)


@rule(layers.Subtract)
def difference(layer, lower, upper):
    return lower[0] - upper[1], upper[0] - lower[1]


@rule(layers.Multiply)
def product(layer, lower, upper):
    low, up = lower[0], upper[0]
    for other in zip(lower[1:], upper[1:], strict=True):
        corners = tf.stack([low * other[0], low * other[1], up * other[0], up * other[1]])
        low, up = tf.reduce_min(corners, axis=0), tf.reduce_max(corners, axis=0)
    return low, up


@rule(layers.Dense)
def dense(layer, lower, upper):
    return _activated(layer, *_linear(ops.matmul, layer, lower, upper))


@rule(layers.Conv2D, layers.DepthwiseConv2D, layers.Conv1D)
def convolution(layer, lower, upper):
    if isinstance(layer, layers.DepthwiseConv2D):
        apply = functools.partial(
            ops.depthwise_conv,
            strides=layer.strides,
            padding=layer.padding,
            dilation_rate=layer.dilation_rate,
            data_format=layer.data_format,
        )
    else:
        apply = layer.convolution_op
    return _activated(layer, *_linear(apply, layer, lower, upper))


@rule(layers.Conv2DTranspose)
def transposed_convolution(layer, lower, upper):
    apply = functools.partial(
        ops.conv_transpose,
        strides=layer.strides,
        padding=layer.padding,
        output_padding=layer.output_padding,
        dilation_rate=layer.dilation_rate,
        data_format=layer.data_format,
    )
    return _activated(layer, *_linear(apply, layer, lower, upper))


@rule(layers.Activation)
def activation(layer, lower, upper):
    return _activated(layer, lower, upper)


@rule(layers.Softmax)
def softmax_layer(layer, lower, upper):
    return softmax(lower, upper, layer.axis)


def softmax(lower, upper, axis=-1):
    """A share is least where its own value is least and all others are greatest.

    p_i >= exp(l_i) / (exp(l_i) + sum of exp(u_j) over j != i)
    """

    def share(own, others):
        # Of logits less the greatest of all: no exponential overflows.
        greatest = tf.reduce_max(tf.maximum(own, others), axis=axis, keepdims=True)
        own, others = tf.exp(own - greatest), tf.exp(others - greatest)
        rest = tf.maximum(tf.reduce_sum(others, axis=axis, keepdims=True) - others, 0.0)
        return tf.math.divide_no_nan(own, own + rest)

    return share(lower, upper), share(upper, lower)


MONOTONE = {
    keras.activations.get(name)
    for name in (
        "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "sigmoid", "log_sigmoid",
        "hard_sigmoid", "tanh", "hard_tanh", "softplus", "softsign", "exponential",
    )
}  # fmt: skip


def _activated(layer, lower, upper):
    """The activation of a layer, moved by its ends."""
    function = layer.activation
    if function is keras.activations.softmax:
        return softmax(lower, upper)
    if function not in MONOTONE:
        name = getattr(function, "__name__", function)
        raise NoBounds(
            f"layer {layer.name!r} has the activation {name!r}, of which no interval bounds are known: "
            "expected softmax or one of "
            f"{', '.join(sorted(function.__name__ for function in MONOTONE))}"
        )
    return function(lower), function(upper)


def _linear(apply, layer, lower, upper):
    """Centre and radius through the linear part of a layer, and its bias."""
    centre, radius = (
        apply((upper + lower) / 2, layer.kernel),
        apply((upper - lower) / 2, tf.abs(layer.kernel)),
    )
    if layer.bias is not None:
        centre += (
            layer.bias
            if getattr(layer, "data_format", None) != "channels_first"
            else layer.bias[:, None, None]
        )
    return centre - radius, centre + radius


def _answer(layer, x):
    """What a layer answers in inference mode."""
    return layer(x, training=False)


@rule(keras.Model)
def model_in_model(model, lower, upper):
    return bounds(model, lower, upper)
