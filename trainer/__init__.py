"""The model side: the ranker, what it minimises, and how days train it.

`model/` is the ranker, `objective/` its losses, `days/` the loop over days;
`inspection/` looks inside a trained ranker, `preflight/` compiles it for a TPU.
Importing this package loads nothing heavy; its modules import TensorFlow themselves.
"""

from trainer.keras2 import require_keras_2

require_keras_2()
