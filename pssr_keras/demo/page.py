"""The page, in Streamlit: it asks a visitor, lets `answering` answer and shows what `markup` makes of it."""

import numpy as np
import streamlit as st

from .. import data
from ..inputs import InputError
from . import markup, pictures, server
from .answering import (
    ADAPTIVE,
    BOTH,
    OBLIVIOUS,
    Question,
    answer,
    images_of,
    shipped,
    surrogates_of,
    title_of,
)
from .canvas import canvas
from .choices import budgets, most_of, most_steps, rows_of
from .walking import CHOSEN, STEPS

ATTACKS = {
    "fgsm": "FGSM, one step",
    "bim": "BIM, steps from the image",
    "mim": "MIM, steps with momentum",
    "pgd": "PGD, steps from a random start",
    "apgd-ce": "APGD-CE, steps that adapt",
    "square": "Square, queries, no gradient",
}
THREATS = {
    "both, side by side": BOTH,
    "oblivious: knows the classifier alone": (OBLIVIOUS,),
    "adaptive: knows all of it": (ADAPTIVE,),
}
PICK, DRAW, UPLOAD = "pick", "draw", "upload"


def show():
    """The whole page, from top to bottom, as Streamlit runs it after every choice."""
    st.set_page_config(page_title="Remove, then restore", layout="wide")
    st.header("Remove, then restore: play with it")
    st.markdown(
        "PSSR removes the pixels on which a classifier relies, restores the image, and lets the classifier "
        "look again. Attack it as somebody who does not know of it, and as somebody who does."
    )
    controls, results = st.columns([1, 3.2], gap="large")
    with controls:
        question = ask()
    with results:
        if question is None:
            st.info("Draw or upload an image to begin.")
        else:
            reply(question)


def reply(question):
    """Answer a question at its turn."""
    place = st.empty()
    with server.TURNS.line() as turn:
        while not turn.wait(0.3):
            before = turn.ahead
            if server.READY.is_set():
                place.info(f"A queue: {before} before you.", icon="⏳")
            elif before:
                place.info("The models are being loaded and compiled; this takes some seconds.", icon="⏳")
        found = answer(question)
    place.empty()
    st.html(markup.page(found, dark=st.context.theme.type == "dark"))
    st.caption("One image is no measurement: docs/numbers.md says how many of a thousand stand before whom.")


def ask():
    """The controls: a question, or None as long as there is no image."""
    known = shipped()
    dataset = next(iter(known))
    if len(known) > 1:
        title = {name: str(data.DATASETS[name]) for name in known}
        dataset = st.radio("Data set", list(known), format_func=title.get, horizontal=True)
    entry, models = data.DATASETS[dataset], known[dataset]
    _surrogates(next(iter(models)))  # the first visitor waits here
    try:
        chosen = choose_image(entry)
    except InputError as error:
        st.error(_plain(error), icon="🚫")
        chosen = None
    model = next(iter(models))
    if len(models) > 1:
        model = st.selectbox("Attacked defense", list(models), format_func=title_of)
    attack = st.selectbox("Attack", list(STEPS), index=list(STEPS).index("pgd"), format_func=ATTACKS.get)
    threats = st.radio("Threat model: what does the attacker know?", list(THREATS))
    names = _surrogates(model)
    surrogate = st.selectbox(
        "Surrogate of the adaptive attacker",
        names,
        index=names.index("frozen_mask") if "frozen_mask" in names else 0,
        disabled=ADAPTIVE not in THREATS[threats] or attack == "square",
        help="The mask of the surgery has no gradient: what the attacker puts in its place. "
        "All surrogates give the answers of the defense.",
        key=f"surrogate of {model}",
    )
    texts, usual = budgets(models[model]["attack.eps"])
    eps = st.select_slider("Budget eps, of a pixel from 0 to 1", texts, usual, key=f"eps of {dataset}")
    through = names[0] if attack == "square" else surrogate  # where no gradient flows, all cost the same
    most = most_of(attack, most_steps(model, through if ADAPTIVE in THREATS[threats] else None))
    steps = min(STEPS[attack], most)
    if attack in CHOSEN:
        steps = st.slider("Steps", 1, most, steps, key=f"steps of {attack}, at most {most}")
    if chosen is None:
        return None
    x, label, index = chosen
    return Question(model, x, label, attack, eps, steps, THREATS[threats], surrogate, index)


@st.cache_resource(show_spinner="Loading the models.")
def _surrogates(model):
    """Names of the surrogates."""
    with server.TURNS.line() as turn:
        turn.wait()
        return list(surrogates_of(model))


def choose_image(entry):
    """An image (H, W, C) of the visitor's choice, its label or None, and its index; None without an image."""
    way = st.radio("Image", [PICK, DRAW, UPLOAD], horizontal=True)
    if way == PICK:
        return pick(entry)
    if way == DRAW:
        content = canvas(f"drawing of {entry.name}", colour=entry.shape[2] == 3)
    else:
        file = st.file_uploader(
            "A picture", type=["png", "jpg", "jpeg", "webp", "bmp", "gif"], max_upload_size=pictures.MEGABYTES
        )
        content = None if file is None else file.getvalue()
    labels = [None, *range(entry.classes)]
    label = st.selectbox(
        "What it shows",
        labels,
        format_func=lambda label: "what the classifier sees" if label is None else _name(entry, label),
        help="The attack moves away from this class.",
    )
    if content is None:
        return None
    return pictures.to_image(pictures.decode(content), entry.shape), label, 0


def pick(entry):
    """One of the bundled test images, by its class and its number."""
    images = images_of(entry.name)
    keys = f"class of {entry.name}", f"number of {entry.name}"

    def another():
        row = int(np.random.default_rng().integers(len(images)))
        label = int(images.y[row])
        st.session_state[keys[0]] = label
        st.session_state[keys[1]] = int(np.searchsorted(rows_of(images, label), row)) + 1

    left, right = st.columns(2)
    label = left.selectbox(
        "Class", range(entry.classes), format_func=lambda label: _name(entry, label), key=keys[0]
    )
    rows = rows_of(images, label)
    number = right.number_input(f"Number, 1 to {len(rows)}", 1, len(rows), key=keys[1])
    st.button("Any other image", on_click=another)
    row = rows[number - 1]
    return images.x[row], int(images.y[row]), int(images.indices[row])


def _name(entry, label):
    return entry.name_of(label).replace("_", " ")


def _plain(error):
    """The words of an error, of which nothing is taken for Markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>$#~:|" else letter for letter in str(error))
