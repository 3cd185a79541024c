"""What TF_CONFIG says of the machines that train together; read without TensorFlow."""

from __future__ import annotations

import json
import os

from trainer.errors import TrainingError


def tf_config() -> dict:
    """TF_CONFIG, empty without it; TrainingError if it cannot be read."""
    try:
        config = json.loads(os.environ.get("TF_CONFIG") or "{}")
        if config:
            _ = config["task"]["type"], config["task"]["index"], {**config["cluster"]}
    except (ValueError, KeyError, TypeError):
        raise TrainingError(
            f"TF_CONFIG: must be JSON with `cluster` and `task` (type and index). Got "
            f"{os.environ['TF_CONFIG']!r}. Mend it, or unset it to train on one "
            f"machine."
        ) from None
    return config


def workers() -> list[str]:
    """Addresses of all machines that train together; none without a cluster."""
    cluster = tf_config().get("cluster", {})
    return [*cluster.get("chief", []), *cluster.get("worker", [])]


def is_chief() -> bool:
    """Whether this process writes checkpoints and reports: of several workers, one."""
    if len(workers()) < 2:
        return True
    task = tf_config()["task"]
    return task["type"] == "chief" or (
        task["index"] == 0 and "chief" not in tf_config()["cluster"]
    )
