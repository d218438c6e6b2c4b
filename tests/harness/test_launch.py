"""What torchrun tells a rank, and what the ranks tell it: in this process, without torchrun."""

import os

import pytest
import torch
from torch import distributed
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from harness import launch, store
from harness.__main__ import main
from tests.harness.test_ranks import last_line


@pytest.fixture
def started(monkeypatch):
    """As torchrun would start rank 0 of two."""
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("command", [["sweep", "neuron"], ["train", "neuron"]])
def test_without_torch_distributed_there_is_one_line(started, monkeypatch, capsys, command):
    monkeypatch.setattr(distributed, "is_available", lambda: False)
    assert main(command) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "without torch.distributed" in said.err and not said.out


def test_of_many_ranks_one_says_what_is_wrong(started, monkeypatch, capsys):
    monkeypatch.setattr(distributed, "is_available", lambda: False)
    monkeypatch.setenv("RANK", "1")
    assert main(["sweep", "neuron"]) == 2
    assert capsys.readouterr().err == ""


def test_what_is_refused_is_the_last_that_torchrun_prints(started, monkeypatch, tmp_path, capsys):
    for rank in (0, 1):  # whichever of them is the first
        path = tmp_path / f"error{rank}.json"
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(path))
        assert main(["train", "neuron", "--optimizer", "nope"]) == 2
        failure = ProcessFailure(local_rank=rank, pid=1, exitcode=2, error_file=str(path))
        told = ChildFailedError("harness", {rank: failure}).format_msg()
        assert last_line(told).startswith("traceback : python -m harness: unknown optimizer 'nope'")
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("restarts", "status"), [(None, 1), ("0", 1), ("2", 0)])
def test_a_missed_target_is_a_status_where_no_restart_follows_it(monkeypatch, restarts, status):
    monkeypatch.delenv("TORCHELASTIC_MAX_RESTARTS", raising=False)
    if restarts:
        monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", restarts)
    assert launch.missed("not reached") == status


def test_more_ranks_than_gpus_are_refused(started, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(launch.CannotSpread, match=r"local rank 3 has no GPU: there are 2"):
        launch.join("cuda")


def test_a_restart_goes_on_with_its_own_launchs_run_and_no_other(tmp_path):
    folders = {name: tmp_path / "machine" / name for name in ("ours", "theirs", "plain")}
    for folder in folders.values():
        folder.mkdir(parents=True)
        (folder / store.ROWS).touch()
    launch.mark(folders["theirs"], ["another 1 2", f"{launch.agent()}3"])
    assert launch.interrupted(tmp_path) is None
    launch.mark(folders["ours"], ["another 1 2", launch.agent()])
    assert launch.interrupted(tmp_path) == str(folders["ours"])
    assert str(os.getppid()) in launch.agent()


def test_without_torchrun_nothing_is_spread(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    assert not launch.launched()
