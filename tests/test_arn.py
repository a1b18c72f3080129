"""The purifier ARN: its networks, its losses by hand, its training step, and a whole run of it."""

import csv
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from pssr_keras import InputError, attacks, config, data, evaluation, training
from pssr_keras.attacks import adaptive
from pssr_keras.purifiers.arn import model as arn
from pssr_keras.purifiers.arn import networks
from pssr_keras.purifiers.arn.settings import ARNSettings
from pssr_keras.training import pairs


@pytest.mark.parametrize(
    ("shape", "stages", "code"),
    [
        ((28, 28, 1), 5, (1, 1, 6)),
        ((32, 32, 3), 5, (1, 1, 6)),
        ((32, 32, 3), 3, (4, 4, 6)),
        ((9, 6, 2), 2, (3, 2, 6)),
    ],
)
def test_codes_and_restored_images_have_their_shapes(shape, stages, code):
    encoder, decoder = (build(shape, 2, stages, 6) for build in (networks.encoder, networks.decoder))
    x = np.random.default_rng(0).uniform(size=(2, *shape)).astype(np.float32)
    mean, log_variance = encoder(x)
    assert mean.shape == log_variance.shape == (2, *code)
    restored = decoder(10 * mean)
    assert restored.shape == x.shape
    assert 0 <= float(tf.reduce_min(restored)) <= float(tf.reduce_max(restored)) <= 1
    purified = networks.purifier(encoder, decoder)(x)
    np.testing.assert_allclose(purified, decoder(mean), atol=1e-6)  # no noise in it


def test_an_encoder_without_stages_is_refused():
    with pytest.raises(InputError, match="encoder_stages is 0, expected at least 1"):
        networks.encoder((8, 8, 1), stages=0)


def sigmoid_cross_entropy(targets, logits):
    p = 1 / (1 + np.exp(-logits))
    return -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean()


def test_losses_by_hand():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(4, 3))
    found = arn.attack_loss(tf.constant(logits), tf.constant([0, 1, 2, 0]))
    assert float(found) == pytest.approx(sigmoid_cross_entropy(np.eye(3)[[0, 1, 2, 0]], logits))
    found = arn.invariance_loss(tf.constant(logits))
    assert float(found) == pytest.approx(sigmoid_cross_entropy(np.full((4, 3), 1 / 3), logits))

    mean, log_variance = generator.normal(size=(2, 5, 1, 2, 3))
    by_unit = (np.exp(log_variance) + mean**2 - 1 - log_variance) / 2
    found = arn.kl_divergence(tf.constant(mean), tf.constant(log_variance))
    assert float(found) == pytest.approx(by_unit.sum() / 5)
    assert float(arn.kl_divergence(tf.zeros((2, 1, 1, 3)), tf.zeros((2, 1, 1, 3)))) == 0

    noise = generator.normal(size=mean.shape)
    code = arn.reparameterize(tf.constant(mean), tf.constant(log_variance), tf.constant(noise))
    np.testing.assert_allclose(code, mean + np.sqrt(np.exp(log_variance)) * noise)


def test_the_gradient_penalty_is_that_of_the_closed_form():
    """D(u) = |u|^2 has the gradient 2 u, taken at the point between the two images."""
    generator = np.random.default_rng(0)
    x, restored = (tf.constant(generator.uniform(size=(3, 4, 4, 2)).astype(np.float32)) for _ in range(2))
    share = tf.constant([0.0, 0.25, 1.0])

    def squares(u):
        return tf.reduce_sum(u**2, axis=(1, 2, 3))[:, None]

    between = [(s * a + (1 - s) * b).numpy() for s, a, b in zip(share, x, restored, strict=True)]
    expected = np.mean([(2 * np.linalg.norm(u) - 1) ** 2 for u in between])
    assert float(arn.gradient_penalty(squares, x, restored, share)) == pytest.approx(expected, rel=1e-4)
    flat = arn.gradient_penalty(lambda u: 0 * squares(u), x, restored, share)
    assert float(flat) == pytest.approx(1, abs=1e-4)


@pytest.fixture
def build_model():
    """Function: a compiled ARN of 8x8 images, the same at each call."""

    def build(rate=0.003, **weights):
        keras.utils.set_random_seed(0)
        sizes = ((8, 8, 1), 4, 2, 8)
        model = arn.ARN(
            networks.encoder(*sizes),
            networks.decoder(*sizes),
            networks.attack_discriminator((2, 2, 8), 3, 16),
            networks.image_discriminator((8, 8, 1), 4),
            ARNSettings(**weights),
        )
        model.compile(*(keras.optimizers.Adam(rate, beta_1=0.5) for _ in range(3)))
        return model

    return build


@pytest.fixture(scope="module")
def triples(toy_images):
    """Each toy image as it is, with stripes, and dimmed; the natural images; noise; shares."""
    stripes = np.zeros((8, 8, 1), np.float32)
    stripes[:, ::2] = 0.25
    views = np.stack([toy_images.x, np.clip(toy_images.x + stripes, 0, 1), 0.6 * toy_images.x], axis=1)
    generator = np.random.default_rng(1)
    noise = generator.normal(size=(64, 3, 2, 2, 8)).astype(np.float32)
    share = generator.uniform(size=(64, 3)).astype(np.float32)
    return tuple(map(tf.constant, (views.astype(np.float32), toy_images.x, noise, share)))


def test_the_total_is_its_terms_and_reaches_the_networks_it_should(build_model, triples):
    weights = {
        "lambda_reconstruction": 3.0,
        "lambda_prior": 0.2,
        "lambda_invariance": 0.7,
        "lambda_image": 0.5,
    }
    logs = {name: float(value) for name, value in build_model(**weights).train_step(triples).items()}
    expected = sum(
        weights[f"lambda_{name}"] * logs[name] for name in ("reconstruction", "prior", "invariance", "image")
    )
    assert logs["total"] == pytest.approx(expected, rel=1e-5)

    alone = dict.fromkeys(weights, 0.0)
    for name, moved in (
        ("lambda_image", (False, True)),  # G alone
        ("lambda_invariance", (True, False)),  # E alone
        ("lambda_prior", (True, False)),
        ("lambda_reconstruction", (True, True)),
    ):
        model = build_model(**alone | {name: 1.0})
        parts = (model.encoder, model.decoder)
        before = [[w.numpy() for w in part.trainable_weights] for part in parts]
        model.train_step(triples)
        changes = [
            max(np.abs(w.numpy() - old).max() for w, old in zip(part.trainable_weights, olds, strict=True))
            for part, olds in zip(parts, before, strict=True)
        ]
        assert tuple(change > 1e-5 for change in changes) == moved, name


def test_training_restores_every_version_to_the_natural_image(build_model, triples, toy_images):
    model = build_model()
    views = triples[0].numpy()
    batches = tf.data.Dataset.from_tensors(triples).repeat()

    def errors():
        return [np.abs(model.predict(views[:, v], verbose=0) - toy_images.x).mean() for v in range(3)]

    before = errors()
    model.fit(batches, steps_per_epoch=150, epochs=1, verbose=0)
    after = errors()
    assert max(after) < 0.5 * min(before)
    attacked = [np.abs(views[:, v] - toy_images.x).mean() for v in (1, 2)]
    assert after[1] < attacked[0]
    assert after[2] < attacked[1]


def test_the_attack_discriminator_learns_which_version_it_sees(build_model, triples):
    model = build_model(lambda_invariance=0.0)
    batches = tf.data.Dataset.from_tensors(triples).repeat()
    model.fit(batches, steps_per_epoch=60, epochs=1, verbose=0)
    views = triples[0]
    answers = [
        tf.argmax(model.attack_discriminator(model.encoder(views[:, v])[0]), axis=-1).numpy()
        for v in range(3)
    ]
    assert np.mean([(answer == v).mean() for v, answer in enumerate(answers)]) > 0.8


def test_a_checkpoint_holds_all_optimizers(build_model, triples, tmp_path):
    model = build_model()
    for _ in range(2):
        model.train_step(triples)
    model.save_weights(tmp_path / "state.weights.h5")
    again = build_model()
    again.load_weights(tmp_path / "state.weights.h5")
    for name in ("autoencoder_optimizer", "attack_optimizer", "image_optimizer"):
        for expected, found in zip(
            getattr(model, name).variables, getattr(again, name).variables, strict=True
        ):
            np.testing.assert_array_equal(found, expected)
        assert int(getattr(again, name).iterations) == 2


# --- a run ---------------------------------------------------------------------------------------

TINY = {
    "train_limit": 96,
    "validation_size": 32,
    "test_limit": 20,
    "source": "bundled",
    "defense": "arn",
    "classifier.epochs": 2,
    "classifier.architecture": "multilayer_perceptron",
    "classifier.width": 0.05,
    "arn.epochs": 3,
    "arn.batch_size": 32,
    "encoder_channels": 2,
    "code_channels": 8,
    "image_channels": 2,
    "attack.training": ("fgsm", "pgd:steps=3"),
    "attack.evaluation": ("fgsm",),
}


def test_versions_match_and_are_changed_alike(toy_images):
    experiment = config.experiment("mnist", "cpu", **{"versions_augmentation": "shift:2", "arn.epochs": 2})
    marks = [toy_images.x + 10 * v for v in range(3)]
    batches = training.versions_dataset(experiment, toy_images, marks, 16, (1, 1, 8))(1)
    seen = 0
    for views, x, noise, share in batches:
        assert views.shape == (16, 3, 8, 8, 1)
        assert (noise.shape, share.shape) == ((16, 3, 1, 1, 8), (16, 3))
        inside = (views[:, 1].numpy() > 5) & (views[:, 2].numpy() > 15)  # what a shift fills with is 0
        for v in range(3):
            np.testing.assert_allclose((views[:, v].numpy() - 10 * v)[inside], x.numpy()[inside], atol=1e-5)
        assert 0.3 < inside.mean() < 1
        seen += len(x)
    assert seen == 64
    assert abs(float(tf.math.reduce_std(noise)) - 1) < 0.15


def test_versions_are_crafted_on_the_classifier_as_it_is(normalised_classifier, toy_images, tmp_path):
    """In evaluation mode, and no statistics of its batch normalisation move."""
    changes = {"attack.training": ("fgsm", "pgd:steps=3"), "attack.labels": "true"}
    experiment = config.experiment("mnist", "cpu", defense="arn", **changes)
    before = normalised_classifier.get_weights()
    crafted = pairs.adversarial_images(experiment, tmp_path, normalised_classifier, toy_images)
    for found, expected in zip(normalised_classifier.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, expected)
    for attack, found in zip((attacks.FGSM(0.3), attacks.PGD(0.3, steps=3)), crafted, strict=True):

        def evaluated(z):
            return normalised_classifier(z, training=False)

        expected = attack(evaluated, toy_images.x, toy_images.y, indices=toy_images.indices)
        np.testing.assert_allclose(found, expected, atol=1e-3)  # kept in half precision


@pytest.mark.slow
def test_a_run_from_data_to_table_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    experiment = config.experiment("mnist", "smoke", **TINY)
    record = training.run(experiment, tmp_path / "whole")
    assert list(record["cells"]) == ["undefended", "arn"]
    defense = training.load_model(tmp_path / "whole" / "arn.keras")
    test = data.load("mnist", "test", "bundled").take(slice(0, 20))
    flags = evaluation.correct(defense, test.x, test.y)
    assert record["cells"]["arn"]["benign"] == evaluation.measurement(flags)
    assert list(adaptive.surrogates(defense)) == ["identity", "frozen_mask"]
    x_adv = attacks.PGD(0.3, steps=3)(adaptive.surrogate(defense, "frozen_mask"), test.x, test.y)
    assert np.abs(x_adv - test.x).max() > 0.29  # a gradient comes through

    original = training.Checkpoint.on_epoch_end

    def interrupt(self, epoch, logs=None):
        original(self, epoch, logs)
        if epoch == 0 and "arn" in self.path.name:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training.Checkpoint, "on_epoch_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            training.run(experiment, tmp_path / "parts")
    training.run(experiment, tmp_path / "parts")
    parts = training.load_model(tmp_path / "parts" / "arn.keras")
    for expected, found in zip(defense.get_weights(), parts.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    logs = [list(csv.reader((tmp_path / name / "arn_log.csv").open())) for name in ("whole", "parts")]
    assert logs[0] == logs[1]
    described = json.loads((tmp_path / "whole" / "config.json").read_text())
    assert (described["defense"], described["arn"]["epochs"]) == ("arn", 3)


def test_names_are_refused_before_any_work():
    experiment = config.experiment("mnist", "smoke", defense="arn", versions_augmentation="twist:2")
    with pytest.raises(InputError, match="unknown augmentation 'twist:2'"):
        training.check_names(experiment)
