"""The engine ``gliner:`` with the real library: a tiny model is trained here, since none can be fetched.

    pip install --no-deps --target SITE gliner==0.2.29
    PYTHONPATH=SITE python benchmarks/pii_gliner.py

The library is no dependency: it wants an older transformers than ours, and runs with ours nonetheless. The model knows
four names and shows the way through folder, windows and replacement, no quality.
Writes benchmarks/results/pii_gliner.json.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

ROOT = Path(__file__).resolve().parents[1]
NAMES = ["Runa Oakley", "Falk Ashby", "Mira Holt", "Jonas Reed"]
PLAIN = "The parcel came late today"


def rows() -> list[dict[str, Any]]:
    """Words and where a name stands."""
    found: list[dict[str, Any]] = [{"tokenized_text": PLAIN.split(), "ner": []}]
    for name in NAMES:
        found.append({"tokenized_text": f"{name} says hello to all".split(), "ner": [[0, 1, "person"]]})
        found.append({"tokenized_text": f"Yesterday {name} says no".split(), "ner": [[1, 2, "person"]]})
    return found


def trained(folder: Path) -> Path:
    """A model of two layers."""
    import torch
    from gliner import GLiNER, GLiNERConfig
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    signs = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    texts = [" ".join(row["tokenized_text"]) for row in rows()] + ["person location organization"]
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=300, special_tokens=list(signs.values())))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **signs)
    fast.save_pretrained(folder / "encoder")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(fast), **sizes)).save_pretrained(folder / "encoder")
    config = GLiNERConfig(
        model_name=str(folder / "encoder"), hidden_size=32, max_width=4, span_mode="markerV0", dropout=0.0
    )
    model = GLiNER.from_config(config)
    model.train()
    batch = model.data_collator_class(model.config, data_processor=model.data_processor, prepare_labels=True)(rows())
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    model.eval()
    model.save_pretrained(folder / "names")
    return folder / "names"


def main() -> None:
    """Trains, scans, replaces and writes."""
    from datakit.core.example import Example, from_table, to_table
    from datakit.pii import scan
    from datakit.pii.step import PiiStep

    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        engine = f"gliner:{trained(Path(name))}"
        asked = [*(f"{one} says hello to all" for one in NAMES), *(f"Yesterday {one} says no" for one in NAMES), PLAIN]
        found = [
            [text[span.start : span.end] for span in spans]
            for text, spans in zip(asked, scan(asked, engine=engine), strict=True)
        ]
        long = f"{PLAIN}. " * 60 + f"{NAMES[0]} says hello to all"
        ends = [span.end for span in scan([long], engine=engine)[0]]
        given = [
            Example(id="1", group="1", source="s", origin="f:1", text=asked[0]),
            Example(id="2", group="2", source="s", origin="f:2", text="x", fields={"by": NAMES[0]}),
        ]
        step = PiiStep(PiiStep.Params(engine=engine, replace="surrogate"))
        new = list(from_table(step.apply(to_table(given)).table))
    results = {
        "format": 1,
        "command": "PYTHONPATH=SITE python benchmarks/pii_gliner.py",
        "versions": {name: version(name) for name in ("gliner", "transformers", "torch")},
        "texts": len(asked),
        "as_trained": sum(names == [one] for names, one in zip(found, [*NAMES, *NAMES], strict=False))
        + (found[-1] == []),
        "name_in_the_last_window_found": len(long) - len(" says hello to all") in ends,
        "one_fake_name_in_text_and_fields": new[0].text == f"{new[1].fields['by']} says hello to all",
        "no_original_left": all(NAMES[0] not in json.dumps([row.text, row.fields]) for row in new),
    }
    path = ROOT / "benchmarks" / "results" / "pii_gliner.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
