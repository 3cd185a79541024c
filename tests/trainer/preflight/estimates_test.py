"""The compiler's numbers, read as measured ones were."""

import pytest

from tpu_configs.chips import CHIPS
from trainer.preflight.estimates import (
    estimate,
    memory,
    out_of_memory,
    step_seconds,
)


def test_custom_calls_count_for_nothing():
    # One program compiled for v5e with 19 custom calls, one for v5p with none.
    assert step_seconds(-18.993719, 19) == pytest.approx(0.006281)
    assert step_seconds(0.000321, 0) == pytest.approx(0.000321)
    # A call that the compiler has a model of is not counted.
    assert step_seconds(-2.999, 4) == pytest.approx(0.001)


def test_estimate_of_a_memory_bound_step():
    # 819 GB/s: 1.638e9 bytes are 2 ms; 197e12 operations a second: 0.394e9 are 2 us.
    result = {
        "flops": 0.394e9,
        "bytes": 1.638e9,
        "optimal_s": -2.998,
        "custom_calls": 3,
    }
    found = estimate(result, CHIPS["v5e"], rows=8192)
    assert found.memory_s == pytest.approx(2e-3)
    assert found.compute_s == pytest.approx(2e-6)
    assert found.bound == "memory"
    assert found.examples_s == pytest.approx(8192 / 0.002)


def test_a_core_of_v3_has_half_of_the_chip():
    # 123 TFLOP/s and 900 GB/s a chip.
    result = {"flops": 61.5e12, "bytes": 1.0, "optimal_s": 0.5, "custom_calls": 0}
    found = estimate(result, CHIPS["v3"], rows=1)
    assert found.compute_s == pytest.approx(1.0) and found.bound == "compute"


def test_memory_counts_the_peak_and_the_code():
    sizes = dict.fromkeys(["argument_bytes", "output_bytes", "alias_bytes"], 0)
    sizes |= {"temp_bytes": 0, "peak_bytes": 15 * 2**30, "code_bytes": 2**29}
    found = memory(sizes, CHIPS["v5e"])
    assert found.used == 15.5 * 2**30 and found.fits
    assert not memory({**sizes, "code_bytes": 2**30}, CHIPS["v5e"]).fits


def test_memory_without_a_peak_is_what_is_held():
    sizes = {"argument_bytes": 10, "output_bytes": 6, "alias_bytes": 5}
    sizes |= {"temp_bytes": 3, "peak_bytes": 0, "code_bytes": 1}
    assert memory(sizes, CHIPS["v5e"]).used == 10 + 6 - 5 + 3 + 1


@pytest.mark.parametrize(
    "message",
    [
        "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the "
        "total memory required for HLO temporaries (29.50G) exceeds available HBM "
        "(15.75G). HLO module: x.",
        "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 29.50G of "
        "15.75G hbm. Exceeded hbm capacity by 13.75G.",
    ],
)
def test_refusal_for_memory_is_read(message):
    found = out_of_memory(message)
    assert (found.used, found.available) == (29.5 * 2**30, 15.75 * 2**30)
    assert not found.fits


def test_other_refusals_are_not_about_memory():
    assert out_of_memory("INTERNAL: Mosaic failed to compile") is None
