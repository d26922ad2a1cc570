"""From a text as published to clean rows, without loss: what is taken out of a verse is kept beside it."""

from collections.abc import Iterable

from stt_platform.scripture.grid import in_grid
from stt_platform.scripture.headings import (
    EPISTLES,
    PSALMS,
    acrostic_letter,
    capitals_at_head,
    is_letter,
    subscription_of,
    title_of_next,
    title_of_psalm,
    usual_forms,
    without_capitals,
)
from stt_platform.scripture.known import language_of
from stt_platform.scripture.markup import Stripped, strip_marks, verses_within
from stt_platform.scripture.sources.base import DamagedSourceError, RawText
from stt_platform.scripture.texts import Removed, ScriptureText, Verse

_LAST_REF = 66_999_999
_ORDER = {"title": 0, "verse": 1, "subscription": 2}
_ENOUGH = 0.5
# The closing praise of Romans stands after 14:23 in the Byzantine text and after 16:24 in the received one, and
# some texts print it there and number it so.
_DOXOLOGY = {45014024: 45016025, 45014025: 45016026, 45014026: 45016027}


class _Rows:
    """Verses, titles and subscriptions under their references, while they are cleaned."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}
        self.titles: dict[int, str] = {}
        self.subscriptions: dict[int, str] = {}
        self.removed: dict[int, list[str]] = {}

    def remove(self, ref: int, kind: Removed, words: str) -> None:
        self.keep(ref, [kind.entry(words)])

    def keep(self, ref: int, removed: Iterable[str]) -> None:
        """Put what was taken out elsewhere beside a verse."""
        for entry in removed:
            self.removed.setdefault(ref, []).append(entry)


def clean_text(raw: RawText) -> ScriptureText:
    """Clean the rows of a text: markup, notes, titles, subscriptions and capitals as their modules say.

    Raises `DamagedSourceError` where the text is empty, mostly blank, or in neither English nor Spanish.
    """
    if not any(text and not text.isspace() for _, text in raw.rows):
        raise DamagedSourceError(f"{raw.offer.source} has no text in it: all of its {len(raw.rows)} verses are blank")
    language = raw.offer.language or language_of(text for _, text in raw.rows[:: max(1, len(raw.rows) // 500)])
    if language not in ("en", "es"):
        raise DamagedSourceError(f"{raw.offer.source} is neither English nor Spanish")
    rows = _stripped(raw, language)
    _titles_below(rows)
    _titles_within(rows, language)
    _letters(rows)
    _subscriptions(rows, language)
    _moved(rows)
    _capitals(rows)
    text = _text(raw, rows, language)
    if not text.by_ref:
        raise DamagedSourceError(f"{raw.offer.source} has no text in it")
    if len(text.by_ref) < _ENOUGH * (len(text.by_ref) + len(text.blank)):
        every = len(text.by_ref) + len(text.blank)
        raise DamagedSourceError(f"{raw.offer.source} is damaged: {len(text.blank)} of its {every} verses are blank")
    return text


def _stripped(raw: RawText, language: str) -> _Rows:
    rows = _Rows()
    for ref, published in raw.rows:
        if not 1_001_000 <= ref <= _LAST_REF:
            continue
        row = strip_marks(published, language)
        for number, text in verses_within(ref, row.text) if "(" in row.text and ":" in row.text else [(ref, row.text)]:
            if number % 1000 == 0:
                _head(rows, number, text)
            elif rows.texts.get(number):
                if text:
                    rows.remove(number, Removed.DUPLICATE, text)
            else:
                rows.texts[number] = text
        # What stood above verse 1 is kept beside it.
        beside = ref if ref % 1000 else ref + 1
        rows.keep(beside, row.removed)
        _aside(rows, ref, beside, row)
    return rows


def _head(rows: _Rows, ref: int, text: str) -> None:
    """Words above verse 1: the title of a psalm, a heading elsewhere."""
    if text and ref // 1_000_000 == PSALMS and not is_letter(text):
        rows.titles.setdefault(ref, text)
    elif text:
        rows.remove(ref + 1, Removed.HEADING, text)


def _aside(rows: _Rows, ref: int, beside: int, row: Stripped) -> None:
    for title in row.titles:
        if ref // 1_000_000 == PSALMS and ref % 1000 <= 1 and not is_letter(title):
            rows.titles.setdefault(ref - ref % 1000, title)
        else:
            rows.remove(beside, Removed.HEADING, title)
    for heading in row.headings:
        rows.remove(beside, Removed.HEADING, heading)
    for ending in row.endings:
        if ref // 1_000_000 in EPISTLES:
            rows.subscriptions[ref] = ending
        else:
            rows.remove(ref, Removed.HEADING, ending)


def _titles_below(rows: _Rows) -> None:
    for ref, text in rows.texts.items():
        if ref // 1_000_000 == PSALMS and "Psalm " in text:
            verse, psalm, title = title_of_next(text)
            if psalm == ref // 1000 % 1000 + 1:
                rows.texts[ref] = verse
                letter = is_letter(title)
                if title and not letter:
                    rows.titles.setdefault(PSALMS * 1_000_000 + psalm * 1000, title)
                elif letter:
                    rows.remove(ref, Removed.HEADING, title)


def _titles_within(rows: _Rows, language: str) -> None:
    for ref, text in rows.texts.items():
        if ref // 1_000_000 == PSALMS and ref % 1000 == 1 and ref - 1 not in rows.titles:
            title, verse = title_of_psalm(text, language)
            # A verse that is nothing but a title is the title: texts that count as the Hebrew does have them.
            if title:
                rows.titles[ref - 1] = title
                rows.texts[ref] = verse


def _letters(rows: _Rows) -> None:
    for ref in [ref for ref in rows.texts if ref // 1000 == PSALMS * 1000 + 119]:
        # A verse can have the letter of its own stanza and that of the next.
        for _ in range(2):
            letter, rows.texts[ref] = acrostic_letter(ref, rows.texts[ref])
            if letter:
                rows.remove(ref, Removed.HEADING, letter)


def _subscriptions(rows: _Rows, language: str) -> None:
    last: dict[int, int] = {}
    for ref, text in rows.texts.items():
        if text and ref > last.get(ref // 1_000_000, 0):
            last[ref // 1_000_000] = ref
    for book in EPISTLES:
        ref = last.get(book, 0)
        if ref and ref not in rows.subscriptions:
            verse, subscription = subscription_of(rows.texts[ref], language)
            if subscription:
                rows.texts[ref], rows.subscriptions[ref] = verse, subscription


def _moved(rows: _Rows) -> None:
    if not rows.texts.get(45014024) or rows.texts.get(45016025):
        return
    for here, there in _DOXOLOGY.items():
        text = rows.texts.pop(here, "")
        if text:
            rows.texts[there] = text
            rows.remove(there, Removed.MOVED, f"from {here:08d}")
        rows.keep(there, rows.removed.pop(here, []))


def _capitals(rows: _Rows) -> None:
    heads = {
        ref: run
        for ref, text in rows.texts.items()
        if (ref % 1000 == 1 or text[:2].strip("¡¿(\"'“‘").isupper())
        and (run := capitals_at_head(text, heads_chapter=ref % 1000 == 1))
    }
    # Texts in capitals throughout, and texts with a few, are no drop capitals to undo.
    if not heads:
        return
    forms = usual_forms(rows.texts.values())
    for ref in heads:
        rows.texts[ref], was = without_capitals(rows.texts[ref], forms, heads_chapter=ref % 1000 == 1)
        if was:
            rows.remove(ref, Removed.CAPITALS, was)


def _text(raw: RawText, rows: _Rows, language: str) -> ScriptureText:
    offer = raw.offer
    every = [Verse(ref, "verse", text, tuple(rows.removed.get(ref, ()))) for ref, text in rows.texts.items()]
    every += [Verse(ref, "title", text) for ref, text in rows.titles.items()]
    every += [Verse(ref, "subscription", text) for ref, text in rows.subscriptions.items()]
    every.sort(key=lambda row: (row.ref, _ORDER[row.kind]))
    return ScriptureText(
        text_id=offer.text_id,
        language=language,
        title=offer.title,
        licence=offer.licence,
        attribution=offer.attribution,
        source=offer.source,
        verses=tuple(row for row in every if row.text),
        # Other grids have places that this text leaves empty and nobody misses.
        blank=tuple(row for row in every if not row.text and (row.removed or row.ref in in_grid())),
    )
