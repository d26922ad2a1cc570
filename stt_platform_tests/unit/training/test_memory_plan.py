"""Plans for the machine that this is made for: a card of 16 GB."""

from dataclasses import replace
from typing import Any

import pytest

from stt_platform.training.memory import estimate
from stt_platform.training.memory_plan import DoesNotFit, compare, plan, table
from stt_platform.training.training_shape import TrainingShape
from stt_platform_tests.helpers.model_configs import known

CARD_BYTES = 16_380 * (1 << 20)
"""What nvidia-smi says of an RTX 2000 Ada with "16 GB"."""

LANGUAGE_MODEL = r"(.*language_model.*|^model\.layers.*)\.(q|k|v|o|gate|up|down)_proj"

OURS = TrainingShape(
    rank=16, targets=LANGUAGE_MODEL, quantisation="nf4", lora_dropout=0.05, packed=True, sequence_length=512
)
SEED = replace(
    OURS,
    targets="all-linear",
    modules_to_save=("lm_head", "embed_tokens"),
    optimizer="paged_adamw_32bit",
    logits="full",
)
WHISPER = TrainingShape(
    rank=32, targets=("q_proj", "v_proj"), lora_dropout=0.05, rows=4, sequence_length=225, logits="full"
)


@pytest.mark.parametrize("name", ["translategemma-4b", "translategemma-12b"])
@pytest.mark.parametrize("tokens", [512, 2048])
def test_our_adapters_fit(name: str, tokens: int) -> None:
    found = plan(known(name), replace(OURS, sequence_length=tokens), card_bytes=CARD_BYTES, effective_batch=8)
    assert (found.rows, found.accumulation) == (1, 8)
    assert found.estimate.total_bytes < 0.95 * CARD_BYTES
    assert "1 × 8 rows a step: " in found.words


def test_the_seeds_12b_does_not_fit_and_the_reason_is_said() -> None:
    with pytest.raises(DoesNotFit) as refused:
        plan(known("translategemma-12b"), SEED, card_bytes=CARD_BYTES, effective_batch=8)
    error, words = refused.value, str(refused.value)
    assert "paging does not help" in words
    assert estimate(known("translategemma-12b"), SEED).unpageable_bytes > 0.95 * CARD_BYTES
    assert "trained copies of lm_head, embed_tokens 4.03 GB" in words
    assert "a copy each, even where they are one tensor in the model: 2,013.8 M parameters of 2 bytes" in words
    first = error.changes[0]
    assert first.what.startswith("no modules_to_save (lm_head, embed_tokens)") and first.fits
    assert f"saves {first.saved_bytes / 1e9:.2f} GB, which is enough" in words
    # 2.014e9 numbers: a copy and a gradient of 2 bytes, two states of 4.
    assert first.saved_bytes == 2 * 262_208 * 3840 * 12
    assert error.remedy == replace(SEED, modules_to_save=())
    assert plan(known("translategemma-12b"), error.remedy, card_bytes=CARD_BYTES, effective_batch=8).rows == 1


def test_the_seeds_4b_would_only_crawl() -> None:
    with pytest.raises(DoesNotFit, match=r"paging would let it run, but moves 10\.8\d GB there and back in every step"):
        plan(known("translategemma-4b"), SEED, card_bytes=CARD_BYTES, effective_batch=8)


@pytest.mark.parametrize("name", ["distil-large-v3", "large-v3"])
@pytest.mark.parametrize("quantisation", ["none", "int8"])
def test_whisper_fits_with_the_seeds_batch(name: str, quantisation: Any) -> None:
    training = replace(WHISPER, quantisation=quantisation)
    found = plan(known(name), training, card_bytes=CARD_BYTES, effective_batch=16)
    assert (found.rows, found.accumulation) == (4, 4)


def test_every_linear_layer_of_whisper_with_long_labels_fits() -> None:
    training = replace(WHISPER, targets="all-linear", sequence_length=448)
    assert plan(known("large-v3"), training, card_bytes=CARD_BYTES, effective_batch=16).rows == 4


def test_fewer_rows_at_a_time_are_made_up_for_by_accumulation() -> None:
    training = replace(WHISPER, checkpointing=False, rows=8)
    found = plan(known("large-v3"), training, card_bytes=CARD_BYTES, effective_batch=16)
    assert (found.rows, found.accumulation) == (4, 4)
    assert found.words.startswith("4 × 4 rows a step (not 8, which do not fit)")
    twice = estimate(known("large-v3"), training)
    assert twice.total_bytes > 0.95 * CARD_BYTES >= found.estimate.total_bytes


@pytest.mark.parametrize(("asked", "batch", "rows"), [(4, 6, 3), (4, 7, 1), (16, 4, 4), (1, 16, 1)])
def test_the_effective_batch_stays(asked: int, batch: int, rows: int) -> None:
    training = replace(WHISPER, rows=asked)
    found = plan(known("whisper-tiny.en"), training, card_bytes=CARD_BYTES, effective_batch=batch)
    assert (found.rows, found.rows * found.accumulation) == (rows, batch)
    assert "not" not in found.words


def test_what_other_programs_hold_counts() -> None:
    training = replace(OURS, sequence_length=2048, rows=4)
    alone = plan(known("translategemma-12b"), training, card_bytes=CARD_BYTES, effective_batch=8)
    shared = plan(
        known("translategemma-12b"), training, card_bytes=CARD_BYTES, effective_batch=8, used_bytes=4_000_000_000
    )
    assert shared.rows < alone.rows
    assert f"of the {(0.95 * CARD_BYTES - 4_000_000_000) / 1e9:.2f} GB that a card" in shared.words
    with pytest.raises(DoesNotFit, match=r"8\.00 GB that other programs hold"):
        plan(known("translategemma-12b"), training, card_bytes=CARD_BYTES, effective_batch=8, used_bytes=8_000_000_000)


def test_changes_that_are_enough_only_together_are_said_together() -> None:
    training = TrainingShape(
        dtype="float32", checkpointing=False, logits="full", sequence_length=4096, targets=LANGUAGE_MODEL
    )
    with pytest.raises(DoesNotFit) as refused:
        plan(known("translategemma-4b"), training, card_bytes=CARD_BYTES, effective_batch=1)
    error = refused.value
    assert not any(change.fits for change in error.changes)
    saved = [change.saved_bytes for change in error.changes]
    assert saved == sorted(saved, reverse=True)
    assert "together enough, with" in str(error)
    assert error.remedy is not None and error.remedy.checkpointing
    assert plan(known("translategemma-4b"), error.remedy, card_bytes=CARD_BYTES, effective_batch=1)


def test_a_model_that_no_change_makes_small_enough() -> None:
    with pytest.raises(DoesNotFit, match="take a smaller model, or a bigger card") as refused:
        plan(known("translategemma-12b"), OURS, card_bytes=6 * 10**9, effective_batch=8)
    assert refused.value.remedy is None


def test_training_all_of_whisper_large_wants_adapters() -> None:
    whole = TrainingShape(method="full", dtype="float32", rows=4, sequence_length=448, logits="full")
    with pytest.raises(DoesNotFit) as refused:
        plan(known("large-v3"), whole, card_bytes=CARD_BYTES, effective_batch=16)
    assert refused.value.changes[0].what == "adapters (LoRA, rank 16) instead of all weights"


def test_the_table_adds_up_and_says_how() -> None:
    found = plan(known("translategemma-12b"), OURS, card_bytes=CARD_BYTES, effective_batch=8)
    *parts, total = table(found.estimate)
    assert sum(row["GB"] for row in parts) == pytest.approx(total["GB"], abs=0.01)
    by_name = {row["what"]: row for row in parts}
    assert "10,758.4 M parameters of 0.516 bytes (nf4)" in by_name["language model, linear layers"]["how"]
    assert by_name["adapters"] == {"what": "adapters", "GB": 0.262, "how": "rank 16: 65.5 M parameters of 4 bytes"}
    # Tiles of logits are gone before a block goes backwards.
    assert "logits" not in by_name and "not at the same time" in by_name["one block at work"]["how"]


def test_predicted_beside_measured() -> None:
    found = plan(known("translategemma-4b"), OURS, card_bytes=CARD_BYTES, effective_batch=8).estimate
    # The allocator does not know the CUDA context.
    assert "measured (+0%)" in compare(found, found.total_bytes - 800_000_000)
    assert "measured (-50%)" in compare(found, 2 * (found.total_bytes - 800_000_000))


def test_a_cpu_is_not_refused() -> None:
    found = plan(known("translategemma-12b"), replace(SEED, rows=3), card_bytes=None, effective_batch=8)
    assert (found.rows, found.accumulation) == (2, 4)
    assert "on a CPU: about" in found.words


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="effective_batch 0"):
        plan(known("whisper-tiny.en"), WHISPER, card_bytes=CARD_BYTES, effective_batch=0)
