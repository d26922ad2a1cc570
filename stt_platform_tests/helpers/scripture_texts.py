"""Two made-up languages for tests of alignment, and ways to renumber a text."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from stt_platform.scripture.alignment import Segment

SHARED_BIBLES = ("legacy_2024", "new_2025")
"""The folders of the shared data that hold KJV, ASV, WEB, BBE, YLT and RVR1909."""


def made_up_texts(books: int = 6, chapters: int = 5, verses: int = 14, seed: int = 3) -> tuple[dict, dict]:
    """An English and a Spanish text that say the same verse by verse, in words that nobody knows.

    Word for word translations in another order; one word in five is left out or put differently.
    """
    rng = random.Random(seed)
    syllables = ["ba", "ce", "di", "fo", "gu", "la", "me", "ni", "po", "ru", "sa", "te"]

    def word() -> str:
        return "".join(rng.choice(syllables) for _ in range(3))

    words = [("k" + word(), "z" + word()) for _ in range(300)]
    en, es = {}, {}
    for book in range(1, books + 1):
        for chapter in range(1, chapters + 1):
            for verse in range(1, verses + 1):
                chosen = rng.sample(words, rng.randint(6, 16))
                spanish = [b if rng.random() > 0.2 else rng.choice(words)[1] for _, b in chosen]
                rng.shuffle(spanish)
                ref = book * 1_000_000 + chapter * 1000 + verse
                en[ref] = " ".join(a for a, _ in chosen) + "."
                es[ref] = " ".join(spanish) + "."
    return en, es


@cache
def shared_texts(folder: Path) -> dict:
    """The shared English Bibles and RVR1909, cleaned, by text; others that may lie beside them are not read."""
    from stt_platform.scripture.finding import find_texts

    return dict(find_texts([folder / "bible" / name for name in SHARED_BIBLES]).texts)


def shifted(text: Mapping[int, str], chapter: int, rng: random.Random) -> tuple[dict[int, str], list[Segment]]:
    """The text with one chapter (BBCCC) that is numbered one off from a random verse on, and the truth about it.

    "up": a verse is written into the one before it, and the number at the end stays empty. "down": a number is
    passed over, and the last verse is written into the one before it, or left out.
    """
    refs = sorted(ref for ref in text if ref // 1000 == chapter)
    kind = rng.choice(["up", "down and merged", "down and lost"])
    at = rng.randrange(len(refs) - 1)
    old: dict[int, list[int]] = {ref: [ref] for ref in refs}
    if kind == "up":
        old[refs[at]] = [refs[at], refs[at + 1]]
        for k in range(at + 1, len(refs) - 1):
            old[refs[k]] = [refs[k + 1]]
        del old[refs[-1]]
    else:
        for k in range(at + 1, len(refs)):
            old[refs[k]] = [refs[k - 1]]
        del old[refs[at]]
        if kind == "down and merged":
            old[refs[-1]] = refs[-2:]
    changed = {ref: words for ref, words in text.items() if ref // 1000 != chapter}
    changed |= {ref: " ".join(text[k] for k in parts) for ref, parts in old.items()}
    return dict(sorted(changed.items())), [Segment(tuple(parts), (ref,)) for ref, parts in sorted(old.items())]
