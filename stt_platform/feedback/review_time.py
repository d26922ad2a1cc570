"""Estimate the time that an answer takes a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ReviewTime:
    """What answering takes a person: `factor` times the sound, and `fixed_s` for each task."""

    factor: float = 2.0
    fixed_s: float = 8.0

    def of(self, duration_s: float) -> float:
        """Return the seconds of a person's time for a chunk of this length."""
        return self.factor * duration_s + self.fixed_s


def measured_review_time(spent: Sequence[tuple[float, float]], *, min_answers: int = 30) -> ReviewTime | None:
    """Fit a line through (duration_s, spent_s) of reviewers; None with fewer than `min_answers`.

    The slope is the median of all slopes (Theil 1950, Sen 1968), the height the median of what is left: some leave a
    task open over lunch.
    """
    import numpy as np
    from scipy.stats import theilslopes

    if len(spent) < min_answers or len({duration_s for duration_s, _ in spent}) < 2:
        return None
    durations_s, taken_s = zip(*spent, strict=True)
    # It makes an interval of the slope too, which many equal values leave without a width.
    with np.errstate(invalid="ignore"):
        found = theilslopes(taken_s, durations_s, method="joint")
    return ReviewTime(max(0.1, float(found.slope)), max(0.0, float(found.intercept)))
