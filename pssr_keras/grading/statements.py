"""Which statements of a notebook its answers depend on.

A tutorial runs for minutes, and what a student explored besides may run for hours. An answer is what a cell
hands to a check, and needs only the statements that make it: those are found by the names they use. The
functions here need Python alone, since they run in the student's process, which loads TensorFlow only where
an answer does.
"""

import ast
import dataclasses
import symtable

HAND_IN = "__hand_in__"  # what a call of a check becomes: its answers, without the rest of its arguments
EVERYTHING = "*"  # what `from module import *` binds


@dataclasses.dataclass(frozen=True)
class Statement:
    """A statement at the top level of a cell.

    Args:
        cell: number of the code cell, from 1.
        source: the statement, with calls of checks replaced.
        binds: global names that it may give a value, or whose object it may change.
        loads: global names that it uses.
        hands_in: whether it calls a check.
    """

    cell: int
    source: str
    binds: frozenset
    loads: frozenset
    hands_in: bool


class _Checks(ast.NodeTransformer):
    """Calls of checks, by whatever name their module has, become calls of HAND_IN."""

    def __init__(self, checks):
        self.checks, self.found = checks, False

    def visit_Call(self, node):
        self.generic_visit(node)
        name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
        if name not in self.checks:
            return node
        self.found = True
        answers = self.checks[name]
        positional = node.args[: len(answers)]
        named = [keyword for keyword in node.keywords if keyword.arg in answers]
        function = ast.Name(HAND_IN, ast.Load())
        call = ast.Call(function, [ast.Constant(name), *positional], named)
        return ast.copy_location(call, node)


def _scopes(table):
    yield table
    for child in table.get_children():
        yield from _scopes(child)


def _root(node):
    """The name at the beginning of a.b[c].d, or None."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return getattr(node, "id", None)


def _changed(node):
    """Names whose objects a statement may change: a.b = 1, a[0] = 1, a.append(1) for its own sake."""
    names = set()
    for part in ast.walk(node):
        stored = isinstance(part, ast.Attribute | ast.Subscript) and not isinstance(part.ctx, ast.Load)
        called = isinstance(part, ast.Expr) and isinstance(part.value, ast.Call)
        if stored or (called and isinstance(part.value.func, ast.Attribute)):
            names.add(_root(part if stored else part.value.func))
    return names - {None}


def _statement(cell, node, checks):
    transformer = _Checks(checks)
    source = ast.unparse(ast.fix_missing_locations(transformer.visit(node)))
    top, *inner = _scopes(symtable.symtable(source, f"cell {cell}", "exec"))
    symbols = top.get_symbols()
    binds = {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}
    loads = {symbol.get_name() for symbol in symbols if symbol.is_referenced()}
    for scope in inner:
        of_module = [symbol for symbol in scope.get_symbols() if symbol.is_global()]
        binds |= {symbol.get_name() for symbol in of_module if symbol.is_assigned()}
        loads |= {symbol.get_name() for symbol in of_module if symbol.is_referenced()}
    if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
        binds.add(EVERYTHING)
    binds |= _changed(ast.parse(source))
    return Statement(cell, source, frozenset(binds), frozenset(loads), transformer.found)


def without_magics(source):
    """A cell that is Python but for lines of the notebook's front end (%, ! and ?), without those lines."""
    try:
        ast.parse(source)
    except SyntaxError:
        lines = [line for line in source.splitlines() if not line.strip().startswith(("%", "!", "?"))]
        return "\n".join(line for line in lines if not line.strip().endswith("?"))
    return source


def parse(cells, checks):
    """All statements of a notebook.

    Args:
        cells: sources of the code cells.
        checks: {name of a check: names of its answers}.

    Returns:
        (statements, errors): a text for each cell that is no Python.
    """
    statements, errors = [], []
    for number, cell in enumerate(cells, 1):
        try:
            body = ast.parse(without_magics(cell)).body
            statements += [_statement(number, node, checks) for node in body]
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = getattr(error, "msg", None) or type(error).__name__
            errors.append(f"cell {number} is no Python: {reason}")
    return statements, errors


def needed(statements):
    """The statements that hand in an answer, and those that they depend on, in the order of the notebook.

    What is left out neither gives a value to a name that the others use nor changes its object, as far as the
    text tells: not by `exec`, nor through a second name.
    """
    wanted = {number for number, statement in enumerate(statements) if statement.hands_in}
    if not wanted:
        return []
    candidates = [number for number in range(max(wanted)) if number not in wanted]
    names = set().union(*(statements[number].loads for number in wanted)) | {EVERYTHING}
    while found := [number for number in candidates if statements[number].binds & names]:
        wanted.update(found)
        candidates = [number for number in candidates if number not in wanted]
        names.update(*(statements[number].loads for number in found))
    return [statements[number] for number in sorted(wanted)]
