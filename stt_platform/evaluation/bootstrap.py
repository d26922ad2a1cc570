"""How sure one system's corpus score is: whole segments are drawn anew, and the corpus is scored from their sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stt_platform.evaluation.intervals import Interval
from stt_platform.evaluation.paired import FEWEST_SEGMENTS

RESAMPLES = 1_000
SEED = 12_345
"""What sacrebleu draws with too, unless it is told otherwise."""


class Summable(Protocol):
    """What a corpus score is made of: `Statistics` of BLEU and chrF, or `Shares`."""

    @property
    def signature(self) -> str: ...
    @property
    def units(self) -> tuple[str, ...]: ...
    @property
    def counts(self) -> NDArray: ...

    def of(self, total: NDArray) -> float:
        """Compute the score of rows whose counts add up to `total`, [columns]."""
        ...


@dataclass(frozen=True, eq=False)
class Shares:
    """A score that is one sum over another: a rate, or a mean where every row counts 1.

    Attributes:
        units: the segment of each row.
        counts: [rows, 2]; the second column holds no zero.
    """

    signature: str
    units: tuple[str, ...]
    counts: NDArray[np.float64]

    def of(self, total: NDArray) -> float:
        """Return the first sum over the second."""
        return float(total[0] / total[1])


def shares(rows: Sequence[tuple[str, float, float]], signature: str) -> Shares:
    """Make `Shares` of rows (segment, part, whole); those whose whole is 0 say nothing and are left out."""
    kept = [row for row in rows if row[2]]
    counts = np.array([row[1:] for row in kept], dtype=np.float64).reshape(len(kept), 2)
    return Shares(signature, tuple(row[0] for row in kept), counts)


def segment_interval(
    statistics: Summable,
    *,
    rows: NDArray[np.bool_] | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    confidence: float = 0.95,
) -> Interval:
    """Compute the corpus score with a percentile bootstrap over segments (Koehn 2004), the copies of one always together.

    Args:
        rows: which of the rows count, [rows]; all for None.
        seed: of the draws.

    Returns:
        Without bounds, and with the reason, where there are fewer than 50 segments, of which a percentile bootstrap is
        too narrow, or where all draws have the same score; without a value where there is no row.
    """
    chosen = np.ones(len(statistics.units), dtype=bool) if rows is None else rows
    counts = statistics.counts[chosen]
    units, owner = np.unique(np.array(statistics.units, dtype=object)[chosen], return_inverse=True)
    n = len(units)
    method = f"percentile bootstrap ({resamples:,} resamples) over {n:,} segments"
    if not n:
        return Interval(None, None, None, 0, "", confidence, "nothing in it could be scored")
    value = statistics.of(counts.sum(axis=0))
    if n < FEWEST_SEGMENTS:
        reason = f"{n} {'segment' if n == 1 else 'segments'}: an interval needs {FEWEST_SEGMENTS}"
        return Interval(value, None, None, n, "", confidence, reason)
    by_segment = np.zeros((n, counts.shape[1]))
    np.add.at(by_segment, owner, counts)
    # How often each segment is drawn in each resample; no segment need be touched twice.
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    scores = [statistics.of(total) for total in drawn @ by_segment]
    if min(scores) == max(scores):
        reason = f"all {n:,} segments are alike in this, so drawing them anew shows nothing"
        return Interval(value, None, None, n, "", confidence, reason)
    low, high = np.quantile(scores, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high), n, method, confidence)
