"""How good is a model as served? Every task, against a constant and an oracle."""
