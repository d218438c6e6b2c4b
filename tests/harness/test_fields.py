"""What a row says of a figure that its own other figures speak against."""

import pytest

from harness import fields, roofline
from harness.roofline import CACHE, MEMORY, Roofs
from harness.timing import BLOCK, Limits, measure
from tests.harness.test_timing import spin


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({"throttled": True, "throttle_reasons": "contended: ..."}, "contended: ..."),
        ({"above_roof": True}, "faster than the roof"),
    ],
)
def test_a_doubtful_speedup_has_no_interval_and_so_no_verdict(known, why):
    found = fields.doubts({"device": "cpu", **known})
    assert found["speedup_low"] is found["speedup_high"] is None
    assert why in found["speedup_low_reason"]


def test_a_speedup_without_doubts_is_left_alone():
    assert fields.doubts({"device": "cpu", "throttled": False, "above_roof": False}) == {}


def test_all_providers_of_a_case_have_blocks_of_one_size():
    limits = Limits(max_samples=6, max_s=1, warmup_s=0.01, max_warmup_s=0.1)
    found = measure({"slow": spin(0.06), "fast": spin(1e-3)}, limits=limits)
    sizes = {len(block) for one in found.values() for block in one.blocks}
    assert sizes == {1} != {BLOCK}


def test_a_cache_is_no_slower_than_the_memory_behind_it():
    seconds = {MEMORY: 1.0, CACHE: 1.0}  # a short copy that took as long as a long one
    roofs = Roofs("cpu", lambda comparison, mode: seconds[comparison.case])
    assert roofs.peak(CACHE, "float32") == roofs.peak(MEMORY, "float32")
    quick = Roofs("cpu", lambda comparison, mode: 1e-6 if comparison.case == CACHE else 1.0)
    assert quick.peak(CACHE, "float32") > quick.peak(MEMORY, "float32")


def test_a_peak_that_could_not_be_measured_leaves_no_share():
    roofs = Roofs("cpu", lambda comparison, mode: None)
    found = roofs.share(roofline.copy("cpu", MEMORY), 1.0, 1.0, "cold")
    assert "roof_share" not in found and found["roof_share_reason"]


def test_the_share_of_a_roof_and_what_is_above_it():
    copy = roofline.copy("cpu", MEMORY)
    roofs = Roofs("cpu", lambda comparison, mode: 1.0)
    assert roofs.share(copy, 2.0, 2.2, "cold") == {
        "roof_share": 0.5,
        "roof_bound": MEMORY,
        "above_roof": False,
    }
    assert roofs.share(copy, 0.5, 0.6, "cold")["above_roof"] is True
