"""The pages of the API reference: one for each module, from its docstrings."""

import ast

from places import PACKAGE, ROOT

KINDS = ast.FunctionDef | ast.ClassDef


def module_name(path):
    """The name of a module from its file in the repository."""
    parts = path.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def page(path, known):
    """The Markdown of a module's page, which mkdocstrings fills in.

    A room's __init__ gathers what its modules define; its page has what it defines itself, and leads to them.
    """
    name = module_name(path)
    lines = [f"# {name}", "", f"::: {name}"]
    if path.endswith("__init__.py"):
        defined = own_members(path)
        members = "".join(f"\n        - {member}" for member in defined) if defined else " false"
        lines += ["    options:", f"      members:{members}", ""]
        lines += contents(path, known)
    return "\n".join(lines) + "\n"


def own_members(path):
    """Public functions and classes that a file defines and describes."""
    found = [node for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, KINDS)]
    return [node.name for node in found if not node.name.startswith("_") and ast.get_docstring(node)]


def summary(path):
    """The first line of a module's docstring."""
    return (ast.get_docstring(ast.parse((ROOT / path).read_text())) or "").partition("\n")[0]


def contents(path, known):
    """A table of the modules of a room, with the first line of each and what it defines."""
    folder = path.removesuffix("__init__.py")
    rows = []
    for other in known:
        inside = other.startswith(folder) and other.endswith(".py") and other != path
        rest = other.removeprefix(folder)
        if inside and (rest.count("/") == 0 or (rest.count("/") == 1 and rest.endswith("/__init__.py"))):
            short = rest.removesuffix("/__init__.py").removesuffix(".py")
            defined = ", ".join(f"`{name}`" for name in own_members(other))
            rows.append(f"| [`{short}`]({rest}) | {summary(other)} | {defined} |")
    return ["## Modules", "", "| module | what for | defines |", "|---|---|---|", *rows] if rows else []


def navigation(known):
    """The pages of the reference by room, for the navigation."""
    index, modules, rooms = [], [], {}
    for path, page in known.items():
        if not (path.startswith(f"{PACKAGE}/") and path.endswith(".py")):
            continue
        parts = path.removeprefix(f"{PACKAGE}/").removesuffix(".py").split("/")
        if parts == ["__init__"]:
            index.append(page)
        elif len(parts) == 1:
            modules.append({parts[0]: page})
        elif parts[1] == "__init__":
            rooms.setdefault(parts[0], []).insert(0, page)
        else:
            rooms.setdefault(parts[0], []).append({parts[1]: page})
    return [*index, *modules, *({room: pages} for room, pages in rooms.items())]
