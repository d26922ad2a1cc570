"""Hints: a term that stands in the source, with the Spanish that the translation should use."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from stt_platform.glossary.matching import Match, compiled
from stt_platform.glossary.terms import Glossary

TAG_SOURCE, TAG_TARGET, TAG_DONE = "__source__", "__target__", "__done__"

_POSSESSIVE = re.compile(r"['’ʼ][sS]\b")


@dataclass(frozen=True)
class Hint:
    """`text[start:end] == surface`; `es` is what to write, as a lemma: the model inflects it.

    `en` is the lemma too, but the surface for a sense that is not the usual one: LORD is Jehová, Lord is not.
    """

    term_id: str
    en: str
    es: str
    start: int
    end: int
    surface: str


def hints_for(text: str, glossary: Glossary, *, ref: int | None = None, target: str | None = None) -> list[Hint]:
    """Find the hints for `text`, in order, each term once.

    With a `target` only those that it bears out: the lemma, inflected, stands there; of the senses that can be meant
    the first that does. A rendering of another age ("salud" for salvation) bears out no hint. Without one, as in live
    use, the likeliest sense. Terms that are spelled alike in both languages need no hint.
    """
    standing = None if target is None else compiled(glossary, "es lemmas").keys(target)
    found: dict[str, Hint] = {}
    for match in compiled(glossary, "en").find(text, ref):
        names = match.allowed
        if standing is not None:
            names = [name for name in _in_order(glossary, match) if (match.term_id, name) in standing]
        if not names or match.term_id in found:
            continue
        sense = glossary.sense(match.term_id, names[0])
        if sense.es.casefold() != match.surface.casefold():
            usual = names[0] == glossary.term(match.term_id).senses[0].name
            found[match.term_id] = Hint(
                term_id=match.term_id,
                en=sense.en if usual else match.surface,
                es=sense.es,
                start=match.start,
                end=match.end,
                surface=match.surface,
            )
    return list(found.values())


def _in_order(glossary: Glossary, match: Match) -> list[str]:
    """Return the senses of the match as the table has them: where the target decides, the usual one comes first."""
    allowed = set(match.allowed)
    return [sense.name for sense in glossary.term(match.term_id).senses if sense.name in allowed]


def inline(text: str, hints: Sequence[Hint]) -> str:
    """Hints inside the text: "the __source__ covenant __target__ pacto __done__ of God".

    The form "append" of Dinu et al. 2019, "Training Neural Machine Translation To Apply Terminology Constraints"
    (P19-1294), with words as tags instead of source factors, which a model without factors can read.
    """
    for hint in sorted(hints, key=lambda hint: -hint.start):
        possessive = _POSSESSIVE.match(text, hint.end)
        end = possessive.end() if possessive else hint.end
        tagged = f"{TAG_SOURCE} {text[hint.start : end]} {TAG_TARGET} {hint.es} {TAG_DONE}"
        text = text[: hint.start] + tagged + text[end:]
    return text


def appended(text: str, hints: Sequence[Hint]) -> str:
    """Hints after the text: "… [GLOSSARY: covenant=pacto, grace=gracia]"; the text as it is without hints."""
    return f"{text} [GLOSSARY: {', '.join(f'{hint.en}={hint.es}' for hint in hints)}]" if hints else text
