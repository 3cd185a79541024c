"""Speed of the log simulator: rows/s, CSV and truth included.

    python benchmarks/simulate.py [--quick]

Prints a table, and as the last line one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time

from pipeline.simulator import simulate

_DAYS = 7


def main() -> None:
    """Simulates several times and prints the spread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows and runs")
    args = parser.parse_args()
    users, runs = (60, 3) if args.quick else (380, 3)
    rates, rows = [], 0
    for seed in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            rows = simulate(f"{folder}/logs", users=users, days=_DAYS, seed=seed).rows
            rates.append(rows / (time.perf_counter() - began))
            print(f"seed {seed}: {rows:,} rows, {rates[-1]:,.0f} rows/s")
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    result = {
        "benchmark": "simulate",
        "rows": rows,
        "rows_per_s_min": round(min(rates)),
        "rows_per_s_median": round(statistics.median(rates)),
        "seconds_per_million_rows": round(1e6 / statistics.median(rates), 1),
        "machine": machine,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
