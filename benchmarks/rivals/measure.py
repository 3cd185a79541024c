"""One contender in a process of its own: its seconds and its peak memory.

    python benchmarks/rivals/measure.py polars_script LOGS OUT

The last line is a JSON object. Seconds are without the imports, the peak is that of the
whole process, or of a child if that is larger. `benchmarks/examples.py` calls it.
"""

from __future__ import annotations

import datetime
import importlib
import json
import os
import resource
import sys
import time

from feature_specs import load_spec
from pipeline.examples.days import DayRange, plan_splits

SPEC, EVAL_DAYS = "kuairand", 1
FIRST_DAY, DAYS = datetime.date(2022, 4, 8), 7  # the simulator's


def main() -> None:
    """Runs one contender, a module of this folder, on simulated logs."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    module, logs_dir, out_dir = sys.argv[1:]
    contender = importlib.import_module(module)
    spec = load_spec(SPEC)
    last_day = FIRST_DAY + datetime.timedelta(days=DAYS - 1)
    plan = plan_splits(DayRange(FIRST_DAY, last_day), EVAL_DAYS, 1)
    began = time.perf_counter()
    contender.run(spec, logs_dir, out_dir, plan)
    seconds = time.perf_counter() - began
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak_kib = max(resource.getrusage(who).ru_maxrss for who in whose)  # as Linux does
    print(json.dumps({"seconds": seconds, "peak_mb": peak_kib / 1024}))


if __name__ == "__main__":
    main()
