"""The claims of the course, tested: one file a claim. Needs no torch.

A study is a module with CLAIM, NEEDS, FIGURE and judge(evidence) (harness/studies/spec.py). It
reads rows, curves and findings, whoever measured them. To add one, write a module here and put
its name into NAMES, in the order of the course.
"""

from __future__ import annotations

import importlib
from typing import cast

from harness.studies.spec import Study

NAMES: tuple[str, ...] = ()


def load(name: str) -> Study:
    """The study of that name.

    Raises:
        ValueError: NAMES has no such study.
    """
    if name not in NAMES:
        raise ValueError(f"no study {name!r}; there are {', '.join(NAMES)}")
    return cast(Study, importlib.import_module(f"{__name__}.{name}"))
