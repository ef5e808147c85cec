"""The web application: rows out, words in. Whoever has the address may use it; nobody else, and no other page.

The address holds a random token. A request must name this machine as its host (so that no foreign name can be bent to
it), and what changes something must come from our own page: with its second token in a header, which other pages can
neither read nor send.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from typing import Any

from datakit.core.require import require
from datakit.labelling.answers import judge
from datakit.labelling.corrections import Corrections, Purpose
from datakit.labelling.folder import Kept

__all__ = ["Desk", "review_app"]

_MAX_BODY = 1 << 20


class Desk:
    """What lies on the table: rows in their order, and what was said about them.

    Args:
        kept: What was labelled.
        corrections: Takes the words.
        order: From :func:`datakit.labelling.queue.queue`.
        who: Name of the person.
    """

    def __init__(self, kept: Kept, corrections: Corrections, order: Sequence[tuple[int, Purpose]], who: str) -> None:
        self.labeller, self.corrections, self.who = kept.labeller, corrections, who
        self._items, self._results = kept.items.to_pylist(), kept.results.to_pylist()
        self.order = list(order)
        self._place = {self._results[at]["example_id"]: number for number, (at, _) in enumerate(self.order)}

    def progress(self) -> dict[str, Any]:
        """Rows in all, rows that were judged, and the first that was not."""
        said = self.corrections.latest()
        open_ = [n for n, (at, _) in enumerate(self.order) if self._results[at]["example_id"] not in said]
        done = len(self.order) - len(open_)
        return {"total": len(self.order), "done": done, "next": open_[0] if open_ else None, "who": self.who}

    def about(self) -> dict[str, Any]:
        """What is asked."""
        labeller = self.labeller
        options = [] if isinstance(labeller.options, str) else [one.model_dump() for one in labeller.options]
        if labeller.kind == "preference":
            options = [{"name": "a", "description": "answer A"}, {"name": "b", "description": "answer B"}, *options]
        facts = {"name": labeller.name, "kind": labeller.kind, "instruction": labeller.instruction.strip()}
        return {**facts, "options": options, **self.progress()}

    def item(self, number: int) -> dict[str, Any] | None:
        """A row as it is shown; None where there is none of that number."""
        if not 0 <= number < len(self.order):
            return None
        at, purpose = self.order[number]
        item, row = self._items[at], self._results[at]
        said = self.corrections.latest().get(row["example_id"])
        return {
            "number": number,
            "id": row["example_id"],
            "origin": item["origin"],
            "text": item["plain"] if self.labeller.kind == "spans" else item["text"],
            "given": item["given"],
            # A row that measures is judged without seeing what the model said.
            "label": None if purpose == "sample" else row["label"],
            "confidence": None if purpose == "sample" else row["confidence"],
            "distribution": None if purpose == "sample" else json.loads(row["distribution"] or "{}"),
            "status": row["status"],
            "purpose": purpose,
            "human": None if said is None else said.value,
            "by": None if said is None else said.who,
        }

    def say(self, id: str, value: Any) -> str | None:
        """Notes a word about a row; what is wrong with it, or None."""
        number = self._place.get(id)
        if number is None:
            return "no such row"
        at, purpose = self.order[number]
        judged = judge(self.labeller, value, self._items[at]["plain"])
        if judged.status != "ok":
            return "none of the options"
        self.corrections.add(id, judged.value, purpose=purpose, who=self.who)
        return None

    def undo(self) -> int | None:
        """Takes this person's last word back; the number of its row."""
        id = self.corrections.undo(self.who)
        return None if id is None else self._place.get(id)


def _page(csrf: str) -> tuple[str, str]:
    """The page, and the policy that lets it run its own script alone."""
    folder = files("datakit.labelling.review")
    script = folder.joinpath("page.js").read_text(encoding="utf-8")
    style = folder.joinpath("page.css").read_text(encoding="utf-8")
    text = folder.joinpath("page.html").read_text(encoding="utf-8")
    text = text.replace("/*style*/", style).replace("/*script*/", script).replace("{csrf}", csrf)

    def sha(part: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'"

    policy = (
        f"default-src 'none'; script-src {sha(script)}; style-src {sha(style)}; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    return text, policy


class _Gate:
    """Lets requests of our own page through, and puts the same headers on every response."""

    def __init__(self, token: str, csrf: str, port: int, policy: str) -> None:
        self.token, self.csrf = token.encode(), csrf.encode()
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self.headers = {
            "content-security-policy": policy,
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
            "cache-control": "no-store",
        }

    def refusal(self, request: Any) -> tuple[str, int] | None:
        """Why a request is none of ours, and the status that says so."""
        if request.headers.get("host") not in self.hosts:
            return "wrong host", 421
        if not secrets.compare_digest(request.path_params.get("token", "").encode(), self.token):
            return "not found", 404
        if request.method in ("GET", "HEAD"):
            return None
        origin = request.headers.get("origin")
        mine = secrets.compare_digest(request.headers.get("x-csrf", "").encode(), self.csrf)
        if not mine or (origin is not None and origin.removeprefix("http://") not in self.hosts):
            return "this request did not come from the page", 403
        return None

    def guarded(self, inner: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        """An endpoint behind the gate."""
        responses = require("starlette.responses", extra="label")

        async def endpoint(request: Any) -> Any:
            wrong = self.refusal(request)
            response = responses.PlainTextResponse(*wrong) if wrong else await inner(request)
            response.headers.update(self.headers)
            return response

        return endpoint


def review_app(desk: Desk, *, token: str, port: int) -> Any:
    """The application.

    Args:
        desk: What is judged.
        token: First part of every path.
        port: Where it is served, for the check of the host's name.
    """
    responses = require("starlette.responses", extra="label")
    routing = require("starlette.routing", extra="label")
    csrf = secrets.token_urlsafe(32)
    page, policy = _page(csrf)
    gate = _Gate(token, csrf, port, policy)

    async def home(request: Any) -> Any:
        return responses.HTMLResponse(page)

    async def about(request: Any) -> Any:
        return responses.JSONResponse(desk.about())

    async def item(request: Any) -> Any:
        found = desk.item(request.path_params["number"])
        return responses.JSONResponse(found or {"error": "no such row"}, 200 if found else 404)

    async def say(request: Any) -> Any:
        wrong = _said(desk, await request.body())
        return responses.JSONResponse({"error": wrong} if wrong else desk.progress(), 422 if wrong else 200)

    async def undo(request: Any) -> Any:
        return responses.JSONResponse({"number": desk.undo(), **desk.progress()})

    places = (("", home, "GET"), ("about", about, "GET"), ("item/{number:int}", item, "GET"), ("say", say, "POST"))
    routes = [
        routing.Route(f"/{{token}}/{path}", gate.guarded(endpoint), methods=[method])
        for path, endpoint, method in (*places, ("undo", undo, "POST"))
    ]
    app = require("starlette.applications", extra="label").Starlette(routes=routes)
    app.router.redirect_slashes = False  # an answer to an address without the token would tell that something is here
    return app


def _said(desk: Desk, body: bytes) -> str | None:
    """Notes the word in a request's body; what is wrong with it, or None."""
    try:
        said = json.loads(body) if len(body) <= _MAX_BODY else None
        return desk.say(str(said["id"]), said["value"]) if isinstance(said, dict) else "no JSON object"
    except (ValueError, KeyError, RecursionError):
        return "no JSON object with id and value"
