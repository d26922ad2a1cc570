"""Chunks of made-up probabilities: where they are cut, and what always holds."""

from itertools import pairwise

import numpy as np
import pytest

from stt_platform.audio.chunking import borders_in_pauses, cut_chunks

HZ = 16_000
FRAME = 512


def probabilities_of(*runs):
    """Runs of (probability, seconds) as one probability per frame."""
    return np.concatenate([np.full(round(seconds * HZ / FRAME), p, dtype=np.float32) for p, seconds in runs])


def chunks_of(probabilities, energies_db=None, **parameters):
    if energies_db is None:
        energies_db = np.where(probabilities >= 0.5, -20.0, -60.0).astype(np.float32)
    total_samples = probabilities.size * FRAME
    return cut_chunks(probabilities, energies_db, total_samples=total_samples, **parameters)


def seconds(chunks):
    return [(round(c.start_sample / HZ, 1), round(c.end_sample / HZ, 1)) for c in chunks]


def test_silence_has_no_chunks():
    assert chunks_of(probabilities_of((0.0, 60))) == []
    assert cut_chunks(np.zeros(0, np.float32), np.zeros(0, np.float32), total_samples=0) == []


def test_one_sentence_is_padded_on_both_sides():
    chunks = chunks_of(probabilities_of((0.0, 3.2), (0.9, 6.4), (0.0, 3.2)))
    assert [(c.start_sample, c.end_sample) for c in chunks] == [(int(3.1 * HZ), int(9.7 * HZ))]
    assert chunks[0].status == "accepted"
    assert chunks[0].reason is None
    assert not chunks[0].forced_cut
    assert chunks[0].silence_ratio == pytest.approx(0.2 / 6.6)


def test_padding_ends_at_the_ends_of_the_file():
    probabilities = probabilities_of((0.9, 6.4))
    chunks = chunks_of(probabilities)
    assert [(c.start_sample, c.end_sample) for c in chunks] == [(0, probabilities.size * FRAME)]


def test_pauses_every_seven_seconds_are_where_it_is_cut():
    sentence = [(0.95, 6.72), (0.02, 0.32)]
    chunks = chunks_of(probabilities_of(*sentence * 10))
    assert len(chunks) > 1
    assert all(c.status == "accepted" and not c.forced_cut for c in chunks)
    for before, after in pairwise(chunks):
        # A pause of 0.32 s: padding of 0.1 s on both sides leaves 0.12 s to neither.
        assert after.start_sample - before.end_sample == int(0.12 * HZ)
        assert after.start_sample / HZ % 7.04 == pytest.approx(7.04 - 0.1)


def test_a_short_pause_is_cut_in_its_middle():
    speech = (0.95, 16.0)
    chunks = chunks_of(probabilities_of(speech, (0.02, 0.128), speech))
    assert [c.forced_cut for c in chunks] == [False, False]
    assert chunks[0].end_sample == chunks[1].start_sample == int(16.064 * HZ)


def test_the_longest_pause_is_preferred():
    chunks = chunks_of(
        probabilities_of((0.95, 9.6), (0.0, 0.32), (0.95, 3.2), (0.0, 0.96), (0.95, 3.2), (0.0, 0.32), (0.95, 9.6))
    )
    assert seconds(chunks) == [(0.0, 13.2), (14.0, 27.2)]


def test_speech_without_a_pause_is_cut_by_force_where_it_is_quietest():
    probabilities = probabilities_of((0.95, 70.4))
    energies_db = np.full(probabilities.size, -20.0, dtype=np.float32)
    quiet = [round(s * HZ / FRAME) for s in (22.4, 44.8)]
    energies_db[quiet] = -45.0
    chunks = chunks_of(probabilities, energies_db)
    assert [c.forced_cut for c in chunks] == [True] * 3
    assert [c.start_sample for c in chunks[1:]] == [frame * FRAME + FRAME // 2 for frame in quiet]
    assert all(c.status == "accepted" for c in chunks)


def test_only_the_chunks_at_a_forced_cut_are_flagged():
    chunks = chunks_of(probabilities_of((0.95, 44.8), (0.0, 0.96), (0.95, 12.8)))
    assert [c.forced_cut for c in chunks] == [*[True] * (len(chunks) - 1), False]
    assert seconds(chunks)[-1] == (45.7, 58.6)


def test_short_neighbours_are_merged():
    amen = [(0.95, 0.64), (0.0, 0.96)]
    chunks = chunks_of(probabilities_of(*amen * 5))
    assert len(chunks) == 1
    assert chunks[0].status == "accepted"


def test_a_long_pause_is_never_inside_a_chunk():
    speech = (0.95, 3.2)
    assert len(chunks_of(probabilities_of(speech, (0.0, 1.92), speech))) == 1
    assert seconds(chunks_of(probabilities_of(speech, (0.0, 2.08), speech))) == [(0.0, 3.3), (5.2, 8.5)]


@pytest.mark.parametrize(
    ("speech_s", "reason"),
    [(0.64, "shorter than 1 s"), (0.032, "shorter than 1 s"), (0.832, None)],
)
def test_a_lonely_short_word_is_marked(speech_s, reason):
    chunks = chunks_of(probabilities_of((0.0, 3.2), (0.95, speech_s), (0.0, 3.2)))
    assert [(c.status, c.reason) for c in chunks] == [("rejected" if reason else "accepted", reason)]


def test_clicks_in_a_pause_are_no_speech():
    click = [(0.95, 0.064), (0.0, 1.6)]
    chunks = chunks_of(probabilities_of((0.0, 3.2), *click * 3, (0.0, 3.2)))
    assert [(c.status, c.reason) for c in chunks] == [("rejected", "less than 0.5 s of speech in it")]


@pytest.mark.parametrize(
    ("borders", "expected", "forced"),
    [
        ([], [(0.0, 12.9)], [False]),
        # In the pause, nearer to the speech than the padding reaches.
        ([int(6.45 * HZ)], [(0.0, 6.5), (6.6, 12.9)], [False, False]),
        ([int(3.2 * HZ)], [(0.0, 3.2), (3.2, 12.9)], [True, True]),
        ([int(0.6 * HZ)], [(0.0, 0.6), (0.6, 12.9)], [True, True]),
        ([0, 10**9], [(0.0, 12.9)], [False]),
    ],
)
def test_no_chunk_crosses_a_border(borders, expected, forced):
    chunks = chunks_of(probabilities_of((0.95, 6.4), (0.0, 0.32), (0.95, 6.08), (0.0, 3.2)), borders=borders)
    assert seconds(chunks) == expected
    assert [c.forced_cut for c in chunks] == forced


def test_a_voice_that_is_noticed_late_is_kept_whole():
    # The voice begins at 3.2 s, the probability rises 0.256 s later.
    probabilities = probabilities_of((0.02, 3.2), (0.2, 0.256), (0.95, 6.4), (0.02, 3.2))
    energies_db = np.full(probabilities.size, -60.0, dtype=np.float32)
    energies_db[100:308] = -20.0
    (chunk,) = chunks_of(probabilities, energies_db)
    assert chunk.start_sample == int(3.1 * HZ)


@pytest.mark.parametrize("target_s", [5.0, 15.0, 25.0])
def test_what_always_holds(target_s):
    rng = np.random.default_rng(7)
    lengths = []
    for _ in range(60):
        steps = rng.normal(0, rng.choice([0.05, 0.2, 0.6]), int(rng.integers(1, 9000)))
        probabilities = (0.5 + 0.5 * np.sin(np.cumsum(steps) + rng.uniform(0, 6))).astype(np.float32)
        probabilities = np.maximum(probabilities, rng.choice([0.0, 0.0, 0.34, 0.6])).astype(np.float32)
        energies_db = rng.uniform(-60, -10, probabilities.size).astype(np.float32)
        total_samples = probabilities.size * FRAME - int(rng.integers(0, FRAME))
        borders = sorted(rng.integers(0, total_samples + 1, int(rng.integers(0, 4))).tolist())
        arguments = {"total_samples": total_samples, "target_s": target_s, "borders": borders}

        chunks = cut_chunks(probabilities, energies_db, **arguments)

        assert chunks == cut_chunks(probabilities.copy(), energies_db.copy(), **arguments)
        positions = [p for c in chunks for p in (c.start_sample, c.end_sample)]
        assert positions == sorted(positions)
        assert all(0 <= p <= total_samples for p in positions)
        for c in chunks:
            assert c.start_sample < c.end_sample
            assert 0.0 <= c.silence_ratio <= 1.0
            assert not any(c.start_sample < b < c.end_sample for b in borders)
            if c.status == "accepted":
                assert HZ <= c.end_sample - c.start_sample <= 30 * HZ
                assert c.reason is None
            else:
                assert c.status == "rejected"
                assert c.reason
        assert sum(c.end_sample - c.start_sample for c in chunks) <= total_samples
        # No frame that is surely speech is outside of the chunks.
        covered = np.zeros(total_samples, dtype=bool)
        for c in chunks:
            covered[c.start_sample : c.end_sample] = True
        assert covered[np.repeat(probabilities >= 0.5, FRAME)[:total_samples]].all()
        lengths += [c.end_sample - c.start_sample for c in chunks]
    assert max(lengths) <= 30 * HZ


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"total_samples": 10_000}, "probabilities"),
        ({"min_s": 0.0}, "min_s=0.0"),
        ({"target_s": 31.0}, "target_s=31.0"),
        ({"padding_s": -0.1}, "padding_s=-0.1"),
        ({"max_s": 3.0, "target_s": 2.0}, "no room for a cut"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(parameters, message):
    probabilities = probabilities_of((0.9, 3.2))
    arguments = {"total_samples": probabilities.size * FRAME, **parameters}
    with pytest.raises(ValueError, match=message):
        cut_chunks(probabilities, probabilities * 0, **arguments)


@pytest.mark.parametrize(
    ("border_s", "moved_s"),
    [
        (1.6, 1.6),  # in the pause already
        (1.9, 1.5),  # just behind the pause
        (1.1, 1.5),  # just before it
        (3.0, 3.0),  # no pause within half a second
        (5.5, 5.5),  # after all speech
    ],
)
def test_a_border_moves_out_of_a_word(border_s, moved_s):
    second = 16_000 // FRAME
    speech, pause = np.ones(second, np.float32), np.zeros(second, np.float32)
    # Speech from 0.25 to 1.25 s and from 1.75 to 4.75 s.
    probabilities = np.concatenate([pause[: second // 4], speech, pause[: second // 2], speech, speech, speech, pause])
    total_samples = probabilities.size * FRAME
    (moved,) = borders_in_pauses([round(border_s * 16_000)], probabilities, total_samples=total_samples)
    assert moved / 16_000 == pytest.approx(moved_s, abs=0.05)
