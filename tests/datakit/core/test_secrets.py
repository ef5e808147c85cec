"""Keys written into settings are noticed, ordinary settings are not."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from datakit.core.secrets import written_key
from train import Arm


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"command": {"config": {"hub_token": "abc"}}}, "hub_token"),
        ({"trl": {"options": [{"deep": {"api_key": "x"}}]}}, "api_key"),
        ({"run": "curl -H hf_abcdefgh12345"}, "run"),
        ({"a": ["--password-file", "sk-abcdefgh12345"]}, "a"),
        ({"Authorization": "Bearer x"}, "Authorization"),
        ({"wandb": {"password": ""}}, None),
        ({"eos_token": "</s>", "max_tokens": 5, "add_bos_token": True, "hub_token": None}, None),
        ({"template": "qwen", "cutoff_len": 512, "key": "value", "secret": 3}, None),
        ("native", None),
        (None, None),
    ],
)
def test_written_key(settings: object, name: str | None) -> None:
    assert written_key(settings) == name


def test_an_arm_with_a_key_is_refused_without_repeating_it() -> None:
    backend = {"command": {"run": "train {config}", "config": {"hub_token": "hf_verysecret1"}}}
    with pytest.raises(ValidationError, match="'hub_token' looks like a key") as error:
        Arm(backend=backend)
    assert "hf_verysecret1" not in error.value.errors()[0]["msg"]  # which is what a reader of recipes shows
