"""E hardened through the pipeline: the attack inside, the loss, the average, and the stage of a run."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from pssr_keras import PSSR, InputError, PixelSurgery, attacks, cae, config, evaluation, losses, training
from pssr_keras.attacks import adaptive
from pssr_keras.attacks.base import cross_entropy
from pssr_keras.purifiers.hardened.model import HardenedCAE
from pssr_keras.purifiers.hardened.settings import HardenedSettings

EPS = 0.3
NUMBERS = {field.name for field in dataclasses.fields(HardenedSettings)}


def extrapolator():
    keras.utils.set_random_seed(1)
    return cae.extrapolator((8, 8, 1), channels=4, bottleneck=8, dropout=0.0, start="identity")


def model_of(classifier, rate=0.0, **changes):
    """The training of a small E; its weights stay as they are unless a rate is given."""
    numbers = {"inner_steps": 4, "lambda_pixel": 0.0}
    numbers |= {name: changes.pop(name) for name in NUMBERS & changes.keys()}
    model = HardenedCAE(extrapolator(), classifier, EPS, HardenedSettings(**numbers), **changes)
    model.compile(keras.optimizers.Adam(rate), keras.optimizers.Adam(rate))
    return model


def batch(images, seed=0):
    noise = np.random.default_rng(seed).uniform(-1, 1, images.x.shape).astype(np.float32)
    return tf.constant(images.x), tf.constant(images.y), tf.constant(noise)


def values_of(model, data):
    return {name: float(value) for name, value in model.train_step(data).items()}


@pytest.mark.parametrize("inner_loss", ["cross_entropy", "divergence"])
def test_the_attack_inside_raises_its_loss_within_the_budget(inner_loss, toy_classifier, toy_images):
    model = model_of(toy_classifier, inner_loss=inner_loss)
    x, y, noise = batch(toy_images)
    x_adv = model.attacked(x, y, noise).numpy()
    assert EPS - 1e-3 < np.abs(x_adv - toy_images.x).max() <= EPS + 1e-6
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1
    pipeline = model.pipeline()
    start = np.clip(toy_images.x + EPS * noise.numpy(), 0, 1)
    losses_of = {
        "cross_entropy": lambda z: cross_entropy(y, pipeline(z)),
        "divergence": lambda z: losses.kl_divergence(pipeline(x), pipeline(z)),
    }[inner_loss]
    assert (losses_of(x_adv).numpy() > losses_of(start).numpy()).mean() > 0.95


def test_the_budget_grows_to_eps(toy_classifier, toy_images):
    model = model_of(toy_classifier, ramp_share=0.5, steps=8)
    largest = []
    for step in range(7):
        model.extrapolator_optimizer.iterations.assign(step)
        x, y, noise = batch(toy_images)
        largest.append(np.abs(model.attacked(x, y, noise).numpy() - toy_images.x).max())
    np.testing.assert_allclose(largest, [0, EPS / 4, EPS / 2, 3 * EPS / 4, EPS, EPS, EPS], atol=1e-6)


def test_the_loss_is_the_sum_of_its_parts(toy_classifier, toy_images):
    """By hand, from the same attacked images: clean and attacked are one batch for batch normalisation."""
    weights = {"attacked_share": 0.3, "trades_weight": 2.0, "lambda_pixel": 0.1, "lambda_r_drop": 0.7}
    model = model_of(toy_classifier, **weights)
    data = x, y, _ = batch(toy_images)
    both = tf.concat([x, model.attacked(*data)], axis=0)
    restored = model.extrapolator(both, training=True)
    clean, attacked = tf.split(toy_classifier(restored), 2)
    expected = {
        "clean": losses.query_loss(y, clean),
        "attacked": losses.query_loss(y, attacked),
        "pairing": tf.reduce_mean(losses.kl_divergence(clean, attacked)),
        "pixel": losses.pixel_consistency_loss(tf.tile(x, (2, 1, 1, 1)), restored),
        "r_drop": tf.reduce_mean(
            losses.kl_divergence(tf.concat([clean, attacked], 0), tf.tile(toy_classifier(x), (2, 1)))
        ),
    }
    expected["total"] = (
        0.7 * expected["clean"]
        + 0.3 * expected["attacked"]
        + 2.0 * expected["pairing"]
        + 0.1 * expected["pixel"]
        + 0.7 * expected["r_drop"]
    )
    found = values_of(model_of(toy_classifier, **weights), data)  # anew, as what was done by hand left traces
    for name, value in expected.items():
        assert found[name] == pytest.approx(float(value), rel=1e-4), name
    assert found["attacked_accuracy"] == np.mean(np.argmax(attacked, axis=1) == toy_images.y)


def test_clean_images_take_no_part_where_they_do_not_count(toy_classifier, toy_images):
    weights = {"attacked_share": 1.0, "lambda_pixel": 0.1, "lambda_r_drop": 0.7}
    model = model_of(toy_classifier, **weights)
    data = x, y, _ = batch(toy_images)
    restored = model.extrapolator(model.attacked(*data), training=True)
    logits = toy_classifier(restored)
    expected = {
        "attacked": losses.query_loss(y, logits),
        "pixel": losses.pixel_consistency_loss(x, restored),
        "r_drop": tf.reduce_mean(losses.kl_divergence(logits, toy_classifier(x))),
    }
    expected["total"] = expected["attacked"] + 0.1 * expected["pixel"] + 0.7 * expected["r_drop"]
    found = values_of(model_of(toy_classifier, **weights), data)
    assert set(found) == {*expected, "attacked_accuracy"}
    for name, value in expected.items():
        assert found[name] == pytest.approx(float(value), rel=1e-4), name
    assert "pairing" in values_of(model_of(toy_classifier, attacked_share=1.0, trades_weight=1.0), data)


def test_passes_differ_by_dropout_alone(toy_classifier, toy_images):
    """Without dropout, k passes are one, and equation 11 adds up k times the same."""
    data = batch(toy_images)
    once, twice = (values_of(model_of(toy_classifier, passes=k, lambda_r_drop=1.0), data) for k in (1, 2))
    assert twice["clean"] == pytest.approx(once["clean"], rel=1e-4)
    assert twice["r_drop"] == pytest.approx(2 * once["r_drop"], rel=1e-4)


def test_only_e_learns_and_it_learns_to_stand(toy_classifier, toy_images):
    before = evaluation.weights_hash(toy_classifier)
    model = model_of(toy_classifier, rate=0.01, lambda_pixel=0.001, inner_steps=10)
    attack = attacks.PGD(EPS, steps=10, step_size=EPS / 4, best=True)

    def standing():
        pipeline = model.pipeline()
        x_adv = attack(pipeline, toy_images.x, toy_images.y)
        return evaluation.correct(pipeline, x_adv, toy_images.y).mean()

    step, at_first = tf.function(model.train_step), standing()
    for seed in range(60):
        step(batch(toy_images, seed))
    assert standing() > at_first + 0.2
    assert evaluation.weights_hash(toy_classifier) == before
    assert toy_classifier.trainable  # for whoever brought it


def test_the_attack_inside_moves_no_statistics_of_batch_normalisation(normalised_classifier, toy_images):
    """E's are moved by its one pass of clean and attacked images, those of F by nothing."""
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.BatchNormalization(momentum=0.5)(inputs)
    e = keras.Model(inputs, keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid")(x))
    model = HardenedCAE(e, normalised_classifier, EPS, HardenedSettings(inner_steps=4))
    model.compile(keras.optimizers.Adam(0.0))
    x, y, noise = batch(toy_images)
    before, twin = normalised_classifier.get_weights(), keras.models.clone_model(e)
    twin.set_weights(e.get_weights())
    x_adv = model.attacked(x, y, noise)
    twin(tf.concat([x, x_adv], axis=0), training=True)
    model.train_step((x, y, noise))
    for found, expected in zip(e.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    for found, expected in zip(normalised_classifier.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_average_follows_the_weights_and_is_the_result(toy_classifier, toy_images):
    twin = extrapolator()
    model = model_of(toy_classifier, rate=0.01, average=twin, averaging=0.9)
    expected = twin.get_weights()
    for step in (1, 2, 3):
        model.train_step(batch(toy_images))
        stays = min(0.9, (1 + step) / (10 + step))
        now = model.extrapolator.get_weights()
        expected = [stays * old + (1 - stays) * new for old, new in zip(expected, now, strict=True)]
    for found, value in zip(model.result.get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, value, atol=1e-6)
    assert model.result is twin
    assert model_of(toy_classifier).result is not twin


def test_a_discriminator_is_there_only_where_it_counts(toy_classifier, toy_images):
    names = {"adversarial", "discriminator"}
    assert not names & values_of(model_of(toy_classifier), batch(toy_images)).keys()
    with pytest.raises(InputError, match=r"lambda_adversarial is 0.5, expected 0 without a discriminator"):
        model_of(toy_classifier, lambda_adversarial=0.5)
    judge = cae.discriminator((8, 8, 1), channels=4)
    before = judge.get_weights()
    model = model_of(toy_classifier, rate=0.01, lambda_adversarial=0.5, discriminator=judge)
    assert names < values_of(model, batch(toy_images)).keys()
    assert not np.array_equal(judge.get_weights()[0], before[0])


def test_surrogates_take_turns(toy_classifier, toy_images):
    names = ("frozen_mask", "straight_through")
    surgery = PixelSurgery(alpha=1.0)
    data = batch(toy_images)
    alone = [
        model_of(toy_classifier, surgery=surgery, surrogates=(name,)).attacked(*data).numpy()
        for name in names
    ]
    assert np.abs(alone[0] - alone[1]).max() > 0.01
    model = model_of(toy_classifier, surgery=surgery, surrogates=names)
    for step in range(4):
        model.extrapolator_optimizer.iterations.assign(step)
        np.testing.assert_allclose(model.attacked(*data).numpy(), alone[step % 2], atol=1e-5)


@pytest.mark.parametrize("guide", [None, "pipeline"])
def test_with_surgery_e_sees_what_is_left(guide, toy_classifier, toy_images):
    stages = {"surgery": PixelSurgery(alpha=1.0), "guide": guide}
    model = model_of(toy_classifier, **stages)
    data = x, y, _ = batch(toy_images)
    both = tf.concat([x, model.attacked(*data)], axis=0)
    x_t = PSSR(toy_classifier, PixelSurgery(alpha=1.0), model.extrapolator, guide).remove(both)
    clean = tf.split(toy_classifier(model.extrapolator(x_t, training=True)), 2)[0]
    found = values_of(model_of(toy_classifier, **stages), data)
    assert found["clean"] == pytest.approx(float(losses.query_loss(y, clean)), rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inner_loss": "margin"}, "inner_loss is 'margin', expected one of cross_entropy"),
        ({"surrogates": ("magic",)}, "surrogates are 'magic', expected some of identity"),
        ({"surrogates": ()}, "surrogates are ''"),
    ],
)
def test_unknown_names_are_refused(changes, message, toy_classifier):
    with pytest.raises(InputError, match=message):
        model_of(toy_classifier, **changes)


# --- the stage of a run --------------------------------------------------------------------------

TINY = {
    "defense": "hardened",
    "train_limit": 64,
    "validation_size": 32,
    "test_limit": 32,
    "classifier.epochs": 1,
    "width": 0.5,
    "source": "bundled",
    "attack.evaluation": ("fgsm",),
    "hardened.epochs": 2,
    "hardened.batch_size": 32,
    "hardened.extrapolator_channels": 4,
    "hardened.extrapolator_bottleneck": 8,
    "hardened.dropout": 0.2,
    "hardened.averaging": 0.9,
    "hardened.inner_steps": 1,
    "hardened.evaluation": ("pgd:steps=2,best=true",),
    "hardened.evaluated_images": 16,
}


def tiny(**changes):
    return config.experiment("mnist", "smoke", **TINY | changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hardened") / "run"
    return folder, training.run(tiny(), folder)


def test_a_run_leaves_a_hardened_e_and_what_an_attacker_who_knows_it_does(finished, bundled_test):
    folder, record = finished
    assert list(record["cells"]) == ["undefended", "hardened"]
    assert record["threat_model"] == evaluation.OBLIVIOUS
    known = record["adaptive"]
    assert (known["threat_model"], known["n"]) == (evaluation.ADAPTIVE, 16)
    assert {"frozen_mask pgd", "identity pgd", evaluation.WORST_CASE} < known["cells"]["hardened"].keys()
    again = training.load_model(folder / "hardened.keras")
    assert (again.name, again.surgery) == ("hardened", None)
    assert evaluation.weights_hash(again) == record["weights"]["hardened"] == known["weights"]["hardened"]
    assert json.loads((folder / "config.json").read_text())["hardened"]["averaging"] == 0.9
    assert not list(folder.glob("checkpoint*"))


@pytest.mark.slow
def test_an_interrupted_run_ends_as_an_uninterrupted_one(finished, tmp_path, monkeypatch):
    """The average, the optimizer and the random numbers of dropout and attacks go on where they were."""
    original = training.Checkpoint.on_epoch_end

    def strike(self, epoch, logs=None):
        original(self, epoch, logs)
        if "hardened" in self.path.name and epoch == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.Checkpoint, "on_epoch_end", strike)
    with pytest.raises(KeyboardInterrupt):
        training.run(tiny(), tmp_path / "run")
    monkeypatch.undo()
    assert not (tmp_path / "run" / "hardened.keras").exists()
    record = training.run(tiny(), tmp_path / "run")
    whole, parts = (folder / "hardened.keras" for folder in (finished[0], tmp_path / "run"))
    for one, other in zip(*(training.load_model(file).get_weights() for file in (whole, parts)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert record["adaptive"] == finished[1]["adaptive"]
    logs = [(folder / "hardened_log.csv").read_text() for folder in (finished[0], tmp_path / "run")]
    assert logs[0] == logs[1]


@pytest.mark.slow
def test_a_run_with_surgery_has_its_stages_and_its_surrogates(tmp_path, monkeypatch):
    monkeypatch.setattr(adaptive, "SURROGATES", dict(list(adaptive.SURROGATES.items())[:2]))
    changes = {"hardened.mask": "pipeline", "hardened.epochs": 1, "surgery.at_most": 0.25, "test_limit": 16}
    record = training.run(tiny(**changes), tmp_path / "run")
    assert list(record["cells"]) == ["undefended", "+PS", "+CAE", "hardened"]
    defense = training.load_model(tmp_path / "run" / "hardened.keras")
    assert (defense.guide, defense.surgery.at_most) == ("pipeline", 0.25)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hardened.mask": "mine"}, "hardened.mask is 'mine', expected one of none, classifier, pipeline"),
        ({"hardened.surrogates": ("pgd",)}, "surrogates are 'pgd'"),
        ({"hardened.extrapolator_start": "zero"}, "start is 'zero'"),
        ({"hardened.extrapolator": "net"}, "extrapolator is 'net'"),
        ({"hardened.augmentation": "turn"}, "unknown augmentation 'turn'"),
        ({"hardened.evaluation": ("pdg",)}, "unknown attack 'pdg'"),
        ({"surgery.removal": "half"}, "removal is 'half'"),
        (
            {"hardened.mask": "pipeline", "surgery.threshold": "dataset"},
            "expected 'image' with hardened.mask",
        ),
    ],
)
def test_a_run_refuses_what_it_does_not_know_before_any_work(changes, message, tmp_path):
    with pytest.raises(InputError, match=message):
        training.run(tiny(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_short_names_of_older_numbers_stay_clear():
    names = ["inner_steps=3", "dropout=0.1", "learning_rate=0.2", "hardened.inner_steps=5", "averaging=0.5"]
    assert list(config.parse_changes(names)) == [
        "robust.inner_steps",
        "cae.dropout",
        "classifier.learning_rate",
        "hardened.inner_steps",
        "hardened.averaging",
    ]
    for name, value in (("attacked_share", 1.5), ("averaging", 1.0), ("evaluated_images", 0)):
        with pytest.raises(InputError, match=f"hardened.{name} is"):
            config.experiment("mnist", "cpu", **{f"hardened.{name}": value})
