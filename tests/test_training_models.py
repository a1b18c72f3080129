"""What users expect of a Keras model holds for each training: compile, fit, evaluate, save, callbacks."""

import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from training_models import COUNT, OPTIMIZERS, arrays, batches, compiled, untrained

from pssr_keras import InputError, attacks
from pssr_keras.inputs import layers_within
from pssr_keras.training import SGDWithDecayInGradient
from pssr_keras.training.fitting import SeedEpoch

KINDS = list(OPTIMIZERS)


def assert_same(first, second, atol=0.0):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=atol, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_optimizers_are_given_as_keras_takes_them(kind):
    given = ["adam", {"class_name": "SGD", "config": {"learning_rate": 0.5}}, keras.optimizers.RMSprop()]
    model = untrained(kind)
    model.compile(*given[: OPTIMIZERS[kind]])
    found = [getattr(model, name) for name in model.trained]
    assert [type(one) for one in found] == [
        keras.optimizers.Adam,
        keras.optimizers.SGD,
        keras.optimizers.RMSprop,
    ][: len(found)]
    assert all(one.built for one in found)
    assert model.optimizer is found[0]  # on which callbacks act
    model.compile(*["adam"] * len(found))
    assert len({id(getattr(model, name)) for name in model.trained}) == len(found)


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_compiled_is_refused(kind):
    model, count = untrained(kind), OPTIMIZERS[kind]
    first = next(iter(model.trained))
    for wrong in ("adamant", 3, None):
        with pytest.raises(InputError, match=f"{first} is {wrong!r}, expected a Keras optimizer"):
            model.compile(wrong, *["adam"] * (count - 1))
    with pytest.raises(InputError, match="own: compile it without loss"):
        model.compile(*["adam"] * count, loss="mse")
    with pytest.raises(InputError, match="own: compile it without metrics"):
        model.compile(*["adam"] * count, metrics=["accuracy"])
    with pytest.raises(InputError, match=f"{first} has use_ema=True"):
        model.compile(keras.optimizers.Adam(use_ema=True), *["adam"] * (count - 1))
    if count > 1:
        with pytest.raises(InputError, match="are one object, expected an optimizer for each"):
            model.compile(*[keras.optimizers.Adam()] * count)
    network = model.trained[first][0]
    for one in model.trained[first]:
        getattr(model, one).trainable = False
    with pytest.raises(InputError, match=f"{network}.* has nothing to train"):
        model.compile(*["adam"] * count)


@pytest.mark.parametrize("kind", KINDS)
def test_a_validation_gives_the_same_losses_and_changes_nothing(kind):
    model = compiled(kind)
    state = [np.array(variable) for variable in model.variables]
    found = model.evaluate(batches(kind), verbose=0, return_dict=True)
    assert_same(model.variables, state)
    assert set(found) == {metric.name for metric in model.metrics} | {"loss"}
    assert found["loss"] == found.get("total", found["loss"])
    # Means over images: uneven batches do not change them, as batch normalisation stands still.
    uneven = model.evaluate(batches(kind, 7), verbose=0, return_dict=True)
    whole = model.test_step(arrays(kind))
    for name, value in found.items():
        assert uneven[name] == pytest.approx(value, rel=1e-4, abs=1e-5), name
    model.reset_metrics()
    whole = model.test_step(arrays(kind))
    for name, value in found.items():
        assert float(whole[name]) == pytest.approx(value, rel=1e-4, abs=1e-5), name


def test_a_validation_is_that_of_the_equations():
    """The CAE by hand: without dropout its passes are one."""
    from pssr_keras import losses

    model = compiled("cae")
    x_t, x, y = map(tf.constant, arrays("cae"))
    restored = model.extrapolator(x_t, training=False)
    answers, clean = model.classifier(restored), model.classifier(x)
    expected = {
        "query": losses.query_loss(y, answers),
        "pixel": losses.pixel_consistency_loss(x, restored),
        "r_drop": 2 * tf.reduce_mean(losses.kl_divergence(answers, clean)),
        "adversarial": losses.adversarial_loss(model.discriminator([x_t, restored])),
        "discriminator": losses.discriminator_loss(
            model.discriminator([x_t, x]), model.discriminator([x_t, restored])
        ),
    }
    found = model.evaluate(batches("cae"), verbose=0, return_dict=True)
    for name, value in expected.items():
        assert found[name] == pytest.approx(float(value), rel=1e-4), name
    total = sum(float(expected[name]) for name in ("adversarial", "query", "pixel"))
    assert found["loss"] == pytest.approx(total + 0.5 * float(expected["r_drop"]), rel=1e-4)


def test_a_validation_attacks_at_the_full_budget_by_the_worst_surrogate():
    model = compiled("hardened")
    x, y, noise = map(tf.constant, arrays("hardened"))
    x_adv = model.attacked(x, y, noise, training=False)
    assert np.abs(x_adv - x).max() == pytest.approx(0.3, abs=1e-6)
    assert np.abs(model.attacked(x, y, noise) - x).max() < 1e-6  # in training, the budget begins at 0
    pipeline, harm = model.pipeline(), []
    for name in ("frozen_mask", "straight_through"):
        model.numbers = dataclasses.replace(model.numbers, surrogates=(name,))
        harm.append(model.attacked(x, y, noise, training=False))
    losses = [tf.nn.sparse_softmax_cross_entropy_with_logits(y, pipeline(z)) for z in [*harm, x_adv]]
    np.testing.assert_allclose(losses[2], np.maximum(losses[0], losses[1]), rtol=1e-4)


@functools.cache
def fitted(kind):
    """Weights and names of the logs after an epoch with the usual options."""
    model = compiled(kind)
    logs = model.fit(batches(kind), validation_data=batches(kind), verbose=0).history
    return model.get_weights(), logs.keys()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{"run_eagerly": True}, {"steps_per_execution": 2}])
def test_every_way_to_run_a_step_trains_alike(kind, options):
    weights, logged = fitted(kind)
    other = compiled(kind, **options)
    logs = other.fit(batches(kind), validation_data=batches(kind), verbose=0).history
    assert_same(weights, other.get_weights(), atol=1e-4)
    assert logs.keys() == logged
    assert "val_loss" in logs
    assert int(other.optimizer.iterations) == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_xla_trains_and_validates(kind):
    model, usual = compiled(kind, jit_compile=True), compiled(kind)
    assert model.jit_compile
    found, expected = (m.evaluate(batches(kind), verbose=0, return_dict=True) for m in (model, usual))
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)
    model.fit(batches(kind), verbose=0)  # whose dropout is another
    changes = [np.abs(a - b).max() for a, b in zip(model.get_weights(), usual.get_weights(), strict=True)]
    assert 0 < max(changes) < 2.5


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_training_goes_on_where_it_was(kind, tmp_path):
    model = compiled(kind, run_eagerly=True)
    model.fit(arrays(kind), batch_size=5, shuffle=False, verbose=0)
    model.save(tmp_path / "training.keras")
    model.save_weights(tmp_path / "training.weights.h5")
    again = keras.saving.load_model(tmp_path / "training.keras")
    bare = compiled(kind, run_eagerly=True)
    bare.load_weights(tmp_path / "training.weights.h5")
    x = arrays(kind)[0][:, 0] if kind == "arn" else arrays(kind)[0]
    for other in (again, bare):
        for name in model.trained:
            one, copied = getattr(model, name), getattr(other, name)
            assert type(one) is type(copied)
            assert_same(one.variables, copied.variables)
        np.testing.assert_allclose(other.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)
        assert other.evaluate(batches(kind), verbose=0) == pytest.approx(
            model.evaluate(batches(kind), verbose=0), rel=1e-5
        )
    assert again.get_config().keys() == model.get_config().keys()
    assert getattr(again, "numbers", None) == getattr(model, "numbers", None)
    assert again.run_eagerly
    for other in (model, again):  # Keras saves no state of dropout
        other.fit(batches(kind), callbacks=[SeedEpoch(0)], verbose=0)
        assert int(other.optimizer.iterations) == 4
    assert_same(model.get_weights(), again.get_weights(), atol=1e-6)
    unfinished = keras.saving.load_model(tmp_path / "training.keras", compile=False)
    assert not unfinished.compiled


@pytest.mark.parametrize("kind", ["cae", "robust"])
def test_callbacks_of_keras_work_by_their_defaults(kind, tmp_path):
    model = compiled(kind)
    rates = keras.callbacks.LearningRateScheduler(lambda epoch: 0.0)  # so that nothing gets better
    history = model.fit(
        batches(kind),
        validation_data=batches(kind),
        epochs=5,
        verbose=0,
        callbacks=[
            rates,
            keras.callbacks.EarlyStopping(patience=1, min_delta=10.0, restore_best_weights=True),
            keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True),
            keras.callbacks.ModelCheckpoint(tmp_path / "last.weights.h5", save_weights_only=True),
        ],
    )
    assert len(history.epoch) == 2
    assert keras.saving.load_model(tmp_path / "best.keras").built
    assert (tmp_path / "last.weights.h5").is_file()


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_other_parts_is_refused_in_one_line(kind):
    model, good = compiled(kind), arrays(kind)
    names = ", ".join(model.batch)
    wrong = [
        (good[:2], "a batch has 2 parts"),
        (good[0], "a batch has a "),
        ({"x": good[0]}, "a batch has a dict"),
        ((*good[:2], good[2][:, None], *good[3:]), f"{list(model.batch)[2]} has shape"),
    ]
    for data, message in wrong:
        for step in (model.train_step, model.test_step):
            with pytest.raises(InputError, match=message) as caught:
                step(data)
            assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=f"takes batches \\({names}\\)"):
        model.fit(*good[:2], verbose=0)


def test_parts_of_another_kind_are_refused():
    model, (x_t, x, y) = compiled("cae"), arrays("cae")
    for data, message in (
        (
            (x_t, x, np.eye(3, dtype=np.float32)[y]),
            r"y has shape \(None, 3\), expected \(B\) in batches of CAE",
        ),
        ((x_t, x, y.astype(np.float32)), "y has numbers of type float32, CAE expects integer labels"),
        ((x_t, (255 * x).astype(np.uint8), y), "x has numbers of type uint8, CAE expects floats"),
        (
            (x_t, np.zeros((COUNT, 4, 4, 1), np.float32), y),
            r"x has shape \(None, 4, 4, 1\), expected \(B, 8, 8, 1\)",
        ),
    ):
        with pytest.raises(InputError, match=message):
            model.fit(data, verbose=0)
    small = [model.test_step((x_t, x, y.astype(kind)))["query"] for kind in ("uint8", "int64")]
    assert float(small[0]) == pytest.approx(float(small[1]))


@pytest.mark.parametrize("kind", KINDS)
def test_one_batch_a_summary_and_a_split(kind):
    model = compiled(kind, run_eagerly=True)
    assert np.isfinite(list(model.train_on_batch(arrays(kind), return_dict=True).values())).all()
    assert np.isfinite(list(model.test_on_batch(arrays(kind), return_dict=True).values())).all()
    lines = []
    model.summary(print_fn=lambda line, **_: lines.append(line))
    assert "Trainable params" in lines[0]
    assert "val_loss" in model.fit(arrays(kind), validation_split=0.5, verbose=0).history


@pytest.mark.parametrize("kind", ["cae", "hardened"])
def test_the_classifier_stays_its_owners(kind):
    model = compiled(kind)
    before = model.classifier.get_weights()
    model.fit(batches(kind), verbose=0)
    assert model.classifier.trainable
    assert_same(before, model.classifier.get_weights())
    frozen = {id(v) for name in model.frozen for v in getattr(getattr(model, name), "variables", ())}
    trained = {id(v) for name in model.trained for v in model.trained_by(name)}
    assert {id(v) for v in model.trainable_variables} == trained
    assert not frozen & trained


@pytest.mark.parametrize("kind", KINDS)
def test_layers_are_numbered_as_published_weights_need_it(kind):
    model = untrained(kind)
    expected = [layer for layer in model._flatten_layers() if layer is not model]
    assert list(map(id, layers_within(model))) == list(map(id, expected))


def test_layers_within_layers_of_ones_own_are_found():
    class Inner(keras.layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.parts = [keras.layers.Dense(2, dtype="float16"), keras.layers.Dropout(0.5)]

        def call(self, x):
            return self.parts[1](self.parts[0](x))

    inputs = keras.Input((3,))
    model = keras.Sequential([keras.layers.Dense(3), keras.Model(inputs, Inner()(inputs))])
    model.build((None, 3))
    found = layers_within(model)
    kinds = {type(layer).__name__ for layer in found}
    assert kinds == {"Dense", "Functional", "InputLayer", "Inner", "Dropout"}
    assert len(found) == len(set(map(id, found))) == 6
    with pytest.raises(InputError, match="computes in float16"):
        attacks.FGSM(0.1)(
            keras.Sequential([keras.layers.Flatten(), *model.layers]), np.zeros((1, 1, 3, 1), "f4"), [0]
        )


@pytest.mark.parametrize("kind", ["arn", "hardened"])
def test_a_file_from_before_the_numbers_were_one_object_is_read(kind):
    model = untrained(kind)
    old = model.get_config()
    numbers = old.pop("numbers")
    if kind == "hardened":
        del old["steps"]
        old |= {"ramp_steps": 7, "inner_step_size": 0.15, "surrogates": numbers["surrogates"]}
        old |= dict.fromkeys(("attacked_share", "averaging"), 0.25)
    else:
        old["lambda_prior"] = 0.25
    again = type(model).from_config(old)
    if kind == "arn":
        assert again.numbers == dataclasses.replace(model.numbers, lambda_prior=0.25)
        return
    assert (again.numbers.attacked_share, again.numbers.averaging) == (0.25, 0.25)
    assert again.numbers.surrogates == model.numbers.surrogates
    assert again.numbers.inner_step_size * again.eps == pytest.approx(0.15)
    assert int(again.numbers.ramp_share * again.steps) == 7


def test_our_sgd_is_read_from_its_configuration():
    optimizer = SGDWithDecayInGradient(0.1, momentum=0.9, decay=5e-4)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert type(again) is SGDWithDecayInGradient
    assert (again.decay, again.momentum) == (5e-4, 0.9)
