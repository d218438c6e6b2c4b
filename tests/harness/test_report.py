"""The report is one file that asks for nothing, is readable, and shows hostile text as text."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.record import decode, encode
from harness.report import plots
from harness.report.plots import style
from tests.harness.make_curves import curves, findings
from tests.harness.make_rows import cpu_and_gpu, row
from tests.harness.report_page import Page, page

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def gpu_page(tmp_path_factory) -> Page:
    run = {"run_id": "a run"}
    folder = tmp_path_factory.mktemp("gpu")
    return page(folder, cpu_and_gpu(), run, curves=curves(), findings=findings())


def test_no_rows_write_nothing(tmp_path):
    with pytest.raises(ValueError, match="no rows to report"):
        page(tmp_path, [])
    assert not list(tmp_path.iterdir())


def test_the_same_rows_give_the_same_bytes(tmp_path, gpu_page):
    run = {"run_id": "a run"}
    again = page(tmp_path, cpu_and_gpu(), run, curves=curves(), findings=findings())
    assert again.html == gpu_page.html


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "report.html"  # where the helper writes
    path.write_text("old")

    def fail(*_):
        raise OSError("no space")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        page(tmp_path, [row()])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_it_asks_for_nothing_outside(gpu_page):
    for tag, attributes in gpu_page.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base")
        for name in ("src", "href", "xlink:href", "action", "data", "poster"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
    assert "default-src 'none'" in gpu_page.html
    assert not re.search(r"@import|url\((?!#)", gpu_page.html)


def test_it_needs_neither_torch_nor_triton():
    code = "import sys, harness.report as r; [r.plots.load(n) for n in r.plots.NAMES]; " + (
        "print(sorted({'torch', 'triton', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_sections_stand_in_their_order(gpu_page):
    ids = [a["id"] for tag, a in gpu_page.elements if tag == "section"]
    assert ids == [
        "claims",
        "summary",
        *(name for name in plots.NAMES if plots.load(name).SOURCE not in ("history", "ranks")),
        "made",
        "findings",
        "threats",
        "rows",
        "provenance",
        "reading",
    ]
    assert gpu_page.text.index("Summary") < gpu_page.text.index("How to read")


def test_every_figure_has_a_name_a_description_and_its_numbers(gpu_page):
    figures = gpu_page.html.split("<figure>")[1:]
    assert len(figures) == gpu_page.count("svg") > 28 + 20  # of rows, and of training
    for figure in figures:
        svg, _, rest = figure.partition("</svg>")
        ((name, description),) = re.findall(r'aria-labelledby="(\S+) (\S+)"', svg)
        assert re.search(rf'<title id="{name}">[^<]+</title>', svg)
        assert re.search(rf'<desc id="{description}">[^<]+</desc>', svg)
        assert 'role="img"' in svg
        assert "<table" in rest


def test_ids_are_unique_and_references_lead_somewhere(gpu_page):
    ids = [a["id"] for _, a in gpu_page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', gpu_page.html))
    assert used <= set(ids)


def test_figures_use_the_colours_of_the_page(gpu_page):
    svgs = "".join(re.findall(r"<svg.*?</svg>", gpu_page.html, re.DOTALL))
    assert not re.search(r"(?:fill|stroke):#", svgs)
    assert "metadata" not in svgs
    assert {"currentColor", "var(--muted)", "var(--series-1)"} <= set(
        re.findall(r"(?:fill|stroke):([^;\"]+)", svgs)
    )


def _contrast(one: str, other: str) -> float:
    def luminance(color: str) -> float:
        levels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in levels]
        return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1, 2], ids=["light", "dark", "print"])
def test_contrast_is_at_least_4_5(theme):
    css = (ROOT / "harness/report/report.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    assert len(blocks) == 3
    colors = dict(re.findall(r"--([\w-]+): (#\w{6});", blocks[theme]))
    series = [f"series-{i}" for i in range(1, len(style.SERIES))]
    for name in ("ink", "muted", "link", "faster", "slower", *series):
        assert _contrast(colors[name], colors["paper"]) >= 4.5, name
    for name in ("ink", "muted", "link"):
        assert _contrast(colors[name], colors["raised"]) >= 4.5, name


def test_hostile_text_stays_text(tmp_path):
    names = (
        HOSTILE,
        "$x$ & $y$",
        "$\\frac$",
        "a\x00b\ud800\u202ec",
        "x" * 5000,
        '" onload="x',
        "{{ 7*7 }}",
    )
    rows = []
    for name in names:
        for batch in (1, 8):
            rows.append(row(batch=batch, provider=name, speedup=2.0, subject=name))
        rows.append(row(kind="kernel", subject=name, case=name, provider=name, direction="forward"))
        rows.append(row(None, why=name, subject=name, device_name=name, batch=1))
    environment = {HOSTILE: [HOSTILE, {"deep": "\ud800"}], "run_id": f"; {HOSTILE}"}
    shown = page(tmp_path, rows, environment, [HOSTILE])
    assert shown.count("script") == 1  # ours
    assert HOSTILE in shown.text
    assert "$x$ & $y$" in shown.text
    assert "a\ufffdb\ufffd\ufffdc" in shown.text
    assert "{{ 7*7 }}" in shown.text
    assert not any("onload" in attributes for _, attributes in shown.elements)
    svgs = re.findall(r"<svg.*?</svg>", shown.html, re.DOTALL)
    assert sum(">$x$ &amp; $y$</text>" in svg for svg in svgs) == 5  # one of each plot, 3 samples
    assert sum(">$x$ &amp; $y$, $x$ &amp; $y$</text>" in svg for svg in svgs) == 1  # latency's line
    assert "x" * 599 + "…" in shown.text
    assert "x" * 600 not in shown.text
    assert f"python -m harness report '; {HOSTILE}'" in shown.text


def test_numbers_of_any_size_are_shown(tmp_path):
    line = encode(row(2e-3, batch=4))
    large = f"1{'0' * 400}"
    for written, changed in (('"batch": 4', f'"batch": {large}'), ("80.5", "1e999")):
        shown = page(tmp_path, [decode(line.replace(written, changed))])
        assert "not finite, or too large to show" in shown.text
    shown = page(tmp_path, [decode(line.replace('"threads": 2', f'"threads": {large}'))])
    assert "CPU threads not known" in shown.text


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.builds(
            row,
            st.floats(1e-300, 1e300) | st.none(),
            speedup=st.none() | st.floats(1e-300, 1e300),
            batch=st.none() | st.integers(-3, 10**20),
            kind=st.sampled_from(["kernel", "workload", "user", "roof"]),
            provider=st.sampled_from(["torch", "triton"]),
            device=st.sampled_from(["cpu", "cuda"]),
            median_low_s=st.none() | st.floats(-1.0, 1e300),
            correctness_error=st.none() | st.floats(),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_no_row_breaks_the_report(tmp_path_factory, rows):
    page(tmp_path_factory.mktemp("any"), rows)
