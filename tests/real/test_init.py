"""``datakit init`` on files as people publish them."""

from __future__ import annotations

from pathlib import Path

import pytest

from datakit.core.errors import SourceError
from datakit.core.yaml import load_yaml
from datakit.experiment.init import draft, write
from datakit.recipe import DataRecipe

pytestmark = pytest.mark.real

CASES = {
    "classification/sms_spam/SMSSpamCollection.gz": ("labels", "en", 5574, 2),
    "classification/banking77/train.csv.gz": ("labels", "en", 10003, 77),
    "korean/nsmc/test.tsv.gz": ("labels", "ko", 10000, 2),
    "instruction/korean_chatbot/ChatbotData.csv.gz": ("answers", "ko", 11823, 0),
    "instruction/gpteacher/toolformer-dedupe-only-dataset.json.gz": ("instructions", "en", 7673, 0),
    "instruction/dpo_preference_demo/dpo_en_demo.json.gz": ("preference", "en", 300, 0),
    "instruction/t0_p3_rendered/common_gen_Example_prompt.jsonl": ("answers", "en", 200, 0),
    "korean/klue_dev/klue-nli-v1.1_dev.json.gz": ("entailment", "ko", 3000, 3),
    "korean/kor_nlu/xnli.dev.ko.tsv.gz": ("pairs", "ko", 2490, 3),
    "benchmarks/gsm8k/train.jsonl.gz": ("answers", "en", 7473, 0),
    "text/wikitext2_valid_test/valid.txt.gz": ("text", "en", 2461, 0),
}


@pytest.mark.parametrize("file", CASES)
def test_taken_for_what_it_is(file: str, real_data: Path, tmp_path: Path) -> None:
    shape, language, rows, labels = CASES[file]
    drafted = draft(str(real_data / file), output=tmp_path / "r.yaml")
    found = drafted.meaning
    assert (found.shape, found.language, len(drafted.sight.rows), len(found.labels)) == (shape, language, rows, labels)
    write(drafted)
    DataRecipe.model_validate(load_yaml(drafted.path).value["data"])
    assert drafted.text.count("\n") < 30


def test_every_row_of_the_recipes_source_can_be_read(real_data: Path, tmp_path: Path) -> None:
    """What init says of header, encoding and columns holds for the whole file."""
    from datakit.sources import SourceSpec, open_source

    for file, (_, _, rows, _) in CASES.items():
        drafted = draft(str(real_data / file), output=tmp_path / "r.yaml")
        write(drafted, force=True)
        ((name, written),) = load_yaml(drafted.path).value["data"]["sources"].items()
        read = open_source(name, SourceSpec.model_validate(written), folder=tmp_path).read()
        assert read.rows_in == rows, file
        assert read.output.table.num_rows == rows, file


@pytest.mark.parametrize(
    "file", ["korean/klue_dev/klue-ner-v1.1_dev.tsv.gz", "korean/klue_dev/klue-dp-v1.1_dev.tsv.gz"]
)
def test_tokens_by_line_are_refused(file: str, real_data: Path) -> None:
    with pytest.raises(SourceError, match="rows do not fit"):
        draft(str(real_data / file))
