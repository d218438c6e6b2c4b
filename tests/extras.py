"""Packages that are not needed, and whose tests are skipped where they are not installed."""

import importlib
import os
from typing import Any

import pytest

# set by .ci/run, which installs them: there, a test that would be skipped for want of one fails
REQUIRED = "FLOPWISE_EXTRAS"


def needs(module: str, extra: str) -> Any:
    """The module, or the test is skipped: it is of an extra that is not installed.

    Args:
        module: its import name.
        extra: the extra in pyproject.toml that installs it.
    """
    if os.environ.get(REQUIRED) == "required":
        return importlib.import_module(module)
    return pytest.importorskip(module, reason=f"needs {module}: pip install -e '.[{extra}]'")
