"""The whole pipeline from Python, on this machine: raw logs to a pushed model."""

from __future__ import annotations

import atexit
import logging
import sys
import warnings

from absl import logging as absl_logging

from feature_specs.locks import owned
from feature_specs.places import Place
from feature_specs.preset import read_preset
from pipeline.evaluate import check_truth
from pipeline.quiet import quiet_imports
from pipeline.run_config import RunConfig, Texts, check_local, check_metadata
from pipeline.run_record import RunRecord
from pipeline.step_events import OnStep
from pipeline.weight_selection.in_runs import check_selection


def run_pipeline(
    config: RunConfig, *, truth: Place | None = None, on_step: OnStep | None = None
) -> RunRecord:
    """Runs every step without a cached result, scores the last days, writes `run.json`.

    >>> record = trailrank.run_pipeline(
    ...     trailrank.RunConfig(spec="kuairand", logs="logs/data", root="run")
    ... )
    >>> record.spec, record.preset, record.pushed
    ('kuairand', 'mmoe', True)

    Args:
        config: What to run.
        truth: The log simulator's `truth/`, for the oracle in the evaluation.
        on_step: Is called as each step begins and ends.

    Returns:
        What the run read, made and measured, as it stands in `root/run.json`.

    Raises:
        SpecError: Spec, preset or slice have mistakes.
        PlaceError, LaunchError, WeightSelectionError: It cannot begin; told before
            TensorFlow is imported.
        LockedError: Another command writes to the run's directory.
        StepFailedError: A step failed; steps before it are kept and will be reused.
    """
    texts = check_local(config)
    check_sparse_weights(config, texts)
    check_truth(truth)
    with owned(config.root):
        check_metadata(config.root)
        with quiet_imports():
            from pipeline import launch
        return launch.run(config, texts, truth, on_step)


def check_sparse_weights(config: RunConfig, texts: Texts) -> None:
    """That the weights can be selected that are asked for; WeightSelectionError."""
    preset = read_preset(texts.preset)
    tasks, options = config.sparse_weights, config.sparse_options
    check_selection(texts.spec, preset, tasks, options)


def load_tfx() -> None:
    """Imports TensorFlow, Beam and TFX for a command, which takes 20 s or so.

    From then on this process says nothing of its own accord: what a run logs goes to
    its file, and models that TFX keeps loaded complain when Python takes them apart.
    """
    atexit.register(_silence_teardown)
    warnings.simplefilter("ignore")
    absl_logging.set_verbosity(absl_logging.WARNING)
    logging.getLogger().setLevel(logging.WARNING)
    with quiet_imports():
        from pipeline import launch  # noqa: F401


def _silence_teardown() -> None:
    sys.unraisablehook = lambda _: None
