"""The binarisation test of Zimmermann et al. 2022: does an attack find a perturbation that is known to exist?

Of an image the last layer of a defense is replaced by a readout that tells apart, by the features, points
deep in the eps-ball around it from one point on its surface. So there is a perturbation within the budget
that changes the answer, and an attack that is worth its name finds one. How the defense makes its features,
its purifier and its mask, stays as it is; only the readout is new:

    inner     the image, and points of the cube of 0.95 eps around it, uniformly; class 0
    planted   one corner of the cube of eps, cut to [0, 1]; class 1
    readout   linear, separates them all; its threshold lies just below the value of the planted point

Where no readout separates them the image is left out and counted. An attacker who only guesses, corners and
points of the ball, should hardly ever succeed, or the task was no task: his share is measured as well.

Source: Zimmermann, Brendel, Tramer and Carlini 2022, "Increasing confidence in adversarial robustness
evaluations", and its code for the gap, the corner and the threshold.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from ..attacks import adaptive
from ..attacks.base import compiled_logits
from ..defense import PSSR
from ..inputs import InputError
from .crafting import check_task

INNER = 999  # points; with the planted one 1,000, as in the source
GAP = 0.05  # of eps, between inner points and the surface; as in the source
CLOSENESS = 0.999  # of the threshold to the value of the planted point; as in the source
GUESSES = 200  # of the attacker who only guesses, as in the source


@dataclasses.dataclass(frozen=True)
class Result:
    """What was found of the images whose planted point could be told apart.

    Attributes:
        found: (n,) bool, whether the attack found a perturbation that the readout takes for the planted one.
        guessed: (n,) bool, whether guesses did.
        inseparable: number of images left out.
    """

    found: np.ndarray
    guessed: np.ndarray
    inseparable: int


@keras.saving.register_keras_serializable("pssr_keras")
class Readout(keras.layers.Layer):
    """Two logits, -z and z with z = <w, features> - b; w and b are set for each image."""

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1],), initializer="zeros", name="kernel")
        self.threshold = self.add_weight((), initializer="zeros", name="threshold")

    def call(self, features):
        z = tf.linalg.matvec(features, self.kernel) - self.threshold
        return tf.stack([-z, z], axis=-1)

    def compute_output_shape(self, input_shape):
        return input_shape[0], 2


def features_of(classifier):
    """The classifier without its last layer, images -> features (B, D).

    Raises:
        InputError: if it has no last layer that is dense.
    """
    last = classifier.layers[-1] if isinstance(classifier, keras.Model) and classifier.layers else None
    if not isinstance(last, keras.layers.Dense):
        raise InputError(f"{getattr(classifier, 'name', classifier)} does not end in a dense layer")
    return keras.Model(classifier.inputs, last.input, name="features")


def binarised(defense, surrogate=None):
    """A defense and its surrogate with a readout in place of the last layer.

    Args:
        defense: a PSSR, or a classifier.
        surrogate: what the attacker differentiates: a surrogate of the PSSR; None for the defense itself.

    Returns:
        The binarised defense, its surrogate, a function images -> features of it, and the `Readout`.

    Raises:
        InputError: for a defense or a surrogate of another kind.
    """
    is_purifier = isinstance(defense, PSSR)
    features = features_of(defense.classifier if is_purifier else defense)
    readout = Readout(name="readout")
    judge = keras.Model(features.inputs, readout(features.outputs[0]), name="binarised")
    if not is_purifier:
        if surrogate is not None and surrogate is not defense:
            raise InputError(f"a {type(surrogate).__name__} is no surrogate of the classifier itself")
        return judge, judge, features, readout
    # The mask is still that of the defense, whose last layer guides it.
    guide = PSSR(defense.classifier, None, None) if defense.guide is None else defense.guiding_model()
    stages = (judge, defense.surgery, defense.extrapolator, guide)
    whole = PSSR(*stages)
    if surrogate is None or surrogate is defense:
        twin = whole
    elif isinstance(surrogate, adaptive.Surrogate):
        options = {n: getattr(surrogate, n) for n in ("temperature", "radius") if hasattr(surrogate, n)}
        twin = type(surrogate)(*stages, **options)
    else:
        raise InputError(f"a {type(surrogate).__name__} cannot be given another last layer")
    return whole, twin, lambda x: features(defense.purify(x), training=False), readout


def separating(features, planted):
    """The hyperplane (w, b) with <w, f> < b for all inner features (N, D), and > b just at the planted (D,).

    Returns:
        (w, b), scaled so that logits differ by 1 at most; None where no hyperplane is found.
    """
    everything = np.concatenate([features, planted[None]]).astype(np.float64)
    centre, scale = features.mean(axis=0), everything.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    labels = np.r_[np.zeros(len(features), int), 1]
    # Here, as it takes longer to import than all of this package.
    from sklearn.linear_model import LogisticRegression

    regression = LogisticRegression(C=1e6, max_iter=2_000, class_weight="balanced")
    regression.fit((everything - centre) / scale, labels)
    w = regression.coef_[0] / scale
    values = (everything - centre) @ w + regression.intercept_[0]
    highest, reached = values[:-1].max(), values[-1]
    if not highest < reached:
        return None
    # As the code of the source: from the readout's own threshold nearly all the way to the planted point.
    own = max(highest, min(0.0, reached))
    threshold = own + CLOSENESS * (reached - own)
    size = max(np.ptp(values), 1e-12)
    return w / size, (threshold - regression.intercept_[0] + centre @ w) / size


def run(attack, defense, images, surrogate=None, seed=0, inner=INNER, guesses=GUESSES, batch_size=500):
    """The test, image by image.

    Args:
        attack: an attack of `pssr_keras.attacks` in the Linf norm, as in the evaluation it is to confirm.
        defense, surrogate: see `binarised`.
        images: whatever `data.images_of` takes; their labels do not matter.
        seed: integer; with the index of each image it determines all points.
        inner: number of inner points.
        guesses: number of guesses, half corners and half points of the ball.

    Returns:
        `Result`.

    Raises:
        InputError: see `binarised`, for an attack in another norm, or for images that do not fit.
    """
    models = [defense] if surrogate is None else [defense, surrogate]
    images, seed = check_task(images, models, seed, batch_size)
    if attack.norm != "Linf":
        raise InputError(f"{attack.name} has the norm {attack.norm}, expected Linf")
    whole, twin, features, readout = binarised(defense, surrogate)
    signature = [tf.TensorSpec([None, *images.x.shape[1:]], tf.float32)]  # traced once, not for each number
    answers, features = compiled_logits(whole), tf.function(features, input_signature=signature)
    eps, found, guessed, inseparable = attack.eps, [], [], 0

    def features_at(x):
        parts = [features(tf.constant(x[i : i + batch_size])) for i in range(0, len(x), batch_size)]
        return np.concatenate(parts)

    for x, index in zip(images.x, images.indices, strict=True):
        generator = np.random.default_rng([seed, int(index)])

        def points(count, radius, corners=False, x=x, generator=generator):
            moves = generator.uniform(-1, 1, (count, *x.shape))
            moves = np.sign(moves) if corners else moves
            return np.clip(x + radius * moves, 0, 1).astype(np.float32)

        deep = np.concatenate([x[None], points(inner - 1, (1 - GAP) * eps)])
        planted = points(1, eps, corners=True)
        hyperplane = separating(features_at(deep), features_at(planted)[0])
        if hyperplane is None:
            inseparable += 1
            continue
        readout.kernel.assign(hyperplane[0])
        readout.threshold.assign(hyperplane[1])
        classes = answers(np.concatenate([x[None], planted])).numpy().argmax(axis=-1)
        if classes.tolist() != [0, 1]:  # in float32 the points are no longer told apart
            inseparable += 1
            continue
        tries = np.concatenate([points(guesses // 2, eps, corners=True), points(guesses - guesses // 2, eps)])
        guessed.append(bool((answers(tries).numpy().argmax(axis=-1) == 1).any()))
        x_adv = attack(twin, x[None], np.zeros(1, np.int32), seed=seed, indices=np.array([index]))
        found.append(bool(answers(x_adv).numpy().argmax(axis=-1)[0] == 1))
    return Result(np.array(found, bool), np.array(guessed, bool), inseparable)
