"""The entry point of a step's container on Vertex AI: TFX's, with our exit statuses.

    python -m pipeline.cloud.run_step --executor_class_path ... (flags of TFX's)

TFX ends with 1 whatever has happened. Here a step that one of our errors stopped ends
with that error's status, as `trailrank` does: so whoever follows the pipeline can tell
a gate that refused from a fault. The error's message ends the log.
"""

from __future__ import annotations

import runpy
import sys

from absl import logging

from feature_specs.errors import own_error

COMMAND = ("python", "-m", "pipeline.cloud.run_step")
_TFX = "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor"


def main() -> None:
    """Runs the step that the arguments name; ends the process if it fails."""
    try:
        runpy.run_module(_TFX, run_name="__main__", alter_sys=True)
    except Exception as error:
        ours = own_error(error)
        if ours is None:
            raise
        logging.exception("the step failed")
        logging.error("%s", ours)
        sys.exit(int(ours.exit_status))


if __name__ == "__main__":
    main()
