"""Some minutes of training on scripture make the packaged Gemma a better translator of verses that it has not seen."""

from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.gemma_lora import measure
from stt_platform.evaluation.paired import paired_scores
from stt_platform.web.sword import fetch_sword


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_sixty_steps_beat_the_base_model_and_a_copy_of_the_source(tmp_path: Path) -> None:
    fetch_sword(["sword-text-kjv", "sword-text-sparv"], tmp_path / "texts")
    chosen = Namespace(
        folder=tmp_path / "texts", home=tmp_path, steps=60, verses=100, learning_rate=1e-3, examples=True
    )
    systems, full = measure(chosen, tmp_path)
    ours = systems.pop("adapter")
    for statistics in systems.values():
        gain = paired_scores(statistics.counts, ours.counts, ours.of, ours.units)
        assert gain.better == "b", gain.reason
    assert full >= 0.95
