"""Selecting a weight from Python: trainings, G, votes, rivals, figures and a preset."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from feature_specs import ModelConfig, Spec, read_spec
from feature_specs.locks import owned
from feature_specs.named import PresetLike, SpecLike, as_preset, as_spec, name_of_preset
from feature_specs.places import Place
from pipeline.compare.run import check_examples, check_places, find_examples
from pipeline.compare.workers import choose_workers
from pipeline.reporting.figures import require_matplotlib
from pipeline.run_record import read_record
from pipeline.weight_selection.options import GRID, LEAST, UNIFORM, WeightOptions
from pipeline.weight_selection.plan import Plan, make_plan
from trainer.days.folders import Places
from trainer.slices import SliceLike, choose_slice

if TYPE_CHECKING:
    from pipeline.compare.comparison import Comparison
    from pipeline.compare.examples import Examples
    from pipeline.compare.trials import Trial
    from pipeline.weight_selection.findings import Selection, Way
    from pipeline.weight_selection.labels import Labels
    from pipeline.weight_selection.learning import Trained
    from pipeline.weight_selection.metric import CombinedMetric
    from tpu_configs import SliceConfig

_NAME = "weights"
_GRADIENT_BATCHES = 8  # that the features are seen on: a backward pass a task each


class Listener:
    """Is told how a selection goes. Override what is of interest."""

    def counting(self) -> None:
        """Labels are counted."""

    def planned(self, trials: int, finished: int) -> None:
        """G's trainings are known, later the rivals', and how many are finished."""

    def training(
        self, number: int, total: int, trial: Trial, left_s: float | None
    ) -> None:
        """A training begins; these will take so many seconds more, None if unknown."""

    def learned(self, weight: float) -> None:
        """G is learned, and has chosen."""


def select_weight(
    new_task: str,
    preset: PresetLike,
    out: Place,
    *,
    root: Place | None = None,
    spec: SpecLike | None = None,
    examples: Places | None = None,
    encoding: Place | None = None,
    options: WeightOptions | None = None,
    slice: SliceLike | None = None,
    listener: Listener | None = None,
) -> Selection:
    """Chooses the loss weight of a new sparse task, by a meta learner (SFV sec. 5.3).

    >>> found = trailrank.select_weight(
    ...     "one_in_30", "mixed.yaml", "out", spec="rare.yaml", examples="examples",
    ...     slice="tiny.yaml",
    ...     options=trailrank.WeightOptions(sample=0.5, weights=[1, 100], seeds=1),
    ... )
    >>> found.weight in trailrank.WeightOptions().candidates
    True
    >>> found.preset.loss_weights["one_in_30"] == found.weight
    True

    `out` gets `weights.json`, `.md` and `.png`, and `preset.yaml`, which has the
    weight. What is in `out/results.jsonl` is not trained again.

    Args:
        new_task: A task that the spec calls `sparse`.
        preset: A shipped name, a file or a preset, in which tasks share.
        out: Directory of this machine.
        root: A run, whose newest examples are taken.
        spec: Or a spec, and
        examples: what `make_examples` wrote, one directory or several.
        encoding: What `make_encoding` wrote for them. Left out, the examples must be
            encoded already.
        options: How it is selected.
        slice: What a training runs on; by default the best that is here.
        listener: Is told how it goes.

    Raises:
        WeightSelectionError: Tasks, labels or a preset for which no weight can be
            selected.
        CompareError: Arguments that do not go together.
        SpecError: Spec or preset have mistakes.
        NoRunError, PlaceError: There are no examples.
        TrialsFailedError: Trainings failed; the others are finished.
        LockedError: Another command writes to `out`.
        RuntimeError: matplotlib is missing.
    """
    options, listener = options or WeightOptions(), listener or Listener()
    check_places(out, root, spec, examples)
    require_matplotlib()
    config, name = as_preset(preset), name_of_preset(preset)
    check_examples(root, spec, examples, encoding)
    make_plan(_spec(root, spec), name, config, new_task, options)  # before TensorFlow
    with owned(out):
        days, eval_days = options.days, options.eval_days
        rows = find_examples(root, spec, examples, encoding, days, eval_days)
        plan = make_plan(rows.spec, name, config, new_task, options)
        where = choose_slice("auto", slice)
        return _select(plan, rows, name, where, options, pathlib.Path(out), listener)


def select_on(
    examples: Examples,
    preset: ModelConfig,
    name: str,
    new_task: str,
    out: pathlib.Path,
    options: WeightOptions,
    slice: SliceConfig,
) -> Selection:
    """As `select_weight`, on examples that are found already.

    Args:
        examples: The rows.
        preset: In which tasks share.
        name: Of the preset, in tables.
        new_task: A task that the spec calls `sparse`.
        out: See `select_weight`.
        options: How it is selected.
        slice: What a training runs on.
    """
    plan = make_plan(examples.spec, name, preset, new_task, options)
    with owned(out):
        return _select(plan, examples, name, slice, options, out, Listener())


def _select(
    plan: Plan,
    examples: Examples,
    name: str,
    slice: SliceConfig,
    options: WeightOptions,
    out: pathlib.Path,
    listener: Listener,
) -> Selection:
    found = _Run(plan, examples, slice, options, out, listener).all(name)
    _write(found, out)
    return found


def _spec(root: Place | None, spec: SpecLike | None) -> Spec:
    if root is not None:
        return read_spec(read_record(root).spec_text, f"the spec of {root}")
    assert spec is not None  # see `check_places`
    return as_spec(spec)


@dataclasses.dataclass(frozen=True)
class _Run:
    """All that a selection does."""

    plan: Plan
    examples: Examples
    slice: SliceConfig
    options: WeightOptions
    out: pathlib.Path
    listener: Listener

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(range(self.options.seeds))

    def all(self, name: str) -> Selection:
        from pipeline.weight_selection import findings
        from pipeline.weight_selection.learning import learn_weight
        from pipeline.weight_selection.metric import combined_metric

        self.listener.counting()
        began = time.process_time()
        seen, judging = self._labels()
        own_s = time.process_time() - began
        spec, options = self.examples.spec, self.options
        metric = combined_metric(spec, options.importance, judging)
        comparison = self._comparison()
        sampled = self._train(comparison, self._sampled(comparison))
        began = time.process_time()
        learned = learn_weight(
            self.plan,
            spec,
            sampled,
            seen,
            metric,
            runs=options.runs,
            candidates=options.ordered_candidates,
        )
        own_s += time.process_time() - began
        self.listener.learned(learned.choice)
        selecting_s = findings.selecting_seconds(sampled, own_s)
        ways, grid, whole = self._rivals(
            comparison, metric, learned.choice, selecting_s
        )
        return findings.Selection(
            new_task=self.plan.new_task,
            weight=learned.choice,
            preset=findings.chosen_preset(self.plan, learned.choice),
            name=name,
            plan=self.plan,
            options=options,
            examples=self.examples,
            metric=metric,
            seen=seen,
            judging=judging,
            learned=learned,
            selecting_s=selecting_s,
            ways=ways,
            grid=grid,
            diverged=_diverged(sampled) | _diverged(whole),
        )

    def _labels(self) -> tuple[dict[int, Labels], Labels]:
        """Seed -> labels of its sample, and those of the evaluation rows; checked."""
        from pipeline.weight_selection.labels import check_positives, count_labels

        spec, sample = self.examples.spec, self.options.sample
        train, evaluation = self.examples.train, self.examples.evaluation
        seen: dict[int, Labels] = {
            seed: count_labels(spec, train, evaluation=False, sample=sample, seed=seed)
            for seed in self.seeds
        }
        judging = count_labels(spec, evaluation, evaluation=True)
        tasks = (*self.plan.roles, self.plan.new_task)
        check_positives(tasks, self.examples, sample, seen, judging)
        return seen, judging

    # --- trainings --------------------------------------------------------------------

    def _comparison(self) -> Comparison:
        """Everything that is trained; weights of losses change no preset's size."""
        from pipeline.compare.comparison import Comparison, Entrant
        from pipeline.compare.sizes import count_weights, remembering
        from trainer.days.encoding import counted, read_encoding

        spec, graph = self.examples.spec, self.examples.encoding
        known = counted(spec, read_encoding(graph) if graph else None)
        count = remembering(lambda config: count_weights(known, config))
        entrants = [
            Entrant(
                name=name,
                config=config,
                weights=count(dataclasses.replace(config, loss_weights={})),
                asked=config,
            )
            for name, config in self.plan.asked.items()
        ]
        return Comparison(
            examples=self.examples,
            entrants=tuple(entrants),
            seeds=self.seeds,
            slice=self.slice,
            baseline=None,
            reference=None,
            seesaw=(),
        )

    def _sampled(self, comparison: Comparison) -> list[Trial]:
        """G's trainings, on the sample: those with weight 1 tell the features too."""
        from pipeline.compare.trials import plan_trials

        first: set[str] = set()
        others: set[str] = set()
        for by_weight in self.plan.trained.values():
            for weight, (name, _) in by_weight.items():
                (first if weight == LEAST else others).add(name)
        sample = self.options.sample
        batches = _GRADIENT_BATCHES
        return [
            *plan_trials(
                _of(comparison, first), sample=sample, gradient_batches=batches
            ),
            *plan_trials(_of(comparison, others), sample=sample),
        ]

    def _train(self, comparison: Comparison, trials: list[Trial]) -> Trained:
        from pipeline.compare.trials import ResultsFile, run_trials

        finished = ResultsFile(self.out).read()
        done = sum(trial.key in finished for trial in trials)
        self.listener.planned(len(trials), done)
        found = run_trials(
            comparison,
            trials,
            self.out,
            keep=self.options.keep,
            report=self.listener.training,
            workers=choose_workers(self.options.workers, self.slice),
        )
        return {(t.entrant.name, t.seed): found[t.key] for t in trials}

    def _rivals(
        self,
        comparison: Comparison,
        metric: CombinedMetric,
        choice: float,
        selecting_s: float,
    ) -> tuple[tuple[Way, ...], dict[float, dict[int, float]], Trained]:
        """Lines of SFV table 3, the grid's gains, and the trainings on all rows."""
        from pipeline.compare.trials import plan_trials
        from pipeline.weight_selection import findings

        plan, rivals = self.plan, self.options.rivals
        if not rivals:
            return (), {}, {}
        own, _ = plan.grid[choice]
        of_grid = {name for name, _ in plan.grid.values()} if GRID in rivals else set()
        names = of_grid | {own} | {name for name, _ in plan.rivals.values()}
        whole = self._train(comparison, plan_trials(_of(comparison, names)))
        lines: list[tuple[str, str, float | None, float | None, float]] = []
        grid: dict[float, dict[int, float]] = {}
        if of_grid:
            best = findings.best_of_grid(plan, whole, metric, self.seeds)
            grid = findings.grid_gains(plan, whole, metric, self.seeds)
            cost = findings.selecting_seconds(
                {pair: r for pair, r in whole.items() if pair[0] in of_grid}, 0.0
            )
            lines.append((GRID, plan.grid[best][0], best, 1.0, cost))
        for kind, (name, _) in plan.rivals.items():
            lines.append((kind, name, LEAST if kind == UNIFORM else None, None, 0.0))
        sample = self.options.sample
        lines.append((findings.META, own, choice, sample, selecting_s))
        ways = [
            findings.make_way(
                way,
                name,
                whole,
                metric,
                self.examples.spec,
                plan.new_task,
                lines[0][1] if number else None,
                weight=weight,
                share=share,
                selecting_s=seconds,
            )
            for number, (way, name, weight, share, seconds) in enumerate(lines)
        ]
        return tuple(ways), grid, whole


def _of(comparison: Comparison, names: Collection[str]) -> Comparison:
    """The same of some presets."""
    kept = tuple(e for e in comparison.entrants if e.name in names)
    return dataclasses.replace(comparison, entrants=kept)


def _diverged(trained: Trained) -> dict[str, str]:
    return {
        f"{name}, seed {seed}": result.diverged
        for (name, seed), result in trained.items()
        if result.diverged
    }


def _write(found: Selection, out: pathlib.Path) -> None:
    from pipeline.reporting import files
    from pipeline.reporting.figures import png
    from pipeline.weight_selection import plot, report

    contents = {
        f"{_NAME}.json": files.to_json(report.summary(found)),
        f"{_NAME}.md": report.markdown(found).encode(),
        f"{_NAME}.png": png(plot.draw(found)),
        "preset.yaml": report.preset_text(found).encode(),
    }
    for name, content in contents.items():
        files.write_bytes(out / name, content)
