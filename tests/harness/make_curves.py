"""Synthetic training curves for tests of what reads them. No number here was measured.

Each says so: its device's name begins with SYNTHETIC. The loss falls from 2 as exp(-steps / tau);
how large tau is depends on the optimizer, the batch size, the rate and the seed, so that what a
figure should show is known.
"""

from __future__ import annotations

import math
import random
from typing import Any

from harness.curve import CENSORED, DIVERGED, FINAL, REACHED, TUNING, Curve, Point, Trial
from harness.probes.spec import Finding
from tests.harness.make_rows import SYNTHETIC

TARGET, START = 0.1, 2.0
NO_COUNTER = "no energy counter here"
STEPS_MIN, SAMPLES_MIN = 60.0, 3600.0  # so the critical batch size is 60
SLOWER = {"sgd": 1.0, "momentum": 0.4, "adam": 0.5, "newton": 0.02}
STEP_FLOPS = {"newton": 80.0}  # times a gradient's
BEST_RATE = {"sgd": 0.4, "momentum": 0.1, "adam": 0.01, "newton": 1.0}
LIMIT = 3000  # steps

# seconds: what a step costs at least, and for each sample, by device
_LAUNCH = {"cpu": 4e-5, "cuda": 2.5e-4}
_SAMPLE = {"cpu": 3e-5, "cuda": 4e-7}


def curve(
    workload: str = "mlp",
    optimizer: str = "sgd",
    batch: int = 32,
    rate: float | None = None,
    seed: int = 0,
    device: str = "cpu",
    role: str = FINAL,
    limit: int = LIMIT,
    **known: Any,
) -> Curve:
    """One trial; `known` overrides any field of the curve.

    The steps that it takes are (S_min + E_min / batch) x SLOWER, more by a factor of two for each
    factor of two that the rate is off; it diverges at eight times the best rate.
    """
    best = BEST_RATE.get(optimizer, 0.1)
    rate = best if rate is None else rate
    off = max(rate / best, best / rate)
    noise = random.Random(ascii((workload, optimizer, batch, seed))).uniform(0.9, 1.1)
    needed = (STEPS_MIN + SAMPLES_MIN / batch) * SLOWER.get(optimizer, 1.0) * off * noise
    tau = needed / math.log(START / TARGET)
    status, reason, points, step = CENSORED, f"not reached in {limit} steps", [], 0
    while True:
        metric = START * math.exp(-step / tau)
        if rate > 7 * best and step > 20:
            status, reason, metric = DIVERGED, "no number any more", None
        points.append(_point(step, metric, optimizer, batch, device))
        if metric is None or step >= limit:
            break
        if metric <= TARGET:
            status, reason = REACHED, None
            break
        step = min(max(step + 1, math.floor(step * 1.03)), limit)
    why = {} if device == "cuda" else {"joules": NO_COUNTER}
    fields: dict[str, Any] = {
        **{"metric": "validation loss", "target": TARGET, "lower_is_better": True},
        **{"status": status, "reason": reason, "points": tuple(points), "threads": 2, "why": why},
        **{"device_name": f"{SYNTHETIC} {device}", "role": role},
        "setting": f"{workload}-{optimizer}-batch{batch}",
    }
    trial = Trial(workload, optimizer, batch, rate, seed, device)
    return Curve(trial=trial, **fields | known)


def setting(
    workload: str, optimizer: str, batch: int, device: str = "cpu", seeds: int = 3, **known: Any
) -> list[Curve]:
    """Its tuning trials around the best rate, and its trials from fresh seeds."""
    best = BEST_RATE[optimizer]
    tuning = [
        curve(workload, optimizer, batch, best * 2.0**k, 1000, device, TUNING)
        for k in (-2, -1, 0, 1, 3)
    ]
    return tuning + [
        curve(workload, optimizer, batch, seed=seed, device=device, **known)
        for seed in range(seeds)
    ]


def curves(devices: tuple[str, ...] = ("cpu", "cuda"), seeds: int = 3) -> list[Curve]:
    """Batch sizes, optimizers, a workload that makes something, one that never gets there."""
    found = []
    for device in devices:
        for batch in (2, 8, 32, 128, 512):
            found += setting(
                "mlp", "sgd", batch, device, seeds, limit=1500 if batch == 2 else LIMIT
            )
        for optimizer in SLOWER:
            found += setting("regression", optimizer, 64, device, seeds)
        writes = "  ▄█▄\n  █ █  <b>\n  ▀█▀\nking - man + woman = queen"
        found += setting("writer", "adam", 32, device, seeds, generated=writes)
        found += setting("hopeless", "sgd", 32, device, seeds, limit=40)
    return found


def noise_scale(step: int, value: float, spread: float = 0.2, **known: Any) -> Finding:
    """What the probe "noise" would find on the way of `mlp`; `known` overrides any field."""
    ends = {"noise_scale_low": value * (1 - spread), "noise_scale_high": value * (1 + spread)}
    values = {"step": step, "noise_scale": value} | ends
    fields: dict[str, Any] = {
        "probe": "noise",
        "subject": "mlp",
        "at": f"step {step}",
        "device": "cpu",
        "n": 60,
    }
    fields |= {"device_name": f"{SYNTHETIC} cpu", "values": values}
    return Finding(**fields | known)


def findings() -> list[Finding]:
    """Noise scales at three steps, and a condition number that is not known."""
    found = [noise_scale(at, value) for at, value in ((100, 45.0), (0, 2.0), (30, 12.0))]
    values = {"inputs_kappa": 1234.5, "hessian_kappa": None}
    why = {"hessian_kappa": "no eigenvalue above 0"}
    name = f"{SYNTHETIC} cpu"
    return [*found, Finding("conditioning", "mlp", "start", "cpu", name, 60, values, why)]


def many(number: int = 500) -> list[Curve]:
    """`number` trials of a hundred settings, as a large run would have them."""
    optimizers = tuple(SLOWER)
    return [
        curve(
            workload=f"workload{i % 10}",
            optimizer=optimizers[i // 10 % 4],
            batch=2 ** (3 + i // 40 % 3),
            seed=i // 120,
            role=TUNING if i % 3 else FINAL,
            rate=BEST_RATE[optimizers[i // 10 % 4]] * 2.0 ** (i // 120 % 5 - 2),
        )
        for i in range(number)
    ]


def _point(step: int, metric: float | None, optimizer: str, batch: int, device: str) -> Point:
    samples = step * batch
    seconds = step * _LAUNCH.get(device, 1e-4) + samples * _SAMPLE.get(device, 1e-6)
    return Point(
        steps=step,
        samples=samples,
        flops=1e6 * samples * STEP_FLOPS.get(optimizer, 1.0),
        seconds=seconds,
        seconds_inclusive=1.2 * seconds,
        joules=300 * seconds if device == "cuda" else None,
        loss=metric if step else None,
        metric=metric,
    )
