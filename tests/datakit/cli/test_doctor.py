"""``datakit doctor``: what it says of machines that are not this one, and that it never fails for being offline."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import pytest

from datakit.experiment.doctor import EXTRAS, USES, examine, storage, unmet
from datakit.experiment.doctor_hub import hub, reach
from datakit.experiment.doctor_torch import judge, visible_gpus

ROOT = Path(__file__).resolve().parents[3]


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "datakit", "doctor", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_prints_eighty_columns_and_what_is_usable() -> None:
    done = doctor("--offline")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert max(len(line) for line in lines if "pip install" not in line) <= 80
    assert [line for line in lines if not line.startswith(" ")] == [
        *("Machine", "Packages", "Accelerator", "Hub", "Storage", "Usable"),
    ]
    assert "curation: yes" in lines[lines.index("Usable") + 1]


def test_json_has_every_finding() -> None:
    found = json.loads(doctor("--offline", "--json").stdout)
    assert found["format"] == 1
    names = {(finding["section"], finding["name"]) for finding in found["findings"]}
    assert {("Machine", "Python"), ("Packages", "train"), ("Accelerator", "GPU"), ("Storage", "cache")} <= names
    assert {finding["state"] for finding in found["findings"]} <= {"ok", "missing", "warn", "broken"}


def test_a_terminal_that_is_not_utf8_is_told() -> None:
    done = doctor("--offline", "--json", PYTHONIOENCODING="latin-1", PYTHONUTF8="0")
    text = next(finding for finding in json.loads(done.stdout)["findings"] if finding["name"] == "text")
    assert text["state"] == "warn"
    assert "PYTHONUTF8" in text["advice"]


def test_it_prints_on_an_ascii_terminal() -> None:
    done = doctor("--offline", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert "Python" in done.stdout


def test_a_cache_that_cannot_be_written_is_broken(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    done = doctor("--offline", DATAKIT_CACHE=str(file))
    assert done.returncode == 1
    assert "broken" in done.stdout
    assert "DATAKIT_CACHE" in done.stdout


def test_a_missing_extra_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    lines = ["click>=1", "no-such-library>=2; extra == 'pii'", "click>=99; extra == 'eval'", "click; extra == 'train'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines)
    missing = unmet()
    assert missing["pii"] == ["no-such-library>=2"]
    assert missing["eval"][0].startswith("click>=99 (is ")
    assert missing[""] == missing["train"] == []
    result = examine(offline=True)
    assert {use for use, there in result.usable.items() if not there} == {"personal data", "evaluation"}
    assert not result.broken
    assert result.install is not None
    assert result.install.endswith('[pii,eval]"')


def test_every_extra_a_user_may_install_is_known() -> None:
    with (ROOT / "pyproject.toml").open("rb") as stream:
        extras = tomllib.load(stream)["project"]["optional-dependencies"]
    assert set(EXTRAS) == set(extras) - {"all", "dev", "scale"}
    assert {extra for used in USES.values() for extra in used} == set(EXTRAS)


@pytest.mark.parametrize(
    ("gpus", "build", "usable", "hidden", "state", "words"),
    [
        ([], "CPU", [], None, "ok", "none found"),
        ([], "CUDA 12.9", [], None, "ok", "none found"),
        (["NVIDIA H200, 143771 MiB"], "CUDA 12.9", ["NVIDIA H200"], None, "ok", "1 x NVIDIA H200"),
        (["NVIDIA H200, 143771 MiB"], "CPU", [], None, "warn", "stands idle: torch is a CPU build"),
        (["an NVIDIA GPU"], "CUDA 12.9", [], None, "warn", "cannot use it"),
        (["an NVIDIA GPU"], "CUDA 12.9", [], "", "warn", "hidden"),
        (["an NVIDIA GPU"], "CPU", [], "-1", "warn", "hidden"),
    ],
)
def test_gpu(gpus: list[str], build: str, usable: list[str], hidden: str | None, state: str, words: str) -> None:
    finding = judge(gpus, build=build, usable=usable, hidden=hidden)
    assert finding.state == state
    assert words in finding.text
    assert (finding.advice is not None) == (state == "warn")


def test_gpus_are_found_without_torch_or_the_drivers_tool(tmp_path: Path) -> None:
    assert visible_gpus(tmp_path) == []
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidiactl").touch()
    assert visible_gpus(tmp_path) == []
    (tmp_path / "dev" / "nvidia0").touch()
    (tmp_path / "dev" / "nvidia1").touch()
    assert visible_gpus(tmp_path) == ["an NVIDIA GPU"] * 2


def test_offline_switches_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    finding = next(finding for finding in hub(offline=False) if finding.name == "reach")
    assert finding.state == "ok"
    assert "HF_HUB_OFFLINE=1" in finding.text


def test_a_hub_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(403)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert reach(f"http://127.0.0.1:{server.server_port}") is None
        server.shutdown()


def test_a_hub_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        problem = reach(f"http://127.0.0.1:{silent.getsockname()[1]}", patience=0.3)
        assert problem is not None
        assert time.monotonic() - start < 2
    assert reach("http://127.0.0.1:9", patience=2) is not None


def test_storage_of_a_folder_that_is_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAKIT_CACHE", str(tmp_path / "a" / "b"))
    assert {finding.state for finding in storage(tmp_path)} <= {"ok", "warn"}
    assert not (tmp_path / "a").exists()
