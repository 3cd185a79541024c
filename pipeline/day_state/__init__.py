"""What is known of each user and each key at the end of a day, as files.

A run of examples for new days starts from it instead of the log's earlier days.

    STATE/state.json                          what it is: `state.DayState`
    STATE/<table>/part-00003-of-00008.arrow   Arrow IPC, zstd; by a hash of `user`, or
                                              of the key

Which tables there are, and what their columns mean: `docs/day_state.md`.
"""
