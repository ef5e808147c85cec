"""An OpenAI-compatible server for tests that answers by a rule and makes the faults it is told to, in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections import Counter

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

FAULTS = ("429", "500", "hang", "cut", "broken", "half")


def completion(content, *, refusal=None, finish="stop", tokens=(20, 5), logprobs=None):
    message = {"role": "assistant", "content": content, "refusal": refusal}
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "stub",
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": logprobs}],
        "usage": usage,
    }


class Stub:
    """Set ``answer`` (text of a row to content), ``faults`` (call number to a fault), ``latency``, ``limit``."""

    def __init__(self):
        self.answer = lambda text, body: json.dumps({"label": "ham"})
        self.faults = {}
        self.latency = 0.0
        self.key = None
        self.models = ["stub"]
        self.forms = ("json_schema", "json_object")
        self.alternatives = None  # to a token, at most; None ignores that log-probabilities are asked for
        self.limit = None  # calls at once that are not refused
        self.hang = 3600.0
        self.calls = 0
        self.served = Counter()
        self.bodies = []
        self.finished = []
        self.now = 0
        self.most = 0
        self._lock = threading.Lock()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        app = Starlette(
            routes=[
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/v1/models", self._models),
            ]
        )
        config = uvicorn.Config(app, port=self.port, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        with contextlib.suppress(SystemExit):
            asyncio.run(self._server.serve())

    def __enter__(self):
        self._thread.start()
        until = time.monotonic() + 20
        while not self._server.started:
            assert time.monotonic() < until, "the stub did not start"
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(timeout=10)

    async def _models(self, _):
        return JSONResponse({"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]})

    async def _complete(self, request: Request):
        body = await request.json()
        with self._lock:
            number, self.calls = self.calls, self.calls + 1
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            return await self._answered(request, body, number)
        finally:
            self.now -= 1

    async def _answered(self, request, body, number):
        given = request.headers.get("authorization", "")
        if self.key is not None and given != f"Bearer {self.key}":
            error = {"message": f"Incorrect API key provided: {given}", "code": "invalid_api_key"}
            return JSONResponse({"error": error}, 401)
        if body["model"] not in self.models:
            return JSONResponse({"error": {"message": f"The model {body['model']} does not exist"}}, 404)
        form = (body.get("response_format") or {}).get("type")
        if form is not None and form not in self.forms:
            return JSONResponse({"error": {"message": f"response_format {form} is not supported here"}}, 400)
        if self.alternatives is not None and body.get("top_logprobs", 0) > self.alternatives:
            return JSONResponse({"error": {"message": f"top_logprobs must be at most {self.alternatives}"}}, 400)
        if self.limit is not None and self.now > self.limit:
            self.served["limited"] += 1
            return JSONResponse({"error": {"message": "too many requests"}}, 429)
        fault = self.faults.get(number)
        self.served[fault or "ok"] += 1
        if fault == "hang":
            await asyncio.sleep(self.hang)
        await asyncio.sleep(self.latency)
        text = body["messages"][-1]["content"]
        self.bodies.append(body)
        if fault in ("429", "500"):
            return JSONResponse({"error": {"message": "a fault"}}, int(fault))
        made = self.answer(text, body)
        whole = json.dumps(made if isinstance(made, dict) and "choices" in made else completion(made)).encode()
        if fault == "cut":
            return Response(whole[: len(whole) // 2], headers={"content-length": str(len(whole))})
        if fault == "broken":
            whole = b"<html>oops" + whole[10:]
        if fault == "half":
            whole = whole[: len(whole) // 2]
        self.finished.append(text)
        return Response(whole, media_type="application/json")
