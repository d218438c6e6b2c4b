"""What a reader may not take at its face: disturbed rows, a law that does not hold, no times."""

from __future__ import annotations

import dataclasses

import pytest

from harness.report import plots, unmeasured
from harness.report.frame import DISTURBED, doubts, frame, measured
from harness.report.plots import batch_size, few_batches, kernels, latency, style
from tests.harness.make_curves import curve
from tests.harness.make_rows import NO_GPU, row
from tests.harness.plot_parts import drawn, only, parts, told

CHECKED = {"correctness_error": 1e-7, "correctness_bound": 1e-6}


def hollow(figure) -> list[tuple[float, float]]:
    """Where a marker is open."""
    return [
        (float(x), float(y))
        for axes in figure.axes
        for line in axes.lines
        if line.get_markerfacecolor() == style.PAPER
        for x, y in line.get_xydata()
    ]


def timed(batch, median, **known):
    return row(median, batch=batch, **CHECKED | known)


def test_a_doubt_is_told_in_a_word_and_only_where_there_is_one():
    rows = measured(
        frame(
            [
                timed(1, 1e-3),
                timed(2, 1e-3, throttled=True),
                timed(4, 1e-3, throttled=True, device="cuda"),
                timed(8, 1e-3, above_roof=True),
                timed(16, 1e-3, median_low_s=None, median_high_s=None),
            ]
        )
    )
    assert [*doubts(rows)] == ["", DISTURBED, "", "without trust", "without an interval"]


@pytest.mark.parametrize("batches", [(1, 32, 1024), (1, 4, 32, 256, 1024)])
def test_a_disturbed_time_is_hollow_and_no_ratio_is_told_of_it(batches):
    clear = [timed(batch, 1e-3 * batch) for batch in batches]
    part = only("latency", frame(clear)).frame
    assert not hollow(drawn("latency", part)) and "1,024" in latency.caption(part)
    disturbed = [*clear[:-1], timed(1024, 5.0, throttled=True)]
    part = only("latency", frame(disturbed)).frame
    ((x, y),) = hollow(drawn("latency", part))
    assert 5.0 in (x, y)
    assert latency.caption(part) == "Hollow, and without a verdict: 1 disturbed."
    assert [line["no verdict"] for line in told("latency", part)][-1] == DISTURBED


def test_a_kernel_without_a_verdict_says_why_and_whose_fault_it_was():
    def case(name, speedup, disturbed=()):
        known = {"kind": "kernel", "case": name, "mode": "host", **CHECKED}
        return [
            row(1e-3, provider="torch", throttled="torch" in disturbed, **known),
            row(1e-3, provider="mine", throttled="mine" in disturbed, speedup=speedup, **known),
        ]

    rows = [*case("a", 2.0), *case("b", None, ("torch", "mine")), *case("c", None, ("torch",))]
    part = only("kernels", frame(rows)).frame
    words = kernels.caption(part)
    assert "mine in 1 case: 1 faster. 2 without a verdict: " in words
    assert "1 disturbed" in words and "1 with the baseline disturbed" in words
    assert len(hollow(drawn("kernels", part))) == 3


def test_a_case_s_name_has_a_line_of_its_own_above_both_panels():
    name = "M512-N512-K512-float32-forward+backward"
    part = only("kernels", frame([row(kind="kernel", case=name, **CHECKED)])).frame
    figure = drawn("kernels", part)
    (strip,) = [a for a in figure.artists if hasattr(a, "get_width")]
    (text,) = [text for text in figure.texts if text.get_text() == name]
    assert strip.get_width() == 1 and strip.get_zorder() < text.get_zorder()
    low, high = strip.get_y(), strip.get_y() + strip.get_height()
    assert low <= text.get_position()[1] < high


def test_few_batch_sizes_are_one_figure_with_a_line_a_workload():
    rows = [
        timed(batch, 1e-3 * (1 + slope * batch), subject=name, direction=direction)
        for name, slope in (("flat", 0.0), ("steep", 1.0))
        for batch in (1, 32, 1024)
        for direction in ("train", "inference")
    ]
    found = plots.load("latency").parts(frame(rows))
    assert [part.title for part in found] == ["train", "inference"]
    figure = drawn("latency", found[0].frame)
    assert {"flat", "steep"} == {text.get_text() for text in figure.axes[0].texts} - {
        "median time per iteration"
    }
    assert latency.caption(found[0].frame) == (
        "1,024 times the samples (1 to 1,024) take 1.00 (flat) to 512 times (steep) the time, "
        "by 2 lines."
    )


def test_of_a_long_name_the_provider_and_the_device_are_not_cut():
    """With both devices in a run nothing else would tell its lines apart."""
    rows = [
        timed(32, seconds, subject="mlp_classification", provider=provider, device=device)
        for seconds, provider, device in (
            (1e-3, "eager", "cpu"), (2e-3, "eager", "cuda"), (3e-3, "graph", "cuda"),
        )
    ]  # fmt: skip
    (part,) = latency.parts(frame(rows))
    written = [text.get_text() for text in latency.figure(part.frame).axes[0].texts]
    assert [name for name in written if name.startswith("mlp")] == [
        "mlp_classificat…, eager, cpu", "mlp_classifica…, eager, cuda",
        "mlp_classifica…, graph, cuda",
    ]  # fmt: skip


def test_more_lines_than_fit_are_figures_with_the_same_axis():
    rows = [timed(1, 1e-6 * 1.1**i, subject=f"s{i}") for i in range(few_batches.MAX_LINES + 5)]
    found = plots.load("latency").parts(frame(rows))
    assert [part.title for part in found] == ["train, 1 of 2", "train, 2 of 2"]
    axes = [drawn("latency", part.frame).axes[0] for part in found]
    assert axes[0].get_xlim() == axes[1].get_xlim()
    assert sum(len(told("latency", part.frame)) for part in found) == len(rows)


def test_a_doubling_is_equally_high_in_all_figures_of_many_batch_sizes():
    def height(steepness):
        rows = [timed(2**i, 1e-3 * 2 ** (steepness * i)) for i in range(5)]
        figure = drawn("latency", only("latency", frame(rows)).frame)
        low, high = figure.axes[0].transData.transform([(1, 1e-3), (1, 2e-3)])[:, 1]
        return high - low

    assert height(0.05) == pytest.approx(height(2.0))


def test_a_law_that_the_steps_do_not_follow_is_told_with_an_if():
    bent = [curve(batch=b, seed=s) for b in (4, 16, 64, 256, 1024) for s in range(4)]
    (part,) = parts("batch_size", bent).values()
    assert "If the law held" not in batch_size.caption(part)
    fitted = batch_size._fit(part)
    assert isinstance(fitted, batch_size.Fit) and not batch_size._doubted(fitted, ())
    assert batch_size._doubted(dataclasses.replace(fitted, misfit=0.14), ())
    assert batch_size._doubted(dataclasses.replace(fitted, flags=("too few",)), ())
    few = [curve(batch=b, seed=s) for b in (16, 64, 256) for s in range(4)]
    (part,) = parts("batch_size", few).values()
    assert "If the law held, S_min" in batch_size.caption(part)
    texts = [text.get_text() for text in drawn("batch_size", part).axes[0].texts]
    assert any(text.startswith("critical if the law held: ") for text in texts)


def test_settings_without_times_leave_the_others_their_figure():
    contended = "contended: a thread waited 34% of the time for a core"
    of = [curve(optimizer=f"o{i:02}", batch=64, seed=s) for i in range(8) for s in range(3)]
    of = [dataclasses.replace(c, waited_share=0.34) if c.trial.optimizer > "o01" else c for c in of]
    (part,) = parts("survival", of).values()
    drawn("survival", part)
    words = plots.load("survival").caption(part)
    assert "Of 2 settings, 2 got there" in words and "No times of o02, o03" in words
    assert contended in words


def test_rows_without_a_value_stand_by_their_reason_and_the_others_by_subject():
    rows = [row(1e-3, subject=name, batch=batch) for name in "ba" for batch in (32, 1)]
    rows += [row(None, why=NO_GPU, subject=f"k{i}", device="cuda") for i in range(3)]
    rows += [row(None, why="out of it", status="failed", reason="out of it", subject="c")]
    table = frame(rows)
    others = unmeasured.others(table)
    assert [*zip(others["subject"], others["batch"].fillna(0), strict=True)] == [
        ("a", 1), ("a", 32), ("b", 1), ("b", 32), ("c", 0),
    ]  # fmt: skip
    (reason,) = unmeasured.by_reason(table)
    assert (reason.what, reason.why) == ("3 rows not_measured on GPU", NO_GPU)
    assert [line[0] for line in reason.lines] == ["k0", "k1", "k2"] and reason.more == 0
    (reason,) = unmeasured.by_reason(table, ["device", "subject"])
    assert reason.lines[0] == ("cuda", "k0")
