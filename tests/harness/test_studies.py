"""Every study, on synthetic evidence: each verdict that it can give, and none but by evidence."""

import dataclasses
import re
import subprocess
import sys
import types

import pandas as pd
import pytest

from harness import studies
from harness.curve import CENSORED, DIVERGED, FAILED, TUNING
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
    combined,
)
from harness.studies.timed import is_faster
from tests.harness.make_curves import curves as all_curves
from tests.harness.make_evidence import (
    NEVER,
    E,
    about,
    finding,
    from_trials,
    moved,
    noise,
    target,
    timed,
    trials,
)
from tests.harness.make_rows import NO_GPU, SYNTHETIC, cpu_and_gpu, cpu_only, row
from tests.harness.study_cases import CASES, GD, HUBER, LINEAR, MSE, NEWTON, SGD, THREE


@pytest.mark.parametrize("name", studies.NAMES)
def test_a_study_gives_each_verdict_by_its_evidence(name):
    for expected, evidence in CASES[name]:
        found = studies.load(name).judge(evidence)
        assert found.verdict == expected, (expected, found)
        sound(found)
    verdicts = {expected for expected, _ in CASES[name]}
    assert verdicts >= {SUPPORTED, REFUTED, UNCLEAR}


@pytest.mark.parametrize(
    ("verdict", "low", "expected"),
    [
        ("faster", 1.2, SUPPORTED),
        ("slower", 0.8, REFUTED),
        ("same", 0.99, REFUTED),
        ("same", 1.02, UNCLEAR),  # it is faster, by less than a noisy run can tell
        ("unclear", 0.9, UNCLEAR),
    ],
)
def test_noise_refutes_no_claim(verdict, low, expected):
    assert is_faster(verdict, low) == expected


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


def test_three_seeds_have_no_interval_and_the_words_say_so():
    found = studies.load("huber").judge(from_trials(target(MSE, *THREE), target(HUBER, 4, 5, 6)))
    assert found.verdict == SUPPORTED and found.n == 3
    assert "0 of 3 seeds" in found.words and "3 of 3 seeds" in found.words
    assert "no interval from 3 seeds" in found.effect and "order of all seeds" in found.words


def test_where_the_other_never_got_there_the_effect_is_what_it_is_at_least():
    found = studies.load("huber").judge(
        from_trials(target(MSE, *[NEVER] * 5), target(HUBER, *about(50)))
    )
    assert found.verdict == SUPPORTED
    least = re.fullmatch(r"> ([\d.]+)× in steps", found.effect)
    assert least and float(least[1]) > 1


def test_what_many_duels_share_is_told_once_and_no_number_is_lost():
    others = {"momentum": 10, "adagrad": 50, "adam": 200, "newton": 1}
    plain = [
        trials(LINEAR, steps, name)
        for name, steps in (("gradient_descent", (100, 101, 102)), ("sgd", (150, 151, 152)))
    ]
    tried = from_trials(*plain, *(trials(LINEAR, [n] * 3, name) for name, n in others.items()))
    found = studies.load("first_order").judge(tried)
    assert found.effect == (
        "momentum: 10.1×, adagrad: 2.02×, adam: 0.505× in FLOPs (no interval from 3 seeds)"
    )
    assert found.words.count("3 of 3 seeds") == found.words.count("order of all seeds") == 1
    for told in ("101 FLOP", "10.0 FLOP (10.1×, 50% of", "adam 200 FLOP (0.505×"):
        assert told in found.words, told
    late = from_trials(trials(LINEAR, (100, NEVER, 102), **GD), trials(LINEAR, [1] * 3, **NEWTON))
    words = studies.load("second_order").judge(late).words
    assert "1 step (3 of 3 seeds)" in words and "102 steps (2 of 3 seeds) (102×)" in words


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


def test_transfers_are_counted_in():
    rows = [*timed({32: 1e-3}), *timed({32: 1e-4}, "cuda")]
    judge = studies.load("gpu").judge
    assert "Transfers to the GPU were not measured" in judge(E(rows)).words
    rows.append(
        row(1e-2, provider="pageable", baseline="pageable", batch=32, device="cuda", mode="host",
            direction="transfer")
    )  # fmt: skip
    assert "With the batch's transfer, of 1 case 1 slower" in judge(E(rows)).words
    assert isinstance(E(rows).rows, pd.DataFrame)
