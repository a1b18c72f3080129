import itertools
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from pssr_keras import InputError, attacks, evaluation
from pssr_keras.attacks import apgd, early_exit, hyperplanes, square

PARTS = [attacks.APGDCE, attacks.APGDT, attacks.FABT, attacks.Square]
every_part = pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
both_modes = pytest.mark.parametrize("mode", ["fast", "strict"])


@pytest.fixture(scope="session")
def reference():
    """A small network, images, and the results of another implementation; see tests/fixtures."""
    stored = dict(np.load(pathlib.Path(__file__).parent / "fixtures" / "autoattack.npz"))
    model = keras.Sequential(
        [
            keras.Input((14, 14, 1)),
            layers.Conv2D(8, 3, strides=2, activation="softplus", name="conv1"),
            layers.Conv2D(16, 3, activation="softplus", name="conv2"),
            layers.Flatten(),
            layers.Dense(32, activation="softplus", name="dense1"),
            layers.Dense(10, name="dense2"),
        ]
    )
    for name in ("conv1", "conv2", "dense1", "dense2"):
        model.get_layer(name).set_weights([stored[f"weights/{name}/{part}"] for part in ("kernel", "bias")])
    x = (stored["images"][..., None] / 255).astype(np.float32)
    np.testing.assert_allclose(model.predict(x, verbose=0), stored["logits"], atol=1e-4)
    return model, x, stored["labels"].astype(np.int32), float(stored["eps"]), stored


class Linear:
    """A linear model of 8x8 images in 5 classes, whose robust radius is known exactly."""

    def __init__(self, classes=5):
        generator = np.random.default_rng(0)
        self.weights = generator.normal(size=(64, classes)).astype(np.float32)
        self.x = generator.uniform(size=(200, 8, 8, 1)).astype(np.float32)
        self.x[:, :3] = np.round(self.x[:, :3])  # pixels on the border of [0, 1], as in MNIST
        self.y = self(self.x).numpy().argmax(axis=1).astype(np.int32)

    def __call__(self, x):
        return tf.reshape(x, (-1, 64)) @ self.weights

    def radii(self):
        """The smallest Linf perturbation within [0, 1] that ties with another class, by bisection."""
        x, logits = self.x.reshape(200, 64).astype(float), self(self.x).numpy().astype(float)
        radii = np.full(200, np.inf)
        for other in range(self.weights.shape[1]):
            w = self.weights[:, [other]].T - self.weights[:, self.y].T
            margin = logits[np.arange(200), self.y] - logits[:, other]
            room = np.where(w > 0, 1 - x, x)
            low, high = np.zeros(200), np.ones(200)
            for _ in range(60):
                middle = (low + high) / 2
                gain = (np.abs(w) * np.minimum(middle[:, None], room)).sum(axis=1)
                low, high = np.where(gain < margin, middle, low), np.where(gain < margin, high, middle)
            reachable = (np.abs(w) * room).sum(axis=1) >= margin
            radii = np.where((self.y != other) & reachable, np.minimum(radii, high), radii)
        return radii


@pytest.fixture(scope="session")
def linear():
    return Linear()


def robust_after(attack, model, x, y, **options):
    x_adv = attack(model, x, y, **options)
    return early_exit.predict(model, x_adv) == y


# --- the schedule and the losses -----------------------------------------------------------------


def test_checkpoints_of_apgd():
    assert apgd.checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert apgd.checkpoints(2)[-1] <= 2


@pytest.mark.parametrize(
    ("rises", "halved_before", "best_before", "best", "halve"),
    [
        (16.0, False, 1.0, 2.0, True),  # 16 <= 0.75 * 22 = 16.5: too few rises
        (17.0, False, 1.0, 2.0, False),
        (17.0, False, 2.0, 2.0, True),  # the best has not risen
        (17.0, True, 2.0, 2.0, False),  # but the step was halved just before
    ],
)
def test_when_apgd_halves_its_step(rises, halved_before, best_before, best, halve):
    arguments = [tf.constant([value]) for value in (rises,)]
    result = apgd.halve_step(
        *arguments, 22.0, 0.75, tf.constant([halved_before]), tf.constant([best_before]), tf.constant([best])
    )
    assert bool(result[0]) == halve


def test_window_sides_of_square():
    iterations = (0, 11, 51, 201, 501, 1001, 2001, 4001, 6001, 8001)
    assert [square.window_side(i, 0.8, 32, 32) for i in iterations] == [29, 20, 14, 10, 7, 5, 4, 3, 2, 1]
    assert [square.window_side(i, 0.8, 28, 28) for i in iterations] == [25, 18, 13, 9, 6, 4, 3, 2, 2, 1]
    shares = [(square.window_side(i, 0.8, 1000, 1000) / 1000) ** 2 for i in iterations]
    np.testing.assert_allclose(shares, 0.8 / 2 ** np.arange(10), rtol=0.03)
    for last in (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000):
        before, after = (square.window_side(i, 0.8, 1000, 1000) for i in (last, last + 1))
        assert before == square.window_side(last - 9, 0.8, 1000, 1000) > after
    assert square.window_side(10, 0.8, 28, 28) == 25
    assert square.window_side(0, 0.8, 40, 8) == 8


def test_dlr_losses_by_hand():
    logits = tf.constant([[1.0, 5.0, 3.0, 2.0], [1.0, 5.0, 3.0, 2.0]])
    y = tf.constant([1, 2])
    np.testing.assert_allclose(apgd.dlr_loss(y, logits), [-(5 - 3) / (5 - 2), -(3 - 5) / (5 - 2)], rtol=1e-6)
    target = tf.constant([3, 0])
    np.testing.assert_allclose(
        apgd.targeted_dlr_loss(y, target, logits), [-(5 - 2) / (5 - 1.5), -(3 - 1) / (5 - 1.5)], rtol=1e-6
    )
    for loss in (lambda z: apgd.dlr_loss(y, z), lambda z: apgd.targeted_dlr_loss(y, target, z)):
        np.testing.assert_allclose(loss(7 * logits + 3), loss(logits), rtol=1e-5)


def test_classes_by_rank_and_ties():
    ranks = early_exit.classes_by_rank(np.array([[0.0, 3.0, 1.0, 2.0], [1.0, 1.0, 1.0, 1.0]]), 9)
    assert ranks.tolist() == [[3, 2, 0], [2, 1, 0]]


# --- the projection of FAB -----------------------------------------------------------------------


def test_projection_onto_a_hyperplane_is_that_of_bisection():
    generator = np.random.default_rng(0)
    points = generator.uniform(size=(300, 30)).astype(np.float32)
    points[:, :10] = np.round(points[:, :10])
    normal = generator.normal(size=(300, 30)).astype(np.float32)
    normal[:, 25:] = 0
    normal[-1] = 0
    residual = generator.normal(0, 5, 300).astype(np.float32)
    step = hyperplanes.linf(*map(tf.constant, (points, normal, residual))).numpy()

    w = np.where(residual[:, None] < 0, -normal, normal).astype(float)
    needed, room = np.abs(residual), np.where(w > 0, points, 1 - points) * (w != 0)
    feasible = (np.abs(w) * room).sum(axis=1) > needed
    assert 0.2 < feasible.mean() < 0.98
    low, high = np.zeros(300), np.ones(300)
    for _ in range(60):
        middle = (low + high) / 2
        enough = (np.abs(w) * np.minimum(middle[:, None], room)).sum(axis=1) >= needed
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    np.testing.assert_allclose(step, -np.sign(w) * np.minimum(high[:, None], room), atol=2e-6)
    assert (points + step).min() >= -1e-6
    assert (points + step).max() <= 1 + 1e-6
    reached = (normal * step).sum(axis=1) + residual
    np.testing.assert_allclose(reached[feasible], 0, atol=1e-5)
    assert not step[-1].any()


# --- parity with another implementation ----------------------------------------------------------


def test_fab_finds_the_norms_of_the_reference(reference):
    model, x, y, eps, stored = reference
    norms, targets = attacks.FABT(eps).smallest(model, x, y)
    standing = stored["logits"].argmax(axis=1) == y
    np.testing.assert_array_equal(targets[standing], stored["fab/targets"][standing])
    theirs = stored["fab/norms"]
    same = (np.isnan(norms) & np.isnan(theirs)) | (np.abs(norms - theirs) <= 1e-4)
    assert same.mean() >= 0.99
    assert (np.abs(np.nanmin(norms[standing], 1) - np.nanmin(theirs[standing], 1)) <= 1e-4).mean() >= 0.99


@both_modes
@pytest.mark.parametrize("part", PARTS[:3], ids=lambda part: part.name)
def test_robust_sets_are_those_of_the_reference(part, mode, reference):
    assert_like_the_reference(part, mode, reference)


@pytest.mark.slow
@both_modes
def test_robust_set_of_square_is_that_of_the_reference(mode, reference):
    assert_like_the_reference(attacks.Square, mode, reference)


def assert_like_the_reference(part, mode, reference):
    """As many robust images as some seed of the reference, or one more or less; nearly the same ones."""
    model, x, y, eps, stored = reference
    ours = robust_after(part(eps, mode=mode), model, x, y)
    theirs = stored[f"robust/{part.name}"]
    assert theirs.sum(1).min() - 1 <= ours.sum() <= theirs.sum(1).max() + 1
    assert min((ours != one).sum() for one in theirs) <= 2


# --- a linear model, where the truth is known ----------------------------------------------------


@both_modes
def test_a_linear_model_is_broken_exactly_where_it_can_be(linear, mode):
    radii = linear.radii()
    eps = float(np.median(radii))
    truth = radii > eps
    for part in (
        attacks.APGDCE(eps),
        attacks.APGDT(eps),
        attacks.FABT(eps),
        attacks.Square(eps, queries=300),
    ):
        robust = robust_after(part, linear, linear.x, linear.y)
        assert (robust | ~truth).all(), part.name
    result = attacks.AutoAttack(eps, mode=mode)
    robust = robust_after(result, linear, linear.x, linear.y)
    assert (robust == truth).mean() >= 0.99


def test_fab_finds_the_radius_of_a_linear_model(linear):
    norms, _ = attacks.FABT(0.3).smallest(linear, linear.x, linear.y)
    radii = linear.radii()
    nearest = np.nanmin(norms, axis=1)
    assert (nearest >= radii - 1e-5).all()
    assert np.quantile(nearest / radii, 0.99) < 1.06  # it goes 5% beyond the boundary


# --- what every attack promises ------------------------------------------------------------------

TOY = [
    attacks.APGDCE(0.1, steps=10),
    attacks.APGDDLR(0.1, steps=10),
    attacks.APGDT(0.1, steps=10),
    attacks.FABT(0.1, steps=10),
    attacks.Square(0.1, queries=300),
]
every_attack = pytest.mark.parametrize("attack", TOY, ids=lambda attack: attack.name)


@every_attack
def test_stays_within_eps_and_breaks_more_than_noise(attack, reference):
    model, x, y, _, _ = reference
    x_adv = attack(model, x, y, seed=1)
    assert np.abs(x_adv - x).max() <= 0.1 + 1e-6
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1
    noise = np.sign(np.random.default_rng(0).normal(size=x.shape)).astype(np.float32)
    noisy = early_exit.predict(model, np.clip(x + 0.1 * noise, 0, 1)) == y
    fooled = early_exit.predict(model, x_adv) != y
    assert fooled.sum() > (~noisy).sum() + 3
    moved = np.abs(x_adv - x).reshape(len(x), -1).max(axis=1) > 0
    clean = early_exit.predict(model, x) == y
    np.testing.assert_array_equal(moved, fooled & clean)


@every_attack
def test_batches_order_and_mode_change_no_verdict(attack, reference):
    model, x, y, _, _ = reference
    x, y = x[:24], y[:24]
    whole = robust_after(attack, model, x, y, seed=2)
    order = np.random.default_rng(0).permutation(24)
    parts = np.empty(24, bool)
    for rows in np.split(order, [7, 8]):
        parts[rows] = robust_after(attack, model, x[rows], y[rows], seed=2, indices=rows)
    strict = attacks.create(attack.name, **{**fields(attack), "mode": "strict"})
    assert (parts != whole).sum() <= 1  # rounding may decide one
    assert (robust_after(strict, model, x, y, seed=2) != whole).sum() <= 1


def fields(attack):
    config = attack.get_config()
    return {name: value for name, value in config.items() if name not in ("attack", "norm")}


def test_fast_square_takes_the_same_steps_as_strict(linear):
    """Queries left out and judged in advance change nothing but for rounding, where two margins are equal."""
    images = {}
    for mode in ("fast", "strict"):
        images[mode] = attacks.Square(0.02, queries=400, mode=mode)(
            linear, linear.x[:40], linear.y[:40], seed=3
        )
    same = np.isclose(images["fast"], images["strict"], atol=1e-6).all(axis=(1, 2, 3))
    assert same.mean() >= 0.9
    assert (images["fast"] != linear.x[:40])[same].any()


def test_square_asks_fewer_questions_when_fast(linear):
    asked = {}
    for mode in ("fast", "strict"):
        count = tf.Variable(0)

        def model(x, count=count):
            count.assign_add(tf.shape(x)[0])
            return linear(x)

        attacks.Square(0.001, queries=1000, mode=mode)(model, linear.x[:20], linear.y[:20])
        asked[mode] = int(count)
    assert asked["fast"] < asked["strict"]


def test_last_time_a_proposal_was_made():
    proposals = np.array([[5, 7, 5, 5, 7], [1, 2, 3, 4, 5]])
    assert square.last_time(proposals).tolist() == [[-1, -1, 0, 2, 1], [-1] * 5]


def test_windows_never_reach_the_last_row_or_column_but_stripes_do():
    noise = attacks.Square(0.3, queries=50).noise(0, np.arange(20), (28, 28, 1), 0)
    sides = np.array([square.window_side(i, 0.8, 28, 28) for i in range(50)])
    assert noise["corners"].min() >= 0
    assert ((noise["corners"] + sides[:, None]) <= 27).all()
    assert noise["stripes"].shape == (20, 1, 28, 1)
    assert set(np.unique(noise["stripes"])) == {-1, 1}


def test_strict_asks_as_often_as_the_official_code(linear):
    """Forward passes for images that survive; the official code predicts clean images some times more."""
    eps, few = 1e-6, slice(0, 4)
    for part, official, saved in (
        (attacks.APGDCE(eps, mode="strict"), 103, 0),
        (attacks.APGDT(eps, mode="strict", target_classes=4), 4 * 102 + 2, 4),
        (attacks.FABT(eps, mode="strict", target_classes=4), 4 * 203 + 2, 9),
    ):
        count = tf.Variable(0)

        def model(x, count=count):
            count.assign_add(1)
            return linear(x)

        part(model, linear.x[few], linear.y[few])
        assert official - saved <= int(count) - 1 <= official  # a function answers once more, see `compiled`


def test_few_traces_serve_all_numbers_of_images(linear):
    attack = attacks.APGDCE(0.05, steps=13)
    for count in (3, 17, 40):
        attack(linear, linear.x[:count], linear.y[:count])
    compiled = early_exit._program(attack, linear)._compiled
    assert {name: f.experimental_get_tracing_count() for name, f in compiled.items()} == {
        "begin": 1,
        "advance": 1,
    }


# --- the cascade ---------------------------------------------------------------------------------


def test_the_cascade_only_loses_images_and_tells_which(reference, tmp_path):
    from pssr_keras import data

    model, x, y, eps, _ = reference
    images = data.Images(x, y, 10, "reference", np.arange(64))
    attack = attacks.AutoAttack(eps)
    small = [attacks.APGDCE(eps, steps=5), attacks.FABT(eps, steps=5), attacks.Square(eps, queries=20)]
    object.__setattr__(attack, "parts", lambda classes: small)
    result = evaluation.run_autoattack(attack, model, images, cache=tmp_path)
    flags = list(result.robust.values())
    assert list(result.robust) == ["clean", "apgd-ce", "fab-t", "square"]
    for earlier, later in itertools.pairwise(flags):
        assert not (later & ~earlier).any()
    np.testing.assert_array_equal(early_exit.predict(model, result.x_adv) == y, flags[-1])

    # Interrupted after the second part, it goes on with the third: the first two are read.
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == 3
    times = {path: path.stat().st_mtime_ns for path in kept}
    again = evaluation.run_autoattack(attack, model, images, cache=tmp_path)
    np.testing.assert_array_equal(again.x_adv, result.x_adv)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times


@pytest.mark.slow
def test_autoattack_on_the_reference(reference):
    """No weaker than the best of its parts in the reference, and one call gives the images."""
    model, x, y, eps, stored = reference
    robust = robust_after(attacks.AutoAttack(eps), model, x, y)
    together = np.all([stored[f"robust/{part.name}"][0] for part in PARTS], axis=0)
    assert abs(int(robust.sum()) - int(together.sum())) <= 1
    assert (robust != together).sum() <= 2


@pytest.mark.parametrize("classes", [2, 3])
def test_models_of_few_classes_are_refused_or_named(classes):
    model = Linear(classes)
    with pytest.raises(InputError, match=f"at least 4 classes, the model has {classes}: set few_classes"):
        attacks.AutoAttack(0.1)(model, model.x, model.y)
    with pytest.raises(InputError, match="at least 4 classes"):
        attacks.APGDT(0.1)(model, model.x, model.y)
    names = [part.name for part in attacks.AutoAttack(0.1, few_classes=True).parts(classes)]
    assert names == ["apgd-ce", "fab-t", "square"]
    assert attacks.FABT(0.1, steps=3)(model, model.x, model.y).shape == model.x.shape


def test_four_classes_have_all_their_others_tried():
    model = Linear(4)
    assert attacks.APGDT(0.1).targets(model(model.x).numpy()).shape == (200, 3)


# --- models and settings that do not fit ---------------------------------------------------------


@every_part
def test_probabilities_nan_and_half_precision_are_refused(part, linear):
    x, y = linear.x[:4], linear.y[:4]
    attack = part(0.1)
    for outputs, message in (
        (tf.nn.softmax, "probabilities"),
        (lambda z: z * float("nan"), "NaN"),
        (lambda z: tf.cast(z, tf.float16), "float16"),
        (
            lambda z: {"logits": z},
            r"returns 1 output, logits .*choose it, as lambda x: model\(x\)\['logits'\]",
        ),
        (lambda z: z[:, 0], "returns shape"),
    ):
        with pytest.raises(InputError, match=message):
            attack(lambda x, f=outputs: f(linear(x)), x, y)


def test_a_float64_model_is_attacked_as_any_other(linear):
    def double(x):
        return tf.reshape(tf.cast(x, tf.float64), (-1, 64)) @ tf.cast(linear.weights, tf.float64)

    for attack in (attacks.APGDCE(0.05), attacks.FABT(0.05, steps=20), attacks.PGD(0.05)):
        one = robust_after(attack, linear, linear.x, linear.y)
        assert (robust_after(attack, double, linear.x, linear.y) != one).sum() <= 2


@every_part
def test_a_model_without_gradient_or_contrast_is_survived(part, linear):
    x, y = linear.x[:6], linear.y[:6]
    fields = {"queries": 20} if part is attacks.Square else {"steps": 5}
    constant = part(0.2, **fields)(lambda x: tf.zeros((tf.shape(x)[0], 5)), x, np.zeros(6, np.int32))
    np.testing.assert_array_equal(constant, x)  # argmax says 0 whatever the image
    masked = part(0.2, **fields)(lambda x: tf.stop_gradient(linear(x)), x, y)
    assert np.isfinite(masked).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: attacks.APGDCE(0.1, steps=1), "steps is 1"),
        (lambda: attacks.APGDT(0.1, target_classes=0), "target_classes is 0"),
        (lambda: attacks.FABT(0.1, steps=0), "steps is 0"),
        (lambda: attacks.Square(0.1, queries=0), "queries is 0"),
        (lambda: attacks.Square(0.1, p=0), "p is 0"),
        (lambda: attacks.AutoAttack(0.1, mode="quick"), "mode is 'quick', expected one of fast, strict"),
        (lambda: attacks.FABT(0.1, mode="quick"), "mode is 'quick'"),
        (lambda: attacks.AutoAttack(0.1, targeted=True), "leave targeted False"),
        (lambda: attacks.Square(0.1, targeted=True), "leave targeted False"),
        (lambda: attacks.AutoAttack("9/8"), "eps is '9/8'"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


# --- images shared among cores -------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 64])
def test_shares_of_the_images_change_nothing(count, reference, monkeypatch):
    model, x, y, _, _ = reference
    x, y = x[:20], y[:20]
    monkeypatch.setattr(early_exit, "LEAST_SHARE", 1)
    for attack in (
        attacks.APGDCE(0.05, steps=7),
        attacks.FABT(0.05, steps=7),
        attacks.Square(0.05, queries=30),
    ):
        monkeypatch.setattr(early_exit, "streams", lambda: 1)
        alone = attack(model, x, y, seed=2)
        monkeypatch.setattr(early_exit, "streams", lambda: count)
        np.testing.assert_allclose(attack(model, x, y, seed=2), alone, atol=1e-6)


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_in_one_share_ends_the_others_and_reaches_the_caller(failing, reference, monkeypatch):
    model, x, y, _, _ = reference
    monkeypatch.setattr(early_exit, "streams", lambda: 2)
    begun, whole = [], early_exit.EarlyExitAttack.attack_targets

    def attack_targets(self, *arguments):
        share, stopped = arguments[7], arguments[-1]
        begun.append(stopped)
        if (0 in share) == (failing == 0):
            raise KeyboardInterrupt
        whole(self, *arguments)

    monkeypatch.setattr(early_exit.EarlyExitAttack, "attack_targets", attack_targets)
    with pytest.raises(KeyboardInterrupt):
        attacks.APGDCE(1e-4, steps=50)(model, x, y)
    assert len(begun) == 2
    assert begun[0].is_set()
