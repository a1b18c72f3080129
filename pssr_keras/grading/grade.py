"""Grade one submission: run it in its sandbox, judge what it hands in here.

The student's process hands in answers, and this one judges them with the checks of this package. So a
notebook cannot change a check, a point, or a verdict: none of them is where it runs.
"""

import dataclasses
import re
import threading

from ..exercises import Verdict
from . import student, submissions
from .sandbox import Sandbox, Stopped

CONTEXT = threading.Lock()
LONGEST = 300  # characters of a text that a student may have a say in


class StudentError(Exception):
    """A student's function raised an error."""


@dataclasses.dataclass(frozen=True)
class Grade:
    """What came of a submission.

    Args:
        tutorial: as recognised by its content, or "".
        verdicts: {number of an exercise: Verdict}.
        remarks: texts for whoever grades: errors, limits, a name that does not fit.
    """

    tutorial: str
    verdicts: dict
    remarks: list


def _function(sandbox):
    """Function: number -> a function that the student's process computes."""

    def named(number):
        def call(*arguments):
            sandbox.say(function=number, arguments=[student.encode(value) for value in arguments])
            reply = sandbox.hear()
            if "failed" in reply:
                raise StudentError(str(reply["failed"])[:LONGEST])
            return student.decode(reply.get("result"))

        return call

    return named


def _judge(exercise, answers):
    """The verdict on answers; whatever goes wrong is a verdict, too."""
    try:
        with CONTEXT:  # made once, not by every thread that asks meanwhile
            context = exercise.context()
        verdict = exercise.grade(*answers, *context)
        return dataclasses.replace(verdict, message=verdict.message[:LONGEST])
    except StudentError as error:
        return Verdict(0, exercise.points, f"not yet: the function stops with {error}")
    except Stopped as error:
        return Verdict(0, exercise.points, f"not tried: {error}")
    except Exception as error:  # an answer of a kind that the check does not expect
        return Verdict(0, exercise.points, f"not yet: the answer cannot be judged ({student.told(error)})")


def _answers(message, exercise, sandbox):
    """The answers of a message, in the order of the check's parameters; None where one is missing."""
    given = [student.decode(value, _function(sandbox)) for value in message["answers"]]
    found = dict(zip(exercise.answers, given, strict=False))
    found |= {name: student.decode(value, _function(sandbox)) for name, value in message["named"]}
    return [found.get(name) for name in exercise.answers]


def _collect(sandbox, exercises, remarks):
    """{check: answers} that a notebook hands in, the last ones given; and how often it names checks."""
    handed_in, names = {}, {}
    try:
        while "errors" not in (message := sandbox.hear()):
            if "refused" in message:
                remarks.append(str(message["refused"])[:LONGEST])
                return {}, {}
            if "names" in message:
                names = {name: int(message["names"][name]) for name in exercises}
            elif message.get("check") in exercises:
                answers = _answers(message, exercises[message["check"]], sandbox)
                if all(answer is not None for answer in answers):
                    handed_in[message["check"]] = answers
        remarks += [str(error)[:LONGEST] for error in message["errors"][:5]]
    except Stopped as error:
        remarks.append(str(error))
    except Exception:  # the process may say anything
        remarks.append("stopped: its process said what cannot be read")
    return handed_in, names


def grade(path, exercises, results, seconds, memory, processes):
    """The grade of one file, whatever it is.

    Args:
        path: of the submission.
        exercises: {name of a check: Exercise}, usually `EXERCISES`.
        results, seconds, memory, processes: as of a `Sandbox`.
    """
    refusal = submissions.refusal(path)
    if refusal:
        return Grade("", {}, [refusal])
    remarks = []
    with Sandbox(path, results, seconds, memory, processes) as sandbox:
        checks = {name: list(exercise.answers) for name, exercise in exercises.items()}
        try:
            sandbox.say(
                notebook="notebook.ipynb", checks=checks, memory=memory, largest_file=submissions.LARGEST
            )
        except Stopped as error:
            return Grade("", {}, [str(error)])
        handed_in, names = _collect(sandbox, exercises, remarks)
        tutorial = submissions.recognise(names, exercises) if names else None
        if tutorial is None:
            return Grade("", {}, remarks or ["a notebook, but with no exercise of the tutorials in it"])
        verdicts = {}
        for name, exercise in exercises.items():
            if exercise.tutorial == tutorial:
                answers = handed_in.get(name)
                missing = Verdict(0, exercise.points, "not answered")
                verdicts[exercise.number] = _judge(exercise, answers) if answers else missing
    others = {exercises[name].tutorial for name in handed_in} - {tutorial}
    remarks += [f"it hands in exercises of {other} too, which were not graded" for other in sorted(others)]
    claimed = _claimed(path.stem, sorted({other.tutorial for other in exercises.values()}))
    if claimed and claimed != tutorial:
        remarks.append(f"the name says {claimed}, the content is {tutorial}")
    return Grade(tutorial, dict(sorted(verdicts.items())), remarks)


def _claimed(stem, tutorials):
    """The tutorial that the name of a file claims: by its own name, or by the number at its beginning."""
    for tutorial in tutorials:
        if tutorial in stem or re.match(rf"{tutorial[:2]}(\D|$)", stem):
            return tutorial
    return None
