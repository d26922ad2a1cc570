"""Church English: what is written otherwise becomes one form, what was said otherwise does not."""

import hashlib
import json
import random
from pathlib import Path

import pytest

from stt_platform.evaluation.church_english import normalise_church_english
from stt_platform.evaluation.metrics.error_rates import RULES
from stt_platform.evaluation.spoken_numbers import ONES, TEENS, TENS
from stt_platform.evaluation.spoken_references import find_references
from stt_platform.evaluation.wer import word_errors
from stt_platform.scripture.books import book
from stt_platform.scripture.grid import all_refs
from stt_platform.scripture.references import VerseRef

EQUAL = [
    # References.
    ("John 3:16", "John three sixteen"),
    ("John 3:16", "John chapter three verse sixteen"),
    ("John 3:16", "John 3 verse 16"),
    ("John 3:16", "john chapter 3, verse 16"),
    ("John 3:16", "Jn 3.16"),
    ("John 3:16", "John 3v16"),
    ("John 3:16", "John, chapter 3 and verse 16"),
    ("John 3:16", "John chapter 3:16"),
    ("John 3:16", "John 316"),
    ("John 3:16", "JOHN 3:16"),
    ("John 3:16", "John, um, 3:16"),
    ("John 1:1", "John one one"),
    ("John 1:1", "John chapter one verse one"),
    ("First Corinthians 13", "1 Corinthians 13"),
    ("First Corinthians 13", "I Corinthians thirteen"),
    ("First Corinthians 13", "1st Corinthians chapter 13"),
    ("1 Cor. 13:4", "First Corinthians thirteen four"),
    ("1Cor.13.4", "first Corinthians chapter thirteen, verse four"),
    ("First John", "1 John"),
    ("First John 4:8", "I John four eight"),
    ("III John 4", "third John verse four"),
    ("in Second Timothy Paul says", "in 2 Timothy Paul says"),
    ("second Timothy chapter 3 verses 14 and 15", "2 Timothy 3:14-15"),
    ("second Timothy chapter 3 verses 14 and 15", "II Timothy 3:14–15"),
    ("2 Timothy 3:14 through 17", "2 Timothy chapter three, verses fourteen to seventeen"),
    ("John 3:16 and 18", "John 3:16, 18"),
    ("Genesis 1:1-2:3", "Genesis chapter one verse one through chapter two verse three"),
    ("Genesis 1 to 3", "Genesis chapters one through three"),
    ("Genesis 1-3", "Genesis chapters one, two and three"),
    ("Psalm twenty three", "Psalm 23"),
    ("Psalm twenty-three", "Psalms 23"),
    ("Ps. 23:1", "Psalm 23 verse 1"),
    ("the twenty-third Psalm", "the 23rd psalm"),
    ("Psalm 119:105", "Psalm one nineteen one oh five"),
    ("Psalm 119:105", "Psalm one hundred and nineteen, verse one hundred and five"),
    ("Psalm 103", "Psalm one oh three"),
    ("Isaiah 1:18", "Isaiah one eighteen"),
    ("Isa 53:5", "Isaiah fifty three five"),
    ("Romans 8:28", "Romans eight twenty-eight"),
    ("Romans 8, verses 38 and 39", "Romans 8:38-39"),
    ("Jude 24 and 25", "Jude 1:24-25"),
    ("Jude 24", "Jude verse twenty-four"),
    ("Rev 3:20", "Revelations chapter 3 verse 20"),
    ("Gen 1:1", "Genesis 1:1"),
    ("Acts 2:38", "acts two thirty eight"),
    ("Mark 10:45", "Mark ten forty-five"),
    ("Job 19:25", "Job nineteen twenty-five"),
    ("Song of Songs 2:4", "Song of Songs chapter two, verse four"),
    ("Romans 8:28 and First John 4:8", "Romans eight twenty eight and 1 John 4:8"),
    ("verses 14 and 15", "verses 14-15"),
    ("look at verse sixteen", "look at v. 16"),
    ("chapter 3:16", "chapter three verse sixteen"),
    # O, and numbers in prose.
    ("O Lord, our Lord", "Oh Lord, our Lord"),
    ("forty days and forty nights", "40 days and 40 nights"),
    ("the first day", "the 1st day"),
    ("the twenty-third of May", "the 23rd of May"),
    ("one another", "1 another"),
    ("nineteen eighty four", "1984"),
    ("in nineteen oh five", "in 1905"),
    ("two thousand and eleven", "2011"),
    ("fifteen seventeen", "1517"),
    ("586 B.C.", "586 BC"),
    ("A.D. 70", "AD seventy"),
    ("A. D. 70", "AD 70"),
    ("a hundred sheep", "100 sheep"),
    ("an hundredfold", "100-fold"),
    ("one hundred and forty-four thousand", "144,000"),
    ("five thousand men", "5,000 men"),
    ("seventy times seven", "70 times 7"),
    ("threescore and ten", "three score and ten"),
    ("at seven thirty a.m.", "at 7:30 AM"),
    ("nine o'clock", "9 o’clock"),
    ("one, two, three", "1, 2, 3"),
    ("all forty, one by one", "all 40, one by one"),
    ("in 1984, thirty people", "in nineteen eighty four, 30 people"),
    ("twenty percent", "20%"),
    ("the 1960's", "the nineteen sixties"),
    # Capitals, points, apostrophes, brackets, fillers.
    ("AMEN!", "amen"),
    ("Jesus' feet", "Jesus's feet"),
    ("Moses’ law", "Moses's law"),
    ("the disciples' feet", "the disciples feet"),
    ("don’t", "do not"),
    ("he's risen", "he is risen"),
    ("he's been here", "he has been here"),
    ("God's been good", "God has been good"),
    ("let's pray", "let us pray"),
    ("we can't, we cannot", "we can not we can't"),
    ("'Tis so sweet", "it is so sweet"),
    ("O bless'd assurance", "Oh blessed assurance"),
    ("Um, so, uh, amen", "so amen"),
    ("Amen. (applause)", "Amen"),
    ("[music] Amen", "amen"),
    ("and (for the life was manifested) we", "and for the life was manifested we"),
    ("wait… what", "wait what"),
    ("C. S. Lewis", "C.S. Lewis"),
    ("Sodom & Gomorrah", "Sodom and Gomorrah"),
    # Spelling.
    ("our Saviour", "our Savior"),
    ("the Saviour’s favour", "the savior's favor"),
    ("baptised and honoured", "baptized and honored"),
    ("the judgement of thy neighbour", "the judgment of thy neighbor"),
    ("he shewed them the sepulchre", "he showed them the sepulcher"),
    ("for ever and ever", "forever and ever"),
    ("the marvellous counsellor", "the marvelous counselor"),
    ("ploughshares to fulfil", "plowshares to fulfill"),
    ("Judaea", "Judea"),
    ("all right", "alright"),
]
DIFFERENT = [
    ("O Lord", "zero Lord"),
    ("O Lord", "Lord"),
    ("John 3:16", "John 3:60"),
    ("John 3:16", "John 3"),
    ("John 3:16", "First John 3:16"),
    ("John 3:16", "Jonah 3:16"),
    ("1 Corinthians 13", "2 Corinthians 13"),
    ("1 Corinthians 13", "Corinthians 13"),
    ("First John", "John"),
    ("I, John, saw", "First John saw"),
    ("Psalm 23", "the twenty-third Psalm"),
    ("Psalm 119", "Psalm 1:19 and 20"),
    ("Psalm 22:3", "Psalm 23"),
    ("John 3:14-15", "John 3:14"),
    ("John 3:14 and 16", "John 3:14-16"),
    ("Song of Songs 2:4", "Song of Solomon 2:4"),
    ("verse 14", "verse 15"),
    ("chapter 3", "verse 3"),
    ("God's love", "God is love"),
    ("God's", "gods"),
    ("the prophet's word", "the prophets word"),
    ("Jesus' love", "Jesus is love"),
    ("no one", "no"),
    ("one another", "another"),
    ("forty days", "fourteen days"),
    ("the first", "the one"),
    ("1984", "1985"),
    ("70 AD", "70 BC"),
    ("saith", "says"),
    ("thee", "thou"),
    ("thou hast", "thou has"),
    ("Tyre", "tire"),
    ("Amen", "a man"),
    ("baptised", "baptism"),
    ("one hundred", "one thousand"),
    ("Zechariah", "Zachariah"),
    ("hallelujah", "alleluia"),
    ("(for the life was manifested)", ""),
    ("the Lord said unto my Lord", "the Lord said to my Lord"),
    ("ninety and nine", "ninety-nine thousand"),
]
FORMS = [
    ("O Lord, hear my prayer; thou saith Amen", "o lord hear my prayer thou saith amen"),
    ("John 3:16", "john 3 16"),
    ("First Corinthians 13:1", "one corinthians 13 one"),
    ("second Timothy chapter 3 verses 14 and 15", "2 timothy 3 14 to 15"),
    ("no one loves one another at 1 a.m.", "no one loves one another at one am"),
    ("Jesus's disciples heard God's word", "jesus disciples heard god's word"),
    ("", ""),
    ("...", ""),
    (" \n\t ", ""),
    ("[applause] (laughter) um", ""),
    ("¿?", ""),
]


def test_there_are_enough_rows():
    assert len(EQUAL) >= 80
    assert len(DIFFERENT) >= 30


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_written_otherwise(one, other):
    assert normalise_church_english(one) == normalise_church_english(other) != ""


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_said_otherwise(one, other):
    assert normalise_church_english(one) != normalise_church_english(other)


@pytest.mark.parametrize(("text", "expected"), FORMS)
def test_the_form(text, expected):
    assert normalise_church_english(text) == expected


@pytest.mark.parametrize("text", sorted({text for row in EQUAL + DIFFERENT for text in row}))
def test_the_form_is_its_own_form_in_any_case(text):
    form = normalise_church_english(text)
    assert normalise_church_english(form) == form == form.lower()


def test_any_mixture_of_words_is_normalised_once():
    drawn = random.Random(5)
    words = [word for row in EQUAL + DIFFERENT for text in row for word in text.split()]
    for _ in range(400):
        text = " ".join(drawn.choice(words) for _ in range(drawn.randint(1, 12)))
        form = normalise_church_english(text)
        assert normalise_church_english(form) == form, text


def test_a_verse_has_one_form_however_it_is_said():
    numbers = random.Random(0).sample(all_refs(), 400)
    ambiguous = 0
    for ref in map(VerseRef.from_number, numbers):
        name = book(ref.book).english
        said = name.replace("1 ", "First ").replace("2 ", "Second ").replace("3 ", "Third ").replace("Psalms", "Psalm")
        form = normalise_church_english(f"{name} {ref.chapter}:{ref.verse}")
        code = f"{book(ref.book).osis} {ref.chapter}:{ref.verse}"
        spoken = f"{said} chapter {_spoken(ref.chapter)} verse {_spoken(ref.verse)}"
        short = f"{said} {_spoken(ref.chapter)} {_spoken(ref.verse)}"
        for text in (code, spoken, f"{said.lower()} {ref.chapter} {ref.verse}", short):
            found = [reference.value for reference in find_references(text)]
            if text == short and found != [str(ref)]:
                # "Joshua twenty four" is chapter 24 as well as 20:4.
                assert ref.chapter % 10 == 0 and ref.verse < 10
                ambiguous += 1
                continue
            assert (normalise_church_english(text), found) == (form, [str(ref)])
    assert ambiguous < 12


def test_recordings_keep_their_words(test_data: Path):
    rows = [json.loads(line) for line in (test_data / "audio/manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    # One of them is Spanish, with a mark before every line.
    texts = [row["ref_text"] for row in rows if row.get("ref_text") and "|" not in row["ref_text"]]
    assert len(texts) > 50
    for text in texts:
        form = normalise_church_english(text)
        assert normalise_church_english(form) == form
        assert abs(len(form.split()) - len(text.split())) <= 2 + 0.1 * len(text.split())


def test_it_serves_the_word_error_rate():
    pairs = [("O Lord, John 3:16 says", "Oh Lord John three sixteen says")]
    assert word_errors(pairs).wer != 0.0
    assert word_errors(pairs, normalise=normalise_church_english).wer == 0.0
    assert word_errors([("(laughter)", "")], normalise=normalise_church_english).wer is None


def _spoken(number: int) -> str:
    if number >= 100:
        rest = number % 100
        return f"{ONES[number // 100 - 1]} hundred" + (f" {_spoken(rest)}" if rest else "")
    if number < 20:
        return (*ONES, *TEENS)[number - 1]
    return TENS[number // 10 - 2] + (f" {ONES[number % 10 - 1]}" if number % 10 else "")


def test_the_version_of_the_rules_is_of_what_they_do():
    """Signatures name the version: whoever changes what a text becomes gives the rules another one, and this hash."""
    texts = sorted({text for pair in (*EQUAL, *DIFFERENT, *FORMS) for text in pair})
    done = hashlib.sha256(json.dumps([normalise_church_english(text) for text in texts]).encode()).hexdigest()
    assert (RULES, done[:16]) == ("868ad550", "de53f4668892fd23")
