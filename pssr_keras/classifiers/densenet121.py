"""DenseNet121, the paper's classifier for CIFAR-100."""

import keras
from keras import layers

from ..building import building_in
from .layers import convolution, normalisation, normalised_relu, scaled


@building_in("float32")
def densenet121(
    input_shape: tuple[int, ...] = (32, 32, 3),
    classes: int = 100,
    width: float = 1.0,
    statistics: dict | None = None,
    stem_strides: int = 1,
) -> keras.Model:
    """DenseNet121 in its CIFAR form: a 3x3 stem without max-pooling, dense blocks of 6, 12, 24 and 16.

    Growth rate 32, bottlenecks of 4 x 32 channels, compression 1/2: 7,048,548 trainable parameters at
    width 1 and 100 classes. Takes (B, 32, 32, 3) in [0, 1], returns logits (B, classes). The layers
    `stage1` to `stage4` return what a dense block hands on.

    Args:
        width: factor on the growth rate.
        statistics: {"mean", "variance"} of each channel of the training images, for the normalisation
            inside; None leaves it out.
        stem_strides: 2 halves the resolution of all that follows, and quarters the time; the form for
            224x224 images divides it by 4.

    Source: Huang et al. 2017, with the stem that is usual for 32x32 images; PSSR section 4.1 for CIFAR-100.
    """
    growth = scaled(32, width)
    inputs = keras.Input(input_shape, name="image")
    x = convolution(normalisation(inputs, statistics), 2 * growth, 3, stem_strides)
    for stage, depth in enumerate((6, 12, 24, 16)):
        if stage > 0:
            x = convolution(normalised_relu(x), x.shape[-1] // 2, 1)
            x = layers.AveragePooling2D(2)(x)
        for place in range(depth):
            new = convolution(normalised_relu(x), 4 * growth, 1)
            new = convolution(normalised_relu(new), growth, 3)
            name = f"stage{stage + 1}" if place == depth - 1 else None
            x = layers.Concatenate(name=name)([x, new])
    x = layers.GlobalAveragePooling2D(name="features")(normalised_relu(x))
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x), name="densenet121")


def densenet121_strided(
    input_shape: tuple[int, ...] = (32, 32, 3),
    classes: int = 100,
    width: float = 1.0,
    statistics: dict | None = None,
) -> keras.Model:
    """DenseNet121 whose stem has a stride of 2: half the resolution, the same weights, a quarter of the time.

    Between the form that is usual for 32x32 images and the published one, whose stem divides the resolution
    by 4. See `densenet121`.
    """
    return densenet121(input_shape, classes, width, statistics, stem_strides=2)
