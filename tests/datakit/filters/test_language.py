import csv
import gzip
import json

import pytest

from datakit.core.errors import StepError
from datakit.filters.language import LanguageParams, LanguageStep

TEXTS = [
    "Could you tell me where my parcel is? I ordered it last week.",
    "주문한 상품이 아직 도착하지 않았어요. 언제쯤 받을 수 있을까요?",
    "Bonjour, je voudrais savoir quand ma commande sera livrée, merci.",
    "Ich möchte wissen, wann meine Bestellung geliefert wird, danke.",
    "ok",
    "12345 67890 !!! 11111 22222 33333",
    "",
]


def test_other_languages_go_and_what_is_unsure_stays(context, plain, run):
    step = LanguageStep(LanguageParams(keep=("en", "ko")), context)
    kept, reasons = run(step, [plain(k, text) for k, text in enumerate(TEXTS)])
    assert kept == [0, 1, 4, 5, 6]
    assert {k: (reason, evidence["language"]) for k, (reason, evidence) in reasons.items()} == {
        2: ("language", "fr"),
        3: ("language", "de"),
    }
    assert all(evidence["score"] > 0.9 for _, evidence in reasons.values())
    assert "3 rows too short or too mixed to tell were kept" in step.notes()


def test_unsure_rows_go_on_request(context, plain, run):
    rows = [plain(k, text) for k, text in enumerate(TEXTS)]
    kept, reasons = run(LanguageStep(LanguageParams(keep="ko", unsure="drop"), context), rows)
    assert kept == [1]
    assert [reasons[k][0] for k in (0, 4, 5, 6)] == ["language", *["language_unsure"] * 3]


def test_a_code_that_is_none(context):
    with pytest.raises(StepError, match="no language 'english'"):
        LanguageStep(LanguageParams(keep="english"), context)


@pytest.mark.real
def test_on_real_english_and_korean(real_data, context, plain, run):
    with gzip.open(real_data / "classification/banking77/train.csv.gz", "rt", encoding="utf-8") as stream:
        english = [row["text"] for row in csv.DictReader(stream)][:1500]
    file = next((real_data / "instruction/korean_chatbot").glob("*.csv*"))
    with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8") as stream:
        korean = [row["A"] for row in csv.DictReader(stream)][:1500]
    rows = [plain(k, text) for k, text in enumerate(english + korean)]
    for keep, there in (("en", range(1500)), ("ko", range(1500, 3000))):
        _, reasons = run(LanguageStep(LanguageParams(keep=(keep,)), context), rows)
        lost = [k for k in there if k in reasons]
        assert len(lost) <= 15, json.dumps([rows[k].text for k in lost][:5], ensure_ascii=False)
