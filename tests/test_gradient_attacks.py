import copy
import dataclasses
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from cleverhans.tf2.attacks.momentum_iterative_method import momentum_iterative_method
from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

from pssr_keras import InputError, attacks, evaluation, load_pretrained
from pssr_keras.attacks import (
    apgd,
    autoattack,
    base,
    carlini_wagner,
    early_exit,
    fab,
    gradient,
    norms,
    square,
)

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
    attack = attacks.BIM(EPS, steps=7, step_size=0.2 * EPS)
    ours = attack(toy_classifier, toy_images.x, toy_images.y)
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


@pytest.mark.parametrize(
    ("attack", "steps", "expected"),
    [
        (attacks.PGD, 1, 2.0),  # from one end of the ball to the other
        (attacks.PGD, 2, 1.25),
        (attacks.PGD, 5, 0.5),
        (attacks.PGD, 20, 0.125),
        (attacks.PGD, 39, 2.5 / 39),
        (attacks.PGD, 40, 1 / 30),
        (attacks.PGD, 100, 1 / 30),
        *((attack, 1, 2.0) for attack in (attacks.BIM, attacks.MIM)),
        *((attack, 4, 0.625) for attack in (attacks.BIM, attacks.MIM)),
        *((attack, 9, 2.5 / 9) for attack in (attacks.BIM, attacks.MIM)),
        *((attack, 10, 0.2) for attack in (attacks.BIM, attacks.MIM)),
        *((attack, 100, 0.2) for attack in (attacks.BIM, attacks.MIM)),
    ],
)
def test_few_steps_are_long_and_usual_ones_as_published(attack, steps, expected):
    for eps in (0.3, 8 / 255):
        found = attack(eps, steps=steps)
        assert found.step_size == found.get_config()["step_size"] == expected * eps
    assert attack(0.0, steps=steps).step_size == 0


@pytest.mark.parametrize("attack", [attacks.PGD, attacks.BIM, attacks.MIM])
def test_a_copy_with_another_budget_or_other_steps_has_its_own_step_size(attack):
    whole = attack(0.3, steps=40)
    for changes in ({"eps": 0.1}, {"steps": 5}, {"eps": "8/255", "steps": 3}, {"targeted": True}):
        expected = attack(**{"eps": 0.3, "steps": 40} | changes)
        for origin in (whole, copy.deepcopy(whole)):
            assert dataclasses.replace(origin, **changes) == expected
        config = {k: v for k, v in whole.get_config().items() if k not in ("attack", "norm")}
        assert attacks.create(attack.name, **config | changes) == expected
    chosen = attack(0.3, steps=40, step_size=0.02)
    assert dataclasses.replace(chosen, eps=0.1, steps=5).step_size == 0.02
    assert dataclasses.replace(whole, step_size=0.02, steps=5).step_size == 0.02


@pytest.mark.parametrize("steps", [1, 4])
def test_few_steps_are_no_weaker_than_fgsm(steps, toy_classifier, toy_images):
    x, y, eps = toy_images.x, toy_images.y, 0.25

    def left(attack):
        return evaluation.correct(toy_classifier, attack(toy_classifier, x, y), y).mean()

    one_step = left(attacks.FGSM(eps))
    assert 0.8 < one_step < 0.95
    for attack in (attacks.PGD, attacks.BIM, attacks.MIM):
        assert left(attack(eps, steps=steps)) <= one_step, attack.name


def test_few_steps_break_as_much_of_lenet5_as_steps_that_cross_the_ball(bundled_test):
    classifier, images = load_pretrained("mnist").classifier, bundled_test.take(slice(0, 100))

    def left(attack):
        return evaluation.correct(classifier, attack(classifier, images.x, images.y), images.y).mean()

    assert left(attacks.FGSM(0.1)) == pytest.approx(0.81, abs=0.011)
    for steps, expected in ((1, 0.81), (5, 0.53), (20, 0.46)):  # at eps / 30: 0.99, 0.98, 0.85
        assert left(attacks.PGD(0.1, steps=steps, best=True)) == pytest.approx(expected, abs=0.011)


def around_grey(centre):
    """A model without a gradient, right about class 0 but at plain grey, where it has a logit of `centre`."""

    def model(x):
        distance = tf.reduce_mean(tf.abs(tf.stop_gradient(x) - 0.5), axis=(1, 2, 3))
        return tf.stack([centre + 10 * distance, tf.zeros_like(distance)], axis=1)

    return model


@pytest.mark.parametrize("restarts", [1, 3])
@pytest.mark.parametrize(
    ("centre", "targeted", "label"),
    [
        (-0.1, False, 0),  # nothing but the clean image is misclassified
        (-0.1, True, 1),  # nothing but the clean image is the target
        (0.1, False, 0),  # nothing is misclassified, the clean image has the highest loss
    ],
)
def test_the_best_iterate_is_no_milder_than_the_clean_image(centre, targeted, label, restarts):
    model, x, y = around_grey(centre), np.full((4, 8, 8, 1), 0.5, np.float32), np.full(4, label)
    attack = attacks.PGD(EPS, steps=3, targeted=targeted, best=True, restarts=restarts)
    np.testing.assert_array_equal(attack(model, x, y), x)


def test_the_clean_image_takes_the_place_of_no_iterate_that_fools(toy_classifier, toy_images):
    wrong = (toy_images.y + 1) % 3  # so the clean images are misclassified
    x_adv = attacks.PGD(EPS, best=True)(toy_classifier, toy_images.x, wrong)
    assert (np.abs(x_adv - toy_images.x).max(axis=(1, 2, 3)) > 0).all()
    assert not evaluation.correct(toy_classifier, x_adv, wrong).any()


def test_the_registry_knows_every_attack():
    assert set(attacks.REGISTRY) == {
        "fgsm", "bim", "pgd", "mim", "apgd-ce", "apgd-dlr", "apgd-t", "fab", "fab-t", "square", "autoattack",
        "cw", "hop-skip-jump",
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


@pytest.mark.parametrize("fields", [{"steps": 0}, {"step_size": -1}, {"step_size": "far"}])
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
    rooms = (apgd, autoattack, base, carlini_wagner, fab, gradient, norms, square, early_exit)
    own = {f".{room.__name__.rsplit('.', 1)[1]}" for room in rooms} | {
        ".",
        ".finite_gradient",
        ".hyperplanes",
        ".names",
    }
    for module in rooms:
        lines = [line for line in inspect.getsource(module).splitlines() if line.startswith("from .")]
        assert {line.split()[1] for line in lines} <= {
            "..inputs",
            "..batching",
            ".",
            ".finite_gradient",
            *own,
        }
