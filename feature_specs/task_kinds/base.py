"""What every kind of task and every loss says of itself, and how one is registered."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TypeVar

from feature_specs.registry import Kind, Registry, kind_class

DEFAULT_LOSS = "default"  # stands for the kind's own


class TaskKind(Kind):
    """One kind of task: what its labels and its predictions are.

    What the rooms do with it is in their tables: `trainer.objective.tasks.objective`
    and `pipeline.evaluation.quality.measures`.

    Attributes:
        plural: Tasks of this kind, for messages: `regressions`.
        default_loss: The loss that `default` stands for.
        is_probability: Whether it predicts the probability of a label that is 0 or 1.
            Then it has an AUC, its positives are counted, and it can be chained.
        label_range: Smallest and largest label; None for any number.
        metrics: Of `pipeline.compare`; the first is the one that tables show.
        uses: Which of the keys that only some tasks have it has a use for.
    """

    plural: str = ""
    default_loss: str = ""
    is_probability = False
    label_range: tuple[float, float] | None = None
    metrics: tuple[str, ...] = ()
    uses: frozenset[str] = frozenset()

    def mean_label(self, total: float, rows: float) -> float:
        """What labels are at first taken for, from their sum over some rows."""
        return total / rows if rows else 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossKind:
    """What a spec has to know of a loss; how it is computed `trainer.objective` knows.

    Attributes:
        name: What `loss` of a task says.
        tasks: Kinds of tasks that may have it.
        uses: Which of the keys that only some losses have it has a use for.
    """

    name: str
    tasks: tuple[str, ...]
    uses: frozenset[str] = frozenset()


TASK_KINDS: Registry[TaskKind] = Registry(
    "task kind", "@feature_specs.task_kinds.task_kind(name)"
)
LOSS_KINDS: Registry[LossKind] = Registry(
    "loss", "@trainer.objective.losses.loss(name, tasks=...)"
)

_Class = TypeVar("_Class", bound=type[TaskKind])


def task_kind(name: str) -> Callable[[_Class], _Class]:
    """A decorator: the class is what `kind: name` of a task means."""

    return kind_class(TASK_KINDS, name)


def declare_loss(
    name: str, tasks: tuple[str, ...], uses: frozenset[str] = frozenset()
) -> None:
    """Makes `loss: name` known to specs, for tasks of some kinds."""
    LOSS_KINDS.add(name, LossKind(name=name, tasks=tasks, uses=uses))


def losses_of(kind: TaskKind) -> list[str]:
    """What `loss` of a task of this kind may say."""
    own = (loss for loss in LOSS_KINDS if kind.name in LOSS_KINDS[loss].tasks)
    return [DEFAULT_LOSS, *own]


class _LossNames:
    """What `loss` may say, whatever the kind of the task."""

    def __iter__(self) -> Iterator[str]:
        yield DEFAULT_LOSS
        yield from LOSS_KINDS


LOSS_NAMES = _LossNames()
