"""What a model is: all of its state that its answers and gradients depend on, in two forms.

structure   for this process: has the model changed since a function was compiled from it? Cheap, and without
            the values of variables, which a compiled function reads anew at each call.
digest      for any process: a hash of everything, values of variables included, for caches and records.

Both walk through the attributes of a model and of its layers, through dataclasses and lists, through the
closures of functions, and the global names that they use. Whatever cannot be walked into, such as an object
of a C extension, is compared by identity in a structure, and has no digest.
"""

import collections.abc
import enum
import functools
import hashlib
import inspect
import types

import keras
import numpy as np
import tensorflow as tf

LARGE = 1 << 20  # bytes of an array of which a structure looks at a sample only
SAMPLE = 4096  # numbers of that sample
UNTOLD = {"name", "dtype", "trainable"}  # of a layer's configuration: its name may count those made before

# Their code belongs to a version that the record of a number names, or to Python.
LIBRARIES = {
    "builtins",
    "cleverhans",
    "functools",
    "keras",
    "math",
    "numpy",
    "operator",
    "pssr_keras",
    "tensorflow",
}
PLAIN = (bool, int, float, complex, str, bytes, range, np.generic, np.dtype, tf.DType, tf.TensorShape)
OF_FITTING = {
    "supports_jit",
    "history",
    "stop_training",
    "stop_predicting",
    "stop_evaluating",
    "_eval_epoch_iterator",
}
OF_CLASSES = (types.FunctionType, property, classmethod, staticmethod, *PLAIN)
OF_ANY_CLASS = {"__module__", "__doc__", "__firstlineno__", "__static_attributes__"}
# What a trained model no longer depends on.
IGNORED = (
    keras.Initializer, keras.Regularizer, keras.constraints.Constraint, keras.metrics.Metric, keras.Optimizer,
    keras.losses.Loss, keras.KerasTensor, keras.random.SeedGenerator,
)  # fmt: skip

CONTAINERS = (np.ndarray, tf.Tensor, dict, list, tuple, set, frozenset, keras.DTypePolicy, *IGNORED)


class Unidentified(Exception):
    """A part of a model that has no digest; the message names it."""


class Same:
    """Something that equals itself only, and is kept alive, so that its place in memory stays its own."""

    def __init__(self, thing):
        self.thing = thing

    def __eq__(self, other):
        return isinstance(other, Same) and self.thing is other.thing

    __hash__ = None  # type: ignore[assignment]  # Python's own way to say that it has none


def structure(model):
    """A list that equals a later one of the same model if nothing was changed but variables' values."""
    walk = _Structure()
    walk.add(model, "model")
    return walk.leaves


def digest(model):
    """SHA-256 of a model's classes, settings, code, connections, dtypes and weights.

    Raises:
        Unidentified: if a part of it cannot be walked into.
    """
    walk = _Digest()
    walk.add(model, "model")
    return hashlib.sha256("\n".join(walk.leaves).encode()).hexdigest()


@functools.cache
def _bookkeeping():
    """The attributes of any Keras layer or model, which say nothing about what it computes."""
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    layer = keras.layers.Layer()
    layer.build(())
    return frozenset(vars(model)) | frozenset(vars(layer)) | OF_FITTING


def is_library(thing):
    """Whether a class or a function belongs to a library, so that its name stands for its code."""
    return (getattr(thing, "__module__", None) or "builtins").partition(".")[0] in LIBRARIES


def _name(thing):
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', repr(type(thing)))}"


def _used_names(code):
    """The global names that a function may use, those of functions inside it included."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _used_names(constant)
    return names


# What is done with a value: of the first entry whose classes it belongs to.
METHODS = (
    (IGNORED, "ignored"),
    (np.ndarray, "array"),
    ((tf.Variable, keras.Variable), "variable"),
    (tf.Tensor, "tensor"),
    (keras.layers.Layer, "layer"),
    (keras.Operation, "operation"),
    (keras.DTypePolicy, "policy"),
    (enum.Enum, "enumerated"),
    (collections.abc.Mapping, "mapping"),
    ((list, tuple, collections.deque), "sequence"),
    ((set, frozenset), "unordered"),
    ((types.ModuleType, types.BuiltinFunctionType, np.ufunc), "named"),
    (type, "of_class"),
    (types.FunctionType, "function"),
    ((types.MethodType, classmethod, staticmethod), "bound"),
    (functools.partial, "partial"),
    (property, "property"),
    (object, "instance"),
)


@functools.lru_cache(maxsize=1024)
def _method_for(kind):
    return next(method for kinds, method in METHODS if issubclass(kind, kinds))


class _Walk:
    """The walk that both forms share; a subclass says what becomes of a leaf."""

    def __init__(self):
        self.leaves = []
        self.seen = {}

    def add(self, value, path):
        if value is None or value is Ellipsis or isinstance(value, PLAIN):
            return self.plain(value)
        if id(value) in self.seen:
            return self.plain(f"seen {self.seen[id(value)][0]}")
        if not isinstance(value, CONTAINERS):  # of which two that are equal may be one, or not
            self.seen[id(value)] = len(self.seen), value  # kept, so that its id stays its own
        getattr(self, _method_for(type(value)))(value, path)

    def ignored(self, value, path):
        pass

    def policy(self, value, path):
        self.plain(value.name)

    def enumerated(self, value, path):
        self.plain(f"{_name(type(value))}.{value.name}")

    def mapping(self, value, path):
        self.plain(len(value))
        for key, part in value.items():
            self.add(key, path)
            self.add(part, f"{path}[{key!r}]")

    def sequence(self, value, path):
        self.plain(len(value))
        for place, part in enumerate(value):
            self.add(part, f"{path}[{place}]")

    def unordered(self, value, path):
        self.sequence(sorted(value, key=repr), path)

    def property(self, value, path):
        self.add(value.fget, path)

    def bound(self, value, path):
        self.add(value.__func__, path)
        self.add(getattr(value, "__self__", None), f"{path}.__self__")

    def partial(self, value, path):
        for name in ("func", "args", "keywords"):
            self.add(getattr(value, name), f"{path}.{name}")

    def function(self, value, path):
        value = inspect.unwrap(value)
        self.code(value, path)
        if is_library(value) and not value.__closure__:
            return
        self.add(value.__defaults__, path)
        self.add(value.__kwdefaults__, path)
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            try:
                self.add(cell.cell_contents, f"{path}: {name}")
            except ValueError:  # a name that is not bound yet
                self.plain(None)
        if is_library(value):
            return
        for name in sorted(_used_names(value.__code__) & value.__globals__.keys()):
            self.plain(name)
            self.add(value.__globals__[name], f"{path}: {name}")

    def of_class(self, value, path):
        """A class: of one that is no library's, also its functions, and so the names that they use."""
        self.named(value, path)
        for base in value.__mro__ if isinstance(value, type) else ():
            if is_library(base):
                continue
            for name, part in vars(base).items():
                if name not in OF_ANY_CLASS and isinstance(part, OF_CLASSES):
                    self.add(part, f"{path}.{name}")

    def layer(self, value, path):
        self.add(type(value), path)
        self.plain(value.dtype_policy.name)
        self.settings(value, path)
        if isinstance(value, keras.Model):
            parts = getattr(value, "operations", None) if is_library(type(value)) else None
            self.connections(value, path)
            for part in parts or value.layers:
                self.add(part, f"{path}: {part.name}")

    def settings(self, value, path):
        """What a layer was told, and its variables; a stock model is its layers and their connections."""
        if not (isinstance(value, keras.Model) and type(value).__module__.startswith("keras.")):
            self.attributes(value, path, _bookkeeping())

    def connections(self, value, path):
        """Which layer of a Functional model takes whose outputs."""

    def operation(self, value, path):
        self.add(type(value), path)
        self.attributes(value, path, _bookkeeping())

    def attributes(self, value, path, but=frozenset()):
        known = vars(value) if hasattr(value, "__dict__") else {}
        slots = {name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())}
        known = {**known, **{name: getattr(value, name) for name in slots if hasattr(value, name)}}
        for name in sorted(known.keys() - but - {"__dict__", "__weakref__"}):
            self.plain(name)
            self.add(known[name], f"{path}.{name}")

    def instance(self, value, path):
        """Any other object: its class and its attributes."""
        if hasattr(value, "python_function"):  # a tf.function
            return self.add(value.python_function, path)
        if not hasattr(value, "__dict__") and not hasattr(type(value), "__slots__"):
            return self.opaque(value, path)
        if is_library(type(value)) and not type(value).__module__.startswith("pssr_keras"):
            return self.opaque(value, path)
        self.add(type(value), path)
        return self.attributes(value, path)


class _Structure(_Walk):
    def plain(self, value):
        self.leaves.append((type(value), value))

    def array(self, value, path):
        if value.nbytes > LARGE:
            self.leaves.append(Same(value))
            value = value.reshape(-1)[:: -(-value.size // SAMPLE)]
        self.leaves.append((value.dtype.str, value.shape, value.tobytes()))

    def variable(self, value, path):
        self.leaves.append(Same(value))

    tensor = opaque = variable

    def named(self, value, path):
        self.leaves.append(Same(value))

    def code(self, value, path):
        self.leaves.append(Same(value.__code__))

    def connections(self, value, path):
        outputs = getattr(value, "outputs", None)
        self.leaves.append([Same(output) for output in tf.nest.flatten(outputs)])


class _Digest(_Walk):
    def plain(self, value):
        self.leaves.append(f"{type(value).__name__} {value!r}")

    def mapping(self, value, path):
        super().mapping(dict(sorted(value.items(), key=lambda item: repr(item[0]))), path)

    def array(self, value, path):
        if value.dtype.hasobject:
            return self.sequence(value.tolist(), path)
        content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        self.leaves.append(f"array {value.dtype.str} {value.shape} {content}")

    def variable(self, value, path):
        self.array(np.asarray(value), path)

    def tensor(self, value, path):
        if not hasattr(value, "numpy"):
            raise Unidentified(f"{path} is a tensor of a graph")
        self.array(value.numpy(), path)

    def named(self, value, path):
        self.leaves.append(_name(value) if not isinstance(value, types.ModuleType) else value.__name__)

    def opaque(self, value, path):
        raise Unidentified(f"{path} is a {_name(type(value))}")

    def code(self, value, path):
        self.leaves.append(_name(value))
        if not is_library(value):
            self.leaves.append(hashlib.sha256(_bytes_of(value.__code__)).hexdigest())

    def settings(self, value, path):
        if isinstance(value, keras.Model) or not type(value).__module__.startswith("keras."):
            return super().settings(value, path)
        config = value.get_config()
        for name in sorted(config.keys() - UNTOLD):
            self.plain(name)
            self.add(config[name], f"{path}.{name}")
        inner = [part for part in vars(value).values() if isinstance(part, keras.layers.Layer)]
        for part in (*value.weights, *inner):
            self.add(part, path)

    def connections(self, value, path):
        if not is_library(type(value)) or isinstance(value, keras.Sequential):
            return
        if not getattr(value, "operations", None):
            return
        try:
            config = value.get_config()
        except Exception as error:  # layers of a user's own raise any kind
            raise Unidentified(f"{path} has no configuration ({error})") from error
        if "layers" in config:
            places = {layer["name"]: place for place, layer in enumerate(config["layers"])}
            self.add([layer.get("inbound_nodes") for layer in _placed(config["layers"], places)], path)
            self.add(_placed([config.get("input_layers"), config.get("output_layers")], places), path)


def _bytes_of(code):
    """What a function does, without where it stands in a file."""
    constants = [
        _bytes_of(constant) if isinstance(constant, types.CodeType) else repr(constant).encode()
        for constant in code.co_consts
    ]
    names = repr((code.co_names, code.co_varnames, code.co_freevars)).encode()
    return b"|".join([code.co_code, names, *constants])


def _placed(config, places):
    """A configuration with the place of each layer instead of its name, which counts models made before."""
    if isinstance(config, dict):
        return {key: _placed(part, places) for key, part in config.items()}
    if isinstance(config, list | tuple):
        return [_placed(part, places) for part in config]
    return places.get(config, config) if isinstance(config, str) else config
