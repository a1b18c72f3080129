"""Interval bounds of the layers that this package defines."""

import tensorflow as tf
from keras import ops

from ..cae import DepthToSpace, SpaceToDepth
from ..classifiers.lenet5 import ConvReLUMaxPool2D, relu_of_largest_phase
from .intervals import monotone, rule

rule(SpaceToDepth, DepthToSpace)(monotone)


@rule(ConvReLUMaxPool2D)
def convolution_relu_pool(layer, lower, upper):
    """The convolution moves centre and radius, see `ConvReLUMaxPool2D`; ReLU and pooling move the ends."""
    kernel = layer.half_resolution_kernel()

    def convolved(x, kernel):
        x = tf.nn.space_to_depth(x, 2)
        return ops.conv(x, kernel, padding=layer.padding, data_format="channels_last")

    centre, radius = convolved((upper + lower) / 2, kernel), convolved((upper - lower) / 2, tf.abs(kernel))
    bias = tf.convert_to_tensor(layer.bias)
    return relu_of_largest_phase(centre - radius, bias), relu_of_largest_phase(centre + radius, bias)
