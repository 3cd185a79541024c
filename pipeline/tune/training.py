"""One trial's training: the day loop on the search days, heard by a judge."""

from __future__ import annotations

import pathlib
import shutil

from feature_specs import ModelConfig
from pipeline.compare.trials import graphs_let_go
from pipeline.tune.judge import Judge
from pipeline.tune.plan import Plan
from trainer.days import loop
from trainer.days.passes import JUDGED_ROWS

_CHECKPOINTS, _CACHE = "checkpoints", "cache"


class Trainer:
    """Trains presets in a directory, where nothing is left of them.

    Parsed days are kept in its `cache` until `clean_up`: all trials read the same.
    """

    def __init__(self, plan: Plan, out: pathlib.Path):
        self._plan = plan
        self._checkpoints, self._cache = out / _CHECKPOINTS, out / _CACHE

    def train(self, config: ModelConfig, judge: Judge) -> None:
        """Trains one, until the judge has heard enough.

        Raises:
            TrialPruned: The judge gave it up.
            DivergedError, InterruptedTraining: See `loop.train`.
        """
        plan, once = self._plan, config.passes.most == 1
        caches = plan.slice.hosts == 1  # a cache is for the machine that trains
        self._forget()  # one that was killed
        try:
            with graphs_let_go(), judge.until_enough():
                loop.train(
                    plan.examples.spec,
                    config,
                    plan.examples.train,
                    checkpoint_dir=str(self._checkpoints),
                    slice=plan.slice,
                    seed=plan.seed,
                    graph=plan.examples.encoding,
                    options=loop.LoopOptions(
                        checkpoint_steps=0,
                        validate_rows=JUDGED_ROWS if once else 0,
                        cache=str(self._cache) if caches else None,
                    ),
                    judged=judge.of_day if once else judge.of_pass,
                )
        finally:
            self._forget()

    def clean_up(self) -> None:
        """Removes what was kept for the next trial."""
        shutil.rmtree(self._cache, ignore_errors=True)

    def _forget(self) -> None:
        shutil.rmtree(self._checkpoints, ignore_errors=True)
