"""The review application over HTTP: who is let in, and what is kept."""

from __future__ import annotations

import json
import re

import pytest
from conftest import rows

from datakit.labelling.folder import LabelFolder
from datakit.labelling.queue import queue
from datakit.labelling.review import Desk, review_app

HOST = {"host": "127.0.0.1:7000"}


@pytest.fixture
def desk(labelled, stub, tmp_path):
    stub.answer = lambda text, body: json.dumps({"label": "positive"})
    labelled(rows(6))
    folder = LabelFolder.of(tmp_path / "run")
    kept = folder.read()
    with folder.corrections() as corrections:
        yield Desk(kept, corrections, queue(kept, sample=2), "Ada")


@pytest.fixture
def call(desk):
    """A request to the application as it would arrive on port 7000; returns status, headers, body."""
    import asyncio

    app = review_app(desk, token="token", port=7000)

    def call(method, path, *, headers=HOST, body=b""):
        sent = []

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            sent.append(message)

        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
        scope |= {"headers": raw, "scheme": "http", "server": ("127.0.0.1", 7000), "client": ("127.0.0.1", 1)}
        scope |= {"http_version": "1.1", "root_path": "", "asgi": {"version": "3.0"}}
        asyncio.run(app(scope, receive, send))
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], found, b"".join(part.get("body", b"") for part in sent[1:])

    return call


def csrf(call):
    return re.search(rb'name="csrf" content="([\w-]+)"', call("GET", "/token/")[2])[1].decode()


def post(call, path, value, **headers):
    return call("POST", path, headers={**HOST, **headers}, body=json.dumps(value).encode())


@pytest.mark.parametrize("path", ["/", "/about", "/wrong/", "/wrong/about", "/token2/", "/toke/item/0", "//about"])
def test_without_the_token_there_is_nothing(call, path):
    assert call("GET", path)[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:7001", "localhost.evil.example:7000"])
def test_another_name_for_this_machine_is_refused(call, host):
    assert call("GET", "/token/about", headers={"host": host})[0] == 421
    assert call("GET", "/token/about", headers={"host": "localhost:7000"})[0] == 200


def test_what_changes_something_must_come_from_the_page(call, desk):
    id = desk.item(2)["id"]
    word, own = {"id": id, "value": "negative"}, csrf(call)
    assert post(call, "/token/say", word)[0] == 403
    assert post(call, "/token/say", word, **{"x-csrf": "guess"})[0] == 403
    assert post(call, "/token/say", word, **{"x-csrf": own, "origin": "http://evil.example"})[0] == 403
    assert post(call, "/token/undo", {})[0] == 403
    assert call("GET", "/token/say")[0] == 405
    assert desk.corrections.history() == []
    assert post(call, "/token/say", word, **{"x-csrf": own, "origin": "http://127.0.0.1:7000"})[0] == 200
    assert [one.value for one in desk.corrections.history()] == ["negative"]


def test_the_page_runs_its_own_script_alone(call):
    _, headers, body = call("GET", "/token/")
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert (headers["referrer-policy"], headers["cache-control"]) == ("no-referrer", "no-store")
    assert not re.search(rb"https?://|/\*style\*/|/\*script\*/", body)


def test_words_that_cannot_be_right(call, desk):
    own = {"x-csrf": csrf(call)}
    id = desk.item(0)["id"]
    for value in (
        {"id": id, "value": "eggs"},
        {"id": "x", "value": "positive"},
        {"id": id},
        [1],
        "x",
        {"id": id, "value": 1},
    ):
        assert post(call, "/token/say", value, **own)[0] == 422
    assert call("POST", "/token/say", headers={**HOST, **own}, body=b"{")[0] == 422
    assert call("GET", "/token/item/6")[0] == 404
    assert desk.corrections.history() == []


def test_a_random_row_is_judged_without_the_model(call):
    sample, doubtful = (json.loads(call("GET", f"/token/item/{n}")[2]) for n in (0, 2))
    assert (sample["purpose"], sample["label"], sample["distribution"]) == ("sample", None, None)
    assert (doubtful["purpose"], doubtful["label"]) == ("queue", "positive")


def test_a_word_can_be_taken_back_and_given_again(call, desk):
    own = {"x-csrf": csrf(call)}
    ids = [desk.item(n)["id"] for n in range(2)]
    for id in ids:
        post(call, "/token/say", {"id": id, "value": "Negative"}, **own)
    assert json.loads(post(call, "/token/undo", {}, **own)[2]) == {
        "number": 1, "total": 6, "done": 1, "next": 1, "who": "Ada",
    }  # fmt: skip
    assert set(desk.corrections.latest()) == {ids[0]}
    assert len(desk.corrections.history()) == 3
