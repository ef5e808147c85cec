"""An OpenAI-compatible server on loopback whose log-probabilities are a tiny model's, beside the model itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from datakit.core.chat import ChatSettings
from datakit.core.errors import Unreachable
from evalkit.errors import EvalError
from evalkit.evaluate import Session
from evalkit.suite import load_suite

PLAIN = ChatSettings(template="none")


@pytest.fixture
def served(no_bos_folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """URL of a server, and what it may be told: ``echo`` off."""
    import torch

    from datakit.core.checkpoint import load_model, load_tokenizer

    model, tokenizer = load_model(no_bos_folder, dtype="float32"), load_tokenizer(no_bos_folder)
    told: dict[str, Any] = {"echo": True, "paths": []}
    one = threading.Lock()

    def echoed(prompt: str) -> dict[str, Any]:
        coded = tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True)
        ids = torch.tensor([coded["input_ids"]])
        with torch.inference_mode():
            rows = model(ids).logits[0].log_softmax(-1)
        values = [None, *(float(rows[at, ids[0, at + 1]]) for at in range(ids.shape[1] - 1))]
        best = [None, *({"best": float(rows[at].max())} for at in range(ids.shape[1] - 1))]
        offsets = [start for start, _ in coded["offset_mapping"]]
        return {"tokens": coded.tokens(), "token_logprobs": values, "top_logprobs": best, "text_offset": offsets}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with one:
                told["paths"].append(self.path)
                choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "logprobs": None}
                if self.path.endswith("chat/completions"):
                    choice["message"] = {"role": "assistant", "content": body["messages"][-1]["content"].split()[-1]}
                else:
                    choice["text"] = body["prompt"].split()[-1]
                    if told["echo"] and body.get("echo"):
                        choice["logprobs"] = echoed(body["prompt"])
            sent = {"id": "1", "object": "x", "created": 0, "model": body["model"], "choices": [choice]}
            data = json.dumps(sent).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1", told
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_served_model_scores_as_the_model_itself(
    served: tuple[str, dict[str, Any]], no_bos_folder: Path, suite_file: Path
) -> None:
    url, told = served
    task = load_suite(suite_file).tasks[0]
    found = Session(f"openai:tiny@{url}", chat=PLAIN).evaluate(task, limit=12)
    expected = Session(no_bos_folder, chat=PLAIN).evaluate(task, limit=12)
    for one, other in zip(found.primary().to_pylist(), expected.primary().to_pylist(), strict=True):
        assert one["choice_logprobs"] == pytest.approx(other["choice_logprobs"], abs=1e-4)
        assert (one["score"], one["item_id"], one["prompt_hash"]) == (
            other["score"],
            other["item_id"],
            other["prompt_hash"],
        )
    asked = len(told["paths"])
    Session(f"openai:tiny@{url}", chat=PLAIN).evaluate(task, limit=12)
    assert len(told["paths"]) == 2 * asked


@pytest.mark.parametrize(("chat", "path"), [(PLAIN, "/v1/completions"), (ChatSettings(), "/v1/chat/completions")])
def test_answers_come_from_the_endpoint_that_fits(
    chat: ChatSettings, path: str, served: tuple[str, dict[str, Any]], suite_file: Path
) -> None:
    url, told = served
    log = Session(f"openai:tiny@{url}", chat=chat).evaluate(load_suite(suite_file).tasks[1])
    assert set(told["paths"]) == {path}
    assert log.primary().column("score").to_pylist() == [1.0] * 6


def test_what_a_server_cannot_do_is_one_line(
    served: tuple[str, dict[str, Any]], suite_file: Path, tmp_path: Path
) -> None:
    url, told = served
    told["echo"] = False
    suite = load_suite(suite_file)
    with pytest.raises(EvalError, match="no log-probabilities of a prompt"):
        Session(f"openai:tiny@{url}", chat=PLAIN).evaluate(suite.tasks[0], limit=1)
    with pytest.raises(EvalError, match="names no server"):
        Session("openai:tiny")
    with pytest.raises(EvalError, match="adapter cannot be laid over"):
        Session(f"openai:tiny@{url}")._model(tmp_path).__enter__()


def test_a_server_that_is_not_there_is_named(suite_file: Path) -> None:
    with pytest.raises(Unreachable, match=r"127.0.0.1:9/v1' does not answer"):
        Session("openai:tiny@http://127.0.0.1:9/v1", chat=PLAIN).evaluate(load_suite(suite_file).tasks[1], limit=1)


def test_vllm_is_asked_for_where_it_is_missing(no_bos_folder: Path, suite_file: Path) -> None:
    from datakit.core.errors import MissingDependency

    with pytest.raises(MissingDependency, match="vllm, which is not installed"):
        Session(f"vllm:{no_bos_folder}").evaluate(load_suite(suite_file).tasks[0], limit=1)
