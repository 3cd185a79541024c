"""Which settings of a preset are best? A search over days as they come.

- *A trial* is the preset with other values of some keys (`space`), trained by the day
  loop on the search days, in order, with one seed.
- *The value* of a trial is the mean over tasks and days of what each day says of the
  ranker before it is trained on (`objective`): progressive validation, as served. The
  first day, which an untrained ranker predicts, does not count.
- *Successive halving* (ASHA, Li et al., 2020): after some days a trial that is not in
  the better half of those that came as far is given up.
- *Trial 0* is the preset as it is, so that on these days the best trial is never worse.
  They chose it among many, so that their gain is too good (selection bias): the last
  days are kept from the search, and there the best and the preset are trained anew with
  other seeds, in pairs, and told apart by `compare`'s interval.

Optuna (Akiba et al., 2019) draws the values: a tree-structured Parzen estimator, seeded
by the trial's number, so that a search that was killed goes on as if it had not been.
`search` runs the trials and keeps them, `holdout` judges the best, `report`, `plot` and
`command` show it.
"""
