"""How a log is cut into shards; what is read of it is tested with the readers."""

from __future__ import annotations

import itertools

import pytest

from pipeline.examples.read_logs import shards_of

MB = 1 << 20


@pytest.mark.parametrize(
    ("text_mb", "shards"),
    [(0, 1), (15, 1), (16, 2), (169, 11), (1023, 64), (1024, 65), (2048, 65),
     (2080, 66), (22_000, 688)],
)  # fmt: skip
def test_small_shards_up_to_sixty_four_then_larger_ones(text_mb, shards):
    assert shards_of(text_mb * MB) == shards


def test_a_larger_log_has_never_fewer_shards_nor_larger_ones_than_32_mb():
    found = [(size * MB, shards_of(size * MB)) for size in range(0, 5000, 7)]
    for (_, fewer), (size, more) in itertools.pairwise(found):
        assert fewer <= more
        assert size / more <= 32 * MB
