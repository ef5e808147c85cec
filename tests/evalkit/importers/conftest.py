"""Logs written by the real tools: lm-eval in this process, inspect and lighteval in environments of their own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = Path(__file__).parent / "scripts"


def peer(name: str) -> Path:
    """The interpreter of another tool's environment."""
    python = Path(os.environ.get("DATAKIT_PEERS") or ROOT / ".cache" / "peers").absolute() / name / "bin" / "python"
    if not python.exists():
        pytest.skip("run .ci/peer inspect lighteval")
    return python


def written(tool: str, folder: Path, **environment: str) -> Path:
    """Runs a script of a tool; the folder it wrote to."""
    command = [peer(tool), SCRIPTS / f"{tool}_run.py", folder / "logs"]
    offline = {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "hub"),
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }
    ran = subprocess.run(
        command, cwd=folder, env=os.environ | offline | environment, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return folder / "logs"


def documents(path: Path, count: int = 24) -> Path:
    """A file of items with a question, options and the gold one."""
    rows = [{"question": f"Pick {at}", "choices": ["red", "blue", "green"], "gold": at % 3} for at in range(count)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def inspect_logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written("inspect", tmp_path_factory.mktemp("inspect"))


@pytest.fixture(scope="session")
def lighteval_logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lighteval")
    data = documents(folder / "data" / "test.jsonl")
    return written("lighteval", folder, TASK_DATA=str(data.parent))


TASKS = {
    "pick": """
        output_type: multiple_choice
        doc_to_text: "{{question}}:"
        doc_to_choice: "{{choices}}"
        doc_to_target: gold
        metric_list: [{metric: acc}, {metric: acc_norm}, {metric: mcc}]
    """,
    "words": """
        output_type: generate_until
        generation_kwargs: {until: ["\\n"], do_sample: false}
        doc_to_text: "{{question}}?"
        doc_to_target: "{{'lol' if gold == 1 else 'no'}}"
        metric_list: [{metric: exact_match}]
        filter_list:
          - {name: strict, filter: [{function: take_first}]}
          - {name: flexible, filter: [{function: take_first}]}
    """,
    "prose": """
        output_type: loglikelihood_rolling
        doc_to_text: ""
        doc_to_target: "{{question}} and so on."
        metric_list: [{metric: word_perplexity}, {metric: bits_per_byte}]
    """,
}


@pytest.fixture(scope="session")
def lm_eval_logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """Folders ``before`` and ``after`` as lm-eval writes them for its dummy model, seeds apart."""
    import random
    import textwrap

    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.models.dummy import DummyLM
    from lm_eval.tasks import TaskManager

    from evalkit.engine import quiet_engine

    folder = tmp_path_factory.mktemp("lm-eval")
    data = documents(folder / "docs.jsonl")
    for name, text in TASKS.items():
        head = (
            f"task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: '{data}'}}}}\ntest_split: test\n"
        )
        (folder / f"{name}.yaml").write_text(head + textwrap.dedent(text), encoding="utf-8")
    patch = pytest.MonkeyPatch()
    patch.setattr(DummyLM, "tokenizer", None)  # its own is on the hub
    try:
        for seed, name in enumerate(("before", "after")):
            tracker = EvaluationTracker(output_path=str(folder / name))
            random.seed(seed)
            with quiet_engine(offline=True):
                found = simple_evaluate(
                    model="dummy",
                    model_args=f"pretrained=org/{name}",
                    tasks=list(TASKS),
                    task_manager=TaskManager(include_path=str(folder), include_defaults=False),
                    evaluation_tracker=tracker,
                    bootstrap_iters=0,
                )
                samples = found.pop("samples")
                tracker.save_results_aggregated(results=found, samples=samples)
                for task, own in samples.items():
                    tracker.save_results_samples(task_name=task, samples=own)
        yield lambda name: folder / name
    finally:
        patch.undo()
