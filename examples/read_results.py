"""Reads a run's results: the cells of a notebook, as a script.

    python examples/read_results.py RUN

RUN is the directory of a finished run, like `demo/run` after `make demo`. Editors show
each `# %%` as a cell.
"""

# %%
import json
import pathlib
import sys

import polars as pl

import trailrank

root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "demo/run")
record = trailrank.read_record(root)
spec = trailrank.read_spec(record.spec_text)
print(f"{record.spec} with preset {record.preset}, {record.days}")

# %% Where every row of the log went: the parts sum to what was read.
rows = record.rows
parts = {"examples": sum(rows["examples"].values()), "rejected": rows["rejected"]}
parts |= {f"filtered: {rule}": count for rule, count in rows["filtered"].items()}
parts |= {"context": rows["context"], "outside the days": rows["outside_days"]}
print(pl.DataFrame({"where": list(parts), "rows": list(parts.values())}))
assert sum(parts.values()) == rows["rows_in"]

# %% How good each task is, as served; NaN became null in run.json.
quality = pl.DataFrame(record.metrics).with_columns(
    calibration=pl.col("prediction_mean") / pl.col("label_mean")
)
print(
    quality.filter(pl.col("kind") == "binary")
    .select("task", "positives", "auc", "auc_error", "gauc", "calibration")
    .sort("auc", descending=True)
)

# %% The AUC of one task on each slice of the evaluation rows.
first = spec.tasks[0].name
on_slices = [
    {"slice": name, **found}
    for name, qualities in record.slices.items()
    for found in qualities
    if found["task"] == first
]
if on_slices:
    print(f"{first}, by slice")
    print(pl.DataFrame(on_slices).select("slice", "rows", "auc").sort("slice"))

# %% How the training went, day after day.
with (pathlib.Path(record.checkpoints) / "metrics.jsonl").open() as lines:
    days = pl.DataFrame([json.loads(line) for line in lines])
print(days.select("day", "rows", "loss", "rows_per_s"))

# %% What the gates do, if the run has looked inside its model.
report = root / "report" / "inspection" / "inspection.json"
if report.exists():
    for gates in json.loads(report.read_text())["gates"]:
        print(f"level {gates['level']}, weights of {', '.join(gates['experts'][0])}:")
        for reader, weights in zip(gates["readers"], gates["mean"], strict=True):
            print(f"  {reader}: {', '.join(f'{weight:.2f}' for weight in weights)}")
