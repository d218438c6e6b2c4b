"""What a run's cases are timed with, and what tells how far that can be believed.

Roofs, self-checks and second copies of a baseline are measured as cases are, and are rows about
measuring (`record.ABOUT_MEASURING`): no result, and what all results are judged by.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from harness import case, noise, record, selfcheck
from harness.comparison import Comparison
from harness.faults import beyond_roof
from harness.folder import Folder
from harness.record import Row
from harness.roofline import Roofs
from harness.statistics import quickest

# A neighbour of a virtual machine slows memory down for seconds, and no counter shows it. A roof
# that was measured meanwhile is too low, and then both are measured again; a clock that is wrong
# is wrong each time.
LOOKS = 3


class Instrument:
    """The settings of a run's cases, and the rows about measuring.

    Args:
        folder: the run's. What it has already is not measured again.
        names: of the devices, by device.
        preset: "quick" or "full".
        deadline: time.perf_counter() at which cases are to end early.
        begin: told in words what is measured next.
    """

    def __init__(
        self,
        folder: Folder,
        names: Mapping[str, str],
        preset: str,
        deadline: float,
        begin: Callable[[str], None],
    ):
        # no copy: cases are put there too, and their number says how many A/A pairs are wanted
        self._rows, self._put = folder.rows, folder.put
        self._names, self._preset, self._deadline = names, preset, deadline
        self._begin = begin
        self._roofs: dict[str, Roofs] = {}
        self._checked: set[str] = set()

    def setting(self, device: str, mode: str) -> case.Setting:
        """Where and how a case is timed, with the peaks of its device."""
        if device not in self._roofs:
            self._roofs[device] = Roofs(device, functools.partial(self._roof, device))
        return case.Setting(
            device=device,
            device_name=self._names[device],
            mode=mode,
            preset=self._preset,
            deadline=self._deadline,
            roofs=self._roofs[device],
        )

    def check_itself(self, device: str) -> None:
        """What is known is measured before what is not, once for each device.

        Raises:
            StoreError: a row could not be written.
        """
        if device in self._checked:
            return
        self._checked.add(device)
        mode = selfcheck.MODE[device]
        for check in selfcheck.comparisons(device):
            key = f"check::{device}::{check.subject}"
            if key in self._rows:
                continue
            for looks_left in reversed(range(LOOKS)):
                self._begin(f"self-check: {check.subject} {device}")
                setting = replace(self.setting(device, mode), limits=selfcheck.LIMITS)
                result = case.run(check, [check.baseline], setting)[check.baseline]
                group, params = f"self-check {device}", {"device": device}
                self._put([Row(key, group, check.subject, params, result.fields, result.samples)])
                if not looks_left or not beyond_roof(result.fields):
                    break
                self._forget_roofs(device)

    def with_copy(
        self, comparison: Comparison, names: Sequence[str], setting: case.Setting
    ) -> tuple[Comparison, list[str]]:
        """The case, with a second copy of its baseline where the noise floor needs it."""
        infos = [row.extra_info for row in self._rows.values()]
        baseline = comparison.baseline
        if (
            baseline not in names
            or baseline in comparison.not_measured
            or not noise.wanted(infos, setting.device, setting.mode)
        ):
            return comparison, []
        again = noise.again(baseline)
        providers = {**comparison.providers, again: comparison.providers[baseline]}
        return replace(comparison, providers=providers), [again]

    def _forget_roofs(self, device: str) -> None:
        """They are measured again, and their rows are then the last of their ids."""
        for key in [key for key in self._rows if key.startswith(f"roof::{device}::")]:
            del self._rows[key]
        self._roofs[device].forget()

    def _roof(self, device: str, roof: Comparison, mode: str) -> float | None:
        """Seconds of a peak: measured now, or in the rows of the run that is resumed."""
        group = f"roof {device}"
        name = f"{roof.subject}-{roof.case}-{roof.dtype}"
        key = f"roof::{device}::{name}"
        if key not in self._rows:
            self._begin(f"roof: {name} {device}")
            setting = case.Setting(device, self._names[device], mode, self._preset)
            result = case.run(roof, ["torch"], setting)["torch"]
            row = Row(key, group, name, {"device": device}, result.fields, result.samples)
            self._put([row])
        row = self._rows[key]
        if row.status != record.OK:
            return None
        return quickest(row.samples)
