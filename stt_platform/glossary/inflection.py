"""Regular inflections of English and Spanish terms; what is irregular is listed in the glossary itself."""

import re

from stt_platform.glossary.terms import Sense

_ENGLISH_LINKS = frozenset({"of", "in", "to", "for", "from", "on", "with", "by", "at", "and", "the"})
_SPANISH_LINKS = frozenset({"de", "del", "en", "a", "al", "con", "por", "para", "y", "sobre", "según"})
_PLAIN = str.maketrans("áéíóú", "aeiou")


def english_forms(sense: Sense) -> tuple[str, ...]:
    """Regular inflections of the lemma and of every listed form: plurals of nouns, tenses and persons of verbs
    (the old -eth and -est too). Names, books, adjectives and phrases have none; possessives are left to matching.
    """
    inflect = {"noun": _english_plural, "verb": _english_verb}.get(sense.pos)
    return _inflected((sense.en, *sense.en_forms), inflect, _ENGLISH_LINKS)


def spanish_forms(sense: Sense) -> tuple[str, ...]:
    """Regular inflections of the lemma and of every listed form: plurals of nouns, gender and number of
    adjectives. Verbs have none: their stems are listed (`bautiz*`).
    """
    if sense.pos == "adjective":
        return _inflected((sense.es, *sense.es_forms), _spanish_adjective, frozenset())
    return _inflected((sense.es, *sense.es_forms), _spanish_plurals if sense.pos == "noun" else None, _SPANISH_LINKS)


def _inflected(forms, inflect, links: frozenset[str]) -> tuple[str, ...]:
    if inflect is None:
        return ()
    found = []
    for form in forms:
        if "*" in form or "#" in form:
            continue
        words = form.split(" ")
        # What agrees is the head: all of "vida eterna", but of "cordero de Dios" only what stands before "de".
        head = next((i for i, word in enumerate(words) if word in links), len(words))
        if head == 0:
            continue
        start = head - 1 if links is not _SPANISH_LINKS else 0
        variants = [inflect(word) for word in words[start:head]]
        for variant in zip(*variants, strict=True):
            found.append(" ".join([*words[:start], *variant, *words[head:]]))
    known = set(forms)
    return tuple(dict.fromkeys(form for form in found if form not in known))


def _english_plural(noun: str) -> tuple[str, ...]:
    if noun.endswith("s"):
        # "apostles" is already one; "cross" and "witness" are not.
        return (noun + "es",) if noun.endswith(("ss", "us")) else (noun,)
    if re.search(r"(x|z|ch|sh)$", noun):
        return (noun + "es",)
    if re.search(r"[^aeiou]y$", noun):
        return (noun[:-1] + "ies",)
    return (noun + "s",)


def _english_verb(verb: str) -> tuple[str, ...]:
    if verb.endswith("e"):
        return (verb + "s", verb + "d", verb[:-1] + "ing", verb + "th", verb + "st")
    if re.search(r"[^aeiou]y$", verb):
        stem = verb[:-1]
        return (stem + "ies", stem + "ied", verb + "ing", stem + "ieth", stem + "iest")
    third = verb + ("es" if re.search(r"(s|x|z|ch|sh)$", verb) else "s")
    return (third, verb + "ed", verb + "ing", verb + "eth", verb + "est")


def _spanish_plurals(noun: str) -> tuple[str, ...]:
    return (_spanish_plural(noun),)


def _spanish_plural(noun: str) -> str:
    if re.search(r"[áéíóú][ns]$", noun):
        return noun[:-2] + noun[-2].translate(_PLAIN) + noun[-1] + "es"
    if noun.endswith(("s", "x")):
        return noun
    if noun.endswith("z"):
        return noun[:-1] + "ces"
    return noun + ("s" if noun[-1] in "aeiouáéó" else "es")


def _spanish_adjective(adjective: str) -> tuple[str, ...]:
    if adjective.endswith("o"):
        stem = adjective[:-1]
        return (stem + "a", stem + "os", stem + "as")
    if adjective.endswith(("dor", "tor", "sor")):
        return (adjective + "a", adjective + "es", adjective + "as")
    plural = _spanish_plural(adjective)
    return (plural, plural, plural)
