"""Layers of Keras that take the channels of an image last, as everything here, whatever keras.json says."""

import functools

from keras import layers

AveragePooling2D = functools.partial(layers.AveragePooling2D, data_format="channels_last")
Conv2D = functools.partial(layers.Conv2D, data_format="channels_last")
Conv2DTranspose = functools.partial(layers.Conv2DTranspose, data_format="channels_last")
Cropping2D = functools.partial(layers.Cropping2D, data_format="channels_last")
Flatten = functools.partial(layers.Flatten, data_format="channels_last")
GlobalAveragePooling2D = functools.partial(layers.GlobalAveragePooling2D, data_format="channels_last")
