"""Pixel surgery, equations 3 to 7: find the pixels that carry the prediction and zero them.

The paper leaves four things open. Each reading is a named option of `PixelSurgery`:

    score      how a gradient becomes a score per pixel:
               "magnitude" |S| (saliency as Simonyan et al. 2013 use it), or "signed" S as eq. 3 has it
    channels   one mask per pixel: "max" or "sum" over the channels; or one per channel: "each"
    threshold  the mean of eq. 6: "image", the mean of this image's scores (eq. 6 writes it as a
               function of x), or "dataset", a constant (section 4.5: it "can be pre-computed").
               With a constant the factor p (1 - p) of the probability's gradient does not cancel: an
               image that the classifier is sure of, right or wrong, then loses hardly a pixel
    flat       what eq. 4's ">=" does to a map of zeros, where 0 >= 0 would remove every pixel:
               "keep" all pixels, or "remove" them as the equation says to the letter

Two further ones are ours, for an attacker who knows the surgery:

    removal    "hard", the step of equation 4, or "soft", a sigmoid around the threshold: a mask that is as
               continuous in the image as the saliency is, so that a training sees how it moves
    at_most    the largest share of pixels that may go: the threshold rises to where no more reach it
"""

import dataclasses
import math
import typing

import keras
import tensorflow as tf

from .inputs import InputError, check_batch, check_images, check_integer, check_outputs, plain_fields

SCORES = ("magnitude", "signed")
CHANNELS = ("max", "sum", "each")
THRESHOLDS = ("image", "dataset")
FLAT = ("keep", "remove")
REMOVALS = ("hard", "soft")
PRECISIONS = ("float32", "float64")  # of images; the equations then compute in the same


def log_odds(logits, classes):
    """Log-odds of one class per row, log p_k - log(1 - p_k) = z_k - logsumexp over j != k of z_j.

    Args:
        logits: (B, K).
        classes: (B,) integer, the class k of each row.

    Returns:
        (B,) log-odds, exact also where the probability rounds to 0 or 1.
    """
    is_class = tf.one_hot(classes, tf.shape(logits)[-1], on_value=True, off_value=False)
    chosen = tf.reduce_sum(tf.where(is_class, logits, 0.0), axis=-1)
    others = tf.where(is_class, logits.dtype.min, logits)
    return chosen - tf.reduce_logsumexp(others, axis=-1)


def saliency(classifier, x, of="log_odds", classes=None):
    """Equation 3: the gradient of the predicted class's score with respect to the image.

    The paper differentiates the probability p. We differentiate its log-odds l: as
    dp/dx = p (1 - p) dl/dx, and p (1 - p) is one positive number per image, both maps exceed alpha
    times their own mean at the same pixels, but in float32 p saturates and p (1 - p) rounds to 0.
    Where images are compared with each other that factor matters: "probability" multiplies by it, as
    sigmoid(l) sigmoid(-l), which does not saturate.

    Args:
        classifier: callable, images (B, H, W, C) -> logits (B, K).
        x: images (B, H, W, C), float32 in [0, 1].
        of: what is differentiated, "log_odds" or "probability".
        classes: (B,) the classes whose score it is; the predicted ones if None.

    Returns:
        S (B, H, W, C).

    Raises:
        InputError: if the classifier returns no logits (B, K).
    """
    x = tf.convert_to_tensor(x)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        logits = check_outputs(classifier(x), classifier)
        if classes is None:
            classes = tf.argmax(tf.stop_gradient(logits), axis=-1)
        score = log_odds(logits, classes)
    gradient = tape.gradient(score, x)
    if of == "log_odds":
        return gradient
    slope = tf.exp(tf.math.log_sigmoid(score) + tf.math.log_sigmoid(-score))
    return gradient * slope[:, None, None, None]


def pixel_scores(gradient, score="magnitude", channels="max"):
    """One score per pixel from the gradient S (B, H, W, C): (B, H, W, 1), or (B, H, W, C) for "each"."""
    if score == "magnitude":
        gradient = tf.abs(gradient)
    if channels == "max":
        return tf.reduce_max(gradient, axis=-1, keepdims=True)
    if channels == "sum":
        return tf.reduce_sum(gradient, axis=-1, keepdims=True)
    return gradient


def mean_score(scores):
    """The mean of equation 6 over one image: (B, H, W, C) -> (B, 1, 1, 1)."""
    return tf.reduce_mean(scores, axis=(1, 2, 3), keepdims=True)


def salient_mask(scores, threshold, flat="keep"):
    """Equation 4: 1 where the score reaches the threshold, else 0; as float32, shaped as `scores`."""
    salient = scores >= threshold
    if flat == "keep":
        salient &= tf.reduce_any(scores != 0, axis=(1, 2, 3), keepdims=True)
    return tf.cast(salient, scores.dtype)


def soft_salient_mask(scores, threshold, temperature, flat="keep"):
    """Equation 4 without its step: sigmoid((S - threshold) / (temperature mean |S|)), shaped as `scores`.

    In units of the mean's size, as a signed mean may be negative or near zero.
    """
    size = tf.reduce_mean(tf.abs(scores), axis=(1, 2, 3), keepdims=True)
    salient = tf.sigmoid((scores - threshold) / (temperature * tf.maximum(size, 1e-12)))
    return salient * tf.cast(size > 0, scores.dtype) if flat == "keep" else salient


def kth_largest_score(scores, rank):
    """The score that `rank` pixels of an image exceed, fewer where some are equal: (B, 1, 1, 1)."""
    flat = tf.reshape(scores, (tf.shape(scores)[0], -1))
    return tf.math.top_k(flat, rank + 1).values[:, rank][:, None, None, None]


def trivial_mask(mask):
    """Equation 5: M_t = 1 - M_s."""
    return 1.0 - mask


def component(x, mask):
    """Equation 7: the pixels of x (B, H, W, C) under a mask, the others set to 0."""
    return x * mask


def perturbation_component(x, x_adv, mask):
    """Figure 1: the clean image with only the masked part of the perturbation, x + (x_adv - x) M.

    It needs the clean image, so it is an instrument of analysis (an oracle), never a defense.
    """
    return x + (x_adv - x) * mask


@keras.saving.register_keras_serializable("pssr_keras")
@dataclasses.dataclass(frozen=True)
class PixelSurgery:
    """Equations 3 to 7 under one named set of readings; see the head of this module.

    Attributes:
        alpha: threshold in multiples of the mean score; the paper's is 1.5.
        score, channels, threshold, flat: the readings.
        dataset_mean: the constant mean score, for threshold "dataset" only; see `fit_mean`.
        removal: "hard" or "soft".
        temperature: of the sigmoid of "soft", in multiples of the mean score; the smaller, the nearer to a
            step.
        at_most: the largest share of pixels that go; of a soft mask, that go by more than half.

    Raises:
        InputError: for an unknown reading, an alpha or a temperature that is not positive, an `at_most` that
            is no share, or a missing mean.
    """

    alpha: float = 1.5
    score: str = "magnitude"
    channels: str = "max"
    threshold: str = "image"
    flat: str = "keep"
    dataset_mean: float | None = None
    removal: str = "hard"
    temperature: float = 0.3
    at_most: float = 1.0

    def __post_init__(self):
        plain_fields(self)
        readings = {"score": SCORES, "channels": CHANNELS, "threshold": THRESHOLDS, "flat": FLAT}
        readings["removal"] = REMOVALS
        for name, known in readings.items():
            if getattr(self, name) not in known:
                raise InputError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(known)}")
        for name in ("alpha", "temperature"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)!r}, expected a positive number")
        if not 0 <= self.at_most <= 1:
            raise InputError(f"at_most is {self.at_most!r}, expected a share from 0 to 1")

    @property
    def of(self) -> str:
        """What is differentiated: a constant threshold compares images, which needs the probability."""
        return "log_odds" if self.threshold == "image" else "probability"

    def scores(self, classifier: typing.Callable, x: typing.Any) -> typing.Any:
        """The score of each pixel, (B, H, W, 1), or (B, H, W, C) for channels "each".

        Images may lie out of [0, 1] here and in `masks`, as where differences of masks are taken.
        """
        x = check_batch(x, dtypes=PRECISIONS, in_range=False)
        return pixel_scores(saliency(classifier, x, self.of), self.score, self.channels)

    def mean_of(self, scores: typing.Any) -> typing.Any:
        """The mean of equation 6 for scores (B, H, W, C): (B, 1, 1, 1), or the constant."""
        if self.threshold == "image":
            return mean_score(scores)
        if self.dataset_mean is None:
            raise InputError(
                "threshold 'dataset' needs dataset_mean: call fit_mean(classifier, images) first"
            )
        return self.dataset_mean

    def threshold_of(self, scores: typing.Any) -> typing.Any:
        """Where a pixel becomes salient: alpha times the mean, or higher where too many pixels reach that."""
        threshold = self.alpha * self.mean_of(scores)
        rank = self.rank_of(scores)
        return threshold if rank is None else tf.maximum(threshold, kth_largest_score(scores, rank))

    def rank_of(self, scores: typing.Any) -> int | None:
        """How many pixels of an image may go, None for all of them."""
        return None if self.at_most == 1 else math.floor(self.at_most * math.prod(scores.shape[1:]))

    def salient_of(self, scores: typing.Any) -> typing.Any:
        """The salient mask of scores (B, H, W, C)."""
        if self.removal == "soft":
            return soft_salient_mask(scores, self.threshold_of(scores), self.temperature, self.flat)
        salient = salient_mask(scores, self.alpha * self.mean_of(scores), self.flat)
        rank = self.rank_of(scores)
        if rank is not None:  # strictly above, so that of equal scores none goes rather than too many
            salient *= tf.cast(scores > kth_largest_score(scores, rank), scores.dtype)
        return salient

    def masks(self, classifier: typing.Callable, x: typing.Any) -> tuple[typing.Any, typing.Any]:
        """Equations 3 to 6: the salient and the trivial mask of images x (B, H, W, C)."""
        salient = self.salient_of(self.scores(classifier, x))
        return salient, trivial_mask(salient)

    def fit_mean(
        self, classifier: typing.Callable, versions: typing.Iterable, batch_size: int = 500
    ) -> "PixelSurgery":
        """This surgery with `dataset_mean` set to the mean score over several arrays of images.

        Raises:
            InputError: for images that are not float32 in [0, 1], or a classifier that returns no logits.
        """
        if getattr(versions, "ndim", 0) == 4:
            raise InputError("fit_mean takes a list of arrays of images, got one array: give [x]")
        batch_size, versions = check_integer("batch_size", batch_size, 1), [check_images(x) for x in versions]
        if not versions:
            raise InputError("fit_mean takes a list of arrays of images, got an empty one")
        scores = tf.function(
            lambda batch: self.scores(classifier, batch), reduce_retracing=True, autograph=False
        )
        total = count = 0.0
        for x in versions:
            for start in range(0, len(x), batch_size):
                batch = scores(tf.constant(x[start : start + batch_size])).numpy()
                total, count = total + batch.sum(dtype="float64"), count + batch.size
        return dataclasses.replace(self, dataset_mean=float(total / count))

    def remove(self, classifier: typing.Callable, x: typing.Any) -> typing.Any:
        """The trivial component x_t = x M_t of images x (B, H, W, C): the first stage of PSSR.

        Raises:
            InputError: for images that are not in [0, 1], or a classifier that returns no logits.
        """
        x = check_batch(x, dtypes=PRECISIONS)
        _, trivial = self.masks(classifier, x)
        return component(x, trivial)

    def get_config(self) -> dict[str, typing.Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, typing.Any]) -> "PixelSurgery":
        return cls(**config)
