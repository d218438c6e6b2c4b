"""The tree's own rules: one direction of imports, light modules, nothing that names a machine."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# each may import those before it
ORDER = ("kernels", "workloads", "harness")
HEAVY = {"torch", "triton"}
LIGHT = (
    *("harness/statistics.py", "harness/record.py", "harness/store.py", "harness/report"),
    *("harness/noise.py", "harness/verdict.py", "harness/faults.py", "harness/trust.py"),
    *("harness/payback.py", "harness/changes.py", "harness/compare.py", "harness/controls.py"),
    *("harness/compare_words.py", "harness/markdown.py", "harness/datasheet.py", "harness/thin.py"),
    *("harness/curve.py", "harness/survival.py", "harness/batch_size.py", "harness/studies"),
    *("harness/probes/spec.py", "harness/prediction.py"),
)


def modules(folder):
    return sorted((ROOT / folder).rglob("*.py"))


def imported(path):
    """Top-level names of all that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("package", ORDER)
def test_imports_go_one_way(package):
    later = set(ORDER[ORDER.index(package) + 1 :])
    assert modules(package)
    for path in modules(package):
        assert not later & set(imported(path)), path


def test_the_rule_sees_an_import_the_wrong_way(tmp_path):
    (tmp_path / "f.py").write_text("def g():\n    from harness.timing import measure\n")
    assert set(imported(tmp_path / "f.py")) == {"harness"}


@pytest.mark.parametrize("name", LIGHT)
def test_a_laptop_without_torch_can_redraw_every_figure(name):
    paths = modules(name) if (ROOT / name).is_dir() else [ROOT / name]
    assert paths
    for path in paths:
        assert not HEAVY & set(imported(path)), path


def loaded_by(statement):
    """The modules that a fresh Python has after `statement`."""
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()


@pytest.mark.parametrize(
    "statement",
    [
        "import kernels, workloads, harness",
        "import harness.statistics, harness.record, harness.store",
        "import harness.report",
        "import harness.__main__ as m; m.main.__doc__",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(statement):
    assert not HEAVY & set(loaded_by(statement))


def test_help_needs_neither_torch_nor_pandas():
    code = (
        "import sys; from harness.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(' '.join(sys.modules))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert "doctor" in said and "report" in said
    assert not {"torch", "pandas", "matplotlib", "numpy"} & set(said.split())


@pytest.mark.parametrize("package", [*ORDER, "tests"])
def test_kernels_is_ours(package):
    # `kernels` is also the name of somebody else's package
    found = __import__(package)
    assert Path(next(iter(found.__path__))).resolve() == ROOT / package
