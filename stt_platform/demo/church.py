"""A small made-up church: sermons whose every word is known, in the state recordings arrive in."""

import hashlib
import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil

from stt_platform.demo.acoustics import (
    hall_impulse_response,
    mains_hum,
    noise_at_snr,
    pink_noise,
    power,
    reverberate,
)
from stt_platform.demo.encoding import FORMATS, encode
from stt_platform.demo.music import organ_interlude
from stt_platform.demo.workers import made_side_by_side
from stt_platform.machine.files import atomic_path, copy_atomically, sha256_of, write_atomically
from stt_platform.speech.voices import Preacher, speak

MANIFEST_NAME = "manifest.json"
SILENT_NAME = "2025-09-07 Microphone Left Off - Eleanor Pryce.wav"
BROKEN_NAME = "2025-09-14 Half an Upload - Samuel Okafor.mp3"
CONVERSATION_NAME = "2025-09-21 A Conversation After the Service.wav"
PLATFORM_RATE_HZ = 16_000

# Part of every recording's recipe: raise it when the sound of all of them changes.
_RENDERING = 1
_SILENCE_S = 20
# The organ under the closing prayer is this much softer than between the parts of the service.
_UNDER = 0.5


@dataclass(frozen=True)
class Script:
    """One sermon as it was written, and how it is to be recorded. `date` is ISO 8601."""

    date: str
    title: str
    preacher: Preacher
    paragraphs: tuple[str, ...]
    format: str
    naming: str
    interludes: tuple[str, ...]
    snr_db: float | None
    number: int

    @property
    def text(self) -> str:
        """What is spoken, one paragraph a line."""
        return "\n".join(self.paragraphs)

    @property
    def file_name(self) -> str:
        suffix = FORMATS[self.format].suffix
        if self.naming == "name":
            return f"{self.date} {self.title} - {self.preacher.name}{suffix}"
        if self.naming == "both":
            return f"{self.date}{suffix}"
        return f"REC_{self.number:04d}{suffix}"

    @property
    def tags(self) -> dict[str, str]:
        if self.naming == "name":
            return {}
        return {"title": self.title, "artist": self.preacher.name, "date": self.date}

    @property
    def recipe(self) -> str:
        """SHA-256 over all that decides the recording."""
        facts = json.dumps([_RENDERING, asdict(self), asdict(FORMATS[self.format])], sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()


@dataclass(frozen=True)
class Rendering:
    """One sermon as sound, float64 (channels, samples) each: `mix` is the sum of the other three.

    The spans are `(start, end)` samples at `rate_hz`; `speech_spans` has one for each paragraph.
    """

    rate_hz: int
    mix: np.ndarray
    speech: np.ndarray
    music: np.ndarray
    noise: np.ndarray
    speech_spans: tuple[tuple[int, int], ...]
    music_spans: tuple[tuple[int, int], ...]
    snr_db: float
    rt60_s: float


@dataclass(frozen=True)
class DemoSermon:
    """One recording of the made-up church and all that is known about it.

    `script` is every spoken word; `speech_samples` (one span for each paragraph) and `music_samples` are
    `(start, end)` in samples of the 16 kHz recording. `snr_db` is reverberant speech against noise, in mean
    squares over the speech. `made` tells whether this call made the file or found it.
    """

    path: Path
    script_path: Path
    title: str
    speaker: str
    date: str
    script: str
    duration_s: float
    speech_samples: tuple[tuple[int, int], ...]
    music_samples: tuple[tuple[int, int], ...]
    snr_db: float
    rt60_s: float
    noisy: bool
    made: bool


@cache
def scripts() -> tuple[Script, ...]:
    """Return all sermons of the made-up church by date, from `sermons.toml`."""
    church = tomllib.loads(Path(__file__).with_name("sermons.toml").read_text(encoding="utf-8"))
    preachers = {name: Preacher(name=name, **voice) for name, voice in church["preachers"].items()}
    written = sorted(church["sermons"], key=lambda sermon: sermon["date"])
    return tuple(
        Script(
            date=sermon["date"].isoformat(),
            title=sermon["title"],
            preacher=preachers[sermon["preacher"]],
            paragraphs=tuple(sermon["text"]),
            format=sermon["format"],
            naming=sermon["naming"],
            interludes=tuple(sermon["interludes"]),
            snr_db=sermon.get("snr_db"),
            number=number,
        )
        for number, sermon in enumerate(written, start=1)
    )


@cache
def titles_that_examine() -> tuple[str, ...]:
    """Return sermons that the demonstration keeps from teaching."""
    church = tomllib.loads(Path(__file__).with_name("sermons.toml").read_text(encoding="utf-8"))
    return tuple(church["examines"])


def make_church(
    folder: Path,
    *,
    sermons: int = 24,
    workers: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[DemoSermon]:
    """Record the first `sermons` sermons of the made-up church into `folder`, and three recordings of another kind.

    Beside each recording lies `<stem>.txt`, what is spoken in it. `manifest.json` holds the hash of each: a
    recording that is there and unchanged is left alone, so a second call does nothing and one after an
    interruption goes on. The same call gives the same bytes on the same machine. `workers` processes record side by
    side (default: one for each core, at most 4); `progress(done, total, file name)` is called as each is ready.

    Returns the sermons by date; the silent recording, the broken one and the conversation of two people
    (`SILENT_NAME`, `BROKEN_NAME`, `CONVERSATION_NAME`) are not among them. Raises ValueError for a number of sermons that was not written.
    """
    wanted = scripts()[:sermons]
    if not 0 < sermons == len(wanted):
        raise ValueError(f"{sermons} sermons wanted: give a number from 1 to {len(scripts())}")
    folder.mkdir(parents=True, exist_ok=True)
    known = _read_manifest(folder)
    _tidy(folder, known)
    missing = [script for script in wanted if not _is_there(folder, script, known.get(script.file_name))]
    done = len(wanted) - len(missing)
    for script, facts in made_side_by_side(partial(_record, folder), missing, workers):
        known[script.file_name] = facts
        _write_manifest(folder, known)
        done += 1
        if progress:
            progress(done, len(wanted), script.file_name)
    _add_others(folder)
    made = {script.file_name for script in missing}
    return [_demo_sermon(folder, script, known[script.file_name], script.file_name in made) for script in wanted]


def render(script: Script) -> Rendering:
    """Speak, play, reverberate and mix one sermon at the rate and with the channels of its format.

    Everything random comes from the title and the date. The level of the speech lies between -30 and -20 dB
    full scale, as recorders are set.
    """
    recording_format = FORMATS[script.format]
    rate_hz, channels = recording_format.rate_hz, recording_format.channels
    seed = int.from_bytes(hashlib.sha256(f"{script.date} {script.title}".encode()).digest()[:8])
    rng = np.random.default_rng(seed)
    rt60_s = float(rng.uniform(0.5, 1.3))
    snr_db = script.snr_db if script.snr_db is not None else float(rng.uniform(30, 40))

    paragraphs = speak(script.paragraphs, script.preacher, seed=seed, rate_hz=rate_hz)
    dry_speech, dry_music, speech_spans, music_spans = _timeline(script, paragraphs, rate_hz, rng)
    # Music a little below the speech, both as loud as each other would be in the hall.
    dry_music *= 0.7 * np.sqrt(power(dry_speech, speech_spans))

    direct_to_reverberant_db = rng.uniform(0, 6)
    halls = [
        hall_impulse_response(rate_hz, rt60_s=rt60_s, direct_to_reverberant_db=direct_to_reverberant_db, rng=rng)
        for _ in range(channels)
    ]
    speech = np.stack([reverberate(dry_speech, hall) for hall in halls])
    music = np.stack([reverberate(dry_music, hall) for hall in halls])
    heard = speech.mean(axis=0)
    gain = 10 ** (rng.uniform(-30, -20) / 20) / np.sqrt(power(heard, speech_spans))
    noise = pink_noise(heard.size, rate_hz, rng) + 0.5 * mains_hum(heard.size, rate_hz, rng)
    # The same in all channels: it comes from the amplifier, not from the hall.
    noise = np.tile(noise_at_snr(heard, noise, snr_db=snr_db, spans=speech_spans), (channels, 1))
    gain = min(gain, 0.98 / np.abs(speech + music + noise).max())
    speech, music, noise = speech * gain, music * gain, noise * gain
    return Rendering(
        rate_hz=rate_hz,
        mix=speech + music + noise,
        speech=speech,
        music=music,
        noise=noise,
        speech_spans=tuple(speech_spans),
        music_spans=tuple(music_spans),
        snr_db=snr_db,
        rt60_s=rt60_s,
    )


def _timeline(
    script: Script, paragraphs: Sequence[np.ndarray], rate_hz: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]], list[tuple[int, int]]]:
    """Lay speech and music one after another: both tracks (samples,), and where each sounds."""
    pieces: list[tuple[str, np.ndarray]] = []

    def rest(min_s: float, max_s: float) -> None:
        pieces.append(("rest", np.zeros(round(rng.uniform(min_s, max_s) * rate_hz))))

    def play(min_s: float, max_s: float) -> None:
        pieces.append(("music", organ_interlude(rng.uniform(min_s, max_s), rate_hz, rng)))

    rest(0.5, 1.2)
    if "before" in script.interludes:
        play(4, 7)
        rest(1.0, 1.8)
    for index, paragraph in enumerate(paragraphs):
        if index:
            rest(1.0, 1.5)
        if index == 1 and "between" in script.interludes:
            play(3, 5)
            rest(1.0, 1.5)
        pieces.append(("speech", paragraph))
    rest(1.0, 1.8)
    if "after" in script.interludes:
        play(5, 8)
        rest(1.0, 1.5)

    tracks = {kind: np.zeros(sum(piece.size for _, piece in pieces)) for kind in ("speech", "music", "rest")}
    spans: dict[str, list[tuple[int, int]]] = {kind: [] for kind in tracks}
    start = 0
    for kind, piece in pieces:
        tracks[kind][start : start + piece.size] = piece
        spans[kind].append((start, start + piece.size))
        start += piece.size
    if "under" in script.interludes:
        prayer = slice(*spans["speech"][-1])
        tracks["music"][prayer] = _UNDER * organ_interlude((prayer.stop - prayer.start) / rate_hz, rate_hz, rng)
        spans["music"].append((prayer.start, prayer.stop))
    return tracks["speech"], tracks["music"], spans["speech"], sorted(spans["music"])


def _record(folder: Path, script: Script) -> dict:
    """Write one sermon's script and recording; its line of the manifest."""
    rendering = render(script)
    path = folder / script.file_name
    # The script first: who watches the folder for recordings finds it already beside the new one.
    write_atomically(path.with_suffix(".txt"), (script.text + "\n").encode())
    with atomic_path(path) as temporary:
        encode(temporary, rendering.mix, FORMATS[script.format], script.tags)
    return {
        "recipe": script.recipe,
        "sha256": sha256_of(path),
        "script_sha256": sha256_of(path.with_suffix(".txt")),
        "duration_s": rendering.mix.shape[1] / rendering.rate_hz,
        "speech_samples": _at_platform_rate(rendering.speech_spans, rendering.rate_hz),
        "music_samples": _at_platform_rate(rendering.music_spans, rendering.rate_hz),
        "snr_db": rendering.snr_db,
        "rt60_s": rendering.rt60_s,
    }


def _tidy(folder: Path, known: dict[str, dict]) -> None:
    """Remove what killed processes left half written, and recordings that the church no longer has."""
    for leftover in folder.glob(".*.tmp"):
        owner = leftover.name.split(".")[-2].split("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            leftover.unlink(missing_ok=True)
    for name in known.keys() - {script.file_name for script in scripts()}:
        (folder / name).unlink(missing_ok=True)
        (folder / name).with_suffix(".txt").unlink(missing_ok=True)
        del known[name]


def _add_others(folder: Path) -> None:
    """A recording in which the microphone was off, one that is no recording at all, and two people who talk."""
    import soundfile

    if not (folder / SILENT_NAME).exists():
        silence = np.zeros(_SILENCE_S * PLATFORM_RATE_HZ, dtype=np.int16)
        with atomic_path(folder / SILENT_NAME) as temporary:
            soundfile.write(temporary, silence, PLATFORM_RATE_HZ, format="WAV", subtype="PCM_16")
    if not (folder / BROKEN_NAME).exists():
        note = "The upload of this recording broke off, and the page that said so was saved in its place.\n"
        write_atomically(folder / BROKEN_NAME, note.encode())
    if not (folder / CONVERSATION_NAME).exists():
        package = find_spec("pyannote.audio")
        if package is None or package.origin is None:
            raise FileNotFoundError(
                "the package pyannote.audio, which carries the conversation, is missing: run `make setup`"
            )
        copy_atomically(Path(package.origin).parent / "sample" / "sample.wav", folder / CONVERSATION_NAME)


def _read_manifest(folder: Path) -> dict[str, dict]:
    path = folder / MANIFEST_NAME
    return json.loads(path.read_text(encoding="utf-8"))["recordings"] if path.exists() else {}


def _write_manifest(folder: Path, recordings: dict[str, dict]) -> None:
    text = json.dumps({"recordings": recordings}, indent=1, sort_keys=True, ensure_ascii=False)
    write_atomically(folder / MANIFEST_NAME, (text + "\n").encode())


def _is_there(folder: Path, script: Script, facts: dict | None) -> bool:
    path = folder / script.file_name
    return (
        facts is not None
        and facts["recipe"] == script.recipe
        and path.exists()
        and path.with_suffix(".txt").exists()
        and sha256_of(path) == facts["sha256"]
        and sha256_of(path.with_suffix(".txt")) == facts["script_sha256"]
    )


def _at_platform_rate(spans: Sequence[tuple[int, int]], rate_hz: int) -> list[list[int]]:
    return [[round(edge * PLATFORM_RATE_HZ / rate_hz) for edge in span] for span in spans]


def _demo_sermon(folder: Path, script: Script, facts: dict, made: bool) -> DemoSermon:
    path = folder / script.file_name
    return DemoSermon(
        path=path,
        script_path=path.with_suffix(".txt"),
        title=script.title,
        speaker=script.preacher.name,
        date=script.date,
        script=script.text,
        duration_s=facts["duration_s"],
        speech_samples=tuple((start, end) for start, end in facts["speech_samples"]),
        music_samples=tuple((start, end) for start, end in facts["music_samples"]),
        snr_db=facts["snr_db"],
        rt60_s=facts["rt60_s"],
        noisy=script.snr_db is not None,
        made=made,
    )
