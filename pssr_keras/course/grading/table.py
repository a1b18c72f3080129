"""The table of grades, and the file that keeps its rows while they are made."""

import csv
import json
import os
import pathlib

from ...files import write_atomically

DANGEROUS = ("=", "+", "-", "@")  # a spreadsheet would take a cell that begins so for a formula


def row(file, student, grade):
    """A submission as {column: value}. A total is left empty where there was nothing to grade."""
    found = {"file": file, "student": student, "tutorial": grade.tutorial}
    verdicts = grade.verdicts
    found["points"] = {str(number): verdict.points for number, verdict in verdicts.items()}
    found["total"] = sum(verdict.points for verdict in verdicts.values()) if verdicts else None
    found["of"] = sum(verdict.of for verdict in verdicts.values()) if verdicts else None
    found["messages"] = " | ".join(f"{number}: {verdict.message}" for number, verdict in verdicts.items())
    found["remarks"] = " | ".join(grade.remarks)
    return found


def cell(value):
    """A value as one harmless line for a spreadsheet."""
    if value is None or isinstance(value, int):
        return value
    text = value.encode("utf-8", "replace").decode()  # names of files may hold bytes that are no text
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return f"'{text}" if text.startswith(DANGEROUS) else text


def write(path, rows):
    """All rows in the order of their files, as UTF-8 with a mark by which spreadsheets know it."""
    numbers = sorted({number for row in rows for number in row["points"]}, key=int)
    header = ["file", "student", "tutorial", *(f"exercise {number}" for number in numbers)]
    header += ["total", "of", "messages", "remarks"]
    lines = [
        [row["file"], row["student"], row["tutorial"]]
        + [row["points"].get(number) for number in numbers]
        + [row[name] for name in ("total", "of", "messages", "remarks")]
        for row in sorted(rows, key=lambda row: row["file"])
    ]

    def save(partial):
        with open(partial, "w", newline="", encoding="utf-8-sig") as file:
            csv.writer(file).writerows([header, *([cell(value) for value in line] for line in lines)])

    write_atomically(path, save)


class Journal:
    """What was begun and what is finished, each a line of a file beside the table: grading goes on from it.

    A row is taken again only for the same file with the same content, under the same limits. A submission
    that was begun twice and ended neither time has taken the grader with it.
    """

    def __init__(self, out):
        out = pathlib.Path(out)
        self.path = out.with_name(f"{out.stem}.unfinished.jsonl")

    def read(self):
        """{key: row}, and {key: how often it was begun in vain}; a line that was cut off is left out."""
        rows, begun = {}, {}
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                    key, said = tuple(entry["key"]), entry["said"]
                except (ValueError, KeyError, TypeError):
                    continue
                if isinstance(said, dict):
                    rows[key] = said
                else:
                    begun[key] = begun.get(key, 0) + {"begun": 1, "interrupted": -1}.get(said, 0)
        return rows, begun

    def add(self, key, said):
        """Keep a row, or that work on it was "begun", or "interrupted" by the user."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "said": said}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def remove(self):
        self.path.unlink(missing_ok=True)
