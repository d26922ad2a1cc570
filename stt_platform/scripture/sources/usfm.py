"""A folder of USFM, USX or USJ files, as translators and ebible.org publish them, read through usfmtc (SIL).

Notes, supplied words and titles are handed on as OSIS marks, so that one cleaner serves all loaders.
"""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stt_platform.scripture.books import BadReference, find_book
from stt_platform.scripture.sources.base import DamagedSourceError, Offer, RawText, Shelf, offer_of

_LOADER = "usfm"
_ENDINGS = {".usfm": "usfm", ".sfm": "usfm", ".usx": "usx", ".usj": "usj"}
_NO_NAMES = {"usx", "usfm", "usx1", "release", "files", "texts"}
# Paragraphs that are no text: identification, introductions, headings. What is left, prose, poetry, lists and
# tables, is.
_NO_TEXT = re.compile(
    r"id|ide|usfm|sts|rem|h\d?|toc.*|i.*|mt.*|ms\d?|mr|s\d?|sr|r|sp|sd\d?|cl|cp|cd|periph|lit|restore"
)
_DROPPED_CHARS = {"rq", "va", "vp", "fig", "pro", "pubc", "cat"}
_NUMBER = re.compile(r"(\d+)[a-z]?(?:[-–,](\d+)[a-z]?)?")


def offers(path: Path, shelf: Shelf) -> list[Offer]:
    """List the text of a folder that holds such files; none where there are none."""
    if not path.is_dir() or not _files(path):
        return []
    folder = path
    while re.sub(r"[^a-z]", "", folder.name.casefold()) in _NO_NAMES and folder.parent != folder:
        folder = folder.parent
    name = re.sub(r"[_-]?(usfm|usx|usj)$", "", folder.name, flags=re.IGNORECASE) or folder.name
    language, _, rest = re.sub("_", "-", name).partition("-")
    return [offer_of(_LOADER, path, "", (name, rest), language=language if rest else "", title=name)]


def load(offer: Offer, shelf: Shelf) -> RawText:
    """Read the rows of all files of the folder. Raises `DamagedSourceError` for one that cannot be read."""
    try:
        import usfmtc
    except ImportError as error:
        raise DamagedSourceError(f"{offer.path}: reading USFM needs the package usfmtc, which is missing") from error
    rows: list[tuple[int, str]] = []
    for file in _files(offer.path):
        try:
            root = usfmtc.readFile(str(file), informat=_ENDINGS[file.suffix.casefold()]).getroot()
        except Exception as error:
            # The parser raises whatever its grammar meets; one message names the file for all of it.
            raise DamagedSourceError(f"{file} cannot be read as {file.suffix[1:].upper()}: {error!r}") from error
        rows += _rows(root)
    return RawText(offer, tuple(rows))


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.casefold() in _ENDINGS and file.is_file())


def _rows(root: Any) -> Iterator[tuple[int, str]]:
    book = root.find(".//book")
    try:
        number = find_book(book.get("code", "") if book is not None else "").number
    except BadReference:
        return
    texts: dict[int, list[str]] = {}
    place = _Place(number)
    for element in root:
        if element.tag == "chapter":
            place.chapter = _first_number(element.get("number"))
            place.verse = 0
        elif element.tag in ("para", "table"):
            _paragraph(element, place, texts)
    yield from ((ref, " ".join(parts)) for ref, parts in texts.items())


class _Place:
    def __init__(self, book: int) -> None:
        self.book = book
        self.chapter = 0
        self.verse = 0

    @property
    def ref(self) -> int:
        return self.book * 1_000_000 + self.chapter * 1_000 + self.verse


def _paragraph(element: Any, place: _Place, texts: dict[int, list[str]]) -> None:
    style = element.get("style", "")
    if style in ("d", "qa"):
        kind = "psalm" if style == "d" and not place.verse else "heading"
        words = "".join(_inline(element, place, {}))
        # An acrostic's heading stands before the verse that it heads.
        ref = place.ref + (style == "qa")
        texts.setdefault(ref, []).append(f'<title type="{kind}">{words}</title>')
    elif not _NO_TEXT.fullmatch(style):
        words = "".join(_inline(element, place, texts))
        _add(place, words, texts)


def _add(place: _Place, words: str, texts: dict[int, list[str]]) -> None:
    # Before the first verse stands nothing that is one.
    if place.chapter and place.verse and words.strip():
        texts.setdefault(place.ref, []).append(words)


def _inline(element: Any, place: _Place, texts: dict[int, list[str]]) -> Iterator[str]:
    """Yield the text of an element with marks; at each verse, what came before is put down under the verse before."""
    parts = [html.escape(element.text or "", quote=False)]
    for child in element:
        if child.tag == "verse":
            if child.get("number"):
                _add(place, "".join(parts), texts)
                parts.clear()
                _turn_to(child.get("number"), place, texts)
        elif child.tag == "note":
            parts.append(f"<note>{html.escape(' '.join(child.itertext()), quote=False)}</note>")
        elif child.tag in ("row", "cell"):
            parts += [*_inline(child, place, texts), " "]
        elif child.tag in ("char", "ms") and child.get("style") not in _DROPPED_CHARS:
            words = "".join(_inline(child, place, texts))
            parts.append(f"<transChange>{words}</transChange>" if child.get("style") == "add" else words)
        elif child.tag == "optbreak":
            parts.append(" ")
        parts.append(html.escape(child.tail or "", quote=False))
    yield from parts


def _turn_to(number: str, place: _Place, texts: dict[int, list[str]]) -> None:
    match = _NUMBER.match(number)
    if match is None:
        return
    place.verse = int(match[1])
    if match[2] and int(match[2]) > int(match[1]):
        texts.setdefault(place.ref, []).append("<range>" * (int(match[2]) - int(match[1])))


def _first_number(value: str | None) -> int:
    match = re.match(r"\d+", value or "")
    return int(match[0]) if match else 0
