"""Public data sets, brought here as CSV. See `command` for how, `kuairand_tfds` for
the TensorFlow Datasets builder."""

from pipeline.fetch.command import run
from pipeline.fetch.errors import FetchError
from pipeline.fetch.movielens import read_atomic, write

__all__ = ["FetchError", "read_atomic", "run", "write"]
