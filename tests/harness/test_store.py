"""Rows on disk: what is written is read back; what is broken is named and skipped."""

import dataclasses
import errno
import json
import os
from pathlib import Path

import pytest

from harness import folder, record, store
from harness.record import decode, encode, extra_info
from harness.store import Store, StoreError

KNOWN = {
    **{name: "x" for name, (kind, required) in record.FIELDS.items() if required},
    "threads": 2, "status": record.OK, "median_s": 1e-3, "iterations": 3,
}  # fmt: skip


def row(key="a", samples=(1e-3, 2e-3), **known):
    return record.Row(key, "g", "n", {"p": 1}, extra_info(KNOWN | known, "not tried"), samples)


def test_a_row_survives_the_way_to_disk_and_back(tmp_path):
    rows = [row("a"), row("b", (), status=record.FAILED, median_s=None, reason="wrong")]
    Store(tmp_path / "run", {"cpu": "x"}).append(rows)
    assert store.read(tmp_path / "run") == (rows, [])
    assert store.read_environment(tmp_path / "run") == ({"cpu": "x"}, [])


def test_what_is_not_known_is_null_with_a_reason():
    info = row(speedup=float("nan"), energy_j_reason="no counter").extra_info
    assert (info["energy_j"], info["energy_j_reason"]) == (None, "no counter")
    assert (info["speedup"], info["speedup_reason"]) == (None, "not finite")
    assert (info["n_eff"], info["n_eff_reason"]) == (None, "not tried")
    assert "NaN" not in encode(row(speedup=float("nan")))


def test_a_field_nobody_knows_and_a_field_that_must_be_known_are_refused():
    with pytest.raises(ValueError, match="'medain' is no row field"):
        extra_info(KNOWN | {"medain": 1}, "")
    with pytest.raises(ValueError, match="'device' must be known"):
        extra_info(KNOWN | {"device": None}, "")


GOOD = json.loads(encode(row()))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not JSON"),
        ("[]", "no schema number"),
        ('{"rows": 1}', "no schema number"),
        (json.dumps(GOOD | {"schema": 99}), "row schema 99"),
        (json.dumps(GOOD | {"id": 3}), "'id' is missing or not text"),
        (json.dumps(GOOD | {"samples": [0]}), "not a positive, finite number"),
        (json.dumps(GOOD | {"samples": [10**400]}), "not a positive, finite number"),
        (json.dumps(GOOD | {"samples": [True]}), "not a positive, finite number"),
        (json.dumps(GOOD | {"samples": []}), "ok without samples"),
        (json.dumps(GOOD | {"samples": "x"}), "samples is missing or of the wrong type"),
        (encode(row()).replace("0.001,", "NaN,"), "NaN is not JSON"),
        (json.dumps(GOOD | {"extra_info": GOOD["extra_info"] | {"n": "9"}}), "should be a count"),
        (json.dumps(GOOD | {"extra_info": GOOD["extra_info"] | {"status": "?"}}), "status '?'"),
        (json.dumps(GOOD | {"extra_info": {}}), "'kind' is missing"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_a_line_that_is_no_row_is_refused_in_one_line(line, words):
    with pytest.raises(ValueError, match=words) as caught:
        decode(line)
    assert "\n" not in str(caught.value)


def test_lines_that_are_broken_are_named_and_skipped(tmp_path):
    run = tmp_path / "run"
    Store(run, {}).append([row("a"), row("b")])
    with (run / store.ROWS).open("ab") as file:
        file.write(b"\xff\xfe\x1b[31m\n" + encode(row("c")).encode()[:50])
    rows, problems = store.read(run)
    assert [r.id for r in rows] == ["a", "b"]
    assert [p.partition(": ")[0] for p in problems] == [
        "run/rows.jsonl, line 3", "run/rows.jsonl, line 4"
    ]  # fmt: skip
    assert all(p.isprintable() for p in problems)


def test_a_row_after_a_torn_line_is_not_lost(tmp_path):
    run = tmp_path / "run"
    Store(run, {}).append([row("a")])
    with (run / store.ROWS).open("ab") as file:
        file.write(b'{"schema": 1, "id": "torn')
    Store(run, {}).append([row("b")])
    rows, problems = store.read(run)
    assert [r.id for r in rows] == ["a", "b"]
    assert len(problems) == 1


def test_the_last_row_of_an_id_counts_and_stands_once(tmp_path):
    Store(tmp_path, {}).append([row("a"), row("b"), row("a", (5.0,))])
    rows, _ = store.read(tmp_path)
    assert [(r.id, r.samples) for r in rows] == [("a", (5.0,)), ("b", (1e-3, 2e-3))]


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    target = Store(tmp_path, {})
    target.append([row("a")])

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        StoreError, match=f"No space left on device; see that .* go on with --resume={tmp_path}$"
    ):
        target.append([row("b")])
    assert [r.id for r in store.read(tmp_path)[0]] == ["a"]
    assert store.read(tmp_path)[1] == []


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write .*: Not a directory; .*--results$"):
        Store(tmp_path / "file" / "run", {})


def test_a_run_that_was_never_begun_is_not_to_be_gone_on_with(tmp_path, monkeypatch):
    Store(tmp_path / "begun", {})

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"choose another folder with --results$") as caught:
        Store(tmp_path / "new", {})
    assert "--resume" not in str(caught.value)
    (tmp_path / "begun" / store.ENVIRONMENT).unlink()
    with pytest.raises(StoreError, match=f"go on with --resume={tmp_path / 'begun'}$"):
        Store(tmp_path / "begun", {})


def test_runs_are_found_by_folder_by_name_and_as_the_last(tmp_path):
    for number, name in enumerate(("old", "new")):
        Store(tmp_path / "machine" / name, {}).append([row()])
        os.utime(tmp_path / "machine" / name / store.ROWS, (number, number))
    new = tmp_path / "machine" / "new"
    assert store.find(tmp_path, "last") == new
    assert store.find(tmp_path, "new") == new
    assert store.find(tmp_path, str(new)) == new
    with pytest.raises(StoreError, match=r"no run 'lost' in .*: new, old"):
        store.find(tmp_path, "lost")
    with pytest.raises(StoreError, match="there are none before one"):
        store.find(tmp_path / "nowhere", "last")


def test_benchmark_json_has_the_rows_that_are_ok_and_pytest_benchmarks_figures(tmp_path):
    run = tmp_path / "machine" / "run"
    rows = [row("a"), row("b", (), status=record.FAILED, median_s=None, reason="wrong")]
    Store(run, {}).append(rows)
    store.write_benchmark_json(run, {}, rows)
    saved = json.loads((run / store.BENCHMARK).read_text())
    assert [b["fullname"] for b in saved["benchmarks"]] == ["a"]
    stats = saved["benchmarks"][0]["stats"]
    assert stats["median"] == pytest.approx(1.5e-3)
    assert (stats["rounds"], stats["iterations"], stats["data"]) == (2, 3, [1e-3, 2e-3])
    assert saved["benchmarks"][0]["extra_info"] == dict(rows[0].extra_info)


def test_writing_whole_or_not_at_all(tmp_path):
    path = tmp_path / "f"
    store.write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        store.write_atomically(path, "\ud800")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["f"]


def test_a_row_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        row().id = "b"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "No space left on device; free space there or choose another folder"),
        (errno.ENOENT, "No such file or directory; choose another folder with --results"),
    ],
)
def test_why_a_run_cannot_begin_is_what_the_system_says(tmp_path, monkeypatch, code, words):
    def refuse(self, **_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StoreError, match=words):
        Store(tmp_path / "run", {})


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), OSError(36, "too long")]
)
def test_a_folder_that_cannot_be_looked_into_is_one_line(tmp_path, monkeypatch, error):
    def refuse(path, *arguments, **options):
        raise error

    monkeypatch.setattr(store.Path, "is_file", refuse)
    with pytest.raises(StoreError, match=f"no run in there: {error.strerror}"):
        store.find(tmp_path, "there")
    monkeypatch.setattr(store.Path, "exists", refuse)
    with pytest.raises(StoreError, match=f"cannot write results to .*: {error.strerror}"):
        store.Store(tmp_path / "run", {})


def test_two_runs_that_begin_in_one_second_have_a_folder_each(tmp_path, monkeypatch):
    class Still(folder.datetime):
        @classmethod
        def now(cls, zone=None):
            return cls(2026, 1, 1, tzinfo=zone)

    monkeypatch.setattr(folder, "datetime", Still)
    monkeypatch.setattr(store.Path, "exists", lambda path: False)  # neither sees the other
    runs = [folder.Folder(tmp_path, None).run for _ in range(3)]
    assert len(set(runs)) == 3 and all(run.is_dir() for run in runs)
