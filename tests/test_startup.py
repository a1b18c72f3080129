import importlib
import io
import os
import re
import signal
import subprocess
import sys
import threading

import keras
import pytest
import tensorflow as tf

from pssr_keras import InputError, attacks, command_line, evaluation, progress, startup


def test_importing_the_package_prints_nothing():
    done = subprocess.run([sys.executable, "-c", "import pssr_keras"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_an_import_raises_is_still_shown():
    program = "import sys; sys.modules['tensorflow'] = None; del sys.modules['tensorflow']\n"
    program += "sys.meta_path.insert(0, type('Finder', (), {'find_spec': staticmethod(fail)}))"
    failing = "def fail(name, *_):\n    if name == 'tensorflow': raise ImportError('no TensorFlow here')\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{failing}{program}\nimport pssr_keras"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("ImportError: no TensorFlow here")


def test_shipped_weights_are_read_by_whoever_imports_the_package_alone():
    program = "import pssr_keras; print(type(pssr_keras.load_pretrained('mnist')).__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "PSSR", done.stderr


def test_the_package_adds_little_to_the_import_of_tensorflow():
    """At most half a second, of the processor and not of the clock, which a busy machine delays.

    The best of three: on a core that is shared with others, the processor is slower now and then.
    """
    program = "import time, tensorflow, keras; start = time.process_time(); import pssr_keras"
    program += "; print(time.process_time() - start)"
    command = [sys.executable, "-c", program]
    taken = (float(subprocess.run(command, capture_output=True, text=True).stdout) for _ in range(3))
    assert any(seconds < 0.5 for seconds in taken)


# --- settings around the package ----------------------------------------------------------------------


@pytest.fixture
def settings_of_keras(tmp_path, monkeypatch):
    """Function, content of keras.json -> what is said of it before Keras is imported."""
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def said(content):
        (tmp_path / "keras.json").write_text(content)
        try:
            startup.check_keras()
        except ImportError as error:
            return str(error)
        return None

    return said


REFUSED = {
    '{"backend": "jax"}': "has backend 'jax', expected 'tensorflow'.*or set KERAS_BACKEND=tensorflow",
    '{"floatx": "bfloat16"}': "has floatx 'bfloat16', expected 'float32'",
    '{"image_data_format": "NCHW"}': "has image_data_format 'NCHW', expected 'channels_last' or",
    '{"epsilon": "1e-7"}': "has epsilon '1e-7', expected a number",
    '{"epsilon": 1}': "has epsilon 1, expected a number",
    '{"epsilon": 0.1}': "has epsilon 0.1, expected a number",
    '["tensorflow"]': "holds a list, expected settings by name",
}
TAKEN = ['{"backend": ', "", "{}", '{"image_data_format": "channels_first"}', '{"floatx": "float64"}']


@pytest.mark.parametrize("content", REFUSED)
def test_a_keras_json_that_keras_cannot_take_is_one_line(content, settings_of_keras):
    said = settings_of_keras(content)
    assert re.search(REFUSED[content], said)
    assert "\n" not in said


@pytest.mark.parametrize("content", TAKEN)
def test_other_settings_of_keras_are_taken(content, settings_of_keras):
    assert settings_of_keras(content) is None


def test_a_keras_json_that_cannot_be_read_is_one_line(settings_of_keras, tmp_path):
    (tmp_path / "folder" / "keras.json").mkdir(parents=True)
    os.environ["KERAS_HOME"] = str(tmp_path / "folder")
    assert "cannot be read (Is a directory)" in settings_of_keras("{}")


def test_another_backend_is_one_line(settings_of_keras, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert settings_of_keras('{"backend": "jax"}') is None  # the environment counts
    monkeypatch.setenv("KERAS_BACKEND", "")
    assert "has backend 'jax'" in settings_of_keras('{"backend": "jax"}')
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert settings_of_keras("{}") == (
        "pssr_keras needs the TensorFlow backend, and KERAS_BACKEND is 'torch': "
        "set KERAS_BACKEND=tensorflow before Keras is imported"
    )
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    monkeypatch.setitem(sys.modules, "keras", keras)
    assert "Keras was imported with the backend 'jax'" in settings_of_keras("{}")


def test_keras_does_not_cut_a_training_short(settings_of_keras, monkeypatch):
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "1")
    assert "KERAS_MAX_EPOCHS is set" in settings_of_keras("{}")


def test_a_command_ends_with_the_line_alone(settings_of_keras, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr(sys, "argv", ["/usr/bin/pssr-train"])
    with pytest.raises(SystemExit) as raised:
        settings_of_keras("{}")
    assert raised.value.code == 2
    assert capsys.readouterr().err.startswith("error: pssr_keras needs the TensorFlow backend")


def test_keras_json_is_looked_for_where_keras_does(monkeypatch):
    for home in (os.environ.get("KERAS_HOME"), "~/somewhere"):
        monkeypatch.setenv("KERAS_HOME", home) if home else monkeypatch.delenv("KERAS_HOME", raising=False)
        folder = home or importlib.import_module("keras.src.backend.config").keras_home()
        assert startup.keras_json() == os.path.expanduser(f"{folder}/keras.json")


def test_graphs_of_old_are_one_line():
    with tf.Graph().as_default(), pytest.raises(ImportError, match="needs TensorFlow's eager execution"):
        startup.start_tensorflow()


# --- output that nobody reads, or that takes not everything -------------------------------------------


class Console:
    """What some editors put in the place of standard output."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass


class OnlyWrite:
    def write(self, text):
        pass


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


def ascii_stream():
    return io.TextIOWrapper(io.BytesIO(), encoding="ascii")


OUTPUTS = [lambda: None, Console, OnlyWrite, closed, ascii_stream]


@pytest.mark.parametrize("make", OUTPUTS, ids=["none", "console", "only_write", "closed", "ascii"])
def test_progress_is_shown_on_any_output(make, monkeypatch, toy_classifier, toy_images):
    """Or is not, where there is none; what is computed is the same."""
    few = toy_images.take(slice(0, 8))
    output = make()
    monkeypatch.setattr(sys, "stdout", output)
    models = {"modèle": toy_classifier}
    record = evaluation.evaluate(toy_classifier, models, few, [attacks.FGSM(0.1)], progress=True)
    shown = progress.Progress("modèle, 8 images", 8)
    monkeypatch.setattr(sys, "stdout", None)
    shown.update(8)  # the output went away
    monkeypatch.undo()
    expected = evaluation.evaluate(toy_classifier, models, few, [attacks.FGSM(0.1)])
    assert record["cells"] == expected["cells"]
    if isinstance(output, Console):
        assert "fgsm, 8 images\n" in output.text
        assert "8/8" in output.text
    if isinstance(output, io.TextIOWrapper):
        assert b"mod\\xe8le, 8 images" in output.buffer.getvalue()


def without_reader():
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w")


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_work_goes_on_when_its_reader_has_ended(name, monkeypatch):
    stream, done = without_reader(), []
    monkeypatch.setattr(sys, name, stream)

    def work():
        for number in range(3):
            print("a line", file=getattr(sys, name), flush=True)
            done.append(number)

    assert command_line.run(work) == 0
    assert done == [0, 1, 2]
    assert getattr(sys, name) is stream
    stream.write("what is left")
    stream.close()  # as at the end of a process: nothing is raised


def test_a_command_that_only_prints_ends_with_its_reader(monkeypatch):
    stream, done = without_reader(), []
    monkeypatch.setattr(sys, "stdout", stream)

    def work():
        for number in range(3):
            print("a line", flush=number == 1)
            done.append(number)

    assert command_line.run(work, goes_on=False) == command_line.READER_GONE
    assert done == [0]
    stream.close()


def test_help_that_nobody_reads_ends_quietly(monkeypatch):
    stream = without_reader()
    monkeypatch.setattr(sys, "stdout", stream)
    assert importlib.import_module("pssr_keras.commands.evaluate").main(["--help"]) == 141
    stream.close()


def test_a_command_prints_what_its_output_cannot_encode(monkeypatch):
    output = ascii_stream()
    monkeypatch.setattr(sys, "stdout", output)
    assert command_line.run(lambda: print("modèle ━━ \udcff")) == 0
    assert output.buffer.getvalue() == b"mod\\xe8le == \\udcff\n"


def test_a_command_without_output_ends_as_ever(monkeypatch):
    def refuse():
        print("a line", flush=True)
        raise InputError("not so")

    for stream in (None, closed()):
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        assert command_line.run(refuse) == 2


def test_a_command_runs_in_any_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(command_line.run(lambda: None)))
    thread.start()
    thread.join()
    assert found == [0]


def test_a_command_called_as_a_function_leaves_signals_as_they_were():
    before = signal.getsignal(signal.SIGTERM)
    assert command_line.run(lambda: signal.raise_signal(signal.SIGTERM)) == 130
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_file_does_not_take_the_number_of_a_closed_output(tmp_path):
    """What TensorFlow writes to stderr would go into it."""
    program = f"""
import importlib.util, os
spec = importlib.util.spec_from_file_location("startup", {startup.__file__!r})
startup = importlib.util.module_from_spec(spec)
spec.loader.exec_module(startup)
startup.open_standard_streams()
with open("record.json", "w") as file:
    file.write("a record")
    file.flush()
    os.write(2, b"a warning")
"""
    command = ["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', sys.executable, "-c", program]
    assert subprocess.run(command, cwd=tmp_path).returncode == 0
    assert (tmp_path / "record.json").read_text() == "a record"
