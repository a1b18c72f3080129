"""Serve the page, and compile in the background what visitors will ask for."""

import functools
import importlib.util
import itertools
import pathlib
import socket
import threading

from ..inputs import InputError
from . import answering, pictures
from .answering import ADAPTIVE, BOTH, Question
from .choices import most_of, most_steps
from .turns import Turns

SCRIPT = pathlib.Path(__file__).parent / "script.py"
TURNS = Turns()
READY = threading.Event()  # set once a question has been answered


def start(host, port):
    """Serve the page until it is interrupted.

    Nothing is written to disk, nothing asked for in the network and nothing told about the visitors.

    Raises:
        InputError: if Streamlit is not installed, or the port cannot be had.
    """
    if importlib.util.find_spec("streamlit") is None:
        raise InputError('the page needs Streamlit: pip install -e ".[demo]"')
    check_free(host, port)
    threading.Thread(target=warm_up, daemon=True).start()  # beside the imports, which take seconds
    import streamlit
    from starlette import formparsers

    # An upload longer than this would go through a file in the folder of temporary files.
    formparsers.MultiPartParser.spool_max_size = (pictures.MEGABYTES + 1) * 2**20
    print(f"open http://{host}:{port} in a browser; Ctrl+C ends it", flush=True)
    streamlit.App(str(SCRIPT)).run(
        config={
            "server.address": host,
            "server.port": port,
            "server.headless": True,  # opens no browser by itself
            "server.showEmailPrompt": False,
            "server.fileWatcherType": "none",
            "server.maxUploadSize": pictures.MEGABYTES,
            "browser.gatherUsageStats": False,  # telemetry, and a file in the home folder
            "client.toolbarMode": "viewer",
            "client.showErrorDetails": "none",
            "client.showErrorLinks": False,
            "logger.hideWelcomeMessage": True,
        }
    )


def check_free(host, port):
    """Refuse an address that cannot be served.

    Raises:
        InputError: if the host is none of this machine's, or the port is taken or not to be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{host}:{port} cannot be served ({reason}): choose another --host or --port"
        ) from None


def warm_up():
    """Answer a question before anybody asks, then load and compile the rest while nobody waits."""
    names = [name for models in answering.shipped().values() for name in models]
    rest = []
    with TURNS.line() as place:
        place.wait()
        for name in names[:1]:
            rest.append(preparations(name))
            next(rest[0])()
    READY.set()
    for name in names[1:]:
        TURNS.idle()
        rest.append(preparations(name))
        next(rest[-1])()
    for prepare in itertools.chain(*rest):
        TURNS.idle()
        prepare()


def preparations(name):
    """What has to be compiled before shipped weights answer at once: functions, the most wanted first."""
    settings = answering.shipped()[answering.dataset_of(name).name][name]

    def ask(attack="bim", most=2, threats=BOTH, surrogate="frozen_mask"):
        images = answering.images_of(answering.dataset_of(name).name)
        if surrogate not in answering.surrogates_of(name):
            surrogate = next(iter(answering.surrogates_of(name)))
        answering.answer(
            Question(
                name,
                images.x[0],
                int(images.y[0]),
                attack,
                settings["attack.eps"],
                most_of(attack, most),
                threats,
                surrogate,
            )
        )

    yield ask
    known = answering.surrogates_of(name)
    for surrogate in known:
        yield functools.partial(most_steps, name, surrogate)
    yield functools.partial(ask, "square", most_steps(name, next(iter(known))))
    yield functools.partial(ask, "apgd-ce", most_steps(name), (answering.OBLIVIOUS,))
    for surrogate in known:
        yield functools.partial(ask, "apgd-ce", most_steps(name, surrogate), (ADAPTIVE,), surrogate)
