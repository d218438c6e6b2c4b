"""python -m harness compare: exit status, refusals, and names that are shown and not obeyed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness import markdown, store
from harness.__main__ import main
from tests.harness.make_rows import row
from tests.harness.test_changes import STILL, roof, timed, trained

ROOT = Path(__file__).parents[2]
MACHINE = {"gpus": None, "cpu": {"model": "A CPU", "usable_cores": 2}, "torch_threads": 2}


@pytest.fixture
def runs(tmp_path):
    """Writes a run of a machine that does not move; `compare` runs the command on two of them."""

    def write(name, rows, still=STILL, **environment):
        found = MACHINE | {"run_id": name} | environment
        store.Store(tmp_path / "m" / name, found).append([*rows, *still])

    write.results = tmp_path
    return write


def compare(runs, *arguments):
    return main(["compare", *arguments, f"--results={runs.results}"])


def said(capsys):
    out, err = capsys.readouterr()
    return out.strip(), err.strip()


def test_a_regression_beyond_the_threshold_is_status_1(runs, capsys):
    runs("old", [timed(1e-3), timed(1e-3, "b")])
    runs("new", [timed(1.2e-3), timed(1e-3, "b")])
    assert compare(runs, "old", "new") == 1
    out, err = said(capsys)
    assert err == ""
    assert re.search(r"^slower +\+\d+\.\d % \[.*\] +\S+ .s -> 1\.2\d* ms +synthetic::a$", out, re.M)
    assert out.endswith("1 regression beyond 5 %: 1 same, 1 slower")
    assert "noise floor, cpu warm: 2.0 % or more: a run has no A/A pair" in out
    assert compare(runs, "old", "new", "--threshold=0.5") == 0
    assert compare(runs, "new", "old") == 0
    assert compare(runs, "old", "last") == 1


def test_the_control_that_sets_the_floor_is_named(runs, capsys):
    runs("old", [timed(1e-3), roof(1e-3), roof(3e-3, "<b>`x")])
    runs("new", [timed(1.1e-3), roof(1.01e-3), roof(2.4e-3, "<b>`x")])
    names = {"text": "synthetic::<b>`x", "markdown": "<code>synthetic&#58;&#58;&#60;b&#62;&#96;x<"}
    for form, name in names.items():
        assert compare(runs, "old", "new", f"--format={form}") == 3
        out = said(capsys)[0]
        (line,) = (line for line in out.splitlines() if line.lstrip("- ").startswith("identical"))
        assert f"moved by 25.0 % at most in 3 rows, {name}" in line
        assert re.search("from 3.00 ms to 2.40 ms: no change there below 50.\\d % is told", line)


def test_where_noise_or_a_doubt_may_be_why_rows_are_slower_it_cannot_be_told(runs, capsys):
    names = ("a", "b", "c")
    noisy = [roof(1e-3), roof(1.3e-3, "product", subject="product")]
    runs("old", [timed(1e-3, name) for name in names], still=noisy)
    held = timed(1.4e-3, "b", throttled=True, throttle_reasons="contended")
    runs("new", [timed(1.4e-3, "a"), held, timed(1.02e-3, "c")])
    assert compare(runs, "old", "new") == 3
    out, _ = said(capsys)
    told = r"cannot tell: 2 rows moved by more than 5 %, 1 in doubt, 1 by no more than identical "
    assert re.search(rf"\n{told}code may \(\d+ % at most\): 1 same, 2 unclear$", out)
    assert "more of identical code makes that less: torch's own kernels" in out
    assert compare(runs, "old", "new", "--format=markdown") == 3
    assert said(capsys)[0].startswith("### Performance: cannot tell: 2 rows moved by more than")
    assert compare(runs, "old", "new", "--threshold=0.6") == 0  # by as much, neither has moved
    assert compare(runs, "new", "old") == 0  # faster, or noise: no regression in either case
    assert "no regression beyond 5 %" in said(capsys)[0]


def test_a_regression_that_is_told_goes_before_what_cannot_be(runs, capsys):
    runs("old", [timed(1e-3), timed(1e-3, "b")])
    runs("new", [timed(1.4e-3), timed(1.4e-3, "b", throttled=True)])
    assert compare(runs, "old", "new") == 1
    out, _ = said(capsys)
    assert out.endswith("1 regression beyond 5 %: 1 unclear, 1 slower")
    assert "more of identical code" not in out  # few, but still


def test_what_fails_now_is_a_regression_and_what_is_missing_is_listed(runs, capsys):
    runs("old", [timed(1e-3), timed(1e-3, "b"), timed(1e-3, "gone")])
    failed = row(None, name="a", status="failed", reason="wrong answer")
    runs("new", [failed, timed(1e-3, "b"), timed(1e-3, "added")])
    assert compare(runs, "old", "new") == 1
    out, _ = said(capsys)
    assert "fails now  synthetic::a: failed: wrong answer" in out
    assert "only in old: synthetic::gone" in out
    assert "only in new: synthetic::added" in out


def test_different_machines_are_refused_unless_asked_for(runs, capsys):
    other = {"cpu": {"model": "Another", "usable_cores": 2}}
    runs("old", [timed(1e-3)])
    runs("new", [timed(1e-3)], **other)
    runs("named", [timed(1e-3, device_name="Another")], still=())
    runs("silent", [timed(1e-3)], cpu=None)
    for name, why in (
        ("new", "different machines: a-2-cores and another-2-cores"),
        ("named", "different machines: their cpu is SYNTHETIC, not a measurement: cpu and Another"),
        ("silent", "cannot tell the machine of silent: its environment.json does not say"),
    ):
        assert compare(runs, "old", name) == 2
        assert (
            said(capsys)[1] == f"python -m harness: {why}; --any-machine compares them all the same"
        )
        assert compare(runs, "old", name, "--any-machine") == 0
        capsys.readouterr()


def test_different_numbers_of_threads_are_refused_unless_asked_for(runs, capsys):
    alone = [roof(1e-3, threads=1)]
    runs("old", [timed(1e-3, threads=2), trained(3, name="t", threads=3)])
    runs("new", [timed(2e-3, threads=1), trained(3, name="t", threads=7)], still=alone)
    runs("gpu", [timed(1e-3, device="cuda", threads=1)], still=())
    assert compare(runs, "old", "new") == 2
    out, err = said(capsys)
    assert out == "" and err == (
        "python -m harness: different numbers of CPU threads, which OMP_NUM_THREADS sets: 2, then "
        "1; --any-machine compares them all the same"
    )
    assert compare(runs, "old", "new", "--any-machine") == 1
    assert compare(runs, "old", "gpu") == 0  # on a GPU they are no other machine


def test_how_many_seeds_reach_a_target_is_told(runs, capsys):
    runs("old", [trained(3, name="<b>never"), trained(3, name="fewer"), trained(3, name="same")])
    runs("new", [trained(0, name="<b>never"), trained(1, name="fewer"), trained(3, name="same")])
    assert compare(runs, "old", "new") == 1
    out, _ = said(capsys)
    assert "reached by 3 of 3 seeds, now by 0 of 3  synthetic::<b>never" in out
    assert "reached by 3 of 3 seeds, now by 1 of 3  synthetic::fewer" in out
    assert "same" not in out.replace("synthetic::same", "same").partition("\n\n")[2]
    assert "targets of 3 settings: reached by as many of the seeds in 1" in out
    assert out.endswith(
        "1 regression beyond 5 %: no time in both, 2 targets reached by fewer seeds"
    )
    assert compare(runs, "new", "old", "--format=markdown") == 0
    out, _ = said(capsys)
    assert "| reached by 1 of 3 seeds, now by 3 of 3 | `synthetic::fewer` |" in out
    assert "<b>" not in re.sub(r"`[^`]*`", "", out)


def test_what_else_differs_is_said(runs, capsys):
    runs("old", [timed(1e-3)], packages={"torch": "2.12.0"})
    runs("new", [timed(1e-3)], packages={"torch": "2.13.0"}, torch_threads=1)
    assert compare(runs, "old", "new") == 0
    out, _ = said(capsys)
    assert "differs: torch 2.12.0, then 2.13.0" in out
    assert "differs: torch threads 2, then 1" in out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["old", "old"], "OLD and NEW are the same run"),
        (["old", "copy"], "OLD and NEW are the same run"),
        (["old", "lost"], "no run 'lost'"),
        (["old", "m/lost"], "no run in m/lost: there is no such folder"),
        (["old", "/nowhere"], "no run in /nowhere: there is no such folder"),
        (["old", "empty"], "nothing was measured in"),
        (["old", "apart"], "no row was measured in both old and apart"),
    ],
)
def test_runs_that_are_none_are_one_line_and_status_2(runs, capsys, arguments, why):
    runs("old", [timed(1e-3)])
    runs("copy", [timed(1e-3)], run_id="old")
    runs("empty", [row(None)], still=())
    runs("apart", [timed(1e-3, "other")])
    assert compare(runs, *arguments) == 2
    out, err = said(capsys)
    assert out == "" and why in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [[], ["old"], ["old", "new", "--threshold=-1"], ["old", "new", "--threshold=nan"],
     ["old", "new", "--format=html"]],
)  # fmt: skip
def test_wrong_arguments_are_usage(runs, capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        compare(runs, *arguments)
    assert caught.value.code == 2
    assert "Traceback" not in said(capsys)[1]


def test_lines_that_are_skipped_are_named(runs, capsys):
    runs("old", [timed(1e-3)])
    runs("new", [timed(1e-3)], still=())
    with (runs.results / "m" / "new" / store.ROWS).open("a") as file:
        file.write('{"schema": 9}\n{"sch')
    assert compare(runs, "old", "new") == 0
    err = said(capsys)[1].splitlines()
    assert [line.partition(": ")[0] for line in err] == [
        "new/rows.jsonl, line 2",
        "new/rows.jsonl, line 3",
    ]


HOSTILE = (
    "<script>alert(1)</script>",
    "a|b",
    "a\\|b",
    "``` `` `",
    "](http://x) **b** @somebody #1",
    "a\nb\x1b[31m\u202e",
    "   ",
    "x" * 5000,
)


def test_names_are_shown_and_not_obeyed(runs, capsys):
    runs("old", [timed(1e-3, name) for name in HOSTILE] + [timed(1e-3, f"{HOSTILE[0]} gone")])
    runs("new", [timed(1.2e-3, name, flops=None) for name in HOSTILE], os=HOSTILE[0])
    assert compare(runs, "old", "new", "--format=markdown") == 1
    out, _ = said(capsys)
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", out)
    # outside of code there is nothing but our own words
    bare = re.sub(r"<code>[^<>|`]*</code>|`[^`|\\\n]*`", "", out)
    assert not re.search(r"@|#1|http|script|\*\*|&#", bare)
    assert set(re.findall(r"<[^>]*>", bare)) <= {
        "<details>", "</details>", "<summary>", "</summary>"
    }  # fmt: skip
    for line in bare.splitlines():
        if line.startswith("|"):
            assert line.count("|") in (2, 5), line
    assert compare(runs, "old", "new") == 1
    out, _ = said(capsys)
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", out)
    assert "<script>alert(1)</script>" in out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("matmul[cpu-host]", "`matmul[cpu-host]`"),
        ("a|b", "<code>a&#124;b</code>"),
        ("a`b\\", "<code>a&#96;b&#92;</code>"),
        ("  ", "`(empty)`"),
    ],
)
def test_text_as_code(text, shown):
    assert markdown.code(text) == shown


def test_a_pull_request_has_what_changed_first_and_the_rest_folded_away(runs, capsys):
    names = [f"n{i}" for i in range(200)]
    runs("old", [timed(1e-3, name) for name in [*names, "a", "gone"]])
    runs("new", [timed(1e-3, name) for name in names] + [timed(1.2e-3), timed(1e-3, "added")])
    assert compare(runs, "old", "new", "--format=markdown") == 1
    out, _ = said(capsys)
    assert out.startswith("### Performance: 1 regression beyond 5 %: ")
    told, _, folded = out.partition("<details>")
    assert "`synthetic::a`" in told and "`synthetic::n0`" not in told
    assert "140 more rows." in folded
    assert "1 row only in the old run" in folded and "1 row only in the new run" in folded
    assert len(out) < 65_536


def test_it_needs_no_torch(runs):
    runs("old", [timed(1e-3)])
    runs("new", [timed(1e-3)])
    code = (
        "import sys; from harness.__main__ import main; "
        f"main(['compare', 'old', 'new', '--results={runs.results}']); "
        "print(sorted({'torch', 'triton', 'pynvml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_the_reference_run_can_be_compared(tmp_path, capsys):
    (run,) = (ROOT / "results" / "reference").glob("*/*/")
    again = tmp_path / "m" / "again"
    again.mkdir(parents=True)
    (again / store.ROWS).write_text((run / store.ROWS).read_text())
    described = json.loads((run / store.ENVIRONMENT).read_text()) | {"run_id": "again"}
    (again / store.ENVIRONMENT).write_text(json.dumps(described))
    assert main(["compare", str(run), str(again)]) == 0
    assert "no regression" in said(capsys)[0]
