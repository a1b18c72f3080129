"""ResNet18, the paper's classifier for CIFAR-10."""

import keras
from keras import layers

from ..building import building_in
from .layers import convolution, normalisation, normalised_relu, scaled


@building_in("float32")
def resnet18(
    input_shape: tuple[int, ...] = (32, 32, 3),
    classes: int = 10,
    width: float = 1.0,
    statistics: dict | None = None,
) -> keras.Model:
    """ResNet18 in its CIFAR form: a 3x3 stem without max-pooling, four stages of two basic blocks.

    11,173,962 trainable parameters at width 1 and 10 classes. Takes (B, 32, 32, 3) in [0, 1], returns
    logits (B, classes). The layers `stage1` to `stage4` return what a stage hands on.

    Args:
        width: factor on all numbers of channels.
        statistics: {"mean", "variance"} of each channel of the training images, for the normalisation
            inside; None leaves it out.

    Source: He et al. 2016, with the stem that is usual for 32x32 images; PSSR section 4.1 for CIFAR-10.
    """
    inputs = keras.Input(input_shape, name="image")
    x = normalised_relu(convolution(normalisation(inputs, statistics), scaled(64, width), 3))
    for stage, channels in enumerate((64, 128, 256, 512)):
        channels = scaled(channels, width)
        for block in range(2):
            strides = 2 if stage > 0 and block == 0 else 1
            shortcut = x
            if strides != 1 or x.shape[-1] != channels:
                shortcut = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(
                    convolution(x, channels, 1, strides)
                )
            x = normalised_relu(convolution(x, channels, 3, strides))
            x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(convolution(x, channels, 3))
            name = f"stage{stage + 1}" if block == 1 else None
            x = layers.ReLU(name=name)(layers.Add()([x, shortcut]))
    x = layers.GlobalAveragePooling2D(name="features")(x)
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x), name="resnet18")
