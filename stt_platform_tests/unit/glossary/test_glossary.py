"""The glossary's table: what is refused and how, and that the one that is shipped holds what it promises."""

import csv
from pathlib import Path

import pytest

import stt_platform
from stt_platform.glossary.inflection import conjugate, english_forms, spanish_forms
from stt_platform.glossary.terms import COLUMNS, BadGlossary, Glossary, Scope, Sense, read_glossary

SHIPPED = Path(stt_platform.__file__).parents[1] / "data" / "reference" / "glossary.csv"
COVENANT = {"term_id": "covenant", "en": "covenant", "es": "pacto", "pos": "noun", "domain": "scripture"}
SEED = """
atonement=expiación propitiation=propiciación redemption=redención justification=justificación faith=fe grace=gracia
sanctification=santificación salvation=salvación repentance=arrepentimiento forgiveness=perdón holiness=santidad
reconciliation=reconciliación righteousness=justicia sovereignty=soberanía omnipotence=omnipotencia trinity=trinidad
incarnation=encarnación resurrection=resurrección ascension=ascensión covenant=pacto congregation=congregación
fellowship=comunión baptism=bautismo communion=comunión tithe=diezmo offering=ofrenda worship=adoración psalm=salmo
praise=alabanza prayer=oración sermon=sermón gospel=evangelio scripture=escritura prophecy=profecía parable=parábola
epistle=epístola hymn=himno rapture=arrebatamiento tribulation=tribulación millennium=milenio judgment=juicio
eternal_life=vida_eterna James=Jacobo James=Santiago John=Juan Peter=Pedro Paul=Pablo Matthew=Mateo Luke=Lucas
Mark=Marcos Moses=Moisés Abraham=Abraham Isaiah=Isaías Jeremiah=Jeremías Ezekiel=Ezequiel Daniel=Daniel
"""


@pytest.fixture(scope="module")
def shipped() -> Glossary:
    return read_glossary(SHIPPED)


def written(folder: Path, *rows: dict[str, str]) -> Path:
    path = folder / "glossary.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_the_shipped_glossary_has_the_right_size(shipped: Glossary) -> None:
    assert 200 <= len(shipped.terms) <= 500
    assert sum(sense.domain in ("people", "places") for sense in shipped.senses) >= 100


@pytest.mark.parametrize("entry", SEED.split())
def test_the_shipped_glossary_has_the_terms_of_the_seed(shipped: Glossary, entry: str) -> None:
    english, spanish = entry.replace("_", " ").split("=")
    assert any((sense.en, sense.es) == (english, spanish) for sense in shipped.senses)


def test_james_is_one_english_form_with_two_spanish_names(shipped: Glossary) -> None:
    assert [(sense.name, sense.es) for sense in shipped.term("james").senses] == [
        ("apostle", "Jacobo"),
        ("epistle", "Santiago"),
    ]


def test_nouns_of_the_shipped_glossary_have_an_article_and_every_row_a_source(shipped: Glossary) -> None:
    without = [sense.en for sense in shipped.senses if sense.pos == "noun" and not sense.es_article]
    assert without == ["pentecost"]
    assert all(sense.source for sense in shipped.senses)


def test_a_row_becomes_a_sense(tmp_path: Path) -> None:
    row = COVENANT | {"sense": "with God", "scope": "GEN|2CO 3:6", "es_forms": "alianza | concierto", "note": " a  b "}
    (sense,) = read_glossary(written(tmp_path, row)).senses
    assert sense.key == ("covenant", "with God")
    assert sense.es_forms == ("alianza", "concierto")
    assert sense.note == "a b"
    assert sense.scope.holds(1_001_001)
    assert not sense.scope.holds(2_001_001)


def test_decomposed_text_is_read_as_composed(tmp_path: Path) -> None:
    (sense,) = read_glossary(written(tmp_path, COVENANT | {"es": "oracio\u0301n"})).senses
    assert sense.es == "oración"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"es": ""}, ["line 2", "es is empty"]),
        ({"pos": "substantive"}, ["line 2", "'substantive'", "noun"]),
        ({"domain": "music"}, ["line 2", "'music'", "soteriology"]),
        ({"es_article": "lo"}, ["line 2", "'lo'", "las"]),
        ({"term_id": "The Covenant"}, ["line 2", "'The Covenant'", "small letters"]),
        ({"scope": "GEN 99:1"}, ["line 2", "'GEN 99:1'", "register=sermon"]),
        ({"scope": "REV-GEN"}, ["line 2", "ends before it begins"]),
        ({"en_forms": "covenant*"}, ["line 2", "en_forms 'covenant*'"]),
        ({"es_forms": "pa*"}, ["line 2", "es_forms 'pa*'", "3 letters"]),
        ({"es_forms": "~pacto"}, ["line 2", "es_forms '~pacto'"]),
        ({"es": "pacto*"}, ["line 2", "es 'pacto*'"]),
        ({"forbidden": "Pacto"}, ["line 2", "'Pacto'", "choose one"]),
    ],
)
def test_a_bad_row_is_refused_with_line_value_and_remedy(
    tmp_path: Path, change: dict[str, str], told: list[str]
) -> None:
    path = written(tmp_path, COVENANT | change)
    with pytest.raises(BadGlossary) as refused:
        read_glossary(path)
    assert all(part in str(refused.value) for part in [str(path), *told]), refused.value


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (COVENANT, ["line 3", "line 2", "another sense"]),
        (COVENANT | {"term_id": "testament", "en": "testament", "en_forms": "covenant"}, ["line 3", "'covenant'"]),
    ],
)
def test_duplicates_are_refused(tmp_path: Path, second: dict[str, str], told: list[str]) -> None:
    with pytest.raises(BadGlossary) as refused:
        read_glossary(written(tmp_path, COVENANT, second))
    assert all(part in str(refused.value) for part in told), refused.value


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"term_id,en\n", ["line 1", "missing columns"]),
        (",".join(COLUMNS).encode() + b"\na,b,c\n", ["line 2", "14 cells"]),
        (",".join(COLUMNS).encode() + b"\n\xff\n", ["not UTF-8"]),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, content: bytes, told: list[str]) -> None:
    path = tmp_path / "glossary.csv"
    path.write_bytes(content)
    with pytest.raises(BadGlossary) as refused:
        read_glossary(path)
    assert all(part in str(refused.value) for part in told), refused.value


@pytest.mark.parametrize(
    ("text", "ref", "holds"),
    [
        ("", 1_001_001, True),
        ("NT", 39_004_006, False),
        ("NT", 40_001_001, True),
        ("JAS", 59_001_001, True),
        ("MAT-ACT", 44_028_031, True),
        ("MAT-ACT", 45_001_001, False),
        ("2CO 13:14", 47_013_014, True),
        ("2CO 13:14", 47_013_013, False),
        ("1CO 13", 46_013_004, True),
        ("register=sermon", 40_001_001, False),
        ("register=sermon", None, True),
        ("JAS", None, True),
    ],
)
def test_scope(text: str, ref: int | None, holds: bool) -> None:
    assert Scope.parse(text).holds(ref) is holds


@pytest.mark.parametrize(
    ("en", "pos", "forms"),
    [
        ("covenant", "noun", {"covenants"}),
        ("prophecy", "noun", {"prophecies"}),
        ("church", "noun", {"churches"}),
        ("work of the law", "noun", {"works of the law"}),
        ("baptize", "verb", {"baptizes", "baptized", "baptizing", "baptizeth", "baptizest"}),
        ("justify", "verb", {"justifies", "justified", "justifying", "justifieth", "justifiest"}),
        ("Moses", "name", set()),
    ],
)
def test_english_inflections(en: str, pos: str, forms: set[str]) -> None:
    assert set(english_forms(Sense("x", "", en, "y", pos, "scripture"))) == forms


@pytest.mark.parametrize(
    ("es", "pos", "forms"),
    [
        ("oración", "noun", {"oraciones"}),
        ("luz", "noun", {"luces"}),
        ("ley", "noun", {"leyes"}),
        ("vida eterna", "noun", {"vidas eternas"}),
        ("cordero de Dios", "noun", {"corderos de Dios"}),
        ("santo", "adjective", {"santa", "santos", "santas"}),
        ("fiel", "adjective", {"fieles"}),
        ("Moisés", "name", set()),
    ],
)
def test_spanish_inflections(es: str, pos: str, forms: set[str]) -> None:
    assert set(spanish_forms(Sense("x", "", "y", es, pos, "scripture"))) == forms


@pytest.mark.parametrize(
    ("verb", "some", "none"),
    [
        ("amar", ["amo", "amaba", "amó", "améis", "amaréis", "amado", "amarle", "amadle", "amáronle"], ["amargo"]),
        ("predicar", ["predique", "prediquemos", "predico"], ["predice"]),
        ("redimir", ["redimió", "redimirá", "redimidos", "redimir"], ["redimar"]),
        ("obedecer", ["obedezca", "obedezco", "obedeceréis"], ["obedeco"]),
    ],
)
def test_spanish_verbs(verb: str, some: list[str], none: list[str]) -> None:
    forms = set(conjugate(verb))
    assert set(some) <= forms
    assert not forms & set(none)
