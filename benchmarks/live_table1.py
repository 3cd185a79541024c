"""SFV table 1, live: trail towers for no task, for each of six, for all.

    python benchmarks/live_table1.py [--quick] [--work DIR] [--seeds 7 8] [--splits 4]
        [--trail_effect 3]

The control has no trail features and no trail tower. A treatment has towers on the
tasks that are named, which see the trail in training and nothing of it when they serve.
The worlds, trainings and experiments are `live`'s. `--work` goes on where it was
stopped; the last line is one JSON object.
"""

from __future__ import annotations

import dataclasses

import live

from feature_specs import load_preset


def table() -> live.LiveTable:
    """SFV table 1, turned: a row an applied task, a column a measure."""
    preset = load_preset("mmoe")

    def towers(*tasks: str) -> live.Variant:
        trail = dataclasses.replace(preset.trail, tasks=tasks)
        return live.Variant(preset=dataclasses.replace(preset, trail=trail))

    return live.LiveTable(
        title="SFV table 1, trail towers",
        name="live_table1",
        variants={
            "no trail tower": live.Variant(preset=preset, has_trail=False),
            **{task: towers(task) for task in live.TASKS},
            "all tasks": live.Variant(preset=preset),
        },
        columns={"Minutes watched": "minutes_watched", "Long view": "long_view"},
        quick=("no trail tower", "all tasks"),
    )


if __name__ == "__main__":
    live.main(table(), __doc__)
