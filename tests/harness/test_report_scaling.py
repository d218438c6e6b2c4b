"""Figures of scaling, on curves of planted efficiency; other figures see one number of ranks."""

import dataclasses

import pytest

from harness.report import plots
from harness.report.merge import merge
from harness.report.plots import scaling, style
from harness.report.runs import Run
from harness.report.trials import trials
from tests.harness.make_curves import curve
from tests.harness.make_rows import row
from tests.harness.report_page import page

HOSTILE = "<script>alert(1)</script>"


def on(ranks, batch, step_s, seed=0, **more):
    """A trial on so many ranks whose steps take so long."""
    found = curve(batch=batch, seed=seed)
    points = tuple(dataclasses.replace(p, seconds=p.steps * step_s) for p in found.points)
    where = {"backend": "gloo", "host": "a", "hosts": "a,b", "communication_share": 0.25}
    known = {"points": points, "world_size": ranks} | (where if ranks > 1 else {}) | more
    return dataclasses.replace(found, **known)


# of batch 64 on 1, 2 and 4 ranks: twice as fast each time but for a quarter; then twice the batch
STEPS = {(1, 64): 8e-3, (2, 64): 5e-3, (4, 64): 4e-3, (2, 128): 1e-2, (4, 256): 1.6e-2}


def planted():
    return [
        on(*key, step * factor, seed)
        for key, step in STEPS.items()
        for seed, factor in enumerate((1.0, 0.9, 1.2))
    ]


def by_title(curves):
    return {part.title: part.frame for part in scaling.parts(trials(curves))}


def test_strong_scaling_is_at_the_same_batch():
    part = by_title(planted())["strong scaling, sgd on the CPU"]
    table = scaling.table(part)
    assert list(table["ranks"]) == ["1", "2", "4"]
    assert list(table["efficiency"]) == ["100%", "80%", "50%"]  # 8 / (2 x 5), 8 / (4 x 4)
    assert list(table["seconds a step"]) == ["8.00 ms", "5.00 ms", "4.00 ms"]
    assert list(table["on their way between ranks"]) == [
        "not known", "25% of the time", "25% of the time",
    ]  # fmt: skip
    words = scaling.caption(part)
    assert "batch 64: efficiency 50% on 4 ranks against 1." in words
    assert "hosts a, b" in words and "3 seeds" in words and words.startswith("CPU")


def test_weak_scaling_is_at_the_same_batch_for_each_rank():
    table = scaling.table(by_title(planted())["weak scaling, sgd on the CPU"])
    assert list(table["batch"]) == ["64", "128", "256"]
    assert list(table["a rank"]) == ["64"] * 3
    assert list(table["efficiency"]) == ["100%", "80%", "50%"]  # 8 / 10, 8 / 16


def test_time_to_the_target_is_of_the_same_batch_and_of_seeds_that_all_got_there():
    title = "time to the target, sgd on the CPU"
    part = by_title(planted())[title]
    assert "efficiency" not in scaling.table(part)
    assert list(scaling.table(part)["ranks"]) == ["1", "2", "4"]
    cut = [
        dataclasses.replace(c, status="censored", reason="cut short")
        if c.world_size > 1 and c.trial.seed == 1
        else c
        for c in planted()
    ]
    assert title not in by_title(cut)
    assert "strong scaling, sgd on the CPU" in by_title(cut)


def test_every_kind_is_drawn_with_its_axes():
    with style.applied():
        for part in scaling.parts(trials(planted())):
            (axes,) = scaling.figure(part.frame).axes
            assert axes.get_xlabel() == "ranks"
    assert "better" in scaling.INTRO


@pytest.mark.parametrize(
    "curves",
    [
        [on(1, 64, 8e-3)],
        [on(1, 64, 8e-3), on(2, 32, 8e-3)],  # neither the whole nor a rank's batch is the same
        [on(1, 64, 8e-3), on(2, 64, 5e-3, shared_device=True)],
        [],
    ],
)
def test_where_nothing_can_be_compared_it_says_so(curves):
    table = trials(curves)
    assert scaling.parts(table) == [] and scaling.absent(table).endswith(".")


def test_runs_on_one_rank_and_on_more_come_together_and_the_rest_stays_with_the_fewest(tmp_path):
    one = [c for c in planted() if c.world_size == 1]
    more = [c for c in planted() if c.world_size > 1]
    (view,) = merge([Run("both", [row(1e-3)], {}, [*one, *more], [], [])]).machines
    sizes = {(c.trial.batch, c.world_size) for c in view.evidence.curves}
    assert sizes == {(64, 1), (128, 2), (256, 4)}
    shown = page(tmp_path, [row(1e-3)], curves=[*one, *more])
    assert 'id="scaling"' in shown.html and "efficiency 50% on 4 ranks" in shown.text
    assert "torchrun --standalone" not in shown.text  # two hosts must find each other
    assert 'id="scaling"' not in page(tmp_path, [row(1e-3)], curves=one).html


def test_a_newer_run_on_more_ranks_does_not_take_the_place_of_one(tmp_path):
    machine = {"cpu": {"model": "a CPU", "usable_cores": 2}, "gpus": None}
    one = [c for c in planted() if c.world_size == 1]
    more = [c for c in planted() if c.world_size == 2]
    merged = merge(
        [
            Run("one", [row(1e-3)], machine, one, [], []),
            Run("two", [row(1e-3)], machine, more, [], []),
        ]
    )
    (view,) = merged.machines
    assert {c.world_size for c in view.ranks} == {1, 2}
    assert {c.world_size for c in view.evidence.curves if c.trial.batch == 64} == {1}


def test_the_commands_that_measure_it_again(tmp_path):
    curves = [dataclasses.replace(c, hosts="a" if c.world_size > 1 else "") for c in planted()]
    text = page(tmp_path, [row(1e-3)], curves=curves).text
    assert "torchrun --standalone --nproc-per-node=2 -m harness sweep mlp-sgd-batch64" in text
    assert "python -m harness sweep mlp-sgd-batch64" in text


def test_hostile_text_stays_text(tmp_path):
    curves = [
        dataclasses.replace(c, setting=f"{HOSTILE}; rm x", hosts=HOSTILE, backend=HOSTILE)
        for c in planted()
    ]
    shown = page(tmp_path, [row(1e-3)], curves=curves)
    assert shown.count("script") == 1  # ours
    assert HOSTILE in shown.text
    assert "sweep '<script>" in shown.text  # quoted for the shell


def test_it_is_one_of_the_plots():
    assert plots.load("scaling") is scaling
