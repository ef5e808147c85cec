"""Writes requirements.lock: what a plain ``pip install -r`` installs, one exact version a line.

``make lock`` runs it. pip resolves the project with the extras below from nothing, and names and versions are kept:
no hashes and no local version such as ``+cpu``, because torch has one build per accelerator and the machine's own index
decides which one it gets.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = "pii,train,eval,label,s3,semantic,dev"
# A range or a bare "torch" brings several GB of CUDA libraries where the default index has such a build.
PINNED = ("torch==2.13.0",)
HEADER = """\
# Written by `make lock` with Python {python}: datakit[{extras}].
# Plain pip reads it: pip install -r requirements.lock
"""


def resolve() -> list[tuple[str, str]]:
    """Name and version of every package the project needs, without the project itself."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--report", str(report), f"{ROOT}[{EXTRAS}]", *PINNED]
        subprocess.run(command, check=True)
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
    packages = []
    for item in found:
        metadata = item["metadata"]
        name = re.sub(r"[-_.]+", "-", metadata["name"]).lower()
        if name != "datakit":
            packages.append((name, metadata["version"].partition("+")[0]))
    return sorted(packages)


def main() -> None:
    """Resolves and writes the file."""
    packages = resolve()
    python = ".".join(str(part) for part in sys.version_info[:2])
    lines = [f"{name}=={version}\n" for name, version in packages]
    text = HEADER.format(python=python, extras=EXTRAS) + "".join(lines)
    (ROOT / "requirements.lock").write_text(text, encoding="utf-8")
    print(f"requirements.lock: {len(packages)} packages")


if __name__ == "__main__":
    main()
