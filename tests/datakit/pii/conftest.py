from __future__ import annotations

import gzip
import importlib.util
import json
import os
import socket
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Every test of this folder runs without a network: a connection is a failure, not a wait."""

    def refuse(*args, **kwargs):
        raise AssertionError("something opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="session")
def planted() -> ModuleType:
    """The module beside this file that invents personal data."""
    spec = importlib.util.spec_from_file_location("pii_planted", Path(__file__).with_name("planted.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def real_data() -> Path:
    named = os.environ.get("DATAKIT_REAL_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[4] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real data: set DATAKIT_REAL_DATA")
    return folder


@pytest.fixture(scope="session")
def sms(real_data) -> list[str]:
    with gzip.open(real_data / "classification/sms_spam/SMSSpamCollection.gz", "rt", encoding="utf-8") as stream:
        return [line.rstrip("\n").split("\t", 1)[1] for line in stream]


@pytest.fixture(scope="session")
def gold(real_data) -> list[dict]:
    with gzip.open(real_data / "pii/presidio_research/synth_dataset_v2.json.gz", "rt", encoding="utf-8") as stream:
        return json.load(stream)
