"""Sizes just below their ceilings pass; the memory of what is above them is told."""

import pytest

from feature_specs import read_preset, read_spec
from feature_specs.ceilings import bytes_as_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (999, "999 bytes"),
        (1_000, "1 kB"),
        (1_024 * 16 * 4, "65.5 kB"),
        (35_184_372_072_448, "35.2 TB"),  # (2^31 - 1) * 4096 * 4
        (10**21, "1,000 EB"),
    ],
)
def test_bytes_are_for_people(size, text):
    assert bytes_as_text(size) == text


def test_a_table_of_a_terabyte_passes(good):
    # 61,035,155 * 4096 * 4 = 999,999,979,520 bytes; the others have 100 * 8 * 4 = 3,200
    # and 64 * 12 * 4 = 3,072
    text = good.replace("{buckets: 1024}", "{buckets: 61035155, dim: 4096}")
    assert read_spec(text).tables["video"].width == 4096


def test_a_large_preset_passes():
    text = "{switcher: {kind: ple, units: [1024, 512], experts: 64, levels: 8}}"
    assert read_preset(text).switcher.experts == 64  # 64 * 8 * 2 * 2^19 * 4: 2 GB


def test_a_thousand_features_pass(good):
    line = "  - {{name: f{}, group: query, kind: number, expr: age}}\n"
    more = "".join(line.format(i) for i in range(1000))
    spec = read_spec(good.replace("features:\n", f"features:\n{more}"))
    assert len(spec.features) == 1011
