"""Evaluations by lighteval with its dummy model, run in lighteval's own environment: ``lighteval_run.py FOLDER``."""

import sys
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import requests

# On import lighteval fetches a file of a benchmark that is not used here and asks the hub for a judge.
requests.get = lambda *_, **__: SimpleNamespace(status_code=404)
huggingface_hub.HfApi.list_models = lambda *_, **__: [True]

from lighteval.logging.evaluation_tracker import EvaluationTracker  # noqa: E402
from lighteval.models.dummy.dummy_model import DummyModelConfig  # noqa: E402
from lighteval.pipeline import ParallelismManager, Pipeline, PipelineParameters  # noqa: E402

if __name__ == "__main__":
    target = Path(sys.argv[1])
    tasks = str(Path(__file__).with_name("lighteval_tasks.py"))
    for name, seed in (("before", 1), ("after", 2)):
        pipeline = Pipeline(
            tasks="pick|0,words|0",
            pipeline_parameters=PipelineParameters(
                launcher_type=ParallelismManager.NONE, custom_tasks_directory=tasks, bootstrap_iters=0
            ),
            evaluation_tracker=EvaluationTracker(output_dir=str(target / name), save_details=True),
            model_config=DummyModelConfig(model_name=f"dummy-{name}", seed=seed, cache_dir=str(target / "cache")),
        )
        pipeline.evaluate()
        pipeline.save_and_push_results()
