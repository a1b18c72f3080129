"""The frozen classifiers that PSSR protects: LeNet5, ResNet18 and DenseNet121.

All are Functional models that take images (B, H, W, C), float32 in [0, 1], and return logits
(B, classes). Normalisation is part of the model, so whoever attacks or defends one works in [0, 1].
"""

import keras
import tensorflow as tf
from keras import layers, ops


@tf.custom_gradient
def relu_of_largest_phase(x, bias):
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

    def __init__(self, filters, padding="same", **kwargs):
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
        x = ops.conv(x, self.half_resolution_kernel(), padding=self.padding)
        return relu_of_largest_phase(x, tf.convert_to_tensor(self.bias))

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        border = 0 if self.padding == "same" else self.kernel_size - 1
        return batch, (height - border) // 2, (width - border) // 2, self.filters

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "padding": self.padding}


def _scaled(channels, width):
    return max(1, round(channels * width))


def lenet5(input_shape=(28, 28, 1), classes=10, width=1.0):
    """LeNet5 as it is used today: ReLU, max-pooling, a full second convolution, a dense output.

    61,706 parameters at width 1. Takes (B, 28, 28, 1) in [0, 1], returns logits (B, classes).

    Source: LeCun et al. 1998, with the usual changes named above; PSSR section 4.1 for MNIST.
    """
    inputs = keras.Input(input_shape, name="image")
    x = ConvReLUMaxPool2D(_scaled(6, width), padding="same", name="conv1")(inputs)
    x = ConvReLUMaxPool2D(_scaled(16, width), padding="valid", name="conv2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(_scaled(120, width), activation="relu", name="dense1")(x)
    x = layers.Dense(_scaled(84, width), activation="relu", name="features")(x)
    logits = layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, logits, name="lenet5")


def multilayer_perceptron(input_shape=(28, 28, 1), classes=10, width=1.0):
    """Two dense layers of 512 ReLUs: a substitute that shares no idea with the convolutional classifiers.

    669,706 parameters for MNIST at width 1. Takes (B, H, W, C) in [0, 1], returns logits (B, classes).
    """
    inputs = keras.Input(input_shape, name="image")
    x = layers.Flatten(name="flatten")(inputs)
    x = layers.Dense(_scaled(512, width), activation="relu", name="dense1")(x)
    x = layers.Dense(_scaled(512, width), activation="relu", name="features")(x)
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x), name="multilayer_perceptron")


def _convolution(x, channels, size, strides=1):
    """A convolution as ResNet and DenseNet have it: no bias, as batch normalisation follows."""
    return layers.Conv2D(
        channels, size, strides=strides, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(x)


def _normalised_relu(x):
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x))


def _normalisation(inputs, mean, variance):
    return layers.Normalization(mean=mean, variance=variance, name="normalisation")(inputs)


# Per-channel mean and variance of the training images of CIFAR-10 and CIFAR-100, in [0, 1].
CIFAR10_STATISTICS = {"mean": (0.4914, 0.4822, 0.4465), "variance": (0.0610, 0.0593, 0.0684)}
CIFAR100_STATISTICS = {"mean": (0.5071, 0.4865, 0.4409), "variance": (0.0715, 0.0658, 0.0763)}


def resnet18(input_shape=(32, 32, 3), classes=10, width=1.0, statistics=CIFAR10_STATISTICS):
    """ResNet18 in its CIFAR form: a 3x3 stem without max-pooling, four stages of two basic blocks.

    11,173,962 trainable parameters at width 1 and 10 classes. Takes (B, 32, 32, 3) in [0, 1], returns
    logits (B, classes).

    Args:
        width: factor on all numbers of channels.
        statistics: mean and variance of each channel, for the normalisation inside.

    Source: He et al. 2016, with the stem that is usual for 32x32 images; PSSR section 4.1 for CIFAR-10.
    """
    inputs = keras.Input(input_shape, name="image")
    x = _normalised_relu(_convolution(_normalisation(inputs, **statistics), _scaled(64, width), 3))
    for stage, channels in enumerate((64, 128, 256, 512)):
        channels = _scaled(channels, width)
        for block in range(2):
            strides = 2 if stage > 0 and block == 0 else 1
            shortcut = x
            if strides != 1 or x.shape[-1] != channels:
                shortcut = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(
                    _convolution(x, channels, 1, strides)
                )
            x = _normalised_relu(_convolution(x, channels, 3, strides))
            x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(_convolution(x, channels, 3))
            x = layers.ReLU()(layers.Add()([x, shortcut]))
    x = layers.GlobalAveragePooling2D(name="features")(x)
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x), name="resnet18")


def densenet121(input_shape=(32, 32, 3), classes=100, width=1.0, statistics=CIFAR100_STATISTICS):
    """DenseNet121 in its CIFAR form: a 3x3 stem without max-pooling, dense blocks of 6, 12, 24 and 16.

    Growth rate 32, bottlenecks of 4 x 32 channels, compression 1/2: 7,048,548 trainable parameters at
    width 1 and 100 classes. Takes (B, 32, 32, 3) in [0, 1], returns logits (B, classes).

    Args:
        width: factor on the growth rate.
        statistics: mean and variance of each channel, for the normalisation inside.

    Source: Huang et al. 2017, with the stem that is usual for 32x32 images; PSSR section 4.1 for CIFAR-100.
    """
    growth = _scaled(32, width)
    inputs = keras.Input(input_shape, name="image")
    x = _convolution(_normalisation(inputs, **statistics), 2 * growth, 3)
    for stage, depth in enumerate((6, 12, 24, 16)):
        if stage > 0:
            x = _convolution(_normalised_relu(x), x.shape[-1] // 2, 1)
            x = layers.AveragePooling2D(2)(x)
        for _ in range(depth):
            new = _convolution(_normalised_relu(x), 4 * growth, 1)
            new = _convolution(_normalised_relu(new), growth, 3)
            x = layers.Concatenate()([x, new])
    x = layers.GlobalAveragePooling2D(name="features")(_normalised_relu(x))
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x), name="densenet121")
