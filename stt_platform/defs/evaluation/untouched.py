"""Detect test-set contamination of the translators."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from stt_platform.evaluation.held_out import HeldOutText
from stt_platform.scripture.splitting import TEST, comparable
from stt_platform.store.choices import frozen_segments
from stt_platform.store.metadata import MetadataStore
from stt_platform.training.translation_set import TRANSLATION

TRAINING_SET = "translation_training_set"

_EXAMPLES = """
select distinct segment_id, target from training_examples where "set" = ? and segment_id is not null
order by segment_id, target
"""


@dataclass(frozen=True)
class Learned:
    """What translators learn from: aligned segments, Spanish texts as `comparable` makes them, and the frozen sides."""

    segments: Set[str]
    targets: Set[str]
    frozen: Mapping[str, str]


def read_learned(store: MetadataStore) -> Learned:
    """Read what is in the training set now, and which side of the split every segment was frozen on."""
    rows = store.query(_EXAMPLES, [TRANSLATION])
    return Learned(
        segments=set(rows["segment_id"].to_pylist()),
        # Terms such as "Salmo" are taught by themselves, and may be all that a verse says.
        targets={comparable(target) for target in set(rows["target"].to_pylist())},
        frozen=frozen_segments(store.home),
    )


def problems_of_the_test_set(learned: Learned, verses: Sequence[HeldOutText]) -> list[str]:
    """List, a sentence each, why these verses may not be trusted as a test; empty where there is no reason.

    No verse may be in the training set, by its segment or by its Spanish words, nor on another side than the one that
    was frozen when a training set was first made: what any adapter was trained on, from whichever set, was frozen then.
    """
    return [*_learned(learned, verses), *_moved(learned, verses)]


def _learned(learned: Learned, verses: Sequence[HeldOutText]) -> Iterator[str]:
    for verse in verses:
        if verse.segment_id in learned.segments:
            yield f"the segment {verse.segment_id} of it is in the training set"
        elif comparable(verse.reference) in learned.targets:
            yield f"the Spanish of its segment {verse.segment_id} is in the training set"


def _moved(learned: Learned, verses: Sequence[HeldOutText]) -> Iterator[str]:
    for verse in verses:
        if (side := learned.frozen.get(verse.segment_id, TEST)) != TEST:
            yield f"its segment {verse.segment_id} was frozen on the side {side!r}: a model may have learned from it"
