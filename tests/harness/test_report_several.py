"""Several runs in one report: machines apart, the newest shown, what crosses machines told so."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness import report, studies
from harness.report import claims, export, summary
from harness.report.machines import UNKNOWN
from harness.report.merge import HOSTS, merge
from harness.report.runs import Run
from tests.harness.make_curves import curve, findings
from tests.harness.make_rows import NO_GPU, row
from tests.harness.make_runs import run, several
from tests.harness.report_page import Page

HOSTILE = "<script>alert(1)</script>"
SMALL, LARGE = "small-2-cores", "synthetic-not-a-measurement-gpu"
BESIDE = f"CPU of {SMALL} beside GPU of {LARGE}"
APART = f"two machines: CPU of {SMALL}, GPU of {LARGE}"


def case(median, device="cpu", batch=4, provider="torch", name="", **known):
    return row(median, batch=batch, device=device, provider=provider, name=name, **known)


def written(tmp_path: Path, runs) -> Page:
    return Page(report.write_all(runs, tmp_path / "all.html").read_text("utf-8"))


def section(page: Page, name: str) -> str:
    """What stands in a section, as HTML; "" where there is none."""
    _, _, after = page.html.partition(f'<section id="{name}">')
    return after.partition("</section>")[0]


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Page:
    return written(tmp_path_factory.mktemp("several"), several())


def test_runs_are_named_with_their_machines(page):
    assert "flopwise report · 3 runs of 2 machines" in page.text
    lines = re.findall(r"<tr><th scope=\"row\".*?</tr>", section(page, "runs"))
    cells = [re.sub(r"<.*?>", " ", line).split() for line in lines]
    assert [line[:2] for line in cells] == [["monday", SMALL], ["tuesday", SMALL], ["cloud", LARGE]]
    assert "python -m harness report monday tuesday cloud" in page.text
    monday, tuesday, cloud = (len(run.rows) for run in several())
    assert f" of {monday + tuesday + cloud} rows measured" in page.text
    rows = section(page, "rows")
    assert (rows.count(">monday<"), rows.count(f">{LARGE}<")) == (monday, cloud)
    assert rows.count(f">{SMALL}<") == monday + tuesday


def test_no_figure_has_times_of_two_machines_but_those_called_so(page):
    headings = re.findall(r"<summary><h3>(.*?)</h3>", page.html.partition('id="made"')[0])
    assert headings
    for heading in headings:
        assert heading.startswith((f"{SMALL}: ", f"{LARGE}: ", f"{BESIDE}: "))
    for figures in page.html.split("<summary><h3>")[1:]:
        heading, _, rest = figures.partition("</h3>")
        captions = re.findall(r"<figcaption>\n<p>(.*?)</p>", rest.partition("<summary><h3>")[0])
        if heading.startswith(BESIDE):
            assert captions
            assert all(APART.lower() in caption.lower() for caption in captions)
        else:
            assert not any("machines" in caption for caption in captions)


def test_of_two_machines_only_what_compares_them_is_drawn(page):
    headings = re.findall(rf"<h3>{BESIDE}: (.*?)</h3>", section(page, "speedup"))
    assert headings == ["GPU over CPU, warm mode"]
    for name in ("latency", "time_to_target"):
        _, _, group = section(page, name).partition(f"<h3>{BESIDE}: ")
        tables = re.findall(r"<tbody>.*?</tbody>", group, re.DOTALL)
        assert tables and all(">cpu<" in table and ">cuda<" in table for table in tables)


def test_the_gpu_of_one_beside_the_cpu_of_the_other_is_told_so_everywhere(page):
    told = [line for line in section(page, "summary").split("<tr>") if ">two machines<" in line]
    assert told and all(f"({APART})" in line for line in told)
    ours = [line for line in section(page, "summary").split("<tr>") if f">{LARGE}<" in line]
    assert ours and not any("two machines" in line for line in ours)
    claim = next(line for line in section(page, "claims").split("<tr>") if BESIDE in line)
    assert "GPUs make neural networks fast." in claim and APART in claim


def test_threats_are_told_of_each_machine_and_of_the_two_beside_each_other(page):
    threats = section(page, "threats")
    assert re.findall("<h3>(.*?)</h3>", threats) == [SMALL, LARGE, BESIDE]
    assert "with torch a version not known and a version not known, in runs tuesday and cloud" in (
        threats
    )


def test_two_machines_that_have_both_processors_are_not_crossed():
    both = [case(1e-3), case(1e-4, "cuda")]
    merged = merge([run("a", both, gpu="One"), run("b", both, gpu="Two")])
    assert [view.name for view in merged.machines] == ["one", "two"]
    assert not merged.pairs


def test_the_newest_run_that_measured_a_case_is_shown_whatever_order_they_are_given_in():
    old = run("old", [case(1e-3, name="a"), case(2e-3, batch=8, name="b")], 1)
    new = run(
        "new",
        [case(3e-3, name="a"), row(None, batch=8, name="b", why="preset"), row(None, name="c")],
        2,
    )
    for runs in ([old, new], [new, old]):
        (view,) = merge(runs).machines
        rows = view.evidence.rows.set_index("id")
        assert rows.loc["synthetic::a", ["run", "median_s"]].tolist() == ["new", 3e-3]
        assert rows.loc["synthetic::b", ["run", "median_s"]].tolist() == ["old", 2e-3]
        assert rows.loc["synthetic::c", "run"] == "new"
        assert len(rows) == 3
        assert view.history is not None and len(view.history) == 3


def test_a_failure_that_is_newer_is_shown():
    failed = row(None, batch=4, name="a", status="failed", reason="wrong")
    (view,) = merge([run("a", [case(1e-3, name="a")], 1), run("b", [failed], 2)]).machines
    assert view.evidence.rows["status"].tolist() == ["failed"]


def test_providers_of_a_case_come_from_one_run():
    old = run("old", [case(1e-3, name="a"), case(5e-4, provider="triton", name="b")], 1)
    new = run("new", [case(2e-3, name="a")], 2)
    (view,) = merge([old, new]).machines
    assert view.evidence.rows["run"].tolist() == ["new"]


def test_verdicts_and_floors_are_those_of_the_run():
    noisy = row(kind="aa", provider="torch (again)", speedup=1.3, spread=0.001, batch=4, name="x")
    fast = {"provider": "triton", "speedup": 1.2, "spread": 0.01, "baseline": "torch"}
    one = run("one", [noisy, row(batch=4, name="t1", **fast)], 1)
    two = run("two", [row(batch=8, name="t2", **fast)], 2)
    merged = merge([one, two])
    verdicts = merged.newest.set_index("id")["verdict"]
    assert verdicts["synthetic::t1"] == "unclear"  # a floor of more than 30 %
    assert verdicts["synthetic::t2"] == "faster"


def test_settings_and_findings_are_the_newest_whole():
    old = [curve(seed=seed) for seed in range(5)] + [curve(batch=64)]
    new = [curve(seed=seed, limit=40) for seed in range(2)]
    runs = [
        run("old", [row()], 1, old, findings()),
        run("new", [row()], 2, new, findings()[:1]),
    ]
    (view,) = merge(runs).machines
    evidence = view.evidence
    assert [(c.trial.batch, c.status) for c in evidence.curves] == [
        *([(32, "censored")] * 2),
        (64, "reached"),
    ]
    assert len(evidence.found("noise")) == 1
    assert len(evidence.found("conditioning")) == 1


def test_cpu_and_gpu_of_two_runs_of_one_machine_are_compared_and_told_so():
    runs = [
        run("cpu", [case(8e-3), case(8e-3, batch=8)], 1, gpu="One"),
        run("gpu", [case(1e-3, "cuda"), case(1e-3, "cuda", batch=8)], 2, gpu="One"),
    ]
    merged = merge(runs)
    (view,) = merged.machines
    ((line,), _) = summary.crossings(view.evidence.rows)
    assert line.words.endswith("(two runs: CPU of cpu, GPU of gpu)")
    (claim,) = [
        c for c in claims.claims(view.evidence) if c.claim == "GPUs make neural networks fast."
    ]
    assert "two runs: CPU of cpu, GPU of gpu" in claim.words
    ((alone,), _) = summary.crossings(merge([run("both", [*runs[0].rows, *runs[1].rows])]).newest)
    assert "two" not in alone.words


def test_machines_are_told_apart_by_cores_and_processors_and_one_that_is_silent_is_alone():
    runs = [
        run("a", [row()], cpu="X"),
        run("b", [row()], cpu="X"),
        run("c", [row()], gpu="G", cpu="X"),
        run("d", [row()], gpu="G", cpu="Y"),
        Run("e", [row()], {"run_id": "e"}),
        Run("f", [row()], {"gpus": "no", "cpu": None}),
    ]
    names = [table["machine"].iloc[0] for table in merge(runs).tables]
    assert names == ["x-2-cores", "x-2-cores", "g", "g (2)", UNKNOWN, f"{UNKNOWN} (2)"]


def test_times_over_several_hosts_of_a_cluster_are_not_compared():
    def on(host, **known):
        return replace(curve(**known), host=host, hosts=host)

    spread = [on("one", seed=0), on("two", seed=1), on("one", workload="alone")]
    (view,) = merge([run("a", [row()], 1, spread)]).machines
    first, second, alone = view.evidence.curves
    assert math.isnan(first.to_target("seconds") or 0.0)
    assert first.why_unknown("seconds") == HOSTS == second.why_unknown("joules")
    assert first.to_target("steps") == spread[0].to_target("steps")
    assert alone is spread[2]


def test_history_is_drawn_of_several_runs_of_one_machine_and_of_nothing_else(page, tmp_path):
    history = section(page, "history")
    assert history.count("<svg") == 1 and "in run 2." in history
    assert f"{LARGE}:" not in history
    apart = written(tmp_path, [run("a", [row(batch=4)]), run("b", [row(batch=4)], gpu="G")])
    assert not section(apart, "history") and "History" not in apart.text


def test_a_verdict_that_no_machine_has_evidence_for_is_told_once():
    merged = merge(several())
    found = claims.by_machine(*merged.evidence)
    places = {}
    for place, claim in found:
        places.setdefault(claim.claim, []).append(place)
    assert places["An agent learns by acting."] == [claims.EVERYWHERE]
    assert places["GPUs make neural networks fast."] == [SMALL, LARGE, BESIDE]
    assert len(places) == len(studies.NAMES)


def test_no_gpu_is_said_only_where_no_machine_has_one(page, tmp_path):
    assert "No GPU was measured" not in section(page, "summary")
    runs = [run(name, [row(), row(None, device="cuda", why=NO_GPU)]) for name in "ab"]
    assert f"No GPU was measured: {NO_GPU}" in section(written(tmp_path, runs), "summary")


def test_csv_and_markdown_have_run_and_machine(tmp_path):
    path = export.write_all("csv", several(), tmp_path / "all.csv")
    lines = list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))
    assert {(line["run"], line["machine"]) for line in lines} == {
        *(("monday", SMALL), ("tuesday", SMALL), ("cloud", LARGE)),
    }
    assert len(lines) == sum(len(run.rows) for run in several())
    told = export.write_all("markdown", several(), tmp_path / "all.md").read_text("utf-8")
    assert "Runs `monday`, `tuesday`, `cloud`." in told
    assert "| machine | claim | verdict |" in told
    assert f"| CPU of {SMALL} |" in told and "| cpu |" not in told


def test_hostile_names_of_runs_and_machines_stay_text(tmp_path):
    def hostile(run_id, day, **machine):
        rows = [case(1e-3, name="a"), case(1e-4, "cuda" if machine["gpu"] else "cpu", name="b")]
        named = run(f"{run_id} {HOSTILE}", rows, day, **machine)
        return replace(named, environment=named.environment | {"git": {"commit": HOSTILE}})

    runs = [
        hostile("a", 1, gpu=None, cpu=HOSTILE),
        hostile("b", 2, gpu=None, cpu=HOSTILE),
        hostile("c", 3, gpu=HOSTILE),
    ]
    shown = written(tmp_path, runs)
    assert shown.count("script") == 1 and shown.count("img") == 0
    assert f"a {HOSTILE}" in shown.text
    assert f"python -m harness report 'a {HOSTILE}' 'b {HOSTILE}' 'c {HOSTILE}'" in shown.text
    told = export.write_all("markdown", runs, tmp_path / "all.md").read_text("utf-8")
    assert "<script>" not in re.sub(r"`[^`\n]*`|<code>[^<\n]*</code>", "", told)


def test_the_same_runs_give_the_same_bytes(tmp_path):
    runs = [run("a", [row()]), run("b", [row()], gpu="G")]
    assert written(tmp_path, runs).html == written(tmp_path, runs).html
