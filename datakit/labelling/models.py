"""Who is asked: a model behind an OpenAI-compatible server, or a model folder on this machine."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from datakit.core.errors import DatakitError
from datakit.core.hashing import json_digest
from datakit.core.secrets import written_key
from datakit.labelling.prices import Price

__all__ = ["DEFAULT_SERVER", "ModelSpec", "read_key"]

DEFAULT_SERVER = "https://api.openai.com/v1"

_KEY = "env:OPENAI_API_KEY"


class ModelSpec(BaseModel):
    """One model and how it is asked.

    Attributes:
        model: Its name at the server.
        local: Instead of ``model``: a model folder, a Hub name, or a registered name such as ``pocket``; its options
            are scored on this machine.
        server: Base URL, ending in ``/v1`` mostly.
        key: ``env:NAME`` or ``file:PATH``; never the key itself.
        votes: How often each row is asked.
        temperature: 0 for one vote, 0.7 for several.
        top_p: Of the sampling.
        max_tokens: Of an answer.
        seed: Handed to the server, plus the number of the vote.
        schema_: ``auto`` uses JSON schema where the server takes it, ``never`` asks in words alone.
        logprobs: ``auto`` asks for the log-probabilities of an option where the server gives them, ``never`` does not.
        timeout: Seconds for one call.
        concurrency: Calls in flight at most.
        price: Where the table has none.
        extra: Further keys of the request's body.
    """

    # An error message of pydantic would repeat the value, and that may be a key put in the wrong place.
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)

    model: str | None = None
    local: str | None = None
    server: str = DEFAULT_SERVER
    key: str | None = None
    votes: int = Field(default=1, ge=1, le=100)
    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int = Field(default=256, ge=1)
    seed: int | None = None
    schema_: Literal["auto", "never"] = Field(default="auto", alias="schema")
    logprobs: Literal["auto", "never"] = "auto"
    timeout: float = Field(default=60.0, gt=0)
    concurrency: int = Field(default=16, ge=1, le=1000)
    price: Price | None = None
    extra: dict[str, Any] = Field(default_factory=dict)

    @field_validator("server")
    @classmethod
    def _no_secret_in_it(cls, server: str) -> str:
        parts = urlsplit(server)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("a server is a URL such as http://127.0.0.1:8000/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("a server's URL has no user, password or query; name the key with key: env:NAME")
        return server.rstrip("/")

    @field_validator("key")
    @classmethod
    def _a_reference(cls, key: str | None) -> str | None:
        if key is not None and (key.partition(":")[0] not in ("env", "file") or not key.partition(":")[2]):
            raise ValueError("a key is named as env:NAME or file:PATH; the key itself never stands in a recipe")
        return key

    @field_validator("extra")
    @classmethod
    def _no_key_in_it(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if (name := written_key(extra)) is not None:
            raise ValueError(f"'{name}' looks like a key; a key is named with key: env:NAME or file:PATH")
        return extra

    @model_validator(mode="after")
    def _one_of_both(self) -> ModelSpec:
        if (self.model is None) == (self.local is None):
            raise ValueError("give 'model', its name at a server, or 'local', a model on this machine")
        if self.local is not None and self.votes > 1:
            raise ValueError("a local model scores the options: every vote would be the same, so it has one")
        if self.votes > 1 and self.temperature == 0:
            raise ValueError(f"{self.votes} votes at temperature 0 are one vote; leave temperature out or raise it")
        return self

    @property
    def name(self) -> str:
        """For reports: the model's name."""
        return str(self.model or self.local)

    @property
    def heat(self) -> float:
        """The temperature that is sent."""
        return self.temperature if self.temperature is not None else (0.0 if self.votes == 1 else 0.7)

    @property
    def is_here(self) -> bool:
        """Whether nothing leaves this machine."""
        if self.local is not None:
            return True
        host = urlsplit(self.server).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def identity(self) -> str:
        """Hash of all that determines an answer but the question; key, price, time-out and concurrency do not."""
        outside = {"key", "price", "timeout", "concurrency", "votes"}
        return json_digest({**self.model_dump(mode="json", exclude=outside), "heat": self.heat})


def read_key(spec: ModelSpec, folder: Path) -> str:
    """The key of a model's server; a placeholder for a server on this machine that names none.

    Raises:
        DatakitError: The variable is not set, or the file not readable or empty. The key is in no message.
    """
    reference = spec.key or _KEY
    scheme, _, rest = reference.partition(":")
    if scheme == "env":
        key, problem = os.environ.get(rest, "").strip(), f"the environment variable '{rest}' is not set"
    else:
        try:
            key = (folder / rest).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise DatakitError(f"the key file cannot be read ({type(error).__name__})", where=folder / rest) from None
        problem = f"the key file '{rest}' is empty"
    if spec.key is None and spec.is_here:
        return "none"  # a server here needs none, and someone else's key is not for it
    if not key:
        raise DatakitError(
            problem,
            where=f"model '{spec.name}'",
            hint=f"Put the key of {spec.server} there, or name another place: key: env:NAME or file:PATH",
        )
    return key
