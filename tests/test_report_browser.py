"""The written page in a browser: quiet, without network, sorted by its headers, no wider than a phone.

Where there is no Chromium the same tests read the page instead of running it, and assert what can be read.
"""

from __future__ import annotations

import html
import html.parser
import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from pages import METHODS, sample, written

from surefooted.report import Column, Page, Section, Table, write_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
IN_A_BROWSER = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-logging=stderr", "--v=0", "--virtual-time-budget=3000",
    # A request is seen when it starts; none needs to get out.
    "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip

MIXED = (3, None, "a10", -math.inf, "a9", 1e-7, "B", math.nan, -2, math.inf, "10")
PROBE = """
<script>
const order = (table) => [...table.tBodies[0].rows].map((row) => Number(row.dataset.row));
const found = {
  wide: document.documentElement.scrollWidth, window: innerWidth,
  small: [...document.querySelectorAll(".panel svg text")]
    .filter((text) => Math.max(text.getBoundingClientRect().height, text.getBoundingClientRect().width) < 9).length,
  tables: [...document.querySelectorAll("figure.table table")].map((table) => {
    [...table.tBodies[0].rows].forEach((row, i) => { row.dataset.row = i; });
    return [...table.tHead.rows[0].cells].map((header) => {
      const button = header.querySelector("button");
      button.focus();
      const states = [];
      for (let click = 0; click < 3; click += 1) {
        button.click();
        states.push([header.getAttribute("aria-sort"), order(table)]);
      }
      const sorted = table.querySelectorAll("th:is([aria-sort=ascending], [aria-sort=descending])").length;
      return { focused: document.activeElement === button, states, sorted };
    });
  }),
};
parent.postMessage(JSON.stringify(found), "*");
</script>
"""
FRAME = """<!DOCTYPE html><pre id="found"></pre>
<script>addEventListener("message", (event) => { document.getElementById("found").textContent = event.data; });</script>
<iframe src="probe.html" style="width: 390px; height: 800px; border: 0"></iframe>
"""


def browse(page: Path, scratch: Path) -> tuple[str, list[str]]:
    """The document as the browser ends up with it, and what it complained of or asked the network for."""
    log = scratch / "net.json"
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={scratch / 'profile'}", f"--log-net-log={log}", "--dump-dom"]
    ran = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    # Chromium logs all levels of the console alike, so a page that says anything is at fault.
    faults = [line for line in ran.stderr.splitlines() if re.search(r":CONSOLE[:(]", line)]
    net = json.loads(log.read_text())
    start = net["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    for event in net["events"]:
        request = event.get("params", {})
        if event["type"] != start or "url" not in request or request["url"].startswith(("file:", "data:")):
            continue
        # The browser's own calls home come from no origin and no page.
        if request.get("initiator") != "not an origin" or "file:" in request.get("network_isolation_key", ""):
            faults.append(f"request: {request['url']}")
    return ran.stdout, faults


def read(page: str) -> list[str]:
    """What in the text of a page would fetch something or write to the console."""
    faults: list[str] = []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attributes):
            for key, value in attributes:
                fetches = key in ("src", "srcset", "poster", "data", "action", "background") or key.endswith("href")
                if fetches and tag != "a" and re.match(r"\s*(https?:|ftp:|//)", value or ""):
                    faults.append(f"<{tag} {key}={value}>")
                if key == "style" and re.search(r"url\(\s*['\"]?(https?:|//)", value or ""):
                    faults.append(f"<{tag} style={value}>")

        handle_startendtag = handle_starttag

        def handle_data(self, data):
            if self.cdata_elem == "style":
                faults.extend(re.findall(r"@import.*|url\(\s*['\"]?(?:https?:|//).*", data))
            if self.cdata_elem == "script":
                asks = r"\b(?:fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import|console)\b\s*[.(].*"
                faults.extend(re.findall(asks, data))

    reader = Reader()
    reader.feed(page)
    reader.close()
    return faults


def faults_of(page: Path, scratch: Path) -> list[str]:
    return read(page.read_text()) + (browse(page, scratch)[1] if CHROMIUM else [])


def probed(page: Path, scratch: Path) -> dict:
    """What a script finds that clicks through a copy of the page, 390 pixels wide."""
    text = page.read_text()
    opened = re.sub(r"script-src 'sha256-[^']*'", "script-src 'unsafe-inline'", text)
    assert opened != text
    (scratch / "probe.html").write_text(opened.replace("</body>", PROBE + "</body>"))
    (scratch / "frame.html").write_text(FRAME)
    document, faults = browse(scratch / "frame.html", scratch)
    assert not faults
    return json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', document, re.DOTALL)[1]))


def rows_of(page: Path) -> list[list[list[str | None]]]:
    """What the cells of each table sort by, as the page says it."""
    found: list[list[list[str | None]]] = []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attributes):
            attributes = dict(attributes)
            if tag == "tbody":
                found.append([])
            elif tag == "tr" and self.body():
                found[-1].append([])
            elif (tag == "td" or attributes.get("scope") == "row") and self.body():
                found[-1][-1].append(attributes.get("data-sort"))

        def body(self):
            return bool(found)

    Reader().feed(re.sub(r"<thead>.*?</thead>", "", page.read_text(), flags=re.DOTALL))
    return found


def in_order(keys: list[str | None], *, descending: bool) -> list[int]:
    """Rows by number, then by text with its numbers in order; equal ones as they stood; missing ones last."""

    def rank(row):
        key = keys[row]
        try:
            return (0, float(key), [])
        except ValueError:
            parts = re.split(r"(\d+)", key.casefold())
            return (1, 0.0, [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts if part])

    present = sorted((row for row, key in enumerate(keys) if key is not None), key=rank, reverse=descending)
    return present + [row for row, key in enumerate(keys) if key is None]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    columns = (Column("x", "Name"), Column("y", "Mixed", digits=8))
    rows = tuple({"x": f"row {i % 4}", "y": value} for i, value in enumerate(MIXED))
    page = Page("Mixed", sections=(Section("S", items=(Table("mixed", "Mixed", columns, rows),)),))
    return write_page(page, tmp_path_factory.mktemp("mixed"))


def test_the_page_is_quiet_and_asks_the_network_for_nothing(tmp_path):
    assert faults_of(written(), tmp_path) == []


@pytest.mark.parametrize(
    "fault",
    [
        "<script>console.error('broken')</script>",
        '<img src="http://example.com/x.png" alt="">',
        "<script>fetch('http://example.com/data.json').catch(() => {})</script>",
        "<style>body { background: url(http://example.com/x.png) }</style>",
        "<style>@import 'http://example.com/x.css';</style>",
        '<svg><image href="https://example.com/x.png" width="1" height="1"/></svg>',
    ],
)
def test_a_page_at_fault_is_caught(fault, tmp_path):
    (tmp_path / "bad.html").write_text(f"<!DOCTYPE html><title>bad</title><body>{fault}</body>")
    assert read((tmp_path / "bad.html").read_text())
    if CHROMIUM:
        assert browse(tmp_path / "bad.html", tmp_path)[1]


def test_a_script_that_throws_is_caught(tmp_path):
    (tmp_path / "bad.html").write_text("<!DOCTYPE html><script>undefined.sort()</script><script>fetch('')</script>")
    assert faults_of(tmp_path / "bad.html", tmp_path)


def test_a_script_smuggled_into_the_page_does_not_run(tmp_path):
    text = written().read_text().replace("</main>", "<script>document.title = 'taken'</script></main>")
    assert text != written().read_text()
    (tmp_path / "taken.html").write_text(text)
    assert "default-src 'none'" in text
    assert "script-src 'sha256-" in text
    if CHROMIUM:
        document, faults = browse(tmp_path / "taken.html", tmp_path)
        assert "<title>taken</title>" not in document
        assert any("Content Security Policy" in fault for fault in faults)


def test_the_page_holds_the_keys_that_its_columns_are_sorted_by(mixed):
    expected = rows_of(written())
    given = [item for item in sample().items if isinstance(item, Table)]
    assert [[[cell.sort for cell in row] for row in table.cells] for table in given] == expected
    assert [row[0] for row in expected[0]] == list(METHODS)
    keys = [row[1] for row in rows_of(mixed)[0]]
    assert keys == ["3", None, "a10", "-Infinity", "a9", "1e-07", "B", None, "-2", "Infinity", "10"]
    assert in_order(keys, descending=False) == [3, 8, 5, 0, 10, 9, 4, 2, 6, 1, 7]


@IN_A_BROWSER
@pytest.mark.parametrize("which", ["sample", "mixed"])
def test_headers_sort_their_columns(which, mixed, tmp_path):
    page = written() if which == "sample" else mixed
    expected = rows_of(page)
    found = probed(page, tmp_path)
    assert len(found["tables"]) == len(expected)
    for headers, rows in zip(found["tables"], expected):
        assert len(headers) == len(rows[0])
        for column, header in enumerate(headers):
            keys = [row[column] for row in rows]
            assert header["states"] == [
                ["ascending", in_order(keys, descending=False)],
                ["descending", in_order(keys, descending=True)],
                ["none", list(range(len(rows)))],
            ]
            assert header["focused"], "a header can be reached by keyboard"
            assert header["sorted"] == 0


def test_the_page_asks_for_the_width_of_its_screen():
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in written().read_text()


@IN_A_BROWSER
def test_the_page_is_no_wider_than_a_phone(tmp_path):
    found = probed(written(), tmp_path)
    assert found["window"] == 390
    assert found["wide"] <= 390
    assert found["small"] == 0, "a label of a figure is too small to read"
