"""Two specs compared by meaning: what differs, and which steps run again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rich.box import SIMPLE
from rich.table import Table

from feature_specs import views
from feature_specs.spec import Spec
from feature_specs.views import Difference, told

# Each difference is told with the first view that has it: what comes earlier in the
# pipeline decides what comes later.
_IN_ORDER = (
    views.EXAMPLES,
    views.LIMITS,
    views.DATA_GATES,
    views.ENCODING,
    views.TRAINING,
    views.SERVING,
    views.EVALUATION,
)
_NO_VIEW = "none"


class Again(NamedTuple):
    """A step that runs again, and why."""

    step: str
    why: str


class SpecDiff:
    """What differs in meaning between two specs.

    Args:
        before: With which a pipeline was run.
        now: With which it is run next.

    Attributes:
        everywhere: All differences.
        changed: Names of the views that differ, in the order of the pipeline.
    """

    def __init__(self, before: Spec, now: Spec):
        self._places = {name: _differences(before, now, name) for name in _IN_ORDER}
        self.everywhere = _differences(before, now, views.EVERYTHING)
        self.changed = [name for name in _IN_ORDER if self._places[name]]

    def with_views(self) -> Iterator[tuple[Difference, str]]:
        """Each difference, and the first view that it changes, or `none`."""
        for one in self.everywhere:
            seen = (
                name
                for name in _IN_ORDER
                if any(_related(one.path, other.path) for other in self._places[name])
            )
            yield one, next(seen, _NO_VIEW)

    def steps_again(self) -> list[Again]:
        """The steps that have no cached result, in the order in which they run."""
        found: dict[str, str] = {}
        for step in views.STEPS:
            anew = [name for name in step.reads if name in found]
            if step.name == "Trainer" and (step.view in self.changed or anew):
                found[step.name] = self._training()
            elif step.view in self.changed:
                found[step.name] = f"the {step.view} view changes"
            elif anew:
                found[step.name] = f"reads what {' and '.join(anew)} made anew"
        return [Again(*item) for item in found.items()]

    def _training(self) -> str:
        """What the Trainer step does, whose checkpoints what decides them keeps."""
        if views.EXAMPLES in self.changed:
            return "trains anew, on other examples"
        if views.ENCODING in self.changed:
            return "trains anew, on the same examples encoded otherwise"
        if views.TRAINING in self.changed:
            return "trains anew, on the same examples"
        return "exports again: its days are restored, none is trained"


def diff_tables(found: SpecDiff) -> list[Table]:
    """The tables that `trailrank spec diff` prints; none for one meaning."""
    if not found.everywhere:
        return []
    differing = _table("what differs", "place", "before", "now", "first view")
    for one, name in found.with_views():
        differing.add_row(one.path, told(one.before), told(one.now), name)
    again = _table("what runs again", "step", "why")
    for step in found.steps_again():
        again.add_row(*step)
    return [differing, *([again] if again.rows else [])]


def _differences(before: Spec, now: Spec, name: str) -> list[Difference]:
    return views.differences(views.values(before, name), views.values(now, name))


def _related(one: str, other: str) -> bool:
    """Whether a place is another one, or inside of it."""
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _table(title: str, *heads: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE)
    for head in heads:
        table.add_column(head, overflow="fold")
    return table
