"""One call to an OpenAI-compatible server through the official client, and what its failure means.

Nothing here is retried: the runner decides that, because it counts calls, money and places in flight.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datakit.core.errors import DatakitError, ModelError, Unreachable
from datakit.core.registry import suggest
from datakit.core.require import require
from datakit.labelling.answers import whole_text
from datakit.labelling.logprobs import Token, read_tokens
from datakit.labelling.models import ModelSpec

__all__ = ["Again", "Reply", "Server", "Unusable"]

#: From the strictest to words alone; a server that refuses one is asked with the next.
_MODES = ("schema", "object", "words")

_MOST_TOKENS = 1 << 40  # a count above is no count

#: Alternatives to each token, from what most servers give at most down to none at all.
_ALTERNATIVES = (20, 5, 0)


class Again(Exception):
    """The call may succeed when it is made again.

    Attributes:
        refused: The server says that there were too many calls.
        wait: Seconds the server asks to wait.
        billed: It is not known whether the server worked for it.
        said: The server did answer, with an error.
        what: For people; no key in it.
    """

    def __init__(
        self, what: str, *, refused: bool = False, wait: float | None = None, billed: bool = False, said: bool = False
    ) -> None:
        super().__init__(what)
        self.what, self.refused, self.wait, self.billed, self.said = what, refused, wait, billed, said


class Unusable(Exception):
    """The server refuses this question and will do so again: too long a text, for example."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    content: str | None
    refused: bool
    finish: str | None
    tokens_in: int | None
    tokens_out: int | None
    tokens: Sequence[Token] = ()


class Server:
    """The client of one model.

    Args:
        spec: Who is asked and how.
        key: From :func:`read_key`.
        facts: What was learnt in earlier runs: ``mode``, ``limit`` and ``logprobs``.
        choices: One of several options is asked for: log-probabilities say how sure it is.
    """

    def __init__(self, spec: ModelSpec, key: str, facts: Mapping[str, Any], *, choices: bool = False) -> None:
        self.spec = spec
        self._choices = choices and spec.logprobs == "auto"
        self._key = key
        openai = require("openai", extra="label")
        self._errors = openai
        local: dict[str, Any] = {"trust_env": False} if spec.is_here else {}  # no proxy stands before this machine
        limits = {"max_connections": spec.concurrency, "max_keepalive_connections": spec.concurrency}
        http = openai.DefaultAsyncHttpxClient(**local, limits=_limits(openai, limits), follow_redirects=False)
        self._client = openai.AsyncOpenAI(
            api_key=key,
            base_url=spec.server,
            max_retries=0,
            timeout=spec.timeout,
            http_client=http,
        )
        self.facts = {"mode": "schema", "limit": "max_tokens", "logprobs": _ALTERNATIVES[0], **facts}

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    def _body(self, messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any], vote: int) -> dict[str, Any]:
        spec = self.spec
        body: dict[str, Any] = {"model": spec.model, "messages": list(messages), self.facts["limit"]: spec.max_tokens}
        body["temperature"] = spec.heat
        if spec.top_p is not None:
            body["top_p"] = spec.top_p
        if spec.seed is not None:
            body["seed"] = spec.seed + vote
        if self._choices and self.facts["logprobs"]:
            body |= {"logprobs": True, "top_logprobs": self.facts["logprobs"]}
        if spec.schema_ == "never":
            pass
        elif self.facts["mode"] == "schema":
            form = {"name": "answer", "schema": schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        elif self.facts["mode"] == "object":
            body["response_format"] = {"type": "json_object"}
        return {**body, **spec.extra}

    async def ask(self, messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any], vote: int) -> Reply:
        """One call.

        Raises:
            Again: It may succeed another time.
            Unusable: It never will, for this question.
            DatakitError: It never will, for any question.
        """
        errors = self._errors
        try:
            # The client's way for any endpoint: chat.completions.create would walk through messages and schema to
            # check their types, which takes longer than all the rest of a call.
            body = self._body(messages, schema, vote)
            return _reply(await self._client.post("/chat/completions", cast_to=object, body=body))
        except errors.APITimeoutError:
            raise Again(f"no answer in {self.spec.timeout:g} s", billed=True) from None
        except errors.APIConnectionError as error:
            cause = error.__cause__ or error
            # A connection that never stood did not carry a question.
            raise Again(f"{type(cause).__name__}", billed="Connect" not in type(cause).__name__) from None
        except errors.APIStatusError as error:
            raise self._status(error) from None
        except (errors.APIResponseValidationError, ValueError, RecursionError):
            raise Again("a response that is not JSON", billed=True) from None

    def _status(self, error: Any) -> Exception:
        code, said = int(error.status_code), self._said(error)
        server = f"'{self.spec.server}'"
        if "logprob" in said.lower() and (code < 500 or code == 501) and code not in (401, 429):
            return _Refused(f"{code}: {said}")
        if code in (401, 403):
            place = self.spec.key or "env:OPENAI_API_KEY"
            return DatakitError(
                f"{server} does not accept the key from {place} ({code}: {said})",
                hint="Put a valid key there; it is read anew in each run",
            )
        if code == 404:
            return _NoModel(said)
        if code == 429 and ("quota" in said or getattr(error, "code", None) == "insufficient_quota"):
            return DatakitError(f"{server} says that the account has no credit left ({said})", hint="Run it again then")
        if code in (408, 409, 425, 429) or code >= 500:
            wait = _wait(error.response.headers)
            return Again(f"{code}: {said}", refused=code in (429, 503, 529), wait=wait, said=True)
        return _Refused(f"{code}: {said}")

    def _said(self, error: Any) -> str:
        """The server's words in one short line, with the key taken out should it repeat it."""
        body = error.body
        text = body.get("message") if isinstance(body, dict) else None
        text = str(text or (body if isinstance(body, str) else None) or error.message)
        return whole_text(_scrubbed(" ".join(text.split()), self._key)[:300])  # type: ignore[no-any-return]

    async def models(self) -> list[str]:
        """Names of the models that the server has; none where it does not say."""
        try:
            page = await self._client.models.list()
            return [str(model.id) for model in page.data]
        except (self._errors.OpenAIError, ValueError, TypeError, AttributeError):
            return []

    async def learn(
        self, messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any], vote: int, *, fresh: bool
    ) -> Reply:
        """As :meth:`ask`; a server that refuses a form of request is asked in the next form it may take.

        Args:
            messages: Of the question.
            schema: Of the answer.
            vote: Number of the vote.
            fresh: No call has succeeded yet: a refusal may lie in the form and not in the question.
        """
        begun = dict(self.facts)
        while True:
            tried = dict(self.facts)
            try:
                return await self.ask(messages, schema, vote)
            except _NoModel as error:
                raise await self._unknown(str(error)) from None
            except _Refused as error:
                if tried != self.facts:
                    continue  # another call has found a form meanwhile
                said = str(error)
                if "max_completion_tokens" in said and self.facts["limit"] == "max_tokens":
                    self.facts["limit"] = "max_completion_tokens"
                elif self._choices and tried["logprobs"] and ("logprob" in said.lower() or _unclear(said, fresh)):
                    named = "logprob" in said.lower()
                    self.facts["logprobs"] = _ALTERNATIVES[_ALTERNATIVES.index(tried["logprobs"]) + 1] if named else 0
                elif self.spec.schema_ == "auto" and tried["mode"] != "words" and (fresh or _about_form(said)):
                    self.facts["mode"] = _MODES[_MODES.index(tried["mode"]) + 1]
                else:
                    if fresh:
                        self.facts = begun  # nothing was learnt: it lay in the question
                    raise Unusable(said) from None

    async def _unknown(self, said: str) -> DatakitError:
        known = await self.models()
        if str(self.spec.model) in known:
            return ModelError(f"'{self.spec.server}' answers 404 for the model '{self.spec.model}': {said}")
        hint = suggest(str(self.spec.model), known[:40]) if known else "Check the model's name and the server's address"
        return ModelError(f"'{self.spec.server}' has no model '{self.spec.model}' ({said})", hint=hint)

    def unreachable(self, last: str) -> DatakitError:
        """The error for a server that gives no answer at all."""
        return Unreachable(
            f"'{self.spec.server}' gives no answer for the model '{self.spec.name}' (last: {last})",
            hint="What is answered is kept; run it again when the server is well, or raise timeout",
        )


class _NoModel(Exception):
    pass


class _Refused(Exception):
    pass


def _limits(openai: Any, values: Mapping[str, int]) -> Any:
    """The connection limits in the class that the client's own HTTP library wants."""
    kind = type(openai.DEFAULT_CONNECTION_LIMITS)
    return kind(**values, keepalive_expiry=30.0)


def _about_form(said: str) -> bool:
    return re.search(r"response_format|json_schema|schema|structured|grammar|guided", said, re.IGNORECASE) is not None


def _unclear(said: str, fresh: bool) -> bool:
    """A first call that is refused without a word about the form of the answer."""
    return fresh and not _about_form(said)


def _wait(headers: Mapping[str, str]) -> float | None:
    """Seconds of Retry-After, a number; a date is left to the back-off."""
    try:
        return min(max(float(headers.get("retry-after", "")), 0.0), 120.0) or None
    except ValueError:
        return None


def _scrubbed(text: str, key: str) -> str:
    text = text.replace(key, "<key>") if len(key) > 4 else text
    return re.sub(r"\b(?:sk|pk|key)[-_][\w*.-]{8,}|\bBearer [\w*.-]{8,}", "<key>", text)


def _reply(body: Any) -> Reply:
    """The first choice of a response.

    Raises:
        Again: The body is not what a server of this kind sends.
    """
    try:
        choice = body["choices"][0]
        content = choice["message"].get("content")
        usage = body.get("usage")
        counts = [
            usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")
        ]
    except (KeyError, IndexError, TypeError, AttributeError):
        raise Again("a response that is not a completion", billed=True) from None
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    finish = choice.get("finish_reason")
    into, out = (value if type(value) is int and 0 <= value < _MOST_TOKENS else None for value in counts)
    return Reply(
        whole_text(content) if isinstance(content, str) else None,
        bool(choice["message"].get("refusal")) or finish == "content_filter",
        whole_text(str(finish)) if finish else None,
        into,
        out,
        read_tokens(choice),
    )
