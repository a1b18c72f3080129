"""What every attack shares: its call, its checks, its randomness and the names users type.

An attack is a frozen dataclass whose fields are its whole configuration, so it can serve as a key
and go into a record. It is called on one batch:

    x_adv = PGD(eps=0.3, steps=40)(model, x, y, seed=0)

`model` is any callable that maps images (B, H, W, C) in [0, 1] to logits (B, K); a Keras model is
called with training=False. Attacks compute in float32: logits of a float64 model are cast, and a model
that computes in half precision is refused.
"""

import copy
import dataclasses
import functools
import typing

import keras
import numpy as np
import tensorflow as tf

from ..inputs import (
    InputError,
    check_images,
    check_labels,
    check_logits,
    check_seed,
    parse_eps,
    parse_fields,
    plain_fields,
)

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


def parse(text, eps=None):
    """An attack from what a user types: a name, or a name with fields.

        "pgd"    "pgd:steps=100,restarts=5,best=true"    "cw:eps=2"

    Args:
        text: name[:field=value,...].
        eps: the Linf budget of attacks in that norm, unless the text gives one. Attacks in another norm do
            not take it.

    Raises:
        InputError: for an unknown attack or field, or a value that does not fit.
    """
    name, _, settings = text.partition(":")
    if name not in REGISTRY:
        create(name)  # refuses it
    cls = REGISTRY[name]
    fields = {"eps": eps} if cls.norm == "Linf" else {}
    fields |= parse_fields(cls, name, settings, as_text=("eps", "mode"))
    return cls(**fields)


def logits_function(model):
    """The model as a plain function, images -> float32 logits (B, K), in inference mode.

    Raises:
        InputError: when it is called, if the model computes in half precision or returns no (B, K) tensor.
    """
    is_keras = isinstance(model, keras.Model)
    half = {"float16", "bfloat16"}

    def logits(x):
        outputs = model(x, training=False) if is_keras else model(x)
        if not tf.is_tensor(outputs) or outputs.shape.rank != 2:
            kind = f"shape {outputs.shape}" if tf.is_tensor(outputs) else f"a {type(outputs).__name__}"
            raise InputError(f"the model returns {kind}, expected one tensor of logits (images, classes)")
        computed = {outputs.dtype.name}
        if is_keras:
            computed |= {layer.compute_dtype for layer in model._flatten_layers()}
        if computed & half:
            raise InputError(
                f"the model computes in {min(computed & half)}, where small gradients vanish and attacks "
                "look weaker than they are: build it in float32"
            )
        return tf.cast(outputs, tf.float32)

    return logits


def cross_entropy(labels, logits):
    """Cross-entropy of each row: integer labels (B,), logits (B, K) -> (B,)."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def precise_cross_entropy(labels, logits):
    """`cross_entropy` in float64, which tells very sure answers apart: in float32 their loss is 0."""
    return cross_entropy(labels, tf.cast(logits, tf.float64))


def logits_loss_gradient(logits, loss, x):
    """Logits (B, K), loss (B,) and the loss's gradient by the images x (B, H, W, C).

    Args:
        logits: function, images -> logits.
        loss: function, logits -> (B,).
        x: images.

    A model through which no gradient flows gives zeros, so an attack on it fails and a check can tell why.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        outputs = logits(x)
        value = loss(outputs)
    return outputs, value, tape.gradient(value, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def gradient_in_loop(logits, loss, x):
    """`logits_loss_gradient`, for the body of a loop: the same numbers, computed by a function of its own.

    Inlined into a loop, TensorFlow's rewriting for oneDNN walks a graph with a cycle, sees now and then the
    gradient of a max-pooling before the pooling, and then leaves it to a kernel that is four times slower.
    """
    function = functools.partial(logits_loss_gradient, logits, loss)
    return tf.function(function, autograph=False, experimental_attributes={"_noinline": True})(x)


def is_fooled(logits, y, targeted=False):
    """Whether an attack has reached its aim: (B,) bool from logits (B, K) and labels (B,)."""
    predicted = tf.argmax(logits, axis=-1, output_type=y.dtype)
    return predicted == y if targeted else predicted != y


def rows(condition, like):
    """A condition (B,), shaped to select among whole images (B, H, W, C)."""
    return tf.reshape(condition, [-1] + [1] * (like.shape.rank - 1))


def ball(x, eps):
    """Lower and upper bounds of the Linf ball of radius eps around images x, cut to [0, 1]."""
    return tf.maximum(x - eps, 0.0), tf.minimum(x + eps, 1.0)


def project(x_adv, bounds):
    """The nearest point to x_adv within `bounds`; see `ball`."""
    return tf.clip_by_value(x_adv, *bounds)


def uniform_noise(seed, indices, shape, draw=0):
    """Noise in [-1, 1) for each image, keyed by (seed, index): independent of how images are batched.

    Args:
        seed: integer.
        indices: (B,) integers, the position of each image in its data set.
        shape: shape of the noise of one image, such as (H, W, C).
        draw: another number gives other noise, for a further restart or target.

    Returns:
        (B, *shape), float32.
    """
    return _uniform_noise(tuple(shape))(tf.constant(seed), tf.constant(indices, tf.int32), tf.constant(draw))


@functools.lru_cache(maxsize=32)
def _uniform_noise(shape):
    """`uniform_noise` of one shape as a compiled function: eagerly, image by image, ten times slower."""

    def noise(seed, indices, draw):
        def one(index):
            key = tf.stack([seed, index])
            further = tf.cast(tf.random.experimental.stateless_fold_in(key, draw), tf.int32)
            return tf.random.stateless_uniform(shape, tf.where(draw == 0, key, further), -1.0, 1.0)

        return tf.map_fn(one, indices, fn_output_signature=tf.float32)

    number, numbers = tf.TensorSpec([], tf.int32), tf.TensorSpec([None], tf.int32)
    compiled = tf.function(noise, input_signature=[number, numbers, number], autograph=False)
    return compiled.get_concrete_function()  # traced here, once, whichever thread asks first


def check_perturbation(attack, x, x_adv):
    """Refuse a result that is no image or lies outside the attack's budget: an error in the attack.

    Independent of how the attack keeps to its budget.

    Raises:
        RuntimeError: if it happens.
    """
    if not np.isfinite(x_adv).all() or x_adv.min(initial=0) < 0 or x_adv.max(initial=1) > 1:
        raise RuntimeError(f"{attack.name} left the range [0, 1]; please report this")
    if attack.eps is not None:
        largest = distances(x, x_adv, attack.norm).max(initial=0)
        if largest > attack.eps * (1 + 1e-5) + 1e-6:
            raise RuntimeError(
                f"{attack.name} moved {largest:g}, more than {attack.eps:g}; please report this"
            )


def distances(x, x_adv, norm):
    """Distance of each image (B, H, W, C) from its original, in the norm "Linf" or "L2": (B,)."""
    difference = (x_adv - x).reshape(len(x), -1)
    if norm == "Linf":
        return np.abs(difference).max(axis=1, initial=0)
    return np.linalg.norm(difference, axis=1)


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
    norm: typing.ClassVar[str] = "Linf"
    uses_gradient: typing.ClassVar[bool] = True
    # Fields that `perturb` may get as scalar tensors: attacks that differ in nothing else are traced once.
    scalars: typing.ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        plain_fields(self, leave=("eps",))
        object.__setattr__(self, "eps", parse_eps(self.eps))

    @property
    def draws(self):
        """How many draws of noise an image needs."""
        return 0

    def perturb(self, logits, x, y, noise):
        """The adversarial images, as TensorFlow operations.

        Args:
            logits: function, images (B, H, W, C) -> logits (B, K).
            x: images (B, H, W, C) in [0, 1].
            y: labels (B,).
            noise: (draws, B, H, W, C) in [-1, 1), different for each image and seed.
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
            Adversarial images (B, H, W, C), within eps of x and within [0, 1].

        Raises:
            InputError: for images, labels or a model that do not fit; see the checks of `inputs`.
        """
        shape = getattr(model, "input_shape", None) if isinstance(model, keras.Model) else None
        x = check_images(x, None if shape is None else shape[1:])
        seed = check_seed(seed)
        logits = check_logits(compiled_logits(model)(x))
        y = check_labels(y, len(x), logits.shape[-1])
        indices = np.arange(len(x)) if indices is None else np.asarray(indices)
        x_adv = self.attack(model, x, y, logits, seed, indices)
        check_perturbation(self, x, x_adv)
        return x_adv

    def attack(self, model, x, y, logits, seed, indices):
        """What `__call__` does once its arguments are checked; `logits` are those of the clean images."""
        noise = [uniform_noise(seed, indices, x.shape[1:], draw) for draw in range(self.draws)]
        noise = tf.stack(noise) if noise else tf.zeros((0, *x.shape))
        numbers = {name: _scalar(getattr(self, name)) for name in self.scalars}
        # Tensors already, as a function that TensorFlow is told to run eagerly gets what it is called with.
        x, y = tf.convert_to_tensor(x), tf.convert_to_tensor(y)
        return program_of(self, model)(x, y, noise, numbers).numpy()

    def get_config(self):
        """Name, norm and fields, for a record."""
        return {"attack": self.name, "norm": self.norm, **dataclasses.asdict(self)}


def program_of(attack, model):
    """The compiled function of an attack on a model: one for all values of its `scalars`."""
    return _compiled(_with_fields(attack, dict.fromkeys(attack.scalars)), model)


# The caches keep a model alive as long as it is among the last ones attacked.
@functools.lru_cache(maxsize=32)
def _compiled(attack, model):
    """One traced function for each attack and model, for one batch shape, then for any."""
    # A partial function: TensorFlow takes two functions of one code for one that is traced again and again.
    perturb = functools.partial(_perturb, attack, logits_function(model))
    return tf.function(perturb, autograph=False, reduce_retracing=True)


def _perturb(attack, logits, x, y, noise, numbers):
    return _with_fields(attack, numbers).perturb(logits, x, y, noise)


def _scalar(value):
    return tf.constant(value, tf.int32 if isinstance(value, int | np.integer) else tf.float32)


def _with_fields(attack, values):
    """The attack with other values of some fields, which may be tensors, and so are not checked again."""
    twin = copy.copy(attack)
    for name, value in values.items():
        object.__setattr__(twin, name, value)
    return twin


@functools.lru_cache(maxsize=32)
def compiled_logits(model):
    """The model as a compiled function of images (B, H, W, C) -> float32 logits (B, K), in inference mode.

    It is traced once for each shape of an image, whatever their number.
    """
    compiled = {}

    def logits(x):
        x = tf.convert_to_tensor(x)
        kind = (x.dtype, *x.shape[1:])
        if kind not in compiled:
            signature = [tf.TensorSpec([None, *x.shape[1:]], x.dtype)]
            function = tf.function(logits_function(model), input_signature=signature, autograph=False)
            # Concrete: TensorFlow takes the functions of many models for one that is traced again and again.
            compiled[kind] = function.get_concrete_function()
        return compiled[kind](x)

    return logits
