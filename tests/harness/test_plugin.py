"""pytest --benchmark-only: what is measured, refused and left out."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness import case, contention, faults, noise, plugin, record, replay, selfcheck, store
from tests.harness import user_project
from tests.harness.user_project import LIMITS, measure, rows, statuses

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(pytester, monkeypatch):
    return user_project.made(pytester, monkeypatch)


def test_a_run_has_a_table_rows_and_json_that_pytest_benchmark_compares(project):
    result = measure(project)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*benchmark 'sum n1000 cpu host': 2 tests*", "*2 ok in results*"])
    run = store.runs(project.path / "results")[0]
    saved = json.loads((run / store.BENCHMARK).read_text())
    timed = [b for b in saved["benchmarks"] if b["extra_info"]["kind"] == "user"]
    for benchmark in timed:
        info = benchmark["extra_info"]
        for name in record.FIELDS:
            assert name in info
            assert info[name] is not None or name == "reason" or info[f"{name}_reason"]
        assert info["median_s"] == pytest.approx(benchmark["stats"]["median"])
        assert info["flops"] == 1000 and info["bytes"] == 4000
        assert benchmark["stats"]["rounds"] == info["n"] == len(benchmark["stats"]["data"])
    assert {b["extra_info"]["provider"] for b in timed} == {"torch", "mine"}
    # the table shows what was measured, not what handing it over took
    (run / "second.json").write_text((run / store.BENCHMARK).read_text())
    compared = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare",
         str(run / store.BENCHMARK), str(run / "second.json")],
        capture_output=True, text=True, cwd=run,
    )  # fmt: skip
    assert compared.returncode == 0, compared.stderr
    assert compared.stdout.count("[cpu-host-mine-1000]") == 2


def test_the_first_cases_have_a_second_copy_of_their_baseline_and_so_a_noise_floor(
    project, monkeypatch
):
    # whoever has the cores
    monkeypatch.setattr(contention, "BUSY", 1e9)
    monkeypatch.setattr(noise, "WIDE", math.inf)
    monkeypatch.setattr(case, "PRESETS", {"quick": replace(LIMITS, max_samples=60, max_s=10)})
    monkeypatch.setattr(noise, "PAIRS", 4)
    project.write(sizes="1000, 2000, 3000, 4000, 5000")
    result = measure(project)
    result.assert_outcomes(passed=10)
    found, _ = store.read(store.runs(project.path / "results")[0])
    pairs = [r for r in found if r.extra_info["kind"] == record.AA]
    assert [r.extra_info["case"] for r in pairs] == ["n1000", "n2000", "n3000", "n4000"]
    assert {r.extra_info["provider"] for r in pairs} == {"torch (again)"}
    floor = noise.floors(r.extra_info for r in found)["cpu", "host"]
    assert floor.pairs == noise.PAIRS
    result.stdout.fnmatch_lines([f"noise floor, cpu host: {floor}"])
    # a run that goes on has its pairs already
    project.write(sizes="1000, 2000, 3000, 4000, 5000, 6000")
    measure(project, "--resume=last").assert_outcomes(passed=12)
    again, _ = store.read(store.runs(project.path / "results")[0])
    assert sum(r.extra_info["kind"] == record.AA for r in again) == noise.PAIRS


def test_a_run_measures_first_what_is_known_and_fails_where_it_is_wrong(project, monkeypatch):
    # a copy may well be faster than the roof before it while others have the cores
    monkeypatch.setattr(faults, "beyond_roof", lambda info: False)
    right = measure(project)
    right.assert_outcomes(passed=2)
    assert right.ret == pytest.ExitCode.OK
    right.stdout.no_fnmatch_line("!! *")
    found, _ = store.read(store.runs(project.path / "results")[0])
    assert [r.id for r in found][:2] == ["check::cpu::nothing", "check::cpu::delay"]
    monkeypatch.setitem(selfcheck.DELAY_S, "cpu", 3e-3)
    spin = selfcheck._spin
    monkeypatch.setattr(selfcheck, "_spin", lambda: (spin()[0], 2e-3))
    void = measure(project)
    void.assert_outcomes(passed=2)
    assert void.ret == pytest.ExitCode.TESTS_FAILED
    void.stdout.fnmatch_lines(
        ["!! self-check delay: 2.000 ms were measured as 3.*: nothing of cpu in this run counts;*"]
    )


def test_without_its_baseline_a_case_has_no_copy(project):
    measure(project, "-k", "mine").assert_outcomes(passed=1)
    found, _ = store.read(store.runs(project.path / "results")[0])
    assert not any(r.extra_info["kind"] == record.AA for r in found)


def test_a_name_that_no_benchmark_has_is_refused_in_one_line(project):
    result = measure(project, "-k", "softmaxx")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: no benchmark is called 'softmaxx' (-k): pytest *"])


def test_wrong_providers_are_refused_before_timing_and_the_others_go_on(project):
    project.write(providers='"torch", "zeros", "raises", "hungry", "unheard-of", "mine"')
    result = measure(project)
    result.assert_outcomes(passed=2, failed=3, skipped=1)
    result.stdout.fnmatch_lines(["*zeros: wrong answer: error*, allowed*"])
    result.stdout.fnmatch_lines(["*raises: RuntimeError: no such thing"])
    assert {p: s for (p, _), s in statuses(project).items()} == {
        "torch": "ok", "mine": "ok", "zeros": "failed", "raises": "failed",
        "hungry": "out_of_memory", "unheard-of": "failed",
    }  # fmt: skip
    by_provider = {r.extra_info["provider"]: r for r in rows(project)[0].values()}
    assert by_provider["hungry"].extra_info["reason"] == "OutOfMemoryError: too large"
    assert by_provider["zeros"].samples == ()
    assert by_provider["mine"].extra_info["speedup"] is not None


def test_a_provider_that_is_wrong_once_it_is_timed_has_no_result(project):
    more = """
calls = []
def tires(x):
    calls.append(1)
    return torch.sum(x) if len(calls) < 20 else torch.zeros(())
PROVIDERS["tires"] = tires
"""
    project.write(providers='"torch", "tires"', more=more)
    measure(project).assert_outcomes(passed=1, failed=1)
    tired = next(r for r in rows(project)[0].values() if r.extra_info["provider"] == "tires")
    assert tired.extra_info["reason"].startswith("right before it was timed, and not after: wrong")
    assert (tired.samples, tired.extra_info["speedup"]) == ((), None)


def test_a_case_that_cannot_be_built_fails_alone(project):
    more = """
@pytest.mark.parametrize("provider", ["torch"])
def test_broken(compare, provider):
    compare(lambda device: 1 / 0)
"""
    project.write(more=more)
    result = measure(project)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*the case cannot be built: ZeroDivisionError*"])
    assert statuses(project)["torch", "bench_device=cpu bench_mode=host]"] == "failed"


def test_without_its_baseline_a_row_has_no_speedup_and_says_why(project):
    measure(project, "-k", "mine").assert_outcomes(passed=1)
    (only,) = rows(project)[0].values()
    assert only.extra_info["speedup"] is None
    assert only.extra_info["speedup_reason"] == "the baseline torch was not measured beside it"


def test_a_preset_leaves_out_what_is_marked_for_the_other(project):
    mark = 'pytest.param(2000, marks=pytest.mark.preset("full"))'
    project.write(sizes=f"1000, {mark}")
    measure(project).assert_outcomes(passed=2, skipped=2)
    left_out = [r for r in rows(project)[0].values() if r.status == "not_measured"]
    assert {r.extra_info["case"] for r in left_out} == {"n2000"}
    assert all(r.extra_info["reason"].startswith("preset: quick") for r in left_out)
    measure(project, "--preset=full").assert_outcomes(passed=4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--devices=tpu"], "unknown device 'tpu': one or more of cpu, cuda, or auto"),
        (["--preset=huge"], "invalid choice: 'huge'"),
        (["--budget=soon"], "'soon' is not a number of seconds above 0"),
        (["--budget=-1"], "'-1' is not a number of seconds above 0"),
        (["--resume=lost"], "no run 'lost' in results"),
        (["--results=test_sum.py"], "cannot write results to *Not a directory*"),
    ],
)
def test_bad_options_are_one_clear_line(project, arguments, words):
    result = project.runpytest_inprocess("-p", "harness.plugin", "--benchmark-only", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{words}*".replace("'", "?")])
    assert "Traceback" not in result.stderr.str()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_alone_asked_for_where_there_is_none_is_one_line_at_the_start(project):
    arguments = ["-p", "harness.plugin", "--benchmark-only", "--devices=cuda"]
    result = project.runpytest_inprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no CUDA device: *; measure with --devices=cpu"])
    assert not (project.path / "results").exists() and not result.stdout.lines
    listed = project.runpytest_inprocess(*arguments, "--collect-only", "-q")
    listed.stdout.fnmatch_lines(["*cuda-*"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_asked_for_where_there_is_none_is_a_row_with_its_reason(project):
    result = measure(project, "--devices=cpu,cuda")
    result.assert_outcomes(passed=2, skipped=2)
    absent = [r for r in rows(project)[0].values() if r.extra_info["device"] == "cuda"]
    assert all(r.status == "not_measured" for r in absent)
    assert all(r.extra_info["reason"].startswith("no CUDA device: ") for r in absent)


def test_a_run_that_measured_nothing_has_not_succeeded(project):
    result = measure(project, "--budget=1e-9")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_with_benchmarks_disabled_providers_are_checked_and_not_timed(project):
    project.write(providers='"torch", "zeros"')
    result = project.runpytest_inprocess(
        "-p", "harness.plugin", "--benchmark-disable", "--devices=cpu"
    )
    result.assert_outcomes(passed=1, failed=1)
    assert not (project.path / "results").exists()


def test_a_benchmark_without_a_provider_is_told_what_it_lacks(project):
    more = """
def test_nobody(compare):
    pass
"""
    project.write(more=more)
    result = measure(project)
    result.stderr.fnmatch_lines(["*has no parameter named provider: add*"])


@pytest.mark.parametrize(
    ("found", "whole", "refused"),
    [("5.2.3", False, True), ("5.2.3", True, False), ("5.3.1", False, False)],
)
def test_a_pytest_benchmark_that_does_not_know_this_pytest_is_refused(
    found, whole, refused, monkeypatch
):
    """pytest 9.2 took away what 5.2.3 looks at in every test."""
    item = type("Item", (), {"_nodeid": ""} if whole else {})
    monkeypatch.setattr(replay, "version", lambda name: found)
    monkeypatch.setattr(replay.pytest, "Item", item)
    words = f"pytest-benchmark {found} does not work with pytest {pytest.__version__}: pip install"
    assert replay.unfit().startswith(words) if refused else replay.unfit() == ""


def test_nothing_is_measured_with_a_pytest_benchmark_that_is_refused(project, monkeypatch):
    monkeypatch.setattr(plugin, "unfit", lambda: "pytest-benchmark 5.2.3 does not work")
    result = measure(project)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: pytest-benchmark 5.2.3 does not work"])
    disabled = project.runpytest_inprocess("-p", "harness.plugin", "--collect-only", "-q")
    assert disabled.ret == 0  # what is not measured does not need it


def test_another_package_called_kernels_is_noticed(project, monkeypatch):
    project.mkpydir("kernels")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # behind the user's own folder
    result = project.runpytest_subprocess("-p", "harness.plugin", "--benchmark-only")
    result.stderr.fnmatch_lines(["*another package named kernels hides flopwise's own*"])
