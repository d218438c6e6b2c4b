"""The report's verdicts on the claims of the course: counted, linked, and never an error."""

from __future__ import annotations

import itertools
import re
from types import SimpleNamespace

import pytest

from harness import studies
from harness.report.claims import Claim, by_chance, claims, tally
from harness.report.frame import frame
from harness.studies.spec import (
    DEPENDS,
    NOT_MEASURED,
    REFUTED,
    SUPPORTED,
    UNCLEAR,
    Evidence,
    Verdict,
    not_measured,
)
from tests.harness.make_curves import curve
from tests.harness.make_evidence import target
from tests.harness.make_rows import row
from tests.harness.report_page import page

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def plant(monkeypatch):
    """Puts studies in the place of the project's own: by name, a verdict or what to raise."""

    def planted(figure="speedup", claim="", **outcomes):
        def load(name):
            def judge(evidence):
                if isinstance(outcomes[name], Exception):
                    raise outcomes[name]
                return outcomes[name]

            needs = f"the run of {name}"
            return SimpleNamespace(
                CLAIM=claim or f"Claim {name}.", NEEDS=needs, FIGURE=figure, judge=judge
            )

        monkeypatch.setattr(studies, "NAMES", tuple(outcomes))
        monkeypatch.setattr(studies, "load", load)

    return planted


def judged(rows=None):
    return claims(Evidence(frame(rows or [row()])))


def lines(shown):
    """The cells of the table of claims, as HTML."""
    body = shown.html.split('<section id="claims">')[1].split("</section>")[0].split("<tbody>")[1]
    return [re.findall(r"<t[hd].*?</t[hd]>", line) for line in re.findall(r"<tr>.*?</tr>", body)]


def test_verdicts_come_first_counted_and_linked_to_their_figures(tmp_path, plant):
    plant(
        a=Verdict(SUPPORTED, "It was so on the CPU.", "2.0 [1.9, 2.1]", 12),
        b=Verdict(DEPENDS, "Here and not there.", n=1200),
        c=Verdict(DEPENDS, "Here and not there either."),
        d=not_measured("no CUDA device"),
        e=Verdict(REFUTED, "It was not so."),
        f=Verdict(UNCLEAR, "Who knows."),
    )
    shown = page(tmp_path, [row()])
    counts = "1 supported, 1 refuted, 2 depend, 1 unclear, 1 not measured"
    assert f"6 claims put to the test in this run: {counts}." in shown.text
    first = next(a["id"] for tag, a in shown.elements if tag == "section")
    assert first == "claims"
    found = lines(shown)
    assert '<a href="#speedup">Claim a.</a>' in found[0][0]
    assert '<span class="verdict supported">supported</span>' in found[0][1]
    assert [re.sub(r"<.*?>", "", cell) for cell in found[0][2:]] == [
        *("2.0 [1.9, 2.1]", "12", "It was so on the CPU."),
    ]
    assert [re.sub(r"<.*?>", "", cell) for cell in found[3]] == [
        *("Claim d.", "not measured", "–", "–", "no CUDA device Needs: the run of d"),
    ]
    assert 'class="verdict not-measured"' in found[3][1]
    assert "1,200" in found[1][3]


def test_one_that_depends_is_counted_in_good_grammar(plant):
    plant(a=Verdict(DEPENDS, ""))
    assert tally(judged()) == "1 depends"
    assert tally([]) == ""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ZeroDivisionError("no\nway"), "the study failed, ZeroDivisionError: no"),
        (KeyError(), "the study failed, KeyError: no message"),
    ],
)
def test_a_study_that_fails_is_not_measured_and_the_others_are_told(plant, error, words):
    plant(a=error, b=Verdict(SUPPORTED, "", n=3))
    failed, other = judged()
    assert (failed.claim, failed.verdict) == ("Claim a.", NOT_MEASURED)
    assert (failed.words, failed.n) == (words, "–")
    assert other.verdict == SUPPORTED


def few(n):
    return f"2.00×, 3.00× (no interval from {n} seed{'s' * (n > 1)})"


def test_how_many_verdicts_chance_alone_would_give_is_told(tmp_path, plant):
    of_three = {
        f"a{i}": Verdict(verdict, "", few(3), 3)
        for i, verdict in enumerate((SUPPORTED, UNCLEAR, REFUTED, DEPENDS, SUPPORTED))
    }
    others = {
        "four": Verdict(SUPPORTED, "", few(4), 4),
        "two": Verdict(UNCLEAR, "", few(2), 2),  # from so few nothing is ever supported
        "known": Verdict(SUPPORTED, "", "2.00 [1.50, 3.00]×", 5),
        "missing": Verdict(NOT_MEASURED, "", few(3), 0),
        "hostile": Verdict(SUPPORTED, "", f"(no interval from {'9' * 5000} seeds)", 5),
    }
    plant(**of_three, **others)
    expected = 5 / 20 + 1 / 70
    words = (
        "6 verdicts went by the order of few seeds, and not corrected for one another: were no "
        f"such claim true, chance alone would support {expected:.2g} of them, and refute as many"
    )
    assert by_chance(judged()) == words
    assert f"{words}. Each leads to the figures" in page(tmp_path, [row()]).text
    plant(known=others["known"])
    assert by_chance(judged()) == ""
    assert "chance alone" not in page(tmp_path, [row()]).text


def test_chance_is_that_of_the_verdicts_of_studies():
    ranks = set(range(1, 7))  # of six trials that are alike, any three are as likely one setting's
    every = [(three, ranks - {*three}) for three in itertools.combinations(ranks, 3)]
    given = [huber(*both)[0] for both in every]
    assert given.count(SUPPORTED) == given.count(REFUTED) == len(every) / 20 == 1
    _, told = huber((4, 5, 6), (1, 2, 3))
    assert told.startswith("1 verdict went by") and "would support 0.05 of them" in told
    assert huber((1, 2, 3, 4, 5), (6, 7, 8, 9, 10))[1] == ""


def huber(squared, robust):
    """The verdict on Huber's loss by the steps that each took, and what chance would give."""
    evidence = Evidence(
        curves=[
            *target("mlp_regression/mse_outliers", *squared),
            *target("mlp_regression/huber_outliers", *robust),
        ]
    )
    verdict = studies.load("huber").judge(evidence)
    told = Claim("", verdict.verdict, verdict.effect, "", "", "", "")
    return verdict.verdict, by_chance([told])


def test_a_link_leads_only_to_what_is_there(tmp_path, plant):
    plant("batch_size", a=Verdict(SUPPORTED, ""))
    without = page(tmp_path, [row()])
    assert '<a href="#training">Claim a.</a>' in without.html
    with_curves = page(tmp_path, [row()], curves=[curve()])
    assert '<a href="#batch_size">Claim a.</a>' in with_curves.html
    plant("products", a=Verdict(SUPPORTED, ""))  # of findings, which training would not give
    assert ">Claim a.</th>" in page(tmp_path, [row()]).html
    plant("nothing", a=Verdict(SUPPORTED, ""))
    assert ">Claim a.</th>" in page(tmp_path, [row()], curves=[curve()]).html


def test_long_words_are_folded_and_short_ones_are_not(tmp_path, plant):
    one = "It was so, " * 40
    plant(
        a=Verdict(SUPPORTED, "It was so."),
        b=Verdict(SUPPORTED, "A: 1 to 2; b: 0.5 to 3; c. " + "It was so. " * 30),
        c=Verdict(SUPPORTED, one),
    )
    short, long, whole = (line[4] for line in lines(page(tmp_path, [row()])))
    assert "<details" not in short + whole and one.strip() in whole
    assert "<details><summary>A: 1 to 2 …</summary>b: 0.5 to 3; c. It was so." in long


def test_the_headline_is_what_came_of_the_claims(tmp_path, plant):
    plant(a=Verdict(SUPPORTED, "So."), b=Verdict(REFUTED, "Not so."))
    shown = page(tmp_path, [row()])
    assert "<h1>2 claims of the course: 1 supported, 1 refuted.</h1>" in shown.html
    assert "<p>1 of 1 row measured" in shown.html
    plant(a=not_measured("nothing was trained"))
    assert "<h1>1 of 1 row measured" in page(tmp_path, [row()]).html


def test_no_study_is_a_sentence(tmp_path, plant):
    plant()
    assert "Claims of the course None was put to the test." in page(tmp_path, [row()]).text


def test_hostile_verdicts_stay_text_and_the_same_give_the_same_bytes(tmp_path, plant):
    plant(
        HOSTILE,
        HOSTILE,
        a=Verdict(SUPPORTED, f"{HOSTILE}\u202e{'x' * 5000}", f'{HOSTILE}" onload="x', 10**400),
        b=ValueError(HOSTILE),
        c=not_measured(HOSTILE),
    )
    shown = page(tmp_path, [row()])
    assert shown.count("script") == 1  # ours
    assert shown.text.count(HOSTILE) >= 6
    assert "\u202e" not in shown.html and "x" * 4000 not in shown.html
    assert not any("onload" in attributes for _, attributes in shown.elements)
    assert page(tmp_path, [row()]).html == shown.html


def test_no_words_are_cut_off_in_mid_sentence(plant):
    words = "It did. " * 200 + "And so it ends."
    plant(a=Verdict(SUPPORTED, words, "2×", 3))
    assert judged()[0].words == words


def test_every_study_of_the_project_gives_a_verdict_on_a_run_of_one_row():
    for found in judged():
        assert "the study failed" not in found.words, found
