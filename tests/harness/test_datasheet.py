"""A time that the datasheet forbids is an error, and no record."""

import types

import pytest
import torch

from harness import datasheet, fields
from harness.record import FAILED
from harness.report import table
from harness.report.frame import frame
from tests.harness.make_rows import row

H100 = "NVIDIA H100 80GB HBM3"
MIB = 2**20


@pytest.mark.parametrize(
    ("name", "byte_per_s"),
    [
        (H100, 3.35e12),
        ("NVIDIA H100 PCIe", 2.0e12),
        ("NVIDIA H200", 4.8e12),
        ("NVIDIA A100-SXM4-80GB", 2.039e12),
        ("NVIDIA A100-SXM4-40GB", 1.555e12),
        ("NVIDIA A100-PCIE-40GB", 1.555e12),
    ],
)
def test_gpus_are_known_by_the_names_that_drivers_give(name, byte_per_s):
    assert datasheet.peaks(name).byte_per_s == byte_per_s


@pytest.mark.parametrize("name", ["NVIDIA H100X", "Intel Xeon Processor", "NVIDIA GH200x", ""])
def test_of_others_nothing_is_said(name):
    assert datasheet.peaks(name) is None
    assert datasheet.least_s(name, "bfloat16", 10**15, 10**12, 0) is None


def test_the_least_time_is_the_products_or_the_memorys():
    products = datasheet.least_s(H100, "bfloat16", 2 * 8192**3, 3 * 2 * 8192**2, 50 * MIB)
    assert products == pytest.approx(2 * 8192**3 / 989.5e12)
    moved = datasheet.least_s(H100, "bfloat16", None, 3_350_000_000, 0)
    assert moved == pytest.approx(1e-3)
    # twice the cache may be left out: what was there before, and what is not yet written
    assert datasheet.least_s(H100, "bfloat16", None, 100 * MIB, 50 * MIB) == 0
    assert datasheet.least_s(H100, "int64", 10**15, None, 0) == 0  # of products of no known peak


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(fields, "cache_bytes", lambda device: 50 * MIB)


def impossible(median, high, dtype="bfloat16", device="cuda", name=H100):
    case = types.SimpleNamespace(dtype=dtype, flops=2 * 8192**3, bytes=3 * 2 * 8192**2)
    measured = types.SimpleNamespace(median=median, high=high)
    return fields.impossible(case, measured, device, name)


def test_what_is_faster_than_that_was_measured_wrong(gpu):
    assert impossible(1.0e-3, 1.1e-3) == (
        "measured wrong: 0.0011 s an iteration, and NVIDIA H100 80GB HBM3 cannot take less than "
        "0.00111 s by its datasheet"
    )
    assert impossible(1.1e-3, float("inf"))  # no interval: the median counts
    assert impossible(1.1e-3, 1.2e-3) is None
    assert impossible(1.0e-3, 1.1e-3, device="cpu", name="a CPU") is None


@pytest.mark.parametrize(("precision", "wrong"), [("ieee", True), ("tf32", False)])
def test_float32_is_held_to_tf32_only_where_it_is_rounded_so(gpu, precision, wrong):
    settings = torch.backends.cuda.matmul
    before = settings.fp32_precision
    try:
        settings.fp32_precision = precision
        assert bool(impossible(3e-3, 3e-3, dtype="float32")) is wrong
    finally:
        settings.fp32_precision = before


def test_a_case_that_is_impossibly_fast_has_failed_and_keeps_no_time(monkeypatch):
    from harness import case
    from harness.comparison import Comparison
    from harness.timing import Limits

    monkeypatch.setattr(fields, "impossible", lambda *_: "measured wrong: ...")
    comparison = Comparison(
        "double", "8", "float32", "forward",
        inputs=lambda seed: (torch.randn(8, generator=torch.Generator().manual_seed(seed)),),
        providers={"torch": lambda: lambda x: x + x}, baseline="torch", reference=lambda x: x + x,
    )  # fmt: skip
    limits = Limits(min_sampled_s=0, max_samples=30, max_s=0.1, warmup_s=0.01, max_warmup_s=0.05)
    found = case.run(comparison, ["torch"], case.Setting("cpu", "", "host", "quick", limits))
    assert found["torch"].fields["status"] == FAILED
    assert found["torch"].fields["reason"] == "measured wrong: ..."
    assert found["torch"].fields["median_s"] is None and not found["torch"].samples


def test_the_report_shows_it_beside_the_measured_roof():
    gpu = {"kind": "roof", "device": "cuda", "device_name": H100}
    rows = [
        row(subject="copy", case="memory", **gpu),
        row(subject="copy", case="cache", **gpu),
        row(subject="product", case="8192x8192x8192", **gpu | {"dtype": "bfloat16"}),
        row(subject="copy", case="memory", kind="roof"),
    ]
    columns = tuple(c for c in table.ROOFS if c.heading == "by the datasheet")
    shown = table.cells(frame(rows), columns, table.Footnotes())
    assert [cell.text for (cell,) in shown] == [
        "3.35 TB/s", "not known", "990 TFLOP/s", "not known",
    ]  # fmt: skip
