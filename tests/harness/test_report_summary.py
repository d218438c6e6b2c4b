"""What the report says of planted rows, and what it says was not measured."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from harness.report import plots, summary, words
from harness.report.frame import frame
from tests.harness.make_rows import NO_GPU, cpu_and_gpu, cpu_only, row
from tests.harness.report_page import Page, page


@pytest.fixture(scope="module")
def gpu_page(tmp_path_factory) -> Page:
    return page(tmp_path_factory.mktemp("gpu"), cpu_and_gpu(), {"run_id": "a run"})


@pytest.fixture(scope="module")
def cpu_page(tmp_path_factory) -> Page:
    return page(tmp_path_factory.mktemp("cpu"), cpu_only(), {"gpus": None, "gpus_reason": NO_GPU})


def test_a_run_without_a_gpu_says_so_and_why(cpu_page, gpu_page):
    assert f"No GPU was measured: {NO_GPU}." in cpu_page.text
    assert "GPU over CPU is not drawn: workloads were measured on the CPU alone." in cpu_page.text
    assert "None of 14 rows of kernels was measured" in cpu_page.text
    assert "110 rows not_measured on GPU" in cpu_page.text
    assert "No GPU was measured" not in gpu_page.text


def test_the_environment_tells_why_where_no_row_does():
    told = summary.no_gpu(frame([row()]), {"gpus": None, "gpus_reason": "torch is without CUDA"})
    assert told is not None
    assert told.startswith("No GPU was measured: torch is without CUDA.")


def test_statuses_are_counted_by_device():
    assert summary.statuses(frame(cpu_only())) == [
        ("ok", "measured", [("cpu", 96), ("cuda", 0)]),
        ("not_measured", "was not run", [("cpu", 0), ("cuda", 110)]),
    ]


def test_a_missing_value_has_its_reason_and_is_never_blank(tmp_path):
    shown = page(tmp_path, [row(energy_j_reason="no energy counter here", why="made up")])
    (number,) = re.findall(r'<li value="(\d+)">no energy counter here</li>', shown.html)
    assert f'<td class="none">–<sup>{number}</sup></td>' in shown.html
    body = shown.html[shown.html.index('<table id="all">') :].split("</table>")[0]
    assert body.count("<td></td>") == 1  # "why not ok", of a row that is ok


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (1.01, 1.2, "faster"),
        (0.8, 0.99, "slower"),
        (0.99, 1.2, "unclear"),
        (0.985, 1.015, "same"),
        (1.001, 1.017, "same"),
        (1.001, 1.025, "unclear"),
    ],
)
def test_faster_is_said_only_beyond_the_noise_floor_by_an_interval_that_excludes_1(
    tmp_path, low, high, word
):
    middle = (low + high) / 2
    known = {"provider": "triton", "speedup_low": low, "speedup_high": high, "batch": 1}
    shown = page(tmp_path, [row(batch=1), row(speedup=middle, **known)])
    summary_text = shown.text[shown.text.index("Speedups worth knowing") :]
    said = summary_text[: summary_text.index("How to read")]
    assert f"1 comparison: 1 {word}." in said
    for other in {"faster", "slower", "same", "unclear"} - {word}:
        assert not re.search(rf"(?<!is )\b{other}\b(?! markers| case)", _findings(said))
    assert "Noise floor: CPU, warm mode: 2.0 % (assumed: no A/A pair was measured)" in said


def _findings(text: str) -> str:
    """Without the sentences that explain how to read a figure."""
    for plot in map(plots.load, plots.NAMES):
        text = text.replace(plot.INTRO, "")
    return text


def test_the_summary_takes_the_middle_case_with_its_interval_n_mode_and_device():
    rows = [
        row(1e-3, speedup=s, provider="triton", batch=b, n=30 + b)
        for b, s in ((1, 0.5), (2, 1.5), (4, 1.2))
    ]
    ((line,), left_out) = summary.speedups(frame(rows))
    assert (line.case, line.speedup, line.n) == ("batch4-train", "1.20 [1.18, 1.22]", "34")
    assert (line.verdict, line.mode, line.device) == ("faster", "warm", "cpu")
    assert (line.cases, left_out) == ("2 faster, 1 slower", 0)


def test_the_summary_puts_clear_results_first():
    rows = [
        row(speedup=9.0, spread=0.95, provider="unclear"),
        row(speedup=1.1, spread=0.01, provider="clear"),
        row(speedup=3.0, spread=0.01, provider="clearest"),
    ]
    lines, _ = summary.speedups(frame(rows))
    assert [line.provider for line in lines] == ["clearest", "clear", "unclear"]


def test_a_floor_that_was_measured_is_told_and_kept_to():
    pairs = [row(speedup=s, kind="aa", provider="again", name=f"aa{s}") for s in (1.04, 0.98)]
    table = frame([*pairs, row(speedup=1.05, spread=0.01, provider="triton")])
    assert summary.noise_floors(table) == ["CPU, warm mode: 14.4 % (2 A/A pairs)"]
    assert list(table["verdict"]) == [None, None, "same"]
    assert [line.provider for line in summary.speedups(table)[0]] == ["triton"]


def test_many_comparisons_are_judged_together():
    one = row(speedup=1.05, spread=0.035, provider="triton")
    assert list(frame([one])["verdict"]) == ["faster"]
    others = [row(speedup=1.05, spread=0.035, provider=f"p{i}") for i in range(9)]
    assert set(frame([one, *others])["verdict"]) == {"unclear"}


def test_a_self_check_that_failed_leaves_no_row_of_its_device_to_be_trusted(tmp_path):
    wrong = row(2.2e-3, kind="check", subject="delay", expected_s=2e-3)
    rows = [row(provider="mine", speedup=1.5), row(device="cuda"), wrong]
    shown = page(tmp_path, rows)
    fault = "self-check delay: 2.000 ms were measured as 2.200 ms (+10.0%)"
    assert f"{fault}: no CPU row of this run is to be trusted" in shown.text
    assert list(frame(rows)["trust"]) == ["none", "low", "none"]
    assert list(frame(rows)["verdict"]) == ["unclear", None, None]
    assert f"none: {fault}" in shown.text
    assert "low: its correctness was not checked" in shown.text


def test_doubtful_rows_are_counted():
    rows = [
        row(throttled=True, correctness_error=1e-9, correctness_bound=1e-8),
        row(correctness_error=1e-9, correctness_bound=1e-8),
        row(above_roof=True, correctness_error=1e-7, correctness_bound=1e-8),
        row(None, throttled=True),
        row(spread=0.06, correctness_error=1e-9, correctness_bound=1e-8),
    ]
    assert summary.warnings(frame(rows)) == [
        "1 row measured while the clock was held down, or others had the CPU's cores (which "
        "leaves no verdict)",
        "1 row above the measured roof, and so without a verdict",
        "1 row with an interval wider than ± 5 % of the median, or none",
        "1 row with an error above its bound",
    ]


def test_problems_and_roofs_are_listed(tmp_path):
    known: dict[str, Any] = {
        "kind": "roof",
        "subject": "copy",
        "case": "copy-1GiB",
        "byte_per_s": 4.31e12,
    }
    shown = page(tmp_path, [row(), row(**known)], {}, ["run/rows.jsonl, line 3: skipped: bad"])
    assert "run/rows.jsonl, line 3: skipped: bad" in shown.text
    assert "4.31 TB/s" in shown.text
    assert "1 skipped while reading" in shown.text


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (words.si(1.234e-3, "s"), "1.23 ms"),
        (words.si(0.0, "J"), "0 J"),
        (words.si(4.3e12, "B/s"), "4.30 TB/s"),
        (words.si_interval(1.23e-3, 1.2e-3, 1.27e-3, "s"), "1.23 ms [1.20, 1.27]"),
        (words.si_interval(1e-3, math.nan, 2e-3, "s"), "1.00 ms [interval not known]"),
        (words.ratio(1.42, 1.38, 1.47), "1.42 [1.38, 1.47]"),
        (words.ratio(1.03, 1.0021, 1.06), "1.030 [1.002, 1.060]"),
        (words.ratio(1.0, 1.0, 1.0), "1.00 [1.00, 1.00]"),
        (words.ratio(0.4501, 0.4499, 0.4503), "0.4501 [0.4499, 0.4503]"),
        (words.ratio(2.5, 2.5, 2.5), "2.50 [2.50, 2.50]"),
        (words.ratio(2.5, 2.5, 2.5 + 1e-9), "2.50 [2.50, 2.50]"),
        (words.whole(1024), "1,024"),
        (words.whole(1.66), "1.7"),
        (words.count(1, "row"), "1 row"),
        (words.plain("a\tb\nc"), "a b c"),
    ],
)
def test_numbers_in_words(shown, said):
    assert shown == said
