"""BibleNLP and eBible: a text file with a line for each line of `vref.txt`.

A blank line is a missing verse, `<range>` a verse that stands in the one before. The lines count as the Hebrew
does, where psalm titles are verses and chapters end elsewhere; `eng.vrs` says what that is in the usual count.
It is taken from beside `vref.txt`, else from the package usfmtc.
"""

import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from stt_platform.scripture.books import BadReference
from stt_platform.scripture.references import VerseRef
from stt_platform.scripture.sources.base import DamagedSourceError, Offer, RawText, Shelf, ends_with, offer_of, stem_of

_LOADER = "vref"
_RANGE = "<range>"
_MAPPING = re.compile(r"(\w{3}) (\d+):(\d+)(?:-(\d+))? = (\w{3}) (\d+):(\d+)(?:-(\d+))?")
_MIN_LINES = 20_000
_PLACES = ("", "metadata", "..", "../metadata", "../ebible_format")


def offers(path: Path, shelf: Shelf) -> list[Offer]:
    """List the text of a file that has a `vref.txt` at hand; none where it is of another kind."""
    name, vref = stem_of(path), _vref(path)
    if not ends_with(path, ".txt") or name == "vref" or ends_with(path, ".vrs.txt") or vref is None:
        return []
    if len(_lines(shelf, path)) < min(_MIN_LINES, len(_lines(shelf, vref))):
        return []
    language, _, rest = name.partition("-")
    return [offer_of(_LOADER, path, "", (rest or name, name), language=language, title=rest or name)]


def load(offer: Offer, shelf: Shelf) -> RawText:
    """Read the rows in the usual count, with merged verses marked by `<range>` after the text that holds them.

    Raises `DamagedSourceError` where the file has another number of lines than `vref.txt`.
    """
    vref = _vref(offer.path)
    if vref is None:
        raise DamagedSourceError(f"{offer.path}: no vref.txt beside it")
    names, lines = _lines(shelf, vref), _lines(shelf, offer.path)
    if len(names) != len(lines):
        raise DamagedSourceError(f"{offer.path} has {len(lines)} lines, and {vref.name} {len(names)}: they must agree")
    usual = _usual(_vrs(vref))
    rows: list[tuple[int, str]] = []
    for name, line in zip(names, lines, strict=True):
        try:
            number = VerseRef.parse(name).number
        except BadReference:
            continue
        if line.strip() == _RANGE:
            if rows:
                rows[-1] = (rows[-1][0], f"{rows[-1][1]} {_RANGE}")
        else:
            rows.append((usual.get(number, number), line))
    return RawText(offer, tuple(rows))


def _lines(shelf: Shelf, path: Path) -> list[str]:
    # Not `splitlines`: it also splits at characters that occur inside verses.
    lines = shelf.text(path).replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines and not lines[-1] else lines


def _vref(path: Path) -> Path | None:
    places = (path.parent / place / "vref.txt" for place in _PLACES)
    return next((place for place in places if place.is_file() and place.resolve() != path.resolve()), None)


def _vrs(vref: Path) -> Path | None:
    places = [vref.with_name(name) for name in ("eng.vrs", "eng.vrs.txt")]
    spec = find_spec("usfmtc")
    places += [Path(folder) / "eng.vrs" for folder in (spec.submodule_search_locations or ())] if spec else []
    return next((place for place in places if place.is_file()), None)


@lru_cache(maxsize=4)
def _usual(vrs: Path | None) -> dict[int, int]:
    """Hebrew numbers to the usual ones, of the lines "JOL 2:28-32 = JOL 3:1-5"."""
    table: dict[int, int] = {}
    if vrs is None:
        return table
    for line in vrs.read_text(encoding="utf-8-sig").splitlines():
        match = _MAPPING.fullmatch(line.strip())
        if match is None:
            continue
        try:
            left = VerseRef.parse(f"{match[1]} {match[2]}:{match[3]}").number
            right = VerseRef.parse(f"{match[5]} {match[6]}:{match[7]}").number
        except BadReference:
            continue
        for step in range(int(match[8] or match[7]) - int(match[7]) + 1):
            table.setdefault(right + step, left + step)
    return table
