"""How behaviour moves along a watch trail, measured on the logs (SFV fig. 2).

A point of a curve is the rate of a behaviour in one part of the trail over its rate in
the first part. Behind it:

- *Slices.* On the rows that `log.random` names, position decides nothing but the
  viewer's state: what is shown there is the same all along the trail. On the feed it
  also decides what is shown, so that its curve holds the ranker's doing too.
- *Trails.* Only whole ones, with silence of `trail.gap_minutes` known on both sides,
  and only those of `min_length` impressions, `bins` of them at least: each then has
  impressions in every bin, and every bin holds the same trails. Trails are those of
  example generation; rows that `filters.keep` drops are left out after that.
- *Place.* Impression k of L covers the share (k - 1) / L to k / L of its trail and lies
  in the bin of its middle, (k - 1/2) / L; k / L would leave the first bin short.
- *Weight.* Where L is no multiple of `bins`, some bins get an impression more (8 % in
  all of a simulated week, in one bin, which alone moved a rate by 0.7 %). A row weighs
  L / bins over the number that its trail has in its bin, so that each trail weighs
  L / bins in every bin, and rates are weighted means.
- *Band.* Rows of one user are no independent draws, so users are resampled: they are
  hashed into 200 groups, each group is left out once (delete-a-group jackknife of the
  log of the relative rate), and the band is 95 % of Student's t on that scale. It
  holds for each point by itself, not for a whole curve at once.

The curve describes: its end is the end of a trail, and what made the viewer leave is in
it too. A task with a sample space is a rate among the rows that reach it, which may be
others late in a trail.

`study` says what is asked, `sums` works on all rows of some users, `collect` is the
Beam graph, `curves` the statistics, `findings` what they say; `report`, `plot` and
`command` show it.
"""
