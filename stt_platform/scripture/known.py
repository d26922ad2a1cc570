"""The texts known by name, what to call the others, and which source of a text is the better one."""

import re
import tomllib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_WORDS = {
    "en": {"the", "and", "of", "to", "that", "in", "he", "shall", "for", "unto", "his", "with", "they", "was", "is"},
    "es": {"de", "la", "que", "el", "los", "y", "en", "se", "del", "su", "por", "las", "con", "no", "á", "a", "al"},
}
_SAMPLED_WORDS = 5_000
_LANGUAGES = {"en": "en", "eng": "en", "english": "en", "es": "es", "spa": "es", "spanish": "es", "español": "es"}


@dataclass(frozen=True)
class KnownText:
    """A row of `texts.toml`."""

    id: str
    language: str
    title: str
    licence: str
    attribution: str
    names: tuple[str, ...]
    prefer: tuple[str, ...]
    advice: str
    package: str
    begins: str


@cache
def known_texts() -> dict[str, KnownText]:
    """Return the rows of `texts.toml` by id, in its order."""
    lists = ("names", "prefer")
    return {row["id"]: KnownText(**row | {name: tuple(row[name]) for name in lists}) for row in _table()["texts"]}


def known_as(*names: str) -> KnownText | None:
    """Look up the text that one of these names means; None where it is not known."""
    table = _by_name()
    return next((table[slug(name)] for name in names if slug(name) in table), None)


def preference(text_id: str) -> tuple[str, ...]:
    """Return the loaders in the order in which they are asked for a text."""
    known = known_texts().get(text_id)
    default = tuple(_table()["default"])
    return tuple(dict.fromkeys((*known.prefer, *default))) if known else default


def slug(name: str) -> str:
    """Turn a name into an id: lower case, plain letters and digits. "SpaRV1865" becomes "sparv1865"."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return re.sub(r"[^a-z0-9]+", "", plain)[:40]


def language_named(name: str) -> str:
    """ "en" or "es" for a language's name or code, "" for none of them."""
    return _LANGUAGES.get(re.split(r"[-_]", name.strip().casefold())[0], "")


def language_of(texts: Iterable[str]) -> str:
    """ "en", "es" or "" for none of the two, by the share of the commonest words."""
    counts, total = dict.fromkeys(_WORDS, 0), 0
    for text in texts:
        for word in re.findall(r"[^\W\d_]+", text.casefold()):
            total += 1
            for language, words in _WORDS.items():
                counts[language] += word in words
        if total >= _SAMPLED_WORDS:
            break
    best = max(counts, key=lambda language: counts[language])
    other = sum(counts.values()) - counts[best]
    # A fifth of a text is such words; Portuguese or French share some with Spanish, not twice as many.
    return best if total and counts[best] >= 0.2 * total and counts[best] > 3 * other else ""


@cache
def _table() -> dict:
    return tomllib.loads(Path(__file__).with_name("texts.toml").read_text(encoding="utf-8"))


@cache
def _by_name() -> dict[str, KnownText]:
    return {slug(name): row for row in known_texts().values() for name in (row.id, row.title, *row.names)}
