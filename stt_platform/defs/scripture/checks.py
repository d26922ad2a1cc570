"""What is asserted of the verse pairs and of their split, each time they are made."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stt_platform.defs.scripture.folders import confirmed_tables
from stt_platform.errors import PlatformError
from stt_platform.orchestration.platform import Platform
from stt_platform.scripture.filters import MARKUP
from stt_platform.scripture.splitting import leaks
from stt_platform.store.scripture import read_pairs
from stt_platform.store.stages import CORPUS, StageOutput, current_stage

PAIR_CHECKS = (
    (
        "every_verse_is_accounted_for",
        "Each verse of each text is in a pair, and each pair is accepted or set aside.",
        True,
    ),
    ("accepted_pairs_are_clean", "No accepted pair has an empty side or holds any of { } [ ] < > ¶ &.", True),
    (
        "texts_number_alike",
        "No text numbers its verses otherwise than the versification table says. If one does, look whether the "
        "aligner is right (page /scripture); if so, copy its table to STT_HOME/scripture/versification/.",
        False,
    ),
    (
        "corrected_tables_are_used",
        "Every table in STT_HOME/scripture/versification/ is named after two texts that are here: kjv-rvr1909.csv.",
        False,
    ),
)
SPLIT_CHECKS = (
    ("no_segment_on_both_sides", "No aligned verse is in train in one version and in test in another.", True),
    ("no_text_on_both_sides", "No Spanish or English text, accents and capitals aside, is on both sides.", True),
)
_SHOWN = 5


def check_pairs(platform: Platform, output: StageOutput) -> Iterator[dg.AssetCheckResult]:
    """Look at the rows as they were written, not at what the recipe meant to write."""
    pairs = pq.read_table(output.folder / "aligned_pairs.parquet")
    yield _all_accounted_for(platform, output, pairs)
    accepted = pairs.filter(pc.equal(pairs["status"], "accepted"))
    unclean = [
        row["pair_id"]
        for row in accepted.select(["pair_id", "en", "es"]).to_pylist()
        if not row["en"].strip() or not row["es"].strip() or MARKUP.search(row["en"]) or MARKUP.search(row["es"])
    ]
    yield dg.AssetCheckResult(
        check_name="accepted_pairs_are_clean",
        passed=not unclean,
        metadata={
            "accepted pairs": accepted.num_rows,
            "unclean": len(unclean),
            "first": ", ".join(unclean[:_SHOWN]) or "–",
        },
    )
    yield _number_alike(output)
    names = {path.stem for path in (output.folder / "versification").glob("*.csv")}
    strays = [path.name for path in confirmed_tables(platform.home) if path.stem not in names]
    yield dg.AssetCheckResult(
        check_name="corrected_tables_are_used",
        passed=not strays,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "not used": ", ".join(strays) or "–",
            "possible names": ", ".join(f"{name}.csv" for name in sorted(names)),
        },
    )


def _folder(platform: Platform, stage: str) -> Path:
    found = current_stage(platform.home, CORPUS, stage)
    if found is None:
        raise PlatformError(f"{stage} is gone: make it again with `stt run --through {stage}`")
    return found


def _all_accounted_for(platform: Platform, output: StageOutput, pairs) -> dg.AssetCheckResult:
    verses = pq.read_table(
        _folder(platform, "scripture_texts") / "scripture_verses.parquet", columns=["text_id", "ref", "kind"]
    )
    verses = verses.filter(pc.equal(verses["kind"], "verse"))
    known: dict[str, set[int]] = {}
    for text_id, ref in zip(verses["text_id"].to_pylist(), verses["ref"].to_pylist(), strict=True):
        known.setdefault(text_id, set()).add(ref)
    there: dict[tuple[str, str, str], set[int]] = {}
    columns = ("en_source", "es_source", "en_refs", "es_refs")
    for en, es, en_refs, es_refs in zip(*(pairs[name].to_pylist() for name in columns), strict=True):
        there.setdefault((en, en, es), set()).update(en_refs)
        there.setdefault((es, en, es), set()).update(es_refs)
    missing = {names: len(known[names[0]] - refs) for names, refs in there.items()}
    lost = {f"{text} in {en}-{es}": count for (text, en, es), count in missing.items() if count}
    counts = Counter(pairs["status"].to_pylist())
    return dg.AssetCheckResult(
        check_name="every_verse_is_accounted_for",
        passed=not lost and counts.total() == counts["accepted"] + counts["quarantined"],
        metadata={
            "pairs": pairs.num_rows,
            "accepted": counts["accepted"],
            "set aside": counts["quarantined"],
            "verses without a pair": ", ".join(f"{name}: {count}" for name, count in lost.items()) or "none",
        },
    )


def _number_alike(output: StageOutput) -> dg.AssetCheckResult:
    rows = pq.read_table(output.folder / "versification.parquet").to_pylist()
    alarms: dict[str, list[str]] = {}
    for row in rows:
        if row["alarm"]:
            alarms.setdefault(f"{row['en_source']}-{row['es_source']}", []).append(row["alarm"])
    return dg.AssetCheckResult(
        check_name="texts_number_alike",
        passed=not alarms,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            name: f"{len(found)} places, the first: {'; '.join(found[:_SHOWN])}"
            for name, found in sorted(alarms.items())
        },
    )


def check_split(platform: Platform, output: StageOutput) -> Iterator[dg.AssetCheckResult]:
    """Hold every accepted pair against the split as it was written."""
    found = leaks(read_pairs(_folder(platform, "verse_pairs"), output.folder))
    for name, kinds in (
        ("no_segment_on_both_sides", ("segment", "group")),
        ("no_text_on_both_sides", ("target text", "source text")),
    ):
        these = [leak for leak in found if leak.kind in kinds]
        yield dg.AssetCheckResult(
            check_name=name,
            passed=not these,
            metadata={"leaks": len(these), "first": "; ".join(map(str, these[:_SHOWN])) or "–"},
        )
