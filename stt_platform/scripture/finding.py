"""Which texts are on disk: each once, from its better source, and what would add the others."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from stt_platform.scripture.cleaning import clean_text
from stt_platform.scripture.known import known_texts, preference
from stt_platform.scripture.sources import LOADERS
from stt_platform.scripture.sources.base import Offer, Shelf
from stt_platform.scripture.texts import ScriptureText

_DEEPEST = 6
_CLEARLY_MORE = 1.02


class Cause(StrEnum):
    """Why a source is not used."""

    BETTER_SOURCE = "better_source"
    """Another source of the same text is the better one."""
    CUT = "cut"
    """It lacks verses that another source of the same text has."""
    DAMAGED = "damaged"
    """Its text cannot be loaded."""
    UNREADABLE = "unreadable"
    """Nobody can tell which texts are in the file."""


@dataclass(frozen=True)
class Unused:
    """A source that was found and not used, and why: `reason` is the cause in words, the same on every machine."""

    source: str
    path: Path
    text_id: str
    cause: Cause
    reason: str


@dataclass(frozen=True)
class Found:
    """What there is. `missing` says for each of the platform's own texts that is not there what would add it."""

    texts: Mapping[str, ScriptureText]
    unused: tuple[Unused, ...]
    missing: Mapping[str, str]

    def in_language(self, language: str) -> tuple[ScriptureText, ...]:
        """Return the texts in "en" or "es", the platform's own first."""
        return tuple(text for text in self.texts.values() if text.language == language)


def find_texts(folders: Sequence[Path], *, progress: Callable[[str], None] | None = None) -> Found:
    """Load and clean every English and Spanish text in these folders, each from its better source.

    Folders that do not exist are passed over, and a damaged source is reported and the next one used. Of sources that are
    as good as each other, that of the first folder is used. `progress` is called with the name of each source before it
    is read.
    """
    texts: dict[str, ScriptureText] = {}
    unused: list[Unused] = []
    with Shelf() as shelf:
        found = _offers(folders, shelf, unused)
        offers = {text_id: found[text_id] for text_id in sorted(found, key=_own_first)}
        # bible_para places its rows by the words of other texts, so those are read before.
        for text_id in sorted(offers, key=lambda key: all(offer.loader == "bible_para" for offer in offers[key])):
            text = _best(_better_first(offers[text_id]), shelf, unused, progress)
            if text:
                texts[text_id] = text
                shelf.known.append(text.by_ref)
    ordered = {text_id: texts[text_id] for text_id in sorted(texts, key=_own_first)}
    named = [replace(row, reason=_by_its_folder(row.reason, folders)) for row in unused]
    return Found(ordered, tuple(named), _missing(texts, named))


def offered_texts(folders: Sequence[Path]) -> Mapping[str, tuple[Offer, ...]]:
    """Return what `find_texts` would choose from, by text, the better sources first. Nothing is loaded."""
    with Shelf() as shelf:
        offers = _offers(folders, shelf, [])
    return {text_id: tuple(_better_first(offers[text_id])) for text_id in sorted(offers, key=_own_first)}


def _best(
    offers: Sequence[Offer], shelf: Shelf, unused: list[Unused], progress: Callable[[str], None] | None
) -> ScriptureText | None:
    """Return the first of the offers that is whole; where none is, that with the most verses."""
    best: ScriptureText | None = None
    of_best: Offer | None = None
    for offer in offers:
        if best and best.is_whole:
            why = f"{best.source} is the better source of this text"
            unused.append(_not_used(offer, Cause.BETTER_SOURCE, why))
            continue
        if progress:
            progress(offer.source)
        text, reason = _loaded(offer, shelf)
        if text is None:
            unused.append(_not_used(offer, Cause.DAMAGED, reason))
        elif best is None or len(text.by_ref) > _CLEARLY_MORE * len(best.by_ref):
            if best and of_best:
                why = f"{best.lacks}; {text.source} has {len(text.by_ref)} verses"
                unused.append(_not_used(of_best, Cause.CUT, why))
            best, of_best = text, offer
        else:
            why = f"{best.source} is the better source of this text, though {best.lacks}"
            unused.append(_not_used(offer, Cause.BETTER_SOURCE, why))
    return best


def _not_used(offer: Offer, cause: Cause, reason: str) -> Unused:
    return Unused(offer.source, offer.path, offer.text_id, cause, reason)


def source_files(folder: Path) -> list[Path]:
    """Return every file that `find_texts` may read in this folder, sorted; those of SWORD modules too."""
    files: dict[Path, None] = {}
    for path in _paths(folder):
        if path.is_file():
            files[path] = None
        elif (path / "mods.d").is_dir():
            files.update(dict.fromkeys(sorted(inner for inner in path.rglob("*") if inner.is_file())))
    return list(files)


def _offers(folders: Sequence[Path], shelf: Shelf, unused: list[Unused]) -> dict[str, list[Offer]]:
    found: dict[str, list[Offer]] = {}
    for path in dict.fromkeys(path for folder in folders for path in sorted(_paths(Path(folder)), key=str)):
        faults = []
        for name, loader in LOADERS.items():
            try:
                for offer in sorted(loader.offers(path, shelf), key=lambda offer: offer.key):
                    found.setdefault(offer.text_id, []).append(offer)
            except Exception as error:
                # One bad file must not hide the other texts, whatever its reader raises.
                faults.append(f"{name}: {error}")
        if faults:
            unused.append(Unused(path.name, path, "", Cause.UNREADABLE, f"cannot be read: {'; '.join(faults)}"))
    return found


def _paths(folder: Path) -> Iterator[Path]:
    """Yield the folder, its files and folders, sorted; hidden ones are left out."""
    if folder.is_file():
        yield folder
        return
    for place, folders, files in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if len(here.relative_to(folder).parts) >= _DEEPEST or (here / "mods.d").is_dir():
            folders.clear()
        yield here
        # A pipe would keep its reader waiting for ever.
        yield from (here / name for name in sorted(files) if not name.startswith(".") and (here / name).is_file())


def _loaded(offer: Offer, shelf: Shelf) -> tuple[ScriptureText | None, str]:
    try:
        return clean_text(LOADERS[offer.loader].load(offer, shelf)), ""
    except Exception as error:
        # As above: a damaged source is reported, and the next one is tried.
        return None, str(error) or repr(error)


def _own_first(text_id: str) -> tuple[int, str]:
    known = list(known_texts())
    return (known.index(text_id) if text_id in known else len(known), text_id)


def _better_first(offers: Sequence[Offer]) -> list[Offer]:
    """Return those of the better loader first, and else in the order in which they were found."""

    def rank(offer: Offer) -> int:
        order = preference(offer.text_id)
        return order.index(offer.loader) if offer.loader in order else len(order)

    return sorted(offers, key=rank)


def _by_its_folder(reason: str, folders: Sequence[Path]) -> str:
    """Name files by the folder that was searched, not by where that lies: "texts/KJV.json"."""
    places = {each for folder in map(Path, folders) for each in (folder.absolute(), folder.resolve())}
    for folder in sorted(places, reverse=True):
        reason = reason.replace(str(folder), folder.name)
    return reason


def _missing(texts: Mapping[str, ScriptureText], unused: Sequence[Unused]) -> dict[str, str]:
    missing = {}
    for text_id, known in known_texts().items():
        if text_id not in texts:
            why = next((f" ({row.source}: {row.reason})" for row in unused if row.text_id == text_id), "")
            missing[text_id] = f"{known.title} is missing{why}: {known.advice} into a folder of texts"
    return missing
