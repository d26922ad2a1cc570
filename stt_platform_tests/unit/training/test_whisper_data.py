"""What Whisper reads and should write, and how sound becomes its numbers."""

import functools
import operator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from stt_platform.training.whisper_data import (
    FRAMES,
    IGNORED,
    NoUsableExample,
    Segment,
    SpecAugment,
    Tokens,
    WhisperExample,
    WhisperSet,
    WhisperSetOptions,
    prepare,
    write_target,
)
from stt_platform_tests.helpers.tiny_whisper import ENGLISH, SEVERAL, generation_config, make_tiny_whisper, sounds

ONE = Tokens.of(generation_config())
MANY = Tokens.of(generation_config(multilingual=True))
EN, TRANSCRIBE = 50259, 50359


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_whisper(tmp_path_factory.mktemp("whisper") / "tiny")


@pytest.fixture(scope="module")
def tokenizer(folder: Path):
    from transformers import WhisperTokenizer

    return WhisperTokenizer.from_pretrained(str(folder))


@pytest.fixture(scope="module")
def extractor(folder: Path):
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor.from_pretrained(str(folder))


def test_tokens_come_from_the_checkpoint() -> None:
    expected = (ENGLISH["start"], (), ENGLISH["no_timestamps"], ENGLISH["first_timestamp"], ENGLISH["no_speech"])
    assert (ONE.start, ONE.language_and_task, ONE.no_timestamps, ONE.first_timestamp, ONE.no_speech) == expected
    assert (ONE.end, ONE.most) == (ENGLISH["end"], 448)
    assert MANY.language_and_task == (EN, TRANSCRIBE)
    assert (MANY.start, MANY.no_speech) == (SEVERAL["start"], SEVERAL["no_speech"])
    assert Tokens.of(generation_config(multilingual=True), "es").language_and_task == (50262, TRANSCRIBE)


def test_a_text_is_written_as_whisper_writes_it(tokenizer) -> None:
    (example,) = sounds(["  Grace  and peace "])
    words = tokenizer(" Grace and peace", add_special_tokens=False).input_ids
    assert tokenizer.decode(words) == " Grace and peace"
    target = write_target(example, tokenizer, ONE)
    # One start, which is read and not written; the end is written and not read.
    assert target.read == (ENGLISH["start"], ENGLISH["no_timestamps"], *words)
    assert target.write == (ENGLISH["no_timestamps"], *words, ENGLISH["end"])


def test_what_the_model_is_told_is_not_learned(tokenizer) -> None:
    (example,) = sounds(["Amen"])
    words = tokenizer(" Amen", add_special_tokens=False).input_ids
    target = write_target(example, tokenizer, MANY)
    assert target.read == (SEVERAL["start"], EN, TRANSCRIBE, SEVERAL["no_timestamps"], *words)
    assert target.write == (EN, IGNORED, IGNORED, *words, SEVERAL["end"])


@pytest.mark.parametrize(("tokens", "prefix"), [(ONE, ()), (MANY, (EN, TRANSCRIBE))])
def test_known_times_become_timestamps(tokenizer, tokens: Tokens, prefix: tuple[int, ...]) -> None:
    first, last = Segment(0.0, 4.22, "In the beginning"), Segment(4.3, 9.1, "God created")
    example = replace(sounds(["In the beginning God created"])[0], segments=(first, last))

    def said(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False).input_ids

    zero = tokens.first_timestamp
    text = [zero, *said(" In the beginning"), zero + 211, zero + 215, *said(" God created"), zero + 455]
    target = write_target(example, tokenizer, tokens)
    assert target.read == (tokens.start, *prefix, *text)
    told = (EN, IGNORED) if prefix else ()
    assert target.write == (*told, *text, tokens.end)


@pytest.mark.parametrize(
    ("tokens", "read", "write"),
    [
        (ONE, (ENGLISH["start"], ENGLISH["no_timestamps"]), (ENGLISH["no_speech"], ENGLISH["end"])),
        (
            MANY,
            (SEVERAL["start"], EN, TRANSCRIBE, SEVERAL["no_timestamps"]),
            (SEVERAL["no_speech"], IGNORED, IGNORED, SEVERAL["end"]),
        ),
    ],
)
def test_where_nobody_speaks_it_learns_to_say_so_and_to_end(tokenizer, tokens, read, write) -> None:
    target = write_target(replace(sounds([" "])[0], segments=(Segment(0, 1, ""),)), tokenizer, tokens)
    assert (target.read, target.write) == (read, write)


@pytest.mark.parametrize(
    "segments",
    [
        (Segment(2.0, 1.0, "a"),),
        (Segment(0.0, 2.0, "a"), Segment(1.0, 3.0, "b")),
        (Segment(29.0, 30.5, "a"),),
        (Segment(-1.0, 1.0, "a"),),
    ],
)
def test_times_out_of_order_are_refused(tokenizer, segments) -> None:
    with pytest.raises(ValueError, match="its words are timed from"):
        write_target(replace(sounds(["a b"])[0], segments=segments), tokenizer, ONE)


def prepared(examples, tokenizer, extractor, **options) -> WhisperSet:
    return prepare(examples, tokenizer, extractor, ONE, WhisperSetOptions(**options))


def test_a_text_of_448_tokens_fits_and_a_longer_one_is_left_out_and_counted(tokenizer, extractor) -> None:
    long, longer = " ".join(["Amen"] * 446), " ".join(["Amen"] * 447)
    assert len(tokenizer(" " + long, add_special_tokens=False).input_ids) == 446
    found = prepared(sounds([long, longer]), tokenizer, extractor)
    assert [example.example_id for example in found.examples] == ["e0"]
    assert len(found.targets[0].read) == 448
    (rejected,) = found.rejected
    assert rejected.example_id == "e1"
    assert rejected.reason.startswith("449 tokens of text: the decoder reads 448")


def test_what_cannot_be_used_is_marked_and_the_others_go_on(tokenizer, extractor, tmp_path: Path) -> None:
    broken, good = tmp_path / "broken.wav", tmp_path / "good.wav"
    broken.write_bytes(b"RIFF....no sound")
    sf.write(good, np.zeros(8000, np.float32), 16_000)
    second = np.zeros(16_000, np.float32)
    examples = [
        WhisperExample("unreadable", broken, "a"),
        WhisperExample("absent", tmp_path / "absent.wav", "a"),
        WhisperExample("long", np.zeros(480_001, np.float32), "a"),
        WhisperExample("empty", np.zeros(0, np.float32), "a"),
        WhisperExample("stereo", np.zeros((2, 16_000), np.float32), "a"),
        WhisperExample("nan", np.where(second == 0, np.nan, 0).astype(np.float32), "a"),
        WhisperExample("good", good, "Amen"),
    ]
    found = prepared(examples, tokenizer, extractor)
    assert [example.example_id for example in found.examples] == ["good"]
    assert found.seconds == (0.5,)
    reasons = {rejected.example_id: rejected.reason for rejected in found.rejected}
    assert list(reasons) == ["unreadable", "absent", "long", "empty", "stereo", "nan"]
    assert "broken.wav" in reasons["unreadable"]
    assert "30.00 s long" in reasons["long"]
    assert "no numbers" in reasons["nan"]


def test_none_left_is_a_clear_end(tokenizer, extractor) -> None:
    with pytest.raises(NoUsableExample, match=r"none of 1 examples can be learned from .*long: 31"):
        prepared([WhisperExample("long", np.zeros(31 * 16_000, np.float32), "a")], tokenizer, extractor)
    with pytest.raises(NoUsableExample, match="there are no examples"):
        prepared([], tokenizer, extractor)


@pytest.mark.parametrize("seconds", [0.05, 1.0, 8.3, 30.0])
def test_spectrograms_are_those_of_the_feature_extractor(tokenizer, extractor, seconds: float) -> None:
    rng = np.random.default_rng(1)
    samples = rng.normal(0, 0.1, round(seconds * 16_000)).astype(np.float32)
    found = prepared([WhisperExample("noise", samples, "a")], tokenizer, extractor)
    whole = extractor(samples, sampling_rate=16_000, return_tensors="np").input_features[0]
    assert whole.shape == (80, FRAMES)
    assert np.array_equal(found.features(0), whole)
    # What is kept is what is heard, not 30 s.
    assert found.spectrograms[0].shape[1] <= 100 * seconds + 4


def test_silence_has_a_spectrogram_too(tokenizer, extractor) -> None:
    found = prepared([WhisperExample("silence", np.zeros(16_000, np.float32), "")], tokenizer, extractor)
    assert found.features(0).shape == (80, FRAMES)
    assert np.unique(found.features(0)).size == 1


def test_spectrograms_in_a_file_are_the_same(tokenizer, extractor, tmp_path: Path) -> None:
    examples = sounds(["a", "b", "c"])
    here = prepare(examples, tokenizer, extractor, ONE)
    there = prepare(examples, tokenizer, extractor, ONE, store=tmp_path / "new" / "features.f32")
    assert isinstance(there.spectrograms[1], np.memmap)
    assert all(np.array_equal(here.features(k), there.features(k)) for k in range(3))


def test_128_bands_where_the_checkpoint_has_them(tokenizer, tmp_path: Path) -> None:
    from transformers import WhisperFeatureExtractor

    folder = make_tiny_whisper(tmp_path / "large", mels=128)
    found = prepared(sounds(["a"]), tokenizer, WhisperFeatureExtractor.from_pretrained(str(folder)))
    assert found.features(0).shape == (128, FRAMES)


def test_a_batch_is_filled_up_with_what_is_not_learned(tokenizer, extractor) -> None:
    found = prepared(sounds(["Amen", "Grace to you and peace from God our Father"]), tokenizer, extractor)
    batch = found.batch([0, 1])
    short, long = (len(found.targets[k].read) for k in (0, 1))
    assert batch.features.shape == (2, 80, FRAMES)
    assert batch.read.shape == batch.write.shape == (2, long)
    assert batch.write[0, short:].tolist() == [IGNORED] * (long - short)
    # The end is the same token as padding elsewhere, and is learned.
    assert batch.write[0, short - 1] == ENGLISH["end"]
    assert batch.tokens == short + long
    assert (batch.read >= 0).all()


def test_spec_augment_is_drawn_by_its_number_and_touches_no_kept_array(tokenizer, extractor) -> None:
    rng = np.random.default_rng(2)
    loud = [WhisperExample(f"n{k}", rng.normal(0, 0.1, 160_000).astype(np.float32), "a") for k in range(2)]
    found = prepared(loud, tokenizer, extractor)
    plain = found.features(0)
    augment = SpecAugment(time_share=0.1, time_frames=20, mel_share=0.1, mel_bins=4)
    once, again, other = (found.features(0, augment, draw) for draw in (1, 1, 2))
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)
    assert np.array_equal(found.features(0), plain)
    changed = once != plain
    columns, rows = changed.all(axis=0), changed.all(axis=1)
    # 10 s are 1000 frames: five stretches of 20, perhaps over one another; nothing in the padding.
    assert 20 <= columns.sum() <= 100
    assert not columns[1000:].any()
    assert 4 <= rows.sum() <= 8
    assert np.unique(once[changed]).size == 1
    # Two examples of one batch are not blanked in the same places.
    batch = found.batch([0, 1], augment, 1).features.numpy()
    assert np.array_equal(batch[0], once)
    assert not np.array_equal(batch[0] != plain, batch[1] != found.features(1))


def test_an_epoch_has_every_example_once_in_an_order_of_its_own(tokenizer, extractor) -> None:
    found = prepared(sounds([" ".join(["Amen"] * (1 + k % 7)) for k in range(23)], seconds=0.1), tokenizer, extractor)
    first, again, second = found.epoch(0, 4, 42), found.epoch(0, 4, 42), found.epoch(1, 4, 42)
    assert first == again
    assert first != second
    assert found.epoch(0, 4, 43) != first
    for epoch in (first, second):
        assert sorted(index for batch in epoch for index in batch) == list(range(23))
        assert sorted(map(len, epoch)) == [3, 4, 4, 4, 4, 4]
    # Those of a batch are alike in length.
    lengths = [[len(found.targets[index].read) for index in batch] for batch in first]
    assert max(max(batch) - min(batch) for batch in lengths) <= 2


def test_easy_examples_come_first_in_the_first_epoch_where_that_is_wanted(tokenizer, extractor) -> None:
    confidences = (-0.9, None, -0.1, -0.5, None, -0.3, -0.7)
    examples = [
        replace(e, confidence=c) for e, c in zip(sounds(list("abcdefg"), seconds=0.1), confidences, strict=True)
    ]
    found = prepared(examples, tokenizer, extractor)
    first, second = (found.epoch(number, 2, 1, easy_first=True) for number in (0, 1))
    # What has no confidence stands where the middle is.
    assert first == [[2, 5], [1, 3], [4, 6], [0]]
    assert sorted(functools.reduce(operator.iadd, second, [])) == list(range(7))
    assert second == found.epoch(1, 2, 1)


def test_weak_examples_are_learned_first_and_once(tokenizer, extractor) -> None:
    examples = [replace(e, weak=k < 3) for k, e in enumerate(sounds(list("abcdefg"), seconds=0.1))]
    found = prepared(examples, tokenizer, extractor)
    first = [index for batch in found.epoch(0, 2, 42) for index in batch]
    assert set(first[:3]) == {0, 1, 2}
    assert sorted(first) == list(range(7))
    assert sorted(index for batch in found.epoch(1, 2, 42) for index in batch) == [3, 4, 5, 6]


def recorded(name: str, seconds: float, recording: str, **changes) -> WhisperExample:
    samples = np.full(round(seconds * 16_000), 0.1, np.float32)
    return WhisperExample(name, samples, f"Text {name}.", recording=recording, **changes)


def test_neighbours_of_a_recording_are_joined_up_to_30_s(tokenizer, extractor) -> None:
    examples = [
        recorded("a", 10, "x", segments=(Segment(0, 9, "Text a."),)),
        recorded("b", 10, "x", segments=(Segment(1, 9, "Text b."),)),
        recorded("c", 9.41, "x"),
        recorded("d", 5, "x"),
        recorded("e", 5, "y"),
        replace(recorded("f", 5, "y"), text=""),
        recorded("g", 5, "y", weak=True),
        recorded("h", 5, "y"),
        recorded("i", 5, ""),
        recorded("j", 5, ""),
    ]
    found = prepared(examples, tokenizer, extractor, packed_share=1.0, gap_s=0.3)
    assert [example.example_id for example in found.examples] == ["a+b", "c+d", "e", "f", "g", "h", "i", "j"]
    assert found.seconds[:2] == pytest.approx((20.3, 14.71))
    assert found.examples[0].text == "Text a. Text b."
    assert found.examples[0].segments == (Segment(0, 9, "Text a."), Segment(11.3, 19.3, "Text b."))
    assert found.examples[1].segments == ()
    apart = prepared(examples, tokenizer, extractor)
    assert [example.example_id for example in apart.examples] == list("abcdefghij")


def test_a_share_of_the_recordings_is_joined(tokenizer, extractor) -> None:
    examples = [recorded(f"{r}{k}", 0.1, f"r{r}") for r in range(40) for k in range(2)]
    found = prepared(examples, tokenizer, extractor, packed_share=0.5)
    joined = sum("+" in example.example_id for example in found.examples)
    assert 10 <= joined <= 30
    assert len(found) == 80 - joined


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_a_share(share: float) -> None:
    with pytest.raises(ValueError, match="packed_share"):
        WhisperSetOptions(packed_share=share)
