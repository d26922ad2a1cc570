"""Regular inflections of English and Spanish terms; what is irregular is listed in the glossary itself."""

import re
from collections.abc import Callable, Iterator, Sequence

from stt_platform.glossary.terms import Sense

_ENGLISH_LINKS = frozenset({"of", "in", "to", "for", "from", "on", "with", "by", "at", "and", "the"})
_SPANISH_LINKS = frozenset({"de", "del", "en", "a", "al", "con", "por", "para", "y", "sobre", "según"})
_PLAIN = str.maketrans("áéíóú", "aeiou")


def english_forms(sense: Sense) -> tuple[str, ...]:
    """Regular inflections of the lemma and of every listed form: plurals of nouns, tenses and persons of verbs
    (the old -eth and -est too). Names, books, adjectives and phrases have none; possessives are left to matching.
    """
    inflect = {"noun": _english_plural, "verb": _english_verb}.get(sense.pos)
    return _inflected(plain_english(sense), inflect, _ENGLISH_LINKS)


def spanish_forms(sense: Sense) -> tuple[str, ...]:
    """Regular inflections of the lemma and of every listed form: plurals of nouns, gender and number of
    adjectives, and the forms of a verb, which is a lemma or listed as `~amar`. A stem `bautiz*` stands for itself.
    """
    verbs = [form[1:] for form in sense.es_forms if form.startswith("~")]
    if sense.pos == "verb":
        verbs.append(sense.es)
    inflect = {"noun": _spanish_plurals, "adjective": _spanish_adjective}.get(sense.pos)
    agreeing = _inflected(plain_spanish(sense), inflect, _SPANISH_LINKS)
    return tuple(dict.fromkeys([*agreeing, *(form for verb in verbs for form in conjugate(verb))]))


def plain_english(sense: Sense) -> tuple[str, ...]:
    """Return the lemma and the listed forms. The name of a book that is also a word ("Acts #") is no form by itself."""
    if sense.pos == "book" and any(form.endswith("#") for form in sense.en_forms):
        return sense.en_forms
    return (sense.en, *sense.en_forms)


def plain_spanish(sense: Sense) -> tuple[str, ...]:
    """Return the lemma and the listed forms as they are written, without the verbs listed as `~amar`."""
    return (sense.es, *(form for form in sense.es_forms if not form.startswith("~")))


def conjugate(infinitive: str) -> tuple[str, ...]:
    """Return the regular forms of a Spanish verb, its participle in gender and number, and those with a pronoun at the end.

    Pronouns stand after infinitive, gerund, imperative, and as in older texts after the preterite ("adoráronle").
    The stem is spelled so that its sound stays ("predique", "pague", "bautice"), and "obedezca" keeps its z. Vowels that change ("ruego") and
    other irregular forms are not made.
    """
    verb = infinitive.removesuffix("se")
    stem, kind = verb[:-2], verb[-2:].replace("í", "i")
    forms = [_spelled(stem, kind, ending) + ending for ending in _ENDINGS[kind].split()]
    forms += [
        stem + kind + ending for ending in ["é", "ás", "á", "emos", "éis", "án", "ía", "ías", "íamos", "íais", "ían"]
    ]
    carriers = [verb, *(stem + ending for ending in _CARRIERS[kind].split())]
    return tuple(dict.fromkeys([verb, *forms, *(carrier + clitic for carrier in carriers for clitic in _CLITICS)]))


_CLITICS = ("me", "te", "se", "le", "lo", "la", "nos", "os", "les", "los", "las")
_SECOND = "o es e en ía ías íamos íais ían í iste ió isteis ieron a as amos áis an iendo ido ida idos idas"
_PAST = "iera ieras iéramos ierais ieran iese ieses iésemos ieseis iesen iere ieres iéremos iereis ieren imos"
_ENDINGS = {
    "ar": "o as a amos áis an aba abas ábamos abais aban é aste ó asteis aron e es emos éis en ad ando ado ada ados "
    "adas ara aras áramos arais aran ase ases ásemos aseis asen are ares áremos areis aren",
    "er": f"{_SECOND} {_PAST} emos éis ed",
    "ir": f"{_SECOND} {_PAST} ís id",
}
_CARRIERS = {"ar": "ad ándo ó áron", "er": "ed iéndo ió iéron", "ir": "id iéndo ió iéron"}


def _spelled(stem: str, kind: str, ending: str) -> str:
    if kind == "ar" and ending[0] in "eé":
        for hard, soft in (("c", "qu"), ("g", "gu"), ("z", "c")):
            if stem.endswith(hard):
                return stem[:-1] + soft
    if kind != "ar" and ending[0] in "aáo" and re.search(r"[aeou]c$", stem):
        return stem[:-1] + "zc"
    return stem


def _inflected(
    forms: Sequence[str], inflect: Callable[[str], tuple[str, ...]] | None, links: frozenset[str]
) -> tuple[str, ...]:
    found = [variant for form in forms for variant in _variants(form, inflect, links)] if inflect else []
    known = set(forms)
    return tuple(dict.fromkeys(form for form in found if form not in known))


def _variants(form: str, inflect: Callable[[str], tuple[str, ...]], links: frozenset[str]) -> Iterator[str]:
    if "*" in form or "#" in form:
        return
    words = form.split(" ")
    # What agrees is the head: in "cordero de Dios" what stands before "de", in Spanish with its adjective
    # ("vidas eternas"), in English its last word ("burnt offerings").
    head = next((i for i, word in enumerate(words) if word in links), len(words))
    start = 0 if links is _SPANISH_LINKS else max(head - 1, 0)
    for variant in zip(*(inflect(word) for word in words[start:head]), strict=True):
        yield " ".join([*words[:start], *variant, *words[head:]])


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
