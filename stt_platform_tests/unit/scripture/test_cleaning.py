"""Cleaning: what stays, what goes, and that what goes is kept."""

from pathlib import Path

import pytest

from stt_platform.scripture.cleaning import clean_text
from stt_platform.scripture.headings import (
    acrostic_letter,
    subscription_of,
    title_of_next,
    title_of_psalm,
    usual_forms,
    without_capitals,
)
from stt_platform.scripture.markup import strip_marks, verses_within
from stt_platform.scripture.sources.base import DamagedSourceError, Offer, RawText
from stt_platform.scripture.spelling import modernise
from stt_platform.scripture.texts import ScriptureText


def clean(rows: list[tuple[int, str]], language: str = "en") -> ScriptureText:
    offer = Offer("test", Path("made_up"), "", "made_up", language, "Made up", "Public Domain", "nobody")
    return clean_text(RawText(offer, tuple(rows)))


# Raw, language, text, removed.
MARKS = [
    ("plain words", "en", "plain words", []),
    # Braces and entities, as WEB and BBE have them.
    ("God{After \"God,\" two letters.} created", "en", "God created", ['note: After "God," two letters.']),
    ("made it{one}two", "en", "made it two", ["note: one"]),
    ("brothers{x}.", "en", "brothers.", ["note: x"]),
    ("&gt; Yahweh, how", "en", "Yahweh, how", ["markup: &gt;"]),
    ("bread &amp; wine", "en", "bread and wine", ["markup: &"]),
    ("pan &amp; vino", "es", "pan y vino", ["markup: &"]),
    ("the Lord&#8217;s day", "en", "the Lord’s day", []),
    # Supplied words: the words stay.
    ("Yahweh saw [it], and", "en", "Yahweh saw it, and", ["supplied: it"]),
    ("no help for him. [Selah", "en", "no help for him. Selah", ["markup: ["]),
    ("darkness <FI>is<Fi> on", "en", "darkness is on", ["supplied: is"]),
    ("forgiven <FI>it<Fi> , because", "en", "forgiven it, because", ["supplied: it"]),
    ("grass, herbs, `and' trees", "en", "grass, herbs, and trees", ["supplied: and"]),
    ("found `him,' bring", "en", "found him, bring", ["supplied: him,"]),
    ("saith, `Let light be;' and", "en", "saith, 'Let light be;' and", []),
    # Signs.
    ("¶ For God so loved", "en", "For God so loved", ["markup: ¶"]),
    ("by name \\nd JEHOVAH\\+nd* was", "en", "by name JEHOVAH was", ["markup: \\nd", "markup: \\+nd*"]),
    ("and he \\43:2\\ said", "en", "and he said", ["merge: 43:2"]),
    ("de Bucita,, de la familia", "es", "de Bucita, de la familia", ["doubled: ,,"]),
    ("fifteen fathoms..", "en", "fifteen fathoms.", ["doubled: .."]),
    ("will be yours ... the woodland", "en", "will be yours the woodland", ["gap: ..."]),
    ("And he said, *** I took", "en", "And he said, I took", ["gap: ***"]),
    ("and live forever...", "en", "and live forever...", []),
    ("where are you living? +", "en", "where are you living?", ["markup: +"]),
    ("  two   spaces \t here ", "en", "two spaces here", []),
    ("(for he said) “stay”", "en", "(for he said) “stay”", []),
    # OSIS: words that touch a note or each other get their space back.
    ("<w lemma=\"x\">God</w><note placement=\"foot\"><reference type=\"annotateRef\">1:1 </reference>or, X</note>"
     "<w>created</w>", "en", "God created", ["note: or, X"]),
    ("only born</q><note>n</note><q who=\"Jesus\"><w>Son</w>, that", "en", "only born Son, that", ["note: n"]),
    ("the Lord,<note>n</note><w>is</w> my", "en", "the Lord, is my", ["note: n"]),
    ("them”<note>n</note>.", "en", "them”.", ["note: n"]),
    ("<w>hay allí</w><transChange type=\"added\">también</transChange><w>bdelio</w>", "es", "hay allí también bdelio",
     ["supplied: también"]),
    ("increased!<l eID=\"a\"/><l sID=\"b\"/>Many", "en", "increased! Many", []),
    ("the <divineName><w>LORD</w></divineName>’s", "en", "the LORD’s", []),
    ("<speaker>Beloved</speaker> Let him", "en", "Let him", ["heading: Beloved"]),
    ("you all. Amen. <chapter eID=\"x\"/> <div/>Glossary words", "en", "you all. Amen.", ["note: Glossary words"]),
    ("<p>Un <i>cierto</i> hombre<br/>vino", "es", "Un cierto hombre vino", ["supplied: cierto"]),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "language", "text", "removed"), MARKS)
def test_marks_go_and_words_stay(raw: str, language: str, text: str, removed: list[str]) -> None:
    row = strip_marks(raw, language)
    assert row.text == text
    assert row.removed + [f"heading: {words}" for words in row.headings] == removed


def test_titles_come_apart_from_the_verse() -> None:
    row = strip_marks(
        '<title canonical="true" type="psalm">A <w>Psalm</w> of David.</title> <lg/><w>LORD</w>, how', "en"
    )
    assert (row.titles, row.text) == (["A Psalm of David."], "LORD, how")
    row = strip_marks("&lt;A Psalm. Of David.&gt; Lord, how", "en")
    assert (row.titles, row.text) == (["A Psalm. Of David."], "Lord, how")
    row = strip_marks('Amen. <chapter eID="Rom.16"/> <title>Written to the Romans from Corinthus.</title>', "en")
    assert (row.endings, row.text) == (["Written to the Romans from Corinthus."], "Amen.")


TITLES = [
    ("Salmo de David. JEHOVÁ es mi pastor; nada", "es", "Salmo de David.", "JEHOVÁ es mi pastor; nada"),
    ("Al Músico principal: Salmo de David. ¿HASTA cuándo", "es", "Al Músico principal: Salmo de David.", "¿HASTA cuándo"),
    ("Salmo de David. Entonces dijo: AMARTE he, oh", "es", "Salmo de David. Entonces dijo:", "AMARTE he, oh"),
    ("Cántico gradual. A JEHOVÁ llamé", "es", "Cántico gradual.", "A JEHOVÁ llamé"),
    ("Al músico principal. Salmo de David. Bienaventurado el que piensa. Y otro.", "es",
     "Al músico principal. Salmo de David.", "Bienaventurado el que piensa. Y otro."),
    ("Aleluya. ALABARÉ á Jehová", "es", "", "Aleluya. ALABARÉ á Jehová"),
    ("Bendice, alma mía. Salmo.", "es", "", "Bendice, alma mía. Salmo."),
    ("To the Overseer. --A Psalm of David. My God, why?", "en", "To the Overseer. --A Psalm of David.", "My God, why?"),
    ("To the Overseer, on 'The Hind.' --A Psalm of David. My God.", "en",
     "To the Overseer, on 'The Hind.' --A Psalm of David.", "My God."),
    ("A Prayer of David. Hear, Jehovah.", "en", "A Prayer of David.", "Hear, Jehovah."),
    ("Praise ye the LORD. Praise.", "en", "", "Praise ye the LORD. Praise."),
]  # fmt: skip


@pytest.mark.parametrize(("text", "language", "title", "verse"), TITLES)
def test_a_title_at_the_head_of_a_psalm(text: str, language: str, title: str, verse: str) -> None:
    assert title_of_psalm(text, language) == (title, verse)


def test_a_title_below_the_psalm_before() -> None:
    assert title_of_next("refuge in him. Psalm 3 A Psalm of David.") == ("refuge in him.", 3, "A Psalm of David.")
    assert title_of_next("a Psalm of praise") == ("a Psalm of praise", 0, "")


@pytest.mark.parametrize(
    ("text", "language", "verse", "note"),
    [
        ("Sea gloria. Amén. Fué escrita de Corinto.", "es", "Sea gloria. Amén.", "Fué escrita de Corinto."),
        ("Gracia. Amén. La primera á los Corintios fué enviada.", "es", "Gracia. Amén.", "La primera á los Corintios fué enviada."),
        ("Amen. Written to the Romans from Corinthus.", "en", "Amen.", "Written to the Romans from Corinthus."),
        ("Saludad á todos. Amén.", "es", "Saludad á todos. Amén.", ""),
        ("I have written to you. The friends greet you.", "en", "I have written to you. The friends greet you.", ""),
    ],
)  # fmt: skip
def test_a_subscription(text: str, language: str, verse: str, note: str) -> None:
    assert subscription_of(text, language) == (verse, note)


@pytest.mark.parametrize(
    ("ref", "text", "verse"),
    [
        (19119009, "BETH ¿Con qué limpiará", "¿Con qué limpiará"),
        (19119009, "'Beth.' With what", "With what"),
        (19119033, "HE. Enséñame", "Enséñame"),
        (19119033, "He guardado tu ley", "He guardado tu ley"),
        (19119008, "forsake me not. ב BETH.", "forsake me not."),
        (19119088, "LAMEDH. Quicken me", "Quicken me"),
        (19119017, "BETH. Haz bien", "BETH. Haz bien"),
        (19118009, "BETH. Mejor", "BETH. Mejor"),
    ],
)
def test_letters_of_the_acrostic(ref: int, text: str, verse: str) -> None:
    assert acrostic_letter(ref, text)[1] == verse


def test_capitals_at_the_head_become_what_the_word_is_elsewhere() -> None:
    body = [
        *["y dijo Jehová á Salomón que entonces fué á Dios, y habló el hombre"] * 40,
        "y su nombre era JAH y JAH y su rey dijo a ti",
    ]
    forms = usual_forms(body)
    table = [
        ("ENTONCES respondió", "Entonces respondió"),
        ("JEHOVÁ es mi pastor", "Jehová es mi pastor"),
        ("Y JEHOVÁ dijo", "Y Jehová dijo"),
        ("Y SALOMÓN hizo", "Y Salomón hizo"),
        ("Y HABLÓ Jehová", "Y habló Jehová"),
        ("A DIOS sea", "A Dios sea"),
        ("EL HOMBRE nacido", "El hombre nacido"),
        ("¡OH Jehová", "¡Oh Jehová"),
        ("Aleluya. ALABARÉ á", "Aleluya. Alabaré á"),
        ("JAH, si mirares", "JAH, si mirares"),
        ("YO SOY EL QUE SOY", "YO SOY EL QUE SOY"),
        ("Y dijo: YO SOY", "Y dijo: YO SOY"),
        ("REY DE REYES Y SEÑOR dijo", "REY DE REYES Y SEÑOR dijo"),
    ]
    for text, expected in table:
        assert without_capitals(text, forms, heads_chapter=True)[0] == expected
    assert without_capitals("Aleluya. ALABARÉ á Jehová", forms, heads_chapter=True)[0] == "Aleluya. Alabaré á Jehová"
    proverbs = "Las sentencias de Salomón. EL hijo sabio alegra al padre"
    assert without_capitals(proverbs, forms, heads_chapter=True)[0] == proverbs.replace("EL", "El")
    assert without_capitals(proverbs, forms, heads_chapter=False) == (proverbs, "")
    assert without_capitals("TEKEL: Pesado has sido", forms, heads_chapter=False) == ("TEKEL: Pesado has sido", "")
    assert without_capitals("ENTONCES respondió", forms, heads_chapter=False) == ("Entonces respondió", "ENTONCES")


def test_titles_and_subscriptions_are_rows_and_nothing_is_lost() -> None:
    text = clean(
        [
            (19003001, "Salmo de David. ¡OH Jehová, cuánto se han multiplicado!"),
            (19003002, "Muchos dicen de mi vida{nota}."),
            (45016027, "Al solo Dios sabio sea gloria. Amén. Fué escrita de Corinto á los Romanos."),
        ],
        "es",
    )
    assert [(row.ref, row.kind, row.text) for row in text.verses] == [
        (19003000, "title", "Salmo de David."),
        (19003001, "verse", "¡Oh Jehová, cuánto se han multiplicado!"),
        (19003002, "verse", "Muchos dicen de mi vida."),
        (45016027, "verse", "Al solo Dios sabio sea gloria. Amén."),
        (45016027, "subscription", "Fué escrita de Corinto á los Romanos."),
    ]
    assert text.verses[1].removed == ("capitals: OH",)
    assert text.verses[2].removed == ("note: nota",)
    assert list(text.by_ref) == [19003001, 19003002, 45016027]
    assert [row.kind for row in text.verses if row.kind != "verse"] == ["title", "subscription"]


def test_verses_named_within_a_verse_are_rows_of_their_own() -> None:
    rows = verses_within(45014023, "is sin. (14:24) Now to him (14:25) but now")
    assert rows == [(45014023, "is sin."), (45014024, "Now to him"), (45014025, "but now")]
    assert verses_within(45014023, "at (9:30) and (14:22)") == [(45014023, "at (9:30) and (14:22)")]


def test_the_doxology_of_romans_stands_where_the_usual_count_has_it() -> None:
    text = clean([(45014023, "is sin. (14:24) Now to him (14:25) but now (14:26) to God"), (45016025, "{See 14:23}")])
    assert dict(text.by_ref) == {45014023: "is sin.", 45016025: "Now to him", 45016026: "but now", 45016027: "to God"}
    assert text.rows("verse")[1].removed == ("note: See 14:23", "moved: from 45014024")


def test_a_verse_without_words_is_blank_and_keeps_its_note() -> None:
    text = clean([(40017020, "And he said"), (40017021, "{NU omits verse 21.}"), (40017022, "Then")])
    assert list(text.by_ref) == [40017020, 40017022]
    assert [(row.ref, row.removed) for row in text.blank] == [(40017021, ("note: NU omits verse 21.",))]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "neither English nor Spanish|no text"),
        ([(1001001, ""), (1001002, " ")], "no text"),
        ([(1001001, "In the beginning"), (1001002, ""), (1001003, "")], "2 of its 3 verses are blank"),
    ],
)
def test_a_damaged_text_is_refused_with_its_reason(rows: list[tuple[int, str]], reason: str) -> None:
    with pytest.raises(DamagedSourceError, match=reason):
        clean(rows)


def test_the_language_is_found_or_the_text_refused() -> None:
    spanish = [(1001001, "En el principio crió Dios los cielos y la tierra, y la tierra estaba desordenada y vacía")]
    assert clean(spanish, "").language == "es"
    assert (
        clean([(1001001, "In the beginning God created the heaven and the earth, and the earth was void")], "").language
        == "en"
    )
    for other in (
        "Am Anfang schuf Gott Himmel und Erde und die Erde war wüst und leer",
        "No princípio criou Deus os céus e a terra. E a terra era sem forma e vazia; e havia trevas sobre a face do abismo",
    ):
        with pytest.raises(DamagedSourceError, match="neither"):
            clean([(1001001, other)], "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Á Dios fué, y dió ó vió", "A Dios fue, y dio o vio"),
        ("É Israel fuí", "E Israel fui"),
        ("FUÉ así", "FUE así"),
        ("uno ú otro, é hizo", "uno u otro, e hizo"),
        ("Oid, y oir", "Oíd, y oír"),
        ("destruída por mí", "destruida por mí"),
        ("dióles, fuése, él, más, allá, vióle", "dióles, fuése, él, más, allá, vióle"),
        ("Beth-há y Há", "Beth-há y Ha"),
    ],
)
def test_spelling_of_1909(old: str, new: str) -> None:
    assert modernise(old) == new
    assert modernise(new) == new
