"""From raw logs to a pushed model: examples, the TFX DAG, its steps and its runners."""

from trainer.keras2 import require_keras_2

require_keras_2()
