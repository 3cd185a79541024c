"""Training day after day: input, the loop, checkpoints, validation, optimizers."""
