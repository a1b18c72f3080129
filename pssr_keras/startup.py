"""Start TensorFlow with fast convolutions, without the dozen lines it prints about processors and drivers."""

import os
import platform
import sys


def start_tensorflow():
    """Import TensorFlow and look for devices, holding back what it writes to stderr meanwhile.

    Of x86 processors TensorFlow gives only recent ones the convolutions of oneDNN. On one with AVX2 and no
    AVX-512 they make gradients through these networks 1.1 to 1.8 times as fast, so they are switched on,
    unless TF_ENABLE_ONEDNN_OPTS says otherwise.

    TF_CPP_MIN_LOG_LEVEL alone no longer silences these lines, as they are written before TensorFlow
    reads it (tensorflow issue 100442). An import error is raised as ever. Where TF_CPP_MIN_LOG_LEVEL is 0
    nothing is held back; where TensorFlow is imported already nothing is done at all.
    """
    if "tensorflow" in sys.modules:
        return
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        stderr = os.dup(2)
    except OSError:  # a process without stderr has nothing to hold back
        return
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        import tensorflow

        tensorflow.config.list_physical_devices()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
