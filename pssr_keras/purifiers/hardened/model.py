"""A hardened extrapolator: E trained through the whole frozen pipeline, against whoever attacks all of it.

Ours, not the paper's. The CAE trains E on images that were attacked once, on the classifier alone, so that an
attacker who goes through E finds what he wants. Here each step attacks the pipeline as it is at that step, as
adversarial training does (Madry et al. 2018); but only E learns, and the classifier stays as it was:

    x' = the worst image that a few steps find in the eps-ball around x, for F(E(remove(x')))

    L = (1 - a) CE(F(E(x)), y) + a CE(F(E(x')), y) + b KL(F(E(x)) || F(E(x')))
        + lambda_adversarial L_adv + lambda_pixel L_pc + lambda_r_drop L_ARD

where L_adv, L_pc and L_ARD are equations 8, 9 and 11 of clean and attacked images alike, and the KL is the
pairing of TRADES (Zhang et al. 2019). Without surgery, remove does nothing. With a = 1 and b = 0 clean images
would only cost time: they take no part, as in the adversarial training of Madry et al.
"""

import typing

import keras
import tensorflow as tf

from ... import losses
from ...attacks import adaptive
from ...attacks.base import cross_entropy
from ...baselines.inner import inner_maximization
from ...defense import PSSR
from ...extrapolator_training import ExtrapolatorTraining
from ...inputs import InputError
from .settings import INNER_LOSSES, HardenedSettings


@keras.saving.register_keras_serializable("pssr_keras")
class HardenedCAE(ExtrapolatorTraining):
    """The training of E through F(E(remove(x))) under attack; see the head of this module.

    Args:
        extrapolator: E, (B, H, W, C) -> (B, H, W, C).
        classifier: F, (B, H, W, C) -> logits (B, K); it is frozen, but its own `trainable` stays as it is.
        eps: the budget of the attack, Linf.
        numbers: of the attack inside the training, of the loss and of the average.
        steps: of the whole training, over a share of which the budget grows.
        surgery, guide: see `defense.PSSR`; None leaves pixel surgery out. Its mask is a constant of the loss.
        discriminator: D of equation 8; not needed where lambda_adversarial is 0.
        average: another E, into which the moving average of the weights goes; None for no average. It forgets
            the start, as less of it stays at first.

    `fit` takes batches (x, y, noise): clean images, true labels, and where attacks start, in [-1, 1).
    `predict` is that of E as it is; see `result`. A validation attacks at the full budget, each image through
    the surrogate that harms it most.

    Raises:
        InputError: for an unknown inner loss or surrogate, or a missing discriminator.
    """

    batch: typing.ClassVar[dict] = {"x": "B H W C", "y": "B", "noise": "B H W C"}
    numbers_kind = HardenedSettings
    frozen = ("classifier", "guide", "average")

    def __init__(
        self,
        extrapolator,
        classifier,
        eps,
        numbers=HardenedSettings(),  # noqa: B008, it is frozen
        *,
        steps=0,
        surgery=None,
        guide=None,
        discriminator=None,
        average=None,
        **kwargs,
    ):
        super().__init__(extrapolator, discriminator, classifier, **kwargs)
        check_attack(numbers.surrogates, numbers.inner_loss)
        if numbers.lambda_adversarial and discriminator is None:
            raise InputError(
                f"lambda_adversarial is {numbers.lambda_adversarial}, expected 0 without a discriminator"
            )
        self.eps = eps
        self.numbers = numbers
        self.steps = steps
        self.surgery = surgery
        self.guide = guide
        self.average = average
        self.versions = versions(numbers)
        names = ["attacked", "pixel", "total", "attacked_accuracy"]
        names += ["clean", "pairing"] if self.versions == 2 else []
        names += ["r_drop"] if numbers.lambda_r_drop else []
        names += ["adversarial", "discriminator"] if numbers.lambda_adversarial else []
        self.record_means(*names)

    def compile(self, extrapolator_optimizer, discriminator_optimizer=None, **options):
        """As `keras.Model.compile`, with an optimizer for E, and one for D where it counts."""
        optimizers = {"extrapolator_optimizer": extrapolator_optimizer}
        if self.numbers.lambda_adversarial:
            optimizers["discriminator_optimizer"] = discriminator_optimizer
        self._compile(optimizers, options)

    @property
    def result(self):
        """The E that was trained: the average of its weights, if there is one."""
        return self.extrapolator if self.average is None else self.average

    def pipeline(self):
        """The defense as it is now; it shares the weights."""
        return PSSR(self.classifier, self.surgery, self.extrapolator, self.guide)

    def ramp(self):
        """The share of the budget that this step may use."""
        ramp_steps = int(self.numbers.ramp_share * self.steps)
        if not ramp_steps:
            return tf.constant(1.0)
        return tf.minimum(tf.cast(self.extrapolator_optimizer.iterations, tf.float32) / ramp_steps, 1.0)

    def attacked(self, x, y, noise, training=True):
        """x': the worst images (B, H, W, C) around x that the attack finds in the pipeline as it is now."""
        pipeline = self.pipeline()
        ramp = tf.cast(self.ramp() if training else 1.0, x.dtype)
        if self.numbers.inner_loss == "divergence":
            reference = tf.stop_gradient(pipeline(x))

        def loss(logits):
            if self.numbers.inner_loss == "divergence":
                return losses.kl_divergence(reference, logits)
            return cross_entropy(y, logits)

        def through(name):
            return inner_maximization(
                loss,
                adaptive.surrogate(pipeline, name),
                x,
                x + ramp * self.eps * noise,
                ramp * self.eps,
                ramp * (self.numbers.inner_step_size * self.eps),
                self.numbers.inner_steps,
            )

        if len(self.numbers.surrogates) == 1:
            return through(self.numbers.surrogates[0])
        if not training:
            found = tf.stack([through(name) for name in self.numbers.surrogates], axis=1)
            harm = tf.stack([loss(pipeline(x_adv)) for x_adv in tf.unstack(found, axis=1)], axis=1)
            return tf.gather(found, tf.argmax(harm, axis=1), batch_dims=1)
        turn = tf.cast(self.extrapolator_optimizer.iterations, tf.int32) % len(self.numbers.surrogates)
        return tf.switch_case(turn, [lambda name=name: through(name) for name in self.numbers.surrogates])

    def shown(self, x, y, noise, training):
        """What E sees of a batch, x_t, and the clean images that belong to it: attacked ones, or both."""
        x_adv = self.attacked(x, y, noise, training)
        images = tf.concat([x, x_adv], axis=0) if self.versions == 2 else x_adv
        x_t = tf.stop_gradient(self.pipeline().remove(images))
        return x_t, tf.tile(x, (self.versions, 1, 1, 1))

    def losses_of(self, x, y, x_t, clean_x, training):
        """The terms of the loss by their names, with their total; and one restored image of each."""
        count, found = tf.shape(x)[0], {}
        # All passes of clean and attacked images are one batch, in which E sees them alike.
        restored = self.extrapolator(tf.tile(x_t, (self.numbers.passes, 1, 1, 1)), training=training)
        logits = self.classifier(restored, training=False)
        classes = logits.shape[-1]
        *clean, attacked = tf.unstack(
            tf.reshape(logits, (self.numbers.passes, self.versions, count, classes)), axis=1
        )
        found["attacked"] = self.query_loss(y, attacked)
        found["pixel"] = losses.pixel_consistency_loss(
            tf.tile(clean_x, (self.numbers.passes, 1, 1, 1)), restored, self.numbers.pixel_reduction
        )
        total = self.numbers.attacked_share * found["attacked"] + self.numbers.lambda_pixel * found["pixel"]
        if clean:
            found["clean"] = self.query_loss(y, *clean)
            found["pairing"] = tf.reduce_mean(losses.kl_divergence(*clean, attacked))
            total += (1 - self.numbers.attacked_share) * found["clean"]
            total += self.numbers.trades_weight * found["pairing"]
        if self.numbers.lambda_r_drop:
            found["r_drop"] = losses.adversarial_r_drop_loss(
                tf.reshape(logits, (self.numbers.passes, self.versions * count, classes)),
                tf.tile(self.classifier(x, training=False), (self.versions, 1)),
            )
            total += self.numbers.lambda_r_drop * found["r_drop"]
        one_restored = restored[: self.versions * count]
        if self.numbers.lambda_adversarial:
            judged = self.discriminator([x_t, one_restored], training=training)
            found["adversarial"] = losses.adversarial_loss(judged, self.numbers.saturating)
            total += self.numbers.lambda_adversarial * found["adversarial"]
        right = tf.argmax(attacked[0], axis=-1, output_type=y.dtype) == y
        found["attacked_accuracy"] = tf.reduce_mean(tf.cast(right, tf.float32))
        found["total"] = total
        return found, one_restored

    def train_step(self, data):
        x, y, noise = self.parts_of(data)
        x_t, clean_x = self.shown(x, y, noise, training=True)
        with tf.GradientTape() as tape:
            found, restored = self.losses_of(x, y, x_t, clean_x, training=True)
            share = losses.per_replica_loss(found["total"])
        weights = self.extrapolator.trainable_variables
        self.extrapolator_optimizer.apply(tape.gradient(share, weights), weights)

        if self.numbers.lambda_adversarial:
            found["discriminator"] = self.teach_discriminator(x_t, clean_x, restored)
        if self.average is not None:
            self.update_average()
        return self.record(found, x)

    def test_step(self, data):
        x, y, noise = self.parts_of(data)
        x_t, clean_x = self.shown(x, y, noise, training=False)
        found, restored = self.losses_of(x, y, x_t, clean_x, training=False)
        if self.numbers.lambda_adversarial:
            found["discriminator"] = self.discriminator_loss(x_t, clean_x, restored, False)
        return self.record_validation(found, x)

    def query_loss(self, y, logits):
        """Equation 10 of logits (k, B, K) of k passes."""
        return losses.query_loss(
            tf.tile(y, (self.numbers.passes,)), tf.reshape(logits, (-1, logits.shape[-1]))
        )

    @classmethod
    def from_config(cls, config):
        if "ramp_steps" in config:  # in older files, with a step in units of the pixel range
            config = {**config, "steps": config["ramp_steps"], "ramp_share": 1.0}
            config["inner_step_size"] /= config["eps"] or 1
            del config["ramp_steps"]
        return super().from_config(config)

    def update_average(self):
        """average <- m average + (1 - m) E with m = min(averaging, (1 + t) / (10 + t)) at the t-th step.

        All weights, the running statistics of batch normalisation among them.
        """
        step = tf.cast(self.extrapolator_optimizer.iterations, tf.float32)
        stays = tf.minimum(self.numbers.averaging, (1 + step) / (10 + step))
        for kept, new in zip(self.average.weights, self.extrapolator.weights, strict=True):
            share = tf.cast(stays, kept.dtype)
            kept.assign(share * kept + (1 - share) * new)


def versions(numbers):
    """How many there are of each image in a batch: the attacked one, and the clean one where it counts."""
    return 1 if numbers.attacked_share == 1 and not numbers.trades_weight else 2


def check_attack(surrogates, inner_loss):
    """Refuse unknown names.

    Raises:
        InputError: for an unknown inner loss or surrogate, or no surrogate at all.
    """
    if inner_loss not in INNER_LOSSES:
        raise InputError(f"inner_loss is {inner_loss!r}, expected one of {', '.join(INNER_LOSSES)}")
    for name in surrogates or ("",):
        if name not in adaptive.SURROGATES:
            known = ", ".join(adaptive.SURROGATES)
            raise InputError(f"surrogates are {', '.join(surrogates)!r}, expected some of {known}")
