"""Every deliberately wrong kernel is caught by the tests of its operation."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import kernels
from tests.kernels.faults import CONTROLS, MUTANTS
from tests.kernels.mutants import faulty_source

ROOT = Path(__file__).parents[2]


def run(*names):
    """What became of the mutants whose names begin so."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernels.mutants", *names],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_tests_of_a_mutant_see_no_gpu():
    # run by the interpreter, those that need one would "catch" what is right too
    program = (
        "import os, runpy, sys; sys.argv[1:] = ['no such mutant'];"
        "runpy.run_module('tests.kernels.mutants', run_name='__main__');"
        "print([os.environ[name] for name in ('CUDA_VISIBLE_DEVICES', 'TRITON_INTERPRET')])"
    )
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "0"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, env=environment
    )
    assert done.stdout.splitlines() == ["{}", "['', '1']"], done.stderr


def test_there_are_enough_and_of_every_operation():
    assert len({mutant.fault for mutant in MUTANTS}) == len(MUTANTS) >= 20
    for name in kernels.NAMES:
        assert any(mutant.fault.startswith(f"{name}: ") for mutant in MUTANTS), name


@pytest.mark.parametrize("mutant", [*CONTROLS, *MUTANTS], ids=lambda mutant: mutant.fault)
def test_a_mutant_changes_the_kernel_as_it_is_now(mutant):
    # a mutant that is out of date would be found by the slow test alone
    faulty_source(mutant)


@pytest.mark.slow
def test_every_mutant_is_caught_and_what_is_right_passes(record_property):
    found = run()
    caught = [fault for fault, what in found.items() if what == "caught"]
    record_property("mutation score", f"{len(caught)} of {len(MUTANTS)}")
    print(f"mutation score: {len(caught)} of {len(MUTANTS)} caught")
    assert {control.fault: found.pop(control.fault) for control in CONTROLS} == {
        control.fault: "survived" for control in CONTROLS
    }
    assert {fault: what for fault, what in found.items() if what != "caught"} == {}


def test_a_few_are_caught_every_time():
    # one with many values wrong, one with few; all of them are run by pytest -m slow
    names = ("cross_entropy: the label shifted by one", "matmul: a tile left unwritten")
    assert run(*names) == dict.fromkeys(names, "caught")
