"""A model on this machine: probabilities that are the model's, and a real server with a real model."""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from conftest import rows

from datakit import pocket
from datakit.core.errors import DatakitError
from datakit.core.example import Example, from_table, to_table
from datakit.core.step import StepContext
from datakit.labelling.assemble import assemble
from datakit.labelling.labeller import Labeller, load_labeller
from datakit.labelling.local import Scorer
from datakit.labelling.models import ModelSpec
from datakit.labelling.plan import prepare
from datakit.labelling.prices import read_prices
from datakit.labelling.prompt import Prompt
from datakit.labelling.run import execute
from datakit.labelling.spending import Limits

OPTIONS = ["red", "a red drum", "Olga", "boat in the park"]
LONG = Labeller(name="x", kind="classify", instruction="Which?", options=OPTIONS)


@pytest.fixture(scope="module")
def scorer():
    return Scorer("pocket", Prompt(LONG, alone=True))


def test_probabilities_are_those_of_whole_passes(scorer):
    import torch

    from datakit.core.chat import ChatSettings, encode, render_answer, render_prompt

    found = scorer.answer("This drum is red.")
    prompt = render_prompt(scorer.prompt.messages("This drum is red."), scorer.tokenizer, ChatSettings())
    scores = []
    for name in LONG.names:
        before, after = encode(prompt, render_answer(name, scorer.tokenizer, ChatSettings()), scorer.tokenizer, end="")
        with torch.inference_mode():
            logits = scorer.model(input_ids=torch.tensor([[*before, *after]]), use_cache=False).logits[0]
        chances = torch.log_softmax(logits.double(), -1)
        scores.append(sum(float(chances[len(before) - 1 + k, token]) for k, token in enumerate(after)))
    total = math.log(sum(map(math.exp, scores)))
    expected = {name: math.exp(score - total) for name, score in zip(LONG.names, scores, strict=True)}
    assert found.probabilities == pytest.approx(expected, abs=2e-5)
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert found.content == max(expected, key=expected.get)


def test_a_row_longer_than_the_model_holds_is_told(scorer):
    found = scorer.answer("word " * 5000)
    assert (found.content, found.finish) == (None, "too_long")


def test_kinds_without_options_need_a_server(store):
    with pytest.raises(DatakitError, match="transformers serve"):
        prepare(
            rows(1),
            load_labeller("answer"),
            [ModelSpec(local="pocket")],
            store=store,
            prices=read_prices(),
            redact=None,
        )


def test_a_step_without_any_server(labelled, tmp_path):
    """Nothing leaves the machine, so nothing need be hidden; a second time the model is not even loaded."""
    context = StepContext(private=tmp_path / "p", labels={"s": ("red", "blue")})
    options = {"use": "classify", "models": [{"local": "pocket"}], "redact": True}
    output, step = labelled(rows(4, "This drum is red. {}"), context, **options)
    assert set(output.table["label"].to_pylist()) <= {"red", "blue"}
    assert (step.spending.answered, step.spending.calls) == (4, 0)
    again, step = labelled(rows(4, "This drum is red. {}"), context, **options)
    assert again.table.equals(output.table)
    assert (step.spending.answered, step.spending.cached) == (0, 4)


def test_a_text_too_long_for_the_model_is_dropped_as_that(labelled, tmp_path, capfd):
    context = StepContext(private=tmp_path / "p", labels={"s": ("red", "blue drum")})
    table = to_table([*from_table(rows(2, "This drum is red. {}")), Example("f" * 32, "g", "s", "o", text="w " * 9000)])
    output, _ = labelled(table, context, use="classify", models=[{"local": "pocket"}])
    assert output.ledger.to_pylist()[-1]["reason"] == "too_long"
    assert "deprecated" not in capfd.readouterr().err


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """``transformers serve`` with the pocket model, which is given a chat template."""
    folder = tmp_path_factory.mktemp("served")
    model = folder / "model"
    shutil.copytree(pocket.model_path(), model)
    facts = json.loads((model / "tokenizer_config.json").read_text())
    facts["chat_template"] = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    (model / "tokenizer_config.json").write_text(json.dumps(facts))
    (folder / "hub").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = Path(sys.executable).with_name("transformers")
    if not command.exists():
        pytest.skip("transformers has no command here")
    environment = {**os.environ, "HF_HOME": str(folder / "hub"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    call = [str(command), "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(call, env=environment, stdout=log, stderr=log)
    until = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
            break
        except OSError:
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            assert time.monotonic() < until, (folder / "log").read_text()[-2000:]
            time.sleep(0.3)
    yield f"http://127.0.0.1:{port}/v1", str(model)
    process.terminate()
    process.wait(timeout=30)


@pytest.mark.slow
def test_a_real_server_with_a_real_model(served, store):
    """The pocket model was never taught to write JSON: every answer is a vote, and nearly none is usable."""
    url, model = served
    free = Labeller(name="x", kind="answer", instruction="Go on.", output=None)
    spec = ModelSpec(model=model, server=url, max_tokens=12, timeout=120, concurrency=2)
    plan = prepare(rows(3, "Is this drum red? {}"), free, [spec], store=store, prices=read_prices(), redact=None)
    took = execute(plan, store, Limits("job"))
    votes = assemble(plan).to_pylist()
    assert {vote["status"] for vote in votes} <= {"ok", "unreadable"}
    assert all(vote["tokens_in"] > 10 and 0 < vote["tokens_out"] <= 12 for vote in votes)
    assert took.calls >= 3
    before = took.calls
    sentiment = load_labeller("sentiment")
    plan = prepare(rows(2), sentiment, [spec], store=store, prices=read_prices(), redact=None)
    took = execute(plan, store, Limits("job"))
    assert {vote["status"] for vote in assemble(plan).to_pylist()} <= {"ok", "outside", "unreadable"}
    plan = prepare(rows(2), sentiment, [spec], store=store, prices=read_prices(), redact=None)
    assert execute(plan, store, Limits("job")).calls == 0
    assert before
