"""More to learn from than the verse pairs: terms, sentences and hints; and the control set that hints are judged by."""

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, Protocol, get_args

from stt_platform.glossary.hints import Hint, appended, hints_for, inline
from stt_platform.glossary.matching import compiled
from stt_platform.glossary.terms import Glossary, Sense
from stt_platform.machine.seeded import seeded_uniform

HintForm = Literal["inline", "appended", "prompt"]

_TOKEN = re.compile(r"[^\W\d_]{3,}")
_RARE, _COMMON = 3, 0.02
_WEAKEST_LINK = 0.1


class Pair(Protocol):
    """A verse pair, as `verse_pairs` holds it."""

    @property
    def pair_id(self) -> str: ...
    @property
    def segment_id(self) -> str: ...
    @property
    def en_refs(self) -> Sequence[int]: ...
    @property
    def en(self) -> str: ...
    @property
    def es(self) -> str: ...
    @property
    def split(self) -> str: ...


@dataclass(frozen=True)
class Example:
    """One thing to learn.

    Attributes:
        kind: "verse", "hinted", "term" or "term_sentence"; of the control set "no_hints", "hinted" or "random_hints".
        source, target: English and Spanish. In the forms "inline" and "appended" the source carries the hints.
        segment_id: the aligned segment it comes from; empty for terms and their sentences.
        split: that of the pair it comes from, so nothing held out is learnt; "train" for terms and their sentences.
        hints: (English, Spanish), for the prompt or already in the source.
        term_id: the term that is taught; empty for pairs.
    """

    example_id: str
    kind: str
    source: str
    target: str
    segment_id: str
    split: str
    hints: tuple[tuple[str, str], ...] = ()
    term_id: str = ""


def term_examples(glossary: Glossary) -> list[Example]:
    """Return every term by itself, and in the sentences of `templates.toml`, with article and "del" where Spanish has them.

    The usual sense of a term is taught by its lemma. Another is taught by its first own form ("LORD"), a book in its
    sentence only. A sense that holds in some verses only is left to these verses, unless it is a name.
    """
    examples = []
    for term in glossary.terms:
        for number, sense in enumerate(term.senses):
            if sense.scope.ranges and (number or sense.pos != "name"):
                continue
            english = sense.en if number == 0 else _own_form(sense, term.en)
            name = f"{sense.term_id}:{sense.name}" if sense.name else sense.term_id
            if english is None and sense.pos != "book":
                continue
            if english is not None:
                examples.append(_taught(f"term:{name}", "term", english, sense.es, sense))
            for i, (en, es) in enumerate(_sentences(sense, english or sense.en)):
                examples.append(_taught(f"sentence:{name}:{i}", "term_sentence", en, es, sense))
    return examples


def hinted(
    pairs: Sequence[Pair],
    glossary: Glossary,
    *,
    form: HintForm = "prompt",
    share: float = 0.4,
    most: int = 4,
    seed: int = 0,
) -> Iterator[Example]:
    """Yield every pair once, in order: `share` of them with hints that their target bears out, the others plain.

    Hints on every example would leave the model helpless without them, so most stay plain.

    Args:
        form: "inline" tags around the term, "appended" after the text, or "prompt": the source stays as it is and
            the hints go into the prompt (`prompts.render_prompt`).
        share: of all pairs, 0 to 1. Where fewer have a hint, all that have one get it. Which ones depends on `seed`
            and the pairs, not on their order.
        most: hints of one example; more are thinned by chance.

    Raises:
        ValueError: for another form, or a share outside 0 to 1.
    """
    _check(form, share)
    chosen = _chosen(pairs, glossary, share, most, seed)
    for pair in pairs:
        yield _with_hints(pair, chosen[pair.pair_id], form, "hinted") if pair.pair_id in chosen else _plain(pair)


def control_examples(
    pairs: Iterable[Pair],
    glossary: Glossary,
    corpus: Iterable[Pair],
    *,
    form: HintForm = "prompt",
    most: int = 4,
    seed: int = 0,
) -> Iterator[Example]:
    """Yield the control set: each pair three times over, without hints, with hints, and with as many random ones.

    A gain that random hints bring too is a gain from seeing some of the target, not from terminology: these are the
    three modes of the WMT25 terminology task. A random hint is a word of the source that is no term, with the word of
    the target that keeps it company most closely in the corpus (Dice), if that is spelled otherwise. A pair that has
    no hint of both kinds is left out, so all modes have the same pairs, and a pair the same number of hints.

    Args:
        pairs: read as far as the caller asks for examples.
        corpus: where company is counted: pairs in any number, of which the first of each segment counts.

    Raises:
        ValueError: for another form.
    """
    _check(form)
    company = _Company(corpus)
    for pair in pairs:
        hints = _borne_out(pair, glossary)
        others = _other_words(pair, glossary, company, min(len(hints), most), seed) if hints else []
        if others:
            yield _with_hints(pair, (), form, "no_hints")
            yield _with_hints(pair, _thinned(pair, hints, len(others), seed), form, "hinted")
            yield _with_hints(pair, others, form, "random_hints")


def _check(form: str, share: float = 0.0) -> None:
    if form not in get_args(HintForm):
        raise ValueError(f"form {form!r}: use one of {', '.join(get_args(HintForm))}")
    if not 0 <= share <= 1:
        raise ValueError(f"share {share!r}: a number from 0 to 1 was expected")


def _taught(example_id: str, kind: str, en: str, es: str, sense: Sense) -> Example:
    return Example(example_id, kind, en, es, "", "train", term_id=sense.term_id)


def _plain(pair: Pair) -> Example:
    return Example(pair.pair_id, "verse", pair.en, pair.es, pair.segment_id, pair.split)


def _with_hints(pair: Pair, hints: Sequence[Hint], form: HintForm, kind: str) -> Example:
    source = {"inline": inline, "appended": appended}[form](pair.en, hints) if form != "prompt" else pair.en
    shown = tuple((hint.en, hint.es) for hint in hints)
    return Example(f"{kind}:{pair.pair_id}", kind, source, pair.es, pair.segment_id, pair.split, shown)


def _chosen(pairs: Sequence[Pair], glossary: Glossary, share: float, most: int, seed: int) -> dict[str, list[Hint]]:
    """Return the hints of the pairs that get some. Looked for in the order of the draw, until there are enough."""
    wanted = round(share * len(pairs))
    chosen: dict[str, list[Hint]] = {}
    for pair in sorted(pairs, key=lambda pair: seeded_uniform(seed, "share", pair.pair_id)):
        if len(chosen) == wanted:
            break
        if hints := _borne_out(pair, glossary):
            chosen[pair.pair_id] = _thinned(pair, hints, most, seed)
    return chosen


def _borne_out(pair: Pair, glossary: Glossary) -> list[Hint]:
    return hints_for(pair.en, glossary, ref=pair.en_refs[0] if pair.en_refs else None, target=pair.es)


def _thinned(pair: Pair, hints: Sequence[Hint], most: int, seed: int) -> list[Hint]:
    kept = sorted(hints, key=lambda hint: seeded_uniform(seed, "most", pair.pair_id, hint.term_id))[:most]
    return sorted(kept, key=lambda hint: hint.start)


class _Company:
    """In which segments each word stands, one English text a segment: five would count each Spanish word five times."""

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self.english: dict[str, set[int]] = defaultdict(set)
        self.spanish: dict[str, set[int]] = defaultdict(set)
        segments: set[str] = set()
        for pair in pairs:
            if pair.segment_id in segments:
                continue
            for table, text in ((self.english, pair.en), (self.spanish, pair.es)):
                for word in _TOKEN.findall(text):
                    table[word.casefold()].add(len(segments))
            segments.add(pair.segment_id)
        self.segments = len(segments)

    def closest(self, word: str, words: Iterable[str]) -> str | None:
        """Return the word of `words` with the highest Dice coefficient with the English `word`, if it is high enough."""
        mine = self.english.get(word.casefold(), set())
        if not _RARE <= len(mine) <= max(_RARE, _COMMON * self.segments):
            return None
        best, link = None, _WEAKEST_LINK
        for other in sorted(set(words)):
            theirs = self.spanish.get(other.casefold(), set())
            if theirs and (dice := 2 * len(mine & theirs) / (len(mine) + len(theirs))) > link:
                best, link = other, dice
        return best


def _other_words(pair: Pair, glossary: Glossary, company: _Company, count: int, seed: int) -> list[Hint]:
    terms = [(m.start, m.end) for m in compiled(glossary, "en").find(pair.en)]
    targets = _TOKEN.findall(pair.es)
    free = [word for word in _TOKEN.finditer(pair.en) if all(word.end() <= s or e <= word.start() for s, e in terms)]
    free.sort(key=lambda word: seeded_uniform(seed, "random", pair.pair_id, word.group(), str(word.start())))
    hints: dict[str, Hint] = {}
    for word in free:
        if len(hints) == count:
            break
        surface = word.group()
        other = company.closest(surface, targets)
        if other is None or other.casefold() == surface.casefold():
            continue
        if other not in {hint.es for hint in hints.values()}:
            hints.setdefault(surface, Hint("", surface, other, word.start(), word.end(), surface))
    return sorted(hints.values(), key=lambda hint: hint.start)


def _own_form(sense: Sense, usual: str) -> str | None:
    """Return what names this sense and not the usual one of the term."""
    if sense.pos == "book":
        return None
    return next((form for form in (sense.en, *sense.en_forms) if form != usual and not form.endswith("#")), None)


def _sentences(sense: Sense, english: str) -> Iterator[tuple[str, str]]:
    es = f"{sense.es_article} {sense.es}".strip()
    shown = {
        "en": f"{sense.en_article} {english}".strip(),
        "es": es,
        "de": f"del {sense.es}" if sense.es_article == "el" else f"de {es}",
        "term": english,
        "término": sense.es,
    }
    for pos, en_template, es_template in _templates():
        if sense.pos in pos:
            yield en_template.format_map(shown), es_template.format_map(shown)


@cache
def _templates() -> tuple[tuple[frozenset[str], str, str], ...]:
    table = tomllib.loads(Path(__file__).with_name("templates.toml").read_text(encoding="utf-8"))
    return tuple((frozenset(row["pos"]), row["en"], row["es"]) for row in table["template"])
