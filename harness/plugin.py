"""The pytest side: the fixtures, the options, whose turn is when, and what is shown.

    @pytest.mark.parametrize("provider", ["mine", "torch"])
    def test_softmax(compare, provider):
        compare(lambda device: Comparison(...))

Each provider is a test of its own and a row in pytest-benchmark's table, but the providers of
one case are measured together, in turn, when the first of them is run. Device and mode are
parameters that this plugin adds. Loaded with `pytest_plugins = ["harness.plugin"]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness import closing, names, options, order, record
from harness.faults import faults
from harness.fixtures import (  # noqa: F401  # pytest finds fixtures where it finds hooks
    MEMBER,
    SESSION,
    bench_device,
    bench_mode,
    compare,
    converge,
    probe,
)
from harness.progress import LiveProgress
from harness.replay import TIMER, unfit
from harness.session import Options, Session
from harness.store import StoreError
from harness.timing import MODES
from harness.words import count

# what is asked for first, and so what a short budget has
MODES_OF = {"cpu": ("host", "cold"), "cuda": MODES}

_COUNTS = pytest.StashKey[dict[str, int]]()
_OWN = pytest.StashKey[dict[Path, Any]]()
_DIGESTS = pytest.StashKey[Mapping[str, str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """--devices, --preset, --budget, --results, --resume and --own."""
    options.add(parser.getgroup("flopwise", "flopwise benchmarks (with --benchmark-only)"))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Our clock for pytest-benchmark, before it reads its options."""
    measuring = config.getoption("benchmark_only", False)  # without pytest-benchmark there is none
    if why := names.hidden() or (unfit() if measuring else ""):
        raise pytest.UsageError(why)
    from harness import own  # which imports kernels: not before it is known whose they are

    try:
        given = config.stash[_OWN] = own.load_all(config.getoption("own"))
    except own.BadFile as error:
        raise pytest.UsageError(str(error)) from None
    if measuring and not config.option.collectonly and (why := options.nowhere(config)):
        raise pytest.UsageError(why)
    config.stash[_DIGESTS] = {subjects[0].name: own.digest(p) for p, subjects in given.items()}
    if given:
        config.args = [*map(str, given)]
    config.option.benchmark_timer = TIMER
    config.addinivalue_line(
        "markers",
        "preset(name, mode=None): a benchmark case that only the preset of this name runs, in that "
        "mode or in all",
    )
    config.addinivalue_line(
        "markers", "devices(*names): a benchmark case that is meant for these devices alone"
    )
    config.addinivalue_line(
        "markers",
        "unhurried: a benchmark case that takes minutes to start: none under a budget",
    )
    # a case that fails before it is timed is told by its failure
    config.addinivalue_line("filterwarnings", "ignore:Benchmark fixture was not used at all")


def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> pytest.Module | None:
    """In the place of a file given by --own: the benchmarks of what it declares."""
    declared = parent.config.stash[_OWN].get(module_path)
    if declared is None:
        return None
    from harness import benchmarks  # which imports kernels too

    # an id that is the same wherever pytest is started, and that no test of the user's has
    module: pytest.Module = pytest.Module.from_parent(
        parent, path=module_path, nodeid=f"own:{module_path.name}"
    )
    module.obj = ModuleType(module_path.stem)
    vars(module.obj).update(benchmarks.of(declared))
    return module


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every benchmark that uses `compare`, on each device and in each mode; trials on each
    device."""
    devices = options.devices(metafunc.config)
    if "compare" in metafunc.fixturenames:
        chosen = [(d, m) for d in devices for m in MODES_OF[d]]
        ids = [f"{device}-{mode}" for device, mode in chosen]
        metafunc.parametrize(("bench_device", "bench_mode"), chosen, ids=ids)
    elif not {"converge", "probe"}.isdisjoint(metafunc.fixturenames):
        metafunc.parametrize("bench_device", devices)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The most telling cases first, and the providers of one case side by side."""
    foreign = [item for item in items if _is_benchmark(item) and not _for_its_device(item)]
    if foreign:
        config.hook.pytest_deselected(items=foreign)
        items[:] = [item for item in items if item not in set(foreign)]
    if not items and config.getoption("benchmark_only", False) and config.getoption("keyword"):
        raise pytest.UsageError(
            f"no benchmark is called {config.getoption('keyword')!r} (-k): "
            "pytest --benchmark-only --collect-only -q lists their names"
        )
    benchmarks = [item for item in items if _is_benchmark(item)]
    if not benchmarks or _not_measuring(config):
        return
    preset = config.getoption("preset")
    for item in benchmarks:
        item.stash[MEMBER] = order.member(item, preset)
    members = [item.stash[MEMBER] for item in benchmarks]
    turns = order.ranks(members, config.getoption("budget") is not None)
    benchmarks.sort(key=lambda item: turns[item.stash[MEMBER].group])
    items[:] = [item for item in items if item not in set(benchmarks)] + benchmarks
    if config.option.collectonly:
        return
    wanted = Options(
        devices=options.devices(config),
        preset=preset,
        budget_s=config.getoption("budget"),
        results=config.getoption("results"),
        resume=config.getoption("resume"),
        own=config.stash[_DIGESTS],
    )
    try:
        config.stash[SESSION] = Session(wanted, [i.stash[MEMBER] for i in benchmarks])
    except StoreError as error:
        raise pytest.UsageError(str(error)) from None


def _is_benchmark(item: pytest.Item) -> bool:
    return not {"compare", "converge", "probe"}.isdisjoint(getattr(item, "fixturenames", ()))


def _for_its_device(item: Any) -> bool:
    device = item.callspec.params["bench_device"]
    return all(device in mark.args for mark in item.iter_markers("devices"))


def _not_measuring(config: pytest.Config) -> bool:
    skipped = config.getoption("benchmark_skip") and not config.getoption("benchmark_only")
    disabled = config.getoption("benchmark_disable") and not config.getoption("benchmark_enable")
    return bool(skipped or disabled)


def pytest_runtestloop(session: pytest.Session) -> None:
    """The progress line in place of pytest's dots."""
    run = session.config.stash.get(SESSION, None)
    terminal: Any = session.config.pluginmanager.getplugin("terminalreporter")
    if run and terminal and session.config.get_verbosity() == 0:
        terminal.showfspath = False
        kept = f", {count(run.kept, 'row')} kept" if run.kept else ""
        terminal.write_line(f"run: {run.run} ({count(run.cases_left, 'case')} to measure{kept})")
        run.progress = LiveProgress(terminal, run.cases_left, run.options.budget_s)


def pytest_report_teststatus(
    report: pytest.TestReport, config: pytest.Config
) -> tuple[str, str, str] | None:
    """No dot for a benchmark: its progress line has said it."""
    run = config.stash.get(SESSION, None)
    if run and run.progress and report.when == "call":
        return report.outcome, "", ""
    return None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """benchmark.json, from all rows on disk; a run that is void, or measured nothing, failed."""
    run = session.config.stash.get(SESSION, None)
    if run is None:
        return
    if run.progress:
        run.progress.stop()
    try:
        counts = session.config.stash[_COUNTS] = run.finish()
        found = counts[record.OK] or "" in run.probed.values()
        if not found and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
        elif faults(run.rows.values()) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
    except StoreError as error:
        session.config.stash[_COUNTS] = {}
        run.problems.append(str(error))


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Below pytest-benchmark's table: where the rows are, what is missing, what to do next."""
    run = config.stash.get(SESSION, None)
    if run is None:
        return
    terminalreporter.section("flopwise")
    counts = config.stash.get(_COUNTS, {})
    for line in closing.lines(run, counts, [*map(str, config.invocation_params.args)]):
        terminalreporter.write_line(line)
