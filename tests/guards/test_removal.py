"""Every way to train that help and pages name has a test that removes its central term and sees the effect go."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from train import Arm
from train.adapters import ADAPTERS
from train.backends import BACKENDS
from train.objectives import OBJECTIVES

TESTS = Path(__file__).resolve().parents[1]
ADAPTER, OBJECTIVE, KEEP = "train/adapters", "train/objectives", "train/retention"
#: Setting of an arm and its value, to the test.
REMOVED = {
    "adapter full": f"{OBJECTIVE}/test_sft.py::test_answers_are_learnt_and_not_without_the_loss",
    "adapter lora": f"{ADAPTER}/test_low_rank.py::test_lora_adds_a_low_rank_product_and_learns_nothing_without_it",
    "adapter rslora": f"{ADAPTER}/test_low_rank.py::test_rslora_scales_by_the_root_of_the_rank",
    "adapter dora": f"{ADAPTER}/test_low_rank.py::test_dora_trains_length_and_direction_apart",
    "adapter osf": f"{ADAPTER}/test_low_rank.py::test_osf_leaves_the_large_directions_alone",
    "adapter qlora": f"{ADAPTER}/test_qlora.py::test_it_is_lora_over_the_base_that_four_bits_leave",
    "adapter loreft": f"{ADAPTER}/test_reft.py::test_it_learns_and_not_without_the_intervention",
    "adapter direft": f"{ADAPTER}/test_reft.py::test_it_learns_and_not_without_the_intervention",
    "adapter peft:NAME": f"{ADAPTER}/test_tuners.py::test_it_trains_and_loads",
    "objective sft": f"{OBJECTIVE}/test_sft.py::test_answers_are_learnt_and_not_without_the_loss",
    "objective text": f"{OBJECTIVE}/test_text.py::test_learns_a_text_and_not_without_the_loss",
    "objective mlm": f"{OBJECTIVE}/test_mlm.py::test_learns_hidden_words_and_not_where_none_are_hidden",
    "objective dpo": f"{OBJECTIVE}/test_pairs.py::test_dpo_widens_the_margin_on_held_out_pairs",
    "objective orpo": (
        f"{OBJECTIVE}/test_pairs.py::test_the_odds_ratio_widens_the_margin_more_than_the_better_answer_alone"
    ),
    "objective reward": (
        f"{OBJECTIVE}/test_reward.py::test_praise_is_told_from_blame_on_unseen_pairs_and_not_without_the_worse_answer"
    ),
    "backend native": f"{OBJECTIVE}/test_sft.py::test_answers_are_learnt_and_not_without_the_loss",
    "backend trl": "train/test_trl_backend.py::test_where_every_answer_earns_the_same_nothing_is_learnt",
    "backend ppo": "train/ppo/test_ppo.py::test_nothing_is_learnt_without_the_policys_loss",
    "backend command": "train/test_backends.py::test_what_a_backend_writes_is_looked_at",
    "backend mock": "train/test_backends.py::test_mock_stands_for_a_training",
    "turns all": f"{OBJECTIVE}/test_sft.py::test_earlier_turns_are_learnt_and_not_where_they_are_left_out",
    "turn_weights": f"{OBJECTIVE}/test_sft.py::test_a_lighter_turn_is_learnt_less_and_not_without_the_weights",
    "targets mlp": "train/test_targets.py::test_attention_stays_as_it_was_and_not_without_the_choice",
    "replay": f"{KEEP}/test_terms.py::test_replayed_rows_are_kept_and_not_where_they_are_left_out",
    "replay self": (f"{KEEP}/test_self_replay.py::test_what_it_said_by_itself_is_kept_and_not_without_its_own_texts"),
    "kl": f"{KEEP}/test_terms.py::test_kl_keeps_the_model_near_the_start_and_not_without_it",
    "l2": f"{KEEP}/test_terms.py::test_l2_keeps_weights_near_the_start_and_not_without_it",
    "token_mask": f"{KEEP}/test_terms.py::test_masked_tokens_are_not_learnt_and_others_are",
    "watch stop": "train/test_watch.py::test_ends_where_too_much_is_lost_and_not_without_the_limit",
    "watch keep": "train/test_watch.py::test_the_best_state_is_kept_and_not_where_the_last_is",
    "interpolate": ("datakit/experiment/test_interpolate.py::test_the_choice_keeps_most_and_not_without_its_terms"),
    "packing": "train/test_packing.py::test_without_our_attention_and_with_a_full_mask_rows_do_see_each_other",
    "checkpointing": "train/test_packing.py::test_checkpointing_computes_again_and_changes_no_byte",
    "precision": "train/test_loop.py::test_small_updates_survive_where_bfloat16_is_only_computed_in",
    "weight_decay": "train/test_loop.py::test_equals_a_plain_loop_written_with_torch_and_transformers",
    "clip": "train/test_loop.py::test_equals_a_plain_loop_written_with_torch_and_transformers",
    "warmup": "train/test_loop.py::test_equals_a_plain_loop_written_with_torch_and_transformers",
    "schedule": "train/test_loop.py::test_equals_a_plain_loop_written_with_torch_and_transformers",
    "accumulate": "train/test_loop.py::test_accumulation_equals_one_large_batch",
    "batch_tokens": "train/test_packing.py::test_a_budget_of_tokens_cuts_packed_and_padded_batches",
}


def test_every_registered_way_to_train_is_there() -> None:
    named = {"adapter": ADAPTERS, "objective": OBJECTIVES, "backend": BACKENDS}
    ours = {f"{kind} {name}" for kind, registry in named.items() for name in registry.builtin}
    assert ours <= set(REMOVED)
    settings = {name.split()[0] for name in REMOVED} - {"interpolate"}
    assert settings <= set(Arm.model_fields)


@pytest.mark.parametrize("test", sorted(set(REMOVED.values())))
def test_the_test_is_there(test: str) -> None:
    file, _, name = test.partition("::")
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
