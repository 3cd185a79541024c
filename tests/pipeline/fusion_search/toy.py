"""Drawn candidates whose factors are worth something, for all tests of the room."""

import numpy as np

from pipeline.fusion_search.candidates import Candidates


def toy(seed=0, users=60, rows=12, k=5, tasks=2) -> Candidates:
    """A group a user; the first factors say most of the gain."""
    draw = np.random.default_rng(seed)
    count = users * rows
    factors = draw.normal(size=(count, tasks))
    worth = factors @ np.array([1.0, -0.6, 0.2][:tasks]) + draw.normal(size=count)
    labels = (factors + draw.normal(size=factors.shape) > 1).astype(float)
    names = ["like", "skip", "share"][:tasks]
    owners = np.repeat(np.arange(users), rows)
    return Candidates(
        users=owners,
        group=owners,
        rest=np.zeros(count),
        factors=factors,
        gains=np.maximum(worth, 0),
        labels=dict(zip(names, labels.T, strict=True)),
        known={name: np.ones(count) for name in names},
        k=k,
    )
