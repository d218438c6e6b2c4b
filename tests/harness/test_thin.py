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
        "of_tuning_trials_only": "the first and last evaluation, and those around the target",
    }


def test_its_curves_reach_what_they_reached(run, tmp_path):
    new = thin.thin(run, tmp_path / "reference")
    (old,), (thinned,) = store.read_curves(run)[0], store.read_curves(new)[0]
    assert thinned.to_target("steps") == pytest.approx(old.to_target("steps"))
    assert thinned.to_target("seconds") == pytest.approx(old.to_target("seconds"))


def test_of_tuning_what_it_was_judged_by_is_kept(run, tmp_path):
    (final,) = store.read_curves(run)[0]
    first = final.points[0]
    values = [0.9, 0.8, None, 0.3, 0.05, 0.2, 0.04, 0.03]  # of a target of 0.1
    points = tuple(
        dataclasses.replace(first, steps=i, samples=32 * i, seconds=0.1 * i, metric=value)
        for i, value in enumerate(values)
    )
    tuning = dataclasses.replace(
        final, role="tuning", target=0.1, lower_is_better=True, status="reached", points=points
    )
    never = dataclasses.replace(tuning, target=0.01, status="censored", reason="not reached")
    nothing = dataclasses.replace(never, points=(), reason="an error")
    kept = store.Store(run, {"run_id": "a-run"})
    for i, one in enumerate((tuning, never, nothing)):
        seeded = dataclasses.replace(one, trial=dataclasses.replace(one.trial, seed=1000 + i))
        kept.append_curve(seeded)
    _, *thinned = store.read_curves(thin.thin(run, tmp_path / "reference"))[0]
    assert [[p.steps for p in one.points] for one in thinned] == [[0, 3, 4, 7], [0, 7], []]
    for one, old in zip(thinned, (tuning, never, nothing), strict=True):
        for currency in ("steps", "seconds"):
            assert one.to_target(currency) == pytest.approx(old.to_target(currency))
            assert one.spent(currency) == pytest.approx(old.spent(currency))


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
