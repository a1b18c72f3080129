import subprocess
import sys


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
    """At most half a second, of the processor and not of the clock, which a busy machine delays."""
    program = "import time, tensorflow, keras; start = time.process_time(); import pssr_keras"
    program += "; print(time.process_time() - start)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert float(done.stdout) < 0.5
