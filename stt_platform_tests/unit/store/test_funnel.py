"""The funnel: no sample is lost or counted twice, and its pictures say what the numbers say."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stt_platform.audio.funnel import HELD_BACK, NO_TEXT, STEPS, UNSURE, FunnelStep, funnel_steps
from stt_platform.audio.funnel_picture import funnel_picture
from stt_platform.store.funnel import read_funnel
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.stages import StageResult, build_stage

SECOND = 16_000
LABELS = ("speech", "music", "singing", "noise", "silence", "speech_over_music")


def register(store: MetadataStore, sermon: str, samples: int | None) -> None:
    """`samples` is its length; None for a recording that cannot be read."""
    duration_s = None if samples is None else samples / SECOND
    store.write("recordings", sermon, [{"sermon": sermon, "duration_s": duration_s, "size_bytes": 1}])


def measure(store: MetadataStore, sermon: str, samples: int, segments: list[tuple[int, int, str]]) -> None:
    row = {"sermon": sermon, "samples": samples, "silence_ratio": 0.0, "bandwidth_hz": 7e3}
    store.write("sound_measures", sermon, [row])
    rows = [
        {"sermon": sermon, "start_sample": start, "end_sample": end, "label": label, "view": "original"}
        for start, end, label in segments
    ]
    store.write("segments", sermon, rows)


def refuse(store: MetadataStore, sermon: str, stage: str, gate: str | None) -> None:
    build_stage(store, sermon, stage, "0" * 64, lambda folder: StageResult("rejected", "so it is", gate=gate))


def cut(store: MetadataStore, sermon: str, chunks: list[tuple[int, int, str | None, str | None, str | None]]) -> None:
    """Chunks as (start, end, gate that refuses the cut, gate that refuses the sound, status of the text).

    A text is 'reliable', 'unsure', 'rejected', or None where there is none yet.
    """
    cuts, sounds, texts = [], [], []
    for number, (start, end, gate_of_cut, gate_of_sound, text) in enumerate(chunks):
        name = {"sermon": sermon, "chunk_id": f"{number:016x}"}

        def verdict(gate: str | None) -> dict:
            return {"status": "rejected" if gate else "accepted", "gate": gate, "reason": gate and f"{gate}, see"}

        times = {"start_sample": start, "end_sample": end, "silence_ratio": 0.0, "forced_cut": False}
        cuts.append(name | times | verdict(gate_of_cut))
        if not gate_of_cut:
            sounds += [name | {"view": view} | verdict(gate_of_sound) for view in ("original", "enhanced")]
        if text:
            texts.append(name | {"status": text, "gate": "text" if text == "rejected" else None})
    store.write("speech_chunks", sermon, cuts)
    store.write("training_chunks", sermon, sounds)
    store.write("consensus", sermon, texts)


def rows_of(store: MetadataStore, sermon: str) -> dict[tuple[int, str], int]:
    rows = store.query("select step, outcome, samples from funnel where sermon = ?", [sermon]).to_pylist()
    found = {(row["step"], row["outcome"]): row["samples"] for row in rows}
    assert len(found) == len(rows)
    return found


def test_every_sample_has_one_place(tmp_path: Path) -> None:
    store = MetadataStore(tmp_path)
    register(store, "2024-01-07--a", 100)
    # The recording says nearly the same length; the samples counted later are the true ones.
    measure(
        store,
        "2024-01-07--a",
        1000,
        [(0, 100, "silence"), (100, 600, "speech"), (600, 700, "music"), (700, 760, "noise"), (760, 1000, "speech")],
    )
    chunks = [
        (110, 200, None, None, "reliable"),
        (200, 300, None, None, "unsure"),
        (320, 380, None, None, "rejected"),
        (400, 500, None, "noise", None),
        (560, 620, "music", None, None),  # reaches from speech into music
        (770, 800, None, None, None),
        (900, 1000, None, "clipping", None),
    ]
    cut(store, "2024-01-07--a", chunks)
    assert rows_of(store, "2024-01-07--a") == {
        (2, "silence"): 100,
        (2, "pauses"): 10 + 20 + 20 + 60 + 10 + 100,
        (2, "music"): 80,
        (2, "noise"): 60,
        (3, "text"): 60,
        (3, "noise"): 100,
        (3, "music"): 60,
        (3, "clipping"): 100,
        (4, "reliable text"): 90,
        (4, "unsure text"): 100,
        (4, "no text yet"): 30,
    }


@pytest.mark.parametrize(
    ("refusals", "expected"),
    [
        ([("recording", "clipping")], {(1, "clipping"): 160}),
        ([("sound_classes", "noise")], {(1, "noise"): 160}),
        ([("transcript", None)], {(1, "other"): 160}),
        # The first stage that refuses gives the reason.
        ([("training_chunks", "silence"), ("sound_classes", "speech")], {(1, "speech"): 160}),
    ],
)
def test_a_recording_that_is_refused_is_lost_whole(
    tmp_path: Path, refusals: list[tuple[str, str | None]], expected: dict[tuple[int, str], int]
) -> None:
    store = MetadataStore(tmp_path)
    register(store, "2024-01-07--a", 160)
    measure(store, "2024-01-07--a", 160, [(0, 160, "speech")])
    cut(store, "2024-01-07--a", [(0, 100, None, None, "reliable")])
    for stage, gate in refusals:
        refuse(store, "2024-01-07--a", stage, gate)
    assert rows_of(store, "2024-01-07--a") == expected


def test_a_sermon_still_at_work_is_not_counted_and_an_unreadable_one_has_no_length(tmp_path: Path) -> None:
    store = MetadataStore(tmp_path)
    register(store, "2024-01-07--at-work", 160)
    measure(store, "2024-01-07--at-work", 160, [(0, 160, "speech")])
    assert rows_of(store, "2024-01-07--at-work") == {}
    register(store, "2024-01-14--unreadable", None)
    refuse(store, "2024-01-14--unreadable", "recording", "unreadable")
    assert rows_of(store, "2024-01-14--unreadable") == {(1, "unreadable"): 0}
    assert read_funnel(store)[0] == FunnelStep(STEPS[1], 0, 0, ())


def test_the_rows_of_a_sermon_add_up_to_its_length(tmp_path: Path) -> None:
    store, random = MetadataStore(tmp_path), np.random.default_rng(3)
    lengths, speech_left = {}, 0
    for number in range(8):
        sermon, samples = f"2024-02-{number + 1:02d}--x", int(random.integers(3_000, 5_000))
        lengths[sermon] = samples
        register(store, sermon, samples)
        borders = [0, *np.sort(random.choice(np.arange(1, samples), 12, replace=False)).tolist(), samples]
        labels = random.choice(LABELS, len(borders) - 1)
        measure(store, sermon, samples, list(zip(borders[:-1], borders[1:], labels, strict=True)))
        edges = np.sort(random.choice(np.arange(samples + 1), 20, replace=False)).tolist()
        chunks = [
            (start, end, *random.choice([None, "noise"], 2, p=[0.8, 0.2]), random.choice([None, "reliable", "unsure"]))
            for start, end in zip(edges[::2], edges[1::2], strict=True)
        ]
        cut(store, sermon, chunks)
        speech_left += sum(end - start for start, end, *_ in chunks)
    for sermon, samples in lengths.items():
        assert sum(rows_of(store, sermon).values()) == samples
        assert read_funnel(store, sermon)[0].samples_in == samples
    steps = read_funnel(store)
    assert steps[0].samples_in == sum(lengths.values())
    assert steps[1].samples_left == speech_left
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        assert step.samples_in - step.samples_left == sum(samples for _, samples in step.losses)
        assert after is None or after.samples_in == step.samples_left


def test_the_steps_name_the_losses_in_words_largest_first() -> None:
    rows = [
        *[(1, "noise", 5), (1, "unreadable", 0), (1, "noise", 6), (1, "duration", 30)],
        *[(2, "pauses", 7), (2, "noise", 8)],
        *[(3, "text", 2), (3, "new gate", 3)],
        *[(4, "reliable text", 100), (4, "unsure text", 20), (4, "no text yet", 10)],
    ]
    assert funnel_steps(rows) == [
        FunnelStep("recordings that may be used", 191, 150, (("too short or too long", 30), ("too noisy", 11))),
        FunnelStep("speech, cut into chunks", 150, 135, (("noises", 8), ("pauses between chunks", 7))),
        FunnelStep("chunks that pass the gates", 135, 130, (("new gate", 3), ("no believable text", 2))),
        FunnelStep("texts that can be relied on", 130, 100, ((UNSURE, 20), (NO_TEXT, 10))),
    ]
    assert set(HELD_BACK) == {UNSURE, NO_TEXT}


def test_nothing_came_in() -> None:
    assert [(step.samples_in, step.samples_left, step.losses) for step in funnel_steps([])] == [(0, 0, ())] * 4


def steps(**outcomes: int) -> list[FunnelStep]:
    rows = {"lost": (1, "noise"), "pauses": (2, "pauses"), "unsure": (4, "unsure text"), "left": (4, "reliable text")}
    return funnel_steps((*rows[name], samples) for name, samples in outcomes.items())


def pixels(data: bytes) -> np.ndarray:
    picture = Image.open(io.BytesIO(data))
    assert (picture.format, picture.width) == ("PNG", 900)
    return np.asarray(picture.convert("RGB")).astype(int)


def is_left(picture: np.ndarray) -> np.ndarray:
    """Where it has the green of what is left."""
    return (abs(picture - (0x1B, 0x78, 0x37)) < 12).all(axis=2)


def test_the_bars_are_as_long_as_the_amounts() -> None:
    picture = pixels(funnel_picture(steps(lost=600, pauses=150, unsure=150, left=100), title="x"))
    # From the left edge of the bars to the first pixel that is not green: the hatching of the rest has green in it.
    lengths = np.argmin(is_left(picture)[:, 204:], axis=1)
    bars = [int(lengths[top : top + 44].max()) for top in range(34, 34 + 5 * 44, 44)]
    assert np.array(bars) / bars[0] == pytest.approx([1, 0.4, 0.25, 0.25, 0.1], abs=0.01)


@pytest.mark.parametrize(
    "shown",
    [
        steps(left=100 * 3600 * SECOND),
        steps(lost=1),
        steps(unsure=90 * SECOND),
        funnel_steps([]),
        funnel_steps((step, f"a reason of some length {n}", 10**9 - n) for step in (1, 2, 3) for n in range(30)),
    ],
)
def test_nothing_is_cut_off(shown: list[FunnelStep]) -> None:
    picture = pixels(funnel_picture(shown, title="2024-03-10--" + "a-long-title-" * 5))
    assert picture[:, -8:].min() == picture[:, :8].min() == picture[:3].min() == picture[-3:].min() == 255


@pytest.mark.parametrize("title", ["", "$5 & $10 {x} \\alpha", "two\nlines", "x" * 500, "<b>"])
def test_nothing_in_a_title_breaks_it_and_the_same_input_gives_the_same_bytes(title: str) -> None:
    first, second = (funnel_picture(steps(lost=1, left=9), title=title) for _ in range(2))
    assert first == second


def test_no_steps_are_no_picture() -> None:
    with pytest.raises(ValueError, match="no steps"):
        funnel_picture([], title="x")
