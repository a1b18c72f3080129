"""What every attack shares: its call, its checks, its randomness and the names users type.

An attack is a frozen dataclass whose fields are its whole configuration, so it can serve as a key
and go into a record. It is called on one batch, or with a batch size on any number of images:

    x_adv = PGD(eps=0.3, steps=40)(model, x, y, seed=0)
    x_adv = PGD("8/255")(model, x, y, batch_size=128)

`model` is any callable that maps images (B, H, W, C) in [0, 1] to logits (B, K); a Keras model is
called with training=False. Attacks compute in float32: logits of a float64 model are cast, and a model
that computes in half precision is refused.
"""

import copy
import dataclasses
import functools
import typing
import warnings

import keras
import numpy as np
import tensorflow as tf

from ..batching import in_batches, size_of_batches
from ..inputs import (
    InputError,
    check_attacked,
    check_images,
    check_indices,
    check_labels,
    check_model,
    check_outputs,
    check_seed,
    layers_within,
    parse_eps,
    plain_fields,
)
from . import compiled
from .finite_gradient import refuse_bad_gradients, with_finite_gradient
from .names import norms_of
from .norms import NORMS, check_norm

GREY_LEVEL = 1 / 255


def logits_function(model):
    """The model as a plain function, images -> float32 logits (B, K), in inference mode.

    Raises:
        InputError: when it is called, if the model computes in half precision or returns no logits; see
            `inputs.check_outputs`.
    """
    is_keras = isinstance(model, keras.Model)
    half = {"float16", "bfloat16"}

    def logits(x):
        outputs = check_outputs(model(x, training=False) if is_keras else model(x), model)
        computed = {outputs.dtype.name}
        if is_keras:
            computed |= {layer.compute_dtype for layer in (model, *layers_within(model))}
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
    return noise_of("uniform", seed, indices, shape, draw)


def noise_of(kind, seed, indices, shape, draw=0):
    """As `uniform_noise`, of a kind: "uniform" in [-1, 1), or standard "normal"."""
    compiled = _noise(tuple(shape), kind)
    return compiled(tf.constant(seed), tf.constant(indices, tf.int32), tf.constant(draw))


@functools.lru_cache(maxsize=32)
def _noise(shape, kind):
    """`noise_of` one shape and kind as a compiled function: eagerly, image by image, ten times slower."""

    def noise(seed, indices, draw):
        def one(index):
            key = tf.stack([seed, index])
            further = tf.cast(tf.random.experimental.stateless_fold_in(key, draw), tf.int32)
            key = tf.where(draw == 0, key, further)
            if kind == "normal":
                return tf.random.stateless_normal(shape, key)
            return tf.random.stateless_uniform(shape, key, -1.0, 1.0)

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
    """Distance of each image (B, H, W, C) from its original, in the norm of that name: (B,)."""
    return NORMS[norm].lengths((x_adv - x).reshape(len(x), -1))


@dataclasses.dataclass(frozen=True)
class Attack:
    """An attack on a classifier; subclasses add their fields and define `perturb`.

    Attributes:
        eps: the budget, as a number or as text such as "8/255"; see `inputs.parse_eps`.
        targeted: False moves away from the label y, True moves towards it. It never depends on
            whether labels were given: an untargeted attack takes the true ones.
        norm: the norm of the budget, "Linf", "L2" or "L1"; see `norms`.

    Raises:
        InputError: for a budget that does not fit, an unknown norm, or one that the attack lacks.
    """

    eps: float | str
    targeted: bool = False
    norm: str = dataclasses.field(default="Linf", kw_only=True)

    name: typing.ClassVar[str]
    norms: typing.ClassVar[tuple[str, ...]] = ()  # the norms it knows; if empty, the one it has by default
    uses_gradient: typing.ClassVar[bool] = True
    # Whether one trace serves any number of images: then a last partial batch is not padded.
    takes_any_number: typing.ClassVar[bool] = False
    # Fields that `perturb` may get as scalar tensors: attacks that differ in nothing else are traced once.
    scalars: typing.ClassVar[tuple[str, ...]] = ()
    # Fields that are younger than records: at their default `get_config` leaves them out.
    younger: typing.ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        plain_fields(self, leave=("eps",))
        check_norm(self.norm, norms_of(self), f" of {self.name}")
        object.__setattr__(self, "eps", parse_eps(self.eps, NORMS[self.norm].largest_eps))
        if self.norm != "Linf" and 0 < self.eps < GREY_LEVEL / 2:
            warnings.warn(
                f"eps is {self.eps:.2g} in {self.norm}: the whole budget moves one pixel by less than half a "
                "grey level",
                stacklevel=4,
            )

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
            noise: (draws, B, H, W, C), different for each image and seed: in [-1, 1), or standard normal for
                the norms L2 and L1.
        """
        raise NotImplementedError

    def __call__(
        self,
        model: typing.Callable,
        x: np.ndarray,
        y: np.ndarray,
        seed: int = 0,
        indices: np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Perturb images, all at once or batch by batch.

            x_adv = PGD("8/255")(model, x, y, batch_size=128)

        Args:
            model: images -> logits; a Keras model or any function that TensorFlow can trace.
            x: images (N, H, W, C), float32 in [0, 1].
            y: true labels (N,) or (N, 1), integers; the labels to reach if `targeted`.
            seed: integer; the same seed and indices give the same result, however images are batched.
            indices: (N,) the position of each image in its data set; 0 to N - 1 if None.
            batch_size: images at a time, so that any number fits into memory; all at once if None. It changes
                the result by rounding only, see `evaluation.craft`; and of PGD with `best`, which stops when
                all of a batch have fallen, which of the misclassified iterates is the result.

        Returns:
            Adversarial images (N, H, W, C), within eps of x and within [0, 1].

        Raises:
            InputError: for images, labels or a model that do not fit; see `inputs`.
        """
        if batch_size is None:
            return self._one_batch(model, x, y, seed, indices)
        x = check_images(x, check_model(model))  # all of it, before any work
        y, seed, indices = check_labels(y, len(x)), check_seed(seed), check_indices(indices, len(x))
        check_model(model, x.shape[1:], y)
        size = size_of_batches(len(x), batch_size)
        return self.batch_by_batch(model, x, y, seed, indices, size)

    def batch_by_batch(self, model, x, y, seed, indices, size, done=lambda count: None):
        """`__call__` on checked arrays in batches of one size; `done` is told how many images are done."""

        def attacked(x, y, indices):
            return self(model, x, y, seed=seed, indices=indices)

        return in_batches(attacked, (x, y, indices), size, not self.takes_any_number, done)

    def _one_batch(self, model, x, y, seed, indices):
        with compiled.unchanged(model), refuse_bad_gradients(self, model, x, y):
            x, y, logits, seed, indices = check_attacked(
                model, functools.partial(answers, model), x, y, seed, indices
            )
            x_adv = self.attack(model, x, y, logits, seed, indices)
        check_perturbation(self, x, x_adv)
        return x_adv

    def attack(self, model, x, y, logits, seed, indices):
        """What `__call__` does once its arguments are checked; `logits` are those of the clean images."""
        kind = NORMS[self.norm].noise
        noise = [noise_of(kind, seed, indices, x.shape[1:], draw) for draw in range(self.draws)]
        noise = tf.stack(noise) if noise else tf.zeros((0, *x.shape))
        numbers = {name: _scalar(getattr(self, name)) for name in self.scalars}
        # Tensors already, as a function that TensorFlow is told to run eagerly gets what it is called with.
        x, y = tf.convert_to_tensor(x), tf.convert_to_tensor(y)
        return program_of(self, model)(x, y, noise, numbers).numpy()

    def typed(self):
        """The fields {name: value} that a user types to get this attack."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def get_config(self) -> dict[str, typing.Any]:
        """Name, norm and fields, for a record."""
        config = {"attack": self.name, "norm": self.norm, **dataclasses.asdict(self)}
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        return {n: v for n, v in config.items() if n not in self.younger or v != defaults[n]}


def program_of(attack, model):
    """The compiled function of an attack on a model: one for all values of its `scalars`, see `compiled`.

    It is traced for one batch shape, then for any.
    """
    attack = _with_fields(attack, dict.fromkeys(attack.scalars))

    def make():
        # A partial function: TensorFlow takes two functions of one code for one that is traced ever again.
        perturb = functools.partial(_perturb, attack, with_finite_gradient(logits_function(model)))
        return tf.function(perturb, autograph=False, reduce_retracing=True)

    return compiled.kept(attack, model, make)


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


def compiled_logits(model):
    """The model as a compiled function of images (B, H, W, C) -> float32 logits (B, K), in inference mode.

    It is traced once for each shape of an image, whatever their number; see `compiled`.
    """
    return compiled.kept("logits", model, functools.partial(_compiled_logits, model))


def _compiled_logits(model):
    concrete = {}

    def logits(x):
        x = tf.convert_to_tensor(x)
        kind = (x.dtype, *x.shape[1:])
        if kind not in concrete:
            signature = [tf.TensorSpec([None, *x.shape[1:]], x.dtype)]
            function = tf.function(logits_function(model), input_signature=signature, autograph=False)
            # Concrete: TensorFlow takes the functions of many models for one that is traced again and again.
            concrete[kind] = function.get_concrete_function()
        return concrete[kind](x)

    return logits


def answers(model, x):
    """The logits of images x, as an attack or a judge begins with; see `compiled.answers`."""
    return compiled.answers(model, x, compiled_logits, logits_function)
