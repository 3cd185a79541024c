"""What TensorBoard shows of a training, and the figures at its end.

Each day's losses, and a look inside (`trainer.inspection`) after every 200,000 rows or
more. At the end `inspection/` gets figures and JSON of the returned ranker, on rows of
the last day.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

import tensorflow as tf

from trainer import strategy as strategies
from trainer.days.training import Training
from trainer.inspection import DAILY, FINAL, Inspection, Inspector, SampleSize, report

INSPECTION = "inspection"  # the folder of `log_dir`
# A look costs as much as training 8,000 rows.
_ROWS_A_LOOK = 200_000


class Summaries:
    """Losses of each day, and looks inside; of several workers the first one writes.

    Args:
        training: Whose ranker is shown.
        log_dir: A path or a bucket.
    """

    def __init__(self, training: Training, log_dir: str):
        if not strategies.is_chief():  # it takes part in every look
            self._unread = tempfile.TemporaryDirectory()
            log_dir = self._unread.name
        self._training, self._log_dir = training, log_dir
        self._writer = tf.summary.create_file_writer(log_dir)
        self._inspector = Inspector(training.ranker, training.strategy)
        self._rows_since_look = 0

    def add_day(self, record: dict[str, Any], files: list[str]) -> None:
        """Losses and speed of a day; after days with many rows a look inside."""
        with self._writer.as_default(int(self._training.ranker.steps.numpy())):
            for name in ("loss", "disentangle", "rows_per_s"):
                tf.summary.scalar(name, record[name])
            for task, loss in record["task_losses"].items():
                tf.summary.scalar(f"task_loss/{task}", loss)
            self._add_validation(record.get("validation", {}))
        self._writer.flush()
        self._rows_since_look += record["rows"]
        if self._rows_since_look >= _ROWS_A_LOOK:
            self._rows_since_look = 0
            report.summarise(self._writer, self._look(files, DAILY))

    def finish(self, files: list[str]) -> None:
        """Figures and JSON of the weights as they are now."""
        found = self._look(files, FINAL)
        figures = report.write(found, os.path.join(self._log_dir, INSPECTION))
        report.summarise(self._writer, found)
        report.summarise_figures(self._writer, figures, found.step)

    def _add_validation(self, found: dict[str, Any]) -> None:
        for metric in ("loss", "auc", "calibration"):
            for task, value in found.get(metric, {}).items():
                if value is not None:
                    tf.summary.scalar(f"next_day_{metric}/{task}", value)

    def _look(self, files: list[str], size: SampleSize) -> Inspection:
        batches = self._training.sample(files, size.batches)
        return self._inspector.inspect(batches, size.gradient_batches)
