"""The glossary that the settings name."""

from pathlib import Path

from stt_platform.errors import PlatformError
from stt_platform.evaluation.entities import glossary_names
from stt_platform.glossary.terms import BadGlossary, Glossary, read_glossary
from stt_platform.settings import Settings, repository


def glossary_file(settings: Settings) -> Path:
    """Return where it lies. Raises `PlatformError` where it is not there."""
    named = settings.glossary.file
    path = Path(named).expanduser() if named else repository() / "data" / "reference" / "glossary.csv"
    if not path.is_file():
        raise PlatformError(f"the glossary {path} is not there: restore it, or correct the setting `glossary.file`")
    return path


def glossary_at(path: Path) -> Glossary:
    """Return the glossary in a file. Raises `PlatformError` naming file, line and remedy where it cannot be read."""
    try:
        return read_glossary(path)
    except BadGlossary as error:
        raise PlatformError(str(error)) from error


def names_to_hear(settings: Settings) -> tuple[tuple[str, ...], str]:
    """The names of the glossary, and why there are none: a glossary that cannot be read keeps nobody from an error rate."""
    try:
        return glossary_names(glossary_at(glossary_file(settings))), ""
    except PlatformError as error:
        return (), str(error)


def glossary_files(settings: Settings) -> dict[str, Path]:
    """Return the glossary by the name under which it enters the key of a stage; empty where there is none."""
    try:
        return {"glossary": glossary_file(settings)}
    except PlatformError:
        return {}
