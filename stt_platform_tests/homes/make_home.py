"""Make a small STT_HOME with the code of another checkout, to see that a later version opens what people have.

    python stt_platform_tests/homes/make_home.py CHECKOUT OUTPUT.tar.xz

`made_by_e6edeb5.tar.xz` beside this file was made so, from a checkout of commit e6edeb5, with the packages of that day.
Everything that a stage writes was written by the stages of that checkout, run through Dagster in one process; what a
person writes (recordings, references, corrections, pins, settings, choices) is written here as a person would, choices
by the functions of `store/choices.py`.

What is in the home:

- `sermons/`: four sermons of 13 to 18 seconds, spoken by the packaged voice, each in another format (opus, mp3, m4a,
  ogg), with the recording as it came in `original`, and all sermon stages of the profile `embedded`. A pause of 2.6 s
  stands between the sentences, which is more than `chunking.max_inner_pause_s`, so every sentence is a chunk. By
  `splits/pinned.csv` one teaches (train), one is watched (dev) and one examines (test); the fourth is where the split of
  e6edeb5 drew it (train), which only `splits/frozen.json` keeps from then on.
- References of every kind: of a whole sermon in `references/whole.jsonl`, of single chunks by their ids in
  `references/chunks.jsonl`, and beside a recording (`sermons/<key>/references`); captions beside another recording.
- Cycle 0 of the loop: the list, `corrections/cycle-0.csv` with texts, an unusable chunk and one that may not teach, the
  training set, an adapter of rank 1 of whisper-tiny.en (one pass, a few steps), evaluation, decision and report.
- Choices: `training_view` is "original", which is not the default, and `speech_champion` names no adapter, with the
  words of a person. The decision about the adapter is what the evaluation of one sermon can bear: it is not promoted.
  No adapter is made the champion by hand: without its merged copy (75 MB) it could not transcribe, `stt doctor` would
  call the home broken, and no sermon could be made again. `label_policy` is what `baseline_wer` recorded.

What is taken out before packing, since it is large, is of one machine, or is made again:

- all sound but the originals (`audio.wav`, chunks, sound of the training set and of the review list), and the merged
  copy `adapters/<id>/serving`: the outputs that had it do not serve any more, and a plan makes them again;
- `models/` (converted base weights), `cache/`, the DuckDB catalog, logs, locks, pictures of the UI, and what names places
  of the machine: `review/cycle-0/prodigy.jsonl`, and the lists to fill in `assessment/`, which nobody had filled. The
  Dagster instance was in memory only; a home without one is opened too.

No file names a folder of the machine; this is looked for before packing, in tables too.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg

    from stt_platform.store.metadata import MetadataStore

# isort: off
# What the functions below import is of the checkout: here it may have another place, or none.

CYCLE = "0"
REVIEWER, TRANSCRIBER = "Bea", "Carl"
CORRECTED_AT = "2024-07-01T10:00:00Z"

_PAUSE_S, _EDGE_S, _SNR_DB = 2.6, 0.8, 35.0
_SOUND = frozenset([".wav", ".flac"])
_NAMING_PLACES = frozenset(["prodigy.jsonl", "assessment_sample.csv", "assessment_sample.jsonl"])
_SETTINGS = """\
# A person wants to be asked about nearly everything, and to train fast.
[feedback]
share = 0.9
quota = 1.0

[speech_training]
rank = 1
alpha = 2
targets = "q_proj,v_proj"
epochs = 1
seed = 7
"""
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "DAGSTER_DISABLE_TELEMETRY": "1", "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(frozen=True)
class SmallSermon:
    """A sermon of the home: one chunk for each text. `pinned` is its split in `pinned.csv`, empty where it has no pin."""

    date: str
    title: str
    speaker: str
    suffix: str
    pinned: str
    texts: tuple[str, ...]


SERMONS = (
    SmallSermon(
        "2024-05-05",
        "The Lamp",
        "Ann Lee",
        ".opus",
        "train",
        (
            "Turn with me to the third chapter of John.",
            "Nobody lights a lamp and puts it under a basket.",
            "She sweeps the house until she finds the coin.",
            "Grace and peace to you from our Father.",
        ),
    ),
    SmallSermon(
        "2024-05-12",
        "The Vine",
        "Ann Lee",
        ".mp3",
        "dev",
        (
            "We are the branches, and he is the vine.",
            "A sower went out to sow his seed.",
            "Some of it fell along the path.",
            "Let us pray together this morning.",
        ),
    ),
    SmallSermon(
        "2024-05-19",
        "The Door",
        "Tom Reed",
        ".m4a",
        "",
        (
            "Knock, and the door will be opened to you.",
            "Nobody comes here by another way.",
            "The wind was against the boat all night.",
        ),
    ),
    SmallSermon(
        "2024-05-26",
        "The Well",
        "Tom Reed",
        ".ogg",
        "test",
        (
            "She left her water jar and went back to the town.",
            "Come and see a man who told me everything.",
            "Take courage, and do not be afraid.",
        ),
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the home in a process that runs the code of the checkout, take out what is large, and pack it."""
    parser = argparse.ArgumentParser(description="Make a small STT_HOME with the code of a checkout, and pack it.")
    parser.add_argument("checkout", type=Path, help="folder of a checkout of the commit that is to make it")
    parser.add_argument("output", type=Path, help="the .tar.xz to write")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    checkout, output = chosen.checkout.resolve(), chosen.output.resolve()
    if chosen.inside:
        _make(chosen.inside, checkout)
        return
    with tempfile.TemporaryDirectory(prefix="stt-home-") as name:
        home, locks = Path(name) / "home", Path(name) / "locks"
        home.mkdir()
        own = {key: value for key, value in os.environ.items() if not key.startswith(("STT_", "DAGSTER_"))}
        places = {"STT_HOME": str(home), "STT_LOCK_DIR": str(locks), "PYTHONPATH": str(checkout)}
        command = [sys.executable, str(Path(__file__).resolve()), str(checkout), str(output), "--inside", str(home)]
        subprocess.run(command, check=True, cwd=checkout, env=own | _ENVIRONMENT | places)
        pack(home, output)
    print(f"{output}: {output.stat().st_size} bytes")


def pack(home: Path, output: Path) -> None:
    """Write a folder as .tar.xz: in the order of its names, with no times and no users.

    A file that has two names in the home is written twice, so that each can be read by itself.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(output, "w:xz", format=tarfile.PAX_FORMAT, dereference=True, preset=9) as archive:
        for path in sorted(home.rglob("*"), key=lambda path: path.relative_to(home).as_posix()):
            archive.add(path, path.relative_to(home).as_posix(), recursive=False, filter=_anonymous)


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "", ""
    info.mode = 0o755 if info.isdir() else 0o644
    return info


def _make(home: Path, checkout: Path) -> None:
    """Make the home; what is imported here comes from the checkout."""
    import dagster as dg

    import stt_platform
    from stt_platform.definitions import defs
    from stt_platform.defs.feedback.jobs import ASKED, LEARNED
    from stt_platform.store.choices import Champion, ViewChoice, record_speech_champion, record_training_view
    from stt_platform.store.metadata import MetadataStore

    if not Path(stt_platform.__file__).resolve().is_relative_to(checkout):
        raise RuntimeError(f"{stt_platform.__file__} is not below {checkout}: another stt_platform is in the way")
    store = MetadataStore(home)
    (home / "settings.toml").write_text(_SETTINGS, encoding="utf-8")
    record_training_view(home, ViewChoice("original", f"{TRANSCRIBER} heard both, and prefers it as it was recorded"))
    keys = _take_in(store, home.parent / "recordings")
    _pin(home, keys)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("sermon", sorted(keys.values()))
        instance.add_dynamic_partitions("cycle", [CYCLE])
        for key in sorted(keys.values()):
            _done(defs.resolve_job_def("sermon_stages").execute_in_process(instance=instance, partition_key=key))
        chunks = _chunks(store, keys)
        _write_references(home, keys, chunks)
        _done(defs.resolve_job_def("after_sermons").execute_in_process(instance=instance))
        everything = defs.resolve_implicit_global_asset_job_def()
        for part in (ASKED, LEARNED):
            if part == LEARNED:
                _correct(store, chunks)
            for asset in part:
                selected = [dg.AssetKey(asset)]
                _done(everything.execute_in_process(instance=instance, partition_key=CYCLE, asset_selection=selected))
    record_speech_champion(home, Champion(None, f"{REVIEWER} wants to hear it first: the base model goes on"))
    _say(store)
    _prune(home)
    _look_for_places(home, [home.parent, checkout, Path(sys.prefix), Path(__file__).resolve().parent])


def _done(result: "dg.ExecuteInProcessResult") -> None:
    if not result.success:
        raise RuntimeError(f"the run {result.run_id} failed")


def _take_in(store: "MetadataStore", folder: Path) -> dict[str, str]:
    """Record the sermons with what belongs to them, and take them in as the inbox does; the keys by title."""
    from stt_platform.store.intake import INBOX_SOURCE, ingest

    folder.mkdir()
    names = {_record(folder, number, sermon).name: sermon.title for number, sermon in enumerate(SERMONS)}
    door = _stem(SERMONS[2])
    (folder / f"{door}.txt").write_text("\n".join(SERMONS[2].texts) + "\n", encoding="utf-8")
    (folder / f"{_stem(SERMONS[0])}.vtt").write_text(_captions(SERMONS[0]), encoding="utf-8")
    taken = list(ingest(store, [folder], source_of=lambda path: f"{INBOX_SOURCE}{path.name}"))
    found = {names[Path(each.path).name]: each.sermon for each in taken if each.outcome == "new"}
    if len(taken) != len(SERMONS) + 2 or len(found) != len(SERMONS):
        raise RuntimeError(f"not all was taken in: {taken}")
    return found


def _stem(sermon: SmallSermon) -> str:
    return f"{sermon.date} {sermon.title} - {sermon.speaker}"


def _record(folder: Path, number: int, sermon: SmallSermon) -> Path:
    """Speak a sermon: a little noise under it, and a pause between the sentences that ends a chunk."""
    import numpy as np

    from stt_platform.demo.acoustics import noise_at_snr, pink_noise
    from stt_platform.demo.encoding import RecordingFormat, encode
    from stt_platform.speech.voices import Preacher, speak

    formats = {
        ".opus": RecordingFormat(".opus", "opus", "libopus", 48_000, 1, 24_000),
        ".mp3": RecordingFormat(".mp3", "mp3", "libmp3lame", 22_050, 1, 32_000),
        ".m4a": RecordingFormat(".m4a", "ipod", "aac", 24_000, 1, 32_000),
        ".ogg": RecordingFormat(".ogg", "ogg", "libopus", 48_000, 1, 24_000),
    }
    chosen = formats[sermon.suffix]
    pitch = 1.0 if sermon.speaker == "Ann Lee" else 0.9
    preacher = Preacher(sermon.speaker, pitch=pitch, pace=1.1, liveliness=0.02, pause_s=0.3, tilt_db=0.0)
    spoken = speak(sermon.texts, preacher, seed=number + 1, rate_hz=chosen.rate_hz)
    edge, pause = (np.zeros(round(seconds * chosen.rate_hz)) for seconds in (_EDGE_S, _PAUSE_S))
    between = [part for sentence in spoken for part in (sentence, pause)][:-1]
    speech = 0.4 * np.concatenate([edge, *between, edge])
    noise = pink_noise(speech.size, chosen.rate_hz, np.random.default_rng(number))
    noise = noise_at_snr(speech, noise, snr_db=_SNR_DB, spans=[(0, speech.size)])
    path = folder / f"{_stem(sermon)}{sermon.suffix}"
    encode(path, (speech + noise)[np.newaxis], chosen, {})
    return path


def _captions(sermon: SmallSermon) -> str:
    """Captions as somebody might have written them: roughly in time, five seconds a sentence."""
    cues = (
        f"00:00:{5 * number:02}.000 --> 00:00:{5 * number + 5:02}.000\n{text}\n"
        for number, text in enumerate(sermon.texts)
    )
    return "WEBVTT\n\n" + "\n".join(cues)


def _pin(home: Path, keys: Mapping[str, str]) -> None:
    (home / "splits").mkdir()
    lines = ["sermon,split", *(f"{keys[sermon.title]},{sermon.pinned}" for sermon in SERMONS if sermon.pinned)]
    (home / "splits" / "pinned.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _chunks(store: "MetadataStore", keys: Mapping[str, str]) -> dict[str, list[str]]:
    """The ids of the chunks of each sermon, by its title, in the order of its texts. Raises where a sentence was cut."""
    found = {}
    for sermon in SERMONS:
        rows = store.query(
            "select chunk_id from speech_chunks where sermon = $sermon and status = 'accepted' order by start_sample",
            {"sermon": keys[sermon.title]},
        )
        found[sermon.title] = rows["chunk_id"].to_pylist()
        if len(found[sermon.title]) != len(sermon.texts):
            raise RuntimeError(f"{keys[sermon.title]} has {len(found[sermon.title])} chunks, not {len(sermon.texts)}")
    return found


def _write_references(home: Path, keys: Mapping[str, str], chunks: Mapping[str, Sequence[str]]) -> None:
    vine, well = SERMONS[1], SERMONS[3]
    folder = home / "references"
    folder.mkdir()
    whole = [{"sermon": keys[vine.title], "text": " ".join(vine.texts), "transcriber": TRANSCRIBER}]
    single = [
        {"chunk_id": chunk_id, "text": text, "transcriber": TRANSCRIBER}
        for chunk_id, text in zip(chunks[well.title], well.texts, strict=True)
    ]
    for name, rows in (("whole", whole), ("chunks", single)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def _correct(store: "MetadataStore", chunks: Mapping[str, Sequence[str]]) -> None:
    """Answer the list of the cycle, but for its last row: one chunk is unusable; and, unasked, one that examines."""
    home = store.home
    said = {
        chunk_id: text for sermon in SERMONS for chunk_id, text in zip(chunks[sermon.title], sermon.texts, strict=True)
    }
    with (home / "review" / f"cycle-{CYCLE}" / "review.csv").open(encoding="utf-8-sig", newline="") as file:
        asked = [row["chunk_id"] for row in csv.DictReader(file)][:-1]
    if len(asked) < 4 or not set(asked) <= set(said):
        raise RuntimeError(f"these were asked about: {asked}, of {list(said)}")
    unusable = asked[-1]
    folder = home / "corrections"
    folder.mkdir()
    with (folder / f"cycle-{CYCLE}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["chunk_id", "corrected", "verdict", "reviewer", "corrected_at"])
        for chunk_id in [*asked, chunks[SERMONS[3].title][0]]:
            verdict = "unusable" if chunk_id == unusable else "usable"
            writer.writerow([chunk_id, said[chunk_id], verdict, REVIEWER, CORRECTED_AT])


def _say(store: "MetadataStore") -> None:
    """Print what came of it, for whoever writes a test."""
    questions = (
        "select sermon, split, status, reason from sermons order by 1",
        "select sermon, chunk_id, start_sample, end_sample from speech_chunks order by 1, 3",
        "select chunk_id, text, system from transcripts order by 1",
        'select sermon, chunk_id, source, status, text from "references" order by 1, 2',
        "select chunk_id, cycle, status, gate, verdict, text from corrections order by 1",
        "select adapter_id, kind, base_model, status from adapters",
        "select cycle, adapter_id, decision, reason, decided_at, champion_after from decisions",
    )
    for question in questions:
        print(question)
        for row in store.query(question).to_pylist():
            print("  ", row)
    for path in sorted((store.home / "choices").glob("*.json")):
        print(path.name, json.loads(path.read_text(encoding="utf-8")))


def _prune(home: Path) -> None:
    """Take out what is large, is of this machine, or is made again."""
    for path in sorted(home.rglob("*")):
        relative = path.relative_to(home)
        if path.is_file() and (_is_large_sound(relative) or _is_of_this_machine(relative)):
            path.unlink()
    for folder in (*(home / name for name in ("models", "logs", "cache")), *home.glob("adapters/*/serving")):
        shutil.rmtree(folder, ignore_errors=True)
    for path in sorted(home.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _is_large_sound(relative: Path) -> bool:
    return relative.suffix in _SOUND and "original" not in relative.parts


def _is_of_this_machine(relative: Path) -> bool:
    name = relative.name
    return name.endswith((".lock", ".duckdb", ".tmp")) or name.startswith(".picture-") or name in _NAMING_PLACES


def _look_for_places(home: Path, places: Sequence[Path]) -> None:
    """Raise where files of the home name a folder of this machine."""
    wanted = {str(place) for place in places}
    files = sorted(path for path in home.rglob("*") if path.is_file())
    named = [path for path in files if any(place in text for text in _texts(path) for place in wanted)]
    if named:
        raise RuntimeError(f"these name places of this machine: {[str(path.relative_to(home)) for path in named]}")


def _texts(path: Path) -> Iterator[str]:
    yield path.read_bytes().decode("utf-8", "replace")
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        yield str(pq.read_table(path).to_pylist())


if __name__ == "__main__":
    main()
