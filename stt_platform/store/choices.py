"""Choices that flow back from a measurement: recorded settings, and no edges of the lineage."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stt_platform.files import write_atomically
from stt_platform.settings import PlatformError

VIEWS = {"original": "standard_audio", "enhanced": "enhanced_audio"}
"""Each view of a sermon, and the stage that makes its `audio.wav`; all lie on one time line."""


@dataclass(frozen=True)
class ViewChoice:
    """The view that is transcribed and trained on, and why."""

    view: str
    why: str


def training_view(home: Path, setting: str) -> ViewChoice:
    """The view that the setting `training_view` means today.

    `measured` is the view recorded in `STT_HOME/choices/training_view.json` by the comparison of the views, and the
    enhanced one until there is a comparison.

    Raises `PlatformError` naming the file when what is recorded there is no view.
    """
    if setting != "measured":
        return ViewChoice(setting, "set by hand (setting `training_view`)")
    path = home / "choices" / "training_view.json"
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
        if recorded["view"] not in VIEWS:
            raise ValueError(recorded["view"])
        return ViewChoice(recorded["view"], recorded.get("why", "recorded by the comparison of the views"))
    except FileNotFoundError:
        return ViewChoice("enhanced", "the default until the views are compared on assessed chunks")
    except (ValueError, TypeError, KeyError) as error:
        raise PlatformError(
            f'{path} does not name a view ({error}): want {{"view": "original"}} or {{"view": "enhanced"}}. '
            "Correct it, or delete it"
        ) from error


def frozen_segments(home: Path) -> dict[str, str]:
    """The side of every aligned segment that was in a training set once; it may not change any more."""
    try:
        return json.loads(_frozen_segments(home).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise PlatformError(
            f"{_frozen_segments(home)} cannot be read: {error}. It says which verses a model may have learned from. Restore it "
            "from a backup, or delete it if no model was trained yet"
        ) from error


def freeze_segments(home: Path, sides: Mapping[str, str]) -> None:
    """Record the sides of segments before they are trained on.

    Raises `PlatformError` where one that a model may have learned from would examine now.
    """
    frozen = frozen_segments(home)
    if moved := sorted(name for name, side in frozen.items() if side == "train" and sides.get(name) == "test"):
        raise PlatformError(
            f"{len(moved)} segments, the first {moved[0]}, were trained on and are in the test now: make scripture_split anew"
        )
    merged = {**frozen, **sides}
    if merged != frozen:
        write_atomically(_frozen_segments(home), json.dumps(merged, indent=0, sort_keys=True).encode())


def _frozen_segments(home: Path) -> Path:
    return home / "splits" / "frozen_segments.json"
