"""Two runs compared, in words: for a terminal, and for a pull request.

Imports neither torch nor triton.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from harness import markdown
from harness.changes import Change, Changes, Reached
from harness.compare import differences
from harness.report.runs import Run
from harness.report.words import count, plain, si, tally, whole
from harness.verdict import FASTER, SAME, SLOWER, UNCLEAR

FEW = 10  # controls: of 20 rows, 3 make the limit 6.6 times what they moved by, 10 make it 3.8
MOST = 60  # lines of one table in Markdown: a comment on GitHub may have 65,536 characters
_ORDER = (SLOWER, FASTER, UNCLEAR, SAME)
_CONTROLS = "-k 'WHAT or (test_kernels and torch)'"
_HEADINGS = ("verdict", "time, 95 % interval", "median", "row")


def terminal(old: Run, new: Run, found: Changes, threshold: float) -> str:
    """The comparison for a terminal."""
    lines = [f"{old.name} -> {new.name}", *_about(old, new, found, threshold), ""]
    rows = [
        (c.verdict, _change(c), f"{si(c.old_s, 's')} -> {si(c.new_s, 's')}", _name(c))
        for c in _sorted(found)
    ]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    for *cells, name in rows:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        lines.append(f"{'  '.join(padded)}  {name}")
    lines += [f"fails now  {plain(key)}: {plain(why)}" for key, why in found.lost]
    lines += [f"{_seeds(trial)}  {plain(trial.id)}" for trial in _changed(found)]
    lines += [f"only in {old.name}: {plain(key)}" for key in found.missing]
    lines += [f"only in {new.name}: {plain(key)}" for key in found.new]
    return "\n".join([*lines, "", _conclusion(found, threshold)])


def pull_request(old: Run, new: Run, found: Changes, threshold: float) -> str:
    """The comparison for a pull request, in GitHub-flavoured Markdown."""
    order = _sorted(found)
    told = [c for c in order if c.verdict in (SLOWER, FASTER)]
    others = [c for c in order if c.verdict not in (SLOWER, FASTER)]
    names = f"{markdown.code(old.name)} → {markdown.code(new.name)}"
    lines = [f"### Performance: {_conclusion(found, threshold)}", "", names, ""]
    lines += [f"- {line}" for line in _about(old, new, found, threshold, markdown.code)]
    if told:
        lines += ["", *_table(told)]
    if found.lost:
        failing = [[markdown.code(plain(k)), markdown.code(plain(w))] for k, w in found.lost]
        lines += ["", *_capped(["fails now", "why"], failing)]
    if changed := _changed(found):
        trained = [[_seeds(trial), markdown.code(plain(trial.id))] for trial in changed]
        lines += ["", *_capped(["target", "trained"], trained)]
    if others:
        lines += markdown.details(_tally(others), _table(others))
    for run, ids in ((old, found.missing), (new, found.new)):
        if ids:
            listed = [[markdown.code(plain(key))] for key in ids]
            summary = f"{count(len(ids), 'row')} only in the {'old' if run is old else 'new'} run"
            lines += markdown.details(summary, _capped(["row"], listed))
    return "\n".join(lines)


def _about(
    old: Run, new: Run, found: Changes, threshold: float, show: Callable[[str], str] = str
) -> list[str]:
    """The noise floors, and what else differs."""
    lines = [
        f"noise floor, {show(plain(device))} {show(plain(mode))}: {100 * floor.share:.1f} %"
        + ("" if floor.pairs else " or more: a run has no A/A pair")
        for (device, mode), floor in found.floors.items()
    ]
    for device, moved in found.moved.items():
        most = moved.most
        lines.append(
            f"identical code on {show(plain(device))} moved by {100 * most.share:.1f} % at most in "
            f"{count(moved.controls, 'row')}, {show(plain(most.id))} from {si(most.old_s, 's')} to "
            f"{si(most.new_s, 's')}: no change there below {100 * moved.limit:.1f} % is told"
        )
        if moved.controls < FEW and moved.limit > threshold:
            lines.append(
                "more of identical code makes that less: torch's own kernels, where both runs have "
                f"one torch and measured them, as {show(_CONTROLS)} does"
            )
    if found.trials:
        lines.append(
            f"targets of {count(len(found.trials), 'setting')}: reached by as many of the seeds in "
            f"{len(found.trials) - len(_changed(found))}"
        )
    return lines + [f"differs: {show(line)}" for line in differences(old, new)]


def _changed(found: Changes) -> list[Reached]:
    """Where more or fewer of the seeds reach the target, the most lost first."""
    return sorted((t for t in found.trials if t.gained), key=lambda t: t.gained)


def _seeds(trial: Reached) -> str:
    """e.g. "reached by 3 of 3 seeds, now by 1 of 3"."""
    (was, of), (now, now_of) = trial.was, trial.now
    return (
        f"reached by {whole(was)} of {count(int(of), 'seed')}, now by {whole(now)} of "
        f"{whole(now_of)}"
    )


def _sorted(found: Changes) -> list[Change]:
    """Slower first, the worst of them first; then faster, the best first; then the others."""
    return sorted(
        found.both, key=lambda c: (_ORDER.index(c.verdict), -abs(math.log(c.speedup.value)))
    )


def _change(change: Change) -> str:
    """The time's change with its interval, e.g. "+6.2 % [+5.1, +7.4]"."""
    speedup = change.speedup
    middle = f"{100 / speedup.value - 100:+.1f} %"
    if not (speedup.low > 0 and speedup.high < math.inf):
        return f"{middle} [interval not known]"
    return f"{middle} [{100 / speedup.high - 100:+.1f}, {100 / speedup.low - 100:+.1f}]"


def _name(change: Change) -> str:
    doubt = f" ({plain(change.doubt)})" if change.doubt else ""
    return f"{plain(change.id)}{doubt}"


def _table(found: Sequence[Change]) -> list[str]:
    lines = [
        [
            c.verdict,
            _change(c),
            f"{si(c.old_s, 's')} → {si(c.new_s, 's')}",
            markdown.code(plain(c.id)) + (f" {markdown.code(plain(c.doubt))}" if c.doubt else ""),
        ]
        for c in found
    ]
    return _capped(_HEADINGS, lines)


def _capped(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    more = len(lines) - MOST
    told = [f"\n{count(more, 'more row')}."] if more > 0 else []
    return [*markdown.table(headings, lines[:MOST]), *told]


def _tally(found: Sequence[Change]) -> str:
    return tally([c.verdict for c in found])


def _conclusion(found: Changes, threshold: float) -> str:
    """One line: how many of each, and what exceeds the threshold, or may."""
    highest = max((floor.share for floor in found.floors.values()), default=0.0)
    lost = f", {len(found.lost)} failing now" if found.lost else ""
    told = _tally(found.both) or "no time in both"
    fewer = sum(trial.gained < 0 for trial in found.trials)
    seeds = f", {count(fewer, 'target')} reached by fewer seeds" if fewer else ""
    return f"{_headline(found, threshold, highest)}: {told}{lost}{seeds}"


def _headline(found: Changes, threshold: float, highest: float) -> str:
    beyond = f"{100 * threshold:g} %"
    worse, moved = len(found.regressions(threshold)), found.undecided(threshold)
    if moved and not worse:
        doubtful = sum(bool(change.doubt) for change in moved)
        why = [f"{doubtful} in doubt"] if doubtful else []
        if noisy := len(moved) - doubtful:
            most = f"{100 * highest:.0f} % at most"
            why.append(f"{noisy} by no more than identical code may ({most})")
        rows = count(len(moved), "row")
        return f"cannot tell: {rows} moved by more than {beyond}, {', '.join(why)}"
    unseen = (
        f" (one below the noise floor, {100 * highest:.0f} % at most, would not be seen)"
        if highest > threshold
        else ""
    )
    what = count(worse, "regression") if worse else "no regression"
    return f"{what} beyond {beyond}{unseen}"
