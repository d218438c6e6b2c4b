"""Whether the package `kernels` is this project's: others have one of that name too."""

from __future__ import annotations

from pathlib import Path


def hidden() -> str:
    """What to do where another package stands in the place of ours, in one line; else ""."""
    import kernels

    ours = Path(__file__).parents[1] / "kernels"
    if ours in map(Path, getattr(kernels, "__path__", ())):
        return ""
    return (
        f"another package named kernels hides flopwise's own: rename it, or put {ours.parent} "
        "first on PYTHONPATH"
    )
