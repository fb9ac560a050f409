"""A real browser for tests: pages are laid out and measured, nothing is loaded from a network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

_PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _PROGRAMS)), None)

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: apt-get install chromium-headless-shell"
)

_OPTIONS = (
    "--headless",
    "--no-sandbox",  # tests run as root, and look at no page but their own
    "--disable-gpu",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--virtual-time-budget=5000",
)


def measure(page: str, scratch: Path, script: str, *, width: int = 1000, dark: bool = False) -> Any:
    """Lay ``page`` out in a frame of ``width`` pixels; return what the function ``script`` gives.

    ``script`` is JavaScript of a function of the frame's document and window. The frame is the
    page alone, with its own policy: what measures it stands outside.
    """
    scheme = "dark" if dark else "light"
    around = f"""<!doctype html><meta charset="utf-8">
<iframe id="page" srcdoc="{escape(page)}"
  style="border: 0; width: {width}px; height: 4000px; color-scheme: {scheme}"></iframe>
<pre id="measured"></pre>
<script>
window.onload = () => {{
  const frame = document.getElementById("page");
  const found = ({script})(frame.contentDocument, frame.contentWindow);
  document.getElementById("measured").textContent = JSON.stringify(found);
}};
</script>"""
    file = scratch / "around.html"
    file.write_text(around)
    dark_setting = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    done = subprocess.run(
        [str(CHROMIUM), *_OPTIONS, dark_setting, "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = re.search(r'<pre id="measured">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, f"{done.stdout[-500:]}{done.stderr[-2000:]}"
    return json.loads(unescape(found[1]))
