"""Weights by kind of layer and order of creation, which is what a Keras model and its translation share.

An array has the axes that Keras gives it, under a name such as "convolution.003.0".
"""

import re

import numpy as np

KERAS_KINDS = {
    "Conv2D": "convolution",
    "ConvReLUMaxPool2D": "convolution",
    "Dense": "dense",
    "BatchNormalization": "normalisation",
}
NUMBERED = re.compile(r"^(conv2d|dense|batch_normalization)(_(\d+))?$")


def of_keras(model):
    """{name: variable} of a Keras model."""
    found = {}
    for kind in set(KERAS_KINDS.values()):
        layers = [layer for layer in model.layers if KERAS_KINDS.get(type(layer).__name__) == kind]
        if all(NUMBERED.match(layer.name) for layer in layers):
            # A model lists its layers by their depth; their numbers tell in which order they were made.
            layers.sort(key=lambda layer: int(NUMBERED.match(layer.name).group(3) or 0))
        for number, layer in enumerate(layers):
            if kind == "normalisation":
                variables = [layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance]
            else:
                variables = [layer.kernel, *([] if layer.bias is None else [layer.bias])]
            found |= {f"{kind}.{number:03d}.{part}": value for part, value in enumerate(variables)}
    return found


def from_keras(model):
    """{name: array} of a Keras model."""
    return {name: variable.numpy() for name, variable in of_keras(model).items()}


def to_keras(model, arrays):
    """Give a Keras model the weights {name: array}; a ValueError if they are another model's."""
    variables = of_keras(model)
    if variables.keys() != arrays.keys():
        raise ValueError(f"weights of another model: {sorted(variables.keys() ^ arrays.keys())}")
    for name, variable in variables.items():
        variable.assign(arrays[name])


def of_torch(model):
    """{name: parameter or buffer} of a translated model."""
    from torch import nn

    from .models import Convolution, Dense

    found, counts = {}, {}
    for module in model.modules():
        if isinstance(module, (Convolution, nn.Conv2d)):
            kind, parts = "convolution", [module.weight, *([] if module.bias is None else [module.bias])]
        elif isinstance(module, Dense):
            kind, parts = "dense", [module.weight, module.bias]
        elif isinstance(module, nn.BatchNorm2d):
            kind = "normalisation"
            parts = [module.weight, module.bias, module.running_mean, module.running_var]
        else:
            continue
        number = counts[kind] = counts.get(kind, -1) + 1
        found |= {f"{kind}.{number:03d}.{part}": value for part, value in enumerate(parts)}
    return found


def from_torch(model):
    """{name: array} of a translated model."""
    found = {name: value.detach().float().cpu().numpy() for name, value in of_torch(model).items()}
    axes = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
    return {name: value.transpose(axes[value.ndim]) for name, value in found.items()}


def to_torch(model, arrays):
    """Give a translated model the weights {name: array}; returns it."""
    import torch

    axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    for name, value in of_torch(model).items():
        array = np.ascontiguousarray(arrays[name].transpose(axes[arrays[name].ndim]))
        value.data.copy_(torch.from_numpy(array))
    return model
