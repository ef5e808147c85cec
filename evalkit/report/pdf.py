"""report.pdf: the page as a browser prints it, so that every script is set with the machine's own fonts."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from datakit.core.storage import atomic_file
from evalkit.errors import EvalError

__all__ = ["BROWSERS", "print_pdf"]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
_SECONDS = 120


def print_pdf(page: Path, target: Path) -> None:
    """Prints an HTML file to a PDF with Chromium, Chrome or Edge, headless and with no network.

    Args:
        page: The HTML file.
        target: The PDF.

    Raises:
        EvalError: No such browser on the path, or it fails.
        DiskFull: No space left.
    """
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise EvalError(
            "a PDF is printed by Chromium, Chrome or Edge, and none is on the path",
            hint="Install one, or open report.html and print it",
        )
    with tempfile.TemporaryDirectory() as profile, atomic_file(target) as temporary:
        options = ["--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
        options += ["--disable-component-update", "--disable-sync", "--disable-quic", "--no-pdf-header-footer"]
        options += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            options.append("--no-sandbox")  # Chromium refuses root otherwise; the page asks nobody and is ours
        call = [browser, *options, f"--print-to-pdf={temporary.resolve()}", page.resolve().as_uri()]
        try:
            done = subprocess.run(call, capture_output=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EvalError(f"'{browser}' did not print: {type(error).__name__}", where=page) from None
        if done.returncode or not temporary.is_file() or not temporary.stat().st_size:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise EvalError(f"'{browser}' did not print: {said[-1] if said else done.returncode}", where=page)
