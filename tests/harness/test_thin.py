"""A committed run has fewer samples and digits, and the same figures."""

import dataclasses

import pytest

from harness import store, thin
from tests.harness.make_curves import curve
from tests.harness.make_rows import row


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "results" / "a-machine" / "a-run"
    kept = store.Store(folder, {"run_id": "a-run"})
    long = dataclasses.replace(row(1e-3), samples=tuple((1000 + i / 7) * 1e-6 for i in range(1000)))
    left_out = row(None, name="left out", why="preset: quick leaves it out, --preset full has it")
    late = row(None, name="late", why="budget: its share, 60 of 100 s, was spent before its turn")
    kept.append([long, row(None, name="absent"), row(2e-3, name="short"), left_out, late])
    kept.append_curve(curve())
    return folder


def test_its_figures_are_those_of_all_samples(run, tmp_path):
    new = thin.thin(run, tmp_path / "reference")
    assert new == tmp_path / "reference" / "a-machine" / "a-run"
    before, after = store.read(run), store.read(new)
    assert after[1] == []
    for old, thinned in zip(before[0][:3], after[0], strict=True):
        assert dataclasses.replace(thinned, samples=()) == dataclasses.replace(old, samples=())
    long, _, short = (r.samples for r in after[0])
    assert len(long) == thin.SAMPLES and len(short) == 3
    assert (long[0], long[-1]) == (0.001, 0.0011427)
    assert sorted(long) == list(long)
    assert store.read_environment(new)[0]["thinned"] == {
        "rows_of_another_preset_or_past_the_budget_left_out": 2,
        "samples_of_a_row_at_most": thin.SAMPLES,
        "digits_of_a_sample": thin.DIGITS,
    }


def test_its_curves_reach_what_they_reached(run, tmp_path):
    new = thin.thin(run, tmp_path / "reference")
    (old,), (thinned,) = store.read_curves(run)[0], store.read_curves(new)[0]
    assert thinned.to_target("steps") == pytest.approx(old.to_target("steps"))
    assert thinned.to_target("seconds") == pytest.approx(old.to_target("seconds"))


def test_a_run_that_is_not_whole_or_is_there_already_is_refused(run, tmp_path):
    thin.thin(run, tmp_path / "reference")
    with pytest.raises(store.StoreError, match="is there already"):
        thin.thin(run, tmp_path / "reference")
    with (run / store.ROWS).open("a") as file:
        file.write('{"schema": 1')
    with pytest.raises(store.StoreError, match=r"not thinned, for it would be lost: .*line 6"):
        thin.thin(run, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    with pytest.raises(store.StoreError, match="no run in"):
        thin.thin(tmp_path, tmp_path / "other")
