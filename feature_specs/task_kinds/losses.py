"""The shipped losses, as specs know them; `trainer.objective.losses` computes them."""

from __future__ import annotations

from feature_specs.task_kinds.base import declare_loss

# Pairs of rows say of the odds what cross-entropy says; of focal's logits they do not.
_PAIRS = frozenset({"pairwise"})

declare_loss("cross_entropy", ("binary",), _PAIRS)
declare_loss("focal", ("binary",), frozenset({"focal_gamma"}))
declare_loss("class_balanced", ("binary",), frozenset({"class_balance_beta"}) | _PAIRS)
declare_loss("squared_error", ("regression",))
declare_loss("huber", ("regression",))
declare_loss("log_target", ("regression",))
declare_loss("quantile", ("regression",), frozenset({"quantile"}))
declare_loss("ordinal", ("regression",))
