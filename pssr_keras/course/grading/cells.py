"""A cell of a notebook as Python: its magics, shell lines and questions become Python that means the same.

IPython's own rules say what is a magic. What a magic runs, as %time does, becomes a statement like any other,
so that the names in it are seen; other magics become calls of `get_ipython()`, which `shell` stands in for.
"""

import ast
import re
import textwrap

ASSIGNED = r"(?P<target>[^\W\d][\w., \[\]'\"]*=)?"  # files = !ls
FRONT_END = re.compile(rf"(?P<indent>\s*){ASSIGNED}\s*(?P<mark>[%!]{{1,2}}|\?{{1,2}})(?P<text>.*)")
# A cell of one such line needs no %, where the first word is one of these.
WITHOUT_MARK = {
    "automagic", "autoreload", "cat", "cd", "clear", "conda", "config", "cp", "env", "less", "load_ext",
    "ls", "matplotlib", "mkdir", "mv", "pip", "pwd", "pylab", "reload_ext", "rm", "run", "time",
    "timeit", "who", "whos",
}  # fmt: skip
OPTIONS = re.compile(r"\s*(?:-[nrp]\s*\d+\s*|--?[a-zA-Z][\w-]*\s*)*")


def statements(source):
    """The statements of a cell, as syntax trees without magics.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: if it is no Python but for its magics.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        tree = ast.parse(_plain(source))
    tree = ast.fix_missing_locations(_Magics().visit(tree))
    # A cell whose statements parse one by one may be no program, and then no part of it runs in a notebook.
    compile(tree, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return tree.body


def _plain(source):
    words = source.split(None, 1)
    if len(source.strip().splitlines()) == 1 and words[0] in WITHOUT_MARK:
        source = "%" + source.strip()
    try:
        from IPython.core.inputtransformer2 import TransformerManager
    except ImportError:
        return _simply(source)
    return TransformerManager().transform_cell(source)


def _simply(source):
    """What IPython would make of a cell, for where it is not installed: of the usual forms only."""
    lines = textwrap.dedent(source).strip("\n").splitlines()
    if lines and (cell_magic := re.match(r"%%(\w+)(.*)", lines[0])):
        name, line = cell_magic.groups()
        body = "\n".join(lines[1:]) + "\n"
        return f"get_ipython().run_cell_magic({name!r}, {line.strip()!r}, {body!r})\n"
    found = []
    while lines:
        line = lines.pop(0)
        match = FRONT_END.fullmatch(line)
        while match and line.endswith("\\") and lines:
            line = f"{line[:-1]} {lines.pop(0)}"
            match = FRONT_END.fullmatch(line)
        if match is None and (question := re.fullmatch(r"(\s*)(.*?)(\?{1,2})\s*", line)):
            match = FRONT_END.fullmatch("{0}{2}{1}".format(*question.groups()))
        found.append(_call(match) if match else line)
    return "\n".join(found) + "\n"


def _call(match):
    indent, target, mark, text = match.group("indent", "target", "mark", "text")
    if mark[0] == "!":
        call = f"{'getoutput' if target or mark == '!!' else 'system'}({text.strip()!r})"
    else:
        asked = {"?": "pinfo ", "??": "pinfo2 "}.get(mark, "")
        name, _, line = (asked + text.strip()).partition(" ")
        call = f"run_line_magic({name!r}, {line.strip()!r})"
    return f"{indent}{target + ' ' if target else ''}get_ipython().{call}"


def _magic(node):
    """(name, line, body or None) of a call of a magic with constant texts; None if a node is none."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return None
    shell, texts = node.func.value, [getattr(part, "value", None) for part in node.args]
    if not (isinstance(shell, ast.Call) and getattr(shell.func, "id", None) == "get_ipython"):
        return None
    if not all(isinstance(text, str) for text in texts):
        return None
    match node.func.attr, texts:
        case "run_line_magic", [name, line]:
            return name, line, None
        case "run_cell_magic", [name, line, body]:
            return name, line, body
        case "magic", [text]:
            name, _, line = text.lstrip("%").partition(" ")
            return name, line.strip(), None
        case "run_cell" | "ex", [text]:
            return "time", "", text
    return None


class _Magics(ast.NodeTransformer):
    """Magics that run code become this code."""

    def __init__(self):
        self.timed = 0

    def visit_Expr(self, node):
        magic = _magic(node.value)
        found = magic and self._code(*magic)
        return self.generic_visit(node) if found is None else found or ast.Pass()

    def visit_Call(self, node):
        """A magic whose value is used: x = %time f()."""
        match _magic(node):
            case "time" | "prun", line, None:
                code = statements(_without_options(line))
                if len(code) == 1 and isinstance(code[0], ast.Expr):
                    return code[0].value
            case "timeit", line, None:
                code = statements(_without_options(line))
                single = len(code) == 1 and isinstance(code[0], ast.Expr)
                value = code[0].value if single else ast.Constant(None)
                arguments = ast.arguments([], [], None, [], [], None, [])
                return _of_shell("timed", ast.Lambda(arguments, value))
        return self.generic_visit(node)

    def _code(self, name, line, body):
        """The statements that a magic runs; None if it runs none of this notebook."""
        if name in ("time", "prun"):
            return statements(_without_options(line) if body is None else body)
        if name == "timeit":
            parts = [_without_options(line)] + ([] if body is None else [body])
            self.timed += 1
            function = ast.parse(f"def __timed_{self.timed}__(): pass").body[0]  # so its names remain within
            function.body = [node for part in parts for node in statements(part)] or [ast.Pass()]
            return [function, ast.Expr(_of_shell("timed", ast.Name(function.name, ast.Load())))]
        if name == "capture" and body is not None:
            code = statements(body) or [ast.Pass()]
            kept = [word for word in line.split() if word.isidentifier()]
            if not kept:
                return code
            item = ast.withitem(_of_shell("capture"), ast.Name(kept[0], ast.Store()))
            return [ast.With([item], code)]
        return None


def _of_shell(method, *arguments):
    shell = ast.Call(ast.Name("get_ipython", ast.Load()), [], [])
    return ast.Call(ast.Attribute(shell, method, ast.Load()), list(arguments), [])


def _without_options(line):
    return line[OPTIONS.match(line).end() :]
