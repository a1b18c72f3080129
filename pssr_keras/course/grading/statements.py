"""Which statements of a notebook its answers depend on.

A tutorial runs for minutes, and what a student explored besides may run for hours. An answer is what a cell
hands to a check, and needs only the statements that make it: those are found by the names they use. The
functions here need Python alone, since they run in the student's process, which loads TensorFlow only where
an answer does.
"""

import __future__

import ast
import dataclasses
import re
import symtable

if __package__:
    from . import cells, effects
    from .effects import HAND_IN
    from .known import know
else:
    import cells
    import effects
    from effects import HAND_IN
    from known import know

EVERYTHING = "*"  # what `from module import *` binds, or code that is made while the notebook runs
LAST_VALUE = re.compile(r"_{1,3}|Out|_\d+")  # how a cell names the values of former ones
UNSEEN = {"exec", "eval", "globals", "locals", "vars", "__main__"}
OF_SHELL = {"user_ns", "user_global_ns", "run_cell", "ex", "ev", "push"}
# Magics that change what all statements find.
ALWAYS = {"env", "set_env", "cd", "run", "reset", "writefile", "file"}
# Expressions without an object that may change.
FIXED = ast.Constant | ast.Tuple | ast.UnaryOp | ast.BinOp | ast.Compare | ast.Name


@dataclasses.dataclass(frozen=True)
class Statement:
    """A statement at the top level of a cell.

    Args:
        cell: number of the code cell, from 1.
        source: the statement, with calls of checks replaced.
        binds: global names that it may give a value, or whose object it may change.
        loads: global names that it uses; EVERYTHING where it runs code that is no constant.
        hands_in: whether it calls a check.
        constant: the names that it gives to modules, numbers and functions; None if it does anything else.
        answers: checks that it hands such a value to.
        shown: whether it is an expression at the end of a cell, the value of which IPython calls _.
        flags: of the compiler, from __future__.
    """

    cell: int
    source: str
    binds: frozenset
    loads: frozenset
    hands_in: bool
    constant: frozenset | None = None
    answers: frozenset = frozenset()
    shown: bool = False
    flags: int = 0


class _Checks(ast.NodeTransformer):
    """Calls of checks, by whatever name their module has, become calls of HAND_IN."""

    def __init__(self, checks):
        self.checks = checks

    def visit_Call(self, node):
        name = effects.name_of(node)
        if name not in self.checks or any(isinstance(part, ast.Starred) for part in node.args):
            return self.generic_visit(node)
        answers = self.checks[name]
        positional = [self.visit(part) for part in node.args[: len(answers)]]
        named = [self.visit(keyword) for keyword in node.keywords if keyword.arg in (*answers, None)]
        function = ast.Name(HAND_IN, ast.Load())
        call = ast.Call(function, [ast.Constant(name), *positional], named)
        return ast.copy_location(call, node)

    def visit_Name(self, node):
        """A check that is not called at once: a second name of it, an argument."""
        name = getattr(node, "id", None) or getattr(node, "attr", None)
        if name not in self.checks or not isinstance(node.ctx, ast.Load):
            return self.generic_visit(node)
        function = f"lambda *answers, **named: {HAND_IN}({name!r}, *answers, **named)"
        return ast.copy_location(ast.parse(function, mode="eval").body, node)

    visit_Attribute = visit_Name

    def visit_ImportFrom(self, node):
        renamed = [alias for alias in node.names if alias.name in self.checks and alias.asname]
        if not renamed:
            return node
        node.names = [alias for alias in node.names if alias not in renamed]
        names = [ast.Assign([ast.Name(a.asname, ast.Store())], ast.Name(a.name, ast.Load())) for a in renamed]
        found = [node] if node.names else []
        return found + [self.visit(ast.copy_location(name, node)) for name in names]


class _Synchronous(ast.NodeTransformer):
    """What may wait at the top level of a cell, and nowhere else in Python, without waiting."""

    def visit_Await(self, node):
        return self.visit(node.value)

    def visit_AsyncFor(self, node):
        return ast.For(**dict(ast.iter_fields(self.generic_visit(node))))

    def visit_AsyncWith(self, node):
        return ast.With(**dict(ast.iter_fields(self.generic_visit(node))))

    def visit_comprehension(self, node):
        self.generic_visit(node).is_async = 0
        return node

    def visit_AsyncFunctionDef(self, node):
        return node

    visit_FunctionDef = visit_Lambda = visit_AsyncFunctionDef


def _scopes(table):
    yield table
    for child in table.get_children():
        yield from _scopes(child)


def _names(source):
    """Global names that a statement gives a value, and that it uses."""
    tree = ast.fix_missing_locations(_Synchronous().visit(ast.parse(source)))
    top, *inner = _scopes(symtable.symtable(ast.unparse(tree), "cell", "exec"))
    symbols = top.get_symbols()
    binds = {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}
    loads = {symbol.get_name() for symbol in symbols if symbol.is_referenced()}
    for scope in inner:
        of_module = [symbol for symbol in scope.get_symbols() if symbol.is_global()]
        binds |= {symbol.get_name() for symbol in of_module if symbol.is_assigned()}
        loads |= {symbol.get_name() for symbol in of_module if symbol.is_referenced()}
    return binds, loads


def _made_meanwhile(node):
    """(whether a statement may bind any name, names in the constant code that it runs)."""
    parts = list(ast.walk(node))
    named = {part.id for part in parts if isinstance(part, ast.Name)}
    attributes = {part.attr for part in parts if isinstance(part, ast.Attribute)}
    stars = [part for part in parts if isinstance(part, ast.ImportFrom) and part.names[0].name == "*"]
    anything = bool(named & UNSEEN or stars or ("get_ipython" in named and attributes & OF_SHELL))
    loads = set()
    for part in parts:
        if not isinstance(part, ast.Call) or not part.args:
            continue
        name, text = effects.name_of(part), getattr(part.args[0], "value", None)
        if name in ("run_line_magic", "run_cell_magic"):
            anything |= text in ALWAYS
        elif name in ("system", "getoutput") and isinstance(text, str):
            loads |= set(re.findall(r"[^\W\d]\w*", text))  # {name} and $name
        elif name in ("exec", "eval") and isinstance(part.func, ast.Name):
            try:
                loads |= set().union(*_names(text)) if isinstance(text, str) else {EVERYTHING}
            except (SyntaxError, ValueError, RecursionError):
                continue
    return anything, loads


def _constant(node, nodes=FIXED):
    kinds = nodes | ast.operator | ast.unaryop | ast.cmpop | ast.expr_context
    return all(isinstance(part, kinds) for part in ast.walk(node))


def _statement(cell, node, known, shown):
    source = ast.unparse(node)
    nodes = effects.executed(node)
    binds, loads = _names(source)
    anything, made = _made_meanwhile(node)
    own = {node.name} if isinstance(node, effects.FUNCTION) else set()
    mentioned = {getattr(part, "id", None) or getattr(part, "attr", None) for part in nodes} - own
    reached = set().union(*(known.effects.get(name, set()) for name in mentioned))
    shared = {effects.RANDOM, effects.FILES}
    changed = effects.changed(nodes, known) & (binds | loads | shared)  # not the names of a comprehension
    changed |= reached | (effects.states(nodes) & {effects.RANDOM})
    binds |= effects.with_shared(changed, known.groups)
    binds |= {EVERYTHING} if anything else set()
    loads |= made | effects.states(ast.walk(node)) | (reached & shared)
    hands_in = any(isinstance(part, ast.Name) and part.id == HAND_IN for part in nodes) or HAND_IN in reached
    fixed = frozenset(binds) if _fixed(node) and HAND_IN not in loads and not anything else None
    frozen = frozenset(binds), frozenset(loads), hands_in, fixed, _fixed_answers(node)
    return Statement(cell, source, *frozen, shown, _flags(node))


def _fixed(node):
    """Whether a statement gives names to modules, numbers, or functions that keep nothing."""
    match node:
        case ast.Assign(targets=[ast.Name()]):
            return _constant(node.value)
        case ast.FunctionDef(decorator_list=[]):
            return all(_constant(part) for part in node.args.defaults + node.args.kw_defaults if part)
    return isinstance(node, ast.Import | ast.ImportFrom)


def _fixed_answers(node):
    """Checks to which a statement hands numbers and names only."""
    match node:
        case ast.Expr(value=ast.Call(func=ast.Name(id="__hand_in__"), args=[check, *given], keywords=[])):
            if all(_constant(part, FIXED | ast.Set | ast.List) for part in given):
                return frozenset({check.value})
    return frozenset()


def _flags(node):
    if not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
        return 0
    return sum(getattr(__future__, alias.name).compiler_flag for alias in node.names)


def parse(sources, checks):
    """All statements of a notebook.

    Args:
        sources: of the code cells.
        checks: {name of a check: names of its answers}.

    Returns:
        (statements, errors): a text for each cell that is no Python.
    """
    trees, errors = [], []
    for number, source in enumerate(sources, 1):
        try:
            module = _Checks(checks).visit(ast.Module(cells.statements(source), []))
            trees.append((number, source, ast.fix_missing_locations(module).body))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = getattr(error, "msg", None) or type(error).__name__
            errors.append(f"cell {number} is no Python: {reason}")
    known = know([node for _, _, body in trees for node in body])
    found, flags = [], 0
    for number, source, body in trees:
        quiet = source.rstrip().endswith(";")
        for node in body:
            shown = node is body[-1] and isinstance(node, ast.Expr) and not quiet
            statement = _statement(number, node, known, shown)
            flags |= statement.flags
            found.append(dataclasses.replace(statement, flags=flags))
    return _with_last_values(found), errors


def _with_last_values(statements):
    """Where a cell uses _ or Out, the statements that may have set them bind those names."""
    used = {name for statement in statements for name in statement.loads if LAST_VALUE.fullmatch(name)}
    return [
        dataclasses.replace(one, binds=one.binds | used) if one.shown and used else one for one in statements
    ]


def needed(statements):
    """The statements that hand in an answer, and those that they depend on, in the order of the notebook.

    What is left out neither gives a value to a name that the others use nor changes its object, as far as the
    text tells.
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


def certain(statements, checks):
    """Those of the checks to which all statements would hand in the same: numbers, functions, or nothing."""
    variable = {name for statement in statements if statement.constant is None for name in statement.binds}
    variable |= {effects.RANDOM, effects.FILES}
    assigned = [statement for statement in statements if statement.constant is not None]
    while more := {name for one in assigned if one.loads & variable for name in one.constant} - variable:
        variable |= more

    def fixed(check, statement):
        unseen = variable & {EVERYTHING} or statement.loads & variable
        return check in statement.answers and not unseen

    return {
        check
        for check in checks
        if all(fixed(check, one) for one in statements if HAND_IN in one.source and repr(check) in one.source)
    }


def changed_later(chosen):
    """The statements that hand in something which a later one changes."""
    found = []
    for number, statement in enumerate(chosen):
        names = set(statement.loads)
        for before in reversed(chosen[:number]):
            if before.binds & names:
                names |= before.loads
        names -= {HAND_IN, effects.FILES}
        if statement.hands_in and any(later.binds & names for later in chosen[number + 1 :]):
            found.append(statement)
    return found
