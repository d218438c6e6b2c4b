"""A sweep on a real Ray cluster of two cores: the same table, whatever dies on the way."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

import workloads
from harness import cluster, store, sweep, trials
from harness.__main__ import main
from harness.curve import FAILED, Trial
from harness.trials import Job
from tests.extras import needs

ROOT = Path(__file__).parents[2]
# trials of half a second, then short ones, first tuned on a grid that is extended, then not
PATTERNS = ("linear_regression-sgd", "linear_regression-momentum", "linear_regression-lbfgs")
CLUSTER = """
import ray, sys
how = {"include_dashboard": False, "object_store_memory": 10**8}
context = ray.init("local", num_cpus=2, num_gpus=1, **how)  # Ray believes in the GPU
print(context.address_info["address"], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def head():
    """(process, address) of a cluster that is ours alone; it ends with its standard input."""
    needs("ray", "cluster")
    environment = os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER], env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        address = process.stdout.readline().strip()
        assert address, "Ray did not start"
        yield process, address
    finally:
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.fixture(scope="module")
def ray(head):
    """The module ray, connected to that cluster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        with cluster.connect(head[1], "cpu", 1) as found:
            yield found._ray


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As many as a trial has on the cluster: the order of additions is the same."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(results, on=None, patterns=PATTERNS, resume=None):
    options = sweep.Options(patterns, "quick", "cpu", results, resume)
    assert sweep.run(options, cluster=on) == 0
    return next(results.glob("*/*/"))


def table(run):
    """All that the sweep found, but for what depends on where it ran."""
    rows, unread = store.read(run)
    curves, more = store.read_curves(run)
    assert not unread and not more
    assert len({trials.key(c) for c in curves}) == len(curves)  # each trial once
    keys = ("status", "reached", "n", "learning_rate", "tuning_trials", "rate_on_edge")
    keys += ("steps_to_target", "samples_to_target", "flops_to_target")
    points = {
        trials.key(c): [(p.steps, p.samples, p.flops, p.loss, p.metric) for p in c.points]
        for c in curves
    }
    return {row.id: [row.extra_info[key] for key in keys] for row in rows}, points


@pytest.fixture(scope="module")
def local(tmp_path_factory, one_thread):
    """The table of the engine of one process."""
    return table(run(tmp_path_factory.mktemp("local")))


def workers(process):
    """Pids of the processes below `process` that run a trial now."""
    parents, running = {}, []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            pid = int(path.parent.name)
            parents[pid] = int(path.read_text().rpartition(")")[2].split()[1])
            if b"ray::_trial" in (path.parent / "cmdline").read_bytes():
                running.append(pid)

    def below(pid):
        return pid == process.pid or (pid in parents and below(parents[pid]))

    return [pid for pid in running if below(pid)]


def kill(process, wanted, killed):
    """Kill the worker of a trial, so many times."""
    until = time.monotonic() + 300  # a busy machine starts slowly
    while len(killed) < wanted and time.monotonic() < until:
        for pid in set(workers(process)) - set(killed):
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
            break
        time.sleep(0.02)


@pytest.mark.slow
def test_the_table_is_that_of_one_process_even_where_workers_die(tmp_path, head, ray, local):
    killed = []
    killer = threading.Thread(target=kill, args=(head[0], 2, killed), daemon=True)
    killer.start()
    found = run(tmp_path, cluster.Cluster(ray, "cpu", 1))
    killer.join(1)
    assert len(killed) == 2
    assert table(found) == local and len(local[0]) == 3 and len(local[1]) > 12
    curves, _ = store.read_curves(found)
    assert all(c.host == c.hosts != "" and c.shared_device and c.threads == 1 for c in curves)
    for row in store.read(found)[0]:
        assert row.samples == () and row.extra_info["median_s"] is None
        assert "shared device" in row.extra_info["median_s_reason"]
        assert row.extra_info["host"] == curves[0].host


@pytest.mark.slow
def test_a_trial_that_has_all_cores_of_its_host_has_a_time(tmp_path, ray, quiet):
    found = run(tmp_path, cluster.Cluster(ray, "cpu", 2), ("linear_regression-newton",))
    curves, _ = store.read_curves(found)
    assert {(c.shared_device, c.threads) for c in curves} == {(False, 2)}
    (row,) = store.read(found)[0]
    assert len(row.samples) == 3 and row.extra_info["median_s"] > 0


def jobs(own=None):
    trial = Trial("linear_regression", "newton", 353, 1.0, 0)
    return [Job(dataclasses.replace(trial, seed=seed), 5, False, own) for seed in (0, 1)]


@pytest.mark.slow
def test_a_trial_that_takes_its_worker_along_each_time_has_failed(ray, monkeypatch):
    monkeypatch.setattr(cluster, "RETRIES", 0)
    deadly = dataclasses.replace(
        workloads.load("linear_regression"), model=lambda seed: os._exit(1)
    )
    found = cluster.Cluster(ray, "cpu", 1)
    ((one, other),) = found.map(lambda own: list(found.engine(jobs(own))), [deadly])
    for job, curve in (one, other):
        assert (curve.status, curve.trial) == (FAILED, job.trial)
        assert "its worker died 1 times" in curve.reason


@pytest.mark.slow
def test_workers_that_cannot_run_trials_end_the_sweep_in_one_line(ray, monkeypatch):
    found = cluster.Cluster(ray, "cpu", 1)
    monkeypatch.setattr(cluster.torch, "__version__", "0.1")
    with pytest.raises(cluster.NoCluster, match=r"cannot run trials: .*torch .*, and 0\.1 here"):
        found.map(lambda own: list(found.engine(jobs(own))), [None, None])


@pytest.mark.slow
def test_what_no_machine_has_is_not_waited_for(ray):
    with pytest.raises(cluster.NoCluster, match="no machine of the cluster has 3 CPUs for a trial"):
        cluster.Cluster(ray, "cpu", 3)
    with pytest.raises(cluster.NoCluster, match=r"has 3 CPUs and a GPU .* 2 CPUs and 1 GPU$"):
        cluster.Cluster(ray, "cuda", 3)


@pytest.mark.slow
def test_a_trial_on_a_gpu_has_it_alone(ray):
    found = cluster.Cluster(ray, "cuda", 1)
    assert found._room() == 1
    trial = dataclasses.replace(jobs()[0].trial, device="cuda")
    work = [Job(trial, 5, show=False)]
    (((_, curve),),) = found.map(lambda own: list(found.engine(work)), [None])
    assert curve.trial == trial and not curve.shared_device
    if not torch.cuda.is_available():
        assert curve.status == FAILED and "CUDA" in curve.reason


@pytest.mark.slow
def test_what_one_setting_raises_ends_the_others(ray):
    found = cluster.Cluster(ray, "cpu", 1)

    def work(wrong):
        if wrong:
            raise store.StoreError("the disk is full")
        return list(found.engine(jobs()))

    with pytest.raises(store.StoreError, match="the disk is full"):
        found.map(work, [False, True, False, False])


@pytest.mark.slow
def test_a_driver_that_is_lost_is_gone_on_with_from_what_is_on_disk(tmp_path, ray, local):
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "sweep", *PATTERNS, f"--results={tmp_path}", "--cluster"],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    until = time.monotonic() + 300  # a busy machine starts slowly
    while process.poll() is None and time.monotonic() < until:
        files = list(tmp_path.glob("*/*/curves.jsonl"))
        if files and len(files[0].read_text().splitlines()) >= 4:
            break
        time.sleep(0.005)
    process.kill()
    process.wait()
    (folder,) = tmp_path.glob("*/*/")
    kept, _ = store.read_curves(folder)
    assert 4 <= len(kept) < len(local[1])
    assert run(tmp_path, cluster.Cluster(ray, "cpu", 1), resume="last") == folder
    assert table(folder) == local
    assert store.read_curves(folder)[0][: len(kept)] == kept  # and not run again


def refused(capsys, *arguments):
    assert main(["sweep", "newton", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    return said.err


@pytest.mark.slow
def test_an_address_that_does_not_answer_is_one_line(capsys, monkeypatch):
    needs("ray", "cluster")
    monkeypatch.setattr(cluster, "ANSWER_S", 4.0)
    said = refused(capsys, "--cluster", "127.0.0.1:1")
    assert "no Ray cluster answers at 127.0.0.1:1 in 4 s" in said and "ray start --head" in said


def test_without_ray_one_line_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install -e '.[cluster]'" in refused(capsys, "--cluster")


def test_what_is_no_address_is_one_line(capsys):
    needs("ray", "cluster")
    assert "'mlp' is no address of a Ray cluster" in refused(capsys, "--cluster", "mlp")


def test_cluster_and_torchrun_are_not_mixed(capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "without torchrun" in refused(capsys, "--cluster")


def test_cpus_per_trial_are_of_a_cluster(capsys):
    assert "goes with --cluster" in refused(capsys, "--cpus-per-trial", "2")
