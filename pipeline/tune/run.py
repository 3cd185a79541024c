"""Searching a preset's settings from Python: trials, the best preset, its judgement."""

from __future__ import annotations

import dataclasses
import importlib.util
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from feature_specs import ModelConfig, Spec
from feature_specs.locks import owned
from feature_specs.named import PresetLike, SpecLike, as_preset, name_of_preset
from feature_specs.places import Place
from feature_specs.preset import check_preset
from pipeline.compare.run import check_examples, check_places, find_examples
from pipeline.compare.workers import choose_workers
from pipeline.reporting.figures import require_matplotlib
from pipeline.tune.errors import NoOptunaError, TuneError
from pipeline.tune.objective import choose_objective
from pipeline.tune.space import (
    Domain,
    Space,
    check_space,
    default_space,
    domain_of,
    parse_space,
)
from trainer.days.folders import Places
from trainer.slices import SliceLike, choose_slice

if TYPE_CHECKING:
    from pipeline.compare.examples import Examples
    from pipeline.tune.plan import Plan
    from pipeline.tune.search import Tried
    from pipeline.tune.tuned import Tuned

_BEST = "best"


class Listener:
    """Is told how a search goes. Override what is of interest."""

    def planned(self, plan: Plan, finished: int) -> None:
        """All is checked, and so many trials are over already."""

    def trying(self, number: int, tried: Sequence[Tried]) -> None:
        """A trial begins; those are over."""

    def judging(self, number: int, total: int, seconds_left: float | None) -> None:
        """A training for the days kept from the search begins."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuneOptions:
    """How settings are searched.

    >>> trailrank.TuneOptions(trials=50).seeds
    5

    Attributes:
        trials: So many at most, those of an earlier start among them.
        seconds: No trial begins after so many seconds of trials, likewise.
        metrics: `TASK.METRIC`, as `click.auc`; by default AUC or R² of every task.
        days: `20220408` or `20220408:20220414`; by default all.
        holdout_days: The last days, kept from the search; by default as many as the
            run's evaluation days, or 1.
        seeds: Pairs of trainings that judge the best trial there; 0 leaves that out.
        seed: Of the values drawn and of every trial's training.
        workers: Of the trainings that judge so many at once, as in `CompareOptions`.
            Trials follow from those before them, and come one by one.

    Raises:
        TuneError: Values that make no sense.
    """

    trials: int = 30
    seconds: float | None = None
    metrics: Sequence[str] = ()
    days: Sequence[str] = ()
    holdout_days: int | None = None
    seeds: int = 5
    seed: int = 0
    workers: int | None = 1

    def __post_init__(self) -> None:
        least = {"trials": 1, "holdout_days": 1, "seeds": 0, "seed": 0, "workers": 1}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise TuneError(f"--{name}: must be {smallest} or more. Got {value}.")
        if self.seconds is not None and not self.seconds > 0:
            raise TuneError(f"--seconds: must be above 0. Got {self.seconds}.")


def tune(
    preset: PresetLike,
    out: Place,
    *,
    root: Place | None = None,
    spec: SpecLike | None = None,
    examples: Places | None = None,
    encoding: Place | None = None,
    space: Place | Mapping[str, Any] | None = None,
    options: TuneOptions | None = None,
    slice: SliceLike | None = None,
    listener: Listener | None = None,
) -> Tuned:
    """Searches a preset's settings on days as they come, and judges the best it finds.

    >>> found = trailrank.tune(
    ...     "mine.yaml", "tuned", spec="small.yaml", examples="examples",
    ...     slice="tiny.yaml", space={"optimizer.learning_rate": [0.001, 0.003, 0.01]},
    ...     options=trailrank.TuneOptions(trials=2, metrics=["watch.r2"], seeds=2),
    ... )
    >>> found.best.value >= found.tried[0].value  # trial 0 is the preset as it is
    True

    `out` gets `best.yaml`, a preset to train with; `report.md`, `trials.csv`,
    `tune.json` and the figures. What is over in `out/search.journal` is not trained
    again: a search that was killed goes on, and `trials` can be raised.

    Args:
        preset: Where the search begins: a shipped name, a file or a preset.
        out: Directory of this machine.
        root: A run, whose newest examples are taken.
        spec: Or a spec, and
        examples: what `make_examples` wrote, one directory or several.
        encoding: What `make_encoding` wrote for them. Left out, the examples must be
            encoded already.
        space: Key -> `{low: LOW, high: HIGH, log: true}` or a list of values; or a YAML
            file that says so. By default rates, passes over a day, widths, dropout,
            lambda and sparse tasks' weights around the preset's own.
        options: How it is searched.
        slice: What a training runs on; by default the best that is here.
        listener: Is told how it goes.

    Raises:
        TuneError: A space, days or metrics that cannot be searched as asked; another
            search is in `out`.
        CompareError: Arguments that do not go together.
        SpecError: A preset or the space's file has mistakes.
        NoRunError, PlaceError: There are no examples.
        LockedError: Another command writes to `out`.
        RuntimeError: Optuna or matplotlib is missing.
    """
    options, listener = options or TuneOptions(), listener or Listener()
    check_places(out, root, spec, examples)
    require_matplotlib()
    require_optuna()
    config, asked = as_preset(preset), _space(space)
    check_examples(root, spec, examples, encoding)
    with owned(out):
        chosen = options.days, options.holdout_days
        rows = find_examples(root, spec, examples, encoding, *chosen)
        where = choose_slice("auto", slice)
        from pipeline.tune.plan import Plan

        plan = Plan(
            preset=config,
            name=_name(preset),
            space=_checked(asked, config, rows.spec),
            examples=_enough(rows),
            objective=choose_objective(rows.spec, options.metrics),
            slice=where,
            seed=options.seed,
        )
        return _run(plan, pathlib.Path(out), options, listener)


def require_optuna() -> None:
    """NoOptunaError if it is not installed."""
    if importlib.util.find_spec("optuna") is None:
        raise NoOptunaError(
            "The search needs Optuna, which is not installed. Install it: pip install "
            "optuna (the extra `tune` of trailrank)."
        )


def read_space(path: Place | None) -> dict[str, Domain]:
    """The keys of a YAML file; none without one.

    Raises:
        TuneError, SpecError: It cannot be read, or has mistakes.
    """
    if path is None:
        return {}
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TuneError(
            f"--space {path}: must be a YAML file of keys. Got: {error}."
        ) from None
    return parse_space(text, f"--space {path}")


def _space(space: Place | Mapping[str, Any] | None) -> dict[str, Domain]:
    if isinstance(space, Mapping):
        return {key: domain_of(value, f"space {key}") for key, value in space.items()}
    return read_space(space)


def _checked(asked: Space, preset: ModelConfig, spec: Spec) -> Space:
    """The space that was asked for, or the default one; both fit preset and spec."""
    check_preset(preset, spec)
    space = asked or default_space(preset, spec)
    check_space(space, preset, spec)
    return space


def _enough(examples: Examples) -> Examples:
    if len(examples.train) < 2:
        raise TuneError(
            f"--days: must leave two days or more to search on, as each is judged by "
            f"those before it. Got {len(examples.train)} beside "
            f"{len(examples.evaluation)} of --holdout_days."
        )
    return examples


def _name(preset: PresetLike) -> str:
    name = name_of_preset(preset)
    return name if name != _BEST else "preset"


def _run(
    plan: Plan, out: pathlib.Path, options: TuneOptions, listener: Listener
) -> Tuned:
    """Tries what `out` does not have, judges the best, and writes what was found."""
    from pipeline.tune import holdout
    from pipeline.tune.importance import importances
    from pipeline.tune.search import Budget, Search, best_of
    from pipeline.tune.training import Trainer
    from pipeline.tune.tuned import Tuned

    search = Search(plan, out)
    listener.planned(plan, len(search.tried))
    budget = Budget(trials=options.trials, seconds=options.seconds)
    trainer = Trainer(plan, out)
    search.run(budget, trainer.train, listener.trying)
    trainer.clean_up()
    tried = search.tried
    best = best_of(tried)
    judged = None
    if options.seeds and best.config is not None and best.config != plan.preset:
        judged = holdout.judge(
            plan,
            best.config,
            out,
            options.seeds,
            lambda number, total, trial, left: listener.judging(number, total, left),
            choose_workers(options.workers, plan.slice),
        )
    found = Tuned(
        plan=plan,
        tried=tried,
        best=best,
        importance=importances(search.study, tried),
        holdout=judged,
    )
    _write(found, out)
    return found


def _write(found: Tuned, out: pathlib.Path) -> None:
    from pipeline.reporting import files
    from pipeline.reporting.figures import png
    from pipeline.tune import plot, report

    contents = {
        "best.yaml": report.preset_yaml(found).encode(),
        "trials.csv": report.trials_csv(found).encode(),
        "tune.json": files.to_json(report.summary(found)),
        "report.md": report.markdown(found).encode(),
        "history.png": png(plot.draw_history(found.tried)),
    }
    if found.importance:
        contents["importance.png"] = png(plot.draw_importance(found.importance))
    for name, content in contents.items():
        files.write_bytes(out / name, content)
