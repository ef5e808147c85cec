"""What ``pip install`` brings: the three packages with their data files, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("datakit", "train", "evalkit")


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_every_file_of_the_packages_is_in(names: set[str]) -> None:
    done = subprocess.run(["git", "ls-files", "-z", *PACKAGES], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git work tree")
    tracked = {name for name in done.stdout.split("\0") if name and (ROOT / name).exists()}
    assert tracked <= names


def test_nothing_else_is_in(names: set[str]) -> None:
    rooms = {name.partition("/")[0] for name in names}
    assert rooms - {room for room in rooms if room.endswith(".dist-info")} == set(PACKAGES)
    assert not {name for name in names if name.endswith(".pyc")}


def test_the_licence_and_the_command_are_in(names: set[str]) -> None:
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith("entry_points.txt") for name in names)
