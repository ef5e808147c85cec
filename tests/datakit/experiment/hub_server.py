"""A small Hugging Face hub on loopback: the calls that ``huggingface_hub`` makes for a snapshot, over a folder.

Run as a script it prints its address and serves until its input ends. Repositories lie at ``models/org/name`` and
``datasets/org/name`` below the folder.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit


def commit(folder: Path) -> str:
    """A revision that changes with the content."""
    state = hashlib.sha1()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        state.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return state.hexdigest()


class Hub(BaseHTTPRequestHandler):
    root = Path()
    asked: ClassVar[list[str]] = []

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.asked.append(f"{self.command} {path}")
        parts = path.split("/")
        if parts[0] == "api" and parts[1] in ("models", "datasets"):
            folder = self.root / parts[1] / parts[2] / parts[3]
            if not folder.is_dir():
                self.fail(404, "RepoNotFound")
                return
            files = [{"rfilename": file.relative_to(folder).as_posix()} for file in folder.rglob("*") if file.is_file()]
            if len(parts) > 4 and parts[4] == "tree":
                entries = [
                    {
                        "type": "file",
                        "path": item["rfilename"],
                        "size": (folder / item["rfilename"]).stat().st_size,
                        "oid": "0" * 40,
                    }
                    for item in files
                ]
                self.send(json.dumps(entries).encode(), body=body)
                return
            name = f"{parts[2]}/{parts[3]}"
            info = {"id": name, "modelId": name, "sha": commit(folder), "siblings": files, "private": False, "tags": []}
            self.send(json.dumps(info).encode(), body=body)
            return
        kind = "datasets" if parts[0] == "datasets" else "models"
        rest = parts[1:] if kind == "datasets" else parts
        if len(rest) > 4 and rest[2] == "resolve":
            folder = self.root / kind / rest[0] / rest[1]
            file = folder.joinpath(*rest[4:])
            if file.is_file():
                data = file.read_bytes()
                headers = {"X-Repo-Commit": commit(folder), "ETag": f'"{hashlib.sha1(data).hexdigest()}"'}
                self.send(data, body=body, headers=headers, kind="application/octet-stream")
                return
        self.fail(404, "EntryNotFound")

    def send(self, data: bytes, *, body: bool, headers: dict | None = None, kind: str = "application/json") -> None:
        self.send_response(200)
        for key, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def fail(self, code: int, word: str) -> None:
        self.send_response(code)
        self.send_header("X-Error-Code", word)
        self.send_header("Content-Length", "0")
        self.end_headers()


if __name__ == "__main__":
    Hub.root = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()
    sys.stdout.write(json.dumps(Hub.asked))
