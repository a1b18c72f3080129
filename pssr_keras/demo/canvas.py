"""A board to draw on, for a Streamlit page: Streamlit has none of its own."""

import base64
import binascii
import pathlib

import streamlit

from ..inputs import InputError

FILES = {
    kind: (pathlib.Path(__file__).parent / f"canvas.{kind}").read_text() for kind in ("html", "css", "js")
}
_board = streamlit.components.v2.component("pssr_keras.canvas", **FILES)


def canvas(key, colour):
    """Show the board.

    Args:
        key: of the widget.
        colour: whether the pen has colours, on white paper; otherwise it is white on black, as digits are.

    Returns:
        What was drawn, as the bytes of a PNG file; None as long as nothing was.

    Raises:
        InputError: for anything else than what the board hands over.
    """
    label = "a board to draw an image on" if colour else "a board to draw a digit on"
    settings = {
        "colour": colour,
        "paper": "#ffffff" if colour else "#000000",
        "ink": "#ffffff",
        "label": label,
    }
    picture = _board(key=key, data=settings, on_picture_change=lambda: None).picture
    if not picture:
        return None
    try:
        return base64.b64decode(str(picture).partition(",")[2], validate=True)
    except binascii.Error:
        raise InputError("the drawing cannot be read: clear it and draw again") from None
