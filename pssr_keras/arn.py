"""ARN, another purifier: an autoencoder whose code does not tell natural images from attacked ones.

After Zhou et al., "Towards defending against adversarial examples via attack-invariant features" (ICML 2021),
by the code that the authors published for MNIST. A variational autoencoder maps every version of an image,
natural or attacked, to the natural image. A discriminator A guesses from the code which attack it was, and
the encoder learns to leave it guessing; a discriminator D compares restored images with natural ones. The
classifier has no part in the training.

Shapes: B images, V views of each (the natural one first), K units of a code of shape (h, w, c).
"""

import typing

import keras
import tensorflow as tf
from keras import layers, ops

from . import channels_last, losses
from .inputs import InputError
from .precision import building_in
from .training_model import TrainingModel

KERNEL = 4  # twice the stride leaves no checkerboard in what the decoder draws
SLOPE = 0.2  # usual for discriminators

# --- the four networks ---------------------------------------------------------------------------


def _leaky(x):
    return ops.maximum(x, SLOPE * x)  # whose own layer upsets TensorFlow's graph optimizer


def _normalised(x):
    return _leaky(layers.BatchNormalization(momentum=0.95)(x))


def sizes_of(length, stages):
    """The side of an image after each halving, rounded up: sizes_of(28, 3) is [28, 14, 7, 4]."""
    found = [length]
    for _ in range(stages):
        found.append((found[-1] + 1) // 2)
    return found


@building_in("float32")
def encoder(input_shape, channels=16, stages=5, code_channels=256):
    """E: images (B, H, W, C) in [0, 1] -> mean and log-variance of their codes, each (B, h, w, c).

    Args:
        input_shape: (H, W, C).
        channels: of the first stage; each further stage has twice as many.
        stages: how often the resolution is halved; five take 32x32 to 1x1.
        code_channels: c.

    Raises:
        InputError: if there is no stage.
    """
    if stages < 1:
        raise InputError(f"encoder_stages is {stages}, expected at least 1")
    inputs = keras.Input(input_shape, name="image")
    x = layers.Rescaling(2.0, -1.0)(inputs)
    for stage in range(stages):
        x = channels_last.Conv2D(channels * 2**stage, KERNEL, strides=2, padding="same", use_bias=False)(x)
        x = _normalised(x)
    outputs = [channels_last.Conv2D(code_channels, 1, name=name)(x) for name in ("mean", "log_variance")]
    return keras.Model(inputs, outputs, name="encoder")


@building_in("float32")
def decoder(input_shape, channels=16, stages=5, code_channels=256):
    """G: codes (B, h, w, c) -> images (B, H, W, C) in [0, 1], the mirror image of `encoder`.

    Args:
        input_shape: (H, W, C) of the images.
        channels, stages, code_channels: as of `encoder`.
    """
    height, width, colours = input_shape
    heights, widths = sizes_of(height, stages), sizes_of(width, stages)
    code = x = keras.Input((heights[-1], widths[-1], code_channels), name="code")
    for stage in reversed(range(stages)):
        x = channels_last.Conv2DTranspose(
            channels * 2**stage, KERNEL, strides=2, padding="same", use_bias=False
        )(x)
        down, across = 2 * heights[stage + 1] - heights[stage], 2 * widths[stage + 1] - widths[stage]
        if down or across:
            x = channels_last.Cropping2D(((0, down), (0, across)))(x)
        x = _normalised(x)
    x = channels_last.Conv2D(colours, 3, padding="same", activation="sigmoid", name="restored")(x)
    return keras.Model(code, x, name="decoder")


@building_in("float32")
def attack_discriminator(code_shape, views, units=256):
    """A: which version of an image is it? Codes (B, h, w, c) -> logits (B, V)."""
    code = keras.Input(code_shape, name="code")
    x = channels_last.Flatten()(code)
    for _ in range(2):
        x = _leaky(layers.Dense(units)(x))
    return keras.Model(code, layers.Dense(views)(x), name="attack_discriminator")


@building_in("float32")
def image_discriminator(input_shape, channels=32):
    """D: is the image natural? (B, H, W, C) in [0, 1] -> logits (B, 1)."""
    inputs = keras.Input(input_shape, name="judged")
    x = layers.Rescaling(2.0, -1.0)(inputs)
    for factor in (1, 2, 4):
        x = _leaky(channels_last.Conv2D(factor * channels, KERNEL, strides=2, padding="same")(x))
    return keras.Model(inputs, layers.Dense(1)(channels_last.Flatten()(x)), name="image_discriminator")


@building_in("float32")
def purifier(encoder, decoder):
    """Images -> G(mean of E): what is left of a trained ARN, without any randomness."""
    inputs = keras.Input(encoder.input_shape[1:], name="image")
    mean, _ = encoder(inputs)
    return keras.Model(inputs, decoder(mean), name="arn")


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
        lambda_reconstruction, lambda_prior, lambda_invariance, lambda_image, lambda_penalty: weights.
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
    frozen = ()

    def __init__(
        self,
        encoder,
        decoder,
        attack_discriminator,
        image_discriminator,
        lambda_reconstruction=200.0,
        lambda_prior=1e-3,
        lambda_invariance=0.5,
        lambda_image=0.01,
        lambda_penalty=30.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.decoder = decoder
        self.attack_discriminator = attack_discriminator
        self.image_discriminator = image_discriminator
        self.lambda_reconstruction = lambda_reconstruction
        self.lambda_prior = lambda_prior
        self.lambda_invariance = lambda_invariance
        self.lambda_image = lambda_image
        self.lambda_penalty = lambda_penalty
        names = (
            "reconstruction",
            "prior",
            "invariance",
            "image",
            "total",
            "attack",
            "penalty",
            "discriminator",
        )
        self.trackers = {name: keras.metrics.Mean(name=name) for name in names}
        self.built = True

    def compile(self, autoencoder_optimizer, attack_optimizer, image_optimizer, **options):
        """As `keras.Model.compile`, with an optimizer for E and G, for A and for D."""
        optimizers = {
            "autoencoder_optimizer": autoencoder_optimizer,
            "attack_optimizer": attack_optimizer,
            "image_optimizer": image_optimizer,
        }
        self._compile(optimizers, options)

    @property
    def metrics(self):
        return list(self.trackers.values())

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
            self.lambda_reconstruction * found["reconstruction"]
            + self.lambda_prior * found["prior"]
            + self.lambda_invariance * found["invariance"]
        )
        found["total"] = both + self.lambda_image * found["image"]
        return found, both, code, restored

    def discriminator_loss(self, natural, x, restored, share, training):
        """What D minimises, and the gradient penalty in it."""

        def judge(images):
            return self.image_discriminator(images, training=training)

        penalty = gradient_penalty(judge, x, restored, share)
        loss = losses.discriminator_loss(judge(natural), judge(restored))
        return loss + self.lambda_penalty * penalty, penalty

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
