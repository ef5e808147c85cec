"""What a recipe needs, fetched from a hub on loopback, and read from the folder with sockets off."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from datakit.core.errors import Unreachable
from datakit.experiment.fetch import check_network, missing, needs
from datakit.experiment.models import resolve_model
from datakit.experiment.recipe import read_recipe

RECIPE = """
format: 1
data:
  sources:
    notes: {path: "hf:acme/notes", columns: {prompt: question, answer: answer}}
  steps:
    - split: {validation: 0.2, test: 0.2}
model: acme/tiny
evaluate: {suite: [arc_easy]}
"""
SHA = "1" * 40


@pytest.fixture
def repositories(tmp_path: Path) -> Path:
    """Files of a hub: two data sets and a model."""
    from datakit.pocket import model_path

    root = tmp_path / "hub"
    shutil.copytree(model_path(), root / "models" / "acme" / "tiny")
    (root / "models" / "acme" / "tiny" / "code.py").write_text("raise SystemExit")
    rows = [{"question": f"{number} and {number}?", "answer": str(2 * number)} for number in range(20)]
    items = [
        {"question": f"Which is {at}?", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "AB"[at % 2]}
        for at in range(6)
    ]
    for name, content in (("acme/notes", rows), ("allenai/ai2_arc", items)):
        folder = root / "datasets" / name
        folder.mkdir(parents=True)
        (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    splits = "".join(f"  - {{split: {split}, path: train.jsonl}}\n" for split in ("train", "validation", "test"))
    card = f"---\nconfigs:\n- config_name: ARC-Easy\n  data_files:\n{splits}---\n"
    (root / "datasets" / "allenai" / "ai2_arc" / "README.md").write_text(card)
    return root


@pytest.fixture
def endpoint(repositories: Path) -> Iterator[str]:
    """URL of a server that speaks what huggingface_hub asks of a hub."""

    class Handler(BaseHTTPRequestHandler):
        def _send(self, status: int, body: bytes, headers: dict[str, str], *, with_body: bool) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def _answer(self, *, with_body: bool) -> None:
            parts = self.path.partition("?")[0].strip("/").split("/")
            if parts[0] == "api":
                folder = repositories.joinpath(*parts[1:4])
                if len(parts) < 4 or not folder.is_dir():
                    self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, with_body=with_body)
                    return
                names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
                if "tree" in parts:
                    found = [
                        {"type": "file", "path": name, "size": (folder / name).stat().st_size, "oid": SHA}
                        for name in names
                    ]
                    body = json.dumps(found).encode()
                else:
                    siblings = [{"rfilename": name} for name in names]
                    body = json.dumps({"id": "/".join(parts[2:4]), "sha": SHA, "siblings": siblings}).encode()
                self._send(200, body, {"Content-Type": "application/json"}, with_body=with_body)
                return
            kind = "datasets" if parts[0] == "datasets" else "models"
            parts = parts[1:] if kind == "datasets" else parts
            path = repositories / kind / parts[0] / parts[1] / "/".join(parts[4:])
            body = path.read_bytes()
            mark = {"ETag": f'"{hashlib.sha1(body).hexdigest()}"', "X-Repo-Commit": SHA}
            self._send(200, body, mark, with_body=with_body)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def log_message(self, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def datakit(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    keys = {"HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "datakit", *arguments],
        cwd=folder,
        env={**os.environ, **keys, "PYTHONPATH": str(Path(__file__).parents[3]), **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def write_recipe(folder: Path, extra: str = "") -> Path:
    path = folder / "recipe.yaml"
    path.write_text(RECIPE + extra)
    return path


def test_all_that_is_missing_is_named_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "none"))
    recipe = read_recipe(write_recipe(tmp_path, "network: never\n"))
    assert [(need.kind, need.name) for need in needs(recipe)] == [
        ("model", "acme/tiny"),
        ("dataset", "acme/notes"),
        ("dataset", "allenai/ai2_arc"),
    ]
    with pytest.raises(Unreachable) as caught:
        check_network(recipe)
    text = str(caught.value)
    assert "3 things are not on this machine" in text
    assert all(name in text for name in ("acme/tiny", "acme/notes", "allenai/ai2_arc", "datakit fetch recipe.yaml -o"))
    check_network(read_recipe(write_recipe(tmp_path)))


@pytest.mark.slow
def test_a_bundle_is_fetched_and_read_without_sockets(
    tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recipe(tmp_path)
    done = datakit("fetch", "recipe.yaml", "-o", "bundle", folder=tmp_path, HF_ENDPOINT=endpoint)
    assert done.returncode == 0, done.stderr
    bundle = tmp_path / "bundle"
    assert (bundle / "acme" / "tiny" / "config.json").is_file()
    assert not (bundle / "acme" / "tiny" / "code.py").exists()
    assert json.loads((bundle / "fetched.json").read_text())["repositories"][0]["commit"] == SHA

    def refused(*args: object, **kwargs: object) -> None:
        raise AssertionError("a socket was opened")

    recipe = read_recipe(write_recipe(tmp_path, "network: never\nhub: bundle\n"))
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    assert missing(recipe) == []
    check_network(recipe)
    model = resolve_model(recipe.model, folder=recipe.folder, hub=recipe.hub, offline=True)
    assert model == bundle / "acme" / "tiny"

    import datasets

    from datakit.build import build
    from evalkit import Session, load_suite

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "arrow")
    built = build(recipe.data, output=tmp_path / "run", seed=1, folder=recipe.folder, offline=True)
    assert sum(built.splits.values()) == 20
    log = Session(model, offline=True, hub=recipe.hub).evaluate(load_suite(["arc_easy"]), store=False)
    assert len(log.primary()) == 6


def test_a_repository_that_the_hub_does_not_have_is_named(tmp_path: Path, endpoint: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.replace("acme/tiny", "acme/gone"))
    done = datakit("fetch", "recipe.yaml", "-o", "bundle", folder=tmp_path, HF_ENDPOINT=endpoint)
    assert done.returncode == 1
    assert "does not give the model 'acme/gone'" in done.stderr
    assert "Traceback" not in done.stderr
