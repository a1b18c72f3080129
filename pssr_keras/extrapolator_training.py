"""How E learns against D under a frozen classifier: equation 12, and what every such training shares."""

import typing

import keras
import tensorflow as tf

from . import losses
from .inputs import InputError, check_model
from .training_model import TrainingModel


class ExtrapolatorTraining(TrainingModel):
    """E, D and a frozen classifier F, and the step of D; a subclass has the loss of E."""

    trained: typing.ClassVar[dict] = {
        "extrapolator_optimizer": ("extrapolator",),
        "discriminator_optimizer": ("discriminator",),
    }

    def __init__(
        self,
        extrapolator: keras.Model,
        discriminator: keras.Model | None,
        classifier: keras.Model,
        **kwargs: typing.Any,
    ) -> None:
        super().__init__(**kwargs)
        check_model(classifier)
        self.extrapolator = extrapolator
        self.discriminator: typing.Any = discriminator
        self.classifier = classifier

    def call(self, x_t: typing.Any, training: bool | None = None) -> typing.Any:
        return self.extrapolator(x_t, training=training)

    def discriminator_loss(
        self, x_t: typing.Any, x: typing.Any, restored: typing.Any, training: bool
    ) -> typing.Any:
        """What D minimises, equation 8."""
        return losses.discriminator_loss(
            self.discriminator([x_t, x], training=training),
            self.discriminator([x_t, restored], training=training),
        )

    def teach_discriminator(self, x_t: typing.Any, x: typing.Any, restored: typing.Any) -> typing.Any:
        """One step of D, to whom E's images are given; returns its loss."""
        with tf.GradientTape() as tape:
            loss = self.discriminator_loss(x_t, x, tf.stop_gradient(restored), True)
            share = losses.per_replica_loss(loss)
        weights = self.discriminator.trainable_variables
        self.discriminator_optimizer.apply(tape.gradient(share, weights), weights)
        return loss


@keras.saving.register_keras_serializable("pssr_keras")
class CAE(ExtrapolatorTraining):
    """The training of E against D under the frozen classifier F, equation 12.

    L = L_adv + lambda_query L_query + lambda_pixel L_pc + lambda_r_drop L_ARD

    Args:
        extrapolator: E, (B, H, W, C) -> (B, H, W, C); see `cae.extrapolator`.
        discriminator: D, two images (B, H, W, C) -> logits (B, 1); see `cae.discriminator`.
        classifier: F, (B, H, W, C) -> logits (B, K); it is frozen, but its own `trainable` stays as it is.
        passes: k, how often each image passes through E under another dropout; the paper's is 2.
        lambda_adversarial: weight of L_adv; the paper has none, that is 1.
        lambda_query, lambda_pixel, lambda_r_drop: the paper's are 1, 1 and 0.5.
        saturating: see `losses.adversarial_loss`.
        pixel_reduction: see `losses.pixel_consistency_loss`.

    `fit` takes batches (x_t, x, y): trivial components, clean images and true labels. `predict` is that of E.
    """

    batch: typing.ClassVar[dict] = {"x_t": "B H W C", "x": "B H W C", "y": "B"}

    def __init__(
        self,
        extrapolator: keras.Model,
        discriminator: keras.Model,
        classifier: keras.Model,
        passes: int = 2,
        lambda_adversarial: float = 1.0,
        lambda_query: float = 1.0,
        lambda_pixel: float = 1.0,
        lambda_r_drop: float = 0.5,
        saturating: bool = True,
        pixel_reduction: str = "sum",
        **kwargs: typing.Any,
    ) -> None:
        super().__init__(extrapolator, discriminator, classifier, **kwargs)
        if passes < 1:
            raise InputError(f"passes is {passes}, expected at least 1")
        self.passes = passes
        self.lambda_adversarial = lambda_adversarial
        self.lambda_query = lambda_query
        self.lambda_pixel = lambda_pixel
        self.lambda_r_drop = lambda_r_drop
        self.saturating = saturating
        self.pixel_reduction = pixel_reduction
        self.record_means("adversarial", "query", "pixel", "r_drop", "total", "discriminator")

    def compile(
        self, extrapolator_optimizer: typing.Any, discriminator_optimizer: typing.Any, **options: typing.Any
    ) -> None:
        """As `keras.Model.compile`, with an optimizer for E and one for D, and without losses and metrics."""
        optimizers = {
            "extrapolator_optimizer": extrapolator_optimizer,
            "discriminator_optimizer": discriminator_optimizer,
        }
        self._compile(optimizers, options)

    def losses_of(self, x_t: typing.Any, x: typing.Any, y: typing.Any, training: bool) -> typing.Any:
        """The terms of equation 12 by their names, with their total; and one restored image of each."""
        clean_logits = self.classifier(x, training=False)
        # The k passes of R-drop are one batch of k B images.
        restored = self.extrapolator(tf.tile(x_t, (self.passes, 1, 1, 1)), training=training)
        logits = self.classifier(restored, training=False)
        one_restored = restored[: tf.shape(x)[0]]
        judged = self.discriminator([x_t, one_restored], training=training)
        pass_logits = tf.reshape(logits, (self.passes, -1, logits.shape[-1]))
        found = {
            "adversarial": losses.adversarial_loss(judged, self.saturating),
            "query": losses.query_loss(tf.tile(y, (self.passes,)), logits),
            "pixel": losses.pixel_consistency_loss(
                tf.tile(x, (self.passes, 1, 1, 1)), restored, self.pixel_reduction
            ),
            "r_drop": losses.adversarial_r_drop_loss(pass_logits, clean_logits),
        }
        found["total"] = (
            self.lambda_adversarial * found["adversarial"]
            + self.lambda_query * found["query"]
            + self.lambda_pixel * found["pixel"]
            + self.lambda_r_drop * found["r_drop"]
        )
        return found, one_restored

    def train_step(self, data: typing.Any) -> dict[str, typing.Any]:
        x_t, x, y = self.parts_of(data)
        with tf.GradientTape() as tape:
            found, restored = self.losses_of(x_t, x, y, training=True)
            share = losses.per_replica_loss(found["total"])
        weights = self.extrapolator.trainable_variables
        self.extrapolator_optimizer.apply(tape.gradient(share, weights), weights)

        found["discriminator"] = self.teach_discriminator(x_t, x, restored)
        return self.record(found, x)

    def test_step(self, data: typing.Any) -> dict[str, typing.Any]:
        x_t, x, y = self.parts_of(data)
        found, restored = self.losses_of(x_t, x, y, training=False)
        found["discriminator"] = self.discriminator_loss(x_t, x, restored, False)
        return self.record_validation(found, x)
