"""The backend ``command``, with small programs that train nothing: good ones, and every way to be bad."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import ValidationError
from safetensors.numpy import load_file

from datakit.core.chat import ChatSettings
from datakit.core.storage import read_json
from train import Arm, TrainError, fit
from train.prepare import prepare

MOVES = """\
import json, pathlib, sys
from safetensors.numpy import load_file, save_file
config = json.loads(pathlib.Path(sys.argv[1]).read_text())
base, output = pathlib.Path(config["base_model"]), pathlib.Path(config["output_dir"])
tensors = load_file(base / "model.safetensors")
tensors["model.norm.weight"] = tensors["model.norm.weight"] + 0.5
output.mkdir()
save_file(tensors, output / "model.safetensors", metadata={"format": "pt"})
(output / "config.json").write_bytes((base / "config.json").read_bytes())
(output / "optimizer.pt").write_bytes(b"left behind")
print("in", pathlib.Path.cwd().name, "stdin", repr(sys.stdin.read()), "stärke")
"""


@pytest.fixture
def program(tmp_path):
    def write(text: str) -> str:
        folder = tmp_path / "a folder's programs"
        folder.mkdir(exist_ok=True)
        file = folder / "program.py"
        file.write_text(text, encoding="utf-8")
        return f'{sys.executable} "{file}" {{config}}'

    return write


def arm(run: str, *, adapter: str = "full", steps: int = 6, **settings) -> Arm:
    return Arm(adapter=adapter, backend={"command": {"run": run, **settings}}, steps=steps, batch_size=4)


def test_what_a_program_leaves_becomes_the_model(program, model_folder, dataset, tmp_path):
    output = tmp_path / "with space" / "out"
    result = fit(arm(program(MOVES)), model=model_folder, data=dataset(), output=output, seed=3)
    before, after = load_file(model_folder / "model.safetensors"), load_file(output / "model.safetensors")
    assert (after["model.norm.weight"] == before["model.norm.weight"] + 0.5).all()
    assert {path.suffix for path in output.iterdir()} == {".safetensors", ".json", ".jsonl", ".md"}
    assert json.loads((output / "generation_config.json").read_text())["eos_token_id"] == 257
    found = read_json(output / "train.json")
    assert found["arm"]["backend"]["command"]["run"].endswith("{config}")
    assert found["tokens_per_second"] is None
    assert result.validation_loss > 0
    log = output.with_name("out.command.log")
    assert log.read_text(encoding="utf-8") == "in .out.work stdin '' stärke\n"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert sorted(path.name for path in output.parent.iterdir()) == ["out", "out.command.log"]


def seen(program, dataset, model, tmp_path, settings: Arm, **options) -> Path:
    """The files a program is given: it copies them away, then fails."""
    copy = (
        f"import shutil, pathlib; shutil.copytree(pathlib.Path.cwd(), {str(tmp_path / 'seen')!r}); raise SystemExit(9)"
    )
    written = settings.backend["command"] | {"run": program(copy)}
    settings = Arm.model_validate({**settings.model_dump(exclude_none=True), "backend": {"command": written}})
    with pytest.raises(TrainError, match="exit code 9"):
        fit(settings, model=model, data=dataset(), output=tmp_path / "out", **options)
    return tmp_path / "seen"


def test_token_rows_are_those_of_our_own_loop(program, model_folder, dataset, tmp_path, replay_file):
    settings = Arm(
        adapter="lora",
        rank=3,
        backend={"command": {"run": "x"}},
        epochs=2,
        batch_size=4,
        replay={"from": "g", "share": 0.2},
    )
    data, replay = dataset(), {"g": replay_file}
    folder = seen(program, lambda: data, model_folder, tmp_path, settings, seed=1, replay=replay)
    ready = prepare(settings, model=model_folder, data=data, replay=replay)
    rows = [json.loads(line) for line in (folder / "data" / "train.jsonl").read_text().splitlines()]
    mine = {
        (*row.ids.tolist(), *(id if on else -100 for id, on in zip(row.ids.tolist(), row.trained, strict=True)))
        for row in (*ready.train.rows, *ready.replay.rows)
    }
    theirs = {(*row["input_ids"], *row["labels"]) for row in rows}
    assert theirs <= mine
    assert len(rows) == len(ready.train.rows) + 2  # a fifth of ten is replayed
    config = json.loads((folder / "config.json").read_text())
    assert config | {"rank": 3, "alpha": 6.0, "steps": 6, "seed": 1, "stop_tokens": [257], "batch_size": 4} == config
    assert len((folder / "data" / "validation.jsonl").read_text().splitlines()) == 3


def test_llamafactory_with_its_own_template_is_given_conversations(program, chat_folder, dataset, tmp_path):
    yaml = pytest.importorskip("yaml")
    config = {"template": "chatml", "logging_steps": 3}
    settings = arm("x", adapter="lora", format="llamafactory", config=config)
    chat = ChatSettings(system="Be brief.")
    folder = seen(program, dataset, chat_folder, tmp_path, settings, chat=chat)
    info = json.loads((folder / "data" / "dataset_info.json").read_text())
    rows = json.loads((folder / "data" / info["train"]["file_name"]).read_text())
    assert rows[2]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "수도는 어디?"},
        {"role": "assistant", "content": "서울"},
    ]
    found = yaml.safe_load((folder / "config.yaml").read_text())
    assert found | config | {"finetuning_type": "lora", "lora_target": "all", "max_steps": 6} == found
    assert Path(found["dataset_dir"]).name == "data"


def test_axolotls_config_is_yaml_that_version_1_1_reads_alike(program, model_folder, dataset, tmp_path):
    yaml = pytest.importorskip("yaml")
    settings = Arm(adapter="lora", learning_rate=1e-5, backend={"command": {"run": "x", "format": "axolotl"}}, steps=2)
    folder = seen(program, dataset, model_folder, tmp_path, settings)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["learning_rate"] == 1e-5
    assert config["lora_target_linear"] is True
    assert config["datasets"][0] | {"ds_type": "json", "type": None} == config["datasets"][0]
    row = json.loads((folder / "data" / "train.jsonl").read_text().splitlines()[0])
    assert row.keys() == {"input_ids", "attention_mask", "labels"}  # what axolotl takes as tokenised


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("print('it burns'); raise SystemExit(3)", "failed with exit code 3; it ended with: it burns"),
        ("raise SystemExit(1)", "exit code 1; it ended with: nothing"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "exit code -11"),
        ("print('done')", "left no .safetensors weights in {output}; there is: nothing"),
        (MOVES.replace("model.safetensors", "pytorch.bin").replace("load_file(base / \"pytorch.bin\")",
         "load_file(base / 'model.safetensors')"), "there is: config.json, optimizer.pt, pytorch.bin"),
        (MOVES.replace("+ 0.5", "+ 0"), "is the base model, unchanged"),
        (MOVES.replace("+ 0.5", "* float('nan')"), "holds NaN"),
        (MOVES + "(output / 'model.safetensors').write_bytes(bytes(100))", "model.safetensors is not readable"),
        (MOVES + "(output / 'config.json').write_text('{')", "is not readable"),
        (MOVES + "(output / 'config.json').write_text('[]')", "is not readable"),
        (MOVES.replace("output.mkdir()", "output = output.parent / 'elsewhere'; output.mkdir()"), "there is: nothing"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_said_and_nothing_is_left(text, message, program, model_folder, dataset, tmp_path):
    with pytest.raises(TrainError) as caught:
        fit(arm(program(text)), model=model_folder, data=dataset(), output=tmp_path / "out")
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_program_that_is_not_there(model_folder, dataset, tmp_path):
    with pytest.raises(TrainError, match="'no-such-trainer' does not start"):
        fit(arm("no-such-trainer {config}"), model=model_folder, data=dataset(), output=tmp_path / "out")


def alive(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("ends", [False, True], ids=["hangs", "leaves a child behind"])
def test_a_program_that_hangs_is_ended_with_all_it_started(ends, program, model_folder, dataset, tmp_path):
    child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    text = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "time.sleep(0.7)\n"  # until the child ignores SIGTERM
        "print(child.pid, flush=True)\n" + ("raise SystemExit(4)" if ends else "time.sleep(60)")
    )
    started = time.monotonic()
    message = "exit code 4" if ends else r"was not done after 3 s and was ended"
    with pytest.raises(TrainError, match=message):
        fit(arm(program(text), timeout=60 if ends else 3), model=model_folder, data=dataset(), output=tmp_path / "out")
    assert time.monotonic() - started < 30
    number = int((tmp_path / "out.command.log").read_text().split()[0])
    deadline = time.monotonic() + 5
    while alive(number) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(number)


def test_no_secret_reaches_the_log_or_the_message(program, model_folder, dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh")
    monkeypatch.setenv("WANDB_API_KEY", "hf_abcdefgh-and-more")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")  # short and no secret: it stands in ordinary words
    text = "import os; print(os.environ['WANDB_API_KEY'], os.environ['HF_TOKEN'], 'false'); raise SystemExit(2)"
    with pytest.raises(TrainError) as caught:
        fit(arm(program(text)), model=model_folder, data=dataset(), output=tmp_path / "out")
    log = (tmp_path / "out.command.log").read_text()
    assert log == "*** *** false\n"
    assert "abcdefgh" not in str(caught.value)
    monkeypatch.setenv("DATABASE_URL", "postgres://bob:hunter22@host/name")
    text = "import os; print(os.environ['DATABASE_URL']); raise SystemExit(2)"
    with pytest.raises(TrainError, match="postgres://bob:"):
        fit(arm(program(text)), model=model_folder, data=dataset(), output=tmp_path / "out")
    assert (tmp_path / "out.command.log").read_text() == "postgres://bob:***@host/name\n"


def test_a_config_that_holds_a_secret_is_not_taken(program, model_folder, dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh1234")
    monkeypatch.setenv("MY_TOKENIZER", "LlamaForCausalLM")  # no secret, and it stands in every config
    leaks = MOVES + (
        "import os\nown = json.loads((base / 'config.json').read_text())\n"
        "(output / 'config.json').write_text(json.dumps({**own, 'hub': os.environ['HF_TOKEN']}))\n"
    )
    with pytest.raises(TrainError, match=r"config\.json, .* holds the value of the environment variable HF_TOKEN"):
        fit(arm(program(leaks)), model=model_folder, data=dataset(), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    fit(arm(program(MOVES)), model=model_folder, data=dataset(), output=tmp_path / "out")


def test_nothing_is_given_to_a_shell(program, model_folder, dataset, tmp_path):
    program(MOVES)
    run = f"{sys.executable} -c 'import sys; print(sys.argv[1:]); raise SystemExit(5)' $HOME; touch {tmp_path}/touched"
    with pytest.raises(TrainError) as caught:
        fit(arm(run), model=model_folder, data=dataset(), output=tmp_path / "out")
    assert "['$HOME;', 'touch'," in str(caught.value)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"run": "  "}, "the command is empty"),
        ({"run": "train {konfig}"}, "'{konfig}': {config}, {data}, {model}, {output} can stand in it"),
        ({"run": "train 'x"}, "No closing quotation"),
        ({}, "backend.command.run: Field required"),
    ],
)
def test_settings_that_cannot_be_right(settings, message):
    with pytest.raises(ValidationError) as caught:
        Arm(adapter="lora", backend={"command": settings})
    assert message in str(caught.value)


def test_conversations_hold_no_replayed_text():
    own = {"run": "x", "format": "llamafactory", "config": {"template": "llama3"}}
    with pytest.raises(ValidationError, match="replay mixes token rows"):
        Arm(backend={"command": own}, replay={"from": "general", "share": 0.1})


def test_token_rows_for_llamafactory_are_a_dataset_on_disk(program, model_folder, dataset, tmp_path):
    datasets, yaml = pytest.importorskip("datasets"), pytest.importorskip("yaml")
    folder = seen(program, dataset, model_folder, tmp_path, arm("x", adapter="lora", format="llamafactory"))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert Path(config["tokenized_path"]).name == "tokenized"
    found = datasets.load_from_disk(str(folder / "data" / "tokenized"))
    rows = [json.loads(line) for line in jsonl(program, dataset, model_folder, tmp_path)]
    assert [row["input_ids"] for row in found["train"]] == [row["input_ids"] for row in rows]
    assert [row["labels"] for row in found["train"]] == [row["labels"] for row in rows]
    assert set(found["validation"][0]) == {"input_ids", "attention_mask", "labels"}


def jsonl(program, dataset, model, tmp_path) -> list[str]:
    """The same rows in the plain form."""
    (tmp_path / "seen").rename(tmp_path / "seen before")
    folder = seen(program, dataset, model, tmp_path, arm("x", adapter="lora"))
    return (folder / "data" / "train.jsonl").read_text().splitlines()


STATE = {
    "log_history": [
        {"step": 1, "loss": 2.5, "grad_norm": 0.5, "learning_rate": 1e-3, "epoch": 0.1},
        {"step": 2, "loss": 2.0},
        {"step": 2, "eval_loss": 9.0},
        {"step": 3, "loss": float("nan")},
    ]
}


@pytest.mark.parametrize("told", [json.dumps(STATE), "{", "[]", '{"log_history": [{"step": "x", "loss": 1}]}'])
def test_the_losses_that_a_trainer_tells_are_the_course(told, program, model_folder, dataset, tmp_path):
    text = MOVES + f"(output / 'trainer_state.json').write_text({told!r})\n"
    fit(arm(program(text)), model=model_folder, data=dataset(), output=tmp_path / "out")
    history = [entry for entry in read_json(tmp_path / "out" / "train.json")["history"] if "loss" in entry]
    expected = [{"step": 1, "loss": 2.5, "learning_rate": 1e-3, "gradient_norm": 0.5}, {"step": 2, "loss": 2.0}]
    assert history == (expected if told == json.dumps(STATE) else [])


@pytest.mark.slow
def test_an_interrupt_ends_the_program(program, model_folder, dataset, tmp_path):
    """Ctrl-C at ours must not leave a training running on somebody's GPU."""
    run = program("import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    ours = (
        "import pathlib, signal, train\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job of a shell ignores it
        f"arm = train.Arm(adapter='full', backend={{'command': {{'run': {run!r}}}}}, steps=1)\n"
        f"train.fit(arm, model={str(model_folder)!r}, data=pathlib.Path({str(dataset())!r}),"
        f" output=pathlib.Path({str(tmp_path / 'out')!r}))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", ours], stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
    log, deadline = tmp_path / "out.command.log", time.monotonic() + 120
    while not (log.is_file() and log.read_text().strip()):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    number = int(log.read_text())
    process.send_signal(__import__("signal").SIGINT)
    assert process.wait(30) != 0
    assert not alive(number)
    assert not (tmp_path / "out").exists()
    assert "out" not in os.listdir(tmp_path)  # noqa: PTH208
