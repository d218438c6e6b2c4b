"""Synthetic rows for tests of what reads rows. No number here was measured.

Each row says so: its preset is "synthetic" and its device's name begins with SYNTHETIC.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from harness.record import NOT_MEASURED, OK, OUT_OF_MEMORY, Row, extra_info

SYNTHETIC = "SYNTHETIC, not a measurement:"
NO_GPU = "no NVIDIA driver is installed"
WORKLOADS = ("mlp_classification", "cnn", "rnn", "transformer_char")
BATCHES = (1, 4, 16, 64, 256, 1024)
OPERATIONS = {"matmul": (512, 1024, 2048, 4096), "cross_entropy": (1024, 8192, 32768)}

# seconds: what a step costs at least, and for each sample, by device
_LAUNCH = {"cpu": 4e-5, "cuda": 2.5e-4}
_SAMPLE = {"cpu": 3e-5, "cuda": 4e-7}
_FASTER = {"torch": 1.0, "torch.compile": 1.35, "triton": 1.6}


def row(
    median: float | None = 1e-3,
    *,
    spread: float = 0.02,
    speedup: float | None = None,
    why: str = "made up for a test",
    name: str = "",
    **known: Any,
) -> Row:
    """One row; `known` overrides any field.

    Args:
        median: seconds; None makes the row not measured.
        spread: half the interval's width, as a share of the median and of the speedup.
    """
    status = OK if median is not None else NOT_MEASURED
    info: dict[str, Any] = {
        "kind": "workload",
        "subject": "cnn",
        "provider": "torch",
        "baseline": "torch",
        "device": "cpu",
        "dtype": "float32",
        "mode": "warm",
        "direction": "train",
        "preset": "synthetic",
        "threads": 2,
        "status": status,
        "reason": None if status == OK else why,
        "started_at": "2026-01-01T00:00:00+00:00",
    }
    if median is not None:
        info |= {
            "iterations": 10,
            "n": 120,
            "median_s": median,
            "median_low_s": median * (1 - spread),
            "median_high_s": median * (1 + spread),
            "confidence": 0.95,
            "n_eff": 80.5,
            "stop_reason": "precise",
        }
    if speedup is not None:
        low, high = speedup * (1 - spread), speedup * (1 + spread)
        info |= {"speedup": speedup, "speedup_low": low, "speedup_high": high}
    info |= known
    batch = info.get("batch")
    info.setdefault("case", f"batch{batch}-{info['direction']}")
    info.setdefault("device_name", f"{SYNTHETIC} {info['device']}")
    group = " ".join(info[key] for key in ("subject", "case", "device", "mode"))
    name = name or f"{group} {info['provider']}"
    params = {"provider": info["provider"], "device": info["device"]}
    samples = (info["median_s"],) * 3 if info["status"] == OK else ()
    return Row(f"synthetic::{name}", group, name, params, extra_info(info, why), samples)


def cpu_only() -> list[Row]:
    """Workloads on a CPU; every row of the GPU and of the kernels not measured."""
    rows = list(_workloads(("cpu",), {"cpu": OK, "cuda": NO_GPU}))
    for operation, sizes in OPERATIONS.items():
        for size in sizes:
            for provider in ("torch", "triton"):
                rows.append(
                    row(
                        None,
                        why=NO_GPU,
                        kind="kernel",
                        subject=operation,
                        case=f"N{size}-float32-forward",
                        direction="forward",
                        provider=provider,
                        device="cuda",
                        mode="cold",
                    )
                )
    return rows


def cpu_and_gpu() -> list[Row]:
    """Workloads on both devices, kernels on the GPU, the roofs, and some rows gone wrong."""
    rows = list(_workloads(("cpu", "cuda"), {"cpu": OK, "cuda": OK}))
    rows += _kernels()
    common: dict[str, Any] = {
        "kind": "roof",
        "device": "cuda",
        "direction": "forward",
        "mode": "cold",
    }
    rows.append(
        row(2.4e-4, subject="copy", case="memory", byte_per_s=4.3e12, bytes=2**30, **common)
    )
    rows.append(
        row(
            1.4e-3,
            subject="product",
            case="product-8192",
            flop_per_s=7.7e14,
            flops=2 * 8192**3,
            **(common | {"dtype": "bfloat16"}),
        )
    )
    return rows


def many(number: int = 5000) -> list[Row]:
    """`number` rows of 40 workloads and 40 operations, as a large run would have them."""
    rows = []
    for index in range(number):
        subject, rest = index % 40, index // 40
        batch = 2 ** (rest % 11)
        provider = ("torch", "torch.compile", "triton")[rest // 11 % 3]
        device = ("cpu", "cuda")[rest // 33 % 2]
        time = (_LAUNCH[device] + batch * _SAMPLE[device]) / _FASTER[provider]
        is_kernel = subject >= 20
        rows.append(
            row(
                time,
                speedup=_FASTER[provider],
                kind="kernel" if is_kernel else "workload",
                subject=f"subject{subject}",
                batch=None if is_kernel else batch,
                case=f"N{batch}-{rest // 66}" if is_kernel else f"batch{batch}-{rest // 66}",
                direction="train" if rest // 66 % 2 else "inference",
                provider=provider,
                device=device,
                roof_share=0.41,
                roof_bound="memory",
                flop_per_s=1.2e12,
                byte_per_s=2.2e11,
                name=f"many {index}",
            )
        )
    return rows


def _workloads(devices: tuple[str, ...], state: dict[str, str]) -> Iterator[Row]:
    noise = random.Random(0)
    for number, workload in enumerate(WORKLOADS):
        for direction, share in (("inference", 0.35), ("train", 1.0)):
            for batch in BATCHES:
                for device in ("cpu", "cuda"):
                    for provider in ("torch", "torch.compile"):
                        known: dict[str, Any] = {
                            "subject": workload,
                            "batch": batch,
                            "direction": direction,
                            "provider": provider,
                            "device": device,
                        }
                        if device not in devices:
                            yield row(None, why=state[device], **known)
                            continue
                        if device == "cuda" and batch == 1024 and workload == "transformer_char":
                            why = "CUDA out of memory: 96 GiB asked, 80 GiB on the device"
                            yield row(None, **known, status=OUT_OF_MEMORY, reason=why, why=why)
                            continue
                        faster = 1.0
                        if provider != "torch":
                            faster = 0.93 + 0.12 * number + 0.02 * noise.uniform(-1, 1)
                        size = 4.0**number * share
                        time = _LAUNCH[device] + batch * _SAMPLE[device] * size
                        time *= noise.uniform(0.97, 1.03) / faster
                        yield row(
                            time,
                            speedup=faster if provider != "torch" else 1.0,
                            spread=0.03,
                            throttled=batch == 1024 and device == "cuda",
                            throttle_reasons="software power cap",
                            correctness_error=1.3e-7,
                            correctness_bound=4.1e-7,
                            flops=round(2e5 * batch * size),
                            bytes=round(1e4 * size + 4e3 * batch),
                            **known,
                        )


def _kernels() -> Iterator[Row]:
    noise = random.Random(1)
    for operation, sizes in OPERATIONS.items():
        for size in sizes:
            for dtype in ("float32", "bfloat16"):
                for mode in ("cold", "graph"):
                    for provider, faster in _FASTER.items():
                        speedup = faster ** noise.uniform(-0.4, 1.2)
                        yield row(
                            size**1.5 * 3e-10 / speedup,
                            speedup=speedup if provider != "torch" else 1.0,
                            spread=0.08 if size < 1000 else 0.02,
                            kind="kernel",
                            subject=operation,
                            case=f"M{size}-N{size}-{dtype}-forward+backward",
                            dtype=dtype,
                            direction="forward+backward",
                            provider=provider,
                            device="cuda",
                            mode=mode,
                            roof_share=0.62,
                            roof_bound="memory",
                            flop_per_s=3.1e14,
                            launches="k: 132 programs" if provider == "triton" else None,
                            predicted_s=size**1.5 * 1e-10 if provider == "triton" else None,
                            byte_per_s=2.7e12,
                            flops=50 * size * size,
                            bytes=6 * size * size,
                            correctness_error=2e-3 if provider != "torch" else 0.0,
                            correctness_bound=5e-3,
                            peak_memory_bytes=3 * size * size,
                            energy_j=1.2e-2,
                            energy_net_j=0.9e-2,
                            energy_method="nvml total energy counter",
                        )
