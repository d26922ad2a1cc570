"""The tables of the metadata store: pinned columns, who writes them, and the views over them.

A new table is one more entry in `TABLES`, a new view one more in `VIEWS`. A column added later must be nullable:
fragments written before read as NULL there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa

from stt_platform.audio.classify import LABELS as SOUND_LABELS

STATUSES = ("accepted", "rejected")
CONSENSUS = ("reliable", "unsure", "rejected")
PAIR_STATUSES = ("accepted", "quarantined")
SCRIPTURE_SPLITS = ("train", "test", "excluded")
SPLITS = ("train", "dev", "test", "final")
EVALUATION_SETS = ("assessment", "church_test", "general_speech", "scripture_test", "general_text", "terminology")


@dataclass(frozen=True)
class Table:
    """A base table: one Parquet fragment per part.

    Attributes:
        columns: name and type of each, a question mark after the type where it may be NULL.
        choices: the values that a text column may hold; a column that is not named there may hold any.
        shared: whether every stage writes a part of its own; any other table has one stage that writes it.
        clock_columns, clock_metrics: what a clock makes: in the table for people, and in no digest.
    """

    name: str
    description: str
    columns: str
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shared: bool = False
    clock_columns: tuple[str, ...] = ()
    clock_metrics: tuple[str, ...] = ()

    @cached_property
    def schema(self) -> pa.Schema:
        return pa.schema(_fields(self.columns))


def _fields(columns: str) -> list[pa.Field]:
    """Parse "name type, name type?": see `_TYPES`."""
    named = (column.split() for column in columns.split(","))
    return [pa.field(name, _TYPES[kind.rstrip("?")], nullable=kind.endswith("?")) for name, kind in named]


def _list_of(kind: pa.DataType) -> pa.ListType:
    return pa.list_(pa.field("element", kind, nullable=False))


_TYPES: dict[str, pa.DataType] = {
    "text": pa.string(),
    "flag": pa.bool_(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float": pa.float64(),
    "text[]": _list_of(pa.string()),
    "ref[]": _list_of(pa.int32()),
}
_TYPES["word[]"] = _list_of(pa.struct(_fields("word text, start_sample int64, end_sample int64, probability float")))
_TYPES["hint[]"] = _list_of(pa.struct(_fields("en text, es text")))
_TYPES["features"] = pa.struct(
    _fields(
        "mean_word_probability float?, low_word_probability float?, avg_logprob float, compression_ratio float, "
        "no_speech_prob float, chars_per_s float, disagreement float?, snr_db float?, words int32"
    )
)

_DEFINITIONS = (
    Table(
        "registrations",
        "A sermon's name tag. Written by `stt ingest` and the inbox sensor, one part per sermon; a changed "
        "file of the same sermon replaces it with the next version.",
        "sermon text, title text, speaker text?, date text, source text, sha256 text, version int32",
    ),
    Table(
        "recordings",
        "What the file that came in is. Written by the stage `recording`, one part per sermon; the measured "
        "columns are NULL when the file cannot be read. `clipped_ratio` is the share of samples in flat tops, "
        "at the rate of the file. `tags` is JSON.",
        "sermon text, duration_s float?, native_rate_hz int32?, channels int16?, container text?, codec text?, "
        "size_bytes int64, tags text?, decode_errors int32?, clipped_ratio float?, longest_clip_samples int64?",
    ),
    Table(
        "sound_measures",
        "What the gates of a whole recording measured, on the original. Written by the stage `sound_classes`, one "
        "part per sermon. `samples` is its length at 16 kHz; `snr_db` is the smaller of the two estimates, NULL "
        "where there is too little to measure; the shares are of the whole recording, 0 to 1.",
        "sermon text, samples int64, snr_db float?, wada_snr_db float?, vad_snr_db float?, silence_ratio float, "
        "bandwidth_hz float",
    ),
    Table(
        "segments",
        "What is heard when: the whole recording in pieces of one class of sound. Written by the stage "
        "`sound_classes`, one part per sermon, from the view that is named.",
        "sermon text, start_sample int64, end_sample int64, label text, view text",
        {"label": SOUND_LABELS},
    ),
    Table(
        "enhancements",
        "How the view `enhanced` was made. Written by the stage `enhanced_audio`, one part per sermon. "
        "`loudness_shortfall_db` is what the level stays below the target, because true peaks may not pass "
        "their limit; `separated_s` is how much of it was taken out of music.",
        "sermon text, loudness_before_lufs float?, gain_db float?, loudness_lufs float?, true_peak_dbtp float?, "
        "loudness_shortfall_db float?, separated_s float",
    ),
    Table(
        "speaker_turns",
        "Who speaks when; S1 speaks longest. Turns may overlap. Written by the stage `speaker_turns`, one part per "
        "sermon, empty where diarization is off.",
        "sermon text, start_sample int64, end_sample int64, speaker text",
    ),
    Table(
        "stage_results",
        "The verdict of each stage, with its reason. Written by every stage, for all stages of its sermon. "
        "`gate` is the short name of what refused it, `inherited` says that an earlier stage had refused it, `key` and "
        "`digest` name the output it speaks of.",
        "sermon text, stage text, status text, reason text?, gate text?, key text, digest text, inherited flag?",
        {"status": STATUSES},
    ),
    Table(
        "splits",
        "Which sermons train, which choose, which judge. Written by `sermon_split`; a pinned row was set by "
        "a person and stays.",
        "sermon text, split text, pinned flag",
        {"split": SPLITS},
    ),
    Table(
        "speech_chunks",
        "Where speech is: stretches of 1 to 30 s, counted in samples of the 16 kHz recording. Written by the "
        "stage `speech_chunks`, one part per sermon.",
        "sermon text, chunk_id text, start_sample int64, end_sample int64, silence_ratio float, forced_cut flag, "
        "status text, reason text?, gate text?",
    ),
    Table(
        "training_chunks",
        "The sound of each chunk in each view (`original`, and those that enhance it), its measurements, "
        "and whether it may train. Written by the stage `training_chunks`, one part per sermon. Level and peak are "
        "those of the view; SNR, clipping and bandwidth are always measured on the original, and they are the gates. "
        "`speaker_share` is the speaker's share of the speech in the chunk. `path` is relative to STT_HOME.",
        "sermon text, chunk_id text, view text, snr_db float?, loudness_lufs float?, true_peak_dbtp float?, "
        "speaker text?, status text, reason text?, path text?, gate text?, wada_snr_db float?, vad_snr_db float?, "
        "clipped_ratio float?, bandwidth_hz float?, speaker_share float?",
    ),
    Table(
        "transcripts",
        "What a recogniser heard in a chunk. Written by the stage `transcript`, one part per sermon. "
        "`system` names model and adapter, `decoding` the settings as JSON; words are timed in samples of "
        "the 16 kHz recording.",
        "sermon text, chunk_id text, system text, view text, text text, avg_logprob float, no_speech_prob float, "
        "compression_ratio float, words word[], decoding text",
    ),
    Table(
        "captions",
        "What the captions of a recording from the web say, rolling ones merged, in seconds of the recording. "
        "Written by the stage `captions`, one part per sermon.",
        "sermon text, start_s float, end_s float, text text",
    ),
    Table(
        "second_opinions",
        "What others heard in a chunk: a recogniser of another architecture, and captions. Written by the stage "
        "`consensus`, one part per sermon.",
        "sermon text, chunk_id text, system text, text text",
    ),
    Table(
        "consensus",
        "Whether a chunk's text can be relied on: the mean character error rate between all pairs of systems, and "
        "what the text itself gives away. Written by the stage `consensus`, one part per sermon.",
        "sermon text, chunk_id text, mean_cer float?, status text, reason text?, gate text?",
        {"status": CONSENSUS},
    ),
    Table(
        "references",
        "What was really said, written down from scratch by people. Written by the import of references, one "
        "part per sermon; `chunk_id` is NULL for the text of a whole sermon.",
        "sermon text, chunk_id text?, text text, transcriber text?, source text, status text, reason text?",
    ),
    Table(
        "scripture_texts",
        "Which Bible texts there are, where each comes from and what it may be used for; sources that were found and "
        "not used, and known texts that are missing, with what would add them. Written by `scripture_texts`.",
        "text_id text, language text, title text, licence text, attribution text, source text, verses int32, "
        "titles int32, subscriptions int32, blank int32, status text, reason text?",
        {"status": ("used", "not used", "missing")},
    ),
    Table(
        "scripture_verses",
        "The cleaned rows of every text, by BBCCCVVV: verses, psalm titles (verse 0) and epistle subscriptions. `removed` is "
        "what cleaning took out. Written by `scripture_texts`.",
        "text_id text, ref int32, kind text, text text, removed text[]",
        {"kind": ("verse", "title", "subscription", "blank")},
    ),
    Table(
        "versification",
        "Where two texts number their verses differently, a row for each segment, refs as BBCCCVVV and as people "
        "write them. `alarm` says in what a row disagrees with the table that is known, NULL where it does not. "
        "Written by `verse_pairs`.",
        "en_source text, es_source text, en_refs ref[], es_refs ref[], english text, spanish text, kind text, "
        "note text, alarm text?",
    ),
    Table(
        "aligned_pairs",
        "What says the same in two texts, with the verdict of the filters. A segment is named after its Spanish text "
        "and shared by all English versions; refs are BBCCCVVV. Of a quarantined pair `gate` is the short name of what set "
        "it aside and `reason` the same in words. Written by `verse_pairs`.",
        "pair_id text, segment_id text, en_source text, es_source text, en_refs ref[], es_refs ref[], en text, "
        "es text, genre text, testament text, status text, reason text?, gate text?",
        {"status": PAIR_STATUSES},
    ),
    Table(
        "scripture_splits",
        "On which side each aligned segment is. What must stay together (parallel passages, equal texts) has one "
        "`group_id`; `reason` says why it lies with others. Written by `scripture_split`.",
        "segment_id text, group_id text, split text, reason text?",
        {"split": SCRIPTURE_SPLITS},
    ),
    Table(
        "glossary",
        "Each sense of each term, and how often its Spanish stands in the verses where its English stands: `n` "
        "pairs, `rate` of them with this sense's Spanish, `any_rate` with that of any sense that can be meant, "
        "`chance` the share of all other pairs. Written by `glossary`.",
        "term_id text, en text, es text, sense text, scope text, pos text, domain text, note text, source text, "
        "n int32, hits int32, lemma_hits int32, any_hits int32, rate float?, lemma_rate float?, any_rate float?, "
        "chance float?, forbidden int32, attested ref[], missed ref[], status text, reason text?",
        {"status": ("attested", "weak", "unattested", "not in text")},
    ),
    Table(
        "back_translations",
        "English that a model made from Spanish verses of the training side; `chrf` is its agreement with the English that "
        "people wrote. Written by `back_translations`.",
        "segment_id text, es text, en text, system text, chrf float?, status text, reason text?",
        {"status": PAIR_STATUSES},
    ),
    Table(
        "training_examples",
        "What a model learns from or is examined on, one part for each set. `weight` is for sampling: copies of one "
        "target share the weight of one. Written by `translation_training_set`.",
        "set text, example_id text, source_kind text, segment_id text?, split text, source text, target text, "
        "hints hint[], weight float, prompt text?, completion text?",
        {"split": ("train", "dev", "test")},
    ),
    Table(
        "corrections",
        "What people made of the chunks that they were shown: every answer so far, with its verdict, as of each cycle. "
        "`verdict` is what the reviewer says of the chunk; `edits` and `word_edits` count what was changed of `proposal`, the "
        "text that was shown. The latest answer to a chunk is `accepted`, or `rejected` with its reason; earlier ones are "
        "`superseded`. Written by `corrections`, one part per cycle.",
        "chunk_id text, cycle int32, sermon text, text text, verdict text, speaker text, reviewer text, tool text, "
        "source text, corrected_at text, annotation_id text, spent_s float?, proposal text?, edits int32?, "
        "word_edits int32?, proposal_words int32?, unedited flag?, status text, gate text?, reason text?",
        {
            "status": ("accepted", "rejected", "superseded"),
            "verdict": ("usable", "unusable", "cut_off", "not_english", "no_speech"),
        },
        # Of a file that tells no times it is when the file was written.
        clock_columns=("corrected_at",),
    ),
    Table(
        "flagged_segments",
        "Which chunks people are asked about in a cycle, and why the others are not: a row for every chunk with a "
        "transcript, and for every segment of the live machine that belongs to none (`chunk_id` is NULL, `place` is its file "
        "and line). Of flagged ones `rank` is the order of asking, `why` the kind of reason and `reason` the reason in words, "
        "`text` the proposal that is shown, of the recogniser `system`; `confidence` is the chance that no word of it is "
        "wrong and `expected_errors` how many are, NULL until enough is answered to tell; `features` are what they were "
        "reckoned from. `review_s` is what answering is expected to take. `path` is relative to STT_HOME. Of the others `gate` "
        "is the short name of why they are not asked about. Written by `flagged_segments`, one part per cycle.",
        "cycle int32, chunk_id text?, place text?, sermon text, speaker text, rank int32?, why text?, text text?, "
        "system text?, path text?, duration_s float?, confidence float?, expected_errors float?, review_s float?, "
        "features features?, status text, reason text, gate text?",
        {"status": ("flagged", "left", "excluded"), "why": ("ranked", "rare term", "live", "random")},
    ),
    Table(
        "decisions",
        "What became of the adapter of each cycle. `promoted`: it serves from then on; `kept`: the champion of before does; "
        "`undecided`: so does that one, since nobody can tell which is better. `adapter_id` is NULL where the cycle has no "
        "adapter, `champion_after` where the base model serves. `cause` is the short name of why, `reason` the same in words. "
        "Written by `speech_decision`, one part per cycle.",
        "cycle int32, adapter_id text?, decision text, reason text, decided_at text, champion_after text?, cause text?",
        {"decision": ("promoted", "kept", "undecided")},
        clock_columns=("decided_at",),
    ),
    Table(
        "adapters",
        "Every adapter that was trained, and what from. `parameters` is JSON. Written by the assets that train, a part for "
        "each.",
        "adapter_id text, kind text, base_model text, base_revision text, dataset_sha256 text, parameters text, "
        "created_at text, status text, reason text?",
        {"kind": ("whisper", "translategemma", "marian"), "status": ("trained", "stopped early")},
        shared=True,
        clock_columns=("created_at",),
    ),
    Table(
        "assessment_sample",
        "The chunks that people write down from scratch, so that the automatic labels can be judged: drawn by sermon, "
        "level of noise and speaker. Written by `assessment_sample`.",
        "sermon text, chunk_id text, speaker text?, snr_db float?, noise text, duration_s float, path text",
        {"noise": ("noisy", "middle", "clean", "unknown")},
    ),
    Table(
        "evaluations",
        "What was measured of a model, with its interval and how to get the same number again. `slice` is `all`, or which "
        "part (genre, testament, view, hint mode, speaker); `value` is NULL where it could not be scored, and `reason` says "
        "why; `n` counts what the interval rests on (sermons, segments). Rates are fractions. Written by the evaluations, a "
        "part for each.",
        "evaluation_id text, system text, adapter_id text?, set text, slice text, metric text, value float?, "
        "ci_low float?, ci_high float?, n int64, signature text, reason text?",
        {"set": EVALUATION_SETS},
        shared=True,
        clock_metrics=("rtf", "texts_per_s", "tokens_per_s"),
    ),
    Table(
        "comparisons",
        "A system beside the one that it is compared with, on the same rows: the difference (system less the other), its "
        "interval, the p value, and what is decided. Written by the evaluations, a part for each.",
        "evaluation_id text, system text, adapter_id text?, compared_with text, set text, slice text, metric text, "
        "difference float?, ci_low float?, ci_high float?, p_value float?, n int64, decision text, method text, "
        "reason text",
        {"set": EVALUATION_SETS, "decision": ("better", "worse", "undecided")},
        shared=True,
    ),
    Table(
        "evaluation_rows",
        "Every text that was scored, and every one that could not be, with its reason. `group_id` is what the rows are "
        "resampled by: the sermon or speaker, the verse segment. `errors` in `words` is of normalised speech, `chrf` and "
        "`comet` of translations. Written by the evaluations, a part for each.",
        "evaluation_id text, system text, adapter_id text?, set text, slice text, row_id text, group_id text, "
        "source text?, reference text?, hypothesis text?, errors int64?, words int64?, chrf float?, comet float?, "
        "status text, reason text?",
        {"set": EVALUATION_SETS},
        shared=True,
    ),
)

TABLES: Mapping[str, Table] = {table.name: table for table in _DEFINITIONS}

_REFUSED_HERE = "status = 'rejected' AND inherited IS NOT TRUE"

VIEWS: Mapping[str, str] = {
    # One row per sermon with its verdict so far; the stage that rejects it first gives the reason.
    "sermons": f"""
        WITH verdicts AS (
            SELECT sermon, bool_or(status = 'rejected') AS rejected,
                   bool_or(stage = 'transcript' AND status = 'accepted') AS transcribed,
                   first(reason ORDER BY stage) FILTER ({_REFUSED_HERE}) AS reason
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
    # One row per chunk with the measurements of its original sound. A chunk is as bad as its worst verdict, but good
    # where one of its views is: what was separated from music is good in the enhanced view only.
    "chunks": """
        SELECT speech.sermon, speech.chunk_id, speech.start_sample, speech.end_sample, training.snr_db,
               speech.silence_ratio, training.loudness_lufs, training.true_peak_dbtp, training.speaker,
               speech.forced_cut,
               CASE WHEN 'rejected' IN (speech.status, best.status, consensus.status) THEN 'rejected'
                    ELSE 'accepted' END AS status,
               CASE WHEN speech.status = 'rejected' THEN speech.reason
                    WHEN best.status = 'rejected' THEN best.reason
                    WHEN consensus.status = 'rejected' THEN consensus.reason
                    ELSE speech.reason END AS reason,
               best.path,
               CASE WHEN speech.status = 'rejected' THEN speech.gate
                    WHEN best.status = 'rejected' THEN best.gate
                    WHEN consensus.status = 'rejected' THEN consensus.gate END AS gate
        FROM speech_chunks AS speech
        LEFT JOIN training_chunks AS training
            ON training.sermon = speech.sermon AND training.chunk_id = speech.chunk_id
            AND training.view = 'original'
        LEFT JOIN (
            SELECT * FROM training_chunks
            QUALIFY row_number() OVER (
                PARTITION BY sermon, chunk_id ORDER BY status = 'rejected', view <> 'original', view
            ) = 1
        ) AS best ON best.sermon = speech.sermon AND best.chunk_id = speech.chunk_id
        LEFT JOIN consensus ON consensus.sermon = speech.sermon AND consensus.chunk_id = speech.chunk_id
    """,
    "verse_pairs": """
        SELECT pairs.pair_id, pairs.segment_id, pairs.en_source, pairs.es_source, pairs.en_refs, pairs.es_refs,
               pairs.en, pairs.es, pairs.genre, pairs.testament, splits.split, pairs.status, pairs.reason, pairs.gate
        FROM aligned_pairs AS pairs LEFT JOIN scripture_splits AS splits ON splits.segment_id = pairs.segment_id
    """,
    # Where the sound of every sermon went, in samples at 16 kHz: the rows of a sermon add up to its length.
    "funnel": f"""
        WITH refused AS (
            SELECT sermon, coalesce(first(gate ORDER BY stage) FILTER ({_REFUSED_HERE}), 'other') AS gate
            FROM stage_results WHERE status = 'rejected' GROUP BY sermon
        ), lengths AS (
            SELECT recordings.sermon,
                   coalesce(measures.samples, round(recordings.duration_s * 16000)::BIGINT, 0) AS samples
            FROM recordings LEFT JOIN sound_measures AS measures ON measures.sermon = recordings.sermon
        ), whole AS (
            SELECT sermon, gate, samples FROM refused JOIN lengths USING (sermon)
        ), kept AS (
            SELECT sermon, samples FROM lengths
            WHERE sermon NOT IN (SELECT sermon FROM refused) AND sermon IN (SELECT sermon FROM speech_chunks)
        ), pieces AS (
            SELECT chunks.sermon, chunks.end_sample - chunks.start_sample AS samples,
                   CASE WHEN chunks.status = 'rejected' THEN coalesce(chunks.gate, 'other') END AS gate,
                   consensus.status AS consensus
            FROM chunks JOIN kept USING (sermon)
            LEFT JOIN consensus ON consensus.sermon = chunks.sermon AND consensus.chunk_id = chunks.chunk_id
        ), outside AS (
            SELECT segments.sermon, segments.label,
                   segments.end_sample - segments.start_sample - coalesce(sum(
                       least(segments.end_sample, chunks.end_sample)
                       - greatest(segments.start_sample, chunks.start_sample)
                   ) FILTER (chunks.sermon IS NOT NULL), 0) AS samples
            FROM segments JOIN kept USING (sermon)
            LEFT JOIN speech_chunks AS chunks ON chunks.sermon = segments.sermon
                AND chunks.start_sample < segments.end_sample AND chunks.end_sample > segments.start_sample
            GROUP BY segments.sermon, segments.label, segments.start_sample, segments.end_sample
        )
        SELECT sermon, 1 AS step, 'recording' AS gate_of, gate AS outcome, samples FROM whole
        UNION ALL
        SELECT sermon, 2, 'no speech',
               CASE WHEN label IN ('speech', 'speech_over_music') THEN 'pauses' ELSE label END,
               sum(samples)::BIGINT FROM outside GROUP BY ALL HAVING sum(samples) <> 0
        UNION ALL
        SELECT sermon, 3, 'chunk', gate, sum(samples)::BIGINT FROM pieces WHERE gate IS NOT NULL GROUP BY ALL
        UNION ALL
        SELECT sermon, 4, 'left',
               CASE consensus WHEN 'reliable' THEN 'reliable text' WHEN 'unsure' THEN 'unsure text'
                    ELSE 'no text yet' END,
               sum(samples)::BIGINT FROM pieces WHERE gate IS NULL GROUP BY ALL
    """,
}
