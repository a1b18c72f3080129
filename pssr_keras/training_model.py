"""What every training that is a Keras model shares: its batches, its optimizers, its metrics and its file."""

import dataclasses
import inspect
import typing

import keras
import tensorflow as tf

from .building import building_in
from .frozen import AroundFrozen
from .inputs import InputError

OWN_LOSSES = ("loss", "loss_weights", "metrics", "weighted_metrics")  # what such a model brings itself


class TrainingModel(AroundFrozen):
    """Networks that are trained together, by one optimizer or by several.

    `fit`, `evaluate` and `validation_data` take the same batches, as a `tf.data.Dataset` or as a tuple of
    arrays. A validation gives the losses of the training in evaluation mode: no dropout, batch normalisation
    by its moving averages, nothing updated. `save` keeps the optimizers and their state as well.

    Whatever `__init__` takes is an attribute of the same name. The numbers among them are read when a step is
    compiled: after a change, call `compile` again.

    Attributes:
        numbers_kind: the dataclass of `numbers`, of a training that takes its numbers as one object.
        batch: {name of a part: its axes}, such as {"x": "B H W C", "y": "B"}; `y` are labels.
        trained: {name of an optimizer: the names of the networks whose weights it changes}.
    """

    numbers_kind: typing.ClassVar[type | None] = None
    batch: typing.ClassVar[dict] = {}
    trained: typing.ClassVar[dict] = {}

    def parts_of(self, data):
        """The parts of a batch, checked: images, noise and shares in float32, labels in int32.

        Raises:
            InputError: for another number of parts, another shape, or another kind of numbers.
        """
        return parts_of(data, self.batch, type(self).__name__)

    def _compile(self, given, options):
        """Compile with optimizers {name: optimizer, or what `keras.optimizers.get` takes}.

        They are built at once, or a checkpoint would silently lose their state. The first one is Keras' own
        `optimizer`, on which callbacks act.

        Raises:
            InputError: for what is no optimizer, one that is given twice, losses or metrics, or networks
                without anything to train.
        """
        name = type(self).__name__
        for option in OWN_LOSSES:
            if options.pop(option, None) is not None:
                raise InputError(f"{name} has losses and metrics of its own: compile it without {option}")
        optimizers = {key: optimizer_of(key, value) for key, value in given.items()}
        if len(set(map(id, optimizers.values()))) < len(optimizers):
            raise InputError(f"{' and '.join(optimizers)} are one object, expected an optimizer for each")
        weights = {key: self.trained_by(key) for key in optimizers}
        # XLA's convolutions are several times slower than oneDNN's on a CPU.
        options = {"jit_compile": False, **options, "optimizer": next(iter(optimizers.values()))}
        super().compile(**options)
        for key, optimizer in optimizers.items():
            setattr(self, key, optimizer)
            optimizer.build(weights[key])

    def trained_by(self, optimizer):
        """The weights that an optimizer, by its name, changes."""
        networks = [getattr(self, network) for network in self.trained[optimizer]]
        weights = [weight for network in networks for weight in network.trainable_variables]
        if not weights:
            names = " and ".join(self.trained[optimizer])
            raise InputError(f"{names} has nothing to train: set its `trainable` to True")
        return weights

    def get_compile_config(self):
        if not self.compiled:
            return {}
        options = super().get_compile_config()
        kept = {name: options[name] for name in ("run_eagerly", "steps_per_execution", "jit_compile")}
        serialize = keras.saving.serialize_keras_object
        optimizers = {name: getattr(self, name, None) for name in self.trained}
        return kept | {name: serialize(given) for name, given in optimizers.items() if given is not None}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def record_means(self, *names):
        """Have a metric for each of these losses; the model is then complete."""
        self.trackers = {name: keras.metrics.Mean(name=name) for name in names}
        self.built = True

    @property
    def metrics(self):
        return list(self.trackers.values())

    def record(self, values, like):
        """Add the losses of a batch to the metrics, which are means over images; returns the means so far.

        Args:
            values: {name of a metric: its value, a mean over the images of the batch}.
            like: a part of the batch.
        """
        count = tf.shape(like)[0]
        for metric in self.metrics:
            metric.update_state(values[metric.name], sample_weight=count)
        return {metric.name: metric.result() for metric in self.metrics}

    def record_validation(self, values, like):
        """As `record`, with the total also as `loss`: Keras' callbacks look at `val_loss` by default."""
        found = self.record(values, like)
        return found | {"loss": found["total"]}

    def get_config(self):
        kinds = inspect.signature(type(self).__init__).parameters.items()
        names = [name for name, one in kinds if name != "self" and one.kind is not one.VAR_KEYWORD]
        parts = {name: getattr(self, name) for name in names}
        if self.numbers_kind:
            parts["numbers"] = dataclasses.asdict(self.numbers)
        serialize = keras.saving.serialize_keras_object
        return {"name": self.name} | {name: serialize(part) for name, part in parts.items()}

    @classmethod
    def from_config(cls, config):
        with building_in("float32"):
            parts = {n: keras.saving.deserialize_keras_object(value) for n, value in config.items()}
            if cls.numbers_kind:
                fields = {field.name for field in dataclasses.fields(cls.numbers_kind)}
                beside = (fields & parts.keys()) - inspect.signature(cls).parameters.keys()
                # In older files the numbers stand beside the networks.
                numbers = {name: parts.pop(name) for name in beside} | parts.pop("numbers", {})
                numbers = {name: tuple(v) if isinstance(v, list) else v for name, v in numbers.items()}
                parts["numbers"] = cls.numbers_kind(**numbers)
            return cls(**parts)


def optimizer_of(name, given):
    """An optimizer from whatever `keras.Model.compile` takes for one: itself, its name, or its configuration.

    Raises:
        InputError: for anything else, or for one that keeps averages of weights, which Keras writes into the
            weights of a whole model at the end of `fit`.
    """
    try:
        optimizer = keras.optimizers.get(given)
    except (TypeError, ValueError, AttributeError):
        optimizer = None
    if optimizer is None:
        raise InputError(f'{name} is {given!r}, expected a Keras optimizer or its name, such as "adam"')
    if getattr(optimizer, "use_ema", False):
        raise InputError(f"{name} has use_ema=True, which trains a model with one optimizer: leave it out")
    return optimizer


def parts_of(data, expected, owner):
    """The parts of a batch as tensors: labels `y` in int32, everything else in float32.

    Args:
        data: what Keras hands to a step.
        expected: {name of a part: its axes}, as in "B H W C"; a letter stands for one size in all parts.
        owner: who takes the batch, for errors.

    Raises:
        InputError: if they are others.
    """
    if isinstance(data, tuple | list):
        data = [part for part in data if part is not None]  # as train_on_batch fills up what is not given
        data = data[0] if len(data) == 1 else data  # of a tuple of arrays, Keras makes the first part
    names = ", ".join(expected)
    if not isinstance(data, tuple | list) or len(data) != len(expected):
        found = f"{len(data)} parts" if isinstance(data, tuple | list) else f"a {type(data).__name__}"
        raise InputError(f"a batch has {found}, but {owner} takes batches ({names}), as fit(({names}))")
    sizes, parts = {}, []
    for part, (name, axes) in zip(data, expected.items(), strict=True):
        axes, part = axes.split(), tf.convert_to_tensor(part)
        shape = tuple(part.shape)
        fits = len(shape) == len(axes) and all(
            size is None or sizes.setdefault(axis, size) == size
            for axis, size in zip(axes, shape, strict=True)
        )
        if not fits:
            known = ", ".join(str(sizes.get(axis, axis)) if axis != "B" else axis for axis in axes)
            raise InputError(f"{name} has shape {shape}, expected ({known}) in batches of {owner}")
        if not (part.dtype.is_integer if name == "y" else part.dtype.is_floating):
            wanted = "integer labels" if name == "y" else "floats"
            raise InputError(f"{name} has numbers of type {part.dtype.name}, {owner} expects {wanted}")
        parts.append(tf.cast(part, tf.int32 if name == "y" else tf.float32))
    return parts
