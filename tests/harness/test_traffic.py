"""How long what goes between ranks was on its way."""

import pytest

from harness.traffic import Traffic


def test_time_on_the_way_is_counted_once():
    traffic = Traffic(cuda=False)
    traffic._intervals += [(1.0, 2.0), (1.5, 3.0), (10.0, 10.5), (2.5, 2.75)]
    assert traffic.seconds() == pytest.approx(2.5)
    assert traffic.seconds() == 0.0
