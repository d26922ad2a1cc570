"""Test sets that are not of the church: sentences with their translation, and recordings with their transcript.

A model that is tuned to sermons may get worse at everything else; these sets show it. They are read from a folder that
a user fills: parallel text files (newstest, NTREX, FLORES), tables (TSV), JSONL, and speech as LibriSpeech lays it out.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

USABLE, REJECTED = "usable", "rejected"

_ENGLISH, _SPANISH = {"en", "eng", "english"}, {"es", "spa", "spanish"}
_NO_PART_OF_A_NAME = {"txt", "src", "ref", "latn"}
_TEXT_SUFFIXES = {".txt", ".en", ".es", ".eng", ".spa", ".dev", ".devtest", ".test"}
_AUDIO_SUFFIXES = (".flac", ".wav", ".ogg", ".opus", ".mp3", ".m4a")
_AUDIO_KEYS, _TEXT_KEYS = ("audio", "file", "audio_filepath"), ("text", "ref_text", "transcript")
_LICENCE = re.compile(r"(?:licen[cs]e|copying)(?:[.\-_].*)?", re.IGNORECASE)
_LONGEST_SHOWN = 60


class BadGeneralSet(ValueError):
    """A file of a test set that cannot be read: names the file, the line, the value and the remedy."""


@dataclass(frozen=True)
class SentencePair:
    """A sentence and its translation.

    Attributes:
        key: name of the set and number of the line, or the row's own `id`.
        line: in its file, from 1.
        status: "usable" or "rejected", with its reason in words.
    """

    key: str
    en: str
    es: str
    line: int
    status: str = USABLE
    reason: str = ""


@dataclass(frozen=True)
class TranslationSet:
    """Sentence pairs of one file, or of two parallel ones.

    Attributes:
        name: path below the folder, without languages and ending.
        licence: first line of the nearest licence file; empty where there is none.
        files: that it was read from.
        pairs: in the order of the file, those that cannot be used too.
    """

    name: str
    licence: str
    files: tuple[Path, ...]
    pairs: tuple[SentencePair, ...]


@dataclass(frozen=True)
class Utterance:
    """A recording of one or more sentences, and what is said in it.

    Attributes:
        key: of LibriSpeech (speaker-chapter-number), or the row's `id`, or its path as it stands in the list.
        audio: None where there is no such file.
        text: the reference, as the set has it.
        speaker, licence: empty where the set does not tell. What one speaker says is not independent.
        status: "usable" or "rejected", with its reason in words.
    """

    key: str
    audio: Path | None
    text: str
    speaker: str
    licence: str
    status: str = USABLE
    reason: str = ""


@dataclass(frozen=True)
class SpeechSet:
    """Utterances of one folder or one list; as in `TranslationSet`."""

    name: str
    licence: str
    files: tuple[Path, ...]
    utterances: tuple[Utterance, ...]


@dataclass(frozen=True)
class GeneralSets:
    """What a folder holds.

    Attributes:
        translation, speech: sorted by name.
        problems: a sentence for each set that could not be read; the others are there all the same.
    """

    translation: tuple[TranslationSet, ...]
    speech: tuple[SpeechSet, ...]
    problems: tuple[str, ...]


def read_general_sets(folder: Path) -> GeneralSets:
    """Read all test sets below a folder, at any depth; hidden files and folders are left out.

    - Parallel text files: one sentence a line, their names alike but for the language (`newstest2013.en`,
      `newstest2013.es`; `newstest2019-src.eng.txt`, `newstest2019-ref.spa.txt`; `eng_Latn.devtest`, `spa_Latn.devtest`).
    - `.tsv` with a first line that names the columns `en` and `es`.
    - `.jsonl` with `en` and `es`, and `id` if wanted.
    - `.jsonl` with `audio` (or `file`, `audio_filepath`: a path from the list's folder, or from the one above) and
      `text` (or `ref_text`, `transcript`), and `id`, `speaker`, `licence` if wanted.
    - LibriSpeech: `speaker/chapter/*.trans.txt` with the recordings beside it; each folder of speakers is a set.

    A folder that is not there holds nothing.
    """
    translation: list[TranslationSet] = []
    speech: list[SpeechSet] = []
    problems: list[str] = []
    transcripts: dict[Path, list[Path]] = {}
    for place, files in _folders(folder):
        for path in files:
            if path.name.endswith(".trans.txt"):
                transcripts.setdefault(_speech_root(path), []).append(path)
        readers: list[Callable[[], TranslationSet | SpeechSet]] = [
            *(lambda path=path: read_tsv(path, folder) for path in files if path.suffix.lower() == ".tsv"),
            *(lambda path=path: read_jsonl(path, folder) for path in files if path.suffix.lower() == ".jsonl"),
        ]
        for stem, (en, es) in sorted(_parallel(files).items()):
            if en and es:
                readers.append(lambda en=en, es=es: read_parallel(en, es, folder))
            else:
                alone = en or es
                other = "Spanish" if en else "English"
                problems.append(f"{alone}: there is no {other} file of the name {stem!r} in {place}; put it there")
        for read in readers:
            _collect(read, translation, speech, problems)
    for root, paths in sorted(transcripts.items()):
        _collect(lambda root=root, paths=paths: _librispeech(root, paths, folder), translation, speech, problems)
    return GeneralSets(
        tuple(sorted(translation, key=lambda item: item.name)),
        tuple(sorted(speech, key=lambda item: item.name)),
        tuple(problems),
    )


def read_parallel(english: Path, spanish: Path, folder: Path) -> TranslationSet:
    """Read two text files, of which line n of one is the translation of line n of the other.

    Args:
        folder: that names and licences are looked up to.

    Raises:
        BadGeneralSet: for files with unequal numbers of lines, or that are not UTF-8.
    """
    en, es = _lines(english), _lines(spanish)
    if len(en) != len(es):
        raise BadGeneralSet(
            f"{english} has {len(en)} lines and {spanish.name} {len(es)}: line n of one has to translate line n of the "
            "other; take both from the same release"
        )
    stem, _ = _stem_and_side(english)
    name = _name(english.with_name(stem) if stem else english.parent, folder)
    pairs = tuple(_pair(f"{name}:{k}", one, two, k) for k, (one, two) in enumerate(zip(en, es, strict=True), start=1))
    return TranslationSet(name, _licence(english.parent, folder), (english, spanish), pairs)


def read_tsv(path: Path, folder: Path) -> TranslationSet:
    """Read a table with the columns `en` and `es`, separated by tabs; quotes are part of the text.

    Raises:
        BadGeneralSet: naming file, line and remedy.
    """
    lines = _lines(path)
    header = [cell.strip().casefold() for cell in lines[0].split("\t")] if lines else []
    if "en" not in header or "es" not in header:
        shown = lines[0][:_LONGEST_SHOWN] if lines else ""
        raise BadGeneralSet(
            f"{path}, line 1: {shown!r} does not name the columns; put a line above that says which is en and which es"
        )
    name, pairs = _name(path.with_suffix(""), folder), []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) != len(header):
            raise BadGeneralSet(
                f"{path}, line {number}: {len(cells)} cells for {len(header)} columns; a text may hold no tab and no "
                "line break"
            )
        pairs.append(_pair(f"{name}:{number}", cells[header.index("en")], cells[header.index("es")], number))
    return TranslationSet(name, _licence(path.parent, folder), (path,), tuple(pairs))


def read_jsonl(path: Path, folder: Path) -> TranslationSet | SpeechSet:
    """Read lines of JSON, of sentences or of recordings: what the first line is, all are.

    Raises:
        BadGeneralSet: naming file, line and remedy.
    """
    rows = list(_json_rows(path))
    name, licence = _name(path.with_suffix(""), folder), _licence(path.parent, folder)
    if rows and {"en", "es"} <= rows[0][1].keys():
        pairs = []
        for number, row in rows:
            en, es = (_text(row, (side,), path, number) for side in ("en", "es"))
            pairs.append(_pair(str(row.get("id") or f"{name}:{number}"), en, es, number))
        _refuse_doubles([pair.key for pair in pairs], path)
        return TranslationSet(name, licence, (path,), tuple(pairs))
    utterances = []
    for number, row in rows:
        audio = _text(row, _AUDIO_KEYS, path, number)
        text = _text(row, _TEXT_KEYS, path, number, optional=True)
        found = next((place / audio for place in (path.parent, path.parent.parent) if (place / audio).is_file()), None)
        own = str(row.get("licence") or row.get("license") or licence)
        key, speaker = str(row.get("id") or audio), str(row.get("speaker") or "")
        utterances.append(_utterance(key, found, text, speaker, own, missing=audio))
    _refuse_doubles([utterance.key for utterance in utterances], path)
    return SpeechSet(name, licence, (path,), tuple(utterances))


def _librispeech(root: Path, transcripts: Iterable[Path], folder: Path) -> SpeechSet:
    licence, utterances, files = _licence(root, folder), [], sorted(transcripts)
    for path in files:
        recordings = {
            audio.stem: audio for audio in sorted(path.parent.iterdir()) if audio.suffix.lower() in _AUDIO_SUFFIXES
        }
        for number, line in enumerate(_lines(path), start=1):
            key, _, text = line.strip().partition(" ")
            if not key:
                continue
            if key.count("-") < 2:
                raise BadGeneralSet(
                    f"{path}, line {number}: {key[:_LONGEST_SHOWN]!r} is not speaker-chapter-number; a line begins with "
                    "the recording's name, then its text"
                )
            audio = recordings.pop(key, None)
            utterances.append(_utterance(key, audio, text, key.split("-")[0], licence, missing=f"{key}.flac"))
        for key, audio in recordings.items():
            utterances.append(_utterance(key, audio, "", key.split("-")[0], licence, missing=""))
    _refuse_doubles([utterance.key for utterance in utterances], root)
    return SpeechSet(_name(root, folder), licence, tuple(files), tuple(sorted(utterances, key=lambda row: row.key)))


def _collect(
    read: Callable[[], TranslationSet | SpeechSet],
    translation: list[TranslationSet],
    speech: list[SpeechSet],
    problems: list[str],
) -> None:
    try:
        found = read()
    except BadGeneralSet as error:
        problems.append(str(error))
        return
    if isinstance(found, TranslationSet):
        translation.append(found)
    else:
        speech.append(found)


def _folders(folder: Path) -> Iterator[tuple[Path, list[Path]]]:
    for place, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield Path(place), [Path(place) / name for name in sorted(names) if not name.startswith(".")]


def _parallel(files: Iterable[Path]) -> dict[str, list[Path | None]]:
    """English and Spanish text files by what their names have in common."""
    found: dict[str, list[Path | None]] = {}
    for path in files:
        stem, side = _stem_and_side(path)
        if side is not None:
            found.setdefault(stem, [None, None])[side] = path
    return found


def _stem_and_side(path: Path) -> tuple[str, int | None]:
    """The name without its language, and 0 for English, 1 for Spanish, None for what is no such file."""
    parts = re.split(r"([.\-_])", path.name)
    words = [part.casefold() for part in parts[::2]]
    languages = [k for k, word in enumerate(words) if word in _ENGLISH | _SPANISH]
    if len(languages) != 1 or path.suffix.lower() not in _TEXT_SUFFIXES:
        return "", None
    kept = [part for part, word in zip(parts[::2], words, strict=True) if word not in _NO_PART_OF_A_NAME]
    kept.remove(parts[2 * languages[0]])
    return ".".join(kept), int(words[languages[0]] in _SPANISH)


def _speech_root(transcript: Path) -> Path:
    """The folder of the speakers, where the file lies in `speaker/chapter/speaker-chapter.trans.txt`."""
    chapter, speaker = transcript.parent, transcript.parent.parent
    as_usual = transcript.name == f"{speaker.name}-{chapter.name}.trans.txt"
    return speaker.parent if as_usual else chapter


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) and path != folder else path.name


def _licence(place: Path, folder: Path) -> str:
    """The first line of the licence file that is nearest, from `place` up to `folder`."""
    while True:
        for path in sorted(place.iterdir()):
            if _LICENCE.fullmatch(path.name) and path.is_file():
                lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
                return next((line.strip(" #\t\r") for line in lines if line.strip(" #\t\r")), "")
        if place == folder or not place.is_relative_to(folder):
            return ""
        place = place.parent


def _lines(path: Path) -> list[str]:
    """Lines as the tools count them: only a line feed ends one, not the separators of Unicode inside a sentence."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadGeneralSet(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def _json_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise BadGeneralSet(f"{path}, line {number}: not JSON ({error.msg}); want one object a line") from error
        if not isinstance(row, dict):
            raise BadGeneralSet(
                f"{path}, line {number}: {line.strip()[:_LONGEST_SHOWN]!r} is no object; want one object a line"
            )
        yield number, row


def _text(row: Mapping[str, Any], names: tuple[str, ...], path: Path, number: int, *, optional: bool = False) -> str:
    name = next((name for name in names if row.get(name) is not None), None)
    if name is None and optional:
        return ""
    if name is None:
        raise BadGeneralSet(f"{path}, line {number}: there is no {' or '.join(names)}; add it, as on the other lines")
    if not isinstance(row[name], str):
        raise BadGeneralSet(f"{path}, line {number}: {name} is {row[name]!r}; a text was expected")
    return row[name]


def _pair(key: str, en: str, es: str, line: int) -> SentencePair:
    en, es = en.strip(), es.strip()
    empty = [name for name, text in (("English", en), ("Spanish", es)) if not any(map(str.isalnum, text))]
    if empty:
        return SentencePair(key, en, es, line, REJECTED, f"the {' and the '.join(empty)} side holds no letter or digit")
    return SentencePair(key, en, es, line)


def _utterance(key: str, audio: Path | None, text: str, speaker: str, licence: str, *, missing: str) -> Utterance:
    text = " ".join(text.split())
    reason = f"there is no recording {missing!r}" if audio is None else "" if text else "there is no transcript"
    return Utterance(key, audio, text, speaker, licence, REJECTED if reason else USABLE, reason)


def _refuse_doubles(keys: Iterable[str], path: Path) -> None:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            raise BadGeneralSet(f"{path}: {key!r} comes twice; give each row a name of its own")
        seen.add(key)
