"""Flags that say on which machines of Vertex AI a pipeline runs."""

from __future__ import annotations

from feature_specs import flags
from pipeline.cloud.pipeline_place import RESOURCES


def add_place(add: flags.Add) -> None:
    """Those of a `PipelinePlace`."""
    add("--project", default="", metavar="P", help="Google Cloud project that pays")
    add("--region", default="", help="like europe-west4")
    add(
        "--image",
        default="",
        help="in which every step runs, pinned: REGISTRY/PATH@sha256:DIGEST",
    )
    add(
        "--beam",
        choices=("dataflow", "local"),
        default="dataflow",
        help="who makes the examples: Dataflow, or the step's own container (dataflow)",
    )
    add("--worker_image", default="", help="of Dataflow's workers, pinned")
    add(
        "--train_image",
        default="",
        help="of the training on a TPU or GPU, pinned (of a GPU: --image)",
    )
    add(
        "--service_account",
        default="",
        metavar="ADDRESS",
        help="identity of steps, workers and training (the project's default one)",
    )
    add(
        "--spot",
        action="store_true",
        help="train on cheaper machines that may be taken away at any time",
    )
    add(
        "--timeout_hours",
        type=float,
        default=72.0,
        metavar="H",
        help="then a training on its own machines is ended (72)",
    )
    add("--machine_type", default="", metavar="TYPE", help="of a gpu slice")
    add("--gpu_type", default="", metavar="TYPE", help="of a gpu slice: NVIDIA_L4")
    add("--gpu_count", type=int, metavar="N", help="of one machine (all it has, or 1)")
    add(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="machines with GPUs that train together (1)",
    )
    add(
        "--resources",
        action="append",
        default=[],
        metavar="STEP=CPU,GB",
        help=f"what a step may use, repeatable; steps: {', '.join(RESOURCES)}",
    )
