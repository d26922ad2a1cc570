"""Choices that flow back from a measurement: recorded settings, and no edges of the lineage."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from stt_platform.errors import PlatformError
from stt_platform.machine.files import write_atomically

VIEWS = {"original": "standard_audio", "enhanced": "enhanced_audio"}
"""Each view of a sermon, and the stage that makes its `audio.wav`; all lie on one time line."""


LABEL_POLICIES = ("confidence_filter", "drop_worst", "weak_then_clean", "transcribe_again")
"""How automatic labels may be used for training, the boldest first; `evaluation/baseline_bands.toml` says what each is."""

_DEFAULT_VIEW, _DEFAULT_POLICY = "enhanced", "drop_worst"


@dataclass(frozen=True)
class ViewChoice:
    """The view that is transcribed and trained on, and why."""

    view: str
    why: str


@dataclass(frozen=True)
class LabelPolicy:
    """How automatic labels are used for training, one of `LABEL_POLICIES`, and why."""

    policy: str
    why: str


def training_view(home: Path, setting: str) -> ViewChoice:
    """Return the view that the setting `training_view` means today.

    `measured` is the view recorded in `STT_HOME/choices/training_view.json` by the comparison of the views, and the
    enhanced one until there is a comparison.

    Raises `PlatformError` naming the file when what is recorded there is no view.
    """
    if setting != "measured":
        return ViewChoice(setting, "set by hand (setting `training_view`)")
    recorded = _recorded(home, "training_view", "view", VIEWS)
    if recorded is None:
        return ViewChoice(_DEFAULT_VIEW, "the default until the views are compared on assessed chunks")
    return ViewChoice(*recorded)


def record_training_view(home: Path, choice: ViewChoice) -> None:
    """Let the setting `measured` mean this view from now on."""
    _record(home, "training_view", {"view": choice.view, "why": choice.why})


def label_policy(home: Path, setting: str) -> LabelPolicy:
    """Return the policy that the setting `assessment.label_policy` means today.

    `measured` is what the baseline recorded in `STT_HOME/choices/label_policy.json`, and `drop_worst` until its word
    error rate can be told.

    Raises `PlatformError` naming the file when what is recorded there is no policy.
    """
    if setting != "measured":
        return LabelPolicy(setting, "set by hand (setting `assessment.label_policy`)")
    recorded = _recorded(home, "label_policy", "policy", LABEL_POLICIES)
    if recorded is None:
        return LabelPolicy(_DEFAULT_POLICY, "the default until the word error rate of the labels can be told")
    return LabelPolicy(*recorded)


def record_label_policy(home: Path, policy: str | None, why: str) -> None:
    """Let the setting `measured` mean this policy from now on; None: nothing that was measured bears one out."""
    _record(home, "label_policy", {"policy": policy, "why": why} if policy else None)


@dataclass(frozen=True)
class Champion:
    """The adapter that serves, or None where the base model does, and why."""

    adapter_id: str | None
    why: str


def speech_champion(home: Path) -> Champion:
    """Return the recogniser's adapter that transcribes today, as it was decided last.

    Raises `PlatformError` naming the file when what is recorded there is no adapter's id.
    """
    path = _choice(home, "speech_champion")
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
        return Champion(_adapter_id(recorded["adapter_id"]), str(recorded["why"]))
    except FileNotFoundError:
        return Champion(None, "no adapter has been promoted yet")
    except (ValueError, TypeError, KeyError) as error:
        raise PlatformError(
            f"{path} does not name an adapter ({error}): correct it, or delete it, and the base model transcribes"
        ) from error


def record_speech_champion(home: Path, champion: Champion) -> None:
    """Let this adapter transcribe from now on."""
    _record(home, "speech_champion", {"adapter_id": _adapter_id(champion.adapter_id), "why": champion.why})


def _adapter_id(found: str | None) -> str | None:
    if found is not None and not re.fullmatch(r"[0-9a-f]{8,64}", found):
        raise ValueError(f"{found!r} is no adapter's id")
    return found


def _recorded(home: Path, name: str, what: str, allowed: Collection[str]) -> tuple[str, str] | None:
    path = _choice(home, name)
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
        if recorded[what] not in allowed:
            raise ValueError(recorded[what])
        return recorded[what], str(recorded.get("why", "recorded by what was measured"))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        examples = " or ".join(json.dumps({what: value}) for value in allowed)
        raise PlatformError(
            f"{path} does not name a {what} ({error}): want {examples}. Correct it, or delete it"
        ) from error


def _record(home: Path, name: str, content: Mapping[str, str | None] | None) -> None:
    path = _choice(home, name)
    if content is None:
        path.unlink(missing_ok=True)
        return
    data = json.dumps(content, ensure_ascii=False, indent=1).encode()
    if not path.exists() or path.read_bytes() != data:
        write_atomically(path, data)


def _choice(home: Path, name: str) -> Path:
    return home / "choices" / f"{name}.json"


def frozen_segments(home: Path) -> dict[str, str]:
    """Return the side of every aligned segment that was in a training set once; it may not change any more."""
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
