"""From raw logs to a pushed model: examples, the TFX DAG, its steps and its runners."""
