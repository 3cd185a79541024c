"""The served model: signatures and fusion, export, warmup, embedded server, client."""

from trainer.keras2 import require_keras_2

require_keras_2()
