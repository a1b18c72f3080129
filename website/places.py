"""Where each file of the repository is on the site.

A link in a page is written for the repository, so that it leads somewhere on a code host too. On the site the
same link leads to the page made of that file: its own, the API page of a module, or its source.
"""

import pathlib
import posixpath
import re

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = "pssr_keras"
LINK = re.compile(r"(?<=\]\()(?P<target>[^)\s]+)(?=\))")
CODE = re.compile(r"^(?P<fence>```+|~~~+).*?^(?P=fence)[ \t]*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
RENAMED = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}


def relative(path):
    """A path within the repository, as a link writes it."""
    return path.relative_to(ROOT).as_posix()


def pages():
    """All files that have a page or a place of their own: {path in the repository: path on the site}."""
    found = dict(RENAMED)
    for path in sorted((ROOT / "docs").rglob("*")):
        if path.is_file():
            found[relative(path)] = path.relative_to(ROOT / "docs").as_posix()
    for path in sorted(ROOT.glob("tutorials/*.ipynb")):
        found[relative(path)] = f"tutorials/{path.stem}.md"
    for path in sorted([*ROOT.glob("tutorials/**/*.md"), *ROOT.glob("results/**/*.md")]):
        found[relative(path)] = relative(path).replace("README.md", "index.md")
    for path in sorted(ROOT.glob("results/**/*.png")):
        found[relative(path)] = relative(path)
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
        if parts[-1] == "__init__":
            found[relative(path)] = "/".join(["reference", *parts[:-1], "index.md"])
        else:
            found[relative(path)] = "/".join(["reference", *parts]) + ".md"
    return found


def place(path, known):
    """The path on the site of a file or folder of the repository; None if it has none.

    A folder is the page of its README.md or of its __init__.py. A program that has no page gets one with its
    source, and any other file a copy.
    """
    if path == "README.md":  # what it says is told by other pages, and the first of them leads there
        return "index.md"
    for candidate in (path, f"{path}/README.md", f"{path}/__init__.py"):
        if candidate in known:
            return known[candidate]
    if not (ROOT / path).is_file():
        return None
    return f"source/{path}.md" if path.endswith(".py") else f"files/{path}"


def links(text):
    """The places of links in Markdown, without what stands in code: matches of `LINK`."""
    hidden = CODE.sub(lambda match: "\0" * len(match.group()), text)
    return [match for match in LINK.finditer(hidden) if not re.match(r"[a-z]+:|#|/", match["target"])]


def targets(text, origin):
    """The paths in the repository that the links of a file lead to: (match, path, anchor) of each."""
    found = []
    for match in links(text):
        path, _, anchor = match["target"].partition("#")
        found.append((match, posixpath.normpath(posixpath.join(posixpath.dirname(origin), path)), anchor))
    return found


def translated(text, origin, page, known):
    """The text of a file with its links as the site has them.

    Args:
        origin: the path of the file in the repository.
        page: the path of its page on the site.
        known: see `pages`.
    """
    pieces, end = [], 0
    for match, path, anchor in targets(text, origin):
        target = place(path, known)
        if target is None:
            continue  # mkdocs says that it leads nowhere
        target = posixpath.relpath(target, posixpath.dirname(page) or ".")
        pieces += [text[end : match.start()], target + (f"#{anchor}" if anchor else "")]
        end = match.end()
    return "".join([*pieces, text[end:]])
