"""``fetch`` against a hub on loopback, and the same recipe afterwards on a machine without any network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from datakit import pocket

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
SERVER = Path(__file__).with_name("hub_server.py")

RECIPE = """\
format: 1
name: support
data:
  sources:
    tickets: {path: "hf:org/tickets", columns: {text: text, label: label}}
  steps:
    - split: {validation: 0.2, test: 0.2, stratify: label}
    - template: {use: classify}
model: org/small
arms:
  full: {adapter: full, learning_rate: 1e-3, steps: 2}
evaluate: {task: test, suite: [capitals.yaml]}
"""
TASK = """\
task: capitals
dataset_path: org/capitals
test_split: test
output_type: multiple_choice
doc_to_text: "The capital of {{ country }} is"
doc_to_choice: ["one", "two"]
doc_to_target: answer
"""

# No socket may be opened but those of one process with itself (multiprocessing, asyncio).
NO_NETWORK = """
import socket
def refuse(self, address):
    raise AssertionError(f"the network was asked: {address!r}")
socket.socket.connect = refuse
socket.socket.connect_ex = refuse
def lookup(*names, **options):
    raise AssertionError(f"a name was looked up: {names!r}")
socket.getaddrinfo = lookup
"""


def rows(count):
    words = ["refund", "exchange"]
    return "".join(
        json.dumps({"text": f"please {words[n % 2]} number {n}", "label": words[n % 2]}) + "\n" for n in range(count)
    )


@pytest.fixture
def hub(tmp_path):
    """A hub with a model and two datasets; yields its environment and a function that stops it and tells the calls."""
    root = tmp_path / "hub"
    shutil.copytree(pocket.model_path(), root / "models" / "org" / "small")
    (root / "models" / "org" / "small" / "code.py").write_text("raise SystemExit('never run')")
    (root / "datasets" / "org" / "tickets").mkdir(parents=True)
    (root / "datasets" / "org" / "tickets" / "train.jsonl").write_text(rows(60))
    (root / "datasets" / "org" / "capitals").mkdir(parents=True)
    items = [{"country": f"land {n}", "answer": n % 2} for n in range(8)]
    (root / "datasets" / "org" / "capitals" / "test.jsonl").write_text(
        "".join(json.dumps(item) + "\n" for item in items)
    )
    server = subprocess.Popen(
        [sys.executable, str(SERVER), str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    port = int(server.stdout.readline())

    def stop() -> list[str]:
        if server.poll() is not None:
            return []
        out, _ = server.communicate()
        return json.loads(out)

    home = tmp_path / "home"
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("HF_") and "proxy" not in key.lower()},
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "HF_HOME": str(home / "hf"),
        "DATAKIT_CACHE": str(home / "datakit"),
        "PYTHONPATH": str(ROOT),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_XET": "1",
    }
    yield environment, stop, root
    stop()
    server.stdin.close()
    server.stdout.close()


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "support.yaml").write_text(RECIPE)
    (folder / "capitals.yaml").write_text(TASK)
    return folder


def call(environment, folder, *arguments, forbid=False):
    code = f"{NO_NETWORK if forbid else ''}\nfrom datakit.cli import main\nmain({list(arguments)!r})"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)


def test_fetched_here_and_run_there(hub, project, tmp_path):
    environment, stop, root = hub
    done = call(environment, project, "fetch", "support.yaml", "-o", "bundle", "--json")
    assert done.returncode == 0, done.stderr
    things = {(thing["kind"], thing["name"]) for thing in json.loads(done.stdout)["things"]}
    assert things == {("model", "org/small"), ("dataset", "org/tickets"), ("dataset", "org/capitals")}
    bundle = project / "bundle"
    assert (bundle / "org" / "small" / "model.safetensors").read_bytes() == (
        root / "models" / "org" / "small" / "model.safetensors"
    ).read_bytes()
    assert not list(bundle.rglob("*.py"))
    assert str(tmp_path) not in (bundle / "bundle.json").read_text()

    again = call(environment, project, "fetch", "support.yaml", "-o", "bundle")
    assert again.stdout.count("there already") == 3
    asked = stop()
    assert (
        sum("resolve" in line and line.endswith("model.safetensors") and line.startswith("GET") for line in asked) == 1
    )

    # another machine: empty caches, no network
    there = {**environment, "HF_HOME": str(tmp_path / "other"), "DATAKIT_CACHE": str(tmp_path / "cache")}
    (project / "support.yaml").write_text(RECIPE + "hub: bundle\nnetwork: never\n")
    ran = call(there, project, "run", "support.yaml", forbid=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report = json.loads((project / "runs" / "support" / "report.json").read_text())
    assert [row["task"] for row in report["arms"][0]["general"]] == ["capitals"]


def test_all_that_is_missing_is_named_together(hub, project, tmp_path):
    environment, stop, _ = hub
    stop()
    (project / "support.yaml").write_text(RECIPE + "network: never\n")
    for command in ("run", "check"):
        done = call(environment, project, command, "support.yaml", forbid=True)
        assert done.returncode == 1
        for name in ("org/small", "org/tickets", "org/capitals"):
            assert f"'{name}'" in done.stderr
        assert "datakit fetch support.yaml -o bundle" in done.stderr
        assert len(done.stderr.strip().splitlines()) <= 2
    assert not (project / "runs").exists()


def test_a_hub_that_lacks_something_says_what(hub, project):
    environment, _, root = hub
    shutil.rmtree(root / "datasets" / "org" / "capitals")
    done = call(environment, project, "fetch", "support.yaml", "-o", "bundle")
    assert done.returncode == 1
    assert "'org/capitals'" in done.stderr
    assert "task capitals" in done.stderr
    # what was fetched before stays and is not fetched again
    assert (project / "bundle" / "org" / "small" / "config.json").is_file()


def test_a_folder_of_somebody_else_is_left_alone(hub, project):
    environment, _, _ = hub
    (project / "mine").mkdir()
    (project / "mine" / "notes.txt").write_text("mine")
    done = call(environment, project, "fetch", "support.yaml", "-o", "mine")
    assert done.returncode == 2
    assert [path.name for path in (project / "mine").iterdir()] == ["notes.txt"]
