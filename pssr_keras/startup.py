"""Start TensorFlow without the dozen lines it prints about processors and CUDA drivers."""

import os
import sys


def start_tensorflow():
    """Import TensorFlow and look for devices, holding back what it writes to stderr meanwhile.

    TF_CPP_MIN_LOG_LEVEL alone no longer silences these lines, as they are written before TensorFlow
    reads it (tensorflow issue 100442). An import error is raised as ever. Where TensorFlow is imported
    already, or TF_CPP_MIN_LOG_LEVEL is set to 0, nothing is held back.
    """
    if "tensorflow" in sys.modules or os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
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
