"""What stands in verses without being of them: psalm titles, subscriptions of epistles, acrostic letters,
capitals at the head of a chapter."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

PSALMS = 19
EPISTLES = range(45, 66)
_UPPER = r"[^\W\d_a-zß-öø-ÿ]"
_CAPITALS = re.compile(rf"(?<=[.:!?] )(?=[¡¿]?(?:{_UPPER} )?{_UPPER}{{2,}}(?!\w))")
_SENTENCE = re.compile(r"(?<=[.!?])['’”]?\s+|(?<=:)\s+(?=--)")

_TITLE = {
    "es": re.compile(
        r"(?:al (?:m[úu]sico|director|jefe|maestro|vencedor|coro|primer)|para (?:el (?:director|m[úu]sico|coro)|salom[óo]n"
        r"|recordar|los hijos)|salmo|mas[qk]uil|mi(?:ch?|k)t[h]?a[mn]|c[áa]ntico|canci[óo]n|canto|oraci[óo]n|plegaria"
        r"|si[gj]+ai[óo]n|s[h]?igga[iy][óo]n|poema|himno|alabanza de|instrucci[óo]n|de (?:david|asaf|asaph|salom[óo]n|mois[ée]s"
        r"|los hijos de cor[ée])|a (?:los hijos de cor[ée]|jedut[h]?[úu]n)|sobre )",
        re.IGNORECASE,
    ),
    "en": re.compile(
        r"(?:(?:to|for) (?:the (?:chief|overseer|music|choir|director|leader)|jeduthun|solomon)|an? (?:psalm|song|prayer|maschil"
        r"|maskil|michtam|miktam|instruction|secret treasure|praise|contemplation|poem|shiggaion|cry|meditation|testimony|erring"
        r"|hymn)|(?:of|by) (?:david|asaph|solomon|moses|the sons of korah|sons of korah|heman|ethan|a servant|the sons)|maschil"
        r"|maskil|michtam|miktam|shiggaion|the erring one|praise by|david's|to (?:bring to|cause to) remember|--\s*)",
        re.IGNORECASE,
    ),
}
# A sentence that goes on a title: when and why the psalm was sung.
_TITLE_GOES_ON = re.compile(r"(?:--|'|‘|when |in (?:his|the) |cuando |entonces dijo|para )", re.IGNORECASE)
_SUBSCRIBED = {
    "es": re.compile(r"\b(?:escrit[ao]|enviad[ao])\b", re.IGNORECASE),
    "en": re.compile(r"\b(?:written|sent) (?:to|from|unto|by)\b|\bwas (?:written|sent)\b", re.IGNORECASE),
}
_SUBSCRIPTION_BEGINS = re.compile(
    r"(?:(?:la )?(?:primera|segunda)|fu[ée] |escrit[ao]|enviad[ao]|a (?:tito|filem[óo]n)|it was|written|sent|(?:the )?(?:first|second)"
    r"|(?:un)?to the|to (?:titus|philemon))",
    re.IGNORECASE,
)
_LETTERS = (
    "aleph alef álef",
    "beth bet",
    "gimel guimel ghimel",
    "daleth dalet",
    "he hei",
    "vau vav waw",
    "zain zayin",
    "cheth chet heth hheth het jet",
    "teth tet",
    "jod yod yodh iod",
    "caph kaph kapf caf kaf",
    "lamed lamedh",
    "mem",
    "nun",
    "samech samekh samec samek",
    "ain ayin",
    "pe",
    "tzaddi tzade tsade tzadhe tsadhe sade zade tsadi sadhe",
    "coph koph qoph qof cof",
    "resh res",
    "sin schin shin",
    "tau tav taw",
)
_ALLELUIA = re.compile(r"(?:aleluya|alleluia|hallelujah)[.!:]?\s+", re.IGNORECASE)
# "Las sentencias de Salomón. EL hijo sabio alegra al padre"
_LEAD_IN = re.compile(rf"[^.!?]{{3,40}}\.\s+(?={_UPPER}{{2,}}\s)")
_MAX_CAPITALS = 3
_CAPITALS_MEAN = 0.03


def title_of_psalm(text: str, language: str) -> tuple[str, str]:
    """Split off the title at the head of a psalm's first verse, and the verse without it; "" where there is none.

    Where a capitalised word begins the psalm ("Salmo de David. JEHOVÁ es mi pastor") the title ends before it;
    elsewhere it ends with the last sentence that reads like one.
    """
    begins = _TITLE[language]
    if not begins.match(text.lstrip("'‘`(")):
        return "", text
    for capitals in _CAPITALS.finditer(text):
        return text[: capitals.start()].strip(), text[capitals.start() :]
    end = 0
    for stop in _SENTENCE.finditer(text):
        sentence = text[end : stop.start()].lstrip("'‘`( ")
        if not begins.match(sentence) and not (end and _TITLE_GOES_ON.match(text[end:])):
            break
        end = stop.end()
    return text[:end].strip(), text[end:]


def title_of_next(text: str) -> tuple[str, int, str]:
    """Return a verse without the title of the next psalm below it, that psalm's number, and its title."""
    match = re.search(r"\s+Psalm (\d{1,3})(?:\s+(.*))?$", text)
    return (text[: match.start()], int(match[1]), (match[2] or "").strip()) if match else (text, 0, "")


def subscription_of(text: str, language: str) -> tuple[str, str]:
    """Return the last verse of an epistle without the note where it was written, and that note; "" where there is none."""
    # It is the end from some sentence on.
    for stop in _SENTENCE.finditer(text):
        rest = text[stop.end() :]
        if _SUBSCRIPTION_BEGINS.match(rest) and _SUBSCRIBED[language].search(rest):
            return text[: stop.start()].strip(), rest
    return text, ""


def acrostic_letter(ref: int, text: str) -> tuple[str, str]:
    """Return the letter that heads eight verses of Psalm 119, and the verse without it; "" where there is none."""
    stanza, line = divmod(ref % 1000 - 1, 8)
    if ref // 1000 != PSALMS * 1000 + 119 or not 0 <= stanza < len(_LETTERS):
        return "", text
    if line == 0 and (
        match := re.match(
            r"\W*(?:[\u05d0-\u05ea]\W*)?([^\W\d_]+)(?: and shin)?['’]?(?:[.:]\s*['’]?|\s)\s*", text, re.IGNORECASE
        )
    ):
        word = match[1]
        # "He guardado": the letter has a stop or is in capitals.
        if _plain(word) in _LETTERS[stanza].split() and (word.isupper() or re.search(r"[.:]", match[0])):
            return match[0].strip(), text[match.end() :]
    if line == 7 and stanza + 1 < len(_LETTERS):
        # Some texts write the letter of the next stanza before this verse.
        match = re.match(r"([^\W\d_]+)[.:]\s+", text)
        if match and match[1].isupper() and _plain(match[1]) in _LETTERS[stanza + 1].split():
            return match[0].strip(), text[match.end() :]
    if (
        line == 7
        and stanza + 1 < len(_LETTERS)
        and (match := re.search(r"\s(?:[\u05d0-\u05ea]\s+)?([^\W\d_]+)\.?$", text))
    ):
        word = match[1]
        if word.isupper() and _plain(word) in _LETTERS[stanza + 1].split():
            return match[0].strip(), text[: match.start()]
    return "", text


def is_letter(words: str) -> bool:
    """Return whether a heading is nothing but such a letter."""
    plain = re.sub(r"[\u05d0-\u05ea\W]+", " ", _plain(words)).split()
    return bool(plain) and all(any(word in row.split() for row in _LETTERS) or word == "and" for word in plain)


def capitals_at_head(text: str, *, heads_chapter: bool = False) -> list[str]:
    """Return the capitalised words that begin a verse, "Y PARTIÓSE"; none where a whole phrase is in capitals.

    They may stand after "Aleluya.", and at the head of a chapter after another short sentence.
    """
    words = []
    for token in _after_lead_in(text, heads_chapter)[1].split(" "):
        letters = re.sub(r"[^\w-]", "", token)
        if not letters or not letters.isupper():
            break
        words.append(letters)
        if re.search(r"[^\w-]$", token):
            break
    else:
        return []
    enough = any(len(word) > 1 for word in words) and len(words) <= _MAX_CAPITALS
    return words if enough else []


def usual_forms(texts: Iterable[str]) -> Mapping[str, Counter[str]]:
    """Return how each word is written within sentences: "lower", "title" or "upper", by its small form; words with accents
    count under the form without them too."""
    words = Counter(re.findall(r"(?<=[a-zà-ÿ,;] )[^\W\d_]+", "\n".join(texts)))
    forms: dict[str, Counter[str]] = {}
    for word, count in words.items():
        form = "lower" if word[0].islower() else "upper" if len(word) > 1 and word.isupper() else "title"
        for key in {word.casefold(), _plain(word)}:
            forms.setdefault(key, Counter())[form] += count
    return forms


def without_capitals(text: str, forms: Mapping[str, Counter[str]], *, heads_chapter: bool) -> tuple[str, str]:
    """Return a verse with its capitalised first words written as elsewhere, and those words; "" where nothing changed.

    Names keep their capital ("Y SALOMÓN" becomes "Y Salomón"), and what is always in capitals stays ("LORD",
    "JAH"). Away from the head of a chapter only words that are known from elsewhere change.
    """
    run = capitals_at_head(text, heads_chapter=heads_chapter)
    if not run:
        return text, ""
    before, rest = _after_lead_in(text, heads_chapter)
    changed = rest
    place = 0
    for position, word in enumerate(run):
        place = changed.index(word, place)
        counts = forms.get(word.casefold()) or forms.get(_plain(word)) or Counter()
        form = _form(counts)
        if not form and not heads_chapter:
            return text, ""
        if form != "upper" or len(word) == 1:
            first = position == 0
            small = word.casefold() if (form in ("", "lower", "upper") and not first) else _titled(word)
            changed = changed[:place] + small + changed[place + len(word) :]
        place += len(word)
    return (before + changed, " ".join(run)) if changed != rest else (text, "")


def _form(counts: Counter[str]) -> str:
    # "GOD" for the name is the rarer form, and still no drop capital.
    if counts["upper"] > _CAPITALS_MEAN * counts.total():
        return "upper"
    return max(("lower", "title"), key=lambda form: counts[form]) if counts.total() else ""


def _after_lead_in(text: str, heads_chapter: bool) -> tuple[str, str]:
    match = _ALLELUIA.match(text) or (_LEAD_IN.match(text) if heads_chapter else None)
    if match and not match[0].rstrip(" .!:").isupper():
        return match[0], text[match.end() :]
    return "", text


def _titled(word: str) -> str:
    return "-".join(part[:1] + part[1:].casefold() for part in word.split("-"))


def _plain(word: str) -> str:
    if word.isascii():
        return word.casefold()
    return "".join(char for char in unicodedata.normalize("NFKD", word.casefold()) if not unicodedata.combining(char))
