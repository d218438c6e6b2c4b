"""The choice of a launch configuration, with a clock that is told what to show."""

import importlib
import json
import math
import os
import threading
import warnings
from types import SimpleNamespace

import pytest
import torch
from triton.runtime.errors import OutOfResources

import kernels
from kernels import _added_product, _launch, _linear_builds, _product_builds, tuning
from kernels.tuning import Choice, Config

SLOW, FAST, BAD = Config(64, 64, 64, 4, 3), Config(64, 128, 64, 4, 4), Config(256, 256, 64, 4, 9)
GPU = "NVIDIA H200"
SECONDS = {SLOW: 2.0, FAST: 1.0, BAD: 0.5}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where choices are kept; nothing is remembered from another test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(_launch, "properties", lambda device: SimpleNamespace(name=GPU))
    tuning._read.cache_clear()
    tuning._kept.cache_clear()
    yield tmp_path
    tuning._read.cache_clear()
    tuning._kept.cache_clear()


class Clock:
    """Launches nothing; shows the seconds of the configuration that was launched."""

    def __init__(self, seconds=SECONDS):
        self.seconds, self.launched = seconds, []

    def time_s(self, launch):
        launch()
        return self.seconds[self.launched[-1]]

    def choice(self, key="float16 small", candidates=(SLOW, FAST, BAD)):
        return Choice("matmul", key, candidates, lambda tile: [tile], lambda: self.launched.append)


def flaws(name, build):
    return ["spills 8 bytes a thread"] if build == BAD else []


def chosen(key="float16 small", candidates=(SLOW, FAST, BAD), device="cuda"):
    return tuning.chosen("matmul", key, candidates, torch.device(device))


def tune(clock, *choices):
    return [*tuning.tune(choices, GPU, flaws, clock.time_s)]


def test_the_fastest_without_flaws_is_kept_and_chosen_from_then_on():
    clock = Clock()
    assert chosen() == SLOW
    ((_, best, seconds),) = tune(clock, clock.choice())
    assert best == FAST and seconds == {SLOW: 2.0, FAST: 1.0}
    assert clock.launched == [SLOW, FAST]  # what the compiler finds bad is never launched
    assert chosen() == FAST
    tuning._read.cache_clear()
    tuning._kept.cache_clear()
    assert chosen() == FAST  # as another process reads it
    assert chosen(device="cpu") == SLOW
    assert chosen("bfloat16 small") == SLOW


def test_candidates_are_compiled_side_by_side():
    """Else tuning takes minutes, of which the GPU is busy for seconds."""
    together = threading.Barrier(3, timeout=100)

    def flaws(name, build):
        together.wait()  # breaks where fewer than three are on their way
        return []

    clock = Clock()
    [*tuning.tune([clock.choice()], GPU, flaws, clock.time_s)]
    assert clock.launched == [SLOW, FAST, BAD]


def test_choices_are_kept_for_one_gpu_and_one_triton(monkeypatch):
    clock = Clock()
    tune(clock, clock.choice())
    with monkeypatch.context() as other:
        other.setattr(_launch, "properties", lambda device: SimpleNamespace(name="NVIDIA H100"))
        assert chosen() == SLOW
    monkeypatch.setattr(tuning.triton, "__version__", "0.0.1")
    tuning._kept.cache_clear()
    assert chosen() == SLOW


def test_a_later_choice_keeps_the_others_and_replaces_its_own():
    clock = Clock()
    tune(clock, clock.choice("float16 small"), clock.choice("float16 tma"))
    clock.seconds = {SLOW: 0.1, FAST: 1.0}
    tune(clock, clock.choice("float16 tma"))
    assert (chosen("float16 small"), chosen("float16 tma")) == (FAST, SLOW)


def test_nothing_is_timed_or_kept_where_every_candidate_has_flaws(folder):
    clock = Clock()
    ((_, best, seconds),) = tune(clock, clock.choice(candidates=(BAD,)))
    assert (best, seconds, clock.launched, [*folder.iterdir()]) == (BAD, {}, [], [])


def test_a_time_that_is_no_number_does_not_win():
    clock = Clock({SLOW: 2.0, FAST: math.nan})
    ((_, best, _),) = tune(clock, clock.choice())
    assert best == SLOW


def test_a_launch_that_the_gpu_refuses_is_told_and_the_others_go_on():
    clock = Clock({SLOW: 2.0, FAST: 1.0})
    refused = OutOfResources(232_449, 232_448, "shared memory")

    def time_s(launch):
        if clock.time_s(launch) == SECONDS[FAST]:
            raise refused
        return 2.0

    with pytest.warns(UserWarning, match=r"num_stages=4.* is not timed: out of resource: shared"):
        ((_, best, seconds),) = tuning.tune([clock.choice()], GPU, flaws, time_s)
    assert (best, seconds) == (SLOW, {SLOW: 2.0}) and chosen() == SLOW


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "[" * 100_000, '{"matmul": 3}', "\ufeff{}",
        '{"matmul": ' + " " * (1 << 20) + "{}}",
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_a_file_that_is_no_table_is_named_and_ignored(content):
    file = tuning._file(GPU)
    file.parent.mkdir(parents=True)
    file.write_text(content)
    with pytest.warns(UserWarning, match=f"{file}: cannot be read .*delete it"):
        assert chosen() == SLOW
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chosen("float16 tma")  # said once
    clock = Clock()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tune(clock, clock.choice())
    assert chosen() == FAST  # tuning puts a good one in its place


@pytest.mark.parametrize(
    "found",
    [
        {**FAST._asdict(), "BLOCK_M": 3},
        {**FAST._asdict(), "more": 1},
        {**FAST._asdict(), "num_warps": "4"},
        {}, [], 7, "64x128", [64, 128, 64, 4, 4, 8],
    ],
    ids=str,
)  # fmt: skip
def test_only_a_candidate_of_the_code_can_be_chosen(found):
    file = tuning._file(GPU)
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"matmul": {"float16 small": found}}))
    with pytest.warns(UserWarning, match=f"{file}: matmul, float16 small: no candidate"):
        assert chosen() == SLOW


def test_bytes_that_are_no_text_are_ignored():
    file = tuning._file(GPU)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.warns(UserWarning, match="cannot be read"):
        assert chosen() == SLOW


@pytest.mark.parametrize("value", ["", "relative/folder"])
def test_the_home_folder_is_used_unless_the_variable_has_an_absolute_path(
    monkeypatch, tmp_path, value
):
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tuning._file(GPU).is_relative_to(tmp_path / ".cache" / "flopwise")


def test_a_gpu_name_cannot_leave_the_folder(folder):
    file = tuning._file("../../x/\0y")
    assert file.parent == folder / "flopwise" / "tuning" and os.sep not in file.name


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_matmul_offers_its_alternatives_and_launches_each_layout(monkeypatch, architecture):
    monkeypatch.setattr(_product_builds._launch, "architecture", lambda operand: architecture)
    monkeypatch.setattr(
        _product_builds, "_TYPICAL", dict.fromkeys(_product_builds._TYPICAL, (32, 40, 48))
    )
    launched = []
    monkeypatch.setattr(_product_builds, "launch", lambda *arguments: launched.append(arguments))
    choices = _product_builds.choices(torch.device("cpu"))
    assert {c.key for c in choices} >= {"bfloat16 small", "float16 skinny"}
    assert ("bfloat16 tma" in {c.key for c in choices}) == (architecture == "sm_90")
    for choice in choices:
        default, *others = choice.candidates
        assert others and len({default, *others}) == len(choice.candidates)
        builds = choice.builds(others[0])
        assert [b.constants["BLOCK_N"] for b in builds] == [others[0].BLOCK_N] * 3
        launched.clear()
        choice.launches()(others[0])
        dtype, shape = choice.key.split(maxsplit=1)
        assert [(a.stride(1) == 1, b.stride(1) == 1) for a, b, *_ in launched] == [
            (True, True), (True, False), (False, True),
        ]  # fmt: skip
        for a, b, out, launched_shape, tile in launched:
            assert (launched_shape, tile) == (shape, others[0])
            assert (a.shape, b.shape, out.shape) == ((32, 48), (48, 40), (32, 40))
            assert str(a.dtype) == f"torch.{dtype}"


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_linear_offers_its_alternatives_and_launches_them_with_and_without_z(
    monkeypatch, architecture
):
    monkeypatch.setattr(_launch, "architecture", lambda operand: architecture)
    typical = dict.fromkeys(_linear_builds._TYPICAL, (32, 40, 48))
    monkeypatch.setattr(_linear_builds, "_TYPICAL", typical)
    launched = []
    monkeypatch.setattr(_linear_builds, "launch", lambda *arguments: launched.append(arguments))
    choices = _linear_builds.choices(torch.device("cpu"))
    assert {c.key for c in choices} >= {"bfloat16 small", "float16 few rows"}
    assert ("bfloat16 tma" in {c.key for c in choices}) == (architecture == "sm_90")
    for choice in choices:
        default, *others = choice.candidates
        assert choice.kernel == "linear"
        assert others and len({default, *others}) == len(choice.candidates)
        builds = choice.builds(others[0])
        assert [b.constants["BLOCK_N"] for b in builds] == [others[0].BLOCK_N] * 2
        launched.clear()
        choice.launches()(others[0])
        dtype, shape = choice.key.split(maxsplit=1)
        assert [pre is not None for *_, pre, _, _ in launched] == [False, True]
        for input, weight, bias, activation, output, _, launched_shape, tile in launched:
            assert (launched_shape, tile, activation) == (shape, others[0], "gelu")
            assert (input.shape, weight.shape, output.shape) == ((32, 48), (40, 48), (32, 40))
            assert str(input.dtype) == str(bias.dtype) == f"torch.{dtype}"


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_the_added_product_offers_its_alternatives(monkeypatch, architecture):
    monkeypatch.setattr(_launch, "architecture", lambda operand: architecture)
    monkeypatch.setattr(_added_product, "_TYPICAL", (40, 48, 32))
    launched = []
    monkeypatch.setattr(_added_product, "launch", lambda *arguments: launched.append(arguments))
    shape = "tma" if architecture == "sm_90" else "whole"
    choices = _added_product.choices(torch.device("cpu"))
    assert [c.key for c in choices] == [f"bfloat16 {shape}", f"float16 {shape}"]
    for choice in choices:
        default, *others = choice.candidates
        assert choice.kernel == "linear_cross_entropy"
        assert others and len({default, *others}) == len(choice.candidates)
        choice.launches()(others[0])
        a, b, out, launched_shape, tile = launched.pop()
        assert (launched_shape, tile) == (shape, others[0])
        assert (a.shape, b.shape, out.shape) == ((40, 32), (32, 48), (40, 48))
        assert a.stride() == (1, 40)  # as the logits' gradient lies, transposed


def test_what_is_chosen_is_launched(monkeypatch):
    """The key under which a choice is kept is the one under which it is looked up."""
    monkeypatch.setattr(_launch, "architecture", lambda operand: "sm_90")
    asked = []

    def chosen(kernel, key, candidates, device):
        asked.append((kernel, key, candidates))
        return candidates[0]

    monkeypatch.setattr(_added_product, "chosen", chosen)
    linear = importlib.import_module("kernels._linear_kernel")
    monkeypatch.setattr(linear, "chosen", chosen)
    half = torch.empty(2048, 2048, dtype=torch.bfloat16)
    linear.select(half, half, half)
    linear.select(half[:16], half, half[:16])
    _added_product.select(half.t(), half, half)
    offered = [
        (choice.kernel, choice.key, choice.candidates)
        for file in (_linear_builds, _added_product)
        for choice in file.choices(torch.device("cpu"))
    ]
    assert [key for _, key, _ in asked] == ["bfloat16 tma", "bfloat16 few rows", "bfloat16 tma"]
    assert all(found in offered for found in asked)


def test_every_kernel_with_a_choice_is_tuned():
    files = [importlib.import_module(f"kernels.{name}") for name in kernels.NAMES]
    having = [file.OPERATION.name for file in files if hasattr(file, "choices")]
    assert having == ["matmul", "linear", "cross_entropy", "linear_cross_entropy"]
