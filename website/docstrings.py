"""Docstrings as mkdocstrings reads them: as Markdown, with an entry for each name."""

import re

import griffe

SHARED = re.compile(
    r"^(?P<indent> +)(?P<names>\w+(?:, \w+)+): (?P<text>.*(?:\n(?P=indent) +\S.*)*)$", re.MULTILINE
)
COLUMNS = re.compile(r"\S {2,}\S")


def separate(text):
    """A docstring in which "x, y: images" says "x: images" and "y: images"."""

    def entries(match):
        names = match["names"].split(", ")
        return "\n".join(f"{match['indent']}{name}: {match['text']}" for name in names)

    return SHARED.sub(entries, text)


def as_code(text):
    """A docstring whose paragraphs of names in one column and words in another keep their lines."""

    def kept(paragraph):
        lines = paragraph.splitlines()
        if len(lines) < 2 or lines[0].startswith(" "):
            return paragraph
        if sum(bool(COLUMNS.search(line)) for line in lines) > len(lines) / 2:
            return "\n".join(f"    {line}" for line in lines)
        return paragraph

    return "\n\n".join(map(kept, text.split("\n\n")))


class Docstrings(griffe.Extension):
    """Applies both to all docstrings."""

    def on_object(self, *, obj, **kwargs):
        if obj.docstring:
            obj.docstring.value = as_code(separate(obj.docstring.value))
