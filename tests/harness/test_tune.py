"""python -m harness tune: refused without a GPU, told line by line with one."""

import torch
import triton

from harness import tune
from harness.__main__ import main
from kernels import _cross_entropy_tiles, tuning
from kernels.tuning import Config

DEFAULT, OTHER = Config(64, 64, 64, 4, 3), Config(64, 128, 64, 8, 4, 16)


def refusal(capsys):
    assert main(["tune"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_refusals_are_one_line(monkeypatch, capsys):
    monkeypatch.setattr(triton.knobs.runtime, "interpret", True)
    assert "unset TRITON_INTERPRET" in refusal(capsys)
    monkeypatch.setattr(triton.knobs.runtime, "interpret", False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "torch finds no GPU" in refusal(capsys)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    assert "cannot tune on Tesla T4, capability 7.5: expected 8.x, 9.x" in refusal(capsys)


def test_a_choice_is_a_line(monkeypatch, capsys):
    monkeypatch.setattr(triton.knobs.runtime, "interpret", False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "NVIDIA H200")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    choice = tuning.Choice("matmul", "float16 small", (DEFAULT, OTHER), None, None)
    module = type("module", (), {"choices": staticmethod(lambda device: [choice])})
    monkeypatch.setattr(tune.importlib, "import_module", lambda name: module)
    monkeypatch.setattr(tune.kernels, "NAMES", ("matmul",))
    result = {DEFAULT: 2e-6, OTHER: 1.5e-6}
    monkeypatch.setattr(tuning, "tune", lambda choices, *_: [(choices[0], OTHER, result)])
    assert main(["tune"]) == 0
    assert capsys.readouterr().out == (
        "[1/1] matmul float16 small: 64x128x64, 8 warps, 4 stages, groups of 16: 1.5 us, "
        "the default 2.0 us; 2 of 2 candidates timed\n"
    )


def test_what_was_not_timed_is_said():
    assert "nothing timed" in tune.describe((DEFAULT, OTHER), DEFAULT, {})
    line = tune.describe((DEFAULT, OTHER), OTHER, {OTHER: 1e-6})
    assert "the default not timed; 1 of 2" in line


def test_candidates_of_other_kernels_are_told_too():
    wide, lanes = _cross_entropy_tiles.CANDIDATES[:2]
    assert tune.describe((wide, lanes), lanes, {wide: 2e-4, lanes: 1e-4}) == (
        "8192, 8 warps, 256 lanes: 100.0 us, the default 200.0 us; 2 of 2 candidates timed"
    )
    assert tune.describe((wide, lanes), wide, {wide: 1e-4}).startswith("1x16384, 16 warps: 100.0")
