"""The parts that several classifiers share."""

from keras import layers

from ..building import building_in


def scaled(channels, width):
    """A number of channels times a width, at least 1."""
    return max(1, round(channels * width))


@building_in("float32")
def convolution(x, channels, size, strides=1):
    """A convolution as ResNet and DenseNet have it: no bias, as batch normalisation follows."""
    return layers.Conv2D(
        channels, size, strides=strides, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(x)


def normalised_relu(x):
    """Batch normalisation, then ReLU."""
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x))


def normalisation(inputs, statistics):
    """Images in [0, 1] shifted and scaled by the {"mean", "variance"} of each channel; None keeps them."""
    if statistics is None:
        return inputs
    return layers.Normalization(**statistics, name="normalisation")(inputs)
