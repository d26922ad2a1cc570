"""Which sermons teach and which examine.

Speech models are judged on sermons they have not heard, so the unit is the sermon. Within every stratum (a speaker,
and where it has been measured the level of noise) the four splits get their share, as nearly as whole sermons allow.
"""

import hashlib
from collections import Counter, defaultdict
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
    """The split of every sermon, sorted by sermon; the same for the same input, whatever its order.

    `pinned` (by hand) wins over everything; `frozen` (decided before the first training) over what would be chosen
    today: what was trained on never moves into a test. The rest is dealt, stratum by stratum, to the split that is
    furthest below its share over all sermons.

    Raises `ValueError` for a pin to a split that does not exist.
    """
    for sermon, split in (pinned or {}).items():
        if split not in SPLITS:
            raise ValueError(f"{sermon} is pinned to {split!r}; choose one of {', '.join(SPLITS)}")
    everyone = sorted(sermons, key=lambda item: item.sermon)
    fixed = {**(frozen or {}), **(pinned or {})}
    chosen = {item.sermon: fixed[item.sermon] for item in everyone if item.sermon in fixed}
    strata: dict[tuple[str, str], list[SermonToSplit]] = defaultdict(list)
    for item in everyone:
        strata[(item.speaker or "", item.noise or "")].append(item)
    counts = Counter(chosen.values())
    for stratum in sorted(strata):
        members = strata[stratum]
        here = Counter(chosen[item.sermon] for item in members if item.sermon in chosen)
        waiting = [item for item in members if item.sermon not in chosen]
        for item in sorted(waiting, key=lambda item: _shuffled(item.sermon, seed)):
            split = _neediest(shares, here, len(members), counts, len(everyone))
            chosen[item.sermon] = split
            here[split] += 1
            counts[split] += 1
    return dict(sorted(chosen.items()))


def _neediest(shares: Mapping[str, float], here: Counter, size_here: int, counts: Counter, size: int) -> str:
    # First what the whole still lacks (small strata alone would all go to train), then what the stratum lacks.
    wanted = [split for split in SPLITS if shares[split] > 0]
    return max(
        wanted,
        key=lambda split: (
            (shares[split] * size - counts[split]) / (shares[split] * size)
            + (shares[split] * size_here - here[split]) / (shares[split] * size_here),
            shares[split],
        ),
    )


def _shuffled(sermon: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{sermon}".encode()).hexdigest()
