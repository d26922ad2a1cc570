"""Reading test sets as people put them into a folder: names, lines that do not fit, licences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stt_platform.evaluation.general_sets import (
    BadGeneralSet,
    read_general_sets,
    read_jsonl,
    read_parallel,
    read_tsv,
)


def put(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("english", "spanish", "name"),
    [
        ("newstest2013.en", "newstest2013.es", "newstest2013"),
        ("newstest2019-src.eng.txt", "newstest2019-ref.spa.txt", "newstest2019"),
        ("flores/eng_Latn.devtest", "flores/spa_Latn.devtest", "flores/devtest"),
        ("ted/english.txt", "ted/Spanish.txt", "ted"),
        ("my set/talk-EN.txt", "my set/talk-ES.txt", "my set/talk"),
    ],
)
def test_parallel_files_find_each_other(tmp_path: Path, english: str, spanish: str, name: str) -> None:
    put(tmp_path / english, "Grace.\nPeace.\n")
    put(tmp_path / spanish, "Gracia.\r\nPaz.")
    sets = read_general_sets(tmp_path)
    assert sets.problems == ()
    (found,) = sets.translation
    assert found.name == name
    assert [(pair.key, pair.en, pair.es, pair.line) for pair in found.pairs] == [
        (f"{name}:1", "Grace.", "Gracia.", 1),
        (f"{name}:2", "Peace.", "Paz.", 2),
    ]


def test_a_byte_order_mark_and_the_separators_of_unicode_end_no_line(tmp_path: Path) -> None:
    english = put(tmp_path / "a.en", "\ufeffGrace\u2028and\x0bpeace\nto you")
    found = read_parallel(english, put(tmp_path / "a.es", "Gracia y paz\na vosotros\n"), tmp_path)
    assert [pair.en for pair in found.pairs] == ["Grace\u2028and\x0bpeace", "to you"]


def test_a_side_that_says_nothing_is_marked(tmp_path: Path) -> None:
    found = read_parallel(put(tmp_path / "a.en", "Grace\n\nPeace\n"), put(tmp_path / "a.es", "…\n\nPaz\n"), tmp_path)
    assert [(pair.status, pair.reason) for pair in found.pairs] == [
        ("rejected", "the Spanish side holds no letter or digit"),
        ("rejected", "the English and the Spanish side holds no letter or digit"),
        ("usable", ""),
    ]


def test_unequal_numbers_of_lines_are_refused_and_the_other_sets_are_read(tmp_path: Path) -> None:
    english, spanish = put(tmp_path / "a.en", "one\ntwo\n"), put(tmp_path / "a.es", "uno\n")
    with pytest.raises(BadGeneralSet, match=r"a\.en has 2 lines and a\.es 1: .*same release"):
        read_parallel(english, spanish, tmp_path)
    put(tmp_path / "b.en", "one"), put(tmp_path / "b.es", "uno"), put(tmp_path / "c.en", "alone")
    sets = read_general_sets(tmp_path)
    assert [found.name for found in sets.translation] == ["b"]
    assert len(sets.problems) == 2
    assert any("no Spanish file of the name 'c'" in problem for problem in sets.problems)


def test_the_nearest_licence_counts(tmp_path: Path) -> None:
    put(tmp_path / "LICENSE", "Public domain\n")
    put(tmp_path / "near/LICENCE.md", "\n# CC BY-SA 4.0\nmore\n")
    for folder in ("near/deep", "far"):
        put(tmp_path / folder / "a.en", "one"), put(tmp_path / folder / "a.es", "uno")
    licences = {found.name: found.licence for found in read_general_sets(tmp_path).translation}
    assert licences == {"near/deep/a": "CC BY-SA 4.0", "far/a": "Public domain"}


def test_a_folder_that_is_not_there_and_other_files_are_no_sets(tmp_path: Path) -> None:
    put(tmp_path / "README.txt", "read me"), put(tmp_path / ".hidden/a.en", "one"), put(tmp_path / "a.fra.txt", "un")
    for folder in (tmp_path, tmp_path / "nowhere"):
        sets = read_general_sets(folder)
        assert (sets.translation, sets.speech, sets.problems) == ((), (), ())


def test_a_table_names_its_columns(tmp_path: Path) -> None:
    path = put(tmp_path / "talks.tsv", 'id\tES\ten\n1\t"Paz"\tPeace\n\n2\tGracia\tGrace\n')
    found = read_tsv(path, tmp_path)
    assert [(pair.en, pair.es, pair.line) for pair in found.pairs] == [("Peace", '"Paz"', 2), ("Grace", "Gracia", 4)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "Grace\tGracia\n", r"a\.tsv, line 1: 'Grace\\tGracia' does not name the columns"),
        ("a.tsv", "", r"line 1: ''"),
        ("a.tsv", "en\tes\nGrace\tGracia\nPeace\n", "line 3: 1 cells for 2 columns"),
        ("a.jsonl", '{"en": "x", "es": "y"}\n{"en": "x"', "line 2: not JSON"),
        ("a.jsonl", '{"en": "x", "es": "y"}\n["x"]', "line 2: .* is no object"),
        ("a.jsonl", '{"en": "x", "es": "y"}\n{"en": "x"}', "line 2: there is no es"),
        ("a.jsonl", '{"en": "x", "es": 3}', "line 1: es is 3; a text was expected"),
        ("a.jsonl", '{"id": 1, "en": "x", "es": "y"}\n{"id": 1, "en": "x", "es": "y"}', "'1' comes twice"),
        ("a.jsonl", '{"text": "grace"}', "line 1: there is no audio or file"),
    ],
)
def test_errors_name_file_line_and_remedy(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = put(tmp_path / name, content)
    with pytest.raises(BadGeneralSet, match=message):
        (read_tsv if path.suffix == ".tsv" else read_jsonl)(path, tmp_path)
    assert len(read_general_sets(tmp_path).problems) == 1


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes("en\tes\nLord\tSeñor\n".encode("latin-1"))
    with pytest.raises(BadGeneralSet, match="not UTF-8 at byte 13"):
        read_tsv(path, tmp_path)


def test_lines_of_json_are_sentences_or_recordings(tmp_path: Path) -> None:
    rows = [{"id": "x", "en": "Grace", "es": "Gracia"}, {"en": "Peace", "es": "Paz"}]
    put(tmp_path / "pairs.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    put(tmp_path / "speech/one.wav", "sound"), put(tmp_path / "two.wav", "sound")
    rows = [
        {"audio": "one.wav", "text": " grace  and peace ", "speaker": "A", "licence": "CC0"},
        {"file": "two.wav", "ref_text": "peace", "id": "second"},
        {"audio_filepath": "three.wav", "transcript": "nobody"},
        {"audio": str(tmp_path / "two.wav"), "text": None},
    ]
    put(tmp_path / "speech/list.jsonl", "\n".join(json.dumps(row) for row in rows))
    sets = read_general_sets(tmp_path)
    assert [[pair.key for pair in found.pairs] for found in sets.translation] == [["x", "pairs:2"]]
    (speech,) = sets.speech
    assert speech.name == "speech/list"
    assert [(row.key, row.text, row.speaker, row.licence, row.reason) for row in speech.utterances] == [
        ("one.wav", "grace and peace", "A", "CC0", ""),
        ("second", "peace", "", "", ""),
        ("three.wav", "nobody", "", "", "there is no recording 'three.wav'"),
        (str(tmp_path / "two.wav"), "", "", "", "there is no transcript"),
    ]
    assert [row.status for row in speech.utterances] == ["usable", "usable", "rejected", "rejected"]
    assert speech.utterances[1].audio == tmp_path / "two.wav"


def test_speech_as_librispeech_lays_it_out(tmp_path: Path) -> None:
    for part in ("test-clean", "test-other"):
        chapter = tmp_path / "LibriSpeech" / part / "61" / "70968"
        put(chapter / "61-70968.trans.txt", "61-70968-0000 HE BEGAN A CONFUSED COMPLAINT\n61-70968-0001 GIVE NOT SO\n")
        put(chapter / "61-70968-0000.flac", "sound"), put(chapter / "61-70968-0002.flac", "sound")
    put(tmp_path / "LibriSpeech/LICENSE.TXT", "CC BY 4.0\n")
    sets = read_general_sets(tmp_path)
    assert [(found.name, found.licence) for found in sets.speech] == [
        ("LibriSpeech/test-clean", "CC BY 4.0"),
        ("LibriSpeech/test-other", "CC BY 4.0"),
    ]
    assert [(row.key, row.text, row.speaker, row.reason) for row in sets.speech[0].utterances] == [
        ("61-70968-0000", "HE BEGAN A CONFUSED COMPLAINT", "61", ""),
        ("61-70968-0001", "GIVE NOT SO", "61", "there is no recording '61-70968-0001.flac'"),
        ("61-70968-0002", "", "61", "there is no transcript"),
    ]


def test_a_line_that_names_no_recording_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "61/70968/61-70968.trans.txt", "61-70968-0000 GIVE\nHE BEGAN\n")
    (problem,) = read_general_sets(tmp_path).problems
    assert "61-70968.trans.txt, line 2: 'HE' is not speaker-chapter-number" in problem


def test_real_sets(test_data: Path) -> None:
    (ntrex,) = read_general_sets(test_data / "mt").translation
    assert (ntrex.name, ntrex.licence) == ("ntrex/newstest2019", "Attribution-ShareAlike 4.0 International")
    assert len(ntrex.pairs) == 1000
    assert [pair.line for pair in ntrex.pairs if pair.status == "rejected"] == [49]
    (speech,) = read_general_sets(test_data / "audio").speech
    usable = [row for row in speech.utterances if row.status == "usable"]
    assert sum("librispeech" in row.key for row in usable) == 67
    assert all(row.licence and row.audio.is_file() for row in usable)
