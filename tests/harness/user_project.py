"""A user's own benchmark in a folder of their own, measured in this process and quickly."""

import torch

from harness import case, instrument, plugin, record, roofline, selfcheck, store
from harness.timing import Limits

# pytester forgets what is imported inside it, and parts of torch can be imported only once
torch.compiler.reset()

BENCHMARK = """
import pytest, torch
from harness.comparison import Comparison

def raises(x):
    raise RuntimeError("no such thing\\nsecond line")

def out_of_memory(x):
    raise torch.OutOfMemoryError("too large")

PROVIDERS = {
    "torch": torch.sum,
    "mine": lambda x: x.sum(),
    "zeros": lambda x: torch.zeros(()),
    "raises": raises,
    "hungry": out_of_memory,
}

def comparison(device, n):
    return Comparison(
        subject="sum", case=f"n{n}", dtype="float32", direction="forward",
        inputs=lambda seed: (torch.rand(n, generator=torch.Generator().manual_seed(seed)) + 1,),
        providers={name: (lambda call=call: call) for name, call in PROVIDERS.items()},
        baseline="torch", reference=torch.sum, flops=n, bytes=4 * n, batch=n,
    )
"""
TEST = """
@pytest.mark.parametrize("n", [{sizes}])
@pytest.mark.parametrize("provider", [{providers}])
def test_sum(compare, provider, n):
    compare(lambda device: comparison(device, n))
"""
LIMITS = Limits(min_sampled_s=0, max_samples=30, max_s=0.2, warmup_s=0.01, max_warmup_s=0.02)
SHORTER = [
    (case, "PRESETS", {"quick": LIMITS, "full": LIMITS}),
    (plugin, "MODES_OF", {"cpu": ("host",), "cuda": ("host",)}),
    (selfcheck, "LIMITS", LIMITS),
    (instrument, "LOOKS", 1),  # so short a copy is above its roof by chance
    (roofline, "COPY_BYTES", {"cpu": 2**12, "cuda": 2**12}),
    (roofline, "PRODUCT_SIZES", {"cpu": (32,), "cuda": (32,)}),
]


def shorten(monkeypatch):
    """A case takes a moment in this process, and so do roofs and self-checks."""
    for module, name, value in SHORTER:
        monkeypatch.setattr(module, name, value)


def made(pytester, monkeypatch):
    """A user's folder with a benchmark of sums; `write` sets its sizes and providers."""
    shorten(monkeypatch)

    def write(sizes="1000", providers='"torch", "mine"', more=""):
        test = TEST.format(sizes=sizes, providers=providers)
        pytester.makepyfile(test_sum=BENCHMARK + test + more)

    write()
    pytester.write = write
    return pytester


def measure(project, *arguments, **how):
    # in this process: importing torch again would take longer than the test
    return project.runpytest_inprocess(
        "-p", "harness.plugin", "--benchmark-only", "--devices=cpu", *arguments, **how
    )


def rows(project):
    """Results of the newest run, by what follows [ in their ids, and problems of its files."""
    found, problems = store.read(store.runs(project.path / "results")[0])
    told = [r for r in found if r.extra_info["kind"] not in record.ABOUT_MEASURING]
    return {r.id.partition("[")[2]: r for r in told}, problems


def statuses(project):
    """By provider and case."""
    return {
        (r.extra_info["provider"], r.extra_info["case"]): r.status
        for r in rows(project)[0].values()
    }
