"""A predicted rank as seconds: the inverse of the training days' quantiles (D2Q).

Zhan et al., KDD 2022, sec. 4.3: a rank means another watch time in each group of
lengths. The rows of a bin are spread evenly over it, so that the middle of its ranks,
which the label is, is the middle of the bin.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from feature_specs import Spec
from feature_specs.past import QuantileSpec
from feature_specs.spec import SecondsSpec, TaskSpec
from serving.export.quantile_tables import Group, QuantilesError, read_tables

_UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}  # in a second
_APART = 2.0  # from the ranks of a group, 0 to 1, to those of the next


class RankValues:
    """The seconds that a task's ranks stand for, as a part of a graph.

    All groups lie on one line, each rank `_APART` from that of the group before, so
    that one search finds a row's bin.

    Attributes:
        task: Whose prediction is the rank; its last output are the seconds.
        feature: The served feature that tells the group; empty if there is one group.
    """

    def __init__(
        self, task: TaskSpec, quantile: QuantileSpec, groups: Sequence[Group]
    ) -> None:
        """Tables of float64 and float32, some 12 bytes a bin that has rows.

        Args:
            task: With `seconds`.
            quantile: Whose column is its label.
            groups: Of `quantile`, as `read_tables` gives them.

        Raises:
            QuantilesError: No training row had a value.
        """
        how = task.seconds or SecondsSpec(unit="s")
        self.task, self.feature = task, how.feature
        tables = [*groups, _all_together(groups)]
        full = [table for table in tables if table.bins.size]
        if not full:
            raise QuantilesError(
                f"tasks.{task.name}.seconds: no row of the training days has "
                f"{quantile.name}, so no rank stands for anything. Is its value "
                "missing in the logs? Mend it, or take `seconds` out."
            )
        places = np.cumsum([table.bins.size > 0 for table in tables]) - 1
        sizes = np.array([table.bins.size > 0 for table in tables])
        # Lengths that no training row had, and unknown ones, go by all rows together.
        self._tables = tf.constant(np.where(sizes, places, len(full) - 1), tf.int32)
        uppers = [
            _APART * n + np.cumsum(table.rows) / table.rows.sum()
            for n, table in enumerate(full)
        ]
        bins = np.concatenate([table.bins for table in full])
        unit = _UNITS[how.unit]
        self._uppers = tf.constant(np.concatenate([[-1.0], *uppers]), tf.float64)
        self._begins = tf.constant(bins * (quantile.step / unit), tf.float64)
        self._step, self._max = quantile.step / unit, quantile.max / unit
        # As float32, as the feature is: a length on a boundary stays on its side.
        cuts = np.array(quantile.boundaries, np.float64) / how.factor
        self._cuts = tf.constant(cuts, tf.float32)

    def seconds(self, ranks: tf.Tensor, raw: tf.Tensor | None) -> tf.Tensor:
        """What ranks stand for, [B] float32, 0 to the quantile's `max`.

        Args:
            ranks: Predictions of the task [B]; beyond 0 and 1 they are cut off.
            raw: The feature as it was sent, [B] or [1], NaN if it is unknown; None
                without a feature.
        """
        base = _APART * tf.cast(self._table_of(raw), tf.float64)  # [B] or [1]
        ranks = tf.cast(ranks, tf.float64)
        line = base + tf.clip_by_value(ranks, 0.0, 1.0)
        place = tf.searchsorted(self._uppers[1:], line)
        place = tf.minimum(place, tf.size(self._begins) - 1)  # of NaN
        lower = tf.maximum(tf.gather(self._uppers, place), base)
        upper = tf.gather(self._uppers, place + 1)
        share = (line - lower) / (upper - lower)
        found = tf.gather(self._begins, place) + share * self._step
        found = tf.where(tf.math.is_nan(ranks), ranks, tf.minimum(found, self._max))
        return tf.cast(found, tf.float32)

    def _table_of(self, raw: tf.Tensor | None) -> tf.Tensor:
        """Each row's table, int32 [B] or [1]."""
        if raw is None:
            return self._tables[:1]
        raw = tf.cast(raw, tf.float32)
        group = tf.searchsorted(self._cuts, raw, side="right")
        unknown = tf.size(self._tables) - 1
        return tf.gather(self._tables, tf.where(tf.math.is_nan(raw), unknown, group))


def read_rank_values(spec: Spec, path: str | None) -> list[RankValues]:
    """Of each task with `seconds`; none of a spec without such tasks.

    Args:
        spec: Of the model.
        path: Of its examples' `quantiles.json`.

    Raises:
        QuantilesError: It is not known what the ranks stand for.
    """
    tasks = [task for task in spec.tasks if task.seconds]
    if not tasks:
        return []
    if path is None:
        raise QuantilesError(
            f"tasks.{tasks[0].name}.seconds: needs what the examples pass has learned "
            "of quantiles. Got none. Export with quantiles=EXAMPLES/quantiles.json."
        )
    by_name = {quantile.name: quantile for quantile in spec.quantiles}
    used = {task.name: by_name[task.label_column or ""] for task in tasks}
    tables = read_tables(path, used.values())
    return [
        RankValues(task, used[task.name], tables[used[task.name].name])
        for task in tasks
    ]


def _all_together(groups: Sequence[Group]) -> Group:
    """The rows of all groups in one."""
    bins = np.concatenate([group.bins for group in groups])
    rows = np.concatenate([group.rows for group in groups])
    found, places = np.unique(bins, return_inverse=True)
    together = np.zeros(found.size, np.int64)
    np.add.at(together, places, rows)
    return Group(found, together)
