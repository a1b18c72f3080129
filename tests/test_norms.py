"""The balls and steps of L2 and L1, and the attacks in them where the truth is known."""

import dataclasses
import json
import pathlib
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from pssr_keras import InputError, attacks, evaluation
from pssr_keras.attacks import apgd_l1, base, early_exit, norms
from pssr_keras.commands import evaluate

BOTH = ("L2", "L1")
every_norm = pytest.mark.parametrize("norm", norms.NORMS)
in_l2_and_l1 = pytest.mark.parametrize("norm", BOTH)


def images(count, size=49, border=True, seed=0):
    x = np.random.default_rng(seed).uniform(size=(count, size, 1, 1)).astype(np.float32)
    if border:
        x[: count // 2] = np.round(x[: count // 2])  # black and white, as in MNIST
    return x


def projected(norm, x, z, eps):
    return norms.NORMS[norm].projection(tf.constant(x), eps)(tf.constant(z)).numpy()


# --- balls ---------------------------------------------------------------------------------------


def nearest_in_l1(x, z, eps):
    """The point of the L1 ball and of [0, 1] nearest to z, by bisection in float64."""
    x, z = x.astype(float), z.astype(float)
    found = np.empty_like(x)
    for i in range(len(x)):
        size, room = np.abs(z[i] - x[i]), np.where(z[i] > x[i], 1 - x[i], x[i])

        def shrunk(level, size=size, room=room):
            return np.minimum(np.maximum(size - level, 0), room)

        low, high = 0.0, size.max()
        for _ in range(200 if shrunk(0).sum() > eps else 0):
            middle = (low + high) / 2
            low, high = (middle, high) if shrunk(middle).sum() > eps else (low, middle)
        level = high if shrunk(0).sum() > eps else 0.0
        found[i] = x[i] + np.sign(z[i] - x[i]) * shrunk(level)
    return found


@pytest.mark.parametrize(("scale", "eps"), [(1, 0.5), (1, 8), (0.05, 1), (0.01, 0.5), (0.01, 5), (3, 100)])
def test_projection_in_l1_is_that_of_bisection(scale, eps):
    x = images(40, 300)
    z = x + np.random.default_rng(1).normal(0, scale, x.shape).astype(np.float32)
    z[0] = x[0]  # no perturbation
    z[1, :50] = x[1, :50] + np.float32(0.25)  # equal ones
    z[2] = x[2] + np.where(x[2] > 0.5, 2, -2)  # nothing but what the box forbids
    z[3] = x[3]
    z[3, 7] += np.float32(5)  # one value alone
    found = projected("L1", x, z, eps)
    np.testing.assert_allclose(found, nearest_in_l1(x, z, eps), rtol=0, atol=1e-6)
    assert base.distances(x, found, "L1").max() <= eps * (1 + 1e-5) + 1e-6
    np.testing.assert_array_equal(found[2], x[2])


def test_many_equal_changes_are_not_all_rounded_away_from_the_image():
    x = np.ones((1, 100_000, 1, 1), np.float32)
    z = x - np.random.default_rng(0).uniform(0, 1e-3, x.shape).astype(np.float32)
    for eps in (20, 30, 40):
        assert base.distances(x, projected("L1", x, z, eps), "L1")[0] <= eps * (1 + 2e-6)


@pytest.mark.parametrize(("count", "eps"), [(300, 8), (784, 0.5), (50_000, 1000)])
def test_what_is_shrunk_sums_to_eps(count, eps):
    size = np.abs(np.random.default_rng(0).normal(size=(16, count, 1, 1))).astype(np.float32)
    left = norms.shrunk(tf.constant(size), tf.constant(images(16, count, border=False)), eps).numpy()
    np.testing.assert_allclose(left.sum(axis=(1, 2, 3), dtype=np.float64), eps, rtol=2e-7)


@every_norm
def test_a_projection_is_within_ball_and_box_and_moves_nothing_twice(norm):
    x, generator = images(30, 100), np.random.default_rng(2)
    for scale in (1e-3, 0.1, 3):
        z = x + generator.normal(0, scale, x.shape).astype(np.float32)
        once = projected(norm, x, z, 0.5)
        assert base.distances(x, once, norm).max() <= 0.5 * (1 + 1e-5)
        assert once.min() >= 0
        assert once.max() <= 1
        np.testing.assert_allclose(projected(norm, x, once, 0.5), once, rtol=0, atol=1e-6)
    inside = np.clip(x + generator.uniform(-1e-3, 1e-3, x.shape).astype(np.float32), 0, 1)
    np.testing.assert_allclose(projected(norm, x, inside, 0.5), inside, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(projected(norm, x, inside, 0.0), x)


@every_norm
def test_distances_and_lengths_are_those_of_numpy(norm):
    x, order = images(5, 2000), {"Linf": np.inf, "L2": 2, "L1": 1}[norm]
    other = images(5, 2000, seed=1)
    expected = np.linalg.norm((other - x).reshape(5, -1).astype(float), order, axis=1)
    np.testing.assert_allclose(base.distances(x, other, norm), expected, rtol=1e-6)
    np.testing.assert_allclose(norms.NORMS[norm].length(tf.constant(other - x)), expected, rtol=1e-5)


# --- steps ---------------------------------------------------------------------------------------


@every_norm
def test_a_step_has_its_length_and_none_without_a_gradient(norm):
    x = np.full((3, 200, 1, 1), 0.5, np.float32)
    gradient = np.random.default_rng(0).normal(size=x.shape).astype(np.float32)
    gradient[1] *= np.float32(1e-25)  # a saturated model still tells the direction
    gradient[2] = 0
    step = norms.NORMS[norm].step(tf.constant(gradient), tf.constant(x), 0.3).numpy()
    np.testing.assert_allclose(base.distances(x, x + step, norm), [0.3, 0.3, 0], atol=1e-6)
    np.testing.assert_array_equal(step[2], 0)
    assert (step[:2] * np.sign(gradient[:2])).min() >= 0


def test_a_step_in_l1_moves_the_largest_first_and_nothing_that_is_blocked():
    x = np.full((1, 6, 1, 1), 0.5, np.float32)
    x[0, :2, 0, 0] = 1, 0
    gradient = np.array([9, -8, -7, 3, 1, 0], np.float32).reshape(x.shape)
    for size, expected in ((0.2, [0, 0, -0.2, 0, 0, 0]), (0.8, [0, 0, -0.5, 0.3, 0, 0])):
        step = norms.L1.step(tf.constant(gradient), tf.constant(x), size).numpy().ravel()
        np.testing.assert_allclose(step, expected, atol=1e-6)
    everything = norms.L1.step(tf.constant(gradient), tf.constant(x), 50.0).numpy().ravel()
    np.testing.assert_allclose(everything, [0, 0, -0.5, 0.5, 0.5, 0], atol=1e-6)


# --- linear models -------------------------------------------------------------------------------


class Linear:
    """Four classes of grey 8x8 images, so that [0, 1] limits no small perturbation."""

    def __init__(self):
        generator = np.random.default_rng(0)
        self.weights = generator.normal(size=(64, 4)).astype(np.float32)
        self.x = generator.uniform(0.45, 0.55, (60, 8, 8, 1)).astype(np.float32)
        self.y = self(self.x).numpy().argmax(axis=1).astype(np.int32)

    def __call__(self, x):
        return tf.reshape(x - 0.5, (-1, 64)) @ self.weights

    def radii(self, norm):
        """|f| / the dual norm of w, of the nearest other class."""
        logits = self(self.x).numpy().astype(float)
        radii = np.full(len(self.x), np.inf)
        for other in range(4):
            w = self.weights[:, [other]].T.astype(float) - self.weights[:, self.y].T
            steepest = np.linalg.norm(w, {"L2": 2, "L1": np.inf}[norm], axis=1)
            margin = logits[np.arange(len(logits)), self.y] - logits[:, other]
            with np.errstate(divide="ignore", invalid="ignore"):
                radii = np.where(self.y == other, radii, np.minimum(radii, margin / steepest))
        return radii


@pytest.fixture(scope="module")
def linear():
    return Linear()


@in_l2_and_l1
def test_a_linear_model_falls_exactly_where_the_closed_form_says(linear, norm):
    radii = linear.radii(norm)
    eps = float(np.median(radii))
    assert eps < 0.4  # of which one pixel alone is capable
    standing = np.ones(len(radii), bool)
    for attack in (
        attacks.APGDT(eps, norm=norm, steps=50),
        attacks.PGD(eps, norm=norm, best=True, restarts=2),
        attacks.APGDCE(eps, norm=norm, steps=50),
    ):
        x_adv = attack(linear, linear.x, linear.y)
        robust = early_exit.predict(linear, x_adv) == linear.y
        assert robust[radii > eps * 1.0001].all(), attack.name
        assert robust.mean() < 0.7, attack.name
        standing &= robust
    assert (standing == (radii > eps)).mean() >= 0.95


# --- what every attack promises ------------------------------------------------------------------

EPS = {"L2": 3.0, "L1": 20.0}
SUITE = [
    attacks.create(name, eps=EPS[norm], norm=norm, **fields)
    for norm in BOTH
    for name, fields in {
        "fgsm": {},
        "bim": {"steps": 6},
        "mim": {"steps": 6},
        "pgd": {"steps": 8, "best": True, "restarts": 2},
        "apgd-ce": {"steps": 10},
        "apgd-dlr": {"steps": 10, "restarts": 2},
    }.items()
]
every_attack = pytest.mark.parametrize("attack", SUITE, ids=lambda attack: f"{attack.name}-{attack.norm}")


@every_attack
def test_it_keeps_to_the_budget_and_beats_noise(attack, toy_classifier, toy_images):
    x, y = toy_images.x, toy_images.y
    x_adv = attack(toy_classifier, x, y, seed=1)
    moved = base.distances(x, x_adv, attack.norm)
    assert moved.max() <= attack.eps * (1 + 1e-5) + 1e-6
    assert moved.max() >= 0.5 * attack.eps
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1
    noise = np.random.default_rng(0).normal(size=x.shape).astype(np.float32)
    noisy = projected(attack.norm, x, x + noise, attack.eps)
    left, right = (evaluation.correct(toy_classifier, z, y).sum() for z in (x_adv, noisy))
    assert left < right - 3


@every_attack
def test_batches_and_order_change_no_verdict_and_a_seed_repeats(attack, toy_classifier, toy_images):
    x, y = toy_images.x[:12], toy_images.y[:12]
    whole = attack(toy_classifier, x, y, seed=3)
    np.testing.assert_array_equal(attack(toy_classifier, x, y, seed=3), whole)
    order = np.random.default_rng(0).permutation(12)
    parts = np.empty_like(whole)
    for rows in np.split(order, [5]):
        parts[rows] = attack(toy_classifier, x[rows], y[rows], seed=3, indices=rows)
    np.testing.assert_allclose(parts, whole, atol=1e-3 if attack.norm == "L1" else 1e-4)


@every_attack
def test_a_model_without_gradient_is_survived(attack, toy_classifier, toy_images):
    x, y = toy_images.x[:4], toy_images.y[:4]
    x_adv = attack(lambda z: tf.stop_gradient(toy_classifier(z, training=False)), x, y)
    assert np.isfinite(x_adv).all()
    if attack.name in ("fgsm", "bim", "mim"):  # which begin at the image itself
        np.testing.assert_array_equal(x_adv, x)


# --- APGD ----------------------------------------------------------------------------------------


def test_phases_and_decisions_of_apgd_in_l1():
    assert apgd_l1.phases(100, True) == [(0, 3.0, 1), (30, 2.0, 1), (60, 1.0, 1)]
    assert apgd_l1.phases(100, False) == [(0, 1.0, 4)]
    assert apgd_l1.ends(100, True)[:2] == [61, 62]
    for steps in (2, 3, 7):
        starts = [first for first, *_ in apgd_l1.phases(steps, True)]
        assert starts == sorted(starts)
        assert starts[-1] < steps
        assert apgd_l1.ends(steps, True)[-1] == steps


def test_a_sparse_step_keeps_the_largest_and_all_ties():
    gradient = tf.reshape(tf.constant([[4.0, -3, 3, 1, 0], [0, 0, 0, 0, 0]]), (2, 5, 1, 1))
    kept = apgd_l1.sparse_sign(gradient, tf.constant([0.4, 0.4]))
    np.testing.assert_array_equal(kept[0, :, 0, 0], [1, -1, 1, 0, 0])
    np.testing.assert_array_equal(kept[1], 0)
    alone = apgd_l1.sparse_sign(gradient, tf.constant([0.0, 0.0]))
    np.testing.assert_array_equal(alone[0, :, 0, 0], [1, 0, 0, 0, 0])


def test_in_l1_only_the_last_phase_finds(linear):
    """Its budget is eps: what falls within 3 eps alone stands."""
    radii = linear.radii("L1")
    eps = float(np.median(radii)) / 2
    assert ((eps < radii) & (radii < 2 * eps)).sum() > 10
    x_adv = attacks.APGDCE(eps, norm="L1", steps=20)(linear, linear.x, linear.y)
    robust = early_exit.predict(linear, x_adv) == linear.y
    assert robust[radii > 1.0001 * eps].all()
    assert not robust.all()


@pytest.fixture(scope="module")
def reference():
    """A network, images and what the official code found; see tests/fixtures."""
    stored = dict(np.load(pathlib.Path(__file__).parent / "fixtures" / "autoattack_l2_l1.npz"))
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(6, 5, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 5, activation="relu", name="conv2"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(120, activation="relu", name="dense1"),
            layers.Dense(84, activation="relu", name="dense2"),
            layers.Dense(10, name="dense3"),
        ]
    )
    for name in ("conv1", "conv2", "dense1", "dense2", "dense3"):
        model.get_layer(name).set_weights([stored[f"weights/{name}/{part}"] for part in ("kernel", "bias")])
    x = (stored["images"][..., None] / 255).astype(np.float32)
    np.testing.assert_allclose(model(x), stored["logits"], atol=1e-4)
    noise = np.random.RandomState(7).standard_normal((96, 1, 28, 28)).astype(np.float32)
    noise = noise.transpose(0, 2, 3, 1)[stored["positions"]]
    return model, x, stored["labels"].astype(np.int32), noise, stored


def recorded(attack, losses):
    """The attack, which appends the losses of each evaluation to a list."""

    class Recorded(type(attack)):
        def evaluate(self, logits, task, z):
            outputs, loss, gradient = super().evaluate(logits, task, z)
            kept = tf.numpy_function(lambda value: losses.append(value) or value, [loss], tf.float32)
            return outputs, tf.ensure_shape(kept, loss.shape), gradient

    return Recorded(**{f.name: getattr(attack, f.name) for f in dataclasses.fields(attack)})


@pytest.mark.parametrize(
    ("norm", "start", "kind"),
    [("L2", "noise", "ce"), ("L2", "noise", "t"), ("L1", "noise", "t"), ("L1", "schedule", "ce")],
)
def test_apgd_takes_the_steps_of_the_official_code(norm, start, kind, reference):
    model, x, y, noise, stored = reference
    attack = {"ce": attacks.APGDCE, "t": attacks.APGDT}[kind]
    attack = attack(float(stored[f"{norm}/eps"]), norm=norm, schedule=start == "schedule")
    target = early_exit.classes_by_rank(stored["logits"], 1)[:, 0]
    losses = []
    state = recorded(attack, losses).run(model, {"x": x, "y": y, "target": target, "noise": noise})
    losses, theirs = np.stack(losses, axis=1), stored[f"{norm}/apgd/{kind}-{start}/loss"]
    comparable = np.arange(theirs.shape[1]) < stored[f"{norm}/apgd/{kind}-{start}/stable"][:, None]
    same = np.abs(losses - theirs) <= 1e-3 * np.maximum(1, np.abs(theirs))
    assert same[:, : 1 if start == "schedule" else 3].all()  # of rounding there, see `apgd_l1.support_of`
    assert comparable.mean() > 0.4
    assert same[comparable].mean() > 0.98
    robust = ~state["fooled"].numpy()
    differ = (robust != stored[f"{norm}/apgd/{kind}-{start}/robust"]).sum()
    assert differ <= (2 if start == "schedule" else 1)


def test_the_expectation_of_a_random_model_is_followed():
    """Of two opposite gradients along a pixel, one of them longer, the mean counts; no image retires."""
    asked = tf.Variable(0)

    def model(x):
        turn = tf.cast(asked.assign_add(1) % 2, tf.float32)
        slope = tf.where(turn == 0, 3.0, -1.0)
        return tf.stack([tf.zeros_like(x[:, 0, 0, 0]), slope * (x[:, 0, 0, 0] - 0.5) - 1], axis=1)

    x, y = np.full((2, 2, 2, 1), 0.5, np.float32), np.zeros(2, np.int32)
    attack = attacks.APGDCE(0.2, norm="L2", steps=4, eot=2)
    assert not attack.is_fast
    task = {"x": x, "y": y, "target": y, "noise": np.zeros_like(x)}
    asked.assign(0)
    state = attack.run(model, task)
    assert int(asked) == 2 * 5
    assert (state["z_best"].numpy()[:, 0, 0, 0] > 0.6).all()


# --- AutoAttack ----------------------------------------------------------------------------------


def test_versions_of_autoattack_have_the_official_parts():
    def parts(**fields):
        attack = attacks.AutoAttack(0.5, **fields)
        return {part.name: part.get_config() for part in attack.parts(10)}

    standard = parts()
    assert list(standard) == ["apgd-ce", "apgd-t", "fab-t", "square"]
    assert standard["apgd-ce"] == {
        "attack": "apgd-ce", "norm": "Linf", "eps": 0.5, "targeted": False, "mode": "fast", "steps": 100,
        "rho": 0.75,
    }  # fmt: skip
    assert attacks.AutoAttack(0.5).get_config() == {
        "attack": "autoattack", "norm": "Linf", "eps": 0.5, "targeted": False, "mode": "fast",
        "few_classes": False,
    }  # fmt: skip
    for norm in BOTH:
        assert list(parts(norm=norm)) == list(standard)
        assert {part["norm"] for part in parts(norm=norm).values()} == {norm}
    assert parts(norm="L2")["apgd-t"]["target_classes"] == 9
    assert parts(norm="L1")["apgd-t"]["target_classes"] == 5
    assert (parts(norm="L1")["apgd-ce"]["restarts"], parts(norm="L1")["fab-t"]["target_classes"]) == (5, 9)
    plus = parts(norm="L2", version="plus")
    assert list(plus) == ["apgd-ce", "apgd-dlr", "fab", "square", "apgd-t", "fab-t"]
    assert [plus[name].get("restarts") for name in plus] == [5, 5, 5, None, None, None]
    rand = parts(norm="L1", version="rand")
    assert list(rand) == ["apgd-ce", "apgd-dlr"]
    assert all((part["eot"], part["schedule"]) == (20, False) for part in rand.values())
    with pytest.raises(InputError, match=r"at least 3 classes, .* leave out apgd-dlr"):
        attacks.AutoAttack(0.5, version="rand").parts(2)


# --- what a user types ---------------------------------------------------------------------------


def test_configs_of_linf_are_those_of_older_records():
    assert list(attacks.APGDT(0.3).get_config()) == [
        "attack", "norm", "eps", "targeted", "mode", "steps", "rho", "target_classes",
    ]  # fmt: skip
    assert attacks.PGD(0.3, False, 7) == attacks.PGD(0.3, steps=7)


def test_texts_with_a_norm_are_parsed_and_named():
    assert attacks.parse("pgd:norm=L2,eps=0.5", 0.3) == attacks.PGD(0.5, norm="L2")
    assert attacks.parse("pgd:steps=3", 1.5, "L2") == attacks.PGD(1.5, norm="L2", steps=3)
    assert attacks.parse("cw", 1.5, "L2") == attacks.CarliniWagner(1.5)
    assert attacks.parse("cw", 9, "L1") == attacks.CarliniWagner()
    assert attacks.parse("autoattack:version=rand", 0.3).version == "rand"
    names = attacks.names_of([attacks.FGSM(0.3), attacks.FGSM(0.3, norm="L2")])
    assert names == ["fgsm:norm=Linf", "fgsm:norm=L2"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: attacks.PGD(0.3, norm="L3"), "norm of pgd is 'L3', expected one of Linf, L2, L1"),
        (lambda: attacks.PGD(0.3, norm=2), "norm of pgd is 2, expected one of"),
        (lambda: attacks.CarliniWagner(norm="Linf"), "norm of cw is 'Linf', expected L2"),
        (lambda: attacks.parse("pgd:norm=L2", 0.3), "no budget in L2: add it, as in pgd:norm=L2,eps=0.5"),
        (lambda: attacks.PGD(-1, norm="L2"), "eps is -1, expected a number >= 0"),
        (lambda: attacks.PGD(float("inf"), norm="L1"), "eps is inf"),
        (lambda: attacks.PGD(1.5), "expected a number from 0 to 1"),
        (lambda: attacks.AutoAttack(0.3, version="fast"), "version is 'fast', expected one of standard"),
        (lambda: attacks.APGDCE(0.3, eot=0), "eot is 0"),
        (lambda: attacks.APGDCE(0.3, restarts=0), "restarts is 0"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_budget_that_moves_nothing_is_told():
    with pytest.warns(UserWarning, match="less than half a grey level"):
        attacks.PGD(0.001, norm="L1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attacks.PGD("8/255", norm="L1")
        attacks.PGD(0.001)


def test_the_command_takes_a_norm(capsys, tmp_path):
    assert evaluate.main(["--norm", "L2", "--attacks", "fgsm"]) != 0
    assert "--norm L2 has no budget of its own: give --eps" in capsys.readouterr().err
    out = tmp_path / "record.json"
    arguments = ["--attacks", "fgsm", "cw:steps=2,searches=1", "--norm", "L2", "--eps", "1.5", "--n", "4"]
    assert evaluate.main([*arguments, "--source", "bundled", "--out", str(out)]) == 0
    assert "eps 1.5 (L2)" in capsys.readouterr().out
    assert [one["eps"] for one in json.loads(out.read_text())["attacks"].values()] == [1.5, 1.5]


@pytest.mark.parametrize(("norm", "eps", "furthest"), [("L2", 2.5, "8"), ("L1", 15, "64")])
def test_the_checks_take_a_norm(norm, eps, furthest, toy_classifier, toy_images):
    few = toy_images.take(slice(0, 8))
    found = evaluation.checks.run(toy_classifier, few, eps, norm=norm, steps=4, queries=5, draws=2, planted=1)
    found = {finding.name: finding for finding in found}
    assert found[f"eps = {furthest} breaks all"].figure.startswith("0.0%")
    assert found["feasible, and judged the same again"].verdict == "PASS"
    assert found["loss rises"].verdict == "PASS"
    assert "white box no weaker than noise" in found


# --- evaluation ----------------------------------------------------------------------------------


def test_a_record_tells_the_norm_and_has_a_worst_case_in_it(toy_classifier, toy_images):
    few = toy_images.take(slice(0, 10))
    suite = [
        attacks.parse(name, 0.5, "L2")
        for name in ("fgsm", "pgd:steps=3", "cw:eps=none")
        if "none" not in name
    ]
    record = evaluation.evaluate(
        {"a": toy_classifier, "b": toy_classifier},
        {"c": toy_classifier},
        few,
        [*suite, attacks.CarliniWagner(steps=2, searches=1)],
        threat_model="white-box",
    )
    assert "eps 0.5 (L2)" in evaluation.table(record)
    assert all(config["norm"] == "L2" for config in record["attacks"].values())
    cells = record["cells"]["c"]
    compared = [
        np.array(list(cells[name]["correct"])) == "1"
        for name in cells
        if name != evaluation.WORST_CASE and "cw" not in name
    ]
    worst = np.array(list(cells[evaluation.WORST_CASE]["correct"])) == "1"
    np.testing.assert_array_equal(worst, np.all(compared, axis=0))
