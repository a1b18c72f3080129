"""LeNet5, the paper's classifier for MNIST."""

import typing

import keras
import tensorflow as tf
from keras import layers, ops

from ..building import building_in
from .layers import normalisation, scaled


@tf.custom_gradient
def relu_of_largest_phase(x: typing.Any, bias: typing.Any) -> typing.Any:
    """relu(bias + the largest of four groups of channels): (B, H, W, 4F), (F,) -> (B, H, W, F).

    The gradient goes to the first largest phase, as in max-pooling. It is written out because, as a chain
    of ReLU gradients, it takes half the time of the selections that TensorFlow derives.
    """
    first, second, third, fourth = tf.split(x, 4, axis=-1)
    upper, lower = tf.maximum(first, second), tf.maximum(third, fourth)
    output = tf.nn.relu(tf.maximum(upper, lower) + bias)

    def gradient(upstream):
        def where_positive(values, condition):
            return tf.raw_ops.ReluGrad(gradients=values, features=condition)

        total = where_positive(upstream, output)
        in_lower = where_positive(total, lower - upper)
        in_upper = total - in_lower
        in_second, in_fourth = (
            where_positive(in_upper, second - first),
            where_positive(in_lower, fourth - third),
        )
        phases = [in_upper - in_second, in_second, in_lower - in_fourth, in_fourth]
        return tf.concat(phases, axis=-1), tf.reduce_sum(total, axis=(0, 1, 2))

    return output, gradient


@keras.saving.register_keras_serializable("pssr_keras")
class ConvReLUMaxPool2D(layers.Layer):
    """A 5x5 convolution, ReLU and 2x2 max-pooling, computed exactly at half the resolution.

    max_pool(relu(conv(x, k) + b)) == relu(max over the 4 phases of conv(space_to_depth(x), k') + b)

    A convolution of few channels keeps a CPU waiting for memory. Space-to-depth turns the input
    (B, H, W, C) into (B, H/2, W/2, 4C), where the four outputs that one pooling window sees are four
    groups of channels of one 3x3 convolution. The weights remain those of the 5x5 convolution.

    Args:
        filters: number of output channels.
        padding: "same" (H -> H/2) or "valid" (H -> (H - 4)/2).

    Input (B, H, W, C) with H and W even; output (B, H', W', filters).

    Raises:
        ValueError: if `padding` is unknown, or if H or W is odd.
    """

    kernel_size = 5

    def __init__(self, filters: int, padding: str = "same", **kwargs: typing.Any) -> None:
        super().__init__(**kwargs)
        if padding not in ("same", "valid"):
            raise ValueError(f"padding is {padding!r}, expected 'same' or 'valid'")
        self.filters = filters
        self.padding = padding

    def build(self, input_shape):
        _, height, width, channels = input_shape
        if height % 2 or width % 2:
            raise ValueError(f"the input is {height}x{width}, expected an even height and width")
        size = self.kernel_size
        self.kernel = self.add_weight(
            (size, size, channels, self.filters), initializer="glorot_uniform", name="kernel"
        )
        self.bias = self.add_weight((self.filters,), initializer="zeros", name="bias")

    def half_resolution_kernel(self):
        """The 5x5 kernel (5, 5, C, F), rearranged as (3, 3, 4C, 4F)."""
        channels = self.kernel.shape[2]
        phases = []
        for row in (0, 1):
            for column in (0, 1):
                kernel = ops.pad(self.kernel, [(row, 1 - row), (column, 1 - column), (0, 0), (0, 0)])
                kernel = ops.reshape(kernel, (3, 2, 3, 2, channels, self.filters))
                kernel = ops.transpose(kernel, (0, 2, 1, 3, 4, 5))
                phases.append(ops.reshape(kernel, (3, 3, 4 * channels, self.filters)))
        return ops.concatenate(phases, axis=-1)

    def call(self, x):
        x = tf.nn.space_to_depth(x, 2)
        kernel = self.half_resolution_kernel()
        x = ops.conv(x, kernel, padding=self.padding, data_format="channels_last")
        return relu_of_largest_phase(x, tf.convert_to_tensor(self.bias))

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        border = 0 if self.padding == "same" else self.kernel_size - 1
        return batch, (height - border) // 2, (width - border) // 2, self.filters

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "padding": self.padding}


@building_in("float32")
def lenet5(
    input_shape: tuple[int, ...] = (28, 28, 1),
    classes: int = 10,
    width: float = 1.0,
    statistics: dict | None = None,
) -> keras.Model:
    """LeNet5 as it is used today: ReLU, max-pooling, a full second convolution, a dense output.

    61,706 parameters at width 1. Takes (B, 28, 28, 1) in [0, 1], returns logits (B, classes).

    Source: LeCun et al. 1998, with the usual changes named above; PSSR section 4.1 for MNIST.
    """
    inputs = keras.Input(input_shape, name="image")
    x = ConvReLUMaxPool2D(scaled(6, width), padding="same", name="conv1")(normalisation(inputs, statistics))
    x = ConvReLUMaxPool2D(scaled(16, width), padding="valid", name="conv2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(scaled(120, width), activation="relu", name="dense1")(x)
    x = layers.Dense(scaled(84, width), activation="relu", name="features")(x)
    logits = layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, logits, name="lenet5")
