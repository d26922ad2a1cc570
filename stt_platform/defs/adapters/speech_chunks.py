"""The chunks that a recogniser may be trained on, with every text that the store has for them."""

from collections.abc import Iterator, Mapping
from typing import Any

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.speech.script_alignment import HeardChunk, HeardWord, script_parts
from stt_platform.store.metadata import MetadataStore
from stt_platform.training.speech_set import LabelledChunk, OtherSound

_CHUNKS = """
select speech.sermon, speech.chunk_id, speech.start_sample, speech.end_sample, sound.path, heard.text, heard.avg_logprob,
    heard.words, splits.split, coalesce(consensus.status, '') = 'reliable' as reliable
from speech_chunks speech
join training_chunks sound on sound.chunk_id = speech.chunk_id and sound.view = $view and sound.status = 'accepted'
join transcripts heard on heard.chunk_id = speech.chunk_id
join splits on splits.sermon = speech.sermon and splits.split in ('train', 'dev')
left join consensus on consensus.chunk_id = speech.chunk_id
where coalesce(consensus.status, '') <> 'rejected' and speech.status = 'accepted'
order by speech.chunk_id
"""
# Accepted corrections, and chunks that a person found unfit: both are the last word on a chunk.
_ANSWERS = """
select chunk_id, text, verdict, status, reason from corrections where cycle = $cycle
and (status = 'accepted' or (status = 'rejected' and verdict in ('unusable', 'cut_off', 'not_english')))
"""
_REFERENCES = """
select sermon, chunk_id, text from "references" where status = 'accepted' order by sermon, chunk_id
"""
# Labels of stretches of training sermons in which nobody speaks.
_SILENT = ("music", "singing", "noise", "silence")
_QUIET = """
select segments.sermon, segments.start_sample, segments.end_sample from segments
join splits on splits.sermon = segments.sermon and splits.split = 'train'
where list_contains($labels, segments.label) and segments.end_sample - segments.start_sample >= $least
order by segments.sermon, segments.start_sample
"""
_MIN_SILENCE_S, _MAX_SILENCE_S = 2.0, 30.0


def labelled_chunks(store: MetadataStore, view: str, cycle: int) -> list[LabelledChunk]:
    """Read the accepted chunks of training and validation sermons; corrections are all up to this cycle."""
    rows = store.query(_CHUNKS, {"view": view}).to_pylist()
    answers = {row["chunk_id"]: row for row in store.query(_ANSWERS, {"cycle": cycle}).to_pylist()}
    references = store.query(_REFERENCES).to_pylist()
    by_chunk = {row["chunk_id"]: row["text"] for row in references if row["chunk_id"]}
    validation = [row for row in rows if row["split"] == "dev"]
    scripts = _script_texts(validation, {row["sermon"]: row["text"] for row in references if not row["chunk_id"]})
    return [_labelled(row, answers.get(row["chunk_id"]), by_chunk, scripts) for row in rows]


def _labelled(
    row: Mapping[str, Any], answer: Mapping[str, Any] | None, references: Mapping[str, str], scripts: Mapping[str, str]
) -> LabelledChunk:
    correction, refused = None, ""
    if answer is not None:
        accepted = answer["status"] == "accepted"
        correction, refused = (answer["text"], "") if accepted else (None, answer["reason"] or answer["verdict"])
    return LabelledChunk(
        chunk_id=row["chunk_id"],
        sermon=row["sermon"],
        split=row["split"],
        duration_s=(row["end_sample"] - row["start_sample"]) / SAMPLE_RATE_HZ,
        audio=row["path"],
        automatic=row["text"],
        avg_logprob=row["avg_logprob"],
        reliable=row["reliable"],
        correction=correction,
        refused=refused,
        reference=references.get(row["chunk_id"]),
        script=scripts.get(row["chunk_id"]),
        speech_s=_speech_s(row),
    )


def _speech_s(row: Mapping[str, Any]) -> tuple[float, float] | None:
    """Tell when the first word begins and the last one ends, in seconds of the chunk."""
    if not row["words"]:
        return None
    begins, ends = row["words"][0]["start_sample"], row["words"][-1]["end_sample"]
    length = row["end_sample"] - row["start_sample"]
    first, last = max(0, begins - row["start_sample"]), min(length, ends - row["start_sample"])
    return (first / SAMPLE_RATE_HZ, last / SAMPLE_RATE_HZ) if first < last else None


def _script_texts(rows: list[dict[str, Any]], scripts: Mapping[str, str]) -> dict[str, str]:
    """Find the part of its sermon's script that each chunk has, where that can be told."""
    found: dict[str, str] = {}
    for sermon, script in sorted(scripts.items()):
        parts = script_parts(script, [heard_chunk(row) for row in rows if row["sermon"] == sermon])
        found |= {part.chunk_id: part.text for part in parts if part.text}
    return found


def heard_chunk(row: Mapping[str, Any]) -> HeardChunk:
    """Convert a row with `chunk_id`, `start_sample`, `end_sample` and `words` for `script_parts`."""
    words = tuple(HeardWord(word["word"], word["start_sample"], word["end_sample"]) for word in row["words"])
    return HeardChunk(row["chunk_id"], row["start_sample"], row["end_sample"], words)


def silent_stretches(store: MetadataStore) -> Iterator[tuple[OtherSound, int, int]]:
    """Read stretches of training sermons in which nobody speaks, with their samples; `audio` is the sermon's key."""
    least = round(_MIN_SILENCE_S * SAMPLE_RATE_HZ)
    longest = round(_MAX_SILENCE_S * SAMPLE_RATE_HZ)
    for row in store.query(_QUIET, {"labels": list(_SILENT), "least": least}).to_pylist():
        start, end = row["start_sample"], min(row["end_sample"], row["start_sample"] + longest)
        name = f"{row['sermon']}.{start:09d}-{end:09d}"
        yield OtherSound(name, (end - start) / SAMPLE_RATE_HZ, row["sermon"], ""), start, end
