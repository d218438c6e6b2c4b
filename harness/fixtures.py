"""What a benchmark asks for by name: `compare`, `converge` and `probe`.

harness.plugin, which pytest loads, has them from here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from harness import record
from harness.comparison import Checker
from harness.convergence import Setting
from harness.record import Row
from harness.replay import replay
from harness.session import Build, Member, Session
from harness.store import StoreError

# the run, and of a benchmark the row that it will be: harness.plugin puts them there
SESSION = pytest.StashKey[Session]()
MEMBER = pytest.StashKey[Member]()


@pytest.fixture
def bench_device() -> str:
    """The device of a benchmark; a parameter that the plugin adds."""
    raise pytest.UsageError("bench_device has a value only beside compare, converge or probe")


@pytest.fixture
def bench_mode() -> str:
    """The mode of a benchmark; a parameter that the plugin adds."""
    raise pytest.UsageError("bench_mode has a value only beside compare")


@pytest.fixture
def compare(
    request: pytest.FixtureRequest, benchmark: Any, bench_device: str, bench_mode: str
) -> Callable[[Build], None]:
    """Check and time this test's provider beside the others of its case.

    Call it once, with a function of the device ("cpu" or "cuda") that returns the Comparison.
    It is called for the first provider only, so what it builds is built once a case.
    """

    def run(build: Build) -> None:
        if benchmark.disabled:
            _check_only(build(bench_device), request.node.callspec.params["provider"])
            return
        _hand_in(request, benchmark, lambda session, member: session.row(member, build))

    return run


@pytest.fixture
def converge(
    request: pytest.FixtureRequest, benchmark: Any, bench_device: str
) -> Callable[[Setting], None]:
    """Train a setting from several seeds to its target: a round is a seed.

    Call it once, with the harness.convergence.Setting. Its rate is tuned first where the preset
    says so.
    """

    def run(setting: Setting) -> None:
        if benchmark.disabled:
            pytest.skip("not_measured: trials are run with --benchmark-only")
        _hand_in(request, benchmark, lambda session, member: session.converge(member, setting))

    return run


@pytest.fixture
def probe(
    request: pytest.FixtureRequest, benchmark: Any, bench_device: str
) -> Callable[[str], None]:
    """Run one of harness.probes by name; what it finds goes to findings.jsonl."""

    def run(name: str) -> None:
        if benchmark.disabled:
            pytest.skip("not_measured: probes are run with --benchmark-only")
        session, member = request.config.stash[SESSION], request.node.stash[MEMBER]
        try:
            why = session.probe(member, name)
        except StoreError as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.INTERNAL_ERROR)
        if why:
            pytest.skip(f"not_measured: {why}")

    return run


def _hand_in(
    request: pytest.FixtureRequest, benchmark: Any, measure: Callable[[Session, Member], Row]
) -> None:
    """Measure a row and make it pytest-benchmark's, or the test's failure or skip."""
    session, member = request.config.stash[SESSION], request.node.stash[MEMBER]
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    try:
        # what is captured would hold back the progress line until the end
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            row = measure(session, member)
    except StoreError as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.INTERNAL_ERROR)
    info = row.extra_info
    if row.status == record.OK and not row.samples:
        pytest.skip(f"{row.status}, and no time: {info['median_s_reason']}")
    elif row.status == record.OK:
        benchmark.group = row.group
        benchmark.extra_info.update(info)
        replay(benchmark, row.samples, info["iterations"])
    elif row.status == record.FAILED:
        pytest.fail(f"{info['provider']}: {info['reason']}", pytrace=False)
    else:
        pytest.skip(f"{row.status}: {info['reason']}")


def _check_only(comparison: Any, provider: str) -> None:
    """With --benchmark-disable: right or wrong, and no timing."""
    if provider in comparison.not_measured:
        pytest.skip(f"not_measured: {comparison.not_measured[provider]}")
    call = comparison.providers[provider]()
    verdict = Checker(comparison).check(call, provider in comparison.in_place)
    if verdict.wrong:
        pytest.fail(f"{provider}: {verdict.wrong}", pytrace=False)
