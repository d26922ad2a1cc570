"""From Bible texts to verse pairs that are really pairs, and their split: three assets."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stt_platform.defs.scripture import checks, report
from stt_platform.defs.scripture.folders import (
    confirmed_tables,
    fetch_missing,
    own_folder,
    text_files,
    text_folders,
    texts_are_there,
)
from stt_platform.errors import PlatformError
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.scripture.filters import Limits
from stt_platform.scripture.finding import Cause, Found, find_texts
from stt_platform.scripture.known import known_texts
from stt_platform.scripture.pairing import PairedTexts, pair_texts, verse_pairs_of
from stt_platform.scripture.pairs import ACCEPTED
from stt_platform.scripture.splitting import split_segments
from stt_platform.scripture.versification import (
    BadVersification,
    Difference,
    read_versification,
    show_refs,
    write_versification,
)
from stt_platform.settings import Settings
from stt_platform.store.choices import frozen_segments
from stt_platform.store.scripture import pair_table, read_pairs, read_texts, text_row, verse_table
from stt_platform.store.stages import StageResult
from stt_platform.training.corpus_lines import verse_pair_line


@dataclass(frozen=True)
class TextsData:
    """How many texts are used, by language."""

    english: int
    spanish: int


@stage(
    version="1",
    group="scripture",
    kinds={"text"},
    tables=("scripture_texts", "scripture_verses"),
    files=lambda context: text_files(context.home, context.settings),
    prepare=fetch_missing,
    wanted=texts_are_there,
    metadata=report.texts_metadata,
)
def scripture_texts(work: Work) -> StageResult:
    """Read and clean the Bible texts on this machine: each once, from its better source, with its licence.

    Put texts into `STT_HOME/scripture/texts` in any common format: scrollmapper (SQLite, CSV, JSON), SWORD modules, USFM
    or USX, vref and raw text, parquet of bible_para. Footnotes, markup and merge marks are taken out and kept beside the
    text; psalm titles and subscriptions are rows of their own. Texts that are missing are named with what adds them.
    """
    found = find_texts(text_folders(work.home, work.settings), progress=work.say)
    if not found.in_language("en") or not found.in_language("es"):
        raise PlatformError(_nothing_to_pair(found, own_folder(work.home)))
    data = TextsData(len(found.in_language("en")), len(found.in_language("es")))
    rows = [*(text_row(text) for text in found.texts.values()), *_not_used(found), *_missing(found)]
    return StageResult(
        data=data,
        shown={"English texts": data.english, "Spanish texts": data.spanish},
        tables={"scripture_texts": rows, "scripture_verses": verse_table(found.texts.values())},
    )


def _nothing_to_pair(found: Found, folder: Path) -> str:
    there = ", ".join(text.title for text in found.texts.values()) or "none"
    damaged = "; ".join(f"{row.source}: {row.reason}" for row in found.unused if row.cause != Cause.BETTER_SOURCE)
    return (
        f"at least one English and one Spanish Bible text are needed, and there is: {there}. "
        f"{'. '.join(found.missing.values())}. The folder is {folder}" + (f". Not used: {damaged}" if damaged else "")
    )


def _not_used(found: Found) -> Iterable[dict[str, Any]]:
    for row in found.unused:
        yield _without_text(row.text_id or row.path.name, "", row.source, "not used", row.reason)


def _missing(found: Found) -> Iterable[dict[str, Any]]:
    known = known_texts()
    for text_id, advice in found.missing.items():
        text = known[text_id]
        yield {
            **_without_text(text_id, text.language, "", "missing", advice),
            "title": text.title,
            "licence": text.licence,
            "attribution": text.attribution,
        }


def _without_text(text_id: str, language: str, source: str, status: str, reason: str) -> dict[str, Any]:
    numbers = dict.fromkeys(("verses", "titles", "subscriptions", "blank"), 0)
    names = {"title": "", "licence": "", "attribution": ""}
    return {"text_id": text_id, "language": language, **names, "source": source, **numbers} | {
        "status": status,
        "reason": reason,
    }


@dataclass(frozen=True)
class PairsData:
    """How many pairs were joined, and what became of them."""

    pairs_joined: int
    pairs_accepted: int
    pairs_quarantined: int


def _limits(settings: Settings) -> Limits:
    return Limits(length_z=settings.scripture.max_length_z, verses=settings.scripture.max_verses)


def _pair_parameters(context: StageContext) -> Mapping[str, Any]:
    limits = _limits(context.settings)
    return {"length_z": limits.length_z, "verses": limits.verses}


@stage(
    version="1",
    group="scripture",
    kinds={"table"},
    upstream=("scripture_texts",),
    tables=("aligned_pairs", "versification"),
    parameters=_pair_parameters,
    files=lambda context: {path.name: path for path in confirmed_tables(context.home)},
    metadata=report.pairs_metadata,
    check_specs=checks.PAIR_CHECKS,
    checks=checks.check_pairs,
)
def verse_pairs(work: Work) -> StageResult:
    """Pair verses that say the same in English and Spanish, whatever their numbers: every English text with every Spanish one.

    Two Bibles number differently in places; the aligner finds where, by lengths and words. What it found is written as
    tables that a person can read: copy one to `STT_HOME/scripture/versification/` and correct it there, and it wins.
    Every pair is accepted, or quarantined with its reason.
    """
    texts = read_texts(work.inputs["scripture_texts"].folder).values()
    paired = pair_texts(
        [text for text in texts if text.language == "en"],
        [text for text in texts if text.language == "es"],
        confirmed={path.stem: _read_confirmed(path) for path in confirmed_tables(work.home)},
        progress=work.say,
        threads=min(4, os.cpu_count() or 1),
    )
    work.say("filtering")
    rows = verse_pairs_of(paired, _limits(work.settings))
    (work.folder / "versification").mkdir()
    for each in paired:
        write_versification(work.folder / "versification" / f"{each.name}.csv", each.table)
    work.say("drawing")
    report.draw_pairs(work.shown_folder, paired, rows)
    accepted = sum(row.status == ACCEPTED for row in rows)
    return StageResult(
        data=PairsData(len(rows), accepted, len(rows) - accepted),
        tables={
            "aligned_pairs": pair_table(rows),
            "versification": [row for each in paired for row in _versification_rows(each)],
        },
    )


def _read_confirmed(path: Path) -> list[Difference]:
    try:
        return read_versification(path)
    except BadVersification as error:
        raise PlatformError(str(error)) from error


def _versification_rows(paired: PairedTexts) -> Iterable[dict[str, Any]]:
    alarms = {(each.row.en_refs, each.row.es_refs): each.reason for each in paired.alarms}
    shown = {(row.en_refs, row.es_refs): row for row in paired.table}
    # What the table has and this text does not show is an alarm without a row of its own.
    rows = list(paired.table) + [
        each.row for each in paired.alarms if (each.row.en_refs, each.row.es_refs) not in shown
    ]
    for row in rows:
        yield {
            "en_source": paired.en.text_id,
            "es_source": paired.es.text_id,
            "en_refs": list(row.en_refs),
            "es_refs": list(row.es_refs),
            "english": show_refs(row.en_refs),
            "spanish": show_refs(row.es_refs),
            "kind": row.kind,
            "note": row.note,
            "alarm": alarms.get((row.en_refs, row.es_refs)),
        }


@dataclass(frozen=True)
class ScriptureSplitData:
    """How many segments are on which side."""

    train: int
    test: int
    excluded: int


def _split_parameters(context: StageContext) -> Mapping[str, Any]:
    # Not what is frozen: that is what was made here before, and asks for nothing else.
    chosen = context.settings.scripture
    return {"test_share": chosen.test_share, "seed": chosen.seed}


@stage(
    version="1",
    group="scripture",
    kinds={"table"},
    upstream=("verse_pairs",),
    tables=("scripture_splits",),
    parameters=_split_parameters,
    published={
        f"verse_pairs_{name}.jsonl": f"scripture/aligned/verse_pairs_{name}.jsonl" for name in ("train", "test")
    },
    metadata=report.split_metadata,
    check_specs=checks.SPLIT_CHECKS,
    checks=checks.check_split,
)
def scripture_split(work: Work) -> StageResult:
    """Split the verses into train and test, 90 to 10 in every genre, whole passages together.

    All versions of a verse, parallel passages and equal texts are on one side. The choice repeats exactly, and what was
    once used for training stays where it was. Also written as `verse_pairs_train.jsonl` and `verse_pairs_test.jsonl`.
    """
    rows = read_pairs(work.inputs["verse_pairs"].folder)
    splits = split_segments(
        rows,
        test_share=work.settings.scripture.test_share,
        seed=work.settings.scripture.seed,
        frozen=frozen_segments(work.home),
    )
    side = {row.segment_id: row.split for row in splits}
    for name in ("train", "test"):
        with (work.folder / f"verse_pairs_{name}.jsonl").open("w", encoding="utf-8") as file:
            for row in rows:
                if row.status == ACCEPTED and side[row.segment_id] == name:
                    file.write(json.dumps(verse_pair_line(row), ensure_ascii=False) + "\n")
    report.draw_split(work.shown_folder, {(row.segment_id, row.genre) for row in rows}, side)
    counts = Counter(side.values())
    return StageResult(
        data=ScriptureSplitData(**{name: counts[name] for name in ("train", "test", "excluded")}),
        shown={f"segments in {name}": counts[name] for name in ("train", "test", "excluded")},
        tables={"scripture_splits": [asdict(row) | {"reason": row.reason or None} for row in splits]},
    )
