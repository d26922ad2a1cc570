"""Every format a church's recordings come in, by known truth: a sine keeps its length, frequency and level."""

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from stt_platform.audio.decode import UnreadableMedia, decode_blocks, measure, probe
from stt_platform.audio.standardise import standardise

SECONDS = 3.0
LEVEL = 0.5
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}

# name, how it is made, rate, channels, seconds of padding that the codec may add or take
FORMATS = [
    ("pcm8.wav", "PCM_U8", 8_000, 1, 0),
    ("pcm16.wav", "PCM_16", 16_000, 1, 0),
    ("pcm24.wav", "PCM_24", 96_000, 2, 0),
    ("pcm32.wav", "PCM_32", 48_000, 3, 0),
    ("float.wav", "FLOAT", 44_100, 5, 0),
    ("double.wav", "DOUBLE", 32_000, 12, 0),
    ("ulaw.wav", "ULAW", 8_000, 1, 0),
    ("vorbis.ogg", "VORBIS", 44_100, 2, 0),
    ("low.flac", "PCM_16", 11_025, 1, 0),
    ("deep.flac", "PCM_24", 96_000, 8, 0),
    ("opus.opus", "libopus", 48_000, 2, 0.01),
    ("opus.ogg", "libopus", 48_000, 1, 0.01),
    ("music.mp3", "libmp3lame", 44_100, 2, 0),
    ("voice.mp3", "libmp3lame", 22_050, 1, 0),
    ("aac.m4a", "aac", 48_000, 2, 0.05),
    ("surround.m4a", "aac", 48_000, 8, 0.05),
    ("lossless.m4a", "alac", 44_100, 2, 0),
    ("raw.aac", "aac", 44_100, 2, 0.05),
    ("windows.wma", "wmav2", 44_100, 2, 0.15),
    ("film.mp4", "aac", 44_100, 2, 0.05),
    ("film.mov", "aac", 44_100, 2, 0.05),
    ("web.webm", "libopus", 48_000, 2, 0.01),
    ("matroska.mkv", "flac", 48_000, 6, 0.01),
    ("apple.aiff", "pcm_s24be", 48_000, 2, 0),
]


def sine(rate_hz: int, channels: int, seconds: float = SECONDS, level: float = LEVEL) -> np.ndarray:
    times_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.repeat((level * np.sin(2 * np.pi * 1000 * times_s)).astype(np.float32)[:, None], channels, axis=1)


def encode(path: Path, codec: str, samples: np.ndarray, rate_hz: int, **options: str) -> None:
    layout = LAYOUTS[samples.shape[1]]
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        stream.bit_rate = 96_000 * samples.shape[1]
        convert = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate_hz)
        for start in range(0, len(samples), 1024):
            packed = np.ascontiguousarray(samples[start : start + 1024]).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
            frame.sample_rate, frame.pts = rate_hz, start
            for converted in convert.resample(frame):
                container.mux(stream.encode(converted))
        container.mux(stream.encode(None))


def make(path: Path, how: str, samples: np.ndarray, rate_hz: int) -> Path:
    if how.isupper():
        soundfile.write(path, samples, rate_hz, subtype=how)
    else:
        encode(path, how, samples, rate_hz)
    return path


def film_without_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(10):
            picture = np.zeros((64, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def frequency_hz(samples: np.ndarray, rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate_hz / len(samples))


@pytest.mark.parametrize(("name", "how", "rate_hz", "channels", "padding_s"), FORMATS, ids=[f[0] for f in FORMATS])
def test_a_sine_comes_back_with_its_length_frequency_and_level(tmp_path, name, how, rate_hz, channels, padding_s):
    path = make(tmp_path / name, how, sine(rate_hz, channels), rate_hz)

    info = probe(path)
    assert (info.native_rate_hz, info.channels) == (rate_hz, channels)
    assert info.size_bytes == path.stat().st_size
    assert info.header_duration_s == pytest.approx(SECONDS, abs=max(padding_s, 0.1))

    found = measure(path)
    assert found.duration_s == pytest.approx(SECONDS, abs=padding_s + 1e-9)
    assert found.samples == round(found.duration_s * rate_hz)
    assert (found.decode_errors, found.downmix, found.truncated) == (0, "mean", False)
    assert len(found.channel_rms) == channels
    # The low-frequency channel of surround sound, and only that one, has lost the tone; LAME takes off 5 %.
    assert np.median(found.channel_rms) == pytest.approx(LEVEL / np.sqrt(2), rel=0.06)

    written = standardise(path, tmp_path / "out.wav")
    samples, written_hz = soundfile.read(tmp_path / "out.wav", dtype="float32")
    assert soundfile.info(tmp_path / "out.wav").subtype == "PCM_16"
    assert (written_hz, samples.ndim, len(samples)) == (16_000, 1, written)
    assert written == pytest.approx(found.duration_s * 16_000, abs=1)
    middle = samples[8_000:40_000]
    assert frequency_hz(middle, 16_000) == pytest.approx(1000, abs=1)
    expected_rms = LEVEL / np.sqrt(2) * ((channels - 1) / channels if "surround" in name else 1)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(expected_rms, rel=0.06)


def test_16_bit_mono_at_16_khz_is_kept_exactly_and_bytes_repeat(tmp_path):
    noise = np.random.default_rng(0).integers(-32768, 32768, 50_000).astype(np.int16)
    soundfile.write(tmp_path / "in.wav", noise, 16_000)
    standardise(tmp_path / "in.wav", tmp_path / "a.wav")
    assert np.array_equal(soundfile.read(tmp_path / "a.wav", dtype="int16")[0], noise)
    soundfile.write(tmp_path / "in44.flac", noise, 44_100)
    for name in ("b", "c"):
        standardise(tmp_path / "in44.flac", tmp_path / name)
    assert (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()


def test_samples_over_full_scale_clip_and_are_measured(tmp_path):
    soundfile.write(tmp_path / "hot.wav", sine(16_000, 1, level=2.0), 16_000, subtype="FLOAT")
    assert measure(tmp_path / "hot.wav").peak == pytest.approx(2.0, rel=1e-3)
    standardise(tmp_path / "hot.wav", tmp_path / "out.wav")
    samples = soundfile.read(tmp_path / "out.wav", dtype="int16")[0]
    assert (samples.min(), samples.max()) == (-32768, 32767)


def test_values_that_are_no_numbers_become_silence(tmp_path):
    samples = sine(16_000, 1)
    samples[100:200] = np.nan
    samples[300] = np.inf
    soundfile.write(tmp_path / "broken.wav", samples, 16_000, subtype="FLOAT")
    found = measure(tmp_path / "broken.wav")
    assert found.decode_errors == 1
    assert found.peak == pytest.approx(LEVEL, rel=1e-3)


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ([1.0, 1.0], "mean"),
        ([1.0, 0.0], "mean"),
        ([1.0, -1.0], 0),
        ([0.9, -1.0], 1),
        ([1.0, 0.5], "mean"),
        ([0.0, 0.0], "mean"),
    ],
)
def test_channels_that_cancel_are_not_mixed(tmp_path, channels, expected):
    offset = 0.1  # common to both: must not hide that the sound cancels
    samples = sine(16_000, 1) * np.array(channels, np.float32) + (offset if any(channels) else 0)
    soundfile.write(tmp_path / "in.wav", samples, 16_000, subtype="FLOAT")
    downmix = measure(tmp_path / "in.wav").downmix
    assert downmix == expected
    standardise(tmp_path / "in.wav", tmp_path / "out.wav", downmix=downmix)
    heard = soundfile.read(tmp_path / "out.wav")[0]
    if any(channels):
        assert np.std(heard) > 0.3 * LEVEL / np.sqrt(2)


def test_a_channel_that_is_not_there_is_refused(tmp_path):
    soundfile.write(tmp_path / "in.wav", sine(16_000, 2), 16_000)
    with pytest.raises(ValueError, match="2 channels: there is no channel 2"):
        standardise(tmp_path / "in.wav", tmp_path / "out.wav", downmix=2)


HOSTILE = {
    "text called .mp3": ("talk.mp3", b"In the beginning was the word.\n" * 200, "not an audio or video file"),
    "text called .wav": ("talk.wav", b"no sound here", "not an audio or video file"),
    "playlist": ("talk.m3u8", b"#EXTM3U\n#EXTINF:5,\n/etc/hostname\n#EXT-X-ENDLIST\n", "not an audio or video file"),
    "playlist called .mp3": ("p.mp3", b"#EXTM3U\n#EXTINF:5,\nother.wav\n", "not an audio or video file"),
    "list of files": ("list.wav", b"ffconcat version 1.0\nfile other.wav\n", "not an audio or video file"),
    "zeros": ("zeros.mp3", bytes(5000), ""),
    "noise": ("noise.m4a", np.random.default_rng(0).bytes(50_000), ""),
    "header only": ("head.wav", b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00", ""),
    "empty": ("empty.flac", b"", "is empty"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_holds_no_sound_is_refused_with_name_and_remedy(tmp_path, case):
    name, content, problem = HOSTILE[case]
    path = tmp_path / name
    path.write_bytes(content)
    soundfile.write(tmp_path / "other.wav", sine(16_000, 1), 16_000)
    for refuse in (probe, measure, lambda p: standardise(p, tmp_path / "out")):
        with pytest.raises(UnreadableMedia) as caught:
            refuse(path)
        assert repr(name) in str(caught.value)
        assert problem in str(caught.value)
        assert any(remedy in str(caught.value) for remedy in ("Copy it again", "copy it again"))
    assert not (tmp_path / "out").exists()


def test_a_folder_a_missing_file_and_a_film_without_sound_are_refused(tmp_path):
    for path, problem in (
        (tmp_path, "is a folder"),
        (tmp_path / "gone.wav", "does not exist"),
        (tmp_path / ("x" * 300), "cannot be read|does not exist"),
        (film_without_sound(tmp_path / "film.mp4"), "holds no sound"),
    ):
        with pytest.raises(UnreadableMedia, match=problem):
            probe(path)


def test_sound_beside_pictures_is_found(tmp_path):
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=48_000, layout="mono")
        for _ in range(20):
            picture = np.zeros((64, 64, 3), np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        for start in range(0, 96_000, 1024):
            samples = sine(48_000, 1, 2.0)[start : start + 1024].reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48_000, start
            container.mux(sound.encode(frame))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    assert probe(path).codec == "aac"
    assert measure(path).duration_s == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.mp3", "libmp3lame"),
        ("a.flac", "PCM_16"),
        ("a.wav", "PCM_16"),
        ("a.webm", "libopus"),
        ("a.aiff", "pcm_s16be"),
    ],
)
def test_a_cut_off_file_gives_what_is_left_and_says_so(tmp_path, name, how):
    noise = np.random.default_rng(0).normal(size=(48_000 * 20, 1)).astype(np.float32) * 0.1
    path = make(tmp_path / name, how, noise, 48_000)
    assert not measure(path).truncated
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    found = measure(path)
    assert found.truncated
    assert found.duration_s == pytest.approx(10, abs=0.5)
    assert probe(path).header_duration_s == pytest.approx(20, abs=0.2)
    assert standardise(path, tmp_path / "out.wav") == pytest.approx(found.duration_s * 16_000, abs=1)


def test_an_mp3_of_changing_bit_rate_without_index_is_not_called_cut_off(tmp_path):
    """FFmpeg takes the first frames' bit rate for the whole: silence first makes the guess far too long."""
    samples = np.random.default_rng(0).normal(size=(44_100 * 20, 1)).astype(np.float32) * 0.1
    for silent_first in (True, False):
        changed = samples.copy()
        changed[slice(None, 441_000) if silent_first else slice(441_000, None)] = 0
        path = tmp_path / f"{silent_first}.mp3"
        with av.open(str(path), "w", options={"write_xing": "0"}) as container:
            stream = container.add_stream("libmp3lame", rate=44_100, layout="mono", options={"q": "4", "abr": "1"})
            for start in range(0, len(changed), 1152):
                frame = av.AudioFrame.from_ndarray(
                    changed[start : start + 1152].reshape(1, -1), format="fltp", layout="mono"
                )
                frame.sample_rate, frame.pts = 44_100, start
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        found = measure(path)
        assert found.duration_s == pytest.approx(20, abs=0.1)
        assert not found.truncated


def test_a_wav_whose_recorder_did_not_know_its_length_is_whole(tmp_path):
    soundfile.write(tmp_path / "a.wav", sine(16_000, 1), 16_000)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(content)
    found = measure(tmp_path / "a.wav")
    assert (found.duration_s, found.truncated) == (SECONDS, False)


def test_damaged_packets_are_left_out_and_counted(tmp_path):
    noise = np.random.default_rng(0).normal(size=(48_000 * 10, 2)).astype(np.float32) * 0.1
    path = make(tmp_path / "a.flac", "PCM_16", noise, 48_000)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40_000] = np.random.default_rng(1).bytes(40_000)
    path.write_bytes(content)
    found = measure(path)
    assert found.decode_errors > 0
    assert 9 < found.duration_s <= 10.1


def test_sound_that_changes_rate_and_channels_on_the_way_goes_on_as_it_began(tmp_path):
    first = make(tmp_path / "1.aac", "aac", sine(44_100, 2), 44_100)
    second = make(tmp_path / "2.aac", "aac", sine(22_050, 1), 22_050)
    (tmp_path / "both.aac").write_bytes(first.read_bytes() + second.read_bytes())
    blocks = list(decode_blocks(tmp_path / "both.aac", block_s=0.5))
    assert {block.shape[0] for block in blocks} == {2}
    samples = np.concatenate(blocks, axis=1)
    assert samples.shape[1] / 44_100 == pytest.approx(2 * SECONDS, abs=0.2)
    for half in (samples[0, 44_100:88_200], samples[1, -88_200:-44_100]):
        assert frequency_hz(half, 44_100) == pytest.approx(1000, abs=2)
        assert np.sqrt(np.mean(half**2)) == pytest.approx(LEVEL / np.sqrt(2), rel=0.05)


def test_blocks_are_bounded_and_whole(tmp_path):
    samples = sine(48_000, 12, 5.0)
    soundfile.write(tmp_path / "a.wav", samples, 48_000, subtype="FLOAT")
    blocks = list(decode_blocks(tmp_path / "a.wav", block_s=0.7))
    assert {b.shape for b in blocks[:-1]} == {(12, 33_600)}
    assert all(b.dtype == np.float32 for b in blocks)
    assert np.array_equal(np.concatenate(blocks, axis=1).T, samples)


@pytest.mark.parametrize(
    "name", ["a'b\"c", "two\nlines", "pra\u00ede \U0001f64f", "a,b;$(x)", "http:x", "-i", "x" * 245, "100%d"]
)
def test_names_do_no_harm(tmp_path, name):
    path = tmp_path / f"{name}.flac"
    soundfile.write(tmp_path / "plain.flac", sine(16_000, 1, 0.2), 16_000)
    (tmp_path / "plain.flac").rename(path)
    assert measure(path).duration_s == 0.2
    assert standardise(path, tmp_path / "out.wav") == 3_200


def test_names_that_are_not_unicode(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/talk\xff.flac"))
    soundfile.write(tmp_path / "plain.flac", sine(16_000, 1, 0.2), 16_000)
    try:
        (tmp_path / "plain.flac").rename(path)
    except OSError:
        return  # a file system that holds no such names
    assert measure(path).duration_s == 0.2
    path.write_bytes(b"")
    with pytest.raises(UnreadableMedia) as caught:
        probe(path)
    str(caught.value).encode("utf-8")


def test_tags_are_read_and_wrong_letters_do_no_harm(tmp_path):
    with av.open(str(tmp_path / "a.mp3"), "w") as container:
        container.metadata.update({"title": "Grace & truth", "artist": "A. Preacher"})
        stream = container.add_stream("libmp3lame", rate=44_100, layout="mono")
        frame = av.AudioFrame.from_ndarray(sine(44_100, 1, 1.0).reshape(1, -1), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44_100, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    tags = probe(tmp_path / "a.mp3").tags
    assert (tags["title"], tags["artist"]) == ("Grace & truth", "A. Preacher")
    soundfile.write(tmp_path / "b.wav", sine(16_000, 1), 16_000)
    content = (tmp_path / "b.wav").read_bytes() + b"LIST\x10\x00\x00\x00INFOINAM\x04\x00\x00\x00caf\xe9"
    (tmp_path / "b.wav").write_bytes(content)
    assert probe(tmp_path / "b.wav").tags["title"].startswith("caf")


def test_progress_ends_at_the_duration(tmp_path):
    soundfile.write(tmp_path / "a.wav", sine(16_000, 1, 25.0), 16_000)
    for work in (
        lambda told: measure(tmp_path / "a.wav", progress=told.append),
        lambda told: standardise(tmp_path / "a.wav", tmp_path / "out.wav", progress=told.append),
    ):
        told: list[float] = []
        work(told)
        assert told == [10.0, 20.0, 25.0]


def test_hours_take_the_memory_of_seconds(tmp_path):
    with soundfile.SoundFile(tmp_path / "long.flac", "w", 8_000, 1, subtype="PCM_16") as out:
        minute = np.zeros(8_000 * 60, np.int16)
        for _ in range(120):
            out.write(minute)
    program = """
import re, sys
from pathlib import Path
from stt_platform.audio.decode import measure
from stt_platform.audio.overview import overview_of
from stt_platform.audio.standardise import standardise
source, out = Path(sys.argv[1]), Path(sys.argv[2])
found = measure(source)
written = standardise(source, out)
columns = overview_of(out).columns
# Not ru_maxrss: a child inherits it from the process that started it.
peak_kb = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
print(found.duration_s, written, columns, int(peak_kb) / 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "long.flac", tmp_path / "out.wav"],
        capture_output=True,
        text=True,
        check=True,
    )
    duration_s, written, columns, peak_mb = map(float, done.stdout.split())
    assert (duration_s, written, columns) == (7200, 7200 * 16_000, 72_000)
    assert peak_mb < 400
    assert done.stderr == ""


def test_the_shared_recordings_decode_to_their_durations(tmp_path):
    folder = os.environ.get("STT_TEST_DATA")
    if not folder:
        pytest.skip("STT_TEST_DATA is not set")
    manifest = Path(folder) / "audio" / "manifest.jsonl"
    entries = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    wrong = []
    for entry in entries:
        found = measure(Path(folder) / entry["file"])
        told = (found.native_rate_hz, len(found.channel_rms), found.decode_errors, found.truncated)
        if told != (entry["sr"], entry["ch"], 0, False) or abs(found.duration_s - entry["dur"]) > 0.1:
            wrong.append((entry["file"], entry["dur"], found))
    assert entries
    assert not wrong
