"""The frozen classifiers that PSSR protects: LeNet5, ResNet18 and DenseNet121.

All are Functional models that take images (B, H, W, C), float32 in [0, 1], and return logits
(B, classes). Normalisation is part of the model, so whoever attacks or defends one works in [0, 1]. A
further classifier is a further file with a function (input_shape, classes, width, statistics) -> model, and
a line in `CLASSIFIERS`.
"""

import keras

from ..inputs import InputError
from .densenet121 import densenet121, densenet121_strided
from .lenet5 import ConvReLUMaxPool2D, lenet5, relu_of_largest_phase
from .perceptron import multilayer_perceptron
from .resnet18 import resnet18

__all__ = [
    "CLASSIFIERS", "ConvReLUMaxPool2D", "check_name", "create", "densenet121", "densenet121_strided",
    "lenet5", "multilayer_perceptron", "relu_of_largest_phase", "resnet18",
]  # fmt: skip

CLASSIFIERS = {
    "lenet5": lenet5,
    "multilayer_perceptron": multilayer_perceptron,
    "resnet18": resnet18,
    "densenet121": densenet121,
    "densenet121_strided": densenet121_strided,
}


def create(
    name: str, input_shape: tuple[int, ...], classes: int, width: float = 1.0, statistics: dict | None = None
) -> keras.Model:
    """An untrained classifier by name.

    Args:
        name: of `CLASSIFIERS`.
        input_shape: (H, W, C).
        classes: number of classes.
        width: factor on all numbers of channels.
        statistics: {"mean", "variance"} of each channel of the training images, for the normalisation
            inside; None leaves it out.

    Raises:
        InputError: for an unknown name.
    """
    check_name(name)
    return CLASSIFIERS[name](input_shape, classes, width, statistics)


def check_name(name: str) -> None:
    """Refuse a name that is not in `CLASSIFIERS`."""
    if name not in CLASSIFIERS:
        raise InputError(f"unknown classifier {name!r}, expected one of {', '.join(CLASSIFIERS)}")
