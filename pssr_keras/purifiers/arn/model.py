"""The losses of ARN, and the training step of its four networks.

Shapes: B images, V views of each (the natural one first), K units of a code of shape (h, w, c).
"""

import typing

import keras
import tensorflow as tf

from ... import losses
from ...training_model import TrainingModel
from .settings import ARNSettings

# --- the losses, a pure function each ------------------------------------------------------------


def reparameterize(mean, log_variance, noise):
    """z = mean + exp(log_variance / 2) noise, all (B, h, w, c), with the noise drawn from N(0, 1)."""
    return mean + tf.exp(log_variance / 2) * noise


def attack_loss(logits, kinds):
    """What A minimises: sigmoid cross-entropy of its logits (B, V) to the one-hot kinds (B,). A scalar."""
    targets = tf.one_hot(kinds, logits.shape[-1], dtype=logits.dtype)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits))


def invariance_loss(logits):
    """What E makes of it: sigmoid cross-entropy of A's logits (B, V) to 1 / V each. A scalar."""
    targets = tf.fill(tf.shape(logits), tf.constant(1 / logits.shape[-1], logits.dtype))
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits))


def kl_divergence(mean, log_variance):
    """KL(N(mean, variance) || N(0, 1)), summed over the units of a code, a mean over images. A scalar."""
    divergence = (tf.exp(log_variance) + mean**2 - 1 - log_variance) / 2
    return tf.reduce_mean(tf.reduce_sum(divergence, axis=(1, 2, 3)))


def reconstruction_loss(x, restored):
    """The mean squared difference between natural and restored images (B, H, W, C). A scalar."""
    return tf.reduce_mean(tf.square(x - restored))


def gradient_penalty(discriminator, x, restored, share):
    """E (|d D(u) / du|_2 - 1)^2, u = share x + (1 - share) restored (Gulrajani et al. 2017). A scalar.

    The norm is that of the whole image, and u lies between the restored and the natural image. The authors'
    code takes the norm over the channels of each pixel, and interpolates with the image that is restored.

    Args:
        discriminator: function, images -> logits (B, 1).
        x, restored: (B, H, W, C).
        share: (B,) in [0, 1).
    """
    share = share[:, None, None, None]
    between = share * x + (1 - share) * restored
    with tf.GradientTape() as tape:
        tape.watch(between)
        logits = discriminator(between)
    gradient = tape.gradient(logits, between)
    norm = tf.sqrt(tf.reduce_sum(tf.square(gradient), axis=(1, 2, 3)) + 1e-12)  # sqrt has no slope at 0
    return tf.reduce_mean(tf.square(norm - 1))


# --- their training ------------------------------------------------------------------------------


@keras.saving.register_keras_serializable("pssr_keras")
class ARN(TrainingModel):
    """The training of E and G against A and D.

    E, G:     lambda_reconstruction MSE + lambda_prior KL + lambda_invariance BCE(A(z), 1 / V)
    G alone:  lambda_image BCE(D(G(z)), 1)
    A:        BCE(A(z), which version)
    D:        BCE(D(x), 1) + BCE(D(G(z)), 0) + lambda_penalty * gradient penalty

    `fit` takes batches (views, x, noise, share): (B, V, H, W, C), of which the first is the natural image,
    x (B, H, W, C), noise (B, V, h, w, c) from N(0, 1), and share (B, V) from [0, 1) for the gradient penalty.
    `predict` purifies images.

    Args:
        encoder, decoder, attack_discriminator, image_discriminator: see the functions of these names.
        numbers: of which the lambdas count here.
    """

    batch: typing.ClassVar[dict] = {
        "views": "B V H W C",
        "x": "B H W C",
        "noise": "B V h w c",
        "share": "B V",
    }
    trained: typing.ClassVar[dict] = {
        "autoencoder_optimizer": ("encoder", "decoder"),
        "attack_optimizer": ("attack_discriminator",),
        "image_optimizer": ("image_discriminator",),
    }
    numbers_kind = ARNSettings
    frozen = ()

    def __init__(
        self,
        encoder,
        decoder,
        attack_discriminator,
        image_discriminator,
        numbers=ARNSettings(),  # noqa: B008, it is frozen
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.decoder = decoder
        self.attack_discriminator = attack_discriminator
        self.image_discriminator = image_discriminator
        self.numbers = numbers
        names = ("reconstruction", "prior", "invariance", "image", "total")
        self.record_means(*names, "attack", "penalty", "discriminator")

    def compile(self, autoencoder_optimizer, attack_optimizer, image_optimizer, **options):
        """As `keras.Model.compile`, with an optimizer for E and G, for A and for D."""
        optimizers = {
            "autoencoder_optimizer": autoencoder_optimizer,
            "attack_optimizer": attack_optimizer,
            "image_optimizer": image_optimizer,
        }
        self._compile(optimizers, options)

    def call(self, x, training=None):
        mean, _ = self.encoder(x, training=training)
        return self.decoder(mean, training=training)

    def parts_of(self, data):
        """The parts of a batch, one version after the other: V B images, and to each the natural one."""
        views, x, noise, share = super().parts_of(data)
        count = views.shape[1]
        views, noise, share = (tf.concat(tf.unstack(part, axis=1), axis=0) for part in (views, noise, share))
        kinds = tf.repeat(tf.range(count), tf.shape(x)[0])
        return views, x, tf.tile(x, (count, 1, 1, 1)), noise, share, kinds

    def losses_of(self, views, x, noise, training):
        """The losses of E and G by their names, and of E alone; the codes, and the restored images."""
        mean, log_variance = self.encoder(views, training=training)
        code = reparameterize(mean, log_variance, noise)
        restored = self.decoder(code, training=training)
        judged = self.image_discriminator(restored, training=training)
        found = {
            "reconstruction": reconstruction_loss(x, restored),
            "prior": kl_divergence(mean, log_variance),
            "invariance": invariance_loss(self.attack_discriminator(code, training=training)),
            "image": losses.adversarial_loss(judged, saturating=False),
        }
        both = (
            self.numbers.lambda_reconstruction * found["reconstruction"]
            + self.numbers.lambda_prior * found["prior"]
            + self.numbers.lambda_invariance * found["invariance"]
        )
        found["total"] = both + self.numbers.lambda_image * found["image"]
        return found, both, code, restored

    def discriminator_loss(self, natural, x, restored, share, training):
        """What D minimises, and the gradient penalty in it."""

        def judge(images):
            return self.image_discriminator(images, training=training)

        penalty = gradient_penalty(judge, x, restored, share)
        loss = losses.discriminator_loss(judge(natural), judge(restored))
        return loss + self.numbers.lambda_penalty * penalty, penalty

    def train_step(self, data):
        views, natural, x, noise, share, kinds = self.parts_of(data)
        with tf.GradientTape(persistent=True) as tape:
            found, both, code, restored = self.losses_of(views, x, noise, training=True)
            of_encoder, of_decoder = losses.per_replica_loss(both), losses.per_replica_loss(found["total"])
        parts = (self.encoder.trainable_variables, self.decoder.trainable_variables)
        gradients = [
            tape.gradient(of, part) for of, part in zip((of_encoder, of_decoder), parts, strict=True)
        ]
        self.autoencoder_optimizer.apply([*gradients[0], *gradients[1]], [*parts[0], *parts[1]])

        with tf.GradientTape() as tape:
            guesses = self.attack_discriminator(tf.stop_gradient(code), training=True)
            found["attack"] = attack_loss(guesses, kinds)
            of_attack = losses.per_replica_loss(found["attack"])
        weights = self.attack_discriminator.trainable_variables
        self.attack_optimizer.apply(tape.gradient(of_attack, weights), weights)

        restored = tf.stop_gradient(restored)
        with tf.GradientTape() as tape:
            loss, found["penalty"] = self.discriminator_loss(natural, x, restored, share, True)
            found["discriminator"] = loss
            of_images = losses.per_replica_loss(loss)
        weights = self.image_discriminator.trainable_variables
        self.image_optimizer.apply(tape.gradient(of_images, weights), weights)
        return self.record(found, natural)

    def test_step(self, data):
        views, natural, x, noise, share, kinds = self.parts_of(data)
        found, _, code, restored = self.losses_of(views, x, noise, training=False)
        found["attack"] = attack_loss(self.attack_discriminator(code, training=False), kinds)
        found["discriminator"], found["penalty"] = self.discriminator_loss(natural, x, restored, share, False)
        return self.record_validation(found, natural)
