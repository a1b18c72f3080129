"""Interval bounds hold for every point of the interval, and no attack breaks what is certified."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from pssr_keras import PSSR, InputError, PixelSurgery, attacks, certify, classifiers, evaluation
from pssr_keras.cae import DepthToSpace, SpaceToDepth, with_contrast


def dense_end(x):
    return layers.Dense(4)(layers.Flatten()(x))


def branches(x):
    """Two calls of one layer, and what joins branches."""
    shared = layers.Conv2D(3, 3, padding="same", activation="tanh")
    one, other = shared(x), shared(layers.Rescaling(-1.0, 0.5)(x))
    joined = [layers.Add()([one, other]), layers.Subtract()([one, other]), layers.Multiply()([one, other])]
    joined += [layers.Maximum()([one, other]), layers.Minimum()([one, other]), layers.Average()([one, other])]
    return dense_end(layers.Concatenate()(joined))


def normalised(x):
    x = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[0.5, 0.1, 2.0])(x)
    batch = layers.BatchNormalization(gamma_initializer=keras.initializers.RandomNormal(0.0, 1.0))
    return dense_end(layers.LeakyReLU()(batch(layers.Conv2D(5, 3)(x))))


def up_and_down(x):
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Conv2DTranspose(4, 3, strides=2, padding="same", activation="sigmoid")(x)
    x = DepthToSpace()(layers.DepthwiseConv2D(3, padding="same")(SpaceToDepth()(x)))
    x = layers.AveragePooling2D(2)(layers.ZeroPadding2D(1)(x))
    return dense_end(layers.MaxPooling2D(2)(x))


def with_code(x):
    """A code that sums to 1, an image drawn from it, and a model within the model."""
    code = layers.Softmax()(layers.Dense(6)(layers.Flatten()(layers.Dropout(0.5)(with_contrast(x, 4.0)))))
    image = layers.Reshape((8, 8, 3))(layers.Dense(192, activation="sigmoid")(code))
    inner = keras.Input((8, 8, 3))
    return keras.Model(inner, dense_end(layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3)(inner))))(image)


NETWORKS = {
    function.__name__: function for function in (dense_end, branches, normalised, up_and_down, with_code)
}


@pytest.fixture(params=NETWORKS)
def network(request):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, NETWORKS[request.param](inputs), name=request.param)


def random_points(lower, upper, count, seed=0):
    """Points of an interval, half of them corners."""
    generator = np.random.default_rng(seed)
    share = generator.uniform(size=(count, *lower.shape)).astype(np.float32)
    share[::2] = share[::2] > 0.5
    return lower + share * (upper - lower)


@pytest.mark.parametrize("eps", [0.01, 0.2])
def test_no_point_of_the_interval_answers_outside_the_bounds(network, eps):
    x = np.random.default_rng(1).uniform(size=(3, 8, 8, 3)).astype(np.float32)
    lower, upper = certify.bounds(network, x - eps, x + eps)
    for point in random_points(x - eps, x + eps, 60):
        answer = network(point, training=False)
        assert (answer >= lower - 1e-5).numpy().all()
        assert (answer <= upper + 1e-5).numpy().all()


def test_an_interval_without_width_is_the_answer(network):
    x = np.random.default_rng(1).uniform(size=(3, 8, 8, 3)).astype(np.float32)
    for end in certify.bounds(network, x, x):
        np.testing.assert_allclose(end, network(x, training=False), atol=1e-5)


@pytest.mark.parametrize("create", [classifiers.lenet5, classifiers.resnet18])
def test_shipped_networks_have_bounds(create):
    keras.utils.set_random_seed(0)
    model = create(width=0.25)
    x = np.random.default_rng(1).uniform(size=(2, *model.input_shape[1:])).astype(np.float32)
    lower, upper = certify.bounds(model, x - 1e-4, x + 1e-4)
    answer = model(random_points(x - 1e-4, x + 1e-4, 1)[0], training=False)
    assert (answer >= lower).numpy().all()
    assert (answer <= upper).numpy().all()
    # Narrow: bounds that are always infinite would be sound, too.
    assert float(tf.reduce_max(certify.bounds(model, x, x)[1] - answer)) < 1


def test_bounds_by_hand():
    inputs = keras.Input((2,))
    model = keras.Model(inputs, layers.Dense(1, activation="relu")(inputs))
    model.set_weights([np.array([[2.0], [-1.0]]), np.array([0.5])])
    lower, upper = certify.bounds(model, tf.constant([[0.0, 0.0]]), tf.constant([[1.0, 3.0]]))
    np.testing.assert_allclose([lower[0, 0], upper[0, 0]], [0.0, 2.5])  # 2 [0, 1] - [0, 3] + 0.5, cut at 0


def test_softmax_is_bounded_exactly():
    """The ends are reached at corners; logits of hundreds do not overflow."""
    lower, upper = tf.constant([[-1.0, 0.0, 300.0]]), tf.constant([[1.0, 0.5, 301.0]])
    found = certify.bounds(keras.Sequential([keras.Input((3,)), layers.Softmax()]), lower, upper)
    corners = np.stack(np.meshgrid(*zip(lower[0].numpy(), upper[0].numpy(), strict=True)), -1).reshape(-1, 3)
    answers = tf.nn.softmax(corners).numpy()
    np.testing.assert_allclose(found[0][0], answers.min(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found[1][0], answers.max(axis=0), rtol=1e-5)


def test_a_linear_model_is_certified_where_its_margin_says_so():
    """Where the box does not cut the ball, min (logit_y - logit_j) = margin - eps |w_y - w_j|_1."""
    keras.utils.set_random_seed(2)
    inputs = keras.Input((4, 4, 1))
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(inputs)))
    x = np.random.default_rng(0).uniform(0.3, 0.7, (50, 4, 4, 1)).astype(np.float32)
    logits, kernel = model(x).numpy(), model.layers[-1].kernel.numpy()
    y, eps = logits.argmax(1), 0.05
    rows = np.arange(len(x))
    reach = np.abs(kernel.T[y][:, None] - kernel.T[None]).sum(-1)
    expected = logits[rows, y][:, None] - logits - eps * reach
    found = certify.margins(model, tf.constant(x), tf.constant(y.astype(np.int32)), eps)
    np.testing.assert_allclose(found, np.where(np.arange(3) == y[:, None], 0, expected), atol=1e-5)
    expected[rows, y] = 1
    robust = (expected > 0).all(1)
    assert 5 < robust.sum() < 45
    np.testing.assert_array_equal(certify.certified(model, x, y, eps, batch_size=16), robust)
    wrong = (y + 1) % 3
    assert not certify.certified(model, x, wrong, eps).any()


@pytest.fixture(scope="module")
def trained(toy_images):
    """A network of intervals narrow enough for certificates: few layers, trained a little."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, strides=2, activation="relu")(inputs)
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(toy_images.x, toy_images.y, epochs=60, verbose=0)
    return model


def test_no_attack_breaks_what_is_certified(trained, toy_images):
    x, y = toy_images.x, toy_images.y
    shares = []
    for eps in (0.05, 0.1, 0.15, 0.25):
        proved = certify.certified(trained, x, y, eps)
        shares.append(proved.mean())
        for attack in (attacks.PGD(eps, steps=40, restarts=3, best=True), attacks.Square(eps, queries=300)):
            answers = trained(attack(trained, x, y)).numpy().argmax(1)
            assert (answers == y)[proved].all()
    assert shares[0] > 0.5 > shares[-1]
    assert shares == sorted(shares, reverse=True)
    identity = PSSR(
        trained, surgery=None, extrapolator=keras.Sequential([keras.Input((8, 8, 1)), layers.Rescaling(1.0)])
    )
    np.testing.assert_array_equal(
        certify.certified(identity, x, y, 0.15), certify.certified(trained, x, y, 0.15)
    )


def test_bounds_can_be_trained(trained, toy_images):
    """A few steps up the margins' gradient raise the least of them."""
    x, y = tf.constant(toy_images.x), tf.constant(toy_images.y)
    model = keras.models.clone_model(trained)
    model.set_weights(trained.get_weights())
    optimizer = keras.optimizers.Adam(0.003)

    def loss():
        margins = certify.margins(model, x, y, 0.2)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, -margins))

    before = loss()
    for _ in range(30):
        with tf.GradientTape() as tape:
            value = loss()
        optimizer.apply_gradients(
            zip(tape.gradient(value, model.trainable_variables), model.trainable_variables, strict=True)
        )
    assert loss() < 0.5 * before
    proved = certify.certified(model, toy_images.x, toy_images.y, 0.2).mean()
    assert proved > certify.certified(trained, toy_images.x, toy_images.y, 0.2).mean()


def test_what_has_no_bounds_is_named(toy_classifier, toy_images):
    def refused(*stack):
        with pytest.raises(InputError) as error:
            certify.certified(
                keras.Sequential([keras.Input((8, 8, 1)), *stack]), toy_images.x, toy_images.y, 0.1
            )
        return str(error.value)

    def end():
        return layers.Flatten(), layers.Dense(3)

    assert "of layer 'odd', a UnitNormalization" in refused(layers.UnitNormalization(name="odd"), *end())
    assert "layer 'odd' has the activation 'gelu'" in refused(
        layers.Conv2D(2, 3, activation="gelu", name="odd"), *end()
    )
    with pytest.raises(InputError, match="pixel surgery, whose mask jumps"):
        certify.certified(PSSR(toy_classifier, PixelSurgery()), toy_images.x, toy_images.y, 0.1)
    with pytest.raises(InputError, match="eps"):
        certify.certified(toy_classifier, toy_images.x, toy_images.y, -0.1)

    class Subclassed(keras.Model):
        def call(self, x):
            return tf.reduce_mean(x, axis=(1, 2))[:, :1] * tf.ones(3)

    with pytest.raises(InputError, match="is no graph of layers"):
        certify.certified(Subclassed(), toy_images.x, toy_images.y, 0.1)


def test_an_operation_that_is_no_layer_is_refused(toy_images):
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(inputs * 2.0)))
    with pytest.raises(InputError, match="of the operation 'multiply"):
        certify.certified(model, toy_images.x, toy_images.y, 0.1)


def test_a_record_says_what_is_certified_and_what_cannot_be(trained, toy_images):
    models = {"undefended": trained, "+PS": PSSR(trained, PixelSurgery())}
    found = evaluation.certified(models, (toy_images.x, toy_images.y), 0.15)
    flags = certify.certified(trained, toy_images.x, toy_images.y, 0.15)
    assert found["cells"] == {"undefended": evaluation.measurement(flags)}
    assert (found["norm"], found["eps"], found["n"]) == ("Linf", 0.15, 64)
    assert list(found["refused"]) == ["+PS"]
    record = evaluation.evaluate(trained, (toy_images.x, toy_images.y), [attacks.FGSM(0.15)])
    certified, refused = evaluation.remarks(record | {"certified": found})[-2:]
    assert certified.startswith(f"undefended: {100 * flags.mean():.2f}% [")
    assert "certified by interval bounds within eps 0.15 (Linf)" in certified
    assert refused.startswith("+PS is not certified: no interval bounds are known of pixel surgery")
    with pytest.raises(InputError, match="pixel surgery"):
        evaluation.certified({"+PS": models["+PS"]}, (toy_images.x, toy_images.y), 0.15)
