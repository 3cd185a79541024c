"""Which column of the truth is the oracle of which label, said by the truth itself.

`truth/oracles.json` maps SQL over the log's columns to the column of the truth's
Parquet files that holds its probability. Whoever evaluates a task with that label needs
to know nothing else of the simulator; key columns are called as in the log.
"""

from __future__ import annotations

ORACLES_FILE = "oracles.json"

# Label -> its probability at the start of a trail: as served, where no trail is known.
ORACLES = {
    "is_click = 1": "u_is_click",
    "long_view = 1": "u_long_view",
    "play_time_ms >= duration_ms": "u_complete",
    "play_time_ms < LEAST(3000, duration_ms)": "u_skip",
    "is_like = 1": "u_is_like",
    "is_follow = 1": "u_is_follow",
    "is_comment = 1": "u_is_comment",
    "is_forward = 1": "u_is_forward",
    "is_hate = 1": "u_is_hate",
    "is_profile_enter = 1": "u_is_profile_enter",
}
