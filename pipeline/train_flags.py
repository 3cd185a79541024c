"""The flags of `trailrank train`, for the command and for jobs that run it."""

from __future__ import annotations

import dataclasses
from typing import Literal

from feature_specs import flags
from feature_specs.errors import UsageError
from feature_specs.flags import Add, ArgumentParser
from tpu_configs import shipped_slices
from trainer.days.options import LoopOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """What the flags ask for, each under its own name; see `trailrank train --help`.

    Raises:
        ValueError: Flags that make no sense, alone or together.
    """

    spec: str
    examples: list[str]
    checkpoints: str
    encoding: str | None = None
    preset: str = "mmoe"
    loss_weights: dict[str, float] = dataclasses.field(default_factory=dict)
    days: list[str] | None = None
    seed: int = 0
    warm_start: str | None = None
    warm_start_partial: bool = False
    map_encoding: bool = False
    accelerator: str = "auto"
    tpu_config: str | None = None
    tpu: str | None = None
    batch_size: int | None = None
    precision: Literal["float32", "bfloat16"] | None = None
    checkpoint_steps: int = 5_000
    validate_rows: int = 0
    sample: float = 1.0
    cache: str | None = None
    tensorboard: str | None = None
    export: str | None = None
    tables: Literal["float32", "float16", "int8"] = "float32"

    def __post_init__(self) -> None:
        if self.tpu and self.accelerator not in ("auto", "tpu"):
            raise UsageError(
                f"--tpu {self.tpu}: is for --accelerator tpu. Got --accelerator "
                f"{self.accelerator}. Leave one of them out."
            )
        if self.tables != "float32" and not self.export:
            raise UsageError(
                f"--tables {self.tables}: is about the exported model. Name one with "
                "--export, or leave it out."
            )
        if self.warm_start_partial and not self.warm_start:
            raise UsageError(
                "--warm_start_partial: needs --warm_start DIR, the checkpoints of "
                "another training. To go on with this training's own ones, leave it "
                "out."
            )
        if self.warm_start and _same_place(self.warm_start, self.checkpoints):
            raise UsageError(
                f"--warm_start {self.warm_start}: must not be --checkpoints itself, "
                f"from which training goes on anyway. Leave it out."
            )

    @property
    def options(self) -> LoopOptions:
        """How the days are gone through."""
        return LoopOptions(
            checkpoint_steps=self.checkpoint_steps,
            validate_rows=self.validate_rows,
            sample=self.sample,
            cache=self.cache,
            warm_start=self.warm_start,
            warm_start_partial=self.warm_start_partial,
            map_encoding=self.map_encoding,
        )


def parser(description: str | None = None) -> ArgumentParser:
    """Of all flags of `trailrank train`."""
    found = ArgumentParser(prog="trailrank train", description=description)
    _add_what(found.add_argument_group("what is trained").add_argument)
    _add_where(found.add_argument_group("on which machine").add_argument)
    _add_how(found.add_argument_group("how the days are gone through").add_argument)
    _add_results(found.add_argument_group("what comes out").add_argument)
    return found


def _same_place(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/")


def _add_what(add: Add) -> None:
    flags.add_spec(add)
    flags.add_preset(add)
    flags.add_loss_weights(add)
    flags.add_examples(add)
    flags.add_days(add, default="all")
    flags.add_seed(add, of="weights, row order and dropout")
    add(
        "--warm_start",
        metavar="DIR",
        help="first weights from the newest of another training's checkpoints",
    )
    add(
        "--warm_start_partial",
        action="store_true",
        help="take those equal in name and shape, where spec or preset changed",
    )
    add(
        "--map_encoding",
        action="store_true",
        help="from weights on another encoding: take each value's row to its new id",
    )


def _add_where(add: Add) -> None:
    flags.add_accelerator(add)
    flags.add_slice(add, shipped_slices())
    add("--tpu", metavar="NAME", help="of the TPU; `local` on a TPU VM, the default")
    add("--batch_size", type=int, metavar="ROWS", help="of a step, over all chips")
    add("--precision", choices=("float32", "bfloat16"), help="of the dense products")


def _add_how(add: Add) -> None:
    add(
        "--checkpoint_steps",
        type=int,
        default=5_000,
        metavar="STEPS",
        help="between checkpoints inside a day; 0 writes them between days (5000)",
    )
    add(
        "--validate_rows",
        type=int,
        default=0,
        metavar="ROWS",
        help="of each day that are predicted before it is trained on (0)",
    )
    add(
        "--sample",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="of the rows that is read, always the same ones (1)",
    )
    add(
        "--cache",
        metavar="DIR",
        help="keeps encoded days on a local disk: later passes are faster",
    )


def _add_results(add: Add) -> None:
    add(
        "--checkpoints",
        required=True,
        metavar="DIR",
        help="weights to go on from, and metrics.jsonl; a bucket's too",
    )
    add(
        "--tensorboard",
        metavar="DIR",
        help="TensorBoard summaries, and inspection/: figures of experts and conflicts",
    )
    add("--export", metavar="DIR", help="the model to serve, as MODELS/<version>")
    add(
        "--tables",
        choices=("float32", "float16", "int8"),
        default="float32",
        help="how the model stores large embedding tables; what that changes on the "
        "newest day is printed, and written into its card",
    )
