"""What launches are predicted to last, and what programs have of a multiprocessor."""

import math

import pytest

from harness.prediction import (
    Launch,
    balance,
    in_words,
    launch_s,
    multiprocessor,
    predicted_s,
    resident,
)

H200 = 132  # multiprocessors


def launch(**what):
    defaults = {
        "kernel": "k", "programs": 132, "warps": 8, "registers": 128, "spilled": False,
        "shared_bytes": 0, "tiles": 132, "flops": 0, "size": 0,
        "narrow": False,
    }  # fmt: skip
    return Launch(**defaults | {"tiles": what.get("programs", 132)} | what)


@pytest.mark.parametrize(
    ("what", "share"),
    [
        ({"programs": 132}, 1.0),
        ({"programs": 133}, 133 / 264),  # one of them twice, all others wait
        ({"programs": 66}, 0.5),
        ({"programs": 132, "tiles": 512}, 512 / 528),  # 3.88 rounds of a persistent kernel
        ({"programs": 96, "tiles": 96}, 96 / 132),
        ({"programs": 1}, 1 / 132),
    ],
    ids=str,
)
def test_balance_is_the_share_of_time_that_tiles_fill(what, share):
    assert balance(launch(**what), H200) == pytest.approx(share)


@pytest.mark.parametrize(
    ("what", "programs"),
    [
        ({"registers": 255, "warps": 8}, 1),  # 255 are given as 256: 65536 for 8 warps
        ({"registers": 128, "warps": 8}, 2),
        ({"registers": 129, "warps": 8}, 1),
        ({"registers": 32, "warps": 16}, 4),  # 64 warps
        ({"registers": 16, "warps": 1}, 32),
        ({"registers": 90, "warps": 8, "shared_bytes": 163_872}, 1),
        ({"registers": 64, "warps": 4, "shared_bytes": 65_536}, 3),
        ({"shared_bytes": 233_472}, 0),  # and 1024 reserved
    ],
    ids=str,
)
def test_programs_on_a_multiprocessor(what, programs):
    assert resident(launch(**what), multiprocessor((9, 0))) == programs


def test_an_unknown_gpu_has_no_known_multiprocessor():
    assert multiprocessor((7, 5)) is None


def test_a_launch_takes_the_longer_of_computing_and_moving():
    product = launch(flops=10**12, size=10**9)
    assert launch_s(product, H200, 1e15, 4e12) == pytest.approx(1e-3)
    assert launch_s(product, H200, 1e15, 1e11) == pytest.approx(1e-2)
    assert launch_s(launch(size=4 * 10**9), H200, None, 4e12) == pytest.approx(1e-3)
    half_idle = launch(programs=66, flops=10**12)
    assert launch_s(half_idle, H200, 1e15, 4e12) == pytest.approx(2e-3)


def test_one_launch_after_the_other():
    two = [launch(size=4 * 10**9), launch(flops=10**12)]
    assert predicted_s(two, H200, 1e15, 4e12) == pytest.approx(2e-3)
    assert predicted_s([], H200, 1e15, 4e12) == 0


def test_like_launches_are_told_together():
    spilling = launch(kernel="other", spilled=True, programs=10, tiles=25, shared_bytes=64)
    words = in_words([launch(), launch(), launch(narrow=True), spilling], H200)
    assert words == (
        "2 x k: 132 programs of 8 warps, 128 registers, 0 B shared, balance 1.00; "
        "k: 132 programs of 8 warps, 128 registers, 0 B shared, balance 1.00, "
        "narrow loads, not modelled; "
        "other: 10 programs of 8 warps, 25 tiles, 128 registers and spills, 64 B shared, "
        f"balance {25 / (3 * 132):.2f}"
    )
    assert math.isclose(balance(spilling, H200), 25 / 396)
