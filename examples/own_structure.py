"""A sharing structure of one's own: registered from Python, trained, exported, served.

    python examples/own_logs.py OUT        # makes the examples that this one reads
    python examples/own_structure.py OUT

Each task reads a blend of a shared bottom and one of its own, in a share that it
learns: between hard sharing (PLE fig. 1 a) and a model for each task.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

import trailrank
from trainer.model.layers import BranchedMLP
from trainer.model.switchers import Switched, Switcher, switcher

PRESET = """
bottom: [32]
switcher: {kind: blend, units: [16]}        # the name that is registered below
tower: [8]
trail: {units: [4], dim: 4}
epochs_per_day: 8
optimizer: {learning_rate: 0.003, table_learning_rate: 0.1, average_steps: 0}
"""


@switcher("blend", needs_units=True)
class Blend(Switcher):
    """Output k is s_k times a shared bottom plus 1 - s_k times an own one, s_k learned.

    B = batch, G = groups side by side, D = input width, K = outputs, H = last width.
    """

    def __init__(
        self, config: Any, names: Sequence[str], groups: int = 1, **keras: Any
    ):
        super().__init__(config, names, groups, **keras)
        # The first branch is the shared bottom; all of them are one product.
        self.bottoms = BranchedMLP(
            groups, 1 + self.tasks, config.units, dtype=self.dtype_policy
        )
        self.share = self.add_weight(
            "share", [groups, self.tasks, 1], initializer="zeros"
        )

    def call(
        self, x: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> Switched:
        """x [B, G, D] -> outputs [B, G, K, H]."""
        shared, own = tf.split(self.bottoms(x), [1, self.tasks], axis=2)
        share = tf.cast(tf.sigmoid(self.share), x.dtype)  # [G, K, 1]
        return Switched(share * shared + (1 - share) * own, experts=(own,))


def main(out: pathlib.Path) -> None:
    """Trains on the examples of own_logs.py, exports beside its model, and asks it."""
    spec = trailrank.load_spec(str(out / "songs.yaml"))
    (out / "blend.yaml").write_text(PRESET)
    ranker = trailrank.train(
        spec,
        out / "blend.yaml",
        out / "examples",
        encoding=out / "encoding",
        checkpoints=out / "blend_checkpoints",
        days=["20240101"],
        accelerator="cpu",
        batch_size=64,
    )
    blends = [v for v in ranker.trainable_variables if v.name.endswith("share:0")]
    shares = tf.sigmoid(blends[0]).numpy().ravel()
    for task, share in zip(spec.tasks, shares, strict=True):
        print(f"{task.name}: {share:.2f} of the shared bottom")

    trailrank.export(
        ranker, out / "encoding", spec, out / "blend_models" / spec.name / "1"
    )
    with (
        trailrank.serve(models=out / "blend_models") as server,
        trailrank.Client(server.url, spec) as client,
    ):
        rock, jazz = {"song": 0, "genre": "rock"}, {"song": 1, "genre": "jazz"}
        scores = client.rank({"listener": 0, "hour": 20}, [rock, jazz])["score"]
    print(f"Listener 0, who likes rock: rock {scores[0]:.3f}, jazz {scores[1]:.3f}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "own_logs"))
