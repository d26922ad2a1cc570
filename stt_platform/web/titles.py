"""What the title of a video tells: who speaks, and whether people sing or ask questions."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Literal

Kind = Literal["sermon", "songs", "questions"]

_SONGS = re.compile(
    r"\b(?:hymns?|hymn[- ]?sing|singing|sing[- ]?along|songs?(?! of (?:solomon|songs|moses|ascents?))|choirs?|carols?"
    r"|worship music|praise and worship|praise night|concert|musical)\b",
    re.IGNORECASE,
)
_QUESTIONS = re.compile(
    r"\bq\s?(?:&|and|\+|/)\s?a(?:s|’s|'s)?\b|\bquestions?\s?(?:&|and)\s?answers?\b|\bquestion (?:time|night|period|box)\b"
    r"|\b(?:bible|your|open) questions\b|\bquestions answered\b|\bpanel\b|\bdiscussion\b",
    re.IGNORECASE,
)
_BREAKS = re.compile(r"\s+[-–—|•·/~]{1,2}\s+|\s*\|\s*|\s*[–—]\s*|:\s+|\s+//\s+|[()\[\]\"“”]")
_BY = re.compile(r"\b(?:by|with|speaker:?|preacher:?)\s+", re.IGNORECASE)
_HONORIFIC = re.compile(
    r"^(?:(?:mr|mrs|ms|dr|bro|rev|pr|ps|sr)\b\.?|brother|sister|pastor|elder|reverend|evangelist)\s+", re.IGNORECASE
)
# A first name or an initial, then one to three more; Mc, Mac, de, van, O' and hyphens are parts of names.
_NAME = re.compile(
    r"(?:[A-Z]\.|[A-Z]\.?[A-Z]\.|[^\W\d_a-z][^\W\d_]*[.'’-]?[^\W\d_]*)"
    r"(?:\s+(?:(?:de|van|von|der|la|le|st|da|di)\s+)*(?:[A-Z]\.?|[^\W\d_a-z][^\W\d_]*(?:['’-][^\W\d_]+)*))"
    r"{1,3}(?:,?\s+(?:Jr|Sr|II|III)\.?)?"
)
_WORDS = """
a an and the of in on to for from with at by is are was our his her your my we you who what why how when where this
that not no god gods lord lords jesus christ christs holy spirit father son saviour savior gospel meeting meetings
hall church chapel assembly ministry bible study studies prayer conference sunday monday tuesday wednesday thursday
friday saturday morning evening afternoon night service services sermon message series part chapter book psalm
psalms proverbs genesis exodus leviticus numbers deuteronomy joshua judges ruth samuel kings chronicles ezra
nehemiah esther job ecclesiastes song songs solomon isaiah jeremiah lamentations ezekiel daniel hosea joel amos
obadiah jonah micah nahum habakkuk zephaniah haggai zechariah malachi matthew mark luke john acts romans
corinthians galatians ephesians philippians colossians thessalonians timothy titus philemon hebrews james peter
jude revelation january february march april may june july august september october november december live stream
youth children sunday school report missionary tent camp special hymn hymns hymnsing singing choir question
questions answers panel discussion grace faith hope love heaven hell salvation cross blood lamb kingdom glory word
words truth life death light world new old testament good great easter christmas thanksgiving lamp oil way true
amazing eternal sin sins sinner world peace
"""
_NOT_IN_NAMES = frozenset(_WORDS.split())
# Books of the Bible are first names as well: they count as a name where another name follows.
_FIRST_WORDS = (
    "joshua ruth samuel ezra esther daniel joel amos micah matthew mark luke john timothy titus james peter jude grace "
    "faith hope may june april"
)
_FIRST_NAMES = frozenset(_FIRST_WORDS.split())


def kind_of(title: str) -> Kind:
    """Tell what the title announces, by its words."""
    if _QUESTIONS.search(title):
        return "questions"
    return "songs" if _SONGS.search(title) else "sermon"


def speakers_of(titles: Iterable[str]) -> dict[str, str]:
    """Guess the speaker of each title that seems to name one.

    Of several parts that look like a name, the one that other titles have too is taken, else the last: "The Lamp -
    Ann Lee" is how most people write.
    """
    candidates = {title: _names_in(title) for title in titles}
    uses = Counter(name.casefold() for names in candidates.values() for name in set(names))
    spelled: dict[str, str] = {}
    guesses = {}
    for title, names in candidates.items():
        if names:
            best = max(enumerate(names), key=lambda place: (uses[place[1].casefold()], place[0]))[1]
            guesses[title] = spelled.setdefault(best.casefold(), best)
    return guesses


def _names_in(title: str) -> list[str]:
    names = []
    for part in _BREAKS.split(title):
        pieces = _BY.split(part)
        for piece in pieces:
            text = piece.strip(" ,.-–—'’")
            bare = _HONORIFIC.sub("", text)
            if _is_name(bare, has_honorific=bare != text):
                names.append(" ".join(bare.split()))
    return names


def _is_name(text: str, *, has_honorific: bool) -> bool:
    if len(text) > 60:
        return False
    if has_honorific and re.fullmatch(r"[^\W\d_a-z][^\W\d_]+(?:['’-][^\W\d_]+)*", text):
        return True
    if not _NAME.fullmatch(text):
        return False
    words = [re.sub(r"['’]s?$|[.,]", "", word).casefold() for word in text.split()]
    return not any(word in _NOT_IN_NAMES and not (i == 0 and word in _FIRST_NAMES) for i, word in enumerate(words))
