"""What probes found, in the report: the noise scale beside the critical batch, and a table."""

from __future__ import annotations

import math
import re

import pytest

from harness.curve import Curve
from harness.report import plots
from harness.report.noise_scales import noise_scales
from harness.report.plots import batch_size, style
from harness.report.probed import MOST, probed
from harness.report.trials import trials
from tests.harness.make_curves import curve, findings, noise_scale
from tests.harness.make_evidence import finding
from tests.harness.make_rows import row
from tests.harness.report_page import page

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def trained() -> list[Curve]:
    """Of which the critical batch size is 60."""
    batches = (8, 32, 128, 512)
    return [curve(batch=b, seed=seed, optimizer=o) for b in batches for seed in range(3) for o in
            ("sgd", "adam")]  # fmt: skip


def part(of, found, optimizer="sgd"):
    parts = plots.load("batch_size").parts(trials(of, found))
    return next(p.frame for p in parts if p.title == f"{optimizer} on CPU")


def texts(frame):
    with style.applied():
        drawn = batch_size.figure(frame)
    assert drawn is not None
    return [text.get_text() for axes in drawn.axes for text in axes.texts]


def test_every_noise_scale_is_drawn_and_held_against_the_critical_batch(trained):
    frame = part(trained, findings())
    assert "noise scale 2 to 45, at 3 steps" in texts(frame)
    words = batch_size.caption(frame)
    assert (
        "The gradient noise scale, in samples, was 2 [1.6, 2.4] at step 0, 12 [9.6, 14] at step "
        "30, 45 [36, 54] at step 100 (60 draws each), 0."
    ) in words
    critical = re.search(r"critical batch size ([\d.]+)", words)
    told = re.search(r"each\), ([\d.]+) to ([\d.]+) times the critical batch size: ", words)
    assert critical and told
    for end, scale in enumerate((2, 45), start=1):
        assert float(told[end]) == pytest.approx(scale / float(critical[1]), rel=0.1)
    assert "noise scale 45 [36, 54]" in texts(part(trained, [noise_scale(100, 45.0)]))


def test_which_noise_scale_is_the_last_does_not_decide(trained):
    found = [noise_scale(0, 2.0), noise_scale(50, 60.0, 0.5)]
    for of in (found, [noise_scale(50, 2.0), noise_scale(0, 60.0, 0.5)]):
        words = batch_size.caption(part(trained, of))
        assert "the two may be one at 1 of 2 steps, and not at others" in words


@pytest.mark.parametrize(
    ("value", "spread", "said"),
    [(6.0, 0.1, "they disagree"), (60.0, 0.5, "their intervals allow the two to be one")],
)
def test_a_disagreement_is_said(trained, value, spread, said):
    words = batch_size.caption(part(trained, [noise_scale(10, value, spread)]))
    assert f"times the critical batch size: {said}." in words


def test_it_is_of_one_workload_one_device_and_plain_descent(trained):
    assert "noise scale" not in batch_size.caption(part(trained, findings(), "adam"))
    for change in ({"subject": "cnn"}, {"device": "cuda"}, {"probe": "other"}):
        frame = part(trained, [noise_scale(10, 60.0, **change)])
        assert "noise scale" not in batch_size.caption(frame)
        assert not any("noise" in text for text in texts(frame))


@pytest.mark.parametrize("value", [1e-9, 1e9, 1.0])
def test_one_far_from_the_batches_tried_is_only_told(trained, value):
    frame = part(trained, [noise_scale(10, value)])
    drawn = any(text.startswith("noise scale") for text in texts(frame))
    assert drawn == (value == 1.0)
    assert "they disagree" in batch_size.caption(frame)


def test_without_a_fit_the_noise_scale_still_stands():
    few = [curve(batch=batch, seed=seed, limit=9) for batch in (8, 32) for seed in range(3)]
    words = batch_size.caption(part(few, findings()))
    assert "No fit: " in words and "45 [36, 54] at step 100" in words
    assert "times the critical" not in words


def test_numbers_that_are_none_are_left_out_and_infinite_ones_are_told(trained):
    ends = {"noise_scale_low": 5.0, "noise_scale_high": None, "step": 7, "noise_scale": None}
    why = {"noise_scale": "it is inf", "noise_scale_high": "it is inf"}
    endless = noise_scale(7, 1.0, values=ends, why=why)
    ((noise,),) = noise_scales([endless]).values()
    assert math.isinf(noise.scale.value) and not noise.known
    words = batch_size.caption(part(trained, [endless]))
    assert words.endswith("The gradient noise scale, in samples, was ∞ at step 7 (60 draws).")
    unknown = noise_scale(7, 1.0, values=ends, why={"noise_scale": "it broke"})
    below = noise_scale(7, -3.0)
    empty = noise_scale(7, 1.0, values={})
    assert noise_scales([unknown, below, empty]) == {}
    both = batch_size.caption(part(trained, [noise_scale(3, 50.0), endless]))
    assert "at step 3, ∞ at step 7 (60 draws each)" in both


def test_findings_are_one_table_with_intervals_and_reasons(tmp_path):
    (scale, *_, kappa), more = probed(findings())
    assert (scale.values, scale.n, more) == ("step 100; noise scale 45 [36, 54]", "60", 0)
    assert kappa.values == (
        "inputs condition number 1,234; hessian condition number: not known (no eigenvalue above 0)"
    )
    shown = page(tmp_path, [row()], findings=findings())
    assert "noise scale 45 [36, 54]" in shown.text
    assert '<a href="#findings">' in shown.html
    assert 'id="findings"' not in page(tmp_path, [row()]).html


def test_the_least_and_the_most_are_no_interval():
    ends = {"time_share": 0.5, "time_share_low": 0.4, "time_share_high": 0.6}
    ((line,), _) = probed([finding("products", n=5, **ends)])
    assert line.values == "time share 50.0 % (seen: 40.0 % to 60.0 %)"


def test_numbers_of_probes_have_words_and_the_unit_that_their_names_have():
    ends = {f"backward_over_forward{end}": 1.85 for end in ("", "_low", "_high")}
    times = {"forward_s": 1.1e-3, "forward_backward_s": 3.2e-3, "saved_bytes": 8.0e6}
    ((line,), _) = probed([finding("backward", **times, **ends, flops_rest=2.5e9, steps=7)])
    assert line.values == (
        "forward 1.10 ms; forward and backward 3.20 ms; saved 8.00 MB; "
        "backward over forward 1.85× [1.85×, 1.85×]; FLOPs rest 2.50 GFLOP; steps 7"
    )


def test_many_findings_are_bounded_and_the_rest_is_told(tmp_path):
    many = [noise_scale(step, 5.0) for step in range(MOST + 7)]
    assert (
        "7 more left out: they are in findings.jsonl" in page(tmp_path, [row()], findings=many).text
    )


def test_hostile_findings_stay_text(tmp_path, trained):
    name = f"{HOSTILE}\u202e{'x' * 5000}"
    values = {name: 1.0, "a": None, "b": None, "c": 10**400, "d_low": 1, "d_high": None, "d": 2}
    texts_ = dict.fromkeys(("probe", "subject", "at", "device", "device_name"), name)
    found = [
        noise_scale(1, 1.0, n=10**400, values=values, why={"a": name, "b": 3}, **texts_),
        noise_scale(2, 50.0, at=name),
        noise_scale(3, 50.0, values={"noise_scale": 10**400, "step": 10**400}),
        noise_scale(4, 1.0, values={f"noise_scale{e}": 10**400 for e in ("", "_low", "_high")}),
    ]
    shown = page(tmp_path, [row()], curves=trained, findings=found)
    assert shown.count("script") == 1  # ours
    assert HOSTILE in shown.text and "too large to show" in shown.text
    assert "\u202e" not in shown.html and "x" * 600 not in shown.html
