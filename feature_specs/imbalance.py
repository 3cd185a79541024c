"""A task's loss and how it treats rare labels (SFV sec. 5.2): what fits what.

A task says it in the spec; a preset may say it anew for its own training, under
`imbalance`. Both mean the fields of `TaskSpec`, and both are checked here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Annotated, Any

from feature_specs.build import Problems
from feature_specs.fields import (
    Gamma,
    InnerShare,
    KeptShare,
    Named,
    PositiveWeight,
    ShareBelowOne,
    Times,
    Weight,
)
from feature_specs.spec import LogSpec, TaskSpec
from feature_specs.task_kinds import LOSS_KINDS, LOSS_NAMES, TASK_KINDS, losses_of

_RATES = ("negative_rate", "positive_rate")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImbalanceConfig:
    """What a preset says of one task's loss and rare labels instead of the spec.

    Attributes:
        loss: See `TaskSpec`, as all of them; None leaves what the spec says.
        quantile: Of `quantile`.
        focal_gamma: Of `focal`.
        class_balance_beta: Of `class_balanced`.
        negative_rate: Down-sampling.
        positive_rate: Up-sampling.
        balance: Down-sampling to a share of positives.
        balance_by_auc: Whether that share follows the task's AUC.
        positive_weight: Factor of the loss of positives.
        pairwise: Weight of the loss of the order inside a request.
    """

    loss: Annotated[str | None, Named(LOSS_NAMES)] = None
    quantile: InnerShare | None = None
    focal_gamma: Gamma | None = None
    class_balance_beta: ShareBelowOne | None = None
    negative_rate: KeptShare | None = None
    positive_rate: Times | None = None
    balance: ShareBelowOne | None = None
    balance_by_auc: bool | None = None
    positive_weight: PositiveWeight | None = None
    pairwise: Weight | None = None

    @property
    def said(self) -> dict[str, Any]:
        """The fields that are not left to the spec."""
        values = dataclasses.asdict(self)
        return {key: value for key, value in values.items() if value is not None}

    def applied_to(self, task: TaskSpec) -> TaskSpec:
        """The task, with these in place of its own."""
        return dataclasses.replace(task, **self.said)


KEYS = tuple(f.name for f in dataclasses.fields(ImbalanceConfig) if f.name != "loss")


def check_imbalance(
    problems: Problems, path: str, task: TaskSpec, given: Collection[str]
) -> None:
    """Notes a loss that is not the task's kind's, and keys that fit nothing.

    Args:
        problems: Where they are noted.
        path: Of the task.
        task: With all that is said of it.
        given: The keys that a file has for it: one without use is a loss forgotten, so
            it is told whatever its value.
    """
    known = losses_of(task.of_kind)
    if task.loss not in known:
        of = LOSS_KINDS[task.loss].tasks
        others = " and ".join(TASK_KINDS[kind].plural for kind in of)
        rule = f"belongs to {others}; a {task.kind} task may have {', '.join(known)}."
        problems.add(f"{path}.loss", rule, task.loss)
    used = task.of_kind.uses | LOSS_KINDS[task.loss_kind].uses
    for key in KEYS:
        if key in given and key not in used:
            rule = f"has no use without {_needed(key)}; add that, or remove this."
            problems.add(f"{path}.{key}", rule, getattr(task, key))
    rates = [key for key in _RATES if getattr(task, key) != 1]
    if task.balance and rates:
        rule = f"finds the rate itself; remove {' and '.join(rates)}, or this."
        problems.add(f"{path}.balance", rule, task.balance)
    if task.balance_by_auc and not task.balance:
        rule = "has no use without `balance`; add that, or remove this."
        problems.add(f"{path}.balance_by_auc", rule, task.balance_by_auc)


def check_pairs(problems: Problems, path: str, task: TaskSpec, log: LogSpec) -> None:
    """Notes a task with `pairwise` where batches do not hold whole requests."""
    if task.pairwise and not log.keeps_requests:
        rule = (
            "compares rows of one request, so these must be known and lie together. "
            "Say it in log.request, such as `{column: request_id, together: true}`, or "
            f"`{{session: {log.user}, seconds: 600, together: true}}` where the log "
            "tells no requests apart; or remove this."
        )
        problems.add(f"{path}.pairwise", rule, task.pairwise)


def _needed(key: str) -> str:
    """What a key of a task is for."""
    kinds = [f"`kind: {name}`" for name in TASK_KINDS if key in TASK_KINDS[name].uses]
    losses = [f"`loss: {name}`" for name in LOSS_KINDS if key in LOSS_KINDS[name].uses]
    return " or ".join([*kinds, *losses])
