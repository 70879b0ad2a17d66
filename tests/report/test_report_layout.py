"""The page in a real browser: nothing sticks out of a phone. Skipped where there is no Chromium."""

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from splitward.report import render

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

MEASURE = """<script>
addEventListener("load", () => {
  document.querySelectorAll("details").forEach((d) => { d.open = true; });
  const width = document.documentElement.clientWidth;
  const out = [...document.querySelectorAll("body *")].filter((e) => !e.closest(".scroll"))
    .filter((e) => e.getBoundingClientRect().right > width + 1).map((e) => e.tagName + "." + e.className);
  parent.postMessage(JSON.stringify([width, document.documentElement.scrollWidth, out.slice(0, 9)]), "*");
});</script></body>"""

FRAME = """<body><script>addEventListener("message", (e) => { document.body.innerText = "said " + e.data; });</script>
<iframe src="measured.html" style="width:WIDTHpx;height:800px;border:0"></iframe>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
@pytest.mark.parametrize("width", [320, 400, 1400])
@pytest.mark.parametrize("runs", ["run_folder", "sweep_folder", "games_folder"])
def test_nothing_sticks_out(width: int, runs: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    page = render(request.getfixturevalue(runs), tmp_path / "report.html").read_text(encoding="utf-8")
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    (tmp_path / "measured.html").write_text(page.replace("</body>", MEASURE), encoding="utf-8")
    (tmp_path / "frame.html").write_text(FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--hide-scrollbars",
        "--window-size=1500,900", "--virtual-time-budget=4000", "--dump-dom", (tmp_path / "frame.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    said = re.search(r"said (\[.*\])", html.unescape(done.stdout))
    assert said, done.stdout[-500:]
    assert said[1] == f"[{width},{width},[]]"
