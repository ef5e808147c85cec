"""Two evaluations by inspect with its mock model, run in inspect's own environment: ``inspect_run.py FOLDER``."""

import sys
from pathlib import Path

from inspect_ai import Task
from inspect_ai import eval as run
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import choice, includes, match
from inspect_ai.solver import generate, multiple_choice

COUNT = 12


def said(text: str, stop: str = "stop") -> ModelOutput:
    output = ModelOutput.from_content("mockllm/model", text, stop_reason=stop)
    # Otherwise the mock model counts tokens with a vocabulary that it downloads.
    output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    return output


def sums() -> Task:
    samples = [Sample(id=f"q{at}", input=f"What is {at} + {at}?", target=str(2 * at)) for at in range(COUNT)]
    return Task(dataset=MemoryDataset(samples), solver=generate(), scorer=[match(), includes()], name="sums")


def pick() -> Task:
    samples = [
        Sample(id=at, input=f"Colour {at}?", choices=["red", "blue", "green"], target="ABC"[at % 3])
        for at in range(COUNT)
    ]
    return Task(dataset=MemoryDataset(samples), solver=multiple_choice(), scorer=choice(), name="pick")


def evaluate(folder: Path, sum_answers: list[ModelOutput], pick_answers: list[ModelOutput], epochs: int = 1) -> None:
    for task, answers in ((sums(), sum_answers), (pick(), pick_answers)):
        model = get_model("mockllm/model", custom_outputs=answers * epochs, memoize=False)
        run(task, model=model, log_dir=str(folder), display="none", epochs=epochs, max_samples=1)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    right = [said(str(2 * at)) for at in range(COUNT)]
    letters = [said(f"ANSWER: {'ABC'[at % 3]}") for at in range(COUNT)]
    evaluate(target / "before", right, letters)
    # Three answers are cut off, one is empty; of the choices every B becomes an A.
    worse = [said("The answer", "max_tokens")] * 3 + [said("")] + right[4:]
    evaluate(target / "after", worse, [said("ANSWER: A") if at % 3 == 1 else letters[at] for at in range(COUNT)])
    evaluate(target / "epochs", right, letters, epochs=2)
