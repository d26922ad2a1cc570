"""What people see of scripture in the UI: counts, pictures, samples of what was set aside."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from stt_platform.defs.shown import page, picture, table
from stt_platform.orchestration.platform import Platform
from stt_platform.scripture.alignment_pictures import alignment_picture, counts_picture, overview_picture, split_picture
from stt_platform.scripture.pairing import PairedTexts
from stt_platform.scripture.pairs import PairRow
from stt_platform.scripture.regions import regions
from stt_platform.store.scripture import GATE_IN_WORDS
from stt_platform.store.stages import StageOutput

_OVERVIEW, _REGION, _COUNTS, _SPLIT = "where_numbers_differ.png", "largest_shift.png", "pairs.png", "split.png"
_TEXTS = """
select text_id as text, title, language, status, verses, titles as "psalm titles", subscriptions, blank as "left blank",
    source, licence, attribution, reason
from scripture_texts order by status = 'not used', status = 'missing'
"""
_ASIDE = f"""
select en_source as english, {GATE_IN_WORDS} as reason, count(*) as pairs
from aligned_pairs where status = 'quarantined' group by all order by 1, 3 desc
"""
_SAMPLES = """
select pair_id as pair, reason, en as english, es as spanish from aligned_pairs where status = 'quarantined'
qualify row_number() over (partition by gate order by md5(pair_id)) <= 3
order by gate, pair_id
"""
_DIFFERENCES = """
select en_source as text, english, spanish, kind, note, alarm from versification
where en_source = (select first(en_source) from versification) or alarm is not null limit 400
"""
_TOGETHER = """
select group_id as "group", any_value(split) as side, count(*) as verses, any_value(reason) as why
from scripture_splits where reason is not null group by group_id order by 3 desc, 1 limit 15
"""


def texts_metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    """Return which texts there are, and what would add the others."""
    rows = platform.store.query(_TEXTS).to_pylist()
    missing = [row["reason"] for row in rows if row["status"] == "missing"]
    return {
        **output.shown,
        "texts used": ", ".join(f"{row['title']} ({row['verses']} verses)" for row in rows if row["status"] == "used"),
        "texts that are missing": dg.MetadataValue.md("\n".join(f"- {why}" for why in missing) or "none"),
        "texts": table(rows),
        "put others here": dg.MetadataValue.path(str(platform.home / "scripture" / "texts")),
    }


def draw_pairs(folder: Path, paired: Sequence[PairedTexts], rows: Sequence[PairRow]) -> None:
    """Draw once what every look at the asset shows."""
    places = {each.name: regions(each.segments) for each in paired}
    (folder / _OVERVIEW).write_bytes(overview_picture(places))
    first = paired[0]
    if places[first.name]:
        largest = max(places[first.name], key=lambda region: region.differing)
        (folder / _REGION).write_bytes(
            alignment_picture(
                largest, first.en.by_ref, first.es.by_ref, en_title=first.en.title, es_title=first.es.title
            )
        )
    kinds = Counter((row.en_source, row.es_source, row.status, row.gate) for row in rows)
    (folder / _COUNTS).write_bytes(counts_picture(kinds))


def pairs_metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    """Return the shift, drawn; the counts; samples of what was set aside, with reasons."""
    store = platform.store
    shown: dict[str, Any] = {}
    if (output.shown_folder / _REGION).exists():
        shown["the largest shift"] = picture(
            output.shown_folder / _REGION, "verses that carry different numbers, linked"
        )
    return {
        **shown,
        "where the numbers differ": picture(
            output.shown_folder / _OVERVIEW, "the places of the Bible that are numbered otherwise"
        ),
        "pairs of each text": picture(
            output.shown_folder / _COUNTS, "accepted and quarantined pairs by text and reason"
        ),
        "look at it": page(platform, "scripture"),
        **output.shown,
        "set aside, by reason": table(store.query(_ASIDE).to_pylist()),
        "samples of what was set aside": table(store.query(_SAMPLES).to_pylist()),
        "versification": table(store.query(_DIFFERENCES).to_pylist()),
        "tables to read": dg.MetadataValue.path(str(output.folder / "versification")),
        "corrected tables belong here": dg.MetadataValue.path(str(platform.home / "scripture" / "versification")),
    }


def draw_split(folder: Path, genres: Iterable[tuple[str, str]], side: Mapping[str, str]) -> None:
    """Draw once what every look at the asset shows. `genres` are (segment, genre)."""
    (folder / _SPLIT).write_bytes(split_picture(Counter((genre, side[segment]) for segment, genre in genres)))


def split_metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    """Return the shares of every genre, and the largest groups that stay together."""
    return {
        "picture": picture(output.shown_folder / _SPLIT, "how many verses of each genre teach and examine"),
        **output.shown,
        "largest groups that stay together": table(platform.store.query(_TOGETHER).to_pylist()),
        "files": dg.MetadataValue.path(str(platform.home / "scripture" / "aligned")),
    }
