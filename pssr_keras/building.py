"""How Keras builds layers and reads models, whatever the user's global settings say."""

import contextlib

import keras

LAYOUT = "channels_last"  # of images, as everywhere here


@contextlib.contextmanager
def building_in(dtype):
    """Where Keras builds layers and reads models in one type, the channels last; also a decorator.

    A model's answers must not depend on a global dtype policy, a `floatx` or an image data format that the
    user has set for another one: in half precision small gradients vanish.

    Args:
        dtype: "float32" or "float64".
    """
    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
    layout = keras.config.image_data_format()
    keras.config.set_dtype_policy(dtype)
    keras.config.set_image_data_format(LAYOUT)
    if floatx != dtype:
        keras.config.set_floatx(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        keras.config.set_image_data_format(layout)
        if floatx != dtype:
            keras.config.set_floatx(floatx)
