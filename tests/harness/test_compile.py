"""python -m harness compile: every kernel becomes machine code that fits, with no GPU."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

import kernels
from harness import compile
from harness.__main__ import main

ROOT = Path(__file__).parents[2]


def python(code, *arguments):
    """Runs code in a process of its own that was told to interpret, as the tests are."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TRITON_INTERPRET": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )


RUN = """
import json, pathlib, sys
from harness import compile
architectures, file, per_kernel, loads = json.loads(sys.argv[1])
sys.exit(compile.run(architectures, pathlib.Path(file), per_kernel, loads))
"""


def entries_of(tmp_path, architectures, per_kernel, loads=True):
    file = tmp_path / "entries.json"
    done = python(RUN, json.dumps([architectures, str(file), per_kernel, loads]))
    assert done.returncode == 0, done.stdout + done.stderr
    entries = json.loads(file.read_text())
    assert f"{len(entries)} builds, 0 with problems" in done.stdout
    return entries


def check(entries, architectures):
    assert {(e["kernel"], e["architecture"]) for e in entries} == {
        (name, sm) for name in kernels.NAMES for sm in architectures
    }
    for entry in entries:
        assert 0 < entry["registers"] <= 255, entry
        assert entry["spilled_bytes"] == 0, entry
        assert entry["shared_bytes"] <= compile.SHARED_LIMIT[entry["architecture"]], entry
        assert entry["problems"] == [], entry


def test_some_of_every_kernel_for_sm_80_and_sm_90(tmp_path):
    architectures, most = ["sm_80", "sm_90"], 30
    per_kernel = most // (len(architectures) * len(kernels.NAMES))
    entries = entries_of(tmp_path, architectures, min(per_kernel, 5))
    check(entries, architectures)
    assert len(entries) <= most
    # The first build of each: plain copies there, Hopper's TMA and widest product here.
    found = {(e["architecture"], *e["matrix"], *e["loads"]) for e in entries if e["matrix"]}
    assert ("sm_80", "mma m16n8k16", "LDGSTS 128") in found
    assert ("sm_90", "wgmma m64n256k16", "TMA") in found


@pytest.mark.parametrize(
    "architectures",
    [
        # the other two are built from the same configurations
        pytest.param(["sm_80", "sm_90"], marks=pytest.mark.slow),
        pytest.param(compile.ARCHITECTURES, marks=pytest.mark.exhaustive),
    ],
    ids=" ".join,
)
def test_every_build(tmp_path, architectures):
    entries = entries_of(tmp_path, architectures, None, loads=False)
    check(entries, architectures)
    keys = ("kernel", "function", "configuration", "dtype", "architecture")
    assert len({tuple(e[key] for key in keys) for e in entries}) == len(entries)


# Builds that must fail, of kernels that are written for this or spoilt.
BAD = """
import dataclasses, json, sys, types
import kernels, triton, triton.language as tl
from harness import compile

@triton.jit
def broken(x_ptr):
    tl.store(x_ptr, undefined)

large = next(b for b in kernels.load("matmul").builds("sm_80") if b.matrix)
bad = {
    "broken": dataclasses.replace(
        large, kernel=broken, types={"x_ptr": "*fp32"}, constants={}, aligned=()
    ),
    "spills": dataclasses.replace(large, num_warps=4),
    "shared": dataclasses.replace(large, num_stages=6),
    "matrix": dataclasses.replace(
        large, constants={**large.constants, "PRECISION": "ieee", "BLOCK_M": 32, "BLOCK_N": 32},
        types={**large.types, "a_ptr": "*fp32", "b_ptr": "*fp32", "c_ptr": "*fp32"},
    ),
}
rows = [b for b in kernels.load("cross_entropy").builds("sm_80") if "ld" in b.wide]
for what in ("ld", "st"):
    build = next(b for b in rows if what in b.wide)
    pointer = {"ld": "input_ptr", "st": "out_ptr"}[what]  # whose address may be any
    aligned = tuple(name for name in build.aligned if name != pointer)
    bad[f"narrow {what}"] = dataclasses.replace(build, aligned=aligned)

def inspect(build):
    return dataclasses.asdict(compile.inspect("bad", build, "sm_80"))

if __name__ == "__main__":
    print(json.dumps({name: inspect(build) for name, build in bad.items()}))
"""


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    file = tmp_path_factory.mktemp("bad") / "bad.py"
    file.write_text(BAD)  # Triton reads a kernel's source from its file
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, file],
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("broken", "does not build: CompilationError"),
        ("spills", "spills "),
        ("shared", "bytes of shared memory, at most 101376"),
        ("matrix", "no mma instruction, only scalar ones"),
        ("narrow ld", "0 ld.global of 16 bytes, at least 16 expected"),
        ("narrow st", "0 st.global of 16 bytes, at least 4 expected"),
    ],
)
def test_what_is_wrong_is_said(bad, name, problem):
    assert len(bad[name]["problems"]) == 1
    assert problem in bad[name]["problems"][0]
    measured = [bad[name][figure] for figure in ("registers", "spilled_bytes", "shared_bytes")]
    assert (measured == [None] * 3) == (name == "broken")


def entry(**figures):
    return compile.Entry("matmul", "_matmul_kernel", "half", "bf16", "sm_90", 232_448, **figures)


def test_problems_decide_the_exit_status_and_the_file_has_every_entry(
    monkeypatch, capsys, tmp_path
):
    good, spilt = entry(registers=9), entry(spilled_bytes=8, problems=["spills 8 bytes a thread"])
    monkeypatch.setattr(compile, "compile_all", lambda *_: [good, spilt])
    file = tmp_path / "figures.json"
    assert main(["compile", "--json", str(file)]) == 1
    output = capsys.readouterr().out
    assert "sm_90 matmul _matmul_kernel half bf16: spills 8 bytes a thread" in output
    assert "2 builds, 1 with problems" in output
    assert [e["registers"] for e in json.loads(file.read_text())] == [9, None]
    monkeypatch.setattr(compile, "compile_all", lambda *_: [good])
    assert main(["compile"]) == 0


def test_wgmma_is_required_of_hopper():
    assert compile._problems(entry(matrix=["mma m16n8k16"]), True) == [
        "no wgmma instruction, only mma m16n8k16"
    ]
    assert compile._problems(entry(matrix=["mma m16n8k16"]), False) == []
    assert compile._problems(entry(matrix=["wgmma m64n64k16"]), True) == []


@pytest.mark.parametrize(
    ("count", "wanted", "indices"),
    [(9, None, [*range(9)]), (2, 5, [0, 1]), (9, 3, [0, 4, 8]), (9, 1, [0]), (0, 3, [])],
)
def test_a_part_of_the_builds_is_spread(count, wanted, indices):
    assert compile._spread(count, wanted) == indices


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arch", "sm_75"], "argument --arch: invalid choice: 'sm_75'"),
        (["--arch"], "argument --arch: expected at least one argument"),
        (["--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_unknown_arguments_are_refused_in_one_line(capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        main(["compile", *arguments])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize("name", ["missing/file.json", "."])
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_built(capsys, tmp_path, name):
    assert main(["compile", "--json", str(tmp_path / name)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / name) in line


def test_a_folder_that_takes_no_file_is_found_before_anything_is_built(capsys, monkeypatch):
    monkeypatch.setattr(compile, "compile_all", None)
    assert main(["compile", "--json", "/proc/figures.json"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot write /proc/figures.json: " in line and line.endswith("give another --json")


@pytest.mark.slow
def test_an_interrupt_is_one_line_and_soon_over():
    command = [sys.executable, "-m", "harness", "compile", "--arch", "sm_90"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True,
        # a job in a shell's background ignores it, and so would what it starts
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        pytest.skip("this kernel does not list a process's children")
    while len(children.read_text().split()) < 2:  # one keeps the resources
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all of them
    _, said = process.communicate(timeout=300)
    assert (process.returncode, said.strip()) == (2, "python -m harness: interrupted")


def test_a_compiler_that_crashes_is_a_failure_in_one_line(monkeypatch, capsys):
    def crash(*arguments):
        raise BrokenProcessPool

    monkeypatch.setattr(compile, "compile_all", crash)
    assert main(["compile"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "the compiler crashed" in line


def test_help_needs_neither_torch_nor_triton():
    code = (
        "import sys\nfrom harness.__main__ import main\ntry: main(['compile', '--help'])\n"
        "finally: print([m for m in ('torch', 'triton', 'rich') if m in sys.modules])"
    )
    assert python(code).stdout.endswith("[]\n")
