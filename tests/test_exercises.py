"""Each check of the tutorials accepts the answer that its notebook gives, and tells why another is wrong."""

import dataclasses

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from pssr_keras import attacks, data, pretrained
from pssr_keras.attacks import adaptive
from pssr_keras.course import exercises


@pytest.fixture(scope="module")
def lab():
    pssr = pretrained.load_pretrained("mnist")
    images = data.load("mnist", "test", source="bundled").take(slice(0, 100))
    return pssr, images.x, images.y


@pytest.fixture
def said(capsys):
    """Function: what a check prints."""

    def run(check, *arguments):
        check(*arguments)
        return capsys.readouterr().out.strip()

    return run


def test_no_answer_is_no_mistake(said, lab):
    pssr, x, y = lab
    for name, rest in {
        "check_largest_share": (),
        "check_equal_shares": (pssr.classifier, x),
        "check_signed_mask": (pssr.classifier, x),
        "check_undecided_discriminator": (),
        "check_divergence": (),
        "check_images_needed": (),
        "check_interval": (1, 2),
        "check_mcnemar": (),
        "check_fair": (),
        "check_ceiling": (),
        "check_random_threshold": (pssr, x, y),
    }.items():
        assert said(getattr(exercises, name), None, *rest) == "not answered yet", name
    assert said(exercises.check_flat_image, None, None) == "not answered yet"


def test_findings(said, lab):
    pssr, x, y = lab
    assert said(exercises.check_largest_share, 2 / 3) == "right"
    assert said(exercises.check_largest_share, 0.5).startswith("not yet: let a share s")
    assert "'2/3' is no number" in said(exercises.check_largest_share, "2/3")
    x_adv = attacks.PGD(0.3)(pssr.classifier, x, y)
    assert said(exercises.check_equal_shares, 0.65, pssr.classifier, x_adv) == "right"
    assert "try a smaller alpha" in said(exercises.check_equal_shares, 1.5, pssr.classifier, x_adv)


def test_pixel_surgery(said, lab):
    pssr, x, _ = lab

    def signed(gradient):
        return gradient >= 1.5 * gradient.mean(axis=(1, 2, 3), keepdims=True)

    assert said(exercises.check_signed_mask, signed, pssr.classifier, x) == "right"
    mistakes = {
        "here the sign counts": lambda g: signed(np.abs(g)),
        "1 stands for salient": lambda g: ~signed(g),
        "alpha times the mean": lambda g: g >= g.mean(axis=(1, 2, 3), keepdims=True),
        "not of the batch": lambda g: g >= 1.5 * g.mean(),
        "of the pixels differ": lambda g: g >= 0.01,
    }
    for hint, mistake in mistakes.items():
        assert hint in said(exercises.check_signed_mask, mistake, pssr.classifier, x), hint
    assert "has shape" in said(exercises.check_signed_mask, lambda g: g[..., 0], pssr.classifier, x)
    assert said(exercises.check_flat_image, 0, 1) == "right"
    assert "is 0 >= 0 true" in said(exercises.check_flat_image, 1, 1)
    assert "see `flat`" in said(exercises.check_flat_image, 0, 0)


def test_regeneration(said):
    assert said(exercises.check_undecided_discriminator, (2 * np.log(2), -np.log(2))) == "right"
    assert "not yet" in said(exercises.check_undecided_discriminator, (0.5, 0.5))

    def divergence(a, b):
        log_p, log_q = tf.nn.log_softmax(a), tf.nn.log_softmax(b)
        return tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=-1)

    assert said(exercises.check_divergence, divergence) == "right"
    assert "KL(q || p)" in said(exercises.check_divergence, lambda a, b: divergence(b, a))

    def overflows(a, b):
        p, q = (np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True) for z in (a, b))
        return (p * np.log(p / q)).sum(axis=-1)

    with np.errstate(all="ignore"):
        assert "take log_softmax" in said(exercises.check_divergence, overflows)
    assert "take log_softmax" in said(
        exercises.check_divergence,
        lambda a, b: tf.reduce_sum(tf.nn.softmax(a) * tf.math.log(tf.nn.softmax(a) / tf.nn.softmax(b)), -1),
    )
    assert "one a row" in said(exercises.check_divergence, lambda a, b: tf.reduce_mean(divergence(a, b)))


def test_robustness_and_ablations(said):
    assert said(exercises.check_interval, (94.97, 99.22), 196, 200) == "right"
    assert "not yet" in said(exercises.check_interval, (96.06, 99.94), 196, 200)  # Wald's interval
    assert "in percent" in said(exercises.check_interval, (0.9497, 0.9922), 196, 200)
    assert "the lower comes first" in said(exercises.check_interval, (99.22, 94.97), 196, 200)
    assert "no pair" in said(exercises.check_interval, 94.97, 196, 200)
    assert said(exercises.check_images_needed, 800) == "right"
    assert "half the width" in said(exercises.check_images_needed, 100)
    assert "no number of images" in said(exercises.check_images_needed, 0)

    def test(first, second):
        a, b = (first & ~second).sum(), (second & ~first).sum()
        return scipy.stats.binomtest(int(a), int(a + b)).pvalue if a + b else 1.0

    assert said(exercises.check_mcnemar, test) == "right"
    assert "not yet" in said(exercises.check_mcnemar, lambda a, b: 0.5)
    assert "one tail" in said(exercises.check_mcnemar, lambda a, b: test(a, b) / 2)

    def chi_squared(first, second):
        a, b = (first & ~second).sum(), (second & ~first).sum()
        return scipy.stats.chi2.sf((a - b) ** 2 / (a + b), 1)

    assert "not by chi-squared" in said(exercises.check_mcnemar, chi_squared)
    assert "never differ" in said(exercises.check_mcnemar, lambda a, b: test(a, b) if (a != b).any() else 0.0)
    unguarded = said(
        exercises.check_mcnemar,
        lambda a, b: scipy.stats.binomtest(int((a & ~b).sum()), int((a ^ b).sum())).pvalue,
    )
    assert "never differ, it stops" in unguarded
    fair = {"train each variant anew", "same number of steps for each", "judge all on the same images"}
    assert said(exercises.check_fair, fair) == "right"
    assert "think again" in said(exercises.check_fair, fair | {"report the best of three seeds"})


@pytest.mark.slow
def test_bpda(said, lab):
    pssr, x, y = lab
    assert said(exercises.check_ceiling, False) == "right"
    assert "leave the image" in said(exercises.check_ceiling, True)

    def averaged(z):
        parts = []
        for alpha in (1.0, 1.25, 1.5, 1.75, 2.0):
            reading = dataclasses.replace(pssr.surgery, alpha=alpha)
            frozen = tf.stop_gradient(reading.masks(pssr.classify, tf.stop_gradient(z))[1])
            parts.append(pssr.classify(pssr.restore(z * frozen)))
        return tf.add_n(parts) / len(parts)

    x, y = x[:30], y[:30]
    x_adv = attacks.PGD(0.3, steps=60, step_size=0.02)(averaged, x, y)
    assert said(exercises.check_random_threshold, x_adv, pssr, x, y) == "right"
    plain = attacks.PGD(0.3, steps=60, step_size=0.02)(adaptive.surrogate(pssr, "frozen_mask"), x, y)
    assert said(exercises.check_random_threshold, plain, pssr, x, y) == "right"
    assert "a surrogate of the whole defense" in said(exercises.check_random_threshold, x, pssr, x, y)
    assert "must stay within" in said(exercises.check_random_threshold, 1 - x, pssr, x, y)
    assert "must stay within" in said(exercises.check_random_threshold, np.nan * x, pssr, x, y)
    assert "have shape" in said(exercises.check_random_threshold, x[:1], pssr, x, y)


def half_right():
    """{check: [(answer, points)]}: mistakes that show understanding, and some that do not."""

    def kl(a, b):
        log_p, log_q = tf.nn.log_softmax(a), tf.nn.log_softmax(b)
        return tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=-1)

    def test(first, second):
        a, b = (first & ~second).sum(), (second & ~first).sum()
        return scipy.stats.binomtest(int(a), int(a + b)).pvalue if a + b else 1.0

    def overflows(a, b):
        with np.errstate(all="ignore"):
            p, q = (np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True) for z in (a, b))
            return (p * np.log(p / q)).sum(axis=-1)

    fair = {"train each variant anew", "same number of steps for each", "judge all on the same images"}
    return {
        "check_largest_share": [(0.5, 0), ("2/3", 0)],
        "check_undecided_discriminator": [((2 * np.log(2), 0.5), 1), ((0.5, 0.5), 0), (1, 0)],
        "check_divergence": [(lambda a, b: kl(b, a), 2), (overflows, 2), (lambda a, b: kl(a, b) + 1, 0)],
        "check_interval": [((0.9497, 0.9922), 2), ((99.22, 94.97), 2), ((96.06, 99.94), 0)],
        "check_images_needed": [(100, 0), (0, 0)],
        "check_mcnemar": [
            (lambda a, b: test(a, b) / 2, 1),
            (lambda a, b: 0.5, 0),
            (lambda a, b: test(a, b) if (a != b).any() else 0.0, 2),
        ],
        "check_fair": [(fair | {"report the best of three seeds"}, 2), (set(), 0), ({"luck"}, 0)],
        "check_ceiling": [(True, 0)],
    }


def test_mistakes_keep_the_points_of_what_they_show():
    for name, mistakes in half_right().items():
        exercise = exercises.EXERCISES[name]
        for answer, points in mistakes:
            verdict = exercise.grade(answer, *exercise.context())
            assert (verdict.points, verdict.of) == (points, exercise.points), (name, answer)
    flat = exercises.EXERCISES["check_flat_image"]
    assert [flat.grade(*answers).points for answers in ((1, 1), (0, 0), (0, 1))] == [0, 1, 2]


def test_masks_that_are_nearly_right_keep_a_point(lab):
    pssr, x, _ = lab
    exercise = exercises.EXERCISES["check_signed_mask"]
    signed = lambda g: g >= 1.5 * g.mean(axis=(1, 2, 3), keepdims=True)  # noqa: E731
    points = {
        "complement": (lambda g: ~signed(g), 1),
        "magnitude": (lambda g: signed(np.abs(g)), 0),
        "mean": (lambda g: g >= g.mean(axis=(1, 2, 3), keepdims=True), 1),
        "any": (lambda g: g >= 0.01, 0),
    }
    for name, (function, expected) in points.items():
        assert exercise.grade(function, pssr.classifier, x).points == expected, name


def test_shares_in_words():
    assert exercises.percent(np.ones(7)) == exercises.percent([0.99]) == "more than 95%"
    assert exercises.percent(np.zeros(7)) == exercises.percent([0.01]) == "less than 5%"
    assert exercises.percent([1, 1, 1, 0] * 5 + [1]) == exercises.percent([0.75]) == "about 75%"
    assert exercises.percent([0.93], 10) == "about 90%"
    assert exercises.percent([0.99], 10) == "more than 90%"
