"""Grade one submission: run it in its sandbox, judge what it hands in here.

The student's process hands in answers, and this one judges them with the checks of this package. So a
notebook cannot change a check, a point, or a verdict: none of them is where it runs.

At first only those statements are run that an answer needs, as far as their text tells. Where this takes
points, all of the notebook is run, and the better verdict counts.
"""

import dataclasses
import re
import threading
import time

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


@dataclasses.dataclass
class _Run:
    """What came of one run of a notebook.

    Args:
        names: {check: how often the notebook names it}.
        certain: checks for which a run of the whole notebook would hand in the same.
        handed_in: {check: the last answers}.
        judged: {check: Verdict}, of functions that had to be judged before the notebook went on.
        errors: of statements.
        left_out: commands of the shell that were not run.
        stopped: why it did not end, or "".
        refused: why it is no notebook, or "".
    """

    names: dict = dataclasses.field(default_factory=dict)
    certain: set = dataclasses.field(default_factory=set)
    handed_in: dict = dataclasses.field(default_factory=dict)
    judged: dict = dataclasses.field(default_factory=dict)
    errors: list = dataclasses.field(default_factory=list)
    left_out: list = dataclasses.field(default_factory=list)
    stopped: str = ""
    refused: str = ""

    def remarks(self):
        return [*filter(None, [self.refused]), *self.errors, *filter(None, [self.stopped])]


def _texts(said):
    return [str(text)[:LONGEST] for text in said[:5]]


def _collect(sandbox, exercises, task):
    """Give a process its task and hear what it has to say until all of the notebook was run: a `_Run`."""
    run = _Run()
    try:
        sandbox.say(**task)
        while "errors" not in (message := sandbox.hear()):
            if "refused" in message:
                run.refused = str(message["refused"])[:LONGEST]
                return run
            if "names" in message:
                run.names = {name: int(message["names"][name]) for name in exercises}
                run.certain = {name for name in exercises if name in message["certain"]}
            elif message.get("check") in exercises:
                _take(message, exercises, sandbox, run)
        run.errors = _texts(message["errors"])
        run.left_out = _texts(message.get("left_out", []))
    except Stopped as error:
        run.stopped = str(error)
    except Exception:  # the process may say anything
        run.stopped = "stopped: its process said what cannot be read"
    return run


def _take(message, exercises, sandbox, run):
    """Keep the answers of a message; judge a function that the notebook is about to change."""
    name = message["check"]
    answers = _answers(message, exercises[name], sandbox)
    if all(answer is not None for answer in answers):
        run.handed_in[name] = answers
        run.judged.pop(name, None)
        if message.get("waits"):
            run.judged[name] = _judge(exercises[name], answers)
    if message.get("waits"):
        sandbox.say(go_on=True)


def _verdicts(run, exercises):
    """{check: Verdict} for some exercises, while the process of the run is alive."""
    found = {}
    for name, exercise in exercises.items():
        answers = run.handed_in.get(name)
        missing = Verdict(0, exercise.points, "not answered")
        found[name] = run.judged.get(name) or (_judge(exercise, answers) if answers else missing)
    return found


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
    task = {
        "notebook": "notebook.ipynb",
        "checks": {name: list(exercise.answers) for name, exercise in exercises.items()},
        "memory": memory,
        "largest_file": submissions.LARGEST,
    }
    options = (path, results, seconds, memory, processes, time.monotonic() + seconds)
    with Sandbox(*options) as sandbox:
        run = _collect(sandbox, exercises, task | {"seconds": seconds, "whole": False})
        tutorial = submissions.recognise(run.names, exercises) if run.names else None
        if tutorial is None:
            reason = ["a notebook, but with no exercise of the tutorials in it"]
            return Grade("", {}, run.remarks() or reason)
        asked = {name: exercise for name, exercise in exercises.items() if exercise.tutorial == tutorial}
        verdicts = _verdicts(run, asked)
    doubtful = _lost(verdicts) - run.certain
    left = sandbox.deadline - time.monotonic()
    remarks = run.remarks()
    if doubtful and left > 0:
        with Sandbox(*options) as sandbox:
            again = _collect(sandbox, exercises, task | {"seconds": left, "whole": True})
            second = _verdicts(again, {name: asked[name] for name in doubtful})
        better = {name for name in doubtful if second[name].points > verdicts[name].points}
        verdicts |= {name: second[name] for name in better}
        if better:
            remarks = again.remarks()
        elif again.stopped and not run.stopped:
            remarks.append(f"all of it was run too, but not to its end: {again.stopped}")
        run.left_out = again.left_out or run.left_out
        run.handed_in |= again.handed_in
    if _lost(verdicts):
        remarks += [text for text in run.left_out if text not in remarks]
    others = {exercises[name].tutorial for name in run.handed_in} - {tutorial}
    remarks += [f"it hands in exercises of {other} too, which were not graded" for other in sorted(others)]
    claimed = _claimed(path.stem, sorted({other.tutorial for other in exercises.values()}))
    if claimed and claimed != tutorial:
        remarks.append(f"the name says {claimed}, the content is {tutorial}")
    numbered = {asked[name].number: verdict for name, verdict in verdicts.items()}
    return Grade(tutorial, dict(sorted(numbered.items())), remarks)


def _lost(verdicts):
    return {name for name, verdict in verdicts.items() if verdict.points < verdict.of}


def _claimed(stem, tutorials):
    """The tutorial that the name of a file claims: by its own name, or by the number at its beginning."""
    for tutorial in tutorials:
        if tutorial in stem or re.match(rf"{tutorial[:2]}(\D|$)", stem):
            return tutorial
    return None
