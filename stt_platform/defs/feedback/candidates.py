"""Read what a cycle may ask about: chunks with their transcripts, earlier answers, and live transcripts."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.gates import Refusal, first_refusal
from stt_platform.defs.evaluation.frozen_test_set import frozen_church_test
from stt_platform.evaluation.wer import normalise_english, word_errors
from stt_platform.feedback.answers import VERDICT_LABELS, audio_name, tidy
from stt_platform.feedback.confidence import AnsweredTranscript, TranscriptFeatures, transcript_features
from stt_platform.feedback.corrections import TOO_LONG
from stt_platform.feedback.live import LiveSegment, read_live_segments
from stt_platform.feedback.live_places import LiveHearing, PlacedChunk, Unplaced, place_segments
from stt_platform.feedback.review_time import ReviewTime, measured_review_time
from stt_platform.feedback.selection import NOT_ASKED_IN_WORDS, Candidate, NotAsked, RandomAnswer, junk_reason
from stt_platform.glossary.matching import compiled
from stt_platform.glossary.terms import Glossary
from stt_platform.store.intake import registrations
from stt_platform.store.metadata import MetadataStore

OPINIONS = (TOO_LONG, *VERDICT_LABELS.values())
"""Gates of answers that say something of their chunk and yet are not trained on."""

# What is not trained on is not asked about: the same chunks as the training set leaves out, and for the same reason.
_CHUNKS = """
select speech.chunk_id, speech.sermon, speech.start_sample, speech.end_sample, speech.silence_ratio, sound.snr_db,
    sound.speaker, sound.path, transcripts.text, transcripts.system, transcripts.avg_logprob, transcripts.compression_ratio,
    transcripts.no_speech_prob,
    [word.probability for word in transcripts.words] as probabilities, consensus.mean_cer,
    coalesce(splits.split, '') as split, coalesce(registrations.speaker, '') as preacher,
    case when speech.status = 'rejected' then coalesce(speech.reason, speech.gate, 'its sound was refused')
         when sound.chunk_id is null then 'it has no sound in the view ' || $view
         when sound.status = 'rejected' then coalesce(sound.reason, sound.gate, 'its sound was refused')
         when consensus.status = 'rejected' then coalesce(consensus.reason, consensus.gate, 'its text was refused')
         end as refused,
    case when speech.status = 'rejected' then coalesce(speech.gate, 'other')
         when sound.chunk_id is null then $no_view
         when sound.status = 'rejected' then coalesce(sound.gate, 'other')
         when consensus.status = 'rejected' then coalesce(consensus.gate, 'other')
         end as refused_by,
    speech.chunk_id in (
        select chunk_id from "references" where status = 'accepted' and chunk_id is not null
    ) as written
from speech_chunks as speech
join transcripts on transcripts.chunk_id = speech.chunk_id
left join training_chunks as sound on sound.chunk_id = speech.chunk_id and sound.view = $view
left join consensus on consensus.chunk_id = speech.chunk_id
left join splits on splits.sermon = speech.sermon
left join registrations on registrations.sermon = speech.sermon
order by speech.chunk_id
"""
# Each part of the table holds all answers until then; answers of this cycle are answers to what is chosen here.
_ANSWERS = """
select chunk_id, sermon, text, verdict, proposal, spent_s, status from corrections
where cycle = (select max(cycle) from corrections where cycle < $cycle)
    and (status = 'accepted' or list_contains($opinions, gate))
order by chunk_id
"""
_ASKED = """
select chunk_id, why, text, features from flagged_segments where status = 'flagged' and cycle < $cycle
qualify row_number() over (partition by chunk_id order by cycle desc) = 1 order by chunk_id
"""
_PLACES = "select chunk_id, sermon, start_sample, end_sample from speech_chunks order by chunk_id"
_LONGEST_SPEAKER = "S1"


def live_folder(home: Path) -> Path:
    """Return where the JSONL files of the live machine are put."""
    return home / "live"


def live_files(home: Path) -> list[Path]:
    """Return them, sorted; the sound may lie beside them."""
    return sorted(path for path in live_folder(home).rglob("*.jsonl") if not path.name.startswith("."))


@dataclass(frozen=True)
class Pool:
    """All that a cycle chooses from, as it is read. The names of the fields enter the key of `flagged_segments`.

    Attributes:
        chunks: rows of every chunk that has a transcript.
        answers: what people said of chunks before this cycle, one row for each chunk.
        asked: what they were shown last of each chunk, before this cycle.
        examining: sermons of the frozen church test, whatever the split says today.
    """

    chunks: list[dict[str, Any]]
    answers: list[dict[str, Any]]
    asked: list[dict[str, Any]]
    examining: tuple[str, ...]

    @cached_property
    def features(self) -> dict[str, TranscriptFeatures]:
        """Return the features of each transcript, by chunk."""
        return {row["chunk_id"]: _features(row) for row in self.chunks if _duration_s(row) > 0}

    def duration_s(self, chunk_id: str) -> float:
        """Return the length of a chunk."""
        return self._lengths_s[chunk_id]

    def candidates(
        self, home: Path, expected_errors: Mapping[str, float], terms: Mapping[str, tuple[str, ...]]
    ) -> list[Candidate]:
        """Return every chunk as `choose_segments` takes it, with what the confidence model expects of it and its terms."""
        answered = {row["chunk_id"] for row in self.answers}
        return [
            Candidate(
                chunk_id=row["chunk_id"],
                sermon=row["sermon"],
                speaker=speaker_of(row),
                split="test" if row["sermon"] in self.examining else row["split"],
                duration_s=_duration_s(row),
                expected_errors=expected_errors.get(row["chunk_id"], 0.0),
                junk=first_refusal(_refused(row), _gone(home, row), _junk(row)),
                answered=row["chunk_id"] in answered or row["written"],
                terms=terms.get(row["chunk_id"], ()),
            )
            for row in self.chunks
        ]

    def answered_transcripts(self) -> list[AnsweredTranscript]:
        """Return corrected transcripts, each with the features that it had when people were asked about it.

        A recogniser that was trained on an answer transcribes its chunk better than others, so a confidence that is fitted
        on its transcripts of today would be too high.
        """
        found = []
        for row, features, at_random in self._shown():
            errors = word_errors([(row["text"], row["proposal"])], normalise=normalise_english)
            wrong = errors.substitutions + errors.deletions + errors.insertions
            found.append(AnsweredTranscript(row["chunk_id"], row["sermon"], features, wrong, at_random))
        return found

    def random_answers(self) -> list[RandomAnswer]:
        """Return the answers to what was drawn at random in earlier cycles."""
        return [
            RandomAnswer(row["sermon"], row["text"], row["proposal"])
            for row, _, at_random in self._shown()
            if at_random
        ]

    def review_time(self, default: ReviewTime) -> ReviewTime:
        """Return the time that answering takes, as it was measured; the default until there are enough answers that tell."""
        spent = [
            (self._lengths_s[row["chunk_id"]], row["spent_s"])
            for row in self.answers
            if row["spent_s"] is not None and row["chunk_id"] in self._lengths_s
        ]
        return measured_review_time(spent) or default

    def corrected_terms(self, glossary: Glossary | None) -> Counter[str]:
        """Count the accepted texts that each glossary term stands in."""
        texts = [row["text"] for row in self.answers if row["status"] == "accepted"]
        return Counter(term for text in texts for term in terms_in(text, glossary))

    def terms(self, glossary: Glossary | None) -> dict[str, tuple[str, ...]]:
        """Return the glossary terms in each transcript, by chunk."""
        return {row["chunk_id"]: terms_in(row["text"], glossary) for row in self.chunks}

    @cached_property
    def _lengths_s(self) -> dict[str, float]:
        return {row["chunk_id"]: _duration_s(row) for row in self.chunks}

    def _shown(self) -> Iterable[tuple[dict[str, Any], TranscriptFeatures, bool]]:
        """Yield accepted answers with the features of the proposal, and whether it was drawn at random."""
        asked = {row["chunk_id"]: row for row in self.asked}
        transcripts = {row["chunk_id"]: tidy(row["text"]) for row in self.chunks}
        for row in self.answers:
            name, proposal = row["chunk_id"], row["proposal"]
            if row["status"] != "accepted" or proposal is None:
                continue
            before = asked.get(name)
            if before is not None and before["features"] and tidy(before["text"]) == proposal:
                yield row, TranscriptFeatures(**before["features"]), before["why"] == "random"
            elif transcripts.get(name) == proposal and name in self.features:
                yield row, self.features[name], False


def _refused(row: Mapping[str, Any]) -> Refusal | None:
    return None if row["refused"] is None else Refusal(row["refused_by"], row["refused"])


def _gone(home: Path, row: Mapping[str, Any]) -> Refusal | None:
    if row["path"] is not None and (home / row["path"]).is_file():
        return None
    return Refusal(NotAsked.GONE, NOT_ASKED_IN_WORDS[NotAsked.GONE])


def read_pool(store: MetadataStore, view: str, cycle: int) -> Pool:
    """Read all that a cycle chooses from.

    Args:
        view: that is transcribed and trained on.
    """
    test = frozen_church_test(store.home)
    return Pool(
        chunks=store.query(_CHUNKS, {"view": view, "no_view": NotAsked.NO_VIEW.value}).to_pylist(),
        answers=store.query(_ANSWERS, {"cycle": cycle, "opinions": list(OPINIONS)}).to_pylist(),
        asked=store.query(_ASKED, {"cycle": cycle}).to_pylist(),
        examining=test.sermons if test else (),
    )


def live_hearings(store: MetadataStore) -> tuple[int, dict[str, LiveHearing], list[Unplaced]]:
    """Count the live segments; return the live transcript of each chunk too, and the segments that belong to none."""
    segments: list[LiveSegment] = [row for path in live_files(store.home) for row in read_live_segments(path)]
    places = [
        PlacedChunk(
            row["chunk_id"], row["sermon"], row["start_sample"] / SAMPLE_RATE_HZ, row["end_sample"] / SAMPLE_RATE_HZ
        )
        for row in store.query(_PLACES).to_pylist()
    ]
    live, unplaced = place_segments(segments, _recordings(store.home), places)
    return len(segments), live, unplaced


def with_live(features: TranscriptFeatures, live: LiveHearing | None) -> TranscriptFeatures:
    """Return the features as they are where either of the two recognisers was in doubt."""
    if live is None or live.avg_logprob is None or live.avg_logprob >= features.avg_logprob:
        return features
    return replace(features, avg_logprob=live.avg_logprob)


def terms_in(text: str, glossary: Glossary | None) -> tuple[str, ...]:
    """Return the terms that stand in an English text, each once, sorted; none without a glossary."""
    if glossary is None:
        return ()
    return tuple(sorted({glossary.term(match.term_id).en for match in compiled(glossary, "en").find(text)}))


def speaker_of(row: Mapping[str, Any]) -> str:
    """Name who speaks in a chunk: the preacher, where nobody else was told apart; empty for others, who have no names."""
    return row["preacher"] if row["speaker"] in (None, "", _LONGEST_SPEAKER) else ""


def _recordings(home: Path) -> dict[str, set[str]]:
    """Return the sermons that a recording of that name may be: by key, and by the file that came."""
    found: dict[str, set[str]] = {}
    for sermon, entry in registrations(home).items():
        for name in {sermon, audio_name(entry.source)} - {""}:
            found.setdefault(name, set()).add(sermon)
    return found


def _duration_s(row: Mapping[str, Any]) -> float:
    return (row["end_sample"] - row["start_sample"]) / SAMPLE_RATE_HZ


def _features(row: Mapping[str, Any]) -> TranscriptFeatures:
    return transcript_features(
        row["text"],
        row["probabilities"],
        duration_s=_duration_s(row),
        avg_logprob=row["avg_logprob"],
        compression_ratio=row["compression_ratio"],
        no_speech_prob=row["no_speech_prob"],
        disagreement=row["mean_cer"],
        snr_db=row["snr_db"],
    )


def _junk(row: Mapping[str, Any]) -> Refusal | None:
    duration_s = _duration_s(row)
    if duration_s <= 0:
        return None
    return junk_reason(
        row["text"],
        duration_s=duration_s,
        speech_s=duration_s * min(1.0, max(0.0, 1 - row["silence_ratio"])),
        compression_ratio=row["compression_ratio"],
        avg_logprob=row["avg_logprob"],
        no_speech_prob=row["no_speech_prob"],
    )
