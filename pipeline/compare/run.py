"""Comparing presets from Python: trainings, findings, tables and figures."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from feature_specs import ModelConfig
from feature_specs.locks import owned
from feature_specs.named import PresetLike, SpecLike, as_preset, as_spec
from feature_specs.places import Place, check_is_no_glob, is_bucket
from pipeline.compare import comparison as planning
from pipeline.compare.errors import CompareError
from pipeline.compare.variants import Variant, Varied, vary
from pipeline.compare.workers import check_workers, choose_workers
from pipeline.compare.yardsticks import KINDS, measure_yardsticks
from pipeline.quiet import quiet_imports
from pipeline.reporting.figures import require_matplotlib
from pipeline.run_record import read_record
from trainer.days.folders import Places, check_encoding_dir, find_days
from trainer.slices import SliceLike, choose_slice

if TYPE_CHECKING:
    from pipeline.compare.comparison import Comparison
    from pipeline.compare.examples import Examples
    from pipeline.compare.findings import Findings
    from pipeline.compare.trials import Trial
    from tpu_configs import SliceConfig

_NAME = "compare"

Presets = Sequence[Place] | Mapping[str, PresetLike]


class Listener:
    """Is told how a comparison goes. Override what is of interest."""

    def sizing(self, preset: str) -> None:
        """A preset is built, to count and match its weights."""

    def planned(self, comparison: Comparison, trials: int, finished: int) -> None:
        """The trainings are known, and so many of them are finished already."""

    def training(
        self, number: int, total: int, trial: Trial, left_s: float | None
    ) -> None:
        """A training begins; all will take so many seconds more, None if unknown."""

    def measuring(self, yardstick: str) -> None:
        """What takes no network is made, after the last training: means or trees."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """How presets are compared.

    >>> trailrank.CompareOptions(seeds=3).match
    True

    Attributes:
        seeds: Trainings of each preset.
        days: `20220408` or `20220408:20220414`; by default all.
        eval_days: The last days judge; by default as many as the run's, or 1.
        baseline: Name of the preset that gains are over; by default the first
            single-task one.
        match: Whether widths are scaled until all sizes are the reference's.
        reference: Name of the preset whose size is matched; by default the first that
            shares.
        seesaw: Two tasks for the seesaw scatter.
        keep: Whether checkpoints stay in `out/checkpoints`.
        vary: Key of a preset, `loss_weights.share` -> the values that every preset but
            the baseline is trained with. Without a baseline gains are over the first.
        yardsticks: What takes no network and is told beside: `means`, `trees`.
        workers: Trainings at once, each in a process of its own, with the same results;
            None for as many as this machine's cores allow, 1 for this process. Other
            processes know kinds of your own by `TRAILRANK_PLUGINS` or entry points.

    Raises:
        CompareError: Values that do not go together.
    """

    seeds: int = 5
    days: Sequence[str] = ()
    eval_days: int | None = None
    baseline: str | None = None
    match: bool = True
    reference: str | None = None
    seesaw: Sequence[str] | None = None
    keep: bool = False
    vary: Varied = dataclasses.field(default_factory=dict)
    yardsticks: Sequence[str] = ("means",)
    workers: int | None = 1

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise CompareError(f"--seeds: must be at least 1, got {self.seeds}")
        if self.eval_days is not None and self.eval_days < 1:
            raise CompareError(f"--eval_days: must be at least 1, got {self.eval_days}")
        check_workers(self.workers)
        for kind in self.yardsticks:
            if kind not in KINDS:
                raise CompareError(
                    f"--yardsticks: must be of {', '.join(KINDS)}. Got {kind!r}."
                )
        if self.reference and not self.match:
            raise CompareError(
                "--reference says whose size is matched: leave --no-match out"
            )


def compare(
    presets: Presets,
    out: Place,
    *,
    root: Place | None = None,
    spec: SpecLike | None = None,
    examples: Places | None = None,
    encoding: Place | None = None,
    options: CompareOptions | None = None,
    slice: SliceLike | None = None,
    listener: Listener | None = None,
) -> Findings:
    """Trains every preset with every seed on the same rows, and tells them apart.

    >>> found = trailrank.compare(
    ...     ["alone.yaml", "mixed.yaml"], "out", spec="small.yaml",
    ...     examples="examples", slice="tiny.yaml",
    ...     options=trailrank.CompareOptions(seeds=2),
    ... )
    >>> gain = found.cell("mixed", "click").gain  # of AUC, over the single-task model
    >>> gain.low < gain.mean < gain.high
    True

    `out` gets `compare.csv`, `.json`, `.md` and the figures. What is in
    `out/results.jsonl` is not trained again.

    Args:
        presets: Shipped names and files, or name -> preset.
        out: Directory of this machine.
        root: A run, whose newest examples are taken.
        spec: Or a spec, and
        examples: what `make_examples` wrote, one directory or several.
        encoding: What `make_encoding` wrote for them. Left out, the examples must be
            encoded already.
        options: How they are compared.
        slice: What a training runs on; by default the best that is here.
        listener: Is told how it goes.

    Raises:
        CompareError: Arguments that do not go together.
        SpecError, ValueError: A preset has mistakes or does not fit the spec.
        NoRunError, PlaceError: There are no examples.
        TrialsFailedError: Trainings failed; the others are finished.
        LockedError: Another command writes to `out`.
        RuntimeError: matplotlib is missing.
    """
    options, listener = options or CompareOptions(), listener or Listener()
    check_places(out, root, spec, examples)
    require_matplotlib()
    configs = _load(presets)
    baseline = planning.choose_baseline(configs, options.baseline)
    configs, variants = vary(configs, options.vary, baseline)
    check_examples(root, spec, examples, encoding)
    with owned(out):
        chosen = options.days, options.eval_days
        rows = find_examples(root, spec, examples, encoding, *chosen)
        where = choose_slice("auto", slice)
        comparison = _plan(configs, variants, rows, where, options, listener)
        return _run(comparison, pathlib.Path(out), options, listener)


def check_places(
    out: Place, root: Place | None, spec: object, examples: Places | None
) -> None:
    """TrailrankError where it is not said, or said twice, what is compared on."""
    if root is not None and (spec is not None or examples is not None):
        raise CompareError(
            "--root takes the run's examples: leave --spec, --examples out"
        )
    if root is None and (spec is None or examples is None):
        raise CompareError(
            "name a run by --root, or examples by --spec, --examples and --encoding"
        )
    if is_bucket(out):
        raise CompareError(f"--out {out}: must be a directory of this machine")
    check_is_no_glob("--out", out)


def _load(presets: Presets) -> dict[str, ModelConfig]:
    if isinstance(presets, Mapping):
        return {name: as_preset(preset) for name, preset in presets.items()}
    return planning.load_presets([os.fspath(name) for name in presets])


def check_examples(
    root: Place | None,
    spec: SpecLike | None,
    examples: Places | None,
    encoding: Place | None,
) -> None:
    """What is wrong with a name or a path is told before TensorFlow loads."""
    if root is not None:
        read_record(root)
    if spec is not None and examples is not None:
        as_spec(spec)
        find_days(examples)
        check_encoding_dir(encoding, examples)


def find_examples(
    root: Place | None,
    spec: SpecLike | None,
    places: Places | None,
    encoding: Place | None,
    days: Sequence[str],
    eval_days: int | None,
) -> Examples:
    """The rows, as `compare` describes them; TensorFlow gets loaded."""
    with quiet_imports():
        from pipeline.compare import trials  # noqa: F401
    from pipeline.compare.examples import examples_of_folder, examples_of_run

    if root is not None:
        return examples_of_run(os.fspath(root), days, eval_days)
    assert spec is not None and places is not None  # see `check_places`
    graph = None if encoding is None else os.fspath(encoding)
    return examples_of_folder(as_spec(spec), places, days, eval_days, encoding=graph)


def _plan(
    configs: dict[str, ModelConfig],
    variants: dict[str, Variant],
    examples: Examples,
    slice: SliceConfig,
    options: CompareOptions,
    listener: Listener,
) -> Comparison:
    from trainer.days.encoding import counted, read_encoding

    graph = examples.encoding
    known = counted(examples.spec, read_encoding(graph) if graph else None)
    wanted = None
    if options.match:
        wanted = planning.choose_reference(configs, options.reference)
    baseline = planning.choose_baseline(configs, options.baseline)
    if baseline is None:
        baseline = next(iter(variants), None)
    return planning.Comparison(
        examples=examples,
        slice=slice,
        baseline=baseline,
        reference=wanted,
        seesaw=planning.choose_seesaw(examples.spec, options.seesaw),
        entrants=planning.plan_entrants(configs, known, wanted, listener.sizing),
        seeds=tuple(range(options.seeds)),
        variants=variants,
    )


def _run(
    comparison: Comparison,
    out: pathlib.Path,
    options: CompareOptions,
    listener: Listener,
) -> Findings:
    """Trains what `out` does not have, and writes tables and figures there."""
    from pipeline.compare.findings import find
    from pipeline.compare.trials import ResultsFile, plan_trials, run_trials

    planned, finished = plan_trials(comparison), ResultsFile(out).read()
    done = sum(trial.key in finished for trial in planned)
    listener.planned(comparison, len(planned), done)
    results = run_trials(
        comparison,
        planned,
        out,
        keep=options.keep,
        report=listener.training,
        workers=choose_workers(options.workers, comparison.slice),
    )
    yardsticks = measure_yardsticks(
        comparison.examples, options.yardsticks, out, listener.measuring
    )
    findings = find(comparison, planned, results, yardsticks)
    _write(findings, out)
    return findings


def _write(findings: Findings, out: pathlib.Path) -> None:
    from pipeline.compare import plot, report
    from pipeline.compare.sweep_plot import draw_sweep, varied_keys
    from pipeline.reporting import files
    from pipeline.reporting.figures import png

    contents = {
        f"{_NAME}.csv": report.results_csv(findings).encode(),
        f"{_NAME}.json": files.to_json(report.summary(findings)),
        f"{_NAME}.md": report.markdown(findings).encode(),
    }
    if findings.rivals:
        contents["gains.png"] = png(plot.draw_gains(findings))
    if findings.rivals and findings.comparison.seesaw:
        contents["seesaw.png"] = png(plot.draw_seesaw(findings))
    for key in varied_keys(findings):
        contents[f"vary.{key}.png"] = png(draw_sweep(findings, key))
    for name, content in contents.items():
        files.write_bytes(out / name, content)
