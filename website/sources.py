"""Parts of pages that are taken from the package while the site is built, so that they cannot drift.

    <!-- source: pssr_keras.losses.query_loss -->       the source of a function or class
    <!-- accuracies: mnist -->                           the accuracies of a model card
    <!-- worst case: mnist -->                           its warning

On a code host such a mark is not seen, and the link before it leads to the file.
"""

import inspect
import json
import pydoc
import re
import textwrap

import places

from pssr_keras import config, pretrained
from pssr_keras.reproduction import model_cards

MARK = re.compile(r"<!-- (?P<kind>source|accuracies|worst case): (?P<name>[\w.-]+) -->")


def filled(text, page, known):
    """The text of a page with each mark replaced.

    Args:
        page: its path on the site.
        known: see `places.pages`.
    """

    def made(match):
        part = MAKERS[match["kind"]](match["name"])
        return places.translated(part, f"docs/models/{match['name']}.md", page, known)

    return MARK.sub(made, text)


def source(name):
    """The source of what a dotted name stands for, as a block of code.

    Raises:
        ValueError: if there is no such thing.
    """
    found = pydoc.locate(name)
    if found is None:
        raise ValueError(f"a page asks for the source of {name}, which is not there")
    return f"```python\n{textwrap.dedent(inspect.getsource(found)).rstrip()}\n```"


def accuracies(name):
    return model_cards.accuracies(pretrained.model_card(name))


def worst_case(name):
    """The paragraph of a model card about the attacker who knows the defense."""
    card = pretrained.model_card(name)
    record = places.ROOT / "results" / config.read(card["configuration"])["dataset"] / "table_3.json"
    return model_cards.worst_case(card, json.loads(record.read_text()) if record.is_file() else None)[1]


MAKERS = {"source": source, "accuracies": accuracies, "worst case": worst_case}
