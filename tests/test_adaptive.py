import keras
import numpy as np
import pytest
import tensorflow as tf

from pssr_keras import PSSR, InputError, PixelSurgery, attacks, checks, surgery
from pssr_keras.attacks import adaptive, base

NAMES = list(adaptive.SURROGATES)
every_surrogate = pytest.mark.parametrize("name", NAMES)
READINGS = [
    PixelSurgery(),
    PixelSurgery(score="signed", channels="each"),
    PixelSurgery(threshold="dataset", dataset_mean=0.01),
]


@pytest.fixture(scope="module")
def pssr(toy_classifier, toy_extrapolator):
    return PSSR(toy_classifier, PixelSurgery(alpha=1.0), toy_extrapolator)


def gradient(model, x, y):
    logits = base.logits_function(model)
    _, _, value = base.logits_loss_gradient(logits, lambda z: base.cross_entropy(y, z), tf.constant(x))
    return value.numpy()


@every_surrogate
@pytest.mark.parametrize("reading", READINGS, ids=["image", "signed", "dataset"])
def test_a_surrogate_has_the_logits_of_the_pssr_and_some_gradient(
    name, reading, toy_classifier, toy_extrapolator, toy_images
):
    pssr = PSSR(toy_classifier, reading, toy_extrapolator)
    surrogate = adaptive.surrogate(pssr, name)
    x, y = toy_images.x, toy_images.y
    np.testing.assert_allclose(surrogate(x).numpy(), pssr(x).numpy(), atol=1e-5)
    assert np.isfinite(gradient(surrogate, x, y)).all()
    assert np.abs(gradient(surrogate, x, y)).max() > 0


def test_identity_is_the_gradient_of_the_classifier_at_the_purified_image(pssr, toy_images):
    x, y = toy_images.x, toy_images.y
    expected = gradient(pssr.classifier, pssr.purify(x).numpy(), y)
    np.testing.assert_allclose(gradient(adaptive.surrogate(pssr, "identity"), x, y), expected, atol=1e-6)


def test_frozen_mask_is_the_true_gradient_where_the_mask_stays(pssr, toy_images):
    """Central differences of the whole pipeline along random directions that change no mask."""
    x, y = toy_images.x[:16], toy_images.y[:16]
    model = adaptive.surrogate(pssr, "frozen_mask")
    slope = gradient(model, x, y)
    generator = np.random.default_rng(0)
    checked = 0
    for _ in range(40):
        direction = generator.normal(size=x.shape).astype(np.float32)
        ahead, behind = x + 2e-3 * direction, x - 2e-3 * direction
        masks = [pssr.surgery.masks(pssr.classify, tf.constant(z))[0].numpy() for z in (ahead, x, behind)]
        stable = [
            (masks[0][i] == masks[1][i]).all() and (masks[2][i] == masks[1][i]).all() for i in range(16)
        ]
        losses = [base.cross_entropy(y, pssr(tf.constant(z))).numpy() for z in (ahead, behind)]
        measured = (losses[0] - losses[1]) / 4e-3
        expected = (slope * direction).sum(axis=(1, 2, 3))
        np.testing.assert_allclose(measured[stable], expected[stable], rtol=0.05, atol=5e-3)
        checked += sum(stable)
    assert checked > 20


def test_frozen_mask_is_zero_where_pixels_were_erased_and_straight_through_is_not(pssr, toy_images):
    x, y = toy_images.x, toy_images.y
    salient, _ = pssr.surgery.masks(pssr.classify, tf.constant(x))
    erased = salient.numpy() > 0
    assert 0.1 < erased.mean() < 0.9
    assert not gradient(adaptive.surrogate(pssr, "frozen_mask"), x, y)[erased].any()
    through = gradient(adaptive.surrogate(pssr, "straight_through"), x, y)
    assert (through[erased] != 0).mean() > 0.5
    at_trivial = gradient(adaptive.surrogate(pssr, "frozen_mask"), x, y)[~erased]
    np.testing.assert_allclose(through[~erased], at_trivial, atol=1e-6)


def test_finite_differences_agree_with_exact_second_derivatives_of_a_smooth_network(pssr, toy_images):
    """The toy classifier is a tanh network, so both surrogates differentiate the same smooth function."""
    x, y = toy_images.x, toy_images.y
    exact = gradient(adaptive.surrogate(pssr, "soft_mask", temperature=0.5), x, y)
    near = gradient(adaptive.surrogate(pssr, "saliency_aware", temperature=0.5, radius=1e-2), x, y)
    cosine = (exact * near).sum(axis=(1, 2, 3)) / (
        np.linalg.norm(exact.reshape(64, -1), axis=1) * np.linalg.norm(near.reshape(64, -1), axis=1)
    )
    assert np.quantile(cosine, 0.05) > 0.99
    frozen = gradient(adaptive.surrogate(pssr, "frozen_mask"), x, y)
    assert not np.allclose(exact, frozen, atol=1e-4)


def test_a_cold_soft_mask_is_a_frozen_mask(pssr, toy_images):
    x, y = toy_images.x, toy_images.y
    cold = gradient(adaptive.surrogate(pssr, "soft_mask", temperature=1e-6), x, y)
    frozen = gradient(adaptive.surrogate(pssr, "frozen_mask"), x, y)
    assert (np.abs(cold - frozen).reshape(64, -1).max(axis=1) < 1e-5).mean() > 0.9


@every_surrogate
def test_every_gradient_attack_runs_on_every_surrogate(name, pssr, toy_images):
    surrogate = adaptive.surrogate(pssr, name)
    x, y = toy_images.x[:9], toy_images.y[:9]
    for attack in (
        attacks.PGD(0.1, steps=3, restarts=2, best=True),
        attacks.APGDCE(0.1, steps=4),
        attacks.APGDDLR(0.1, steps=4),
        attacks.FABT(0.1, steps=2),
        attacks.CarliniWagner(steps=3, searches=2),
    ):
        assert attack(surrogate, x, y).shape == x.shape


@pytest.mark.parametrize("stages", [(None, True), (PixelSurgery(), False), (None, False)])
@every_surrogate
def test_ablations_have_surrogates_too(name, stages, toy_classifier, toy_extrapolator, toy_images):
    pixel_surgery, has_extrapolator = stages
    pssr = PSSR(toy_classifier, pixel_surgery, toy_extrapolator if has_extrapolator else None)
    surrogate = adaptive.surrogate(pssr, name)
    np.testing.assert_allclose(surrogate(toy_images.x).numpy(), pssr(toy_images.x).numpy(), atol=1e-5)
    assert np.isfinite(gradient(surrogate, toy_images.x, toy_images.y)).all()


def test_best_iterate_and_restarts_are_no_weaker(pssr, toy_images):
    surrogate = adaptive.surrogate(pssr, "frozen_mask")
    x, y = toy_images.x, toy_images.y

    def robust(attack):
        return surrogate(attack(surrogate, x, y)).numpy().argmax(axis=1) == y

    last = robust(attacks.PGD(0.03, steps=10))
    best = robust(attacks.PGD(0.03, steps=10, best=True))
    more = robust(attacks.PGD(0.03, steps=10, best=True, restarts=4))
    assert not (best & ~last).any()  # the same path, of which it may keep an earlier point
    assert not (more & ~best).any()


def test_restarts_without_best_are_refused():
    with pytest.raises(InputError, match="set best=True"):
        attacks.PGD(0.1, restarts=3)
    with pytest.raises(InputError, match="restarts is 0"):
        attacks.PGD(0.1, restarts=0)


def test_bad_surrogates_are_refused(pssr):
    with pytest.raises(InputError, match="unknown surrogate 'idenity', expected one of identity"):
        adaptive.surrogate(pssr, "idenity")
    with pytest.raises(InputError, match="made of a PSSR, not of a Functional"):
        adaptive.surrogate(pssr.classifier, "identity")
    with pytest.raises(InputError, match="identity has no option temperature"):
        adaptive.surrogate(pssr, "identity", temperature=1.0)
    with pytest.raises(InputError, match="temperature is 0"):
        adaptive.surrogate(pssr, "soft_mask", temperature=0)
    with pytest.raises(InputError, match="radius is -1"):
        adaptive.surrogate(pssr, "saliency_aware", radius=-1)


def test_saliency_of_a_given_class(toy_classifier, toy_images):
    x = tf.constant(toy_images.x[:6])
    predicted = toy_classifier(x).numpy().argmax(axis=1)
    np.testing.assert_allclose(
        surgery.saliency(toy_classifier, x, classes=predicted), surgery.saliency(toy_classifier, x), atol=1e-6
    )


KINDS = {
    "soft": (PixelSurgery(alpha=1.0, removal="soft", temperature=0.5), None),
    "soft and bounded": (PixelSurgery(alpha=1.0, removal="soft", temperature=0.5, at_most=0.25), None),
    "soft, guided": (PixelSurgery(alpha=1.0, removal="soft", temperature=0.5), "pipeline"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_exact_gradient_through_a_soft_mask_is_that_of_finite_differences(
    kind, toy_classifier, toy_extrapolator, toy_images
):
    """All of it, the mask included, in float64; frozen, the mask's share is missing."""
    surgery_of_kind, guide = KINDS[kind]
    few = toy_images.take(slice(0, 12))
    defense = PSSR(toy_classifier, surgery_of_kind, toy_extrapolator, guide)

    def errors(name):
        surrogate = adaptive.surrogate(defense, name)
        np.testing.assert_allclose(surrogate(few.x), defense(few.x), atol=1e-5)
        return checks.Measurements(defense, few, 0.1, surrogate).errors_of_gradient

    assert np.quantile(errors("soft_mask"), 0.8) < 1e-3
    assert np.quantile(errors("frozen_mask"), 0.2) > 0.05


def test_the_exact_gradient_through_a_soft_mask_passes_relu_networks(toy_images):
    """A ReLU has no second derivative, but the softmax of the log-odds has: true but for kinks."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    x = keras.layers.Dense(16, activation="relu")(keras.layers.Flatten()(x))
    network = keras.Model(inputs, keras.layers.Dense(3)(x))
    few = toy_images.take(slice(0, 12))
    defense = PSSR(network, PixelSurgery(alpha=1.0, removal="soft", temperature=0.5))
    exact, frozen = (
        checks.Measurements(defense, few, 0.1, adaptive.surrogate(defense, name)).errors_of_gradient
        for name in ("soft_mask", "frozen_mask")
    )
    assert np.quantile(exact, 0.8) < 1e-3
    assert np.median(frozen) > 2 * np.median(exact)


@every_surrogate
def test_surrogates_of_guided_and_soft_masks_have_the_defense_s_logits(
    name, toy_classifier, toy_extrapolator, toy_images
):
    for reading, guide in ((PixelSurgery(alpha=1.0, at_most=0.2), "pipeline"), KINDS["soft, guided"]):
        defense = PSSR(toy_classifier, reading, toy_extrapolator, guide)
        surrogate = adaptive.surrogate(defense, name)
        x, y = toy_images.x[:8], toy_images.y[:8]
        np.testing.assert_allclose(surrogate(x).numpy(), defense(x).numpy(), atol=1e-5)
        assert np.abs(gradient(surrogate, x, y)).max() > 0


def test_the_soft_mask_takes_the_temperature_of_a_soft_surgery(toy_classifier):
    temperatures = [
        adaptive.surrogate(PSSR(toy_classifier, reading), "soft_mask").temperature
        for reading in (PixelSurgery(), PixelSurgery(removal="soft", temperature=0.7), None)
    ]
    assert temperatures == [0.3, 0.7, 0.3]
