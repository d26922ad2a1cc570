"""Judge whether a round of training can start, or say what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Readiness:
    """What a round of the loop waits for.

    Attributes:
        corrected, corrected_min: segments, and minutes of their sound, corrected since the last round.
        open_segments: that were asked about in this round and are not answered; None where no list was made.
        quiet_min: since the last answer; None where there is none.
        device_held_by: who computes on the device now; empty where nobody does.
    """

    corrected: int
    corrected_min: float
    open_segments: int | None
    quiet_min: float | None
    device_held_by: str = ""

    def missing(self, *, segments: int, minutes: float, quiet_min: float) -> Iterator[str]:
        """Yield what is missing, a phrase each; nothing where a round can start.

        A list that is answered to its end is enough, however short: there is nothing to wait for.
        """
        answered = self.open_segments == 0 and self.corrected > 0
        if not answered and self.corrected < segments and self.corrected_min < minutes:
            still = f", {self.open_segments} still open" if self.open_segments else ""
            yield (
                f"{self.corrected} of {segments} corrected segments ({self.corrected_min:.1f} of {minutes:g} minutes of "
                f"sound would do too{still})"
            )
        elif self.quiet_min is not None and self.quiet_min < quiet_min:
            yield f"the last answer came {self.quiet_min:.0f} minutes ago: {quiet_min:g} minutes of quiet are waited for"
        elif self.device_held_by:
            yield f"the device is at work: {self.device_held_by}"
