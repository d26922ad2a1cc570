"""Which sermons teach and which examine.

Speech models are judged on sermons they have not heard, so the unit is the sermon. The sermons are dealt in the order
of their strata (a speaker, and where it has been measured the level of noise), each to the split that is furthest
below its share of those dealt so far. So the whole keeps the shares exactly, and every stratum, being a run of
neighbours in that order, keeps them to within a sermon or so (systematic sampling from a sorted list).
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SPLITS = ("train", "dev", "test", "final")


@dataclass(frozen=True)
class SermonToSplit:
    """A sermon and what its stratum is made from. `noise` is a level such as 'noisy', or None when unmeasured."""

    sermon: str
    speaker: str | None
    noise: str | None = None


def split_sermons(
    sermons: Iterable[SermonToSplit],
    shares: Mapping[str, float],
    *,
    seed: int,
    pinned: Mapping[str, str] | None = None,
    frozen: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Split sermons, sorted by sermon; the same for the same input, whatever its order.

    `pinned` (by hand) wins over everything; `frozen` (decided before the first training) over what would be chosen
    today: what was trained on never moves into a test.

    Raises `ValueError` for a pin to a split that does not exist.
    """
    for sermon, split in (pinned or {}).items():
        if split not in SPLITS:
            raise ValueError(f"{sermon} is pinned to {split!r}; choose one of {', '.join(SPLITS)}")
    everyone = sorted(sermons, key=lambda item: item.sermon)
    fixed = {**(frozen or {}), **(pinned or {})}
    chosen = {item.sermon: fixed[item.sermon] for item in everyone if item.sermon in fixed}
    counts = Counter(chosen.values())
    waiting = [item for item in everyone if item.sermon not in chosen]
    for item in sorted(waiting, key=lambda item: (item.speaker or "", item.noise or "", _shuffled(item.sermon, seed))):
        dealt = counts.total() + 1
        split = max(SPLITS, key=lambda split: (shares[split] * dealt - counts[split], shares[split]))
        chosen[item.sermon] = split
        counts[split] += 1
    return dict(sorted(chosen.items()))


def _shuffled(sermon: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{sermon}".encode()).hexdigest()
