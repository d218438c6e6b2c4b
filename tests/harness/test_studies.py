"""Every study, on synthetic evidence: each verdict that it can give, and none but by evidence."""

import dataclasses
import math
import subprocess
import sys
import types

import pandas as pd
import pytest

from harness import studies
from harness.curve import CENSORED, DIVERGED, FAILED, REACHED, TUNING, Curve, Point, Trial
from harness.probes.spec import Finding
from harness.report import plots
from harness.report.frame import frame
from harness.studies.compare import Side, duel
from harness.studies.spec import (
    DEPENDS,
    NOT_MEASURED,
    REFUTED,
    SUPPORTED,
    UNCLEAR,
    VERDICTS,
    Evidence,
    Verdict,
    by_interval,
    combined,
)
from tests.harness.make_curves import curves as all_curves
from tests.harness.make_rows import NO_GPU, SYNTHETIC, cpu_and_gpu, cpu_only, row

NAME = f"{SYNTHETIC} cpu"
FIVE = (1.0, 1.05, 0.95, 1.02, 0.98)
NEVER = math.inf


def trials(workload, steps, optimizer="adam", batch=32, flops=1.0, seconds=0.01, **known):
    """One trial a seed, with so many steps to the target, or censored where that is infinite."""
    found = []
    for seed, needed in enumerate(steps):
        reached = math.isfinite(needed)
        end = needed if reached else 200
        points = tuple(
            Point(int(s), int(s) * batch, s * flops, s * seconds, s * seconds, None, None, metric)
            for s, metric in ((0, 2.0), (end, 0.1 if reached else 1.0))
        )
        fields = {
            **{"metric": "validation loss", "target": 0.1, "lower_is_better": True},
            **{"status": REACHED if reached else CENSORED, "points": points},
            **{"reason": None if reached else "not reached in 200 steps"},
            **{"device_name": NAME, "threads": 2},
        }
        found.append(Curve(Trial(workload, optimizer, batch, 0.01, seed, "cpu"), **fields | known))
    return found


def about(middle):
    """Five seeds around a number of steps."""
    return [middle * share for share in FIVE]


def finding(probe, subject, at="", **values):
    return Finding(probe, subject, at, "cpu", NAME, 60, values)


def pair(a, b, more_a=(), **known):
    """Curves of two settings, from what each is called and how many steps it takes."""
    return [*trials(*a, **known), *trials(*b, **known), *more_a]


def moved(workload, values):
    return [
        dataclasses.replace(curve, shifted=value)
        for curve, value in zip(trials(workload, about(100)), values, strict=True)
    ]


def noise(power):
    """Findings whose variance goes as batch to a power, each known to a tenth."""
    return [
        finding(
            "noise",
            "mlp_classification",
            f"batch {batch}",
            batch=batch,
            variance=batch**power,
            variance_low=0.9 * batch**power,
            variance_high=1.1 * batch**power,
        )
        for batch in (1, 4, 16, 64, 256)
    ]


def flat_noise():
    """Nothing is to be seen: each variance may be a thousand times as large."""
    ends = {"variance": 1.0, "variance_low": 1e-3, "variance_high": 1e3}
    return [finding("noise", "m", f"batch {b}", batch=b, **ends) for b in (1, 2, 4)]


def share(flops, time, spread=0.01):
    ends = {"time_share_low": time - spread, "time_share_high": time + spread}
    return finding("products", "cnn", "batch 32", flops_share=flops, time_share=time, **ends)


def backward(value, low, high, **more):
    name = "backward_over_forward"
    ends = {name: value, f"{name}_low": low, f"{name}_high": high}
    return finding("backward", "deep_mlp", "batch 128", **ends, **more)


def timed(values, device="cpu", **known):
    """Rows of training steps, by batch."""
    return [
        row(seconds, provider="eager", baseline="eager", batch=batch, device=device, mode="host",
            **{"direction": "train"} | known)
        for batch, seconds in values.items()
    ]  # fmt: skip


def fused(speedups):
    return [
        made
        for i, speedup in enumerate(speedups)
        for provider, faster in (("torch", None), ("triton", speedup))
        for made in [
            row(1e-3 / (faster or 1), provider=provider, speedup=faster, kind="kernel",
                subject="cross_entropy", case=f"R{i}", direction="forward", device="cuda",
                mode="cold", roof_share=0.3, peak_memory_bytes=4096)
        ]
    ]  # fmt: skip


def E(rows=(), curves=(), findings=()):
    return Evidence(frame(list(rows)), list(curves), list(findings))


def from_trials(*groups):
    return E(curves=[curve for group in groups for curve in group])


def target(workload, *values, **known):
    return trials(workload, values, **known)


RAW, STANDARD, SHIFTED = (f"deep_mlp/4x64-{x}" for x in ("raw", "standardised", "shifted"))
MSE, HUBER = "mlp_regression/mse_outliers", "mlp_regression/huber_outliers"
GD, NEWTON = ({"optimizer": name} for name in ("gradient_descent", "newton"))
SGD = {"workload": "mlp_classification", "optimizer": "sgd"}
LINEAR = "linear_regression"
THREE = (NEVER, NEVER, NEVER)
MADE = {"generated": "man is to woman as king is to  queen queen right"}


def both_ways(worse, better):
    """A setting that is ahead, is behind, or cannot be told; with five seeds and with three."""
    return [
        (SUPPORTED, from_trials(trials(worse, about(100)), trials(better, about(50)))),
        (SUPPORTED, from_trials(target(worse, *THREE), target(better, 40, 41, 42))),
        (REFUTED, from_trials(trials(worse, about(50)), trials(better, about(100)))),
        (REFUTED, from_trials(target(worse, 40, 41, 42), target(better, *THREE))),
        (UNCLEAR, from_trials(trials(worse, about(100)), trials(better, about(100)[::-1]))),
        (UNCLEAR, from_trials(target(worse, 40, 50, 60), target(better, 45, 30, 20))),
        (UNCLEAR, from_trials(target(worse, *THREE), target(better, *THREE))),
        (UNCLEAR, from_trials(target(worse, 100, 100), target(better, 10, 10))),
        (NOT_MEASURED, from_trials(trials(worse, about(100)))),
    ]


def both_moved(without, with_it):
    return [
        (SUPPORTED, from_trials(moved(without, about(4.0)), moved(with_it, about(2.0)))),
        (REFUTED, from_trials(moved(without, about(2.0)), moved(with_it, about(4.0)))),
        (UNCLEAR, from_trials(moved(without, about(2.0)), moved(with_it, about(2.0)[::-1]))),
        (NOT_MEASURED, from_trials(trials(without, about(9)), trials(with_it, about(9)))),
    ]


def batches(large, mini, flops=(1.0, 1.0), seconds=(1.0, 1.0)):
    made = zip((32, 512), (mini, large), flops, seconds, strict=True)
    return from_trials(
        *(trials(steps=about(n), batch=b, flops=f, seconds=s, **SGD) for b, n, f, s in made)
    )


def optimizers(plain, other, flops, name="newton", workload=LINEAR):
    return from_trials(
        trials(workload, about(plain), **GD),
        trials(workload, about(other), optimizer=name, flops=flops),
    )


def every(workload):
    return [
        (SUPPORTED, from_trials(target(workload, 40, 41, 42, **MADE))),
        (DEPENDS, from_trials(target(workload, 40, NEVER, 42, **MADE))),
        (REFUTED, from_trials(target(workload, *THREE))),
        (UNCLEAR, from_trials(target(workload, 40, 41, **MADE))),
    ]


CASES = {
    "products": [
        (SUPPORTED, E(findings=[share(0.99, 0.95)])),
        (REFUTED, E(findings=[share(0.6, 0.5)])),
        (DEPENDS, E(findings=[share(0.99, 0.3)])),
        (UNCLEAR, E(findings=[share(0.99, 0.9, spread=0.05)])),
    ],
    "gpu": [
        (SUPPORTED, E([*timed({32: 1e-3}), *timed({32: 1e-4}, "cuda")])),
        (REFUTED, E([*timed({32: 1e-4}), *timed({32: 1e-3}, "cuda")])),
        (DEPENDS, E([*timed({1: 1e-5, 64: 1e-2}), *timed({1: 1e-4, 64: 1e-4}, "cuda")])),
        (UNCLEAR, E([*timed({32: 1e-3}), *timed({32: 0.99e-3}, "cuda")])),
    ],
    "minibatch_cost": [
        (SUPPORTED, E(timed({32: 1e-4, 1024: 1e-3}))),
        (REFUTED, E(timed({32: 1e-3, 1024: 1e-4}))),
        (UNCLEAR, E(timed({32: 1e-3, 1024: 1.01e-3}))),
        (
            DEPENDS,
            E([*timed({32: 1e-4, 1024: 1e-3}), *timed({32: 1e-3, 1024: 9e-4}, subject="rnn")]),
        ),
    ],
    "minibatch_noise": [
        (SUPPORTED, E(findings=noise(-1))),
        (DEPENDS, E(findings=noise(-0.5))),
        (REFUTED, E(findings=noise(0.5))),
        (UNCLEAR, E(findings=flat_noise())),
    ],
    "minibatch_progress": [
        (SUPPORTED, batches(100, 200, flops=(1, 16), seconds=(1, 16))),
        (REFUTED, batches(100, 2000, flops=(1, 16), seconds=(1, 16))),
        (DEPENDS, batches(100, 200, flops=(1, 16), seconds=(1, 1))),
        (UNCLEAR, batches(100, 100)),
    ],
    "conditioning": [
        *both_ways(RAW, STANDARD),
        (
            DEPENDS,
            from_trials(
                *(trials(w, about(s)) for w, s in ((RAW, 9), (SHIFTED, 90), (STANDARD, 30)))
            ),
        ),
    ],
    "initialisation": [
        *both_ways("deep_mlp/4x64-normal", "deep_mlp/4x64"),
        (
            DEPENDS,
            from_trials(
                trials("deep_mlp/4x64-normal", about(50)),
                trials("deep_mlp/4x64", about(100)),
                trials("deep_mlp/4x64-he", about(25)),
            ),
        ),
    ],
    "normalisation": [
        *both_ways("deep_mlp/16x64", "deep_mlp/16x64-layer"),
        (
            DEPENDS,  # alone it never gets there, with skips it does
            from_trials(
                target("deep_mlp/16x64", *THREE),
                target("deep_mlp/16x64-layer", *THREE),
                target("deep_mlp/16x64-skip", 90, 91, 92),
                target("deep_mlp", 30, 31, 32),
            ),
        ),
    ],
    "skip": [
        *both_ways("deep_mlp/16x64", "deep_mlp/16x64-skip"),
        (
            DEPENDS,
            from_trials(
                target("deep_mlp/16x64", *THREE),
                target("deep_mlp/16x64-skip", 90, 91, 92),
                target("deep_mlp/16x64-layer", 20, 21, 22),
                target("deep_mlp", 30, 31, 32),
            ),
        ),
    ],
    "second_order": [
        (SUPPORTED, optimizers(100, 10, 100.0)),
        (REFUTED, optimizers(10, 100, 100.0)),
        (DEPENDS, optimizers(1000, 10, 2.0)),
        (UNCLEAR, optimizers(100, 10, 10.0)),
    ],
    "first_order": [
        (SUPPORTED, optimizers(100, 10, 1.0, "adam")),
        (REFUTED, optimizers(10, 100, 1.0, "adam")),
        (UNCLEAR, optimizers(100, 100, 1.0, "adam")),
        (
            DEPENDS,
            from_trials(
                trials(LINEAR, about(50), **GD),
                trials(LINEAR, about(5), optimizer="momentum"),
                trials(LINEAR, about(500), optimizer="adagrad"),
            ),
        ),
    ],
    "huber": both_ways(MSE, HUBER),
    "convolution": both_moved("cnn/mlp", "cnn"),
    "recurrence": [
        *both_moved("rnn/mlp", "rnn"),
        (
            DEPENDS,
            from_trials(
                moved("rnn/mlp", about(2.0)), moved("rnn", about(4.0)), moved("rnn/gru", about(1.0))
            ),
        ),
    ],
    "depth_or_width": [
        *both_ways("deep_mlp/2x844-layer-skip", "deep_mlp"),
        (
            DEPENDS,  # sooner in steps, later in seconds
            from_trials(
                trials("deep_mlp/2x844-layer-skip", about(100)),
                trials("deep_mlp", about(50), seconds=1.0),
            ),
        ),
    ],
    "word_vectors": every("word2vec"),
    "generation": [
        (SUPPORTED, from_trials(*(target(w, 4, 5, 6, **MADE) for w in ("char_rnn", "pixelcnn")))),
        (DEPENDS, from_trials(target("char_rnn", 4, 5, 6, **MADE), target("pixelcnn", *THREE))),
        (REFUTED, from_trials(target("char_rnn", *THREE), target("pixelcnn", *THREE))),
        (UNCLEAR, from_trials(target("char_rnn", 4, 5, 6, **MADE))),
        (UNCLEAR, from_trials(target("char_rnn", 4, 5, 6), target("pixelcnn", 4, 5, 6))),
    ],
    "agent": every("cartpole"),
    "backpropagation": [
        (SUPPORTED, E(findings=[backward(2.0, 1.9, 2.1, saved_bytes=1e6)])),
        (REFUTED, E(findings=[backward(4.0, 3.9, 4.1)])),
        (DEPENDS, E(findings=[backward(4.0, 3.9, 4.1, saved_bytes=1e6)])),
        (UNCLEAR, E(findings=[backward(2.0, None, None, saved_bytes=1e6)])),
    ],
    "fusion": [
        (SUPPORTED, E(fused([1.5, 2.0]))),
        (REFUTED, E(fused([0.5, 0.6]))),
        (DEPENDS, E(fused([0.5, 2.0]))),
        (UNCLEAR, E(fused([1.01]))),
    ],
}


@pytest.mark.parametrize("name", studies.NAMES)
def test_a_study_gives_each_verdict_by_its_evidence(name):
    for expected, evidence in CASES[name]:
        found = studies.load(name).judge(evidence)
        assert found.verdict == expected, (expected, found)
        sound(found)
    verdicts = {expected for expected, _ in CASES[name]}
    assert verdicts >= {SUPPORTED, REFUTED, UNCLEAR}


def sound(found):
    assert found.verdict in VERDICTS and found.words and found.words == found.words.strip()
    assert "nan" not in f"{found.words} {found.effect}".split(), found
    if found.verdict == NOT_MEASURED:
        assert found.n == 0 and not found.effect
    else:
        assert found.n > 0 and found.effect
        assert SYNTHETIC in found.words, "the device is not named"


@pytest.mark.parametrize("name", studies.NAMES)
def test_without_evidence_it_is_not_measured_and_says_what_is_missing(name):
    for evidence in (Evidence(), Evidence(frame(cpu_only()).iloc[:0])):
        found = studies.load(name).judge(evidence)
        assert found.verdict == NOT_MEASURED and found.words.startswith("not measured: ")
        sound(found)


def test_why_a_row_was_not_measured_is_told():
    rows = frame(cpu_only())
    for name in ("gpu", "fusion"):
        assert NO_GPU in studies.load(name).judge(Evidence(rows)).words


def hostile():
    """What a file may hold: other workloads, halves of pairs, huge, odd and missing numbers."""
    huge = 10**400
    of = trials("deep_mlp/4x64-raw", about(100)) + trials("deep_mlp/4x64-standardised", about(9))
    of += trials(LINEAR, about(9), **GD) + trials(LINEAR, about(9), **NEWTON)
    of += [c for b in (8, 32, 512) for c in trials(steps=about(9), batch=b, **SGD)]
    of += [c for w in ("word2vec", "cartpole", "char_rnn", "pixelcnn") for c in target(w, 1, 2, 3)]
    of += moved("cnn", about(1)) + moved("cnn/mlp", about(1))

    def all_with(**known):
        return [dataclasses.replace(c, **known) for c in of]

    def points_with(**known):
        return [
            dataclasses.replace(c, points=tuple(dataclasses.replace(p, **known) for p in c.points))
            for c in of
        ]

    yield E(curves=all_with(status=DIVERGED, reason="no number"))
    yield E(curves=all_with(status=FAILED, reason="an error"))
    yield E(curves=all_with(status=CENSORED, points=()))
    yield E(curves=all_with(role=TUNING))
    yield E(curves=all_with(shifted=0.0))
    yield E(curves=all_with(shifted=-1.0, lower_is_better=False))
    yield E(curves=all_with(shifted=huge))
    yield E(curves=points_with(steps=huge, samples=huge, flops=float("inf")))
    yield E(curves=points_with(steps=0, samples=0, flops=0.0, seconds=0.0))
    yield E(curves=points_with(steps=-5, samples=-5, flops=None, seconds=-1.0))
    yield E(curves=all_with(trial=dataclasses.replace(of[0].trial, batch=huge)))
    yield E(curves=all_with(trial=dataclasses.replace(of[0].trial, batch=-1)))
    yield E(curves=of[::2], rows=timed({1: 1e-3}), findings=noise(-1)[:2])
    yield E(curves=[dataclasses.replace(c, device_name="<b>\n") for c in of[:5]] + of[5:])
    yield E(curves=all_curves(("cpu",)), rows=cpu_and_gpu())
    yield E(rows=cpu_and_gpu(), curves=all_curves(("cuda",)))
    yield E(rows=[row(None, why="<b>broken</b>", provider="eager", batch=32)])
    for value in (None, 0.0, -1.0, 1e308, 5):
        for probe in ("noise", "products", "backward", "conditioning"):
            names = {
                **{"batch": value, "variance": value, "variance_low": value},
                **{"variance_high": value, "flops_share": value, "time_share": value},
                **{"backward_over_forward": value, "saved_bytes": value, "inputs_kappa": value},
            }
            found = [finding(probe, "s", str(i), **names) for i in range(4)]
            yield E(findings=[*found, finding(probe, "s", "empty")])


def test_no_study_raises_whatever_the_evidence_holds():
    for evidence in hostile():
        for name in studies.NAMES:
            found = studies.load(name).judge(evidence)
            assert found.verdict in VERDICTS, (name, found)
            assert found.words and "\n" not in found.words, (name, found)


def test_a_failed_trial_says_nothing_and_a_censored_one_counts():
    worse, better = trials(MSE, about(100)), trials(HUBER, about(50))
    failed = [dataclasses.replace(c, status=FAILED) for c in worse]
    assert studies.load("huber").judge(E(curves=failed + better)).verdict == NOT_MEASURED
    diverged = [dataclasses.replace(c, status=DIVERGED) for c in worse]
    assert studies.load("huber").judge(E(curves=diverged + better)).verdict == SUPPORTED


def test_three_seeds_have_no_interval_and_the_words_say_so():
    found = studies.load("huber").judge(from_trials(target(MSE, *THREE), target(HUBER, 4, 5, 6)))
    assert found.verdict == SUPPORTED and found.n == 3
    assert "0 of 3 seeds" in found.words and "3 of 3 seeds" in found.words
    assert "no interval from 3 seeds" in found.effect and "order of all seeds" in found.words


def test_what_many_duels_share_is_told_once_and_no_number_is_lost():
    others = {"momentum": 10, "adagrad": 50, "adam": 200, "newton": 1}
    plain = [
        trials(LINEAR, steps, name)
        for name, steps in (("gradient_descent", (100, 101, 102)), ("sgd", (150, 151, 152)))
    ]
    tried = from_trials(*plain, *(trials(LINEAR, [n] * 3, name) for name, n in others.items()))
    found = studies.load("first_order").judge(tried)
    assert found.effect == "0.505× to 15.1× (no interval from 3 seeds)"
    assert found.words.count("3 of 3 seeds") == found.words.count("order of all seeds") == 1
    for told in ("101 FLOP", "151 FLOP", "10.0 FLOP (10.1×, 50% of", "adam 200 FLOP (0.755×"):
        assert told in found.words, told
    late = from_trials(trials(LINEAR, (100, NEVER, 102), **GD), trials(LINEAR, [1] * 3, **NEWTON))
    words = studies.load("second_order").judge(late).words
    assert "1 steps (3 of 3 seeds)" in words and "102 steps (2 of 3 seeds) (102×)" in words


def test_a_seed_of_another_machine_is_no_pair():
    there = trials(HUBER, about(50), device_name=f"{SYNTHETIC} another")
    assert duel(E(curves=trials(MSE, about(100)) + there), Side("a", MSE), Side("b", HUBER)) is None


def test_settings_of_one_workload_are_not_mixed():
    curves = trials(MSE, about(100)) + trials(MSE, about(7), optimizer="sgd")
    curves += trials(HUBER, about(50))
    found = duel(E(curves=curves), Side("a", MSE), Side("b", HUBER))
    assert found and found.ratio[0] == pytest.approx(2, rel=0.01)


def test_rates_that_were_not_tuned_are_told():
    curves = trials(MSE, about(100)) + trials(HUBER, about(50))
    assert "learning rates not tuned" in studies.load("huber").judge(E(curves=curves)).words
    tuning = [c for w in (MSE, HUBER) for c in trials(w, [30], role=TUNING)]
    assert "not tuned" not in studies.load("huber").judge(E(curves=curves + tuning)).words


def test_a_target_met_before_the_first_step_was_reached():
    found = studies.load("agent").judge(from_trials(target("cartpole", 0, 0, 0)))
    assert found.verdict == SUPPORTED and "3 of 3 seeds" in found.words


def test_hostile_text_in_an_answer_is_made_printable():
    curves = target("word2vec", 1, 2, 3, generated="man is to woman as king is to\x1b[31m queen")
    words = studies.load("word_vectors").judge(E(curves=curves)).words
    assert "king" in words and words.isprintable()


def test_verdicts_are_of_every_study_and_a_fault_costs_one(monkeypatch):
    broken = types.SimpleNamespace(
        CLAIM="Nothing holds.", NEEDS="", FIGURE="latency", judge=lambda evidence: 1 / 0
    )
    monkeypatch.setitem(sys.modules, "harness.studies.broken", broken)
    monkeypatch.setattr(studies, "NAMES", (*studies.NAMES, "broken"))
    found = studies.verdicts(Evidence())
    assert [judged.name for judged in found] == list(studies.NAMES)
    assert found[-1].claim == broken.CLAIM and found[-1].verdict.verdict == NOT_MEASURED
    assert "division by zero" in found[-1].verdict.words


def test_a_new_study_is_one_file_and_one_word(monkeypatch, tmp_path):
    (tmp_path / "elephants.py").write_text(
        "from harness.studies.spec import SUPPORTED, Verdict\n"
        "CLAIM, NEEDS, FIGURE = 'Elephants learn.', 'An elephant.', 'latency'\n"
        "def judge(evidence): return Verdict(SUPPORTED, 'It did.', 'twice', 1)\n"
    )
    monkeypatch.setattr(studies, "__path__", [*studies.__path__, str(tmp_path)])
    monkeypatch.setattr(studies, "NAMES", (*studies.NAMES, "elephants"))
    *_, last = studies.verdicts(Evidence())
    assert last == ("elephants", "Elephants learn.", Verdict(SUPPORTED, "It did.", "twice", 1))
    monkeypatch.delitem(sys.modules, "harness.studies.elephants")


def test_a_study_that_is_none_is_refused():
    with pytest.raises(ValueError, match="no study 'astrology'; there are products"):
        studies.load("astrology")


def test_every_figure_is_a_plot_and_every_claim_is_one_sentence_of_its_own():
    loaded = [studies.load(name) for name in studies.NAMES]
    assert len({study.CLAIM for study in loaded}) == len(loaded) == 20 == len(CASES)
    for study in loaded:
        assert study.FIGURE in plots.NAMES
        assert study.CLAIM.endswith(".") and study.CLAIM.count(". ") == 0
        assert study.NEEDS.endswith(".")


def test_studies_need_no_torch():
    code = (
        "import sys; from harness import studies; from harness.studies.spec import Evidence; "
        "studies.verdicts(Evidence()); print(*sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "triton"} & set(said.stdout.split())


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([SUPPORTED], SUPPORTED),
        ([SUPPORTED, REFUTED], DEPENDS),
        ([SUPPORTED, DEPENDS], DEPENDS),
        ([SUPPORTED, UNCLEAR], UNCLEAR),
        ([SUPPORTED, SUPPORTED, UNCLEAR], SUPPORTED),
        ([REFUTED, REFUTED, UNCLEAR], REFUTED),
        ([UNCLEAR, REFUTED], UNCLEAR),
        ([SUPPORTED, REFUTED, UNCLEAR, UNCLEAR], DEPENDS),
    ],
)
def test_several_verdicts_make_one(verdicts, expected):
    assert combined(verdicts) == expected


def test_an_interval_decides():
    found = [by_interval(*ends) for ends in ((1.1, 2), (0.5, 0.9), (0.9, 1.1), (math.nan, 2))]
    assert found == [SUPPORTED, REFUTED, UNCLEAR, UNCLEAR]


def test_transfers_are_counted_in():
    rows = [*timed({32: 1e-3}), *timed({32: 1e-4}, "cuda")]
    judge = studies.load("gpu").judge
    assert "Transfers to the GPU were not measured" in judge(E(rows)).words
    rows.append(
        row(1e-2, provider="pageable", baseline="pageable", batch=32, device="cuda", mode="host",
            direction="transfer")
    )  # fmt: skip
    assert "With the batch's transfer, of 1 cases 1 slower" in judge(E(rows)).words
    assert isinstance(E(rows).rows, pd.DataFrame)
