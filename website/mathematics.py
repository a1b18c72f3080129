"""LaTeX as MathML, which browsers draw themselves: no script, no font, no network."""

import html
import re

import math_core
from mkdocs import exceptions

CONVERTER = math_core.LatexToMathML(fancy_error=False)
NUMBER = re.compile(r"\\tag\{(\w+)\}")
FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)


def mathml(text):
    """HTML with each formula that pymdownx.arithmatex marked as MathML.

    Raises:
        mkdocs.exceptions.PluginError: for LaTeX that the converter does not know.
    """

    def convert(match):
        latex = NUMBER.sub(r"\\qquad\\text{(\1)}", html.unescape(match["latex"]).strip())
        try:
            return CONVERTER.convert_with_local_state(latex, displaystyle=match["tag"] == "div")
        except math_core.LatexError as error:
            raise exceptions.PluginError(f"the formula {latex!r} cannot be converted: {error}") from error

    return FORMULA.sub(convert, text)
