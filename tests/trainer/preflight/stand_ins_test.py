"""Tables larger than this machine get stand-ins that nothing else can be taken for."""

import dataclasses

import pytest

from feature_specs import TableSpec
from feature_specs.model import UnifiedConfig
from trainer.preflight.stand_ins import stand_in


@pytest.fixture
def with_rows(spec):
    """The small spec with tables of so many rows."""

    def change(**rows):
        tables = {
            name: TableSpec(name=name, buckets=rows.get(name, 50), dim=8)
            for name in spec.tables
        }
        return dataclasses.replace(spec, tables=tables)

    return change


def test_small_tables_stay(spec, config):
    found = stand_in(spec, config)
    assert found.spec is spec and found.resize == {}


def test_large_tables_are_replaced(with_rows, config):
    # 20 M rows x 8 columns x 4 bytes x (weights + slot) = 1.2 GiB
    found = stand_in(with_rows(video=20_000_000, user=5000), config)
    assert found.spec.tables["user"].buckets == 5000
    small = found.spec.tables["video"].buckets
    assert found.resize == {small: 20_000_000}
    assert 4096 < small < 10_000  # still a large table for `trainer.model.embeddings`
    assert found.spec.tables["video"].width == 8


def test_just_below_the_limit_nothing_is_replaced(with_rows, config):
    rows = 2**30 // (8 * 4 * 2) - 50  # 1 GiB with the 50 users
    assert stand_in(with_rows(video=rows), config).resize == {}
    assert stand_in(with_rows(video=rows + 1), config).resize != {}


def test_default_width_stays_that_of_the_large_table(spec, config):
    table = TableSpec(name="video", buckets=2**26)  # 4 * round(26 / 2) = 52 columns
    large = dataclasses.replace(spec, tables=spec.tables | {"video": table})
    assert stand_in(large, config).spec.tables["video"].width == 52


def test_equal_tables_share_a_stand_in_and_others_do_not(with_rows, config):
    same = stand_in(with_rows(video=20_000_000, user=20_000_000), config)
    assert len(same.resize) == 1
    other = stand_in(with_rows(video=20_000_000, user=30_000_000), config)
    assert sorted(other.resize.values()) == [20_000_000, 30_000_000]


def test_stand_in_is_no_number_of_the_spec(with_rows, config):
    # 5003, the first that would be taken, is a table's own number of rows.
    found = stand_in(with_rows(video=20_000_000, user=5003), config)
    assert 5003 not in found.resize


def test_unified_tables_are_replaced(spec, config):
    unified = UnifiedConfig(buckets=50_000_000, tables=2, dim=8)
    found = stand_in(spec, dataclasses.replace(config, unified=unified))
    assert found.resize == {found.config.unified.buckets: 50_000_000}
