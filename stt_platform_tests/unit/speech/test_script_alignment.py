"""A script whose words, times and chunks are known, heard with errors."""

import random

import pytest

from stt_platform.speech.script_alignment import HeardChunk, HeardWord, script_parts

RATE_HZ = 16_000
SCRIPT = (
    "Grace to you, and peace. Turn with me to the book of Ruth, chapter one. In the days when the judges ruled there was a "
    "famine in the land; and a man of Bethlehem went to sojourn in Moab. He did not ask the Lord. He looked at the "
    "field, he looked at the sky, and he went. How often do we do the same? We count the bread in the house before we pray."
)
SIZES = [5, 9, 20, 7, len(SCRIPT.split()) - 41]


def recorded(script: str, sizes: list[int]) -> tuple[list[HeardChunk], list[str]]:
    """Half a second for each word and a pause of a second between chunks of so many words; and the text of each."""
    words, chunks, texts, at, start = script.split(), [], [], 0, 0
    for number, size in enumerate(sizes):
        taken = words[start : start + size]
        spans = tuple(HeardWord(word, at + k * 8_000, at + (k + 1) * 8_000) for k, word in enumerate(taken))
        chunks.append(HeardChunk(f"c{number}", at, at + len(taken) * 8_000, spans))
        texts.append(" ".join(taken))
        at += len(taken) * 8_000 + RATE_HZ
        start += size
    return chunks, texts


def with_errors(chunk: HeardChunk, share: float, draw: random.Random) -> HeardChunk:
    words = []
    for word in chunk.words:
        dice = draw.random()
        if dice < share / 3:
            continue
        words.append(HeardWord("mumble", word.start_sample, word.end_sample) if dice < 2 * share / 3 else word)
        if dice > 1 - share / 3:
            words.append(HeardWord("uh", word.end_sample, word.end_sample))
    return HeardChunk(chunk.chunk_id, chunk.start_sample, chunk.end_sample, tuple(words))


def test_what_was_heard_rightly_gives_the_script_with_its_punctuation() -> None:
    chunks, texts = recorded(SCRIPT, SIZES)
    parts = script_parts(SCRIPT, list(reversed(chunks)))
    assert [part.text for part in reversed(parts)] == texts
    assert all(part.error_rate == 0 for part in parts)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4])
def test_errors_within_chunks_do_no_harm_and_edges_seldom_move(share: float) -> None:
    chunks, texts = recorded(" ".join([SCRIPT] * 4), SIZES * 4)
    draw = random.Random(7)
    parts = script_parts(" ".join([SCRIPT] * 4), [with_errors(chunk, share, draw) for chunk in chunks])
    found = [(part.text, text) for part, text in zip(parts, texts, strict=True) if part.text]
    assert len(found) >= 0.8 * len(texts)
    astray = sum(len(set(enumerate(a.split())) ^ set(enumerate(b.split()))) > 0 for a, b in found)
    moved = sum(abs(len(a.split()) - len(b.split())) for a, b in found)
    assert astray <= (0.3 if share < 0.4 else 0.5) * len(found)
    assert moved <= 0.04 * sum(len(text.split()) for text in texts)


def test_a_missed_word_goes_with_its_clause_and_where_there_is_time_for_it() -> None:
    script = "he looked at the field. And then he went home"
    words = script.split()

    def chunk(name: str, start: int, end: int, first: int, last: int) -> HeardChunk:
        spans = tuple(HeardWord(words[k], k * 8_000, (k + 1) * 8_000) for k in range(first, last))
        return HeardChunk(name, start, end, spans)

    # "field. And" was missed, as if the one ended early and the other began late.
    parts = script_parts(script, [chunk("a", 0, 40_000, 0, 4), chunk("b", 40_000, 80_000, 6, 10)])
    assert [part.text for part in parts] == ["he looked at the field.", "And then he went home"]
    # Without a clause between them, all the time is before the second chunk's first word.
    plain = script.replace(".", "").casefold()
    parts = script_parts(plain, [chunk("a", 0, 32_000, 0, 4), chunk("b", 32_000, 80_000, 6, 10)])
    assert [part.text for part in parts] == ["he looked at the", "field and then he went home"]


def test_what_cannot_be_placed_says_why() -> None:
    chunks, _ = recorded(SCRIPT, SIZES)
    silent = HeardChunk("c9", 10**7, 10**7 + 16_000, ())
    other = HeardChunk("c2", chunks[2].start_sample, chunks[2].end_sample, (HeardWord("hymn", 0, 1),) * 20)
    parts = {part.chunk_id: part for part in script_parts(SCRIPT, [*chunks[:2], other, *chunks[3:], silent])}
    assert parts["c0"].text and parts["c4"].text
    assert not parts["c2"].text and "certain" in parts["c2"].reason
    assert "no word of the script" in parts["c9"].reason
    without = script_parts(SCRIPT, [chunks[0], chunks[4]])
    assert [part.text for part in without] == ["", ""]
    assert all("edges are unknown" in part.reason for part in without)
    assert script_parts("", chunks)[0].reason == "nothing was heard in it"
