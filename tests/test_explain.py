import keras
import numpy as np
import pytest
from keras import layers

from pssr_keras import InputError
from pssr_keras.course import explain


@pytest.fixture(scope="module")
def by_place():
    """A classifier whose class 0 is the sum of the left half of channel 0, and class 1 that of the "
    "right half."""
    inputs = keras.Input((8, 8, 1))
    channels = layers.Conv2D(2, 1, use_bias=False, name="channels")(inputs)
    logits = layers.Dense(2, use_bias=False)(layers.Flatten()(channels))
    model = keras.Model(inputs, logits)
    dense = np.zeros((8, 8, 2, 2), np.float32)
    dense[:, :4, 0, 0] = dense[:, 4:, 0, 1] = 1
    model.set_weights([np.ones((1, 1, 1, 2), np.float32), dense.reshape(128, 2)])
    return model


def test_grad_cam_is_the_weighted_sum_of_channels(by_place):
    """The mean gradient of either class is 1/2 on channel 0 and 0 on channel 1, so the map is the image."""
    x = np.random.default_rng(0).uniform(0, 1, (3, 8, 8, 1)).astype(np.float32)
    maps = explain.grad_cam(by_place, x, "channels")
    np.testing.assert_allclose(maps, (x / x.max(axis=(1, 2, 3), keepdims=True))[..., 0], atol=1e-5)
    by_place.layers[-1].set_weights([-by_place.layers[-1].get_weights()[0]])
    assert explain.grad_cam(by_place, x, "channels").max() == 0  # all evidence is against the class
    by_place.layers[-1].set_weights([-by_place.layers[-1].get_weights()[0]])


def test_features_are_what_the_last_layer_sees(bundled_test):
    from pssr_keras import pretrained

    classifier = pretrained.load_pretrained("mnist").classifier
    x = bundled_test.x[:30]
    found = explain.features(classifier, x, batch_size=7)
    kernel, bias = classifier.layers[-1].get_weights()
    np.testing.assert_allclose(found @ kernel + bias, classifier.predict(x, verbose=0), atol=1e-3)


def test_layers_that_do_not_fit_are_refused(by_place):
    x = np.zeros((1, 8, 8, 1), np.float32)
    with pytest.raises(InputError, match=r"has no layer 'conv9', expected one of .*channels"):
        explain.grad_cam(by_place, x, "conv9")
    with pytest.raises(InputError, match="has no positions, expected a convolutional layer"):
        explain.grad_cam(by_place, x, by_place.layers[-1].name)
