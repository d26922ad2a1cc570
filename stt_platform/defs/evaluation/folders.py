"""Where people put what models are measured on."""

from pathlib import Path

from stt_platform.settings import Settings


def general_folder(home: Path, settings: Settings) -> Path:
    """The folder with the general test sets, of speech and of text."""
    named = settings.evaluation.general_folder
    return Path(named).expanduser() if named else home / "general"
