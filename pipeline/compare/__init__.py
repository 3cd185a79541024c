"""Which sharing structure is best? Presets trained on the same examples (PLE sec. 5.1).

- *Same examples.* Every preset trains on the same days in the same order of rows, once
  a seed, and is scored on the same evaluation days as it would be served: trail
  features are missing.
- *Same size.* The widths of a preset's sharing part are scaled until it has as many
  trainable weights outside the embedding tables as the reference. Bottom, towers and
  the number of experts stay. The single-task model stays as it is: PLE compares with
  the one of the same network structures.
- *MTL gain* (PLE eq. 11). The metric minus that of the single-task model, with the
  sign turned for a metric that is better when lower: a positive gain is better.
- *Interval.* Seeds are pairs: a seed's gain is the difference of two models that saw
  the same rows in the same order. The interval is 95 % of Student's t about the mean
  of the seeds' gains. It holds for each gain by itself, and for these evaluation rows:
  it says what another seed would change, not what another day would.

`examples` says which rows, `sizes` matches the presets, `trials` trains and keeps what
is finished, `scores` measures a ranker, `gains` is the statistics, `findings` brings
them together; `report`, `plot` and `command` show them.
"""
