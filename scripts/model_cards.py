#!/usr/bin/env python
"""Write docs/models/NAME.md for each shipped model, from its card and the record of Table 3.

    python scripts/model_cards.py

A test fails when a page and its records drift apart.
"""

import json
import pathlib
import sys

from pssr_keras import command_line, config, pretrained
from pssr_keras.reproduction import model_cards

ROOT = pathlib.Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "models"


def texts():
    """{file: text} of all cards."""
    found = {}
    for name in pretrained.names():
        card = pretrained.model_card(name)
        record = ROOT / "results" / config.read(card["configuration"])["dataset"] / "table_3.json"
        adaptive = json.loads(record.read_text()) if record.is_file() else None
        found[FOLDER / f"{name}.md"] = model_cards.markdown(card, adaptive)
    return found


def write():
    FOLDER.mkdir(exist_ok=True)
    for path, text in texts().items():
        path.write_text(text)
        print(f"{path.relative_to(ROOT)}: written")


if __name__ == "__main__":
    sys.exit(command_line.run(write))
