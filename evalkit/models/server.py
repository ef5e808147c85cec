"""``openai:NAME@URL``: a model behind an OpenAI-compatible server (vLLM, llama.cpp, SGLang, a hosted one).

Log-likelihoods come from the completions endpoint with ``echo`` and ``logprobs``, where a server has them; what only
generates can take tasks that generate. With a chat template (``chat: {template: auto}``) answers come from the chat
endpoint, else from completions. The key is taken from ``OPENAI_API_KEY`` and never written anywhere. Results are not
stored: nothing says which bytes answer behind a name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from datakit.core.chat import ChatSettings
from datakit.core.errors import Unreachable
from datakit.core.hashing import digest
from datakit.core.require import require
from evalkit.errors import EvalError
from evalkit.models.facts import Facts, RequestFacts
from evalkit.models.foreign import Foreign
from evalkit.models.generation import cut_answer, stop_strings, token_budget

__all__ = ["openai"]

#: Requests under way at once.
_PARALLEL = 8


def openai(reference: str, chat: ChatSettings) -> Foreign:
    """A served model.

    Args:
        reference: ``openai:NAME@http://host:port/v1``.
        chat: Chooses the endpoint for answers.

    Raises:
        EvalError: No URL in it.
    """
    name, _, url = reference.partition(":")[2].partition("@")
    if not name or not url.startswith(("http://", "https://")):
        raise EvalError(
            f"'{reference}' names no server", hint="Write openai:NAME@URL, openai:qwen@http://localhost:8000/v1 say"
        )
    return Foreign(lambda: _model(name, url, chat), (digest("openai", name, url), ""), device="server", stored=False)


def _model(name: str, url: str, chat: ChatSettings) -> Any:
    sdk = require("openai", extra="label")
    client = sdk.OpenAI(base_url=url, api_key=os.environ.get("OPENAI_API_KEY", "none"), max_retries=4, timeout=120)

    def asked(send: Any, **arguments: Any) -> Any:
        try:
            return send(model=name, **arguments)
        except sdk.APIConnectionError as error:
            raise Unreachable(f"the server at '{url}' does not answer ({error})", hint="Is it running?") from None
        except sdk.APIStatusError as error:
            line = " ".join(str(error).split())[:200]
            raise EvalError(f"the server at '{url}' refused a request for '{name}': {line}") from None

    return _served(client, asked, url, chat)


def _served(client: Any, asked: Callable[..., Any], url: str, chat: ChatSettings) -> Any:
    """lm-eval's interface over a client; ``asked`` turns its errors into ours."""
    from lm_eval.api.model import LM

    class Served(LM):  # type: ignore[misc]
        """Answers lm-eval's requests through HTTP."""

        tokenizer = None
        batch_tokens = 0
        done: Any = None

        def prepare(self, task: Any) -> None:
            """Forgets the facts of the task before."""
            self.facts = Facts()

        def _all(self, one: Any, requests: Sequence[Any]) -> list[Any]:
            with ThreadPoolExecutor(_PARALLEL) as pool:
                found = list(pool.map(one, requests))
            values = []
            for request, (value, count, finished) in zip(requests, found, strict=True):
                self.facts.requests[request.doc_id, request.idx] = RequestFacts(count, finished)
                values.append(value)
            if self.done is not None:
                self.done(len(requests))
            return values

        def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
            """Sum of the log-probabilities of the continuation's tokens, echoed by the server."""

            def one(request: Any) -> tuple[tuple[float, bool], int, bool]:
                context, continuation = request.args
                # As lm-eval does: spaces at the end of the context belong to the continuation.
                bare = len(context.rstrip())
                sent = asked(
                    client.completions.create, prompt=context + continuation, max_tokens=1, echo=True, logprobs=1,
                    temperature=0,
                )  # fmt: skip
                return _scored(sent, bare, len(context + continuation), url)

            return self._all(one, requests)

        def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
            """Of a whole text; its first token has no probability and is left out."""

            def one(request: Any) -> tuple[float, int, bool]:
                sent = asked(
                    client.completions.create,
                    prompt=request.args[0],
                    max_tokens=1,
                    echo=True,
                    logprobs=1,
                    temperature=0,
                )
                (value, _), count, finished = _scored(sent, 0, len(request.args[0]), url)
                return value, count, finished

            return self._all(one, requests)

        def generate_until(self, requests: Sequence[Any]) -> list[str]:
            """Answers up to a stop string."""

            def one(request: Any) -> tuple[str, int, bool]:
                prompt, options = request.args
                settings = _sampling(options)
                if chat.template == "none":
                    choice = asked(client.completions.create, prompt=prompt, **settings).choices[0]
                    text = choice.text
                else:
                    turns = [{"role": "user", "content": prompt}]
                    choice = asked(client.chat.completions.create, messages=turns, **settings).choices[0]
                    text = choice.message.content or ""
                text, stopped = cut_answer(text, stop_strings(options), thinking=chat.thinking)
                return text, max(1, len(text.split())), stopped or choice.finish_reason == "stop"

            return self._all(one, requests)

    return Served()


def _sampling(options: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "max_tokens": token_budget(options),
        "temperature": float(options.get("temperature") or 0.0),
    }
    # The interface takes four stop strings; the others are cut off here.
    if stops := stop_strings(options)[:4]:
        settings["stop"] = stops
    return settings


def _scored(sent: Any, start: int, end: int, url: str) -> tuple[tuple[float, bool], int, bool]:
    """Sum over the tokens that end behind ``start`` and begin before ``end``, in characters of the prompt."""
    found = sent.choices[0].logprobs
    if found is None or not found.token_logprobs or found.text_offset is None or found.text_offset[0] >= max(end, 1):
        raise EvalError(
            f"the server at '{url}' gives no log-probabilities of a prompt (echo with logprobs)",
            hint="It can be evaluated on tasks that generate; vLLM and llama.cpp give them",
        )
    total, count, greedy = 0.0, 0, True
    places = [*found.text_offset[1:], None]
    best = found.top_logprobs or [None] * len(places)
    for place, after, value, likely in zip(found.text_offset, places, found.token_logprobs, best, strict=False):
        if place >= end or (after is not None and after <= start) or value is None:
            continue
        total += value
        count += 1
        greedy = greedy and (likely is None or value >= max(likely.values()) - 1e-9)
    if not count:
        raise EvalError(
            f"the server at '{url}' gives no log-probability for an answer", hint="An option must not be empty"
        )
    return (total, greedy), count, True
