"""What an exercise is: an answer goes in, points and one line of text come out.

A notebook prints the line, grading keeps the points; both run the same code.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable

EXERCISES: dict[str, "Exercise"] = {}  # by the name of its check


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Points, of how many, and what is said: "right", "not answered yet", or "not yet: " and a hint."""

    points: int
    of: int
    message: str


@dataclasses.dataclass(frozen=True)
class Wrong:
    """A mistake, as a check returns it: the name of a hint, what fills its gaps, points all the same."""

    hint: str
    points: int
    values: dict


RIGHT = Wrong("", 0, {})


def wrong(hint, points=0, **values):
    return Wrong(hint, points, values)


@dataclasses.dataclass(frozen=True)
class Exercise:
    """An exercise that checks itself.

    Args:
        tutorial: the notebook it belongs to, such as "01_findings".
        number: within the notebook.
        points: of a right answer.
        hints: {name: what is said about a mistake}; the list of what students get wrong.
        judge: a function (answers, context) -> RIGHT or `wrong(...)`.
        answers: names of the leading parameters of `judge`, which the student gives.
        context: a function () -> the other arguments, as the notebook makes them; grading does not ask the
            student for them.
    """

    tutorial: str
    number: int
    points: int
    hints: dict
    judge: Callable
    answers: tuple
    context: Callable

    def grade(self, *arguments, **named):
        """The verdict on an answer. Nothing is checked where an answer is None.

        Errors of a student's function are not caught: in a notebook, their traceback is the best hint.
        """
        bound = inspect.signature(self.judge).bind(*arguments, **named)
        if any(bound.arguments[name] is None for name in self.answers):
            return Verdict(0, self.points, "not answered yet")
        found = self.judge(*bound.args, **bound.kwargs)
        if found is RIGHT:
            return Verdict(self.points, self.points, "right")
        return Verdict(
            found.points, self.points, f"not yet: {self.hints[found.hint].format_map(found.values)}"
        )


def exercise(tutorial, number, points, hints, answers=1, context=tuple):
    """Make a function that judges an answer an exercise; what is left is the check that notebooks call."""

    def decorate(judge):
        names = tuple(inspect.signature(judge).parameters)[:answers]
        found = Exercise(tutorial, number, points, hints, judge, names, context)
        EXERCISES[judge.__name__] = found

        @functools.wraps(judge)
        def check(*arguments, **named):
            print(found.grade(*arguments, **named).message)

        return check

    return decorate


def is_number(answer):
    """Whether an answer can be compared with a number: no text, no array, no NaN."""
    try:
        return not isinstance(answer, str) and float(answer) == float(answer)
    except (TypeError, ValueError, OverflowError):
        return False
