"""Clipping by known truth: speech cut at a level that leaves a known share of its samples above."""

from importlib.resources import files
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from stt_platform.audio.clipping import Clipping, ClippingMeter, clipped_ratio
from stt_platform.audio.decode import measure

RATE_HZ = 16_000
SAMPLE = files("pyannote.audio") / "sample" / "sample.wav"


def meter(samples: np.ndarray, rate_hz: int = RATE_HZ, block: int = 160_000) -> Clipping:
    """The clipping of samples of shape `(n,)` or `(channels, n)`, given in blocks."""
    channels = np.atleast_2d(samples).astype(np.float32)
    found = ClippingMeter()
    for start in range(0, channels.shape[1], block):
        found.add(channels[:, start : start + block], rate_hz)
    return found.finish()


def cut(samples: np.ndarray, share: float) -> np.ndarray:
    """Samples of full scale, with the loudest `share` of them cut off."""
    level = np.quantile(np.abs(samples), 1 - share)
    return np.clip(samples, -level, level) / level


def in_16_bits(samples: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(samples * 32768), -32768, 32767) / 32768


def encoded(path: Path, codec: str, samples: np.ndarray, rate_hz: int, bit_rate: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout="mono")
        stream.bit_rate = bit_rate
        convert = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=rate_hz)
        for start in range(0, len(samples), 1024):
            piece = np.ascontiguousarray(samples[np.newaxis, start : start + 1024], dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(piece, format="flt", layout="mono")
            frame.sample_rate, frame.pts = rate_hz, start
            for converted in convert.resample(frame):
                container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return path


def measured(path: Path) -> Clipping:
    found = ClippingMeter()
    measure(path, listener=found.add)
    return found.finish()


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    samples, _ = soundfile.read(str(SAMPLE), dtype="float64")
    return samples / np.abs(samples).max()


@pytest.mark.parametrize("share", [0.002, 0.01, 0.03, 0.1])
@pytest.mark.parametrize("gain", [1.0, 0.5, 0.05])
def test_cut_speech_is_clipped_at_any_level(speech, share, gain):
    found = meter(in_16_bits(gain * cut(speech, share)))
    assert found.ratio == pytest.approx(share, rel=0.25)
    assert found.clipped_samples == round(found.ratio * found.samples)
    assert found.longest_run_samples >= 3
    assert found.level == pytest.approx(gain, abs=1e-3)


@pytest.mark.parametrize("gain", [0.999, 1.0, 0.3])
def test_loud_but_clean_speech_is_not(speech, gain):
    assert meter(in_16_bits(gain * speech)).ratio < 0.0005


def test_one_half_of_the_wave_may_be_cut(speech):
    level = np.quantile(speech, 0.98)
    found = meter(in_16_bits(np.minimum(speech, level)))
    assert found.ratio == pytest.approx(0.02, rel=0.25)


@pytest.mark.parametrize(
    ("name", "codec", "bit_rate"),
    [("a.mp3", "libmp3lame", 64_000), ("b.mp3", "libmp3lame", 128_000), ("c.m4a", "aac", 96_000)],
)
@pytest.mark.parametrize("share", [0.0, 0.03])
def test_lossy_codecs_do_not_hide_it(tmp_path, speech, name, codec, bit_rate, share):
    samples = 0.5 * (cut(speech, share) if share else speech)
    found = measured(encoded(tmp_path / name, codec, samples, RATE_HZ, bit_rate))
    if share:
        assert 0.015 < found.ratio < 0.05
        assert found.per_frame.mean() == pytest.approx(found.ratio, rel=0.1)
    else:
        assert found.ratio < 0.001


def test_resampling_does_not_hide_it(speech):
    import soxr

    found = meter(soxr.resample(0.5 * cut(speech, 0.03), RATE_HZ, 44_100), 44_100)
    assert found.ratio == pytest.approx(0.03, rel=0.4)


def waves() -> dict[str, np.ndarray]:
    times_s = np.arange(5 * 48_000) / 48_000
    pipes = [(pitch * partial, 1 / partial) for pitch in (130.8, 164.8, 196.0, 261.6) for partial in range(1, 9)]
    organ = sum(level * np.sin(2 * np.pi * hz * times_s + hz) for hz, level in pipes)
    return {
        "silence": np.zeros(48_000),
        "constant": np.full(48_000, 0.3),
        "step": np.repeat([0.0, 0.5], 24_000),
        "low sine": 0.05 * np.sin(2 * np.pi * 50 * times_s),
        "full sine": np.sin(2 * np.pi * 440 * times_s),
        "square": 0.5 * np.sign(np.sin(2 * np.pi * 200 * times_s + 0.1)),
        "triangle": 0.5 * np.abs((200 * times_s) % 2 - 1),
        "organ": organ / np.abs(organ).max(),
        "noise": np.random.default_rng(0).normal(0, 0.1, 48_000),
    }


@pytest.mark.parametrize("wave", waves())
def test_other_sounds_are_no_false_alarms(wave):
    assert meter(in_16_bits(waves()[wave]), 48_000).ratio < 0.001


def test_a_cut_organ_is_clipped():
    assert meter(in_16_bits(cut(waves()["organ"], 0.02)), 48_000).ratio == pytest.approx(0.02, rel=0.25)


@pytest.mark.parametrize("block", [1, 37, 5_000, 10**6])
def test_blocks_of_any_size_give_the_same(speech, block):
    samples = in_16_bits(cut(speech[: 3_000 if block == 1 else 60_000], 0.03))
    whole, pieced = meter(samples, 22_050, len(samples)), meter(samples, 22_050, block)
    assert pieced.clipped_samples == whole.clipped_samples > 0
    assert pieced.longest_run_samples == whole.longest_run_samples
    np.testing.assert_array_equal(pieced.per_frame, whole.per_frame)


def test_all_channels_count(speech):
    clipped, dead = in_16_bits(cut(speech, 0.03)), np.zeros_like(speech)
    alone = meter(clipped)
    for channels in ([clipped, dead], [dead, clipped], [in_16_bits(speech * 0.1), clipped]):
        found = meter(np.stack(channels))
        assert found.ratio == alone.ratio
        np.testing.assert_array_equal(found.per_frame, alone.per_frame)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_each_32_ms_has_its_share(rate_hz):
    """Clipped from second 2 to second 3 only."""
    times_s = np.arange(5 * rate_hz) / rate_hz
    wave = np.sin(2 * np.pi * 110 * times_s) * np.sin(2 * np.pi * 1.3 * times_s)
    level = np.where((times_s >= 2) & (times_s < 3), 4.0, 0.5)
    found = meter(in_16_bits(0.5 * np.clip(wave * level, -1, 1)), rate_hz)
    assert found.per_frame.shape == (-(-5 * 16_000 // 512),)
    assert found.per_frame.dtype == np.float32
    inside = clipped_ratio(found.per_frame, 2 * 16_000, 3 * 16_000)
    assert inside == pytest.approx(5 * found.ratio, rel=0.02)
    assert inside > 0.1
    assert clipped_ratio(found.per_frame, 0, 31_000) == 0.0
    assert clipped_ratio(found.per_frame, 49_000, 80_000) == 0.0


def test_a_stretch_counts_parts_of_frames():
    per_frame = np.array([0.0, 1.0, 0.5], np.float32)
    assert clipped_ratio(per_frame, 0, 1536) == pytest.approx(0.5)
    assert clipped_ratio(per_frame, 256, 768) == pytest.approx(0.5)
    assert clipped_ratio(per_frame, 1024, 1100) == pytest.approx(0.5)
    assert clipped_ratio(per_frame, 700, 700) == 0.0


def test_nothing_at_all():
    found = ClippingMeter().finish()
    assert (found.samples, found.ratio, found.per_frame.size) == (0, 0.0, 0)
    assert meter(np.zeros(1)).ratio == 0.0


def test_blocks_of_another_recording_are_refused():
    found = ClippingMeter()
    found.add(np.zeros((1, 100), np.float32), 16_000)
    with pytest.raises(ValueError, match="2 channels at 16000 Hz after 1 channels"):
        found.add(np.zeros((2, 100), np.float32), 16_000)


@pytest.mark.parametrize(
    "recording",
    [
        "public_speaking/jfk.flac",
        "public_speaking/columbia_bush_2003.wma",
        "public_speaking/gb0_bush_radio_2008.wav",
        "audiobook/sonnet_001.mp3",
        "audiobook/manifesto_audio.mp3",
        "ljspeech/LJ001-0001.flac",
        "short/OSR_us_000_0034_8k.wav",
        "mix_music_noise/Kevin_MacLeod_-_Vibe_Ace.ogg",
    ],
)
def test_clean_recordings_are_not_clipped(test_data, recording):
    assert measured(test_data / "audio" / recording).ratio < 0.001
