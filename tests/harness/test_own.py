"""A kernel or a workload in a file of the user's own: what is refused, and all that is done."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import harness.report  # noqa: F401  # pytester forgets what is first imported inside it
import kernels
from harness import own, store
from harness.__main__ import main
from harness.own import BadFile
from tests.harness.user_project import shorten

ROOT = Path(__file__).parents[2]

# a plain function beside torch's, so that it has a time on a CPU too
OPERATION = """
import torch
from kernels.spec import Case, Cost, Operation

def mine(x):
    return x.exp() / x.exp().sum()

def reference(x):
    return x.softmax(0)

def inputs(case, device, seed):
    generator = torch.Generator(device).manual_seed(seed)
    return (torch.randn(case.shape["N"], generator=generator, device=device),)

CASES = [Case({"N": 100}, "float32"), Case({"N": 50}, "float32", presets=("full",)),
         Case({"N": 2**40}, "float32", devices=("cuda",))]
OPERATION = Operation(
    "my_softmax", reference, reference, inputs, lambda case: Cost(500, 800), tuple(CASES),
    {"mine": lambda: mine, "torch": lambda: reference}, triton=(),
)
"""
WORKLOAD = """
import torch
from workloads.spec import Batch, Data, Flops, Target, Workload

def data():
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    return Data(Batch(x[:50], x[:50, :1]), Batch(x[50:], x[50:, :1]))

def model(seed):
    torch.manual_seed(seed)
    return torch.nn.Linear(3, 1)

def loss(model, batch):
    return torch.nn.functional.mse_loss(model(batch.x), batch.y)

WORKLOAD = Workload(
    "my_model", data, model, loss, loss, Target("mean squared error", 0.01), Flops(6, 6),
    optimizer="sgd", learning_rate=0.1, batch_size=10, max_steps=500,
)
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="mine.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def test_what_a_file_declares_is_loaded_under_a_name_of_its_own(write):
    (first,) = own.load(write(OPERATION, "a/mine.py"))
    (other,) = own.load(write(WORKLOAD + "class Kept: pass\n", "b/mine.py"))
    assert (first.name, other.name) == ("my_softmax", "my_model")
    modules = {kind.__module__ for kind in (first.reference, other.data)}
    assert len(modules) == 2 and modules <= set(sys.modules)
    kept = sys.modules[other.data.__module__].Kept()
    assert isinstance(pickle.loads(pickle.dumps(kept)), type(kept))  # noqa: S301


def test_a_file_may_import_its_neighbours(write):
    write("FACTOR = 2\n", "a_neighbour_of_mine.py")
    own.load(write("import a_neighbour_of_mine\n" + OPERATION))


NEITHER = "declares neither: OPERATION or WORKLOAD, as kernels/ and workloads/ do"
LACKS = [
    ("x = 1\n\n1 / 0\n", ":3: ZeroDivisionError: division by zero"),
    ("x = 1\nx = = 2\n", ":2: SyntaxError: invalid syntax"),
    ("import nothing_of_that_name\n", ":1: ModuleNotFoundError: No module named"),
    ("raise SystemExit\n", ":1: SystemExit: no message"),
    ("def f():\n    raise ValueError('one\\ntwo')\n\nf()\n", ":2: ValueError: one"),
    ("", NEITHER),
    (OPERATION + WORKLOAD, "declares both, and each needs a file of its own"),
    ("OPERATION = {}\n", "OPERATION is of type dict, not kernels.spec.Operation"),
    ("WORKLOAD = 1\n", "WORKLOAD is of type int, not workloads.spec.Workload"),
]
OPERATIONS = [
    ('"my_softmax"', '""', "OPERATION has no name"),
    ('"my_softmax"', '"matmul"', "is named 'matmul', as one of ours is: rename it"),
    ('"my_softmax", reference', '"my_softmax", None', "has a reference that is no function"),
    ("tuple(CASES)", "()", "my_softmax has no cases"),
    ("tuple(CASES)", "(*CASES, CASES[0])", "has two cases named N100-float32-forward"),
    ("tuple(CASES)", "('a case',)", "'str' object has no attribute 'name'"),
    ('presets=("full",)', 'presets=("huge",)', "presets: 'huge' is none of quick, full"),
    ('devices=("cuda",)', 'devices=("tpu",)', "devices: 'tpu' is none of cpu, cuda"),
    ('100}, "float32"', '100}, "float32", "up"', "direction: 'up' is none of forward, backward"),
    ('100}, "float32"', '100}, "float33"', "'float33', which is none of torch's dtypes"),
    ('"torch":', '"theirs":', "my_softmax has no provider 'torch', only mine, theirs"),
    ("triton=()", 'triton=("it",)', "my_softmax has no provider 'it', only mine, torch"),
    ("lambda: mine", "1", "has a provider 'mine' that is no function returning one"),
    ("triton=()", "tritons=()", "unexpected keyword argument 'tritons'"),
]
WORKLOADS = [
    ('"my_model"', '"rnn/mine"', "WORKLOAD is named 'rnn/mine', as one of ours is: rename it"),
    ('"sgd"', '"luck"', "my_model: optimizer 'luck' is none of gradient_descent, sgd"),
    ("learning_rate=0.1", "learning_rate=0", "learning_rate must be a number above 0"),
    ("batch_size=10", "batch_size=0", "my_model: batch_size must be 1 or more"),
    ("max_steps=500", "max_steps=-1", "my_model: max_steps must be 1 or more"),
    ('Target("mean squared error", 0.01)', "0.01", "has a target that is no workloads.spec.Target"),
    ("Flops(6, 6)", "12", "has flops that are no workloads.spec.Flops"),
    ("data, model", "data(), model", "has a data that is no function"),
]
VARIANTS = """
from dataclasses import replace
VARIANTS = [replace(WORKLOAD, name="my_model/slow", learning_rate=0.01)]
"""
LACKS += [(WORKLOAD + VARIANTS + "VARIANTS *= 2\n", "VARIANTS has a second 'my_model/slow'")]
LACKS += [(WORKLOAD + "VARIANTS = (1,)\n", "VARIANTS is of type int, not workloads.spec.Workload")]
LACKS += [(OPERATION.replace(a, b), words) for a, b, words in OPERATIONS]
LACKS += [(WORKLOAD.replace(a, b), words) for a, b, words in WORKLOADS]


@pytest.mark.parametrize(("text", "words"), LACKS, ids=[words for _, words in LACKS])
def test_a_file_that_lacks_something_is_told_what_in_one_line(write, text, words):
    assert text not in (OPERATION, WORKLOAD)
    path = write(text)
    with pytest.raises(BadFile) as caught:
        own.load(path)
    line = str(caught.value)
    assert line.startswith(str(path)) and words in line and "\n" not in line


def test_what_is_no_file_of_python_is_told(tmp_path, write):
    for path, words in [
        (tmp_path / "lost.py", "no such file"),
        (write(OPERATION, "mine.txt"), "not a .py file"),
        (tmp_path, "not a .py file"),
    ]:
        with pytest.raises(BadFile, match=words):
            own.load(path)


def test_two_files_of_one_name_would_mix_their_rows(write):
    paths = [str(write(OPERATION, f"{name}.py")) for name in "ab"]
    with pytest.raises(BadFile, match=r"'my_softmax' is declared in .*a\.py too; rename one"):
        own.load_all(paths)
    assert len(own.load_all(paths[:1] * 2)) == 1


@pytest.mark.parametrize("command", ["check", "train"])
def test_the_commands_refuse_in_one_line(write, capsys, command):
    assert main([command, str(write(""))]) == 2
    said = capsys.readouterr().err
    assert NEITHER in said and said.count("\n") == 1


@pytest.mark.parametrize("path", [["elsewhere/kernels"], None])
def test_another_package_called_kernels_is_noticed_by_the_commands(monkeypatch, capsys, path):
    if path:
        monkeypatch.setattr(kernels, "__path__", path)
    else:  # a single file has none
        monkeypatch.delattr(kernels, "__path__")
    assert main(["check", "mine.py"]) == 2
    said = capsys.readouterr().err
    assert "another package named kernels hides flopwise's own" in said and said.count("\n") == 1


def test_an_own_workload_is_trained_and_an_operation_is_not(write, capsys):
    path = str(write(WORKLOAD))
    assert main(["train", path]) == 0
    assert "mean squared error 0.01 reached after" in capsys.readouterr().out
    assert main(["train", path, "--corpus", "text.txt"]) == 2
    assert "mine.py has no use for --corpus" in capsys.readouterr().err
    assert main(["train", str(write(OPERATION))]) == 2
    assert "declares an OPERATION, and only a WORKLOAD is trained" in capsys.readouterr().err


@pytest.fixture
def project(pytester, monkeypatch):
    """A user's folder, outside of ours, with both files."""
    shorten(monkeypatch)
    pytester.makepyfile(my_softmax=OPERATION, my_model=WORKLOAD)
    return pytester


def measure(project, *arguments):
    return project.runpytest_inprocess(
        *("-p", "harness.plugin", "--benchmark-only", "--devices=cpu"), *arguments
    )


def rows(project):
    found, _ = store.read(store.runs(project.path / "results")[0])
    return {r.id: r for r in found if r.id.startswith("own:")}


def test_an_own_operation_is_measured_reported_and_resumed(project, capsys):
    test = "own:my_softmax.py::test_kernels[cpu-host-my_softmax-"
    result = measure(project, "--own=my_softmax.py")
    result.assert_outcomes(passed=2, skipped=2, deselected=2)
    first = rows(project)
    assert set(first) == {
        f"{test}N{n}-float32-forward-{by}]" for n in (50, 100) for by in ("mine", "torch")
    }
    info = first[f"{test}N100-float32-forward-mine]"].extra_info
    assert (info["kind"], info["subject"], info["status"]) == ("kernel", "my_softmax", "ok")
    assert (info["baseline"], info["bytes"]) == ("torch", 800) and info["speedup"] is not None
    left = first[f"{test}N50-float32-forward-mine]"].extra_info
    assert left["reason"].startswith("preset: quick leaves it out")
    run = store.runs(project.path / "results")[0]
    assert main(["report", str(run)]) == 0
    page = (run / store.REPORT).read_text("utf-8")
    assert "my_softmax" in page and "pytest -p harness.plugin --own=my_softmax.py" in page
    # from another folder: the same rows, and none measured again
    folder = project.mkdir("below")
    os.chdir(folder)
    again = ("--own=../my_softmax.py", f"--resume={run}", f"--results={run.parents[1]}")
    measure(project, *again).assert_outcomes(passed=2, skipped=2, deselected=2)
    assert {key: row.samples for key, row in rows(project).items()} == {
        key: row.samples for key, row in first.items()
    }
    # what was edited since is not the same kernel
    (project.path / "my_softmax.py").write_text(OPERATION + "# faster\n")
    result = measure(project, *again)
    result.stderr.fnmatch_lines(["*cannot resume *: its own file was {'my_softmax': *; start a*"])


def test_an_own_workload_is_timed_trained_and_reported(project, quiet):
    chosen = "(test_workloads and host-my_model-train-batch32-eager) or convergence"
    measure(project, "--own=my_model.py", "-k", chosen).assert_outcomes(passed=2, deselected=87)
    kinds = {row.extra_info["kind"]: row.extra_info for row in rows(project).values()}
    assert set(kinds) == {"workload", "convergence"}
    assert (kinds["workload"]["case"], kinds["workload"]["flops"]) == ("batch32-train", 32 * 12)
    trained = kinds["convergence"]
    assert (trained["case"], trained["reached"]) == ("my_model-sgd-batch10", 3)
    run = store.runs(project.path / "results")[0]
    curves, _ = store.read_curves(run)
    assert {curve.trial.workload for curve in curves} == {"my_model"} and len(curves) == 3
    assert main(["report", str(run)]) == 0
    assert "my_model" in (run / store.REPORT).read_text("utf-8")


def test_variants_are_measured_and_trained_beside_their_workload(project):
    project.makepyfile(my_model=WORKLOAD + VARIANTS)
    result = measure(project, "--own=my_model.py", "--collect-only", "-q", "-k", "convergence")
    result.stdout.fnmatch_lines(
        ["*test_convergence?cpu-my_model-sgd-batch10?", "*test_convergence?cpu-my_model/slow-sgd-*"]
    )


def test_what_it_lacks_ends_the_run_before_it_begins(project):
    project.makepyfile(my_softmax="")
    result = measure(project, "--own=my_softmax.py", "--own=my_model.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *my_softmax.py: {NEITHER}"])
    assert not (project.path / "results").exists()


@pytest.mark.slow
def test_another_process_in_another_folder_measures_it(project):
    project.makeconftest(  # it has its own limits to shorten
        "from harness import case, roofline\nfrom harness.timing import Limits\n"
        "case.PRESETS = {'quick': Limits(min_sampled_s=0, max_samples=30, max_s=0.2)}\n"
        "roofline.COPY_BYTES, roofline.PRODUCT_SIZES = {'cpu': 4096}, {'cpu': (32,)}\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "harness.plugin", "--benchmark-only",
               "--own=my_softmax.py", "--devices=cpu", "-k", "N100 and host"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run(
        command, cwd=project.path, env=environment, capture_output=True, text=True, check=False
    )
    assert "2 passed" in said.stdout, said.stdout + said.stderr
    assert len(rows(project)) == 2
