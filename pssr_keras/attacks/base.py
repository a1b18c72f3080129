"""What every attack shares: its call, its checks, its randomness and the names users type.

An attack is a frozen dataclass whose fields are its whole configuration, so it can serve as a key
and go into a record. It is called on one batch:

    x_adv = PGD(eps=0.3, steps=40)(model, x, y, seed=0)

`model` is any callable that maps images (B, H, W, C) in [0, 1] to logits (B, K); a Keras model is
called with training=False.
"""

import dataclasses
import functools
import typing

import keras
import numpy as np
import tensorflow as tf

from ..inputs import InputError, check_images, check_labels, check_logits, parse_eps

REGISTRY = {}


def register(name):
    """Class decorator: make an attack known under the name that a user types."""

    def decorate(cls):
        cls.name = name
        REGISTRY[name] = cls
        return cls

    return decorate


def create(name, **fields):
    """The attack registered as `name`, for instance create("pgd", eps="8/255").

    Raises:
        InputError: if the name is not registered.
    """
    if name not in REGISTRY:
        raise InputError(f"unknown attack {name!r}, expected one of {', '.join(REGISTRY)}")
    return REGISTRY[name](**fields)


def logits_function(model):
    """The model as a plain function of images, in inference mode."""
    if isinstance(model, keras.Model):
        return functools.partial(model, training=False)
    return model


def cross_entropy(labels, logits):
    """Cross-entropy of each row: integer labels (B,), logits (B, K) -> (B,)."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def ball(x, eps):
    """Lower and upper bounds of the Linf ball of radius eps around images x, cut to [0, 1]."""
    return tf.maximum(x - eps, 0.0), tf.minimum(x + eps, 1.0)


def project(x_adv, bounds):
    """The nearest point to x_adv within `bounds`; see `ball`."""
    return tf.clip_by_value(x_adv, *bounds)


def uniform_noise(seed, indices, shape):
    """Noise in [-1, 1) for each image, keyed by (seed, index): independent of how images are batched.

    Args:
        seed: integer.
        indices: (B,) integers, the position of each image in its data set.
        shape: (H, W, C).

    Returns:
        (B, H, W, C), float32.
    """
    return _uniform_noise(tf.constant(seed), tf.constant(indices, tf.int32), tuple(shape))


@functools.partial(tf.function, autograph=False)  # one image at a time, which eagerly takes ten times as long
def _uniform_noise(seed, indices, shape):
    def one(index):
        return tf.random.stateless_uniform(shape, tf.stack([seed, index]), -1.0, 1.0)

    return tf.map_fn(one, indices, fn_output_signature=tf.float32)


@dataclasses.dataclass(frozen=True)
class Attack:
    """An attack on a classifier; subclasses add their fields and define `perturb`.

    Attributes:
        eps: the budget, as a number or as text such as "8/255"; see `inputs.parse_eps`.
        targeted: False moves away from the label y, True moves towards it. It never depends on
            whether labels were given: an untargeted attack takes the true ones.
    """

    eps: float
    targeted: bool = False

    name: typing.ClassVar[str]
    randomized: typing.ClassVar[bool] = False

    def __post_init__(self):
        object.__setattr__(self, "eps", parse_eps(self.eps))

    def perturb(self, logits, x, y, noise):
        """The adversarial images, as TensorFlow operations.

        Args:
            logits: function, images (B, H, W, C) -> logits (B, K).
            x: images (B, H, W, C) in [0, 1].
            y: labels (B,).
            noise: (B, H, W, C) in [-1, 1), different for each image and seed.
        """
        raise NotImplementedError

    def __call__(self, model, x, y, seed=0, indices=None):
        """Perturb one batch.

        Args:
            model: images -> logits; a Keras model or any function that TensorFlow can trace.
            x: images (B, H, W, C), float32 in [0, 1].
            y: true labels (B,); the labels to reach if `targeted`.
            seed: integer; the same seed and indices give the same result, however images are batched.
            indices: (B,) the position of each image in its data set; 0 to B - 1 if None.

        Returns:
            Adversarial images (B, H, W, C), within eps of x (Linf) and within [0, 1].

        Raises:
            InputError: for images, labels or a model that do not fit; see the checks of `inputs`.
        """
        input_shape = getattr(model, "input_shape", (None,))[1:] if isinstance(model, keras.Model) else None
        x = tf.constant(check_images(x, input_shape))
        logits = check_logits(compiled_logits(model)(x))
        y = tf.constant(check_labels(y, len(x), logits.shape[-1]))
        indices = np.arange(len(x)) if indices is None else np.asarray(indices)
        noise = uniform_noise(seed, indices, x.shape[1:]) if self.randomized else tf.zeros((), x.dtype)
        return _compiled(self, model)(x, y, noise).numpy()

    def get_config(self):
        """Name and fields, for a record."""
        return {"attack": self.name, **dataclasses.asdict(self)}


# The caches keep a model alive as long as it is among the last ones attacked.
@functools.lru_cache(maxsize=16)
def _compiled(attack, model):
    """One traced function for each attack and model; it is traced again only for a new batch shape."""
    return tf.function(functools.partial(attack.perturb, logits_function(model)), autograph=False)


@functools.lru_cache(maxsize=16)
def compiled_logits(model):
    """The model as one traced function of images (B, H, W, C), in inference mode."""
    return tf.function(logits_function(model), autograph=False)
