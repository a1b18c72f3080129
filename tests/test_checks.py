"""The checks must pass where an attack works, and fail on models and attacks known to be broken."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from pssr_keras import checks

FAST = {"steps": 10, "queries": 100, "draws": 5}


def verdicts(findings):
    return {finding.name: finding.verdict for finding in findings}


def failures(findings):
    return {name for name, verdict in verdicts(findings).items() if verdict == checks.FAIL}


@pytest.fixture(scope="module")
def plain(toy_classifier, toy_images):
    return checks.run(toy_classifier, toy_images, 0.2, **FAST)


def test_nothing_fails_on_an_honest_model(plain):
    assert checks.reliable(plain), checks.text(plain)
    assert "no check failed" in checks.text(plain)
    assert len(plain) == 19


def test_a_gradient_masked_model_fails(toy_classifier, toy_images):
    """Pixels are rounded to three levels: accurate, and without gradient."""
    found = checks.run(lambda x: toy_classifier(tf.round(2 * x) / 2), toy_images, 0.2, **FAST)
    assert failures(found) == {"images without gradient", "eps = 1 breaks all", "loss rises"}
    assert "UNRELIABLE" in checks.text(found)


def test_a_saturated_model_fails(toy_classifier, toy_images):
    """Logits so large that the float32 gradient of the cross-entropy is zero."""
    found = checks.run(lambda x: 1e4 * toy_classifier(x), toy_images, 0.2, **FAST)
    assert "images without gradient" in failures(found)
    assert "loss rises" in failures(found)


def test_a_gradient_that_is_nan_ends_the_checks(toy_classifier, toy_images):
    def hidden(x):  # a logarithm that tf.where hides: forward nothing, backward 0 times infinity
        return toy_classifier(tf.where(x > 2, tf.math.log(0 * x), x))

    found = checks.run(hidden, toy_images, 0.2, **FAST)
    assert failures(found) == {"gradient is finite"}
    assert "NaN or infinite for 64 images, first in Log" in checks.text(found)


def test_a_model_that_returns_probabilities_fails(toy_classifier, toy_images):
    found = checks.run(lambda x: tf.nn.softmax(toy_classifier(x)), toy_images, 0.2, **FAST)
    assert failures(found) == {"logits"}
    assert "probabilities" in found[0].figure


def test_a_model_that_returns_nan_fails(toy_classifier, toy_images):
    found = checks.run(lambda x: toy_classifier(x) * float("nan"), toy_images, 0.2, **FAST)
    assert failures(found) == {"logits"}


def test_a_randomised_model_fails(toy_classifier, toy_images):
    def noisy(x):
        return toy_classifier(x + tf.random.normal(tf.shape(x), stddev=0.3))

    assert "same answer twice" in failures(checks.run(noisy, toy_images, 0.2, **FAST))


def test_a_model_that_looks_at_its_batch_fails(toy_classifier, toy_images):
    def batch(x):
        return toy_classifier(x - tf.reduce_mean(x, axis=0, keepdims=True) + 0.2)

    assert "same answer alone" in failures(checks.run(batch, toy_images, 0.2, **FAST))


def test_an_attack_on_something_else_fails(toy_classifier, toy_images):
    """A surrogate whose gradients point nowhere: only the comparison with weaker attackers tells."""
    noise = tf.constant(np.random.default_rng(0).normal(size=(1, 8, 8, 1)).astype(np.float32))

    def misleading(x):
        shift = tf.reduce_sum(noise * x, axis=(1, 2, 3))[:, None] * tf.constant([[1.0, -1.0, 0.5]])
        return tf.stop_gradient(toy_classifier(x) - shift) + shift

    found = checks.run(toy_classifier, toy_images, 0.3, surrogate=misleading, steps=10, queries=400, draws=5)
    assert not checks.reliable(found)
    assert "white box no weaker than Square" in failures(found)
    assert verdicts(found)["same forward pass"] == checks.PASS
    assert verdicts(found)["a small step raises the defense's loss"] == checks.WARN


def test_a_further_check_is_one_function(toy_classifier, toy_images, monkeypatch):
    monkeypatch.setattr(checks, "CHECKS", {"logits": checks.CHECKS["logits"]})

    @checks.check("enough images")
    def enough(measured):
        return checks.Finding("", checks.WARN, f"{len(measured.x)}", ">= 1000", n=len(measured.x))

    found = checks.run(toy_classifier, toy_images, 0.2)
    assert [finding.name for finding in found] == ["logits", "enough images"]
    assert found[1] == checks.Finding("enough images", checks.WARN, "64", ">= 1000", n=64)


def test_nothing_is_crafted_that_no_check_asks_for(toy_classifier, toy_images):
    measured = checks.Measurements(toy_classifier, toy_images, 0.2, **FAST)
    assert checks.CHECKS["iterated <= one step"].function(measured).verdict == checks.PASS
    assert {"by_steps", "by_one_step"} <= vars(measured).keys()
    assert not {"by_square", "by_noise", "by_eps", "losses", "gradient"} & vars(measured).keys()


def test_findings_survive_json(plain):
    found = json.loads(json.dumps([dataclasses.asdict(finding) for finding in plain]))
    assert checks.verdict(found, 0.5) == checks.verdict(plain, 0.5)
    square = next(finding for finding in found if finding["name"] == "white box no weaker than Square")
    assert square["n"] == 64
    assert square["interval"][0] == 0
