"""Any data set of TensorFlow Datasets, downloaded and prepared by TFDS itself.

What is prepared, a spec with `log.format: tfds` reads where it lies.
"""

from __future__ import annotations

import pathlib
from typing import Any

from pipeline.fetch.disk import sole_writer
from pipeline.fetch.errors import FetchError


def prepare(name: str, out: pathlib.Path) -> Any:
    """Prepares a data set in TFDS' data directory `out`; its `DatasetInfo`.

    One that is prepared there already is left as it is.

    Args:
        name: As TFDS calls it, with its config: `movielens/100k-ratings`.
        out: Made where it is missing.

    Raises:
        FetchError: TFDS knows no such data set, or cannot get or prepare it.
    """
    import tensorflow_datasets as tfds

    from pipeline.fetch import kuairand_tfds  # noqa: F401 (makes its name known)

    with sole_writer(out):
        try:
            builder = tfds.builder(name, data_dir=out)
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(try_download_gcs=False)
            )
        except tfds.core.registered.DatasetNotFoundError as error:
            raise FetchError(f"tfds:{name}: {_first_line(error)}") from None
        except Exception as error:  # of many kinds: the network, a checksum, a source
            raise FetchError(
                f"tfds:{name}: TensorFlow Datasets cannot prepare it in {out} "
                f"({type(error).__name__}: {_first_line(error)}). Mend that, and run "
                "the same command again."
            ) from error
        return builder.info


def _first_line(error: Exception) -> str:
    text = str(error).strip() or "no reason given"
    return text.splitlines()[0].rstrip(".")
