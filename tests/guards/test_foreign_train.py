"""Everything works in a folder that holds a user's ``train.py`` and ``evalkit.py``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = 'raise SystemExit("the user\'s own script was run")\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("train", "evalkit"):
        (tmp_path / f"{name}.py").write_text(FOREIGN)
    return tmp_path


def call(folder: Path, *arguments: str) -> str:
    """Runs Python there with datakit behind the folder on ``sys.path``, as site-packages is."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_console_script(folder: Path) -> None:
    script = folder / "bin" / "datakit"
    script.parent.mkdir()
    script.write_text("from datakit.cli import main\nmain()\n")
    assert "Usage: " in call(folder, str(script), "--help")


def test_python_m(folder: Path) -> None:
    assert "Usage: " in call(folder, "-m", "datakit", "--help")


def test_doctor(folder: Path) -> None:
    assert "Python" in call(folder, "-m", "datakit", "doctor", "--offline")


@pytest.mark.parametrize("name", ["train", "evalkit"])
def test_own_package(folder: Path, name: str) -> None:
    (folder / "mine.py").write_text(
        "import datakit.core.require\n"
        f"package = datakit.core.require.own_package({name!r})\n"
        f"import {name}, {name}.errors\n"
        f"assert {name} is package\n"
        "print(package.__file__)\n"
    )
    assert call(folder, "mine.py").strip() == str(ROOT / name / "__init__.py")


@pytest.mark.parametrize("name", ["train", "evalkit"])
def test_after_the_command_has_begun_import_finds_ours(folder: Path, name: str) -> None:
    (folder / "mine.py").write_text(
        "from datakit.core.require import prefer_own_packages\n"
        "prefer_own_packages()\n"
        f"from {name} import errors\n"
        "print(errors.__file__)\n"
    )
    assert call(folder, "mine.py").strip() == str(ROOT / name / "errors.py")


def test_importing_datakit_leaves_the_users_script_alone(folder: Path) -> None:
    (folder / "train.py").write_text("print('mine')\n")
    (folder / "mine.py").write_text("import datakit, datakit.core.require, train\n")
    assert call(folder, "mine.py").strip() == "mine"


def test_a_foreign_module_that_is_imported_already_is_named(folder: Path) -> None:
    (folder / "train.py").write_text("")
    (folder / "mine.py").write_text(
        "import train\n"
        "from datakit.core.errors import DatakitError\n"
        "from datakit.core.require import own_package\n"
        "try:\n    own_package('train')\nexcept DatakitError as error:\n    print(error)\n"
    )
    message = call(folder, "mine.py")
    assert str(folder / "train.py") in message
    assert "rename" in message
