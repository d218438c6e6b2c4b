"""Rows of cross-entropy that start or end anywhere, peeled so that the rest is read 16 bytes at a
time: at every place, next to numbers that must neither count nor be written."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
import triton.runtime.interpreter as interpreter
from hypothesis import given
from hypothesis import strategies as st

from kernels import _cross_entropy_builds as builds
from kernels import _cross_entropy_peeled as by_peel
from kernels import _cross_entropy_rows as by_row
from kernels import _cross_entropy_tiles as tiles
from tests.kernels.examples import examples
from tests.kernels.row_losses import DTYPES, REDUCTIONS, check, classes_of, random

pytestmark = pytest.mark.filterwarnings("ignore:(invalid|divide|overflow):RuntimeWarning")
# A warp's: 32 lanes of 16 bytes are 256 numbers of half precision, 128 of float32.
LOSSES, GRADIENT = by_peel.Peeled(1, 256, 1), by_peel.Peeled(1, 128, 1)
ROWS = 5
BEFORE = 16  # numbers in front of the first row: a multiple of 16 bytes in every dtype


@contextmanager
def tiled(losses, gradient):
    """Rows of any length are taken by these tiles."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_row, "losses_config", lambda *anything: losses)
        patch.setattr(by_row, "gradients_config", lambda *anything: gradient)
        yield


def both(input, target, tiles, out=None):
    """Losses, statistics and gradient by two tiles; out: where it is written, or None."""
    rows = len(target)
    loss = by_row.Loss(target, None, -100, 0.0)
    losses = torch.empty(rows, device=input.device)
    statistics = torch.empty(rows, 3, device=input.device)
    out = torch.empty_like(input) if out is None else out
    grad = random(input.device.type, input.dtype, rows, seed=3)
    with tiled(*tiles):
        by_row.losses(input, loss, losses, statistics)
        by_row.gradients(input, loss, statistics, out, grad)
    return losses, statistics, out.clone(memory_format=torch.contiguous_format)


@pytest.fixture
def touched(device, monkeypatch):
    """The addresses of all that kernels read and wrote; none are told of a GPU."""
    found = []

    def recorded(name):
        real = getattr(interpreter.InterpreterBuilder, name)

        def call(self, pointers, *given):
            mask = given[0] if name == "create_masked_load" else given[1]
            found.append(pointers.data[mask.data])
            return real(self, pointers, *given)

        monkeypatch.setattr(interpreter.InterpreterBuilder, name, call)

    recorded("create_masked_load")
    recorded("create_masked_store")
    return found


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("classes", [1, 2, 3, 6, 7, 8, 9, 15, 17, 70, 300])
def test_nothing_beside_a_row_counts_or_is_read_or_written(device, touched, dtype, classes):
    """Every residue of the stride, the gradient in place, and what lies between rows poisoned."""
    target = classes_of(device, ROWS, classes)
    target[0], target[1] = 0, classes - 1
    rows = 3 * random(device, dtype, ROWS, classes)
    losses, statistics, gradient = both(rows, target, [tiles.config(classes)] * 2)
    for more in range(16 // dtype.itemsize):
        stride, poison = classes + more, (torch.nan, torch.inf)[more % 2]
        memory = torch.full((BEFORE + ROWS * stride + 16,), poison, dtype=dtype, device=device)
        input = memory.as_strided((ROWS, classes), (stride, 1), BEFORE).copy_(rows)
        assert input.data_ptr() % 16 == 0
        touched.clear()
        found = both(input, target, (LOSSES, GRADIENT), out=input)
        torch.testing.assert_close(found[:2], (losses, statistics), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(found[2], gradient)
        inside = torch.zeros_like(memory, dtype=torch.bool)
        inside.as_strided((ROWS, classes), (stride, 1), BEFORE).fill_(True)
        if device == "cpu":
            start, end = memory.data_ptr(), memory.data_ptr() + memory.nbytes
            addresses = np.unique(np.concatenate(touched))
            at = (addresses[(start <= addresses) & (addresses < end)] - start) // dtype.itemsize
            assert np.array_equal(at, inside.nonzero()[:, 0].numpy())
        still = memory[~inside]
        assert (still.isnan() if poison != poison else still == poison).all()


def test_offsets_past_32_bits(device):
    if device == "cuda" and torch.cuda.mem_get_info()[0] < 6e9:
        pytest.skip("needs 6 GB of free device memory")
    memory = torch.empty(2**31 + 2**25, dtype=torch.float16, device=device)
    shape = (3, 37)
    input = memory.as_strided(shape, (2**30 + 3, 1)).copy_(random(device, torch.float16, *shape))
    target = classes_of(device, *shape)
    pair = (LOSSES, GRADIENT)
    wanted = both(input.clone(memory_format=torch.contiguous_format), target, pair)
    torch.testing.assert_close(both(input, target, pair, out=input), wanted)


# Longer than a block, so that these are chosen: the public function's own way.
CLASSES = tiles.CONFIGS[-1].BLOCK_C + 5


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"weight": True}], ids=str)
@pytest.mark.parametrize("first", [(0, 0), (1, 0), (0, 1)], ids=str)
def test_rows_that_cannot_be_peeled_are_right_too(device, dtype, options, first):
    """Of a view whose first row or column lies elsewhere, and with options."""
    whole = random(device, dtype, 3, CLASSES + 1)
    input = whole[first[0] :, first[1] : first[1] + CLASSES]
    given = dict(options)
    if "weight" in options:
        given["weight"] = random(device, dtype, CLASSES, seed=1).abs()
    check(input, classes_of(device, *input.shape), own_dtype=torch.float32, **given)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_which_rows_are_peeled(device, dtype):
    vector, last = 16 // dtype.itemsize, tiles.CONFIGS[-1]
    whole = torch.empty(9, CLASSES + 1, dtype=dtype, device=device)
    plain = by_row.Loss(classes_of(device, 9, CLASSES), None, -100, 0.0)

    def of(input, loss=plain, width=CLASSES, out=None):
        out = input if out is None else out
        return (
            tiles.losses_config(input, loss, width),
            tiles.gradients_config(input, loss, out, width),
        )

    input, peeled = whole[:, :CLASSES], (by_peel.LOSSES, by_peel.GRADIENT)
    assert of(input) == of(whole[vector:, :CLASSES]) == of(input.contiguous()) == peeled
    assert of(whole[1:, :CLASSES]) == of(whole[:, 1:]) == (last, last)  # not on 16 bytes
    assert of(input, width=CLASSES + 1) == of(whole[:, ::2], width=CLASSES // 2 + 1)[::-1]
    assert of(input, width=CLASSES + 1) == (last, last)
    assert of(input, plain._replace(smoothing=0.1)) == (last, last)
    assert of(input, plain._replace(weight=input[0])) == (last, last)
    assert of(input, plain._replace(bias=input[0])) == (last, last)
    # The gradient lies otherwise than the logits: its rows start at other places.
    assert of(input, out=input.contiguous()) == (by_peel.LOSSES, last)
    assert of(input.contiguous(), out=whole.view(-1)[1:].as_strided(input.shape, (CLASSES, 1)))[
        1
    ] == (last if 1 % vector else peeled[1])
    short = whole[:, : last.BLOCK_C - 3]
    assert of(short, width=short.shape[1]) == (last, by_peel.GRADIENT)


def test_the_rule_of_long_rows(device):
    """Two blocks and more, chosen as the public function does."""
    classes = 2 * by_peel.LOSSES.BLOCK_C + 11
    input = 3 * random(device, torch.bfloat16, 3, classes)
    target = torch.tensor([0, classes - 1, -100], device=device)
    loss = by_row.Loss(target, None, -100, 0.0)
    assert by_row.losses_config(input, loss, classes) == by_peel.LOSSES
    check(input, target)


SPECIAL = [torch.nan, torch.inf, -torch.inf, 1e4, -1e4]


@examples(25)
@given(data=st.data())
def test_the_rule_at_any_place(device, data):
    """Rows one after the other: each of another length than 16 bytes starts at another place."""
    dtype = data.draw(st.sampled_from(DTYPES))
    rows = data.draw(st.integers(1, 5))
    classes = data.draw(st.integers(1, 70) | st.integers(250, 300) | st.just(517))
    input = 3 * random(device, dtype, rows, classes, seed=data.draw(st.integers(0, 99)))
    target = classes_of(device, rows, classes)
    ends = st.sampled_from(sorted({0, classes // 2, classes - 1}))
    for row in range(rows):
        if data.draw(st.booleans()):
            input[row, data.draw(ends)] = data.draw(st.sampled_from(SPECIAL))
        others = [0, classes - 1, -100, -1, classes, -(2**63), 2**63 - 1]
        target[row] = data.draw(st.just(int(target[row])) | st.sampled_from(others))
    ignore_index = data.draw(st.sampled_from([-100, 0, classes - 1]))
    reduction = data.draw(st.sampled_from(REDUCTIONS))
    with tiled(LOSSES, GRADIENT):
        check(
            input, target, ignore_index=ignore_index, reduction=reduction, own_dtype=torch.float32
        )


def test_builds_must_be_wide():
    found = [b for b in builds.builds(("scalar", "rows")) if "peeled" in b.configuration]
    assert len(found) == 3 * len(DTYPES)
    for build in found:
        # 8192 numbers of 2 bytes are 4 times 16 bytes for each of 256 threads, in two places.
        times = 2 if build.dtype == "float32" else 1
        forward = build.kernel is by_peel._peeled_losses_kernel
        assert build.wide == ({"ld": 8 * times} if forward else {"ld": 2 * times, "st": 2 * times})
        assert not {"stride_row", "classes"} & {*build.aligned}
    assert not any("peeled" in b.configuration for b in builds.builds(("one",), biased=True))
