"""Findings of probes: their lines on disk, the probes there are, and their way through pytest."""

import json

import pytest

from harness import probes, store
from harness.probes import conditioning, noise
from harness.probes.spec import Finding, decode, encode

FOUND = Finding("noise", "cnn", "step 3", "cpu", "SYNTHETIC", 60, {"noise_scale": 2.5})


def test_a_finding_comes_back_from_its_line():
    assert decode(encode(FOUND)) == FOUND
    assert FOUND.key == ("noise", "cnn", "step 3", "cpu")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_null_with_its_reason(value):
    found = decode(encode(Finding("p", "s", "a", "cpu", "d", 1, {"x": value})))
    assert found.values == {"x": None} and found.why == {"x": f"it is {value}"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "not a finding of this version"),
        ({"n": "many"}, "n a whole number"),
        ({"subject": 3}, "names should be text"),
        ({"values": []}, "should be objects"),
        ({"values": {"x": "<b>"}}, "value 'x' is '<b>'"),
        ({"values": {"x": True}}, "value 'x' is 'True'"),
        ({"values": {"x": 10**400}}, "value 'x' is '1000"),
        ({"surprise": 1}, "not a finding"),
    ],
)
def test_a_foreign_line_is_refused_in_one_line(change, message):
    with pytest.raises(ValueError, match=message) as caught:
        decode(json.dumps(json.loads(encode(FOUND)) | change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line", ["", "[]", "{", "[" * 10000, '{"schema": 1, "values": {"x": 1e999}}']
)
def test_what_is_no_finding_at_all_is_refused(line):
    with pytest.raises(ValueError):
        decode(line)


def test_the_store_keeps_the_last_of_each_and_names_what_it_skips(tmp_path):
    kept = store.Store(tmp_path / "run", {})
    again = Finding("noise", "cnn", "step 3", "cpu", "SYNTHETIC", 60, {"noise_scale": 3.0})
    for finding in (FOUND, again):
        kept.append_finding(finding)
    with (tmp_path / "run" / store.FINDINGS).open("a") as file:
        file.write('{"cut": ')
    store.Store(tmp_path / "run", {})  # seals the line that was cut
    found, problems = store.read_findings(tmp_path / "run")
    assert found == [again]
    assert len(problems) == 1 and "findings.jsonl, line 3: skipped" in problems[0]
    assert store.read_findings(tmp_path) == ([], [])


def test_an_unknown_probe_is_refused():
    with pytest.raises(ValueError, match=f"no probe 'x'; there are {probes.NAMES[0]}, "):
        probes.load("x")


def test_the_noise_falls_as_one_over_the_batch(monkeypatch):
    monkeypatch.setattr(noise, "STEPS", {"quick": (0, 3)})
    monkeypatch.setattr(noise, "BATCHES", {"quick": (8, 128)})
    monkeypatch.setattr(noise, "MIDWAY", 3)
    monkeypatch.setattr(noise, "OF_VARIANCE", {"quick": 60})
    found = {finding.at: finding.values for finding in noise.run("cpu", "quick")}
    assert list(found) == ["step 0", "step 3", "batch 8", "batch 128"]
    small, large = found["batch 8"], found["batch 128"]
    assert small["variance_low"] < small["variance"] < small["variance_high"]
    # sixteen times, within what so many draws of each can tell
    assert 10 < small["variance"] / large["variance"] < 25
    assert found["step 3"]["noise_scale"] > 0


def test_standardising_the_inputs_mends_their_condition(monkeypatch):
    settings = [s for s in conditioning.settings() if s.workload in CONDITIONED]
    monkeypatch.setattr(conditioning, "settings", lambda: settings)
    found = {f.subject: f.values for f in conditioning.run("cpu", "full")}
    raw, standardised = (found[name]["inputs_kappa"] for name in CONDITIONED)
    assert raw > 1000 * standardised > 1000
    assert found[CONDITIONED[1]]["hessian_largest"] > 0


def test_a_bound_of_lanczos_is_no_value(monkeypatch):
    settings = [s for s in conditioning.settings() if s.workload == "deep_mlp/4x64-raw"]
    monkeypatch.setattr(conditioning, "settings", lambda: settings)
    monkeypatch.setattr(conditioning, "ITERATIONS", {"quick": 12})
    (found,) = conditioning.run("cpu", "quick")
    assert found.values["hessian_kappa"] is None and found.values["hessian_lowest"] is None
    assert found.why["hessian_kappa"].startswith("at least ")
    assert found.why["hessian_lowest"].startswith("at most -")
    assert found.values["inputs_kappa"] > 1e6
    assert (found.n, found.at) == (1437, "start, 12 iterations of Lanczos")


def test_each_batch_size_draws_samples_of_its_own(monkeypatch):
    """Drawn alike, they err together, and their slope by more than its interval says."""
    seeds = []

    def drawn(model, loss, train, batch, draws, seed):
        seeds.append(seed)
        return 1.0, 0.9, 1.1

    monkeypatch.setattr(noise, "STEPS", {"quick": ()})
    monkeypatch.setattr(noise, "MIDWAY", 0)
    monkeypatch.setattr(noise.gradient_noise, "variance_of_gradient", drawn)
    assert len([*noise.run("cpu", "quick")]) == len(seeds) == len({*seeds})


CONDITIONED = ("deep_mlp/1x64-raw", "deep_mlp/1x64-standardised")


def test_probes_run_under_pytest_and_are_on_disk(pytester):
    pytester.makepyfile(
        """
        from harness import probes
        from harness.probes.spec import Finding

        class Made:
            @staticmethod
            def run(device, preset):
                yield Finding("made", "subject", preset, device, "SYNTHETIC", 1, {"x": 1.0})

        def test_made(probe, monkeypatch):
            monkeypatch.setattr(probes, "load", lambda name: Made)
            probe("made")
        """
    )
    result = pytester.runpytest_inprocess(
        "-p", "harness.plugin", "--benchmark-only", "--devices=cpu"
    )
    result.assert_outcomes(passed=1)
    (run,) = (pytester.path / "results").glob("*/*/")
    (found,) = store.read_findings(run)[0]
    assert (found.at, found.values) == ("quick", {"x": 1.0})
