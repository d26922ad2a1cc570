"""Spanish of 1909 in today's spelling, by the table `spelling_1909.toml`. For the training target only."""

import re
import tomllib
from functools import cache
from pathlib import Path


def modernise(text: str) -> str:
    """Whole words of the table in today's spelling: "á Dios, y fué así" becomes "a Dios, y fue así".

    A capital stays a capital and words in capitals stay in capitals; nothing inside another word changes.
    """
    words, pattern = _table()
    return pattern.sub(lambda match: _like(match[0], words[match[0].casefold()]), text)


@cache
def _table() -> tuple[dict[str, str], re.Pattern[str]]:
    table = tomllib.loads(Path(__file__).with_name("spelling_1909.toml").read_text(encoding="utf-8"))
    words = {old: new for section in table.values() for old, new in section.items()}
    # A hyphen joins names ("Beth-há"), so it counts as part of the word.
    return words, re.compile(rf"(?<![\w-])(?:{'|'.join(sorted(words, key=len, reverse=True))})(?![\w-])", re.IGNORECASE)


def _like(old: str, new: str) -> str:
    if len(old) > 1 and old.isupper():
        return new.upper()
    return new.capitalize() if old[0].isupper() else new
