import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from cleverhans.tf2.attacks.momentum_iterative_method import momentum_iterative_method
from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

from pssr_keras import InputError, attacks
from pssr_keras.attacks import apgd, autoattack, base, carlini_wagner, fab, gradient, square, survivors

EPS = 0.2
ALL = [attacks.FGSM(EPS), attacks.BIM(EPS), attacks.MIM(EPS), attacks.PGD(EPS)]
by_name = pytest.mark.parametrize("attack", ALL, ids=lambda attack: attack.name)


def loss(model, x, y):
    return base.cross_entropy(y, model(x, training=False)).numpy()


@by_name
def test_stays_within_eps_and_within_the_range(attack, toy_classifier, toy_images):
    x_adv = attack(toy_classifier, toy_images.x, toy_images.y)
    assert x_adv.dtype == np.float32
    assert np.abs(x_adv - toy_images.x).max() <= EPS + 1e-6
    assert np.abs(x_adv - toy_images.x).max() > 0.9 * EPS
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1


@by_name
def test_raises_the_loss_of_nearly_every_image_and_beats_noise(attack, toy_classifier, toy_images):
    x, y = toy_images.x, toy_images.y
    clean, attacked = loss(toy_classifier, x, y), loss(toy_classifier, attack(toy_classifier, x, y), y)
    noise = np.sign(np.random.default_rng(0).normal(size=x.shape)).astype(np.float32)
    noisy = loss(toy_classifier, np.clip(x + EPS * noise, 0, 1), y)
    assert (attacked > clean).mean() >= 0.95
    assert (attacked > noisy).mean() >= 0.95


@by_name
def test_targeted_lowers_the_loss_of_the_target(attack, toy_classifier, toy_images):
    target = (toy_images.y + 1) % 3
    targeted = attacks.create(attack.name, eps=EPS, targeted=True)
    before = loss(toy_classifier, toy_images.x, target)
    after = loss(toy_classifier, targeted(toy_classifier, toy_images.x, target), target)
    assert (after < before).mean() >= 0.95


@by_name
def test_black_pixels_can_move(attack, toy_classifier, toy_images):
    x = toy_images.x.copy()
    x[:, 0] = 0
    assert (attack(toy_classifier, x, toy_images.y)[:, 0] > 0).any()


@by_name
def test_batches_change_nothing_and_a_seed_repeats(attack, toy_classifier, toy_images):
    x, y = toy_images.x[:12], toy_images.y[:12]
    whole = attack(toy_classifier, x, y, seed=3)
    halves = [
        attack(toy_classifier, x[rows], y[rows], seed=3, indices=np.arange(12)[rows])
        for rows in (slice(0, 5), slice(5, 12))
    ]
    np.testing.assert_allclose(np.concatenate(halves), whole, atol=1e-6)
    np.testing.assert_array_equal(attack(toy_classifier, x, y, seed=3), whole)


def test_another_seed_gives_pgd_another_start(toy_classifier, toy_images):
    first, second = (
        attacks.PGD(EPS, steps=1)(toy_classifier, toy_images.x, toy_images.y, seed=s) for s in (0, 1)
    )
    assert not np.array_equal(first, second)


def test_random_start_is_uniform_in_the_ball():
    noise = base.uniform_noise(0, range(400), (8, 8, 1)).numpy()
    assert noise.min() >= -1
    assert noise.max() < 1
    assert abs(noise.mean()) < 0.02
    assert noise.std() == pytest.approx(1 / np.sqrt(3), abs=0.01)
    assert not np.array_equal(noise[0], noise[1])


def test_bim_is_that_of_cleverhans(toy_classifier, toy_images):
    ours = attacks.BIM(EPS, steps=7)(toy_classifier, toy_images.x, toy_images.y)
    theirs = projected_gradient_descent(
        toy_classifier, toy_images.x, EPS, 0.2 * EPS, 7, np.inf, clip_min=0.0, clip_max=1.0, y=toy_images.y
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_mim_is_that_of_cleverhans(toy_classifier, toy_images):
    ours = attacks.MIM(EPS)(toy_classifier, toy_images.x, toy_images.y)
    theirs = momentum_iterative_method(
        toy_classifier, toy_images.x, EPS, 0.2 * EPS, 10, np.inf, 0.0, 1.0, toy_images.y, sanity_checks=False
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_fgsm_on_a_linear_model_in_closed_form():
    weights = np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32)
    x = np.full((2, 4, 4, 1), 0.5, np.float32)
    x_adv = attacks.FGSM(0.25)(lambda z: tf.reshape(z, (-1, 16)) @ weights, x, np.array([0, 1]))
    direction = np.sign(weights[:, 1] - weights[:, 0]).reshape(4, 4, 1)
    np.testing.assert_allclose(x_adv, [0.5 + 0.25 * direction[..., :], 0.5 - 0.25 * direction], atol=1e-6)


def test_any_callable_can_be_attacked_and_a_keras_model_runs_in_inference_mode(toy_images):
    inputs = keras.Input((8, 8, 1))
    dropped = keras.layers.Dropout(0.9)(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3)(dropped))
    first = attacks.FGSM(EPS)(model, toy_images.x, toy_images.y)
    plain = attacks.FGSM(EPS)(lambda x: model(x, training=False), toy_images.x, toy_images.y)
    np.testing.assert_array_equal(first, plain)


def test_one_trace_serves_all_batches_of_a_shape(toy_classifier, toy_images):
    model = keras.models.clone_model(toy_classifier)  # used nowhere else, so that nobody else traced it
    for start, eps, steps in ((0, EPS, 9), (16, EPS, 9), (32, EPS / 2, 4)):
        rows = slice(start, start + 16)
        attack = attacks.PGD(eps, steps=steps)
        attack(model, toy_images.x[rows], toy_images.y[rows], seed=start)
        assert base.program_of(attack, model).experimental_get_tracing_count() == 1


def test_defaults_are_the_stated_ones():
    assert attacks.PGD(0.3).get_config() == {
        "attack": "pgd", "norm": "Linf", "eps": 0.3, "targeted": False, "steps": 40,
        "step_size": pytest.approx(0.01), "restarts": 1, "best": False,
    }  # fmt: skip
    assert attacks.BIM("0.3").step_size == pytest.approx(0.06)
    assert attacks.MIM("8/255").eps == pytest.approx(8 / 255)


def test_the_registry_knows_every_attack():
    assert set(attacks.REGISTRY) == {
        "fgsm", "bim", "pgd", "mim", "apgd-ce", "apgd-dlr", "apgd-t", "fab-t", "square", "autoattack", "cw",
        "hop-skip-jump",
    }  # fmt: skip
    assert attacks.create("pgd", eps="8/255", steps=3) == attacks.PGD(8 / 255, steps=3)
    with pytest.raises(InputError, match="unknown attack 'pdg', expected one of"):
        attacks.create("pdg", eps=0.3)


def test_attacks_are_parsed_with_their_fields():
    assert attacks.parse("pgd", 0.3) == attacks.PGD(0.3)
    assert attacks.parse("pgd:steps=7,restarts=2,best=true", "8/255") == attacks.PGD(
        8 / 255, steps=7, restarts=2, best=True
    )
    assert attacks.parse("pgd:eps=0.1,step_size=0.02", 0.3) == attacks.PGD(0.1, step_size=0.02)
    assert attacks.parse("cw", 0.3) == attacks.CarliniWagner()
    assert attacks.parse("cw:eps=2", 0.3) == attacks.CarliniWagner(2.0)
    assert attacks.parse("square:queries=9,mode=strict", 0.3) == attacks.Square(0.3, queries=9, mode="strict")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pdg", "unknown attack 'pdg'"),
        ("pgd:stops=3", "pgd has no field 'stops', expected one of eps"),
        ("pgd:steps=three", "steps of pgd is 'three', expected an integer"),
        ("pgd:best=perhaps", "best of pgd is 'perhaps'"),
        ("pgd:steps", "steps of pgd is ''"),
        ("cw:eps=far", "eps is 'far'"),
    ],
)
def test_bad_texts_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        attacks.parse(text, 0.3)


def test_a_trajectory_ends_where_the_attack_ends(toy_classifier, toy_images):
    attack = attacks.PGD(EPS, steps=6)
    losses, fooled = gradient.trajectory(attack, toy_classifier, toy_images.x, toy_images.y, seed=4)
    assert losses.shape == fooled.shape == (7, 64)
    x_adv = attack(toy_classifier, toy_images.x, toy_images.y, seed=4)
    np.testing.assert_allclose(losses[-1], loss(toy_classifier, x_adv, toy_images.y), rtol=1e-3, atol=1e-5)
    predicted = toy_classifier.predict(x_adv, verbose=0).argmax(axis=1)
    np.testing.assert_array_equal(fooled[-1], predicted != toy_images.y)


def test_the_loss_of_a_very_sure_answer_is_seen_to_rise(toy_classifier, toy_images):
    """Where float32 has it at 0 from the first step to the last."""

    def sure(x):
        return 3 * toy_classifier(x, training=False)

    losses, fooled = gradient.trajectory(attacks.BIM(0.02, steps=3), sure, toy_images.x, toy_images.y)
    right = ~fooled.any(axis=0)
    in_float32 = losses.astype(np.float32)[0] + np.float32(1) == 1
    assert (right & in_float32).any()
    assert (losses.max(axis=0) > losses[0])[right].all()


@pytest.mark.parametrize("eps", ["-0.1", "1.5", "nan", "a lot", "8/0", "", None, float("inf")])
def test_bad_budgets_are_refused(eps):
    with pytest.raises(InputError, match="eps is"):
        attacks.FGSM(eps)


@pytest.mark.parametrize("fields", [{"steps": 0}, {"step_size": -1}])
def test_bad_steps_are_refused(fields):
    with pytest.raises(InputError, match=next(iter(fields))):
        attacks.BIM(0.3, **fields)


BAD = {
    "NaN": lambda x, y: (np.where(x == x.max(), np.nan, x).astype(np.float32), y),
    "there are no images": lambda x, y: (x[:0], y[:0]),
    "range from": lambda x, y: (x * 255, y),
    "uint8, expected float32": lambda x, y: ((x * 255).astype(np.uint8), y),
    "channels are first": lambda x, y: (x.transpose(0, 3, 1, 2), y),
    r"have shape \(4, 8, 1\)": lambda x, y: (x[:, :4], y),
    "have shape": lambda x, y: (x[0], y),
    "labels have shape": lambda x, y: (x, y[:-1]),
    "labels are float32": lambda x, y: (x, y.astype(np.float32)),
    "labels range from -1": lambda x, y: (x, y - 1),
    "to 3, expected 0 to 2": lambda x, y: (x, y + 1),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_images_and_labels_are_refused(message, toy_classifier, toy_images):
    with pytest.raises(InputError, match=message):
        attacks.FGSM(EPS)(toy_classifier, *BAD[message](toy_images.x, toy_images.y))


def test_probabilities_and_nan_are_refused(toy_classifier, toy_images):
    for outputs, message in ((tf.nn.softmax, "probabilities"), (lambda z: z * float("nan"), "NaN")):
        with pytest.raises(InputError, match=message):
            attacks.FGSM(EPS)(lambda x, f=outputs: f(toy_classifier(x)), toy_images.x, toy_images.y)


def test_attacks_import_nothing_of_the_package_but_the_checks_of_inputs():
    """Only the adaptive surrogates know what a PSSR is."""
    rooms = (apgd, autoattack, base, carlini_wagner, fab, gradient, square, survivors)
    own = {f".{room.__name__.rsplit('.', 1)[1]}" for room in rooms}
    for module in rooms:
        lines = [line for line in inspect.getsource(module).splitlines() if line.startswith("from .")]
        assert {line.split()[1] for line in lines} <= {"..inputs", ".", ".finite_gradient", *own}
