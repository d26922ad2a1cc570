"""The funnel: how much sound came in, how much was left after every gate, and what took the rest."""

from collections.abc import Iterable
from dataclasses import dataclass

STEPS = {
    1: "recordings that may be used",
    2: "speech, cut into chunks",
    3: "chunks that pass the gates",
    4: "texts that can be relied on",
}
"""The steps in order, each named for what is left after it."""

UNSURE, NO_TEXT = "text to be checked", "no text yet"
HELD_BACK = (UNSURE, NO_TEXT)
"""Not lost: what the last step holds back until a person, or a recogniser, has looked at it."""

_RELIABLE = "reliable text"
_GATES_IN_WORDS = {
    "unreadable": "cannot be read",
    "duration": "too short or too long",
    "speech": "nobody speaks",
    "clipping": "clipped",
    "noise": "too noisy",
    "bandwidth": "muffled",
    "silence": "mostly silent",
    "class": "singing, music or noise",
    "music": "music under the speech",
    "language": "not English",
    "text": "no believable text",
    "other": "other reasons",
}
_SOUNDS_IN_WORDS = {"pauses": "pauses between chunks", "noise": "noises"}
_IN_WORDS = {
    1: _GATES_IN_WORDS,
    2: _SOUNDS_IN_WORDS,
    3: _GATES_IN_WORDS,
    4: {"unsure text": UNSURE, "no text yet": NO_TEXT},
}


@dataclass(frozen=True)
class FunnelStep:
    """One step: what came in, what was left, and the losses by reason, largest first. All in samples at 16 kHz."""

    name: str
    samples_in: int
    samples_left: int
    losses: tuple[tuple[str, int], ...]


def funnel_steps(rows: Iterable[tuple[int, str, int]]) -> list[FunnelStep]:
    """The steps of one sermon or of many together.

    Args:
        rows: (step, outcome, samples), as the view `funnel` of the store has them: step 1 to 3 are losses, and
            step 4 is what is left, by how far its text can be relied on.

    Returns:
        One step for each of `STEPS`; nothing is lost between them: what is left of one comes into the next. What
        the last step holds back (`HELD_BACK`) is among its losses. A recording that cannot be read has no length,
        so it is in none of them.
    """
    totals: dict[int, dict[str, int]] = {step: {} for step in STEPS}
    for step, outcome, samples in rows:
        outcomes = totals[step]
        outcomes[outcome] = outcomes.get(outcome, 0) + samples
    reliable = totals[4].pop(_RELIABLE, 0)
    came_in = reliable + sum(sum(outcomes.values()) for outcomes in totals.values())
    steps = []
    for step, name in STEPS.items():
        ranked = sorted(totals[step].items(), key=lambda item: (-item[1], item[0]))
        losses = tuple((_IN_WORDS[step].get(outcome, outcome), samples) for outcome, samples in ranked if samples)
        left = came_in - sum(samples for _, samples in losses)
        steps.append(FunnelStep(name, came_in, left, losses))
        came_in = left
    return steps
