"""From pytest's items to the rows that they will be, and whose turn is when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from harness import budget
from harness.session import Member
from harness.timing import MODES


def member(item: Any, preset: str) -> Member:
    """The row that a benchmark will be.

    Raises:
        pytest.UsageError: it uses the fixture compare, and has no parameter named provider.
    """
    given = dict(item.callspec.params)
    if "provider" not in given and "compare" in item.fixturenames:
        raise pytest.UsageError(
            f"{item.nodeid} uses the fixture compare, and has no parameter named provider: "
            'add @pytest.mark.parametrize("provider", [...])'
        )
    params = {k: v if isinstance(v, int) else str(v) for k, v in given.items()}
    # the test's id without the provider is the case, on a device, in a mode
    others = [f"{k}={v}" for k, v in sorted(params.items()) if k != "provider"]
    mode = str(given.get("bench_mode", "host"))
    marks = [m for m in item.iter_markers("preset") if m.kwargs.get("mode", mode) == mode]
    wanted = all(mark.args[0] == preset for mark in marks)
    return Member(
        id=item.nodeid,
        name=item.name,
        group=f"{item.nodeid.partition('[')[0]}[{' '.join(others)}]",
        provider=str(given.get("provider", "")),
        device=str(given["bench_device"]),
        mode=mode,
        params=params,
        wanted=wanted,
        unhurried=any(item.iter_markers("unhurried")),
        native=any(mark.args == (given["bench_device"],) for mark in item.iter_markers("devices")),
        fixture=next(f for f in budget.SHARES if f in item.fixturenames),
    )


def ranks(members: Sequence[Member], shared: bool) -> dict[str, tuple[int, ...]]:
    """When a group's turn is: what the preset leaves out last; else mode by mode, and of each
    test function one case after the other, in the order in which they are declared, those that
    are meant for the device alone before those that are small enough for all.

    Args:
        members: the rows to be.
        shared: a budget is shared: one fixture after the other, in the order of its shares.
    """
    fixtures = list(budget.SHARES)
    turns: dict[str, tuple[int, ...]] = {}
    counts: dict[tuple[str, str, str], int] = {}
    wanted: dict[str, bool] = {}
    native: dict[str, bool] = {}
    for row in members:
        wanted[row.group] = wanted.get(row.group, False) or row.wanted
        native[row.group] = native.get(row.group, True) and row.native
    for row in sorted(members, key=lambda row: not native[row.group]):
        if row.group not in turns:
            series = (row.group.partition("[")[0], row.device, row.mode)
            counts[series] = counts.get(series, 0) + 1
            mode = MODES.index(row.mode)
            fixture = fixtures.index(row.fixture) if shared else 0
            turn = (fixture, mode, counts[series], len(turns))
            turns[row.group] = (not wanted[row.group], *turn)
    return turns
