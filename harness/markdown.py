"""Text from files in GitHub-flavoured Markdown: shown as it is, and never obeyed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def code(text: str) -> str:
    """The text as code: no markup, no HTML, no link, nobody notified by an @name, no #issue.

    Args:
        text: on one line and printable, as `harness.report.words.plain` makes it.
    """
    text = text.strip() or "(empty)"
    if not re.search(r"[`|\\]", text):
        return f"`{text}`"
    # a code span in a table can hold none of these unharmed; an element's text can
    plain = "".join(c if c.isalnum() or c in " -." else f"&#{ord(c)};" for c in text)
    return f"<code>{plain}</code>"


def table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    """A table's lines; the cells are Markdown already, with no bare pipe in them."""
    return [
        f"| {' | '.join(headings)} |",
        f"|{'---|' * len(headings)}",
        *(f"| {' | '.join(line)} |" for line in lines),
    ]


def details(summary: str, lines: Iterable[str]) -> list[str]:
    """Lines that are folded away below a summary of plain words."""
    return ["", f"<details><summary>{summary}</summary>", "", *lines, "", "</details>"]
