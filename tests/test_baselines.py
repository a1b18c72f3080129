import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from pssr_keras import InputError, attacks, baselines, classifiers, config, evaluation, losses, settings
from pssr_keras.attacks.base import cross_entropy
from pssr_keras.training import SGDWithDecayInGradient

WEIGHTS = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)


def linear(x, training=True):
    return tf.reshape(x, (len(x), 64)) @ WEIGHTS


@pytest.fixture(scope="module")
def batch(toy_images):
    """Images well within [0, 1], so that no projection onto the range interferes; labels; noise."""
    x = tf.constant(0.3 + 0.4 * toy_images.x[:16])
    noise = tf.constant(np.random.default_rng(1).uniform(-1, 1, x.shape).astype(np.float32))
    return x, tf.constant(toy_images.y[:16]), noise


def test_gradient_regularisation_is_that_of_the_closed_form(batch):
    """For a linear model the gradient of the cross-entropy is W (softmax - onehot)."""
    x, y, _ = batch
    found = baselines.gradient_regularisation(linear, x, y, penalty=0.7)
    error = tf.nn.softmax(linear(x)) - tf.one_hot(y, 3)
    gradient = error @ WEIGHTS.T
    expected = cross_entropy(y, linear(x)) + 0.7 * tf.reduce_sum(gradient**2, axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_penalty_reaches_the_weights_of_lenet5(bundled_test):
    """The second derivative through the layer whose gradient we wrote out is that of finite differences."""
    keras.utils.set_random_seed(0)
    model = classifiers.lenet5()
    x, y = tf.constant(bundled_test.x[:8]), tf.constant(bundled_test.y[:8])

    def loss():
        return tf.reduce_mean(baselines.gradient_regularisation(model, x, y, penalty=10.0))

    weight = model.get_layer("logits").kernel
    with tf.GradientTape() as tape:
        value = loss()
    gradient = tape.gradient(value, weight).numpy()
    direction = gradient / np.linalg.norm(gradient)
    start, h = weight.numpy(), 1e-2
    weight.assign(start + h * direction)
    ahead = loss()
    weight.assign(start - h * direction)
    assert float(ahead - loss()) / (2 * h) == pytest.approx(np.linalg.norm(gradient), rel=0.02)
    first = model.layers[1].trainable_variables[0]
    weight.assign(start)
    with tf.GradientTape() as tape:
        value = loss()
    assert np.abs(tape.gradient(value, first)).max() > 0


def test_the_worst_images_of_a_model_of_two_classes_are_at_the_corner(batch):
    """With two classes a linear model's loss is largest at eps times the sign of the weights' difference."""
    x, _, noise = batch
    y = tf.zeros(16, tf.int32)

    def two(x):
        return linear(x)[:, :2]

    found = baselines.inner_maximization(
        lambda outputs: cross_entropy(y, outputs), two, x, x + 0.1 * noise, 0.1, 0.05, 10
    )
    corner = x + 0.1 * np.sign(WEIGHTS[:, 1] - WEIGHTS[:, 0]).reshape(1, 8, 8, 1)
    np.testing.assert_allclose(found, corner, atol=1e-6)
    numbers = {"eps": 0.1, "step_size": 0.05, "steps": 10}
    loss = baselines.adversarial_training(two, x, y, noise, **numbers)
    np.testing.assert_allclose(loss, cross_entropy(y, two(corner)), rtol=1e-4)


def test_trades_is_its_two_terms(batch):
    x, y, noise = batch
    numbers = {"eps": 0.1, "step_size": 0.025, "steps": 10, "start": 0.001}
    alone = baselines.trades(linear, x, y, noise, one_over_lambda=0.0, **numbers)
    np.testing.assert_allclose(alone, cross_entropy(y, linear(x)), rtol=1e-5)
    divergence = (baselines.trades(linear, x, y, noise, one_over_lambda=6.0, **numbers) - alone) / 6
    at_random = losses.kl_divergence(linear(x), linear(x + 0.1 * tf.sign(noise)))
    assert (divergence > at_random).numpy().all()


@pytest.mark.parametrize("start", [0.001, 0.05, 0.5])
def test_trades_begins_where_it_is_told_to_and_within_the_ball(batch, start):
    x, y, noise = batch
    numbers = {"eps": 0.1, "step_size": 0.025, "steps": 0, "one_over_lambda": 6.0}
    begun = tf.clip_by_value(tf.clip_by_value(x + start * noise, x - 0.1, x + 0.1), 0, 1)
    expected = cross_entropy(y, linear(x)) + 6 * losses.kl_divergence(linear(x), linear(begun))
    found = baselines.trades(linear, x, y, noise, start=start, **numbers)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("objective", ["adversarial_training", "trades"])
def test_training_makes_a_classifier_more_robust(objective, toy_classifier, toy_network, toy_images):
    robust = toy_network  # not a clone: a PSSR of another test may have frozen the original
    robust.set_weights(toy_classifier.get_weights())
    model = baselines.RobustTraining(
        robust, baselines.parse(objective), 0.25, ramp_steps=20, step_size=0.08, steps=5
    )
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    noise = np.random.default_rng(0).uniform(-1, 1, toy_images.x.shape).astype(np.float32)
    batches = tf.data.Dataset.from_tensors((toy_images.x, toy_images.y, noise)).repeat()
    model.fit(batches, steps_per_epoch=60, epochs=1, verbose=0, shuffle=False)

    attack = attacks.PGD(0.25, steps=20, step_size=0.03)
    accuracy = [
        evaluation.correct(m, evaluation.craft(attack, m, toy_images), toy_images.y).mean()
        for m in (toy_classifier, robust)
    ]
    assert accuracy[0] < 0.9 < 0.97 < accuracy[1]


def test_the_training_is_saved_whole(toy_classifier, tmp_path):
    objective = baselines.TRADES(one_over_lambda=3.0)
    model = baselines.RobustTraining(toy_classifier, objective, 0.3, 10, step_size=0.1, steps=2)
    again = baselines.RobustTraining.from_config(model.get_config())
    assert again.objective == objective
    assert (again.eps, again.ramp_steps, again.step_size, again.steps) == (0.3, 10, 0.1, 2)


def test_an_objective_is_parsed_with_its_numbers():
    assert baselines.parse("trades:one_over_lambda=3") == baselines.TRADES(one_over_lambda=3.0)
    for text, message in (
        ("magic", "objective is 'magic', expected one of .*gradient_reg"),
        ("trades:lambda=3", "trades has no field 'lambda', expected one of one_over_lambda"),
        ("trades:one_over_lambda=much", "one_over_lambda of trades is 'much'"),
        ("adversarial_training:steps=3", "adversarial_training has no field 'steps', expected one of search"),
        (
            "gradient_regularisation:steps=3",
            "gradient_regularisation has no field 'steps', expected one of",
        ),
        ("cross_entropy:steps=3", "cross_entropy has no field 'steps', expected none"),
        ("adversarial_training:search=test", "search is 'test', expected one of training, evaluation"),
        ("pseudo_labels:search=", "search is '', expected one of training, evaluation"),
        ("bag_of_tricks:search=training", "search of bag_of_tricks is 'training', expected evaluation"),
        ("bag_of_tricks:search=test", "search is 'test', expected one of training, evaluation"),
    ):
        with pytest.raises(InputError, match=message):
            baselines.parse(text)


# --- the mode of the classifier while images are attacked ----------------------------------------


# What each publication passes in training mode, in order, and where and in which mode it searches: "x" is the
# clean batch, "x'" the attacked one. Another objective needs a line here.
PASSES = {
    "cross_entropy": (["x"], None),
    "gradient_regularisation": (["x"], None),
    "adversarial_training": (["search", "x'"], "training"),
    "adversarial_training:search=evaluation": (["search", "x'"], "evaluation"),
    "few_labels": (["search", "x'"], "training"),
    "few_labels:search=evaluation": (["search", "x'"], "evaluation"),
    "early_stopping": (["search", "x'"], "training"),
    "early_stopping:search=evaluation": (["search", "x'"], "evaluation"),
    "bag_of_tricks": (["search", "x'"], "evaluation"),
    "trades:start=0.1": (["search", "x", "x'"], "evaluation"),
    "pseudo_labels": (["x", "search", "x'"], "evaluation"),
    "pseudo_labels:search=training": (["x", "search", "x'"], "training"),
    "prototype_conformity": (["x"], None),
    "prototype_conformity:attacked=true": (["search", "x and x'"], "evaluation"),
}
STEPS = 3


def test_the_passes_of_every_objective_are_told():
    assert {text.partition(":")[0] for text in PASSES} == set(baselines.OBJECTIVES)


def statistics_of(classifier):
    moving = [weight for weight in classifier.non_trainable_weights if "moving" in weight.path]
    return np.concatenate([weight.numpy().ravel() for weight in moving])


def expected_statistics(twin, text, x, y, noise):
    """The moving statistics of a classifier after the passes of a publication; its weights stay."""
    name, (passes, search) = text.partition(":")[0], PASSES[text]
    batches = {"x": x}
    for one in passes:
        if one != "search":
            twin(batches[one], training=True)
            continue
        fixed = twin(x, training=False)
        start, share = x + 0.1 * noise, 1.0
        if name == "prototype_conformity":
            start, share = x, (noise[:, :1, :1, :1] + 1) / 2
        x_adv = baselines.inner_maximization(
            functools.partial(losses.kl_divergence, fixed)
            if name == "trades"
            else functools.partial(cross_entropy, y),
            functools.partial(twin, training=search == "training"),
            x,
            start,
            0.1 * share,
            0.05 * share,
            STEPS,
        )
        batches |= {"x'": x_adv, "x and x'": tf.concat([x, x_adv], axis=0)}
    return statistics_of(twin)


@pytest.mark.parametrize("text", PASSES)
def test_a_step_moves_the_statistics_by_the_passes_of_its_publication(text, batch, normalised_classifier):
    x, y, noise = batch
    objective, classifier = baselines.parse(text), normalised_classifier
    twin = keras.models.clone_model(classifier)
    twin.set_weights(classifier.get_weights())
    numbers = settings.RobustSettings(inner_steps=STEPS, inner_step_size=0.5, ramp_share=0.0)
    model = objective.model(classifier, numbers, 0.1, 10)
    objective.compile(model, keras.optimizers.SGD(0.0))
    before = statistics_of(classifier)
    model.train_step((x, y, noise) if objective.takes_noise else (x, y))
    expected = expected_statistics(twin, text, x, y, noise)
    assert np.abs(expected - before).max() > 0.01
    np.testing.assert_allclose(statistics_of(classifier), expected, atol=1e-6)


@pytest.mark.parametrize(
    "text", [text for text, (_, search) in PASSES.items() if search and "prototype" not in text]
)
def test_a_search_asks_the_classifier_in_its_mode(text, batch):
    """TRADES' clean answers, which its search moves away from, are those of evaluation mode too."""
    objective, asked = baselines.parse(text), []
    passes, search = PASSES[text]

    def logits(images, training=True):
        asked.append(training)
        return linear(images)

    objective.loss(logits, *batch, {"eps": 0.1, "step_size": 0.05, "steps": STEPS})
    in_search = [False] * (objective.name == "trades") + [search == "training"] * STEPS
    expected = [in_search if one == "search" else [True] for one in passes]
    assert asked == [mode for modes in expected for mode in modes]


# --- bag of tricks -------------------------------------------------------------------------------


def test_images_are_crafted_in_evaluation_mode_and_judged_in_training_mode_with_smoothed_labels(batch):
    x, y, noise = batch
    numbers = {"eps": 0.1, "step_size": 0.05, "steps": 3}
    modes = []

    def logits(images, training=True):
        modes.append(training)
        return linear(images) * (1.0 if training else -1.0)

    found = baselines.bag_of_tricks(logits, x, y, noise, label_smoothing=0.3, **numbers)
    assert (modes[0], modes[-1]) == (False, True)
    assert modes.count(True) == 1
    x_adv = baselines.inner_maximization(
        lambda outputs: cross_entropy(y, outputs), lambda z: -linear(z), x, x + 0.1 * noise, **numbers
    )
    log_p = tf.nn.log_softmax(linear(x_adv)).numpy()
    expected = [
        -(0.7 * row[k] + 0.15 * (row.sum() - row[k])) for row, k in zip(log_p, y.numpy(), strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_weight_decay_in_the_loss_is_that_in_the_gradient(toy_images):
    """One step of each, from the same weights: the decay goes through the momentum in both."""

    def trained(objective, decay):
        keras.utils.set_random_seed(0)
        network = classifiers.create("multilayer_perceptron", (8, 8, 1), 3, width=0.02)
        model = baselines.RobustTraining(network, objective, 0.1, step_size=0.05, steps=1)
        model.compile(SGDWithDecayInGradient(0.1, momentum=0.9, decay=decay), jit_compile=False)
        noise = np.random.default_rng(0).uniform(-1, 1, toy_images.x.shape).astype(np.float32)
        for _ in range(3):
            model.train_step((tf.constant(toy_images.x), tf.constant(toy_images.y), tf.constant(noise)))
        return network.get_weights()

    in_loss = trained(baselines.BagOfTricks(weight_decay=0.1, label_smoothing=0.0), 0.0)
    in_gradient = trained(baselines.AdversarialTraining(), 0.1)
    without = trained(baselines.AdversarialTraining(), 0.0)
    for found, expected, other in zip(in_loss, in_gradient, without, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert np.abs(expected - other).max() > 1e-4


def test_an_objective_prescribes_its_schedule_and_takes_over_the_decay():
    numbers = config.experiment("cifar10", "cpu").classifier
    assert (numbers.schedule, numbers.weight_decay) == ("cycle", 5e-4)
    for text, decay in (("early_stopping", 5e-4), ("bag_of_tricks", 0.0)):
        objective = baselines.parse(text)
        found = objective.settings(numbers)
        assert (found.schedule, found.weight_decay, objective.selects) == ("steps", decay, True)
    assert baselines.parse("trades").settings(numbers) == numbers


# --- few labels ----------------------------------------------------------------------------------


def test_labels_are_kept_by_content_the_same_number_of_each_class(toy_images):
    rows = baselines.kept_rows(toy_images, 12)
    assert np.bincount(toy_images.y[rows]).tolist() == [4, 4, 4]
    order = np.random.default_rng(0).permutation(len(toy_images))
    again = order[baselines.kept_rows(toy_images.take(order), 12)]
    assert sorted(again) == rows.tolist()
    assert set(baselines.kept_rows(toy_images, 6)) < set(rows)
    for count, message in (
        (10, "a multiple of 3"),
        (0, "a multiple of 3"),
        (66, "at most 63: class 1 has 21"),
    ):
        with pytest.raises(InputError, match=message):
            baselines.kept_rows(toy_images, count)


def test_a_teacher_sees_the_kept_labels_alone_and_stands_for_the_others(toy_images, tmp_path):
    objective = baselines.PseudoLabels(labels=12)
    experiment = config.experiment("mnist", "cpu", **{"classifier.epochs": 3})
    rows, asked = baselines.kept_rows(toy_images, 12), []

    def teach(images, folder, changes):
        np.testing.assert_array_equal(images.x, toy_images.x[rows])
        np.testing.assert_array_equal(images.y, toy_images.y[rows])
        asked.append(changes)
        return lambda x: tf.one_hot(tf.fill((tf.shape(x)[0],), 1), 3)  # always class 1

    found = objective.images(toy_images, experiment, tmp_path, teach)
    hidden = np.setdiff1d(np.arange(64), rows)
    assert set(found.y[hidden]) == {1}
    np.testing.assert_array_equal(found.y[rows], toy_images.y[rows])
    assert asked == [{"classifier.objective": "cross_entropy", "classifier.epochs": 3 * 64 // 12}]
    notes = objective.notes(toy_images, found)
    assert notes["pseudo_labels"] == 52
    assert notes["pseudo_label_accuracy"] == pytest.approx((toy_images.y[hidden] == 1).mean())

    again = objective.images(toy_images, experiment, tmp_path, teach)  # the teacher is not asked again
    np.testing.assert_array_equal(again.y, found.y)
    assert len(asked) == 1
    (tmp_path / "pseudo_labels.npy").write_bytes(b"something else")
    with pytest.raises(InputError, match=r"pseudo_labels.npy is damaged"):
        objective.images(toy_images, experiment, tmp_path, teach)

    few = baselines.FewLabels(labels=12).images(toy_images, experiment, tmp_path, None)
    assert len(few) == 64  # as many steps
    assert set(few.indices) == set(toy_images.indices[rows])
    assert np.ptp(np.bincount(few.indices)[rows]) <= 1


def test_pseudo_labels_are_the_fixed_term_and_the_online_one(batch):
    x, y, noise = batch
    numbers = {"eps": 0.1, "step_size": 0.05, "steps": 5}
    fixed = baselines.pseudo_labels(linear, x, y, noise, divergence=0.0, **numbers)
    np.testing.assert_allclose(
        fixed, baselines.adversarial_training(linear, x, y, noise, **numbers), rtol=1e-5
    )
    x_adv = baselines.inner_maximization(
        lambda outputs: cross_entropy(y, outputs), linear, x, x + 0.1 * noise, **numbers
    )
    both = baselines.pseudo_labels(linear, x, y, noise, divergence=2.0, **numbers)
    divergence = losses.kl_divergence(linear(x), linear(x_adv))
    np.testing.assert_allclose(both - fixed, 2 * divergence, rtol=1e-3, atol=1e-5)


# --- prototype conformity ------------------------------------------------------------------------


def test_attraction_and_repulsion_by_hand():
    generator = np.random.default_rng(0)
    features, centres = generator.normal(size=(5, 4)), generator.normal(size=(3, 4))
    y = np.array([0, 2, 1, 1, 0])
    near = [((f - centres[k]) ** 2).sum() for f, k in zip(features, y, strict=True)]
    far = [
        np.mean([((f - c) ** 2).sum() for j, c in enumerate(centres) if j != k])
        for f, k in zip(features, y, strict=True)
    ]
    np.testing.assert_allclose(baselines.attraction(tf.constant(features), y, tf.constant(centres)), near)
    np.testing.assert_allclose(baselines.repulsion(tf.constant(features), y, tf.constant(centres)), far)


def prototypes(objective, rate=0.0, start_steps=0):
    keras.utils.set_random_seed(0)
    network = classifiers.create("multilayer_perceptron", (8, 8, 1), 3, width=0.02)
    model = baselines.PrototypeTraining(
        network, objective, 0.1, step_size=0.05, steps=2, start_steps=start_steps
    )
    model.compile(keras.optimizers.SGD(rate), jit_compile=False)
    model.optimizer.build(network.trainable_variables)
    return model


def test_centres_learn_where_the_features_are_and_where_the_others_are_not(batch):
    """One step: c goes to the mean of its class by its share of the batch, c' away from other classes."""
    x, y, noise = batch
    objective = baselines.PrototypeConformity(weight=0.01)
    model = prototypes(objective, start_steps=5)
    features = [f.numpy() for f in model.stages(x)[:2]]
    before = [[c.numpy() for c in centres] for centres in (model.attracting, model.repelling)]
    model.train_step((x, y, noise))
    for layer, f in enumerate(features):
        attracting, repelling = before[0][layer].copy(), before[1][layer].copy()
        for image, label in zip(f, y.numpy(), strict=True):
            attracting[label] -= 0.5 * 2 * (before[0][layer][label] - image) / len(f)
            for other in {0, 1, 2} - {int(label)}:
                repelling[other] += 0.01 * 2 * (before[1][layer][other] - image) / 2 / len(f)
        np.testing.assert_allclose(model.attracting[layer], attracting, atol=1e-5)
        np.testing.assert_allclose(model.repelling[layer], repelling, atol=1e-5)


def test_prototypes_join_the_cross_entropy_after_the_start(batch):
    x, y, noise = batch
    model = prototypes(baselines.PrototypeConformity(), start_steps=1)
    expected = float(tf.reduce_mean(cross_entropy(y, model.classifier(x))))
    first = {name: float(value) for name, value in model.train_step((x, y, noise)).items()}
    assert first["loss"] == pytest.approx(expected, rel=1e-5)
    model.reset_metrics()
    second = {name: float(value) for name, value in model.train_step((x, y, noise)).items()}
    conformity = second["attraction"] - 1e-4 * second["repulsion"]
    assert second["loss"] == pytest.approx(expected + conformity, rel=1e-5)


def test_prototypes_of_attacked_images_have_budgets_of_their_own(batch):
    x, _, noise = batch
    y = tf.zeros(16, tf.int32)
    objective = baselines.PrototypeConformity(attacked=True, lowest_budget=0.5, highest_budget=1.5)
    inner = {"eps": 0.1, "step_size": 0.05, "steps": 6}
    x_adv = objective.attack(lambda z: linear(z)[:, :2], x, y, noise, inner)
    expected = 0.1 * (0.5 + (noise[:, 0, 0, 0] + 1) / 2)
    np.testing.assert_allclose(tf.reduce_max(tf.abs(x_adv - x), axis=(1, 2, 3)), expected, rtol=1e-4)

    judged = []
    model = prototypes(objective)
    stages = model.stages
    model.stages = lambda z, training: judged.append((len(z), training)) or stages(z, training=training)
    model.train_step((x, y, noise))
    assert judged == [(32, True)]  # clean and attacked


def test_a_checkpoint_holds_the_centres(batch, tmp_path):
    model = prototypes(baselines.PrototypeConformity(), rate=0.01)
    for _ in range(3):
        model.train_step(batch)
    model.save_weights(tmp_path / "state.weights.h5")
    again = prototypes(baselines.PrototypeConformity(), rate=0.01)
    again.load_weights(tmp_path / "state.weights.h5")
    assert int(again.attracting_optimizer.iterations) == 3
    for part in ("attracting", "repelling"):
        for found, expected in zip(getattr(again, part), getattr(model, part), strict=True):
            np.testing.assert_array_equal(found, expected)
    for found, expected in zip(again.classifier.get_weights(), model.classifier.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert baselines.PrototypeTraining.from_config(model.get_config()).objective == model.objective


def test_prototypes_take_two_layers_of_each_network(toy_network):
    from pssr_keras.baselines.prototype_conformity import layers_of

    model = prototypes(baselines.PrototypeConformity())
    assert layers_of(model.classifier) == ("dense1", "features")
    resnet = classifiers.resnet18(width=0.0625)
    assert layers_of(resnet) == ("stage3", "features")
    stages = baselines.PrototypeTraining(resnet, baselines.PrototypeConformity(), 0.1).stages
    assert [shape[1:] for shape in stages.output_shape] == [(16,), (32,), (10,)]
    with pytest.raises(InputError, match="needs the layers stage3 and features or dense1 and features"):
        layers_of(toy_network)


@pytest.mark.parametrize("name", baselines.OBJECTIVES)
def test_no_field_of_an_objective_hides_a_method(name):
    fields = {field.name for field in dataclasses.fields(baselines.OBJECTIVES[name])}
    assert not {field for field in fields if callable(getattr(baselines.Objective, field, None))}
