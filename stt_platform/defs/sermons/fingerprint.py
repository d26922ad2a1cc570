"""What the assets over all sermons were made from, in one hash: cheap enough to look at every few seconds."""

import hashlib
import json
from pathlib import Path

from stt_platform.defs.glossary.reading import glossary_digest
from stt_platform.settings import Settings
from stt_platform.store.assessment_lists import returned_lists
from stt_platform.store.intake import registrations

_STAGES = ("training_chunks", "transcript", "consensus")


def over_all_fingerprint(home: Path, settings: Settings) -> str:
    """Changes when a sermon comes, goes or is run anew, when a reference or a pin changes, and with their settings."""
    sermons = {key: (entry.version, entry.title, entry.speaker) for key, entry in registrations(home).items()}
    outputs = [home / "sermons" / key / stage / "current.json" for key in sermons for stage in _STAGES]
    references = [path for key in sermons for path in (home / "sermons" / key / "references").glob("*")]
    pins = [home / "splits" / "pinned.csv", home / "splits" / "frozen.json"]
    # Lists that nobody has written in are the platform's own, and say nothing new.
    by_hand = [*(home / "references").glob("*"), *returned_lists(home), *pins]
    files = {str(path.relative_to(home)): _state(path) for path in sorted([*outputs, *references, *by_hand])}
    chosen = [settings.split.model_dump(), settings.assessment.model_dump(), settings.evaluation.confidence]
    recipe = [sermons, files, *chosen, glossary_digest(settings)]
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns
