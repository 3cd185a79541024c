"""SFV table 2, live: the disentangle loss with lambda from 0.001 to 10.

    python benchmarks/live_table2.py [--quick] [--work DIR] [--seeds 7 8] [--splits 4]

The control is the default preset without the loss. SFV's regression and classification
metrics are watch time (the task) and likes here. The worlds, trainings and experiments
are `live`'s. `--work` goes on where it was stopped; the last line is one JSON object.
"""

from __future__ import annotations

import dataclasses

import live

from feature_specs import load_preset

LAMBDAS = (0.001, 0.01, 0.05, 0.5, 1.0, 10.0)


def table() -> live.LiveTable:
    """SFV table 2, turned: a row a lambda, a column a measure."""
    preset = load_preset("mmoe")

    def disentangled(weight: float) -> live.Variant:
        return live.Variant(preset=dataclasses.replace(preset, disentangle=weight))

    return live.LiveTable(
        title="SFV table 2, disentangle loss",
        name="live_table2",
        variants={
            "lambda 0": disentangled(0.0),
            **{f"lambda {weight:g}": disentangled(weight) for weight in LAMBDAS},
        },
        columns={
            "Regression: watch time": "watch_time",
            "Classification: like": "like",
        },
        quick=("lambda 0", "lambda 0.5"),
    )


if __name__ == "__main__":
    live.main(table(), __doc__)
