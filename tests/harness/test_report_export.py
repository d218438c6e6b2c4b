"""The report as Markdown for a comment and as CSV: the same words, and nothing that is obeyed."""

from __future__ import annotations

import csv
import io
import re
from types import SimpleNamespace

import pytest

from harness import store, studies
from harness.__main__ import main
from harness.report import export
from harness.report.runs import Run, name
from harness.studies.spec import REFUTED, Verdict
from tests.harness.make_curves import curves, findings
from tests.harness.make_rows import NO_GPU, cpu_and_gpu, cpu_only, row

HOSTILE = (
    "<script>alert(1)</script>",
    "a|b",
    "![x](http://x.example)",
    "[x](y)",
    "www.x.example",
    "@someone",
    "GH-12 and #3",
    "`x`",
    "**bold**",
    ":smile:",
    "deadbeef1",
    "_slanted_",
)


def written(tmp_path, form, rows, environment=None, **more) -> str:
    path = tmp_path / f"report{export.SUFFIXES[form]}"
    environment = environment or {}
    run = Run(name(environment), rows, environment, **more)
    return export.write_all(form, [run], path).read_text("utf-8")


def test_markdown_tells_the_opening_the_verdicts_and_the_speedups(tmp_path):
    rows, environment = cpu_and_gpu(), {"run_id": "a run"}
    told = written(tmp_path, "markdown", rows, environment, curves=curves(), findings=findings())
    assert told.startswith("# 274 of 278 rows measured of 4 workloads and 2 kernels, on CPU ")
    assert "Run `a run`." in told and told.endswith("\n")
    titles = [line for line in told.split("\n") if line.startswith("#")]
    assert titles[1:] == ["## Claims of the course", "## Speedups worth knowing"]
    claims, _, speedups = told.partition("## Speedups")
    assert claims.count("\n| ") == 1 + len(studies.NAMES)
    assert re.search(r"\d+ not measured\. \d+ verdicts? went by .* as many\.\n", claims)
    assert "| **faster** |" in speedups and "Noise floor: " in speedups
    again = written(tmp_path, "markdown", rows, environment, curves=curves(), findings=findings())
    assert again == told


def test_markdown_says_what_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "NAMES", ())
    told = written(tmp_path, "markdown", cpu_only()[:4])
    assert "None was put to the test." in told
    assert "No GPU was measured" in told
    assert "None: no provider was measured beside a baseline" in written(
        tmp_path, "markdown", [row(None, why=NO_GPU, device="cuda")]
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_markdown_is_code(tmp_path, monkeypatch, text):
    study = SimpleNamespace(
        CLAIM="C.", NEEDS="N.", FIGURE="f", judge=lambda _: Verdict(REFUTED, text, text, 1)
    )
    monkeypatch.setattr(studies, "NAMES", ("one",))
    monkeypatch.setattr(studies, "load", lambda _: study)
    rows = [
        row(subject=text, provider=provider, speedup=2.0, case=text, device_name=text)
        for provider in ("torch", text)
    ]
    told = written(tmp_path, "markdown", rows, {"run_id": text})
    bare = re.sub(r"`[^`\n]*`|<code>[^<\n]*</code>", "", told)
    assert text not in bare and text.split()[0] not in bare
    for line in told.split("\n"):  # a pipe in a cell would make one more
        assert not line.startswith("|") or line.count("|") in (6, 10)


@pytest.mark.parametrize(
    "text",
    [
        "on 12 of 12 workloads, 2.1× [1.9, 2.3].",
        "5 % (2 pairs)",
        "–",
        "0.5; not so",
        "char_rnn, ± 5 %",
    ],
)
def test_ordinary_words_stay_words(text):
    assert export._text(text) == text


def test_csv_holds_every_row_and_no_formula(tmp_path):
    rows = [
        row(2e-3, batch=4, subject="=1+1", provider="@x", case='a,"b"\nc'),
        row(None, why="-2+3", name="+9"),
    ]
    text = written(tmp_path, "csv", rows)
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [line["subject"] for line in lines] == ["'=1+1", "cnn"]
    assert (lines[0]["provider"], lines[0]["case"]) == ("'@x", 'a,"b" c')
    assert (lines[1]["name"], lines[1]["reason"]) == ("'+9", "'-2+3")
    assert float(lines[0]["median_s"]) == 2e-3
    assert lines[1]["median_s"] == "" and lines[1]["median_s_reason"] == "'-2+3"
    assert not any(cell.startswith(("=", "+", "@")) for line in lines for cell in line.values())
    assert written(tmp_path, "csv", rows) == text


@pytest.mark.parametrize("form", export.SUFFIXES)
def test_no_rows_write_nothing(tmp_path, form):
    with pytest.raises(ValueError, match="no rows to report"):
        written(tmp_path, form, [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("form", "name"), [("markdown", "report.md"), ("csv", "report.csv")])
def test_a_form_is_written_beside_the_report(tmp_path, capsys, form, name):
    run = tmp_path / "machine" / "first"
    store.Store(run, {"run_id": "first"}).append([row(name="a")])
    store.Store(run, {}).append_finding(findings()[0])
    with (run / store.FINDINGS).open("a") as file:
        file.write("{\n")
    assert main(["report", "--results", str(tmp_path), "--format", form]) == 0
    out, err = capsys.readouterr()
    assert out.strip() == str(run / name) and (run / name).stat().st_size > 100
    assert "first/findings.jsonl, line 2: skipped" in err
    assert not (run / store.REPORT).exists()


def test_what_probes_found_is_in_the_report_of_a_run(tmp_path, capsys):
    run = tmp_path / "machine" / "first"
    store.Store(run, {"run_id": "first"}).append([row(name="a")])
    store.Store(run, {}).append_finding(findings()[0])
    assert main(["report", "--results", str(tmp_path)]) == 0
    capsys.readouterr()
    assert "noise scale 45 [36, 54]" in (run / store.REPORT).read_text("utf-8")
