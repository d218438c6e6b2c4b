"""A mini-batch step costs less: the time of a training step against the batch size."""

from __future__ import annotations

from harness.noise import APART, Floor
from harness.report.frame import judgeable, workloads
from harness.report.words import count, plain, ratio, whole
from harness.studies.spec import Evidence, Verdict, combined, not_measured
from harness.studies.timed import is_faster, left_out
from harness.verdict import VERDICTS, Ratio, verdicts

CLAIM = "A step on a mini-batch costs less than one on a large batch."
NEEDS = "Training steps of workloads timed at two batch sizes or more."
FIGURE = "latency"

COLUMNS = ("batch", "median_s", "low", "high", "noise_floor")


def judge(evidence: Evidence) -> Verdict:
    """The smallest batch above 1 against the largest, by workload and device, told together."""
    steps = workloads(evidence.rows)
    steps = steps[(steps["direction"] == "train") & (steps["provider"] == "eager")]
    steps = steps[(steps["mode"] == "host") & (steps["batch"] > 1)]
    rows, without = judgeable(steps), left_out(steps)
    ratios, told, names = [], [], []
    for (subject, device, name), of in rows.groupby(["subject", "device", "device_name"]):
        line = of.drop_duplicates("batch", keep="last").sort_values("batch")
        if len(line) < 2:
            continue
        batch, middle, low, high, floor = (line[name].to_numpy(dtype=float) for name in COLUMNS)
        found = Ratio(
            float(middle[-1] / middle[0]),
            float(low[-1] / high[0]),
            float(high[-1] / low[0]),
            Floor(float(max(floor[0], floor[-1], APART)), 0),
        )
        ratios.append(found)
        names.append(plain(name))
        told.append(
            f"{subject} on {device} {ratio(*found[:3])}× from batch {whole(batch[0])} to "
            f"{whole(batch[-1])}, which has {whole(batch[-1] / batch[0])} times "
            "the samples"
        )
    if not ratios:
        why = evidence.why_not(direction="train", provider="eager") or (without and f": {without}")
        return not_measured(f"no training step has times at two batch sizes above 1{why}")
    judged = verdicts(ratios)
    order = sorted(range(len(ratios)), key=lambda i: ratios[i].value)
    ends = [told[i] for i in dict.fromkeys((order[0], order[-1]))]
    effect = " to ".join(f"{ratio(*ratios[i][:3])}×" for i in dict.fromkeys((order[0], order[-1])))
    words = (
        f"Of {count(len(ratios), 'case')} the step on the small batch is {_tally(judged)}; the "
        f"large one takes {', and '.join(ends)} (on {', '.join(sorted(set(names)))}, judged "
        f"beyond the {APART:.0%} by which what is not measured in turn may be apart)."
    )
    words = f"{words} {without}." if without else words
    of_claim = [is_faster(v, r.low) for v, r in zip(judged, ratios, strict=True)]
    return Verdict(combined(of_claim), words, effect, len(ratios))


def _tally(judged: list[str]) -> str:
    """e.g. "faster in 8, unclear in 1"."""
    return ", ".join(f"{v} in {judged.count(v)}" for v in VERDICTS if v in judged)
