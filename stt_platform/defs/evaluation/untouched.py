"""Whether anything that examines translators has been learned from."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from stt_platform.evaluation.held_out import HeldOutText
from stt_platform.scripture.splitting import TEST, comparable
from stt_platform.store.choices import frozen_segments
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import CORPUS, StageOutput, current_output
from stt_platform.training.translation_set import TRANSLATION

TRAINING_SET = "translation_training_set"


def training_set(home: Path) -> StageOutput | None:
    """The training set as it is now, or None."""
    return current_output(home, CORPUS, TRAINING_SET)


def problems_of_the_test_set(store: MetadataStore, verses: Sequence[HeldOutText]) -> list[str]:
    """A sentence for each reason why these verses may not be trusted as a test; empty where there is none.

    No verse may be in the training set, by its segment or by its Spanish words, nor on another side than the one that
    was frozen when a training set was first made: what any adapter was trained on, from whichever set, was frozen then.
    """
    return [*_learned(store, verses), *_moved(store.home, verses)]


def _learned(store: MetadataStore, verses: Sequence[HeldOutText]) -> Iterator[str]:
    if training_set(store.home) is None:
        return
    rows = store.query(
        'select distinct segment_id, target from training_examples where "set" = ? and segment_id is not null',
        [TRANSLATION],
    )
    segments = set(rows["segment_id"].to_pylist())
    # Terms such as "Salmo" are taught by themselves, and may be all that a verse says.
    targets = {comparable(target) for target in set(rows["target"].to_pylist())}
    for verse in verses:
        if verse.segment_id in segments:
            yield f"the segment {verse.segment_id} of it is in the training set"
        elif comparable(verse.reference) in targets:
            yield f"the Spanish of its segment {verse.segment_id} is in the training set"


def _moved(home: Path, verses: Sequence[HeldOutText]) -> Iterator[str]:
    frozen = frozen_segments(home)
    for verse in verses:
        if (side := frozen.get(verse.segment_id, TEST)) != TEST:
            yield f"its segment {verse.segment_id} was frozen on the side {side!r}: a model may have learned from it"
