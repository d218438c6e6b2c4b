"""python -m harness report of several runs: what it writes, skips, refuses, and says of it."""

from __future__ import annotations

import html
import re
import shlex
from pathlib import Path

import pytest

from harness import store
from harness.__main__ import main
from harness.report import export
from tests.harness.make_runs import several
from tests.harness.report_page import Page


@pytest.fixture
def results(tmp_path) -> Path:
    """Three runs of two machines on disk."""
    folder = tmp_path / "results"
    for one in several():
        machine = "two" if one.name == "cloud" else "one"
        store.Store(folder / machine / one.name, one.environment).append(one.rows[:4])
    return folder


def said(capsys):
    out, err = capsys.readouterr()
    return out.strip(), err.strip()


def test_several_runs_make_one_report_in_the_results_folder(results, capsys):
    by_folder = str(results / "one" / "tuesday")
    assert main(["report", "monday", by_folder, "cloud", "--results", str(results)]) == 0
    assert said(capsys) == (str(results / store.REPORT), "")
    assert "3 runs of 2 machines" in (results / store.REPORT).read_text("utf-8")
    for form, suffix in export.SUFFIXES.items():
        command = ["report", "monday", "cloud", "--results", str(results), "--format", form]
        assert main(command) == 0
        assert said(capsys)[0] == str((results / store.REPORT).with_suffix(suffix))


def test_the_report_says_how_it_is_made_again_from_where_it_was(results, capsys, monkeypatch):
    def command():
        shown = (results / store.REPORT).read_text("utf-8")
        assert str(results.parent) not in shown
        (found,) = set(re.findall(r"<code>python -m harness (report [^<]*)</code>", shown))
        return html.unescape(found)

    monkeypatch.chdir(results.parent)
    (results / "one" / "monday").rename(results / "one" / "it is monday")
    assert main(["report", "it is monday", "cloud"]) == 0
    again = command()
    assert again == "report 'results/one/it is monday' results/two/cloud"
    before = (results / store.REPORT).read_bytes()
    assert main(shlex.split(again)) == 0
    assert (results / store.REPORT).read_bytes() == before
    # from elsewhere no path of this machine is told, and not that the run is in ./results
    away = results.parent / "away"
    away.mkdir()
    monkeypatch.chdir(away)
    assert main(["report", "cloud", "tuesday", "--results", str(results)]) == 0
    assert command() == "report cloud tuesday --results DIR"


def test_the_same_run_twice_is_refused(results, capsys):
    folder = results / "one" / "monday"
    copy = results / "two" / "copied"
    copy.mkdir()
    for name in (store.ROWS, store.ENVIRONMENT):
        (copy / name).write_bytes((folder / name).read_bytes())
    for pair in (["monday", "monday"], ["monday", str(folder)], ["monday", str(copy)]):
        assert main(["report", *pair, "--results", str(results)]) == 2
        err = said(capsys)[1]
        assert "two of these are the run 'monday': give each run once" in err
        assert "\n" not in err
    assert not (results / store.REPORT).exists()


def test_what_cannot_be_read_of_one_run_is_named_and_the_others_are_told(results, capsys):
    rows = results / "one" / "monday" / store.ROWS
    good = rows.read_text().splitlines()
    newer = good[1].replace('"schema": 1', '"schema": 99')
    nan = good[2].replace('"n_eff": null', '"n_eff": NaN').replace("80.5", "NaN")
    foreign = '{"machine_info": {}, "benchmarks": []}'
    cut = good[3][: len(good[3]) // 2]
    rows.write_text("\n".join([good[0], newer, nan, foreign, cut]))
    assert main(["report", "monday", "tuesday", "--results", str(results)]) == 0
    lines = said(capsys)[1].split("\n")
    assert [line.partition(": skipped: ")[0] for line in lines] == [
        f"monday/rows.jsonl, line {number}" for number in (2, 3, 4, 5)
    ]
    reasons = [line.partition(": skipped: ")[2] for line in lines]
    for reason, words in zip(reasons, ("schema 99", "NaN", "no schema", "cut short"), strict=True):
        assert words in reason
    shown = Page((results / store.REPORT).read_text("utf-8")).text
    assert all(reason in shown for reason in reasons)


def test_a_run_of_which_nothing_is_left_is_named_and_left_out(results, capsys):
    (results / "one" / "monday" / store.ROWS).write_text("{\n")
    assert main(["report", "monday", "cloud", "--results", str(results)]) == 0
    err = said(capsys)[1]
    assert "monday/rows.jsonl, line 1: skipped" in err
    assert "monday: it has no rows, and is left out" in err
    shown = (results / store.REPORT).read_text("utf-8")
    assert "run cloud" in shown and "it has no rows, and is left out" in shown


@pytest.mark.parametrize("arguments", [[], ["last"], ["last", "last"]])
def test_an_empty_results_folder_is_a_sentence(tmp_path, capsys, arguments):
    assert main(["report", *arguments, "--results", str(tmp_path)]) == 2
    out, err = said(capsys)
    assert out == "" and "\n" not in err
    assert "there are none before pytest --benchmark-only has measured one" in err


def test_a_folder_that_is_no_run_is_a_sentence(tmp_path, results, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments in ([str(empty)], ["monday", str(empty)], [str(results)]):
        assert main(["report", *arguments, "--results", str(results)]) == 2
        out, err = said(capsys)
        assert out == "" and "\n" not in err
        assert "it has no rows.jsonl" in err
