"""The made-up church: its texts, its acoustics, and the files it writes."""

import dataclasses
import datetime
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from stt_platform.demo import acoustics, church, music
from stt_platform.demo.encoding import FORMATS, encode
from stt_platform.speech import voices

SCRIPTS = church.scripts()

# What a recogniser has to learn here: each must come back in several sermons, by several preachers.
# fmt: off
TERMS = (
    "Nicodemus", "Habakkuk", "Melchizedek", "Ephesus", "Bartimaeus", "Zacchaeus", "Mephibosheth",
    "Zechariah", "Zerubbabel", "Nebuchadnezzar", "Gethsemane", "Thessalonica", "Philippi", "Onesimus",
    "Philemon", "Epaphroditus", "Priscilla", "Aquila", "Barnabas", "Antioch", "Cornelius", "Ezekiel",
    "Hezekiah", "Sennacherib", "Capernaum", "Bethsaida", "Gamaliel", "Sanhedrin", "Deuteronomy",
    "Ecclesiastes", "Leviticus", "Hebrews", "Galatians", "Naaman", "Elisha", "Naomi", "Boaz", "Gideon",
    "Pharisees", "propitiation", "sanctification", "justification", "reconciliation", "redemption",
    "regeneration", "righteousness", "tabernacle", "intercession", "atonement", "covenant",
)
# fmt: on


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


# --- the texts -----------------------------------------------------------------------------------


def test_24_sermons_over_two_years_by_at_least_5_preachers():
    dates = [datetime.date.fromisoformat(script.date) for script in SCRIPTS]
    assert len(SCRIPTS) == 24
    assert dates == sorted(set(dates))
    assert datetime.timedelta(days=650) < dates[-1] - dates[0] < datetime.timedelta(days=731)
    assert {date.isoweekday() for date in dates} == {7}
    assert len({script.title for script in SCRIPTS}) == 24
    assert len({script.file_name for script in SCRIPTS}) == 24
    preachers = Counter(script.preacher.name for script in SCRIPTS)
    assert len(preachers) >= 5
    assert min(preachers.values()) >= 3


@pytest.mark.parametrize("term", TERMS)
def test_a_term_comes_back_in_other_sermons_by_other_preachers(term):
    said = [script for script in SCRIPTS if term.lower() in words(script.text)]
    assert len(said) >= 4
    assert len({script.preacher.name for script in said}) >= 2


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.title)
def test_a_script_is_what_is_spoken(script):
    assert re.fullmatch(r"[A-Za-z' ,.!?\n]+", script.text), "numbers in words, plain punctuation only"
    assert 110 <= len(words(script.text)) <= 150
    assert len(set(words(script.text)) & {term.lower() for term in TERMS}) >= 4


def test_there_is_enough_different_text_to_learn_from():
    sentences = [sentence for script in SCRIPTS for sentence in voices.sentences(script.text)]
    long = Counter(sentence for sentence in sentences if len(sentence.split()) >= 6)
    assert max(long.values()) == 1
    assert len({word for sentence in sentences for word in words(sentence)}) > 700


def test_recordings_arrive_in_every_state():
    assert {script.format for script in SCRIPTS} == set(FORMATS)
    assert {script.naming for script in SCRIPTS} == {"name", "tags", "both"}
    noisy = [script.snr_db for script in SCRIPTS if script.snr_db is not None]
    assert 3 <= len(noisy) <= 4
    assert all(10 <= snr_db <= 12 for snr_db in noisy)
    with_music = [script for script in SCRIPTS if script.interludes]
    assert 18 <= len(with_music) < 24


@pytest.mark.parametrize(
    ("naming", "file_name", "tags"),
    [
        ("name", "2023-09-10 A Visitor After Dark - Thomas Whitcombe.mp3", set()),
        ("tags", "REC_0001.mp3", {"title", "artist", "date"}),
        ("both", "2023-09-10.mp3", {"title", "artist", "date"}),
    ],
)
def test_who_and_when_stand_in_the_name_or_in_the_tags(naming, file_name, tags):
    script = dataclasses.replace(SCRIPTS[0], naming=naming)
    assert script.file_name == file_name
    assert set(script.tags) == tags


# --- the room, the noise, the organ -----------------------------------------------------------------


@pytest.mark.parametrize("rt60_s", [0.5, 0.9, 1.3])
def test_the_hall_decays_as_stated(rt60_s):
    from scipy.signal import butter, sosfilt

    rate_hz = 16_000
    hall = acoustics.hall_impulse_response(
        rate_hz, rt60_s=rt60_s, direct_to_reverberant_db=3.0, rng=np.random.default_rng(1)
    )
    assert 10 * np.log10(1 / np.sum(hall[1:] ** 2)) == pytest.approx(3.0, abs=1e-6)
    # ISO 3382: backward integration, the slope from -5 to -25 dB, here below 1 kHz after the early part.
    band = sosfilt(butter(4, 1000, fs=rate_hz, output="sos"), hall[round(0.08 * rate_hz) :])
    decay_db = 10 * np.log10(np.cumsum(band[::-1] ** 2)[::-1] / np.sum(band**2))
    chosen = (decay_db < -5) & (decay_db > -25)
    slope = np.polyfit(np.flatnonzero(chosen) / rate_hz, decay_db[chosen], 1)[0]
    assert -60 / slope == pytest.approx(rt60_s, rel=0.15)


def test_pink_noise_falls_3_db_an_octave():
    noise = acoustics.pink_noise(320_001, 16_000, np.random.default_rng(2))
    assert np.mean(noise**2) == pytest.approx(1)
    power = np.abs(np.fft.rfft(noise)) ** 2
    frequency_hz = np.fft.rfftfreq(noise.size, 1 / 16_000)
    per_hz = [power[(frequency_hz > low) & (frequency_hz < 2 * low)].mean() for low in (250, 500, 1000, 2000)]
    assert np.diff(10 * np.log10(per_hz)) == pytest.approx([-3.01] * 3, abs=0.5)


def test_hum_is_the_mains():
    hum = acoustics.mains_hum(48_000, 16_000, np.random.default_rng(3))
    spectrum = np.abs(np.fft.rfft(hum))
    assert np.argmax(spectrum) / 3 == 60
    assert set(np.flatnonzero(spectrum > 1) / 3 % 60) == {0}


@pytest.mark.parametrize("snr_db", [-5.0, 10.0, 40.0])
def test_noise_is_scaled_within_the_spans_only(snr_db):
    rng = np.random.default_rng(4)
    speech, noise = np.zeros(3000), rng.standard_normal(3000)
    speech[1000:2000] = rng.standard_normal(1000)
    scaled = acoustics.noise_at_snr(speech, noise, snr_db=snr_db, spans=[(1000, 2000)])
    assert 10 * np.log10(np.mean(speech[1000:2000] ** 2) / np.mean(scaled[1000:2000] ** 2)) == pytest.approx(snr_db)


def test_silence_has_no_snr():
    with pytest.raises(ValueError, match="must both sound"):
        acoustics.noise_at_snr(np.zeros(10), np.ones(10), snr_db=10, spans=[(0, 10)])


def test_the_organ_plays_for_as_long_as_asked():
    sound = music.organ_interlude(3.5, 16_000, np.random.default_rng(5))
    assert sound.shape == (56_000,)
    assert np.mean(sound**2) == pytest.approx(1)


# --- files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_keeps_sound_and_tags_and_gives_the_same_bytes_again(name, tmp_path):
    import av

    wanted = FORMATS[name]
    time_s = np.arange(2 * wanted.rate_hz) / wanted.rate_hz
    sound = np.tile(0.3 * np.sin(2 * np.pi * 440 * time_s), (wanted.channels, 1))
    tags = {"title": 'The "Lamp"', "artist": "Zoë", "date": "2024-03-10"}
    paths = [tmp_path / f"{number}{wanted.suffix}" for number in range(2)]
    for path in paths:
        encode(path, sound, wanted, tags)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with av.open(str(paths[0])) as container:
        stream = container.streams.audio[0]
        assert (stream.rate, stream.channels) == (wanted.rate_hz, wanted.channels)
        found = {key.lower(): value for key, value in {**stream.metadata, **container.metadata}.items()}
        assert tags.items() <= found.items()
        planar = av.AudioResampler("fltp", stream.layout.name, wanted.rate_hz)
        heard = np.hstack([p.to_ndarray() for frame in container.decode(stream) for p in planar.resample(frame)])
    assert heard.shape[1] / wanted.rate_hz == pytest.approx(2, abs=0.1)
    spectrum = np.abs(np.fft.rfft(heard[0]))
    assert np.argmax(spectrum) * wanted.rate_hz / heard.shape[1] == pytest.approx(440, abs=1)


def test_encode_refuses_other_channels(tmp_path):
    with pytest.raises(ValueError, match="1 channels given, 2 wanted"):
        encode(tmp_path / "a.wav", np.zeros((1, 100)), FORMATS["wav"], {})


# --- voices -----------------------------------------------------------------------------------------


def test_preachers_differ_in_pitch_and_not_in_pace():
    rate_hz = 16_000
    low, high = (
        voices.speak(
            ["We open the letter to the Romans, and we read it slowly."],
            voices.Preacher(name="", pitch=pitch, pace=1, liveliness=0, pause_s=0.5, tilt_db=0),
            seed=6,
            rate_hz=rate_hz,
        )[0]
        for pitch in (0.85, 1.25)
    )
    assert high.size == pytest.approx(low.size, rel=0.2)
    assert fundamental_hz(high, rate_hz) / fundamental_hz(low, rate_hz) == pytest.approx(1.25 / 0.85, rel=0.1)


def fundamental_hz(sound: np.ndarray, rate_hz: int) -> float:
    """The median over voiced frames of 40 ms of the strongest autocorrelation between 60 and 300 Hz."""
    found = []
    for start in range(0, sound.size - 1280, 320):
        frame = sound[start : start + 1280]
        spectrum = np.fft.rfft(frame * np.hanning(frame.size), 4096)
        correlation = np.fft.irfft(np.abs(spectrum) ** 2)
        lags = np.arange(rate_hz // 300, rate_hz // 60)
        best = lags[np.argmax(correlation[lags])]
        if correlation[best] > 0.5 * correlation[0] and np.mean(frame**2) > 0.1 * np.mean(sound**2):
            found.append(rate_hz / best)
    return float(np.median(found))


def test_a_rendering_is_the_sum_of_known_parts_and_repeats():
    short = dataclasses.replace(
        SCRIPTS[1], paragraphs=("Mark that!", "Turn to Habakkuk."), format="wma", interludes=("before",), snr_db=11.0
    )
    first, second = church.render(short), church.render(short)
    assert np.array_equal(first.mix, second.mix)
    assert np.array_equal(first.mix, first.speech + first.music + first.noise)
    heard, noise = first.speech.mean(axis=0), first.noise.mean(axis=0)
    ratio = acoustics.power(heard, first.speech_spans) / acoustics.power(noise, first.speech_spans)
    assert 10 * np.log10(ratio) == pytest.approx(11.0)
    assert np.abs(first.mix).max() < 1
    assert (len(first.speech_spans), len(first.music_spans)) == (2, 1)
    assert np.abs(first.speech[:, : first.speech_spans[0][0]]).max() < 1e-9, "nobody speaks before the first span"
    assert np.abs(first.music[:, : first.music_spans[0][0]]).max() < 1e-9


# --- the church -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_church(tmp_path_factory):
    folder = tmp_path_factory.mktemp("church")
    seen = []
    sermons = church.make_church(folder, sermons=2, progress=lambda *state: seen.append(state))
    return folder, sermons, seen


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in folder.iterdir()}


def test_sermons_and_their_scripts_lie_side_by_side(small_church):
    folder, sermons, seen = small_church
    assert [(done, total) for done, total, _ in seen] == [(1, 2), (2, 2)]
    assert {name for _, _, name in seen} == {sermon.path.name for sermon in sermons}
    assert {path.name for path in folder.iterdir()} == {
        *(sermon.path.name for sermon in sermons),
        *(sermon.script_path.name for sermon in sermons),
        church.SILENT_NAME,
        church.BROKEN_NAME,
        church.CONVERSATION_NAME,
        church.MANIFEST_NAME,
    }
    for sermon, script in zip(sermons, SCRIPTS, strict=False):
        assert sermon.script_path.stem == sermon.path.stem
        assert sermon.script_path.read_text() == sermon.script + "\n" == script.text + "\n"
        assert (sermon.title, sermon.speaker, sermon.date) == (script.title, script.preacher.name, script.date)
        assert sermon.made


def test_a_sermon_lasts_about_a_minute(small_church):
    import av

    for sermon in small_church[1]:
        with av.open(str(sermon.path)) as container:
            assert container.duration / 1e6 == pytest.approx(sermon.duration_s, abs=0.1)
        assert 40 < sermon.duration_s < 90
        spoken_s = sum(end - start for start, end in sermon.speech_samples) / church.PLATFORM_RATE_HZ
        assert 30 < spoken_s < 60
        assert sermon.speech_samples[-1][1] < sermon.duration_s * church.PLATFORM_RATE_HZ


def test_the_noisy_sermon_is_as_noisy_as_stated(small_church):
    import soundfile

    sermon = small_church[1][1]
    assert sermon.noisy
    sound, rate_hz = soundfile.read(sermon.path)
    assert (rate_hz, sound.shape[1]) == (44_100, 2)
    heard = sound.mean(axis=1)
    mixed = acoustics.power(
        heard, [(start * rate_hz // 16_000, end * rate_hz // 16_000) for start, end in sermon.speech_samples]
    )
    first_sound = min(sermon.speech_samples + sermon.music_samples)[0] * rate_hz // 16_000
    noise = np.mean(heard[:first_sound] ** 2)
    assert 10 * np.log10((mixed - noise) / noise) == pytest.approx(sermon.snr_db, abs=1.5)


def test_a_second_call_does_nothing(small_church):
    folder, sermons, _ = small_church
    before = state_of(folder)
    again = church.make_church(folder, sermons=2, progress=lambda *_: pytest.fail("nothing is to be made"))
    assert state_of(folder) == before
    assert [dataclasses.replace(sermon, made=True) for sermon in again] == sermons
    assert not any(sermon.made for sermon in again)


def test_what_is_missing_is_made_again_with_the_same_bytes(small_church):
    folder, sermons, _ = small_church
    lost, kept = sermons[0].path, sermons[1].path
    bytes_before, kept_before = lost.read_bytes(), state_of(folder)[kept.name]
    lost.unlink()
    (folder / f".{lost.name}.999999999-00000000.tmp").write_bytes(b"half")
    again = church.make_church(folder, sermons=2)
    assert [sermon.made for sermon in again] == [True, False]
    assert lost.read_bytes() == bytes_before
    assert state_of(folder)[kept.name] == kept_before
    assert not list(folder.glob(".*"))


def test_a_recording_that_the_church_no_longer_has_goes(small_church):
    folder, _, _ = small_church
    manifest = json.loads((folder / church.MANIFEST_NAME).read_text())
    manifest["recordings"]["gone.mp3"] = next(iter(manifest["recordings"].values()))
    (folder / church.MANIFEST_NAME).write_text(json.dumps(manifest))
    (folder / "gone.mp3").write_bytes(b"")
    (folder / "mine.mp3").write_bytes(b"")
    church.make_church(folder, sermons=2)
    assert not (folder / "gone.mp3").exists()
    assert (folder / "mine.mp3").exists()
    (folder / "mine.mp3").unlink()


def test_one_recording_is_silent_and_one_is_broken(small_church):
    import av
    import soundfile

    folder, sermons, _ = small_church
    silent, broken = folder / church.SILENT_NAME, folder / church.BROKEN_NAME
    sound, rate_hz = soundfile.read(silent)
    assert sound.size / rate_hz == 20
    assert not sound.any()
    with pytest.raises(av.error.InvalidDataError):
        av.open(str(broken))
    assert not {silent, broken} & {sermon.path for sermon in sermons}


@pytest.mark.parametrize("sermons", [0, -1, 25])
def test_only_sermons_that_were_written_can_be_made(sermons, tmp_path):
    with pytest.raises(ValueError, match="from 1 to 24"):
        church.make_church(tmp_path, sermons=sermons)
