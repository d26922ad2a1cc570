"""What the store knows for the assessment: chunks that may be drawn, and what people and the recogniser wrote of them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.evaluation.assessment import ChunkToAssess
from stt_platform.evaluation.church_english import normalise_church_english
from stt_platform.evaluation.speech_scores import RowScore, SpeechRow, score_rows
from stt_platform.store.metadata import MetadataStore

CHUNK, WHOLE_SERMON = "chunk", "whole sermon"

# The first of the diarization's names is who speaks longest: the preacher.
_PREACHER = "S1"
_ANOTHER = "another speaker"

# A sermon that is in no split yet may become one of `final`, which nobody opens before the end.
_DRAWABLE = f"""
select chunks.sermon, chunks.chunk_id, sermons.speaker as preacher, chunks.speaker as voice, chunks.snr_db,
    (chunks.end_sample - chunks.start_sample) / {SAMPLE_RATE_HZ} as duration_s, chunks.path,
    chunks.chunk_id in (
        select chunk_id from "references" where status = 'accepted' and chunk_id is not null
    ) as transcribed
from chunks join sermons on sermons.sermon = chunks.sermon
where chunks.status = 'accepted' and sermons.status <> 'rejected' and sermons.split in ('train', 'dev', 'test')
"""
_CHUNKS = """
select written.sermon, written.chunk_id, written.text as reference, heard.text as hypothesis, heard.system, heard.view,
    sermons.speaker as preacher, chunks.speaker as voice, chunks.start_sample, chunks.end_sample, sample.noise,
    case when sermons.status = 'rejected' then 'its sermon is rejected: ' || coalesce(sermons.reason, '')
         when chunks.status = 'rejected' then 'its chunk is set aside: ' || coalesce(chunks.reason, '')
         when chunks.chunk_id is null then 'its chunk is not there any more: it was cut anew'
         when sample.chunk_id is null then 'it is not in the assessment sample' end as problem
from "references" as written
join sermons on sermons.sermon = written.sermon
left join chunks on chunks.chunk_id = written.chunk_id
left join {transcripts} as heard on heard.chunk_id = written.chunk_id
left join assessment_sample as sample on sample.chunk_id = written.chunk_id
where written.status = 'accepted' and written.chunk_id is not null and coalesce(sermons.split, '') <> 'final'
order by written.sermon, written.chunk_id
"""
_WHOLE_SERMONS = """
with heard as (
    select transcripts.sermon, string_agg(transcripts.text, ' ' order by chunks.start_sample) as text,
        any_value(transcripts.system) as system, any_value(transcripts.view) as view
    from {transcripts} as transcripts join chunks on chunks.chunk_id = transcripts.chunk_id and chunks.status = 'accepted'
    group by transcripts.sermon
)
select written.sermon, written.text as reference, heard.text as hypothesis, heard.system, heard.view,
    sermons.speaker as preacher,
    case when sermons.status = 'rejected' then 'it is rejected: ' || coalesce(sermons.reason, '')
         when sermons.split is null then 'it is in no split yet' end as problem
from "references" as written
join sermons on sermons.sermon = written.sermon
left join heard on heard.sermon = written.sermon
where written.status = 'accepted' and written.chunk_id is null and coalesce(sermons.split, '') <> 'final'
    and written.sermon not in (
        select sermon from "references" where status = 'accepted' and chunk_id is not null
    )
order by written.sermon
"""

_NO_TRANSCRIPTS = """(
    select null::varchar as sermon, null::varchar as chunk_id, null::varchar as text, null::varchar as system,
        null::varchar as view where false
)"""
_SPANS = """
select chunks.sermon, chunks.chunk_id, chunks.start_sample, chunks.end_sample,
    list(sound.view order by sound.view) filter (sound.status = 'accepted') as views,
    any_value(sound.reason) filter (sound.status <> 'accepted') as reason
from chunks join training_chunks as sound on sound.chunk_id = chunks.chunk_id
where chunks.status = 'accepted'
group by chunks.sermon, chunks.chunk_id, chunks.start_sample, chunks.end_sample
order by chunks.sermon, chunks.start_sample
"""


@dataclass(frozen=True)
class Span:
    """An accepted chunk: its place in the recording at 16 kHz, the views in which it may be used, and why in no other."""

    sermon: str
    chunk_id: str
    start_sample: int
    end_sample: int
    views: tuple[str, ...]
    reason: str | None


@dataclass(frozen=True)
class Assessed:
    """A text that people wrote from scratch, beside what the recogniser wrote.

    Attributes:
        row_id: of the chunk; the sermon's key where the text is of a whole sermon.
        hypothesis, system, view: None where there is no transcript. Of a whole sermon, the texts of its accepted chunks.
        noise: its level in the sample; None for a whole sermon.
        start_sample, end_sample: of the chunk in the recording at 16 kHz.
        problem: why it cannot be scored whatever the texts say, else None.
    """

    row_id: str
    kind: str
    sermon: str
    reference: str
    hypothesis: str | None
    system: str | None
    view: str | None
    speaker: str | None
    noise: str | None = None
    start_sample: int | None = None
    end_sample: int | None = None
    problem: str | None = None

    def row(self, hypothesis: str | None) -> SpeechRow:
        """Return what people wrote beside a text of a recogniser, to be scored."""
        kinds = {"noise": self.noise, "speaker": self.speaker, "view": self.view, "text of": self.kind}
        length_s = None
        if self.start_sample is not None and self.end_sample is not None:
            length_s = (self.end_sample - self.start_sample) / SAMPLE_RATE_HZ
        told = {kind: value for kind, value in kinds.items() if value}
        return SpeechRow(self.row_id, self.sermon, self.reference, hypothesis, length_s, told)

    def scored(self, hypothesis: str | None, problem: str | None = None) -> RowScore:
        """Score a text of a recogniser by the rules for church English; with a problem it is not scored, for that reason."""
        problem = self.problem or problem
        (score,) = score_rows([self.row(None if problem else hypothesis)], normalise_church_english)
        return replace(score, row=self.row(hypothesis), reason=problem) if problem else score


@dataclass(frozen=True)
class Drawable:
    """A chunk that may be drawn, and whether people have transcribed it."""

    chunk: ChunkToAssess
    transcribed: bool


def drawable_chunks(store: MetadataStore) -> list[Drawable]:
    """Return the accepted chunks of all sermons that are in use and not kept for the end; `audio` is relative to STT_HOME."""
    return [
        Drawable(
            ChunkToAssess(
                row["chunk_id"],
                row["sermon"],
                _speaker(row),
                row["snr_db"],
                row["duration_s"],
                row["path"] or "",
            ),
            row["transcribed"],
        )
        for row in store.query(f"{_DRAWABLE} order by chunks.sermon, chunks.chunk_id").to_pylist()
    ]


def assessed_texts(store: MetadataStore, *, transcribed: bool = True) -> list[Assessed]:
    """Return every accepted reference of a chunk, and of a whole sermon that has none of chunks; nothing of the split `final`.

    Args:
        transcribed: with the automatic text beside each; without it the transcripts are not read.
    """
    transcripts = "transcripts" if transcribed else _NO_TRANSCRIPTS
    chunks = [
        Assessed(
            **{name: row[name] for name in ("sermon", "reference", "hypothesis", "system", "view", "noise", "problem")},
            row_id=row["chunk_id"],
            kind=CHUNK,
            speaker=_speaker(row),
            start_sample=row["start_sample"],
            end_sample=row["end_sample"],
        )
        for row in store.query(_CHUNKS.format(transcripts=transcripts)).to_pylist()
    ]
    sermons = [
        Assessed(
            **{name: row[name] for name in ("sermon", "reference", "hypothesis", "system", "view", "problem")},
            row_id=row["sermon"],
            kind=WHOLE_SERMON,
            speaker=row["preacher"],
        )
        for row in store.query(_WHOLE_SERMONS.format(transcripts=transcripts)).to_pylist()
    ]
    return chunks + sermons


def spans_of(store: MetadataStore, texts: Iterable[Assessed]) -> dict[str, list[Span]]:
    """Return the accepted chunks that the texts are of, by `row_id` and in order."""
    by_sermon: dict[str, list[Span]] = {}
    for row in store.query(_SPANS).to_pylist():
        by_sermon.setdefault(row["sermon"], []).append(Span(**{**row, "views": tuple(row["views"] or ())}))
    return {
        text.row_id: [
            span for span in by_sermon.get(text.sermon, []) if text.kind == WHOLE_SERMON or span.chunk_id == text.row_id
        ]
        for text in texts
    }


def _speaker(row: dict[str, Any]) -> str | None:
    return row["preacher"] if row["voice"] in (None, _PREACHER) else _ANOTHER
