"""Nested mappings and lists from a file as what a page can show of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.report.words import plain

DEEPEST = 8  # levels that are shown


def tree(value: object, depth: int = 0) -> Any:
    """Nested mappings and lists as lists of (name, text or such a list).

    None is shown as its reason, which stands beside it as `<name>_reason`.
    """
    if isinstance(value, Mapping | list | tuple) and depth >= DEEPEST:
        return "nested too deep to show"
    if isinstance(value, Mapping):
        unknown = {key for key, child in value.items() if child is None}
        told = {f"{key}_reason" for key in unknown} & value.keys()
        return [
            (
                plain(str(key)),
                f"not known: {plain(str(value[f'{key}_reason']))}"
                if child is None and f"{key}_reason" in told
                else tree(child, depth + 1),
            )
            for key, child in value.items()
            if key not in told
        ] or "none"
    if isinstance(value, list | tuple):
        return [(str(i), tree(child, depth + 1)) for i, child in enumerate(value, 1)] or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "not known" if value is None else plain(str(value))
