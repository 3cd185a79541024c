"""Which loss weight should a new sparse task have? Meta-learned (SFV sec. 5.3).

With tasks T_exist and a new sparse task t_new, the weight w of t_new's loss is to be
the one with the best combined metric M(w) = sum_i alpha_i M_i(w). A grid finds it by
one training on all data a weight. Here a learner G predicts M instead:

- *Examples of G.* On a share of the rows each sparse task that is there already plays
  the new one: it is trained with several weights beside the others, which keep theirs;
  the task that is really new is not trained (`plan`).
- *Features.* Norms and cosines of the tasks' gradients at each layer, label means, loss
  weights, and their products with the weight (`features`).
- *G.* An MLP of 256 ReLU units and one output, squared error, learned in some runs with
  seeds of their own (`learner`). Each run votes for the weight that it predicts the
  best M for; the majority decides (`votes`).

`run` brings it together, with what it is compared with: uniform scaling, uncertainty,
GradNorm and the grid (SFV table 3); `findings`, `report` and `plot` show it.
"""
