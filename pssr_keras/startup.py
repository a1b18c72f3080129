"""Start TensorFlow without the dozen lines it prints about processors and CUDA drivers, and Keras upon it."""

import json
import os
import sys

# What Keras takes in its keras.json, in words and as a test. A larger epsilon would change what a layer of
# normalisation returns.
VALID = {
    "backend": ("'tensorflow'", lambda value: value == "tensorflow"),
    "floatx": ("'float32'", lambda value: value in ("float16", "float32", "float64")),
    "image_data_format": (
        "'channels_last' or 'channels_first'",
        lambda value: value in ("channels_last", "channels_first"),
    ),
    "epsilon": (
        "a number such as 1e-07, at most 0.001",
        lambda value: isinstance(value, float) and 0 < value <= 1e-3,
    ),
}
CUTTING = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")


def open_standard_streams():
    """Point standard input, output and errors to nowhere where they are closed.

    The next file to be opened would get their number, and what TensorFlow writes to stderr would go into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def check_keras():
    """Refuse a backend or a keras.json with which Keras fails, or computes what nobody here expects.

    Raises:
        ImportError: naming what to set; a command ends with that line.
    """
    started = sys.modules.get("keras")
    if hasattr(started, "config"):  # not so while it is being imported
        if started.config.backend() != "tensorflow":
            _refuse(
                f"pssr_keras needs the TensorFlow backend, and Keras was imported with the backend "
                f"{started.config.backend()!r}: set KERAS_BACKEND=tensorflow before Keras is imported"
            )
        return
    named = os.environ.get("KERAS_BACKEND")
    if named and named != "tensorflow":
        _refuse(
            f"pssr_keras needs the TensorFlow backend, and KERAS_BACKEND is {named!r}: "
            "set KERAS_BACKEND=tensorflow before Keras is imported"
        )
    for name in CUTTING:
        if name in os.environ:
            _refuse(f"{name} is set, with which Keras cuts trainings and predictions short: unset it")
    path = keras_json()
    for name, value in _content(path).items():
        if name not in VALID or (name == "backend" and named):  # what the environment names counts
            continue
        expected, is_valid = VALID[name]
        if not is_valid(value):
            advice = ", or set KERAS_BACKEND=tensorflow" if name == "backend" else ""
            _refuse(f"{path} has {name} {value!r}, expected {expected}: change it there{advice}")


def keras_json():
    """Where Keras reads its settings."""
    home = os.path.expanduser("~")
    folder = os.environ.get(
        "KERAS_HOME", os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    )
    return os.path.expanduser(os.path.join(folder, "keras.json"))


def _content(path):
    """What keras.json says: a dictionary, empty where Keras goes on without it.

    Raises:
        ImportError: if it cannot be read, or holds something else.
    """
    if not os.path.exists(path):
        return {}
    try:
        with open(path) as file:
            content = json.load(file)
    except ValueError:  # no JSON: Keras takes its defaults
        return {}
    except OSError as error:
        _refuse(f"{path} cannot be read ({error.strerror}): mend it, or set KERAS_HOME to another folder")
    if not isinstance(content, dict):
        _refuse(f"{path} holds a {type(content).__name__}, expected settings by name: mend or delete it")
    return content


def _refuse(line):
    if os.path.basename((getattr(sys, "argv", None) or [""])[0]).startswith("pssr-"):
        print(f"error: {line}", file=sys.stderr)
        sys.exit(2)  # as any command whose user has something to mend
    raise ImportError(line)


def start_tensorflow():
    """Import TensorFlow and look for devices, holding back what it writes to stderr meanwhile.

    TF_CPP_MIN_LOG_LEVEL alone no longer silences these lines, as they are written before TensorFlow
    reads it (tensorflow issue 100442). An import error is raised as ever. Where TensorFlow is imported
    already, or TF_CPP_MIN_LOG_LEVEL is set to 0, nothing is held back.

    Raises:
        ImportError: if TensorFlow's eager execution is switched off.
    """
    if "tensorflow" in sys.modules:
        if not getattr(sys.modules["tensorflow"], "executing_eagerly", lambda: True)():
            _refuse(
                "pssr_keras needs TensorFlow's eager execution, which is switched off: import it outside of "
                "graphs, and leave out tf.compat.v1.disable_eager_execution()"
            )
        return
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    stderr = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        import tensorflow

        tensorflow.config.list_physical_devices()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
