"""The README's figure: which panels a run gives, and what stands in them. All rows are made up."""

import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from harness import store
from harness.curve import TUNING
from harness.report import front, front_kernels, front_panels
from harness.report.frame import frame
from harness.report.plots import style
from harness.report.trials import trials
from tests.harness.make_curves import curve
from tests.harness.make_rows import SYNTHETIC, row
from tests.harness.plot_parts import kernel

BATCHES = (1, 32, 1024)
# of the GPU over the CPU at batch 1; it grows as the square root of the batch size
WORKLOADS = {"neuron": 0.1, "cnn": 0.8, "rnn": 0.02, "transformer_char": 3.0}
PROVIDERS = {"torch": 1.0, "torch.compile": 1.002, "triton": 1.3, "liger": 0.7}
CASES = {  # FLOPs, by operation, sizes and dtype
    ("matmul", "N512", "float32"): 10**8,
    ("matmul", "N4096", "bfloat16"): 10**11,
    ("linear", "N4096", "bfloat16"): 10**11,
}
RIGHT = {"correctness_error": 1e-7, "correctness_bound": 1e-6}


def step(name="cnn", batch=32, median=1e-3, device="cpu", **known):
    usual = {"provider": "eager", "baseline": "eager", "mode": "host"} | RIGHT
    return row(median, subject=name, batch=batch, device=device, **usual | known)


def steps(*devices, batches=BATCHES):
    return [
        step(name, batch, 1e-4 * batch / (first * batch**0.5 if device == "cuda" else 1), device)
        for device in devices
        for name, first in WORKLOADS.items()
        for batch in batches
    ]


def kernels(mode="cold", cases=CASES, directions=("forward", "forward+backward"), **known):
    """Every provider in each case; what is `known` of one is given by its name."""
    return [
        kernel(
            *(1e-3 / speedup,), speedup=speedup, spread=0.004, subject=subject, provider=provider,
            device="cuda", mode=mode, dtype=dtype, direction=direction, flops=flops,
            case=f"{sizes}-{dtype}-{direction}",
            **RIGHT | known.get(provider.replace(".", "_"), {}),
        )
        for (subject, sizes, dtype), flops in cases.items()
        for direction in directions
        for provider, speedup in PROVIDERS.items()
    ]  # fmt: skip


def trained(device="cpu", batches=(2, 8, 32, 128), **known):
    return [
        curve("mlp_classification", batch=batch, seed=seed, device=device, **known)
        for batch in batches
        for seed in range(3)
    ]


def drawn(panel):
    with style.applied():
        axes = Figure().subplots()
        panel.draw(axes)
    return axes


def marks(axes, filled=None):
    """(row of the nearest name, value) of the marks, filled or hollow alone if so asked."""
    places = dict(zip(axes.get_yticks(), axes.get_yticklabels(), strict=True))
    found = []
    for line in axes.lines:
        hollow = line.get_markerfacecolor() == style.PAPER
        if line.get_marker() in ("None", "") or filled is hollow:
            continue
        for x, y in zip(*line.get_data(), strict=True):
            found.append((places[min(places, key=lambda at, y=y: abs(at - y))].get_text(), x))
    return sorted(found)


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter() if element.text]


KERNELS, SPEEDUPS = "speedup over torch (above 1× is faster)", "training step, GPU over CPU"
TIMES, LEARNING = "time of a sample in a training step", "samples or steps to the target"


@pytest.mark.parametrize(
    "rows, curves, panels",
    [
        (steps("cpu"), trained(), {TIMES, LEARNING}),
        (steps("cpu", "cuda") + kernels(), trained(), {KERNELS, SPEEDUPS, LEARNING}),
        (steps("cuda") + kernels(), trained("cuda"), {KERNELS, TIMES, LEARNING}),
        (kernels(), [], {KERNELS}),
        ([], trained(), {LEARNING}),
    ],
    ids=["cpu", "both", "gpu", "kernels", "trials"],
)
def test_the_panels_are_those_that_the_run_has(rows, curves, panels):
    told = texts(front.svg(rows, curves))
    assert {KERNELS, SPEEDUPS, TIMES, LEARNING} & {*told} == panels
    places = [text.partition(":")[0] for text in told if text.startswith(("Above:", "Left:"))]
    assert places == ["Above"] * (KERNELS in panels and len(panels) > 1) + ["Left"] * (
        len(panels - {KERNELS}) > 1
    )


def test_its_caption_says_devices_mode_n_and_confidence():
    rows = [*steps("cpu", "cuda"), step("neuron", 2, n=7), step("neuron", 2, device="cuda")]
    told = " ".join(texts(front.svg(rows + kernels(), trained("cuda")))).replace("\u00a0", " ")
    for words in (
        *(f"{SYNTHETIC} cpu, 2 threads", f"{SYNTHETIC} cuda"),
        "the largest case of each operation, bfloat16, mode cold, 95 % intervals, n = 120 samples",
        "mode host, 95 % intervals, n = 7 to 120 samples; shaded: noise floor, 10.0 %",
        "3 seeds a batch size and their median, 12 of 12 trials at the target",
    ):
        assert words in told


def test_of_kernels_the_largest_cases_are_drawn_with_all_providers():
    axes = drawn(front_kernels.kernels(frame(kernels())))
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["forward, N4096", "forward+backward, N4096"] * 2
    headings = [label.get_text() for label in axes.get_yticklabels(minor=True)]
    assert headings == ["matmul", "linear"]
    values = sorted(x for name, x in PROVIDERS.items() if name != "torch")
    # the rows have names of their own, so that their numbers are told apart by height
    for place in axes.get_yticks():
        row = [x for line in axes.lines if line.get_marker() not in ("None", "")
               for x, y in zip(*line.get_data(), strict=True) if abs(y - place) < 0.5]  # fmt: skip
        assert sorted(row) == values
    assert [x for _, x in marks(axes, filled=False)] == [1.002] * 4  # within the noise floor
    assert axes.get_xscale() == "log" and 1.0 in axes.get_xticks()
    (band,) = axes.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((1 / 1.02, 1.02))
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["triton", "torch.compile", "liger"]  # ours first


def test_of_kernels_no_more_cases_are_drawn_than_fit():
    cases = {(f"operation{i}", "N1", "bfloat16"): 1 for i in range(8)}
    axes = drawn(front_kernels.kernels(frame(kernels(cases=cases))))
    assert len(axes.get_yticks()) == front_kernels.MOST_CASES


def test_of_kernels_the_mode_with_most_of_the_cases_is_drawn():
    part = {key: flops for key, flops in CASES.items() if key[0] == "linear"}
    panel = front_kernels.kernels(frame(kernels("cold", part) + kernels("graph")))
    assert "mode graph" in panel.words
    panel = front_kernels.kernels(frame(kernels("graph") + kernels("cold")))
    assert "mode cold" in panel.words


def test_of_kernels_what_no_verdict_may_stand_on_is_left_out():
    above = {"above_roof": True}
    axes = drawn(front_kernels.kernels(frame(kernels(liger=above))))
    assert {x for _, x in marks(axes)} == {1.002, 1.3}
    assert front_kernels.kernels(frame(kernels(triton=above))) is None
    assert front_kernels.kernels(frame(kernels(torch=above))) is None  # what all are compared with
    rows = kernels(cases={("matmul", "N512", "float32"): 1}) + kernels(triton=above)
    axes = drawn(front_kernels.kernels(frame(rows)))
    assert {name for name, _ in marks(axes)} == {"forward, N512", "forward+backward, N512"}


def test_kernels_on_a_cpu_or_without_ours_are_no_panel():
    known = {"speedup": 1.3, "direction": "forward"} | RIGHT
    for device, is_panel in (("cuda", True), ("cpu", False)):
        rows = [kernel(provider=name, device=device, **known) for name in ("torch", "triton")]
        assert (front_kernels.kernels(frame(rows)) is not None) == is_panel
    peers = [made for made in kernels() if made.extra_info["provider"] != "triton"]
    assert front_kernels.kernels(frame(peers)) is None


def test_the_gpu_over_the_cpu_is_drawn_with_where_it_passes_1():
    axes = drawn(front_panels.gpu_over_cpu(frame(steps("cpu", "cuda"))))
    expected = {(n, first * b**0.5) for n, first in WORKLOADS.items() for b in BATCHES}
    found = marks(axes)
    assert [name for name, _ in found] == sorted(name for name, _ in expected)
    assert [x for _, x in found] == pytest.approx([x for _, x in sorted(expected)])
    told = [text.get_text() for text in axes.texts]
    # where first x sqrt(batch) is 1: at 100 and at 1.6; never, and from the first on
    assert [words.partition(" [")[0] for words in told] == [
        *("100", "1.6", "none", "any", "GPU faster\nfrom batch")
    ]
    assert axes.get_xscale() == "log" and 1.0 in axes.get_xticks()


@pytest.mark.parametrize(
    "gpu, words", [(0.99e-3, "unclear"), (0.5e-3, "any"), (2e-3, "none")], ids=str
)
def test_at_one_batch_size_the_gpu_is_ahead_or_not_or_it_cannot_be_told(gpu, words):
    axes = drawn(front_panels.gpu_over_cpu(frame([step(), step(median=gpu, device="cuda")])))
    assert axes.texts[0].get_text() == words
    assert bool(marks(axes, filled=False)) == (words == "unclear")


def test_a_noise_floor_wider_than_all_speedups_shades_all_of_the_axis():
    copies = [
        kernel(kind="aa", provider="torch (again)", device="cuda", mode="cold", speedup=s, **RIGHT)
        for s in (0.5, 1.5, 2.0, 1e200)
    ]
    axes = drawn(front_kernels.kernels(frame(kernels() + copies)))
    (band,) = axes.patches
    ends = band.get_x(), band.get_x() + band.get_width()
    assert ends == pytest.approx(axes.get_xlim()) and ends[1] < 2
    assert not marks(axes, filled=True)


def test_the_gpu_is_not_compared_with_a_disturbed_cpu_or_above_its_roof():
    taken = [step("neuron", b, throttled=True, throttle_reasons="contended") for b in BATCHES]
    above = [step("cnn", b, device="cuda", above_roof=True) for b in BATCHES]
    rows = {(r.extra_info["subject"], r.extra_info["device"]): r for r in [*taken, *above]}
    kept = [
        made
        for made in steps("cpu", "cuda")
        if (made.extra_info["subject"], made.extra_info["device"]) not in rows
    ]
    axes = drawn(front_panels.gpu_over_cpu(frame([*kept, *taken, *above])))
    assert {name for name, _ in marks(axes)} == {"rnn", "transformer_char"}


def test_the_time_of_a_sample_is_drawn_hollow_where_disturbed_and_not_above_the_roof():
    rows = [
        *(step("rnn", 32, 3.2e-3), step("cnn", 1, 2e-3), step("cnn", 32, 32e-3, throttled=True)),
        step("cnn", 1024, 1e-3, above_roof=True),
        step("cnn", 64, 1e-3, direction="inference"),
        step("cnn", 128, 1e-3, provider="compile"),
        step("cnn", 256, 1e-3, mode="cold"),
    ]
    panel = front_panels.step_times(frame(rows))
    axes = drawn(panel)
    assert marks(axes, filled=True) == [("cnn", 2e-3), ("rnn", pytest.approx(1e-4))]
    assert marks(axes, filled=False) == [("cnn", 1e-3)]
    assert panel.words.endswith("hollow: disturbed")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["rnn", "cnn"]


def test_of_many_batch_sizes_the_ends_and_two_between_are_drawn():
    axes = drawn(front_panels.step_times(frame(steps("cpu", batches=[2**i for i in range(11)]))))
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["batch 1", "8", "128", "1,024"]


def test_learning_is_drawn_as_medians_on_the_gpu_where_there_is_one():
    slow = trained("cpu", (2, 8))
    curves = trained("cuda", (8, 32, 128)) + slow
    axes = drawn(front_panels.learning(trials(curves)))
    lines = {line.get_label(): line for line in axes.lines}
    for currency in ("samples", "steps"):
        expected = {
            batch: np.median([
                c.to_target(currency)
                for c in curves
                if (c.trial.device, c.trial.batch) == ("cuda", batch)
            ])
            for batch in (8, 32, 128)
        }  # fmt: skip
        assert dict(zip(*lines[currency].get_data(), strict=True)) == pytest.approx(expected)
    assert axes.get_ylabel() == LEARNING
    assert list(front_panels.learning(trials(slow)).on) == [f"{SYNTHETIC} cpu, 2 threads"]


def test_learning_is_of_one_workload_and_optimizer_in_one_process_without_tuning():
    slower = {"batch": 2, "rate": 0.8}  # would draw all medians there up
    others = [
        *(curve("mlp_classification", seed=10 + i, role=TUNING, **slower) for i in range(9)),
        *(curve("mlp_classification", seed=20 + i, world_size=2, **slower) for i in range(9)),
        *(curve("mlp_classification", "adam", seed=30 + i, **slower) for i in range(9)),
        *(curve("cnn", seed=40 + i, **slower) for i in range(9)),
    ]

    def steps_drawn(curves):
        axes = drawn(front_panels.learning(trials(curves)))
        return [list(line.get_ydata()) for line in axes.lines]

    assert steps_drawn(trained() + others) == steps_drawn(trained())


def test_learning_leaves_out_batches_where_half_of_the_seeds_did_not_get_there():
    curves = trained() + trained(batches=(512,), limit=5)
    panel = front_panels.learning(trials(curves))
    (line,) = (line for line in drawn(panel).lines if line.get_label() == "steps")
    assert [*line.get_xdata()] == [2, 8, 32, 128]
    assert "12 of 15 trials at the target" in panel.words
    assert front_panels.learning(trials(trained(batches=(2, 8), limit=5))) is None


def test_the_same_arguments_give_the_same_text_whatever_the_users_style():
    given = steps("cpu", "cuda") + kernels(), trained()
    first = front.svg(*given)
    with matplotlib.rc_context({"font.size": 30, "axes.grid": False, "svg.fonttype": "path"}):
        assert front.svg(*given) == first


def test_text_of_files_is_text():
    name = "<script>alert(1)</script> $x$"
    rows = [step("$a$<b>", batch, device_name=name) for batch in BATCHES]
    told = texts(front.svg(rows, []))
    assert any(name in text for text in told) and "$a$<b>" in told


@pytest.mark.parametrize("rows", [[], [step(median=None)], kernels(triton={"above_roof": True})])
def test_a_run_with_nothing_to_draw_is_refused_in_one_line(rows):
    with pytest.raises(ValueError, match=r"^nothing to draw: .*; .* make study$"):
        front.svg(rows, trained(batches=(32,)))


def test_the_table_goes_between_its_comments_and_nothing_else_changes():
    page = "before\n<!-- claims: of a run -->\nold\n\nold\n<!-- end of claims -->\nafter\n"
    filled = "before\n<!-- claims: of a run -->\n| \\1 |\n<!-- end of claims -->\nafter\n"
    assert front.fill(page, "| \\1 |") == filled
    for without in ("before\n", page + page):
        with pytest.raises(ValueError, match="no one place between"):
            front.fill(without, "words")


def test_a_run_is_written_as_a_figure_and_a_table(tmp_path):
    kept = store.Store(tmp_path / "machine" / "run", {"run_id": "run"})
    kept.append(steps("cpu"))
    out, page = tmp_path / "front.svg", tmp_path / "README.md"
    told = front.write(kept.run, out)
    assert "| claim of the course |" in told and out.read_text("utf-8").startswith("<?xml")
    page.write_text("<!-- claims -->\n\n<!-- end of claims -->\n", "utf-8")
    assert front.write(kept.run, out, page) == ""
    assert page.read_text("utf-8") == f"<!-- claims -->\n{told}\n<!-- end of claims -->\n"


def test_a_page_without_a_place_leaves_the_figure_as_it_was(tmp_path):
    kept = store.Store(tmp_path / "machine" / "run", {"run_id": "run"})
    kept.append(steps("cpu"))
    out, page = tmp_path / "front.svg", tmp_path / "README.md"
    page.write_text("none", "utf-8")
    with pytest.raises(ValueError, match="no one place"):
        front.write(kept.run, out, page)
    assert not out.exists() and page.read_text("utf-8") == "none"
