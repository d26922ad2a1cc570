"""A small STT_HOME for the loop: sermons with transcripts that are wrong in known places, scores of cycles, decisions."""

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from stt_platform.audio import SAMPLE_RATE_HZ
from stt_platform.evaluation.intervals import Counts, corpus_rate
from stt_platform.evaluation.paired import paired_rates
from stt_platform.store.adapters import record_made
from stt_platform.store.evaluations import ALL, Measured, comparison_row, number_rows
from stt_platform.store.intake import ingest
from stt_platform.store.metadata import MetadataStore

CHUNKS, CHUNK_S, GAP_S = 20, 8.0, 1.0
SYSTEM, BASE = "faster-whisper:whisper-tiny.en@0.1.0", "whisper-tiny.en@0.1.0"

_SPLITS = ("train",) * 8 + ("dev", "test", "test", "final")
_TITLES = ("Lamp", "Vine", "Door", "Well", "Boat", "Coin", "Seed", "Net", "Salt", "Yoke", "Gate", "Road")
_SPEAKERS = ("Ann Lee", "John Ford", "Ruth Hale")
_TEXT = (
    "we then came down into a valley where people were waiting beside that old stone wall and nobody would say why they had "
    "been standing there since early morning with bread under their coats while children ran about in wet grass laughing loudly"
)
LOOP = "thank you very much " * 8


def sermon_keys() -> dict[str, str]:
    """Every sermon with its split."""
    return {f"2024-02-{day:02}--the-{title.lower()}": _SPLITS[day - 1] for day, title in enumerate(_TITLES, start=1)}


def make_feedback_home(home: Path) -> tuple[MetadataStore, dict[str, str]]:
    """Twelve sermons of twenty chunks, eight of them to learn from; returns the store and what was really said.

    The later a chunk is in its sermon, the worse its text, and the less sure the recogniser. In the first sermon chunk 1
    repeats itself, chunk 2 is too noisy to teach and chunk 3 was refused for its text.
    """
    store = MetadataStore(home)
    draw = random.Random(5)
    said: dict[str, str] = {}
    for number, (sermon, title) in enumerate(zip(sermon_keys(), _TITLES, strict=True)):
        speaker = _SPEAKERS[number % len(_SPEAKERS)]
        recording = home / "made" / f"2024-02-{number + 1:02} The {title} - {speaker}.wav"
        recording.parent.mkdir(parents=True, exist_ok=True)
        # Recordings with the same samples would be one sermon.
        sf.write(recording, np.full(1600, 0.01 * (number + 1), dtype=np.float32), SAMPLE_RATE_HZ)
        (entry,) = ingest(store, [recording])
        assert entry.sermon == sermon
        said |= _sermon(store, sermon, draw)
    first = next(iter(sermon_keys()))
    for table, chunk, change in (
        ("transcripts", 1, {"text": LOOP.strip(), "compression_ratio": 6.0}),
        ("training_chunks", 2, {"status": "rejected", "gate": "noise", "reason": "noisy: 9.0 dB"}),
        ("consensus", 3, {"status": "rejected", "gate": "language", "reason": "not English"}),
    ):
        rows = store.read(table, first).to_pylist()
        changed = [row | (change if row["chunk_id"] == f"{first}-{chunk:02}" else {}) for row in rows]
        store.write(table, first, changed)
    store.write("splits", "all", [{"sermon": s, "split": split, "pinned": False} for s, split in sermon_keys().items()])
    return store, said


def _sermon(store: MetadataStore, sermon: str, draw: random.Random) -> dict[str, str]:
    tables: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("speech_chunks", "training_chunks", "transcripts", "consensus")
    }
    said = {}
    sound = store.home / "sermons" / sermon / "chunk.wav"
    sf.write(sound, np.zeros(1600, dtype=np.float32), SAMPLE_RATE_HZ)
    for k in range(CHUNKS):
        chunk = {"sermon": sermon, "chunk_id": f"{sermon}-{k:02}"}
        words = draw.choices(_TEXT.split(), k=20)
        wrong = {i for i in range(len(words)) if draw.random() < 0.3 * k / CHUNKS}
        heard = ["mumble" if i in wrong else word for i, word in enumerate(words)]
        said[chunk["chunk_id"]] = " ".join(words)
        start = round(k * (CHUNK_S + GAP_S) * SAMPLE_RATE_HZ)
        end = start + round((CHUNK_S - 3.0 * (k % 2)) * SAMPLE_RATE_HZ)
        tables["speech_chunks"].append(
            chunk
            | {
                "start_sample": start,
                "end_sample": end,
                "silence_ratio": 0.1,
                "forced_cut": False,
                "status": "accepted",
            }
        )
        tables["training_chunks"] += [
            chunk
            | {"view": view, "snr_db": 25.0 - k / 4, "status": "accepted", "path": str(sound.relative_to(store.home))}
            for view in ("original", "enhanced")
        ]
        tables["transcripts"].append(_transcript(chunk, heard, wrong, k, (start, end)))
        tables["consensus"].append(chunk | {"mean_cer": 0.02 + 0.01 * k, "status": "unsure"})
    for name, rows in tables.items():
        store.write(name, sermon, rows)
    return said


def _transcript(
    chunk: Mapping[str, str], heard: list[str], wrong: set[int], k: int, span: tuple[int, int]
) -> dict[str, Any]:
    return {
        **chunk,
        "system": SYSTEM,
        "view": "enhanced",
        "text": " ".join(heard),
        "avg_logprob": -0.15 - 0.02 * k,
        "no_speech_prob": 0.02,
        "compression_ratio": 1.3,
        "words": [
            {"word": word, "start_sample": span[0], "end_sample": span[1], "probability": 0.4 if i in wrong else 0.95}
            for i, word in enumerate(heard)
        ],
        "decoding": "{}",
    }


def adapter_of(home: Path, cycle: int) -> str:
    """An adapter that this cycle trained, as far as the tables need one; returns its id."""
    adapter_id = f"{cycle:02x}" * 16
    folder = home / "adapters" / adapter_id
    folder.mkdir(parents=True)
    manifest = {
        "kind": "whisper",
        "base_model": "whisper-tiny.en",
        "base_revision": "0.1.0",
        "dataset_sha256": "0" * 64,
        "curves": {"seconds": 90.0},
    }
    (folder / "adapter.json").write_text(json.dumps(manifest), encoding="utf-8")
    record_made(home, "whisper_adapter", str(cycle), adapter_id)
    return adapter_id


def measure_cycle(
    store: MetadataStore, cycle: int, errors: Mapping[str | None, int], *, test: str = "one", sermons: int = 9
) -> None:
    """Scores of a cycle as `speech_evaluation` writes them.

    Args:
        errors: of each recogniser (None: the base model) in each 100 words; every sermon has 3 texts of 100.
        test: names the test set.
    """
    evaluation = f"speech-cycle-{cycle}-{cycle:012x}"
    numbers, texts, comparisons, whole = [], [], [], {}
    for adapter_id, wrong in errors.items():
        system = BASE if adapter_id is None else f"{BASE}+{adapter_id[:12]}"
        of = Measured(evaluation, system, "church_test", adapter_id)
        whole[adapter_id] = {f"t{s}": Counts(3 * max(0, wrong + s % 3 - 1), 300) for s in range(sermons)}
        numbers += number_rows(of, ALL, {"wer": corpus_rate(whole[adapter_id].values())}, {"wer": f"wer|test:{test}|x"})
        texts += [
            {
                **of.columns(),
                "slice": ALL,
                "row_id": f"t{s}-{k}",
                "group_id": f"t{s}",
                "reference": f"what is said in {s} {k}",
                "hypothesis": "",
                "errors": counts.errors // 3,
                "words": 100,
                "status": "scored",
            }
            for s, counts in enumerate(whole[adapter_id].values())
            for k in range(3)
        ]
        if adapter_id is not None:
            found = paired_rates(whole[None], whole[adapter_id])
            comparisons.append(comparison_row(of, ALL, "wer", found, compared_with=BASE))
    part = f"cycle-{cycle}.speech_evaluation"
    for table, rows in (("evaluations", numbers), ("evaluation_rows", texts), ("comparisons", comparisons)):
        store.write(table, part, rows)


def decide(store: MetadataStore, cycle: int, adapter_id: str, decision: str, champion_after: str | None) -> None:
    """A decision as `speech_decision` writes it."""
    row = {
        "cycle": cycle,
        "adapter_id": adapter_id,
        "decision": decision,
        "reason": f"cycle {cycle} was {decision} for a reason",
        "decided_at": "2024-03-01T10:00:00.000000Z",
        "champion_after": champion_after,
    }
    store.write("decisions", f"cycle-{cycle}", [row])
