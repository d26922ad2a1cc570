"""SWORD modules (CrossWire, eBible, Debian's `sword-text-*`), read block by block through pysword.

pysword's own `clean` eats the space around notes, and its reading verse by verse unpacks a whole book for each
verse: a minute a Bible. Here each block is unpacked once and the markup is kept for the cleaner.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from stt_platform.scripture.books import BadReference, find_book
from stt_platform.scripture.sources.base import DamagedSourceError, Offer, RawText, Shelf, offer_of

_LOADER = "sword"
_DRIVERS = {"ztext", "ztext4", "rawtext", "rawtext4"}
SYSTEM_FOLDERS = (Path("/usr/share/sword"), Path("/usr/local/share/sword"))
"""Where distributions install modules; a person's own are in `~/.sword`, which the caller names."""
# The importer of eBible appends verses that its grid lacks to the last one of the chapter; what it printed before
# a verse tells where the next begins.
_BEFORE_VERSE = re.compile(r'<div type="x-milestone" subType="x-preverse" sID="[^"]*"/>')
# The Spanish module sets pronouns off as supplied words: "sáca</w><transChange>lo</transChange> de" is "sácalo de".
_ENCLITIC = re.compile(r"(?<=[a-záéíóúñ])</w><transChange[^<>]*>((?:[mts]e|l[eoa]s?|n?os)+)</transChange>(?=[^<\w])")


def sword_modules(folders: Sequence[Path]) -> tuple[Offer, ...]:
    """List the Bible texts among the SWORD modules of these folders (each one with `mods.d` inside)."""
    with Shelf() as shelf:
        return tuple(offer for folder in folders for offer in offers(folder, shelf))


def offers(path: Path, shelf: Shelf) -> list[Offer]:
    """List the Bible texts of a SWORD folder; none where it is of another kind. Locked modules are left out."""
    if not (path / "mods.d").is_dir():
        return []
    found = []
    for name, about in sorted(_modules(path)[1].items()):
        if about.get("moddrv", "").casefold() not in _DRIVERS or about.get("cipherkey") == "":
            continue
        licence = about.get("distributionlicense", "") or about.get("copyright", "")
        found.append(
            offer_of(
                _LOADER,
                path,
                name,
                (name, about.get("abbreviation", "")),
                language=about.get("lang", ""),
                title=about.get("description", ""),
                licence=licence,
                attribution=about.get("shortcopyright", ""),
            )
        )
    return found


def load(offer: Offer, shelf: Shelf) -> RawText:
    """Read the rows of one module with their markup (OSIS, GBF or ThML).

    Raises `DamagedSourceError` where its files are missing or its path leads out of its folder.
    """
    modules, abouts = _modules(offer.path)
    about = abouts[offer.key]
    data = (offer.path / about.get("datapath", "")).resolve()
    if not data.is_relative_to(offer.path.resolve()):
        raise DamagedSourceError(f"{offer.key}: its data path {about.get('datapath')!r} leads out of {offer.path}")
    # The key that pysword looks for is not the one that modules have.
    about["compress_type"] = about.get("compresstype", "ZIP").upper()
    about["blocktype"] = about.get("blocktype", "BOOK").upper()
    try:
        rows = _rows(modules.get_bible_from_module(offer.key))
        if offer.language == "es":
            rows = ((ref, _ENCLITIC.sub(r"\1</w>", text)) for ref, text in rows)
        return RawText(offer, tuple(rows))
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise DamagedSourceError(f"{offer.key} in {offer.path} cannot be read: {error}") from error


def _modules(folder: Path) -> tuple[Any, dict[str, dict[str, str]]]:
    from pysword.modules import SwordModules

    modules = SwordModules(str(folder))
    return modules, modules.parse_modules()


def _rows(bible: Any) -> Iterator[tuple[int, str]]:
    # Blocks come one after the other, so a few are enough.
    if hasattr(bible, "_decompressed_text"):
        bible._decompressed_text = lru_cache(maxsize=4)(bible._decompressed_text)
    structure = bible.get_structure()
    structure._update_book_offsets()
    for testament, books in structure._books.items():
        for row in books:
            try:
                number = find_book(row.osis_name).number
            except BadReference:
                continue
            offset = structure._book_offset(row.name)
            for chapter in range(1, row.num_chapters + 1):
                places = row.get_indicies(chapter, None, offset)
                head = number * 1_000_000 + chapter * 1_000
                # Before verse 1 stands what belongs to the chapter: in some modules the title of a psalm.
                for verse, place in enumerate([places[0] - 1, *places]):
                    # A place without text is one of the grid and not of this Bible: a New Testament has many.
                    if text := bible._text_for_index(testament, place):
                        parts = _appended(text) if verse == len(places) else [text]
                        yield from ((head + verse + extra, part) for extra, part in enumerate(parts))


def _appended(text: str) -> list[str]:
    starts = [match.start() for match in _BEFORE_VERSE.finditer(text) if _has_words(text[: match.start()])]
    return [text[start:end] for start, end in zip([0, *starts], [*starts, len(text)], strict=True)]


def _has_words(text: str) -> bool:
    return bool(re.search(r"\w", re.sub(r"<[^>]*>", "", text)))
