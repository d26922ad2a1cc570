"""The tables of the metadata store: pinned columns, who writes them, and the views over them.

A new table is one more entry in `TABLES`, a new view one more in `VIEWS`. A column added later must be
nullable: fragments written before read as NULL there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

STATUSES = ("accepted", "rejected")
SPLITS = ("train", "dev", "test", "final")


@dataclass(frozen=True)
class Table:
    """A base table: one Parquet fragment per part.

    `choices` lists the values that a text column may hold; a column that is not named there may hold any.
    """

    name: str
    description: str
    schema: pa.Schema
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def _required(**types: pa.DataType) -> list[pa.Field]:
    return [pa.field(name, type_, nullable=False) for name, type_ in types.items()]


def _optional(**types: pa.DataType) -> list[pa.Field]:
    return [pa.field(name, type_, nullable=True) for name, type_ in types.items()]


_TEXT, _FLAG = pa.string(), pa.bool_()
_INT16, _INT32, _INT64, _FLOAT = pa.int16(), pa.int32(), pa.int64(), pa.float64()

_WORD = pa.struct(_required(word=_TEXT, start_sample=_INT64, end_sample=_INT64, probability=_FLOAT))
_WORDS = pa.list_(pa.field("element", _WORD, nullable=False))

_DEFINITIONS = (
    Table(
        "registrations",
        "A sermon's name tag. Written by `stt ingest` and the inbox sensor, one part per sermon; a changed "
        "file of the same sermon replaces it with the next version.",
        pa.schema(
            [
                *_required(sermon=_TEXT, title=_TEXT),
                *_optional(speaker=_TEXT),
                *_required(date=_TEXT, source=_TEXT, sha256=_TEXT, version=_INT32),
            ]
        ),
    ),
    Table(
        "recordings",
        "What the file that came in is. Written by the stage `recording`, one part per sermon; the measured "
        "columns are NULL when the file cannot be read. `tags` is JSON.",
        pa.schema(
            [
                *_required(sermon=_TEXT),
                *_optional(duration_s=_FLOAT, native_rate_hz=_INT32, channels=_INT16, container=_TEXT, codec=_TEXT),
                *_required(size_bytes=_INT64),
                *_optional(tags=_TEXT, decode_errors=_INT32),
            ]
        ),
    ),
    Table(
        "stage_results",
        "The verdict of each stage, with its reason. Written by every stage, for all stages of its sermon. "
        "`key` and `digest` name the output it speaks of.",
        pa.schema(
            [
                *_required(sermon=_TEXT, stage=_TEXT, status=_TEXT),
                *_optional(reason=_TEXT),
                *_required(key=_TEXT, digest=_TEXT),
            ]
        ),
        {"status": STATUSES},
    ),
    Table(
        "splits",
        "Which sermons train, which choose, which judge. Written by `sermon_split`; a pinned row was set by "
        "a person and stays.",
        pa.schema(_required(sermon=_TEXT, split=_TEXT, pinned=_FLAG)),
        {"split": SPLITS},
    ),
    Table(
        "speech_chunks",
        "Where speech is: stretches of 1 to 30 s, counted in samples of the 16 kHz recording. Written by the "
        "stage `speech_chunks`, one part per sermon.",
        pa.schema(
            [
                *_required(
                    sermon=_TEXT,
                    chunk_id=_TEXT,
                    start_sample=_INT64,
                    end_sample=_INT64,
                    silence_ratio=_FLOAT,
                    forced_cut=_FLAG,
                    status=_TEXT,
                ),
                *_optional(reason=_TEXT),
            ]
        ),
    ),
    Table(
        "training_chunks",
        "The sound of each chunk in each view (`original`, and those that enhance it), its measurements, "
        "and whether it may train. Written by the stage `training_chunks`, one part per sermon. `path` is "
        "relative to STT_HOME.",
        pa.schema(
            [
                *_required(sermon=_TEXT, chunk_id=_TEXT, view=_TEXT),
                *_optional(snr_db=_FLOAT, loudness_lufs=_FLOAT, true_peak_dbtp=_FLOAT, speaker=_TEXT),
                *_required(status=_TEXT),
                *_optional(reason=_TEXT, path=_TEXT),
            ]
        ),
    ),
    Table(
        "transcripts",
        "What a recogniser heard in a chunk. Written by the stage `transcript`, one part per sermon. "
        "`system` names model and adapter, `decoding` the settings as JSON; words are timed in samples of "
        "the 16 kHz recording.",
        pa.schema(
            _required(
                sermon=_TEXT,
                chunk_id=_TEXT,
                system=_TEXT,
                view=_TEXT,
                text=_TEXT,
                avg_logprob=_FLOAT,
                no_speech_prob=_FLOAT,
                compression_ratio=_FLOAT,
                words=_WORDS,
                decoding=_TEXT,
            )
        ),
    ),
    Table(
        "references",
        "What was really said, written down from scratch by people. Written by the import of references, one "
        "part per sermon; `chunk_id` is NULL for the text of a whole sermon.",
        pa.schema(
            [
                *_required(sermon=_TEXT),
                *_optional(chunk_id=_TEXT),
                *_required(text=_TEXT),
                *_optional(transcriber=_TEXT),
                *_required(source=_TEXT, status=_TEXT),
                *_optional(reason=_TEXT),
            ]
        ),
    ),
)

TABLES: Mapping[str, Table] = {table.name: table for table in _DEFINITIONS}

VIEWS: Mapping[str, str] = {
    # One row per sermon with its verdict so far; the first stage that rejects gives the reason.
    "sermons": """
        WITH verdicts AS (
            SELECT sermon, bool_or(status = 'rejected') AS rejected,
                   bool_or(stage = 'transcript' AND status = 'accepted') AS transcribed,
                   first(reason ORDER BY coalesce(list_position([
                       'recording', 'standard_audio', 'speech_chunks', 'training_chunks', 'transcript'
                   ], stage), 99), stage) FILTER (status = 'rejected') AS reason
            FROM stage_results GROUP BY sermon
        )
        SELECT registrations.sermon, registrations.title, registrations.speaker, registrations.date,
               registrations.source, recordings.duration_s, registrations.sha256, splits.split,
               CASE WHEN verdicts.rejected THEN 'rejected'
                    WHEN verdicts.transcribed THEN 'accepted'
                    ELSE 'waiting' END AS status,
               verdicts.reason
        FROM registrations
        LEFT JOIN recordings ON recordings.sermon = registrations.sermon
        LEFT JOIN splits ON splits.sermon = registrations.sermon
        LEFT JOIN verdicts ON verdicts.sermon = registrations.sermon
    """,
    # One row per chunk with the measurements of its original sound. A chunk is as bad as its worst verdict.
    "chunks": """
        SELECT speech.sermon, speech.chunk_id, speech.start_sample, speech.end_sample, training.snr_db,
               speech.silence_ratio, training.loudness_lufs, training.true_peak_dbtp, training.speaker,
               speech.forced_cut,
               CASE WHEN training.status = 'rejected' THEN training.status ELSE speech.status END AS status,
               CASE WHEN training.status = 'rejected' THEN training.reason ELSE speech.reason END AS reason,
               training.path
        FROM speech_chunks AS speech
        LEFT JOIN training_chunks AS training
            ON training.sermon = speech.sermon AND training.chunk_id = speech.chunk_id
            AND training.view = 'original'
    """,
}
