"""How much of a training step is matrix products and convolutions: of its FLOPs and of its time.

Products are counted by the workload's own formula, a multiply-add being two FLOPs. Everything else
that computes counts one FLOP for each element of the largest tensor that it reads or writes: an
addition and an exponential alike, and a fused normalisation once, so that the share of products is
an upper bound. What only moves, makes or picks values has none.

The time is torch.profiler's self time of the operators: on a CPU the operators' own, with what the
profiler adds to each, which weighs more on the small ones; on a GPU that of their kernels.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import workloads
from harness import contention
from harness.environment import device_name
from harness.iterations import Step
from harness.probes.spec import Finding
from workloads import data
from workloads.spec import Workload

STEPS = {"quick": 5, "full": 30}
WARM_UP = 2  # steps: libraries and optimizers set up what they keep
SEED = 0

# names of operators without "aten::", "_" or a version; the fused recurrent layers are products
PRODUCTS = (
    *("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "vdot", "addbmm", "_foreach_mm"),
    *("convolution", "convolution_backward", "mkldnn_convolution", "cudnn_convolution"),
    *("_slow_conv2d_forward", "_slow_conv2d_backward", "thnn_conv2d", "slow_conv_dilated2d"),
    *("_conv_depthwise2d", "mkldnn_linear", "mkldnn_rnn_layer", "_cudnn_rnn", "cudnn_rnn"),
    *("_cudnn_rnn_backward", "_scaled_dot_product_flash_attention_for_cpu", "linalg_vecdot"),
)
_MOVES = frozenset(
    """
    _to_copy copy clone cat stack empty empty_like empty_strided new_empty new_empty_strided zeros
    zeros_like new_zeros ones ones_like new_ones full full_like new_full fill zero arange gather
    index index_select index_put _index_put_impl scatter select_backward slice_backward repeat
    constant_pad_nd embedding detach lift_fresh flip roll tril triu where masked_fill
    _local_scalar_dense scalar_tensor _foreach_copy _foreach_zero unfold_backward eye
    """.split()  # noqa: SIM905
)


def run(device: str, preset: str) -> Iterator[Finding]:
    """One finding a workload: at its batch size, with its optimizer, on its training set."""
    for name in workloads.NAMES:
        yield of(workloads.load(name), device, STEPS[preset])


def of(workload: Workload, device: str, steps: int) -> Finding:
    """The shares of one workload's step, the time's over so many steps."""
    size = workload.batch_size
    step = Step(workload, size, device)
    batch = data.sample(workload.data().train, size, SEED).to(device)
    for _ in range(WARM_UP):
        step(*batch)
    with _Elements() as rest:
        step(*batch)
    products = workload.flops.step * size
    before = contention.read()
    shares = [_time_share(step, batch, device) for _ in range(steps)]
    disturbed = contention.reasons(*contention.shares(before, contention.read()))
    known = [share for share in shares if share is not None]
    values = {
        "flops_products": float(products),
        "flops_rest": float(rest.total),
        "flops_share": products / (products + rest.total) if products + rest.total else None,
        "time_share": median(known) if known else None,
        "time_share_low": min(known, default=None),
        "time_share_high": max(known, default=None),
    }
    names = ("time_share", "time_share_low", "time_share_high")
    why = {"flops_share": "it computes nothing"}
    why |= dict.fromkeys(names, "the profiler saw no operator")
    if device == "cpu" and disturbed:
        for name in names[1:]:
            values[name], why[name] = None, f"not to be trusted: {'; '.join(disturbed)}"
    why = {key: reason for key, reason in why.items() if values[key] is None}
    at = f"batch {size}"
    return Finding(
        "products", workload.name, at, device, device_name(device), len(known), values, why
    )


class _Elements(TorchDispatchMode):
    """Counts the elements of what computes and is no product."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = _name(func.__name__.partition(".")[0])
        moves = func.is_view or torch.Tag.inplace_view in func.tags or name in _MOVES
        if not moves and name not in PRODUCTS:
            groups = [args, result] if not name.startswith("_foreach") else [args[:1]]
            sizes = [
                [t.numel() for t in tree_leaves(group) if isinstance(t, torch.Tensor)]
                for group in groups
            ]
            # a list of tensors is as much work as all of them, other operands are one
            count = sum if name.startswith(("_foreach", "_fused")) else max
            self.total += max((count(found) for found in sizes if found), default=0)
        return result


def _time_share(step: Step, batch: Any, device: str) -> float | None:
    """Of one step's operators; None where the profiler saw none."""
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profile(activities=kinds) as profiler:
        step(*batch)
        if device == "cuda":
            torch.cuda.synchronize()
    total = products = 0.0
    for event in profiler.key_averages():
        # a GPU's kernels stand there again by themselves
        if event.device_type != torch.autograd.DeviceType.CPU:
            continue
        own = event.self_device_time_total if device == "cuda" else event.self_cpu_time_total
        # what the profiler brackets is no operator: its self time is Python's
        if event.key.startswith(("aten::", "autograd::")) or "Backward" in event.key:
            total += own
            if _name(event.key.removeprefix("aten::")) in PRODUCTS:
                products += own
    return products / total if total else None


def _name(name: str) -> str:
    """Without the mark of an operator that works in place."""
    return name if name in PRODUCTS else name.rstrip("_")
