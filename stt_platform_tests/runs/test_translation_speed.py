"""Batches against one text after the other: faster, and the same but for what padding does."""

from pathlib import Path

import pytest
import torch

from benchmarks.translation import compare, loaded, packaged_verses, report
from stt_platform_tests.helpers.translator_models import SENTENCES, tiny_gemma


def test_the_benchmark_counts_what_differs(tmp_path: Path) -> None:
    tiny_gemma(tmp_path / "models" / "gemma-3-270m")
    translator = loaded("gemma-3-270m", "cpu", tmp_path)
    found = compare(translator, SENTENCES[:4], batch=2)
    assert len(found.batched.answers) == len(found.one_by_one.answers) == 4
    assert len({answer.text for answer in found.one_by_one.answers}) > 1
    assert found.differing == () and found.likeness == pytest.approx(100)
    assert "4 of 4 answers are the same" in report(found, SENTENCES[:4])


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_batches_give_the_same_answers_and_their_ratio_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """200 verses with the packaged Gemma 3 270M."""
    verses = packaged_verses(200)
    found = compare(loaded("gemma-3-270m", "cpu", tmp_path), verses, batch=32)
    with capsys.disabled():
        print(f"\n{torch.get_num_threads()} threads\n{report(found, verses)}")
    assert len(found.differing) <= 0.1 * len(verses)
    assert found.likeness > 90
