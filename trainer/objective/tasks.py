"""What training does with each kind of task."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from feature_specs import TaskSpec
from feature_specs.registry import RoomTable
from feature_specs.task_kinds import Binary, Regression
from trainer.objective.links import Identity, Link, Probability


class Objective:
    """What training does with a kind of task.

    Attributes:
        link: From logits to predictions, unless the loss has another one.
        noise_factor: Of exp(-s) times the loss, where s is the log of its variance
            (Kendall et al., 2018, eq. 7 and 10).
    """

    link: Link
    noise_factor: float = 1.0


OBJECTIVES: RoomTable[Objective] = RoomTable(
    "trainer.objective.tasks", "trains tasks of", "@trainer.objective.tasks.objective"
)

_Class = TypeVar("_Class", bound=type[Objective])


def objective(kind: type) -> Callable[[_Class], _Class]:
    """A decorator: the class is the objective of a kind of task."""

    def register(cls: _Class) -> _Class:
        OBJECTIVES.register(kind)(cls())
        return cls

    return register


def objective_of(task: TaskSpec) -> Objective:
    """The objective of a task's kind."""
    return OBJECTIVES[task.of_kind]


@objective(Binary)
class BinaryObjective(Objective):
    """sigmoid(z) is the probability."""

    link = Probability()


@objective(Regression)
class RegressionObjective(Objective):
    """z is the mean."""

    link = Identity()
    noise_factor = 0.5
