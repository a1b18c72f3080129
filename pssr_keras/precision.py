"""The type in which Keras builds, whatever the user's global settings say."""

import contextlib

import keras


@contextlib.contextmanager
def building_in(dtype):
    """Where Keras builds layers and reads models in one type; also a decorator of a function that builds.

    A model's answers must not depend on a global dtype policy, or on `floatx`, that the user has set for
    another one: in half precision small gradients vanish.

    Args:
        dtype: "float32" or "float64".
    """
    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_dtype_policy(dtype)
    if floatx != dtype:
        keras.config.set_floatx(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        if floatx != dtype:
            keras.config.set_floatx(floatx)
