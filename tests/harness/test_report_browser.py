"""The report in a real browser, offline: it draws, fits, sorts, follows dark mode, asks nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from harness import report, studies
from harness.studies.spec import VERDICTS, Verdict
from tests.extras import REQUIRED
from tests.harness.make_curves import curve, curves, findings, noise_scale
from tests.harness.make_rows import cpu_and_gpu, row
from tests.harness.make_runs import several
from tests.harness.report_page import page

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium to open the report in")

# The report is loaded, unchanged, into a frame of each width: a window cannot be that narrow.
PROBE = """<!doctype html><pre id="found"></pre><script>
const found = {};
function look(page) {
  const root = page.documentElement, text = (cell) => cell.textContent;
  const heading = [...page.querySelectorAll("#all th")].find((th) => /^median/.test(text(th)));
  const column = heading.cellIndex, cells = () => [...page.querySelectorAll("#all tbody tr")]
    .map((line) => line.cells[column]);
  const press = () => {
    heading.firstElementChild.click();
    return [heading.getAttribute("aria-sort"), cells().map((cell) => cell.dataset.v ?? null)];
  };
  const style = (element) => page.defaultView.getComputedStyle(element);
  const focused = page.querySelector("#all button");
  focused.focus({focusVisible: true});
  return {
    width: root.clientWidth, needed: root.scrollWidth,
    boxes: [...page.querySelectorAll("svg")].filter((svg) => svg.checkVisibility())
      .map((svg) => [svg.getBoundingClientRect().width, svg.getBoundingClientRect().right]),
    outline: style(focused).outlineStyle,
    paper: style(page.body).backgroundColor,
    label: style(page.querySelector("svg text")).fill,
    up: press(), down: press(), title: page.title,
    folded: page.querySelectorAll(".claims details:not([open])").length,
    unprinted: (page.defaultView.dispatchEvent(new Event("beforeprint")),
      page.querySelectorAll(".group:not([open]), .claims details:not([open])").length),
  };
}
for (const width of [390, 1280]) {
  const frame = document.createElement("iframe");
  frame.width = width; frame.height = 800;
  frame.addEventListener("load", () => {
    found[width] = look(frame.contentDocument);
    document.getElementById("found").textContent = JSON.stringify(found);
  });
  frame.srcdoc = REPORT;
  document.body.append(frame);
}
</script>"""


class Opened(NamedTuple):
    """The page's elements once loaded, and what its console said."""

    dom: str
    console: list[str]


@pytest.fixture(scope="module")
def browse(tmp_path_factory) -> Callable[..., Opened]:
    folder = tmp_path_factory.mktemp("browser")

    def opened(html: str, *options: str) -> subprocess.CompletedProcess[str]:
        path = folder / "page.html"
        path.write_text(html, "utf-8")
        command = [
            *(str(BROWSER), "--headless", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            "--hide-scrollbars",
            *("--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom"),
            *(f"--user-data-dir={folder / 'profile'}", "--window-size=1280,900", *options),
            *(("--no-sandbox",) if os.geteuid() == 0 else ()),  # root has no sandbox
            path.as_uri(),
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    def open_page(html: str, *options: str) -> Opened:
        done = opened(html, *options)
        assert done.returncode == 0, done.stderr[-2000:]
        return Opened(done.stdout, re.findall(r"CONSOLE.*", done.stderr))

    # a snap has a temporary folder of its own, and a container may allow no sandbox
    tried = opened("<p>can be read")
    if os.environ.get(REQUIRED) != "required" and "can be read" not in tried.stdout:
        why = (tried.stderr.strip().splitlines() or ["it showed nothing"])[-1]
        pytest.skip(f"{BROWSER} opens no page of the temporary folder: {why[:200]}")
    return open_page


def judged(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Puts a study of each verdict, and one that raises, in the place of the project's own."""

    def load(name: str) -> Any:
        def judge(_: Any) -> Verdict:
            if name == "raises":
                raise ValueError(text)
            return Verdict(name, text, text, 12)

        return SimpleNamespace(CLAIM=f"{name} {text}", NEEDS=text, FIGURE="speedup", judge=judge)

    monkeypatch.setattr(studies, "NAMES", (*VERDICTS, "raises"))
    monkeypatch.setattr(studies, "load", load)


@pytest.fixture(scope="module")
def html(tmp_path_factory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield _html(tmp_path_factory, monkeypatch)


def _html(tmp_path_factory, monkeypatch) -> str:
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    long = "unbroken" * 60
    judged(monkeypatch, f"{hostile}; {long}")
    rows = [
        *cpu_and_gpu(),
        row(None, why=f"{hostile} {long}", subject=hostile, provider=long, batch=4),
        row(batch=4, subject=hostile, provider=long, device_name=long, speedup=2.0),
        row(batch=4, subject=hostile, direction=long),
        row(kind="kernel", subject=long, case=hostile, provider="$x$ & co", direction="forward"),
    ]
    trials = curves() + [
        curve(hostile, long, batch, seed=seed, metric=long, why={"flops": hostile, "joules": long})
        for batch in (8, 32)
        for seed in (0, 1)
    ]
    trials += [curve(long, hostile, rate=0.1, setting=hostile, generated=f"{hostile}\n{long}")]
    environment = {"run_id": hostile, "nested": {"deep": [{long: long}]}}
    found = [*findings(), noise_scale(3, 9.0, subject=hostile, at=long, device_name=long)]
    folder = tmp_path_factory.mktemp("report")
    return page(folder, rows, environment, [long, hostile], trials, found).html


def probed(browse: Callable[..., Opened], html: str, *options: str) -> dict[str, Any]:
    text = json.dumps(html).replace("</", "<\\/")
    opened = browse(PROBE.replace("REPORT", text), *options)
    assert opened.console == []
    found = re.search(r'<pre id="found">(.+?)</pre>', opened.dom, re.DOTALL)
    assert found, "the report did not load"
    return json.loads(unescape(found[1]))


@pytest.fixture(scope="module")
def light(browse, html) -> dict[str, Any]:
    return probed(browse, html, "--blink-settings=preferredColorScheme=1")


def test_it_opens_from_disk_without_a_word_in_the_console(browse, html):
    opened = browse(html)
    assert opened.console == []
    assert opened.dom.count("<svg") == html.count("<svg") > 25
    assert "<img" not in opened.dom
    assert opened.dom.count("<script") == 1


@pytest.mark.parametrize("width", ["390", "1280"])
def test_the_page_fits_its_window(light, width):
    page = light[width]
    assert page["needed"] <= page["width"] == int(width)
    assert len(page["boxes"]) > 20
    for across, right in page["boxes"]:
        assert across > 250  # drawn, and large enough to read
        assert right <= page["width"]


def test_a_heading_sorts_by_number_and_leaves_what_is_missing_last(light):
    (up, rising), (down, falling) = light["1280"]["up"], light["1280"]["down"]
    assert (up, down) == ("ascending", "descending")
    numbers = [float(value) for value in rising if value is not None]
    assert numbers == sorted(numbers)
    assert rising == [*rising[: len(numbers)], *[None] * 4]
    assert [float(value) for value in falling[:-4]] == numbers[::-1]
    assert falling[-4:] == [None] * 4


def test_what_is_folded_is_in_the_print(light):
    assert light["1280"]["folded"] > 0 and light["1280"]["unprinted"] == 0


def test_focus_is_seen(light):
    assert light["1280"]["outline"] == "solid"


def test_text_in_figures_follows_a_dark_page(browse, html, light):
    dark = probed(browse, html, "--blink-settings=preferredColorScheme=0")["1280"]
    assert (light["1280"]["paper"], dark["paper"]) == ("rgb(255, 255, 255)", "rgb(20, 24, 28)")
    assert sum(map(int, re.findall(r"\d+", light["1280"]["label"]))) < 300
    assert sum(map(int, re.findall(r"\d+", dark["label"]))) > 600


@pytest.fixture(scope="module")
def two_machines(tmp_path_factory) -> str:
    """A report of two runs of one machine and one of another, with names to stumble over."""
    hostile, long = "<script>alert(1)</script><img src=x onerror=alert(2)>", "unbroken" * 40
    runs = []
    for run, name in zip(several(), (hostile, long, "cloud"), strict=True):
        cpu = {"model": "x" * 90, "usable_cores": 2}
        environment = run.environment | {"cpu": cpu, "git": {"commit": hostile}}
        known = {"name": name, "environment": environment, "problems": [long, hostile]}
        runs.append(replace(run, curves=(), **known))
    path = tmp_path_factory.mktemp("several") / "report.html"
    return report.write_all(runs, path).read_text("utf-8")


@pytest.mark.parametrize(
    ("scheme", "paper"),
    [
        (1, "rgb(255, 255, 255)"),
        pytest.param(0, "rgb(20, 24, 28)", marks=pytest.mark.slow),
    ],
)
def test_a_report_of_two_machines_fits_on_light_and_dark_pages(browse, two_machines, scheme, paper):
    pages = probed(browse, two_machines, f"--blink-settings=preferredColorScheme={scheme}")
    assert [*pages] == ["390", "1280"]
    for width, shown in pages.items():
        assert shown["needed"] <= shown["width"] == int(width)
        assert shown["paper"] == paper
        assert len(shown["boxes"]) > 5
        assert all(across > 250 and right <= shown["width"] for across, right in shown["boxes"])
    assert "3 runs of 2 machines" in pages["390"]["title"]


def test_these_tests_can_fail(browse, html):
    wide = html.replace("<h2>Summary</h2>", '<div style="width:2000px">wide</div>')
    assert probed(browse, wide)["390"]["needed"] > 390
    for bad in ("<script>1</script>", '<img src="https://example.org/x.png" alt="">'):
        assert browse(html.replace("<h2>Summary</h2>", bad)).console != []
