"""Runs the demo and puts what it printed into README.md, and the report's picture beside the docs.

    python benchmarks/readme_output.py          needs Chromium for the picture; without it the old one stays

The text between the two markers of README.md is replaced by the output as it was, in a folder called ``demo``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = (
    "<!-- demo output: begin (written by benchmarks/readme_output.py from a real run) -->",
    "<!-- demo output: end -->",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def printed(folder: Path) -> str:
    """What ``datakit demo`` prints on a new machine: an empty evidence store, no terminal."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DATAKIT_CACHE": str(folder / "cache"), "NO_COLOR": "1"}
    call = [sys.executable, "-m", "datakit", "demo", "-o", "demo"]
    done = subprocess.run(call, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.rstrip()


def picture(report: Path, target: Path) -> bool:
    """Photographs the top of the report; False where there is no browser."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        return False
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
        options += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        options += [f"--user-data-dir={profile}", f"--screenshot={target}", "--window-size=1100,1250"]
        subprocess.run([browser, *options, report.as_uri()], check=True, capture_output=True)
    return True


def main() -> None:
    """Runs the demo, rewrites the block and the picture."""
    with tempfile.TemporaryDirectory() as name:
        output = printed(Path(name))
        print(output)
        path = ROOT / "README.md"
        block = f"{BEGIN}\n```text\n$ make demo\n{output}\n```\n{END}"
        text, count = re.subn(
            r"<!-- demo output: begin.*?<!-- demo output: end -->",
            lambda _: block,
            path.read_text(encoding="utf-8"),
            flags=re.DOTALL,
        )
        if count != 1:
            raise SystemExit("README.md has no markers for the demo's output")
        path.write_text(text, encoding="utf-8")
        if not picture(Path(name) / "demo" / "report.html", ROOT / "docs" / "report.png"):
            print("no Chromium: docs/report.png is as it was")


if __name__ == "__main__":
    main()
