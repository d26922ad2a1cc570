"""Which chunks a person writes down from scratch, and the list that is handed out.

The list holds no automatic text: who corrects a text keeps its errors, and the measured rate is too low. What comes back
is read by `speech/references.py`.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np

from stt_platform.machine.seeded import seeded_uniform

_FORMULA = ("=", "+", "-", "@")


@dataclass(frozen=True)
class ChunkToAssess:
    """A chunk that may be drawn. `snr_db` is None where it was not measured; `audio` is what to listen to."""

    chunk_id: str
    sermon: str
    speaker: str | None
    snr_db: float | None
    duration_s: float
    audio: str = ""


def choose_sample(
    chunks: Iterable[ChunkToAssess], *, size: int = 100, seed: int, keep: Collection[str] = ()
) -> list[ChunkToAssess]:
    """Draw chunks by sermon, level of noise (tertiles of the SNR) and speaker; the same for any order of `chunks`.

    Seats are dealt one by one. Every sermon comes first to what it is due: one chunk of each of its strata where
    there are seats for all strata, else one chunk. The rest goes by size (Sainte-Laguë), over sermons first, for it
    is their number that makes an interval narrow. Within a sermon the stratum is the one that has none yet, then
    the one whose noise and speaker are furthest below their share of the whole sample.

    Args:
        size: how many; 50 to 100 are usual. All chunks where there are no more.
        keep: chunks that are in the sample in any case, since people have transcribed them; more than `size` if need
            be. While `chunks` stay the same, keeping some of a sample leaves all of it as it is.

    Returns:
        Sorted by sermon and chunk.

    Raises:
        ValueError: `size` is less than 1, or a chunk comes twice.
    """
    if size < 1:
        raise ValueError(f"size {size}: draw at least 1 chunk")
    kept = frozenset(keep)
    # The last one of a stratum is taken first: where the seats stay as they were, so do the chunks on them.
    everyone = sorted(
        chunks, key=lambda chunk: (chunk.chunk_id in kept, seeded_uniform(seed, chunk.chunk_id), chunk.chunk_id)
    )
    if twice := [chunk_id for chunk_id, times in Counter(chunk.chunk_id for chunk in everyone).items() if times > 1]:
        raise ValueError(f"chunk {min(twice)!r} comes twice: give each chunk once")
    levels = noise_levels(everyone)
    # From a sermon to its strata, and from a stratum to its chunks in the order in which they are drawn.
    waiting: dict[str, dict[tuple[str, str], list[ChunkToAssess]]] = {}
    for chunk in everyone:
        waiting.setdefault(chunk.sermon, {}).setdefault((levels[chunk.chunk_id], chunk.speaker or ""), []).append(chunk)
    all_strata = sum(len(strata) for strata in waiting.values())
    due = {sermon: len(strata) if all_strata <= size else 1 for sermon, strata in waiting.items()}
    of_sermon = Counter(chunk.sermon for chunk in everyone)
    of_group = Counter((levels[chunk.chunk_id], chunk.speaker or "") for chunk in everyone)
    dealt: list[ChunkToAssess] = []
    by_sermon: Counter[str] = Counter()
    by_group: Counter[tuple[str, str]] = Counter()
    by_stratum: Counter[tuple[str, tuple[str, str]]] = Counter()

    def sermon_claim(sermon: str) -> tuple:
        first = by_sermon[sermon] < due[sermon]
        share = _claim(of_sermon[sermon], by_sermon[sermon])
        # With fewer seats than sermons, a long one is no likelier than a short one.
        return first, not by_sermon[sermon], 0.0 if first else share, seeded_uniform(seed, sermon), sermon

    while len(dealt) < min(size, len(everyone)):
        sermon = max((name for name, strata in waiting.items() if any(strata.values())), key=sermon_claim)
        group = max(
            (name for name, left in waiting[sermon].items() if left),
            key=lambda name: (not by_stratum[sermon, name], _claim(of_group[name], by_group[name]), name),
        )
        dealt.append(waiting[sermon][group].pop())
        by_sermon[sermon] += 1
        by_group[group] += 1
        by_stratum[sermon, group] += 1
    chosen = [chunk for chunk in everyone if chunk.chunk_id in kept]
    chosen += [chunk for chunk in dealt if chunk.chunk_id not in kept][: max(size - len(chosen), 0)]
    return sorted(chosen, key=lambda chunk: (chunk.sermon, chunk.chunk_id))


def noise_levels(chunks: Iterable[ChunkToAssess]) -> dict[str, str]:
    """Find the level of every chunk: 'noisy', 'middle' or 'clean' by the tertiles of all SNRs, 'unknown' without one."""
    listed = list(chunks)
    measured = [chunk.snr_db for chunk in listed if chunk.snr_db is not None]
    if not measured:
        return {chunk.chunk_id: "unknown" for chunk in listed}
    lower, upper = np.quantile(measured, [1 / 3, 2 / 3])

    def level(snr_db: float | None) -> str:
        if snr_db is None:
            return "unknown"
        return "noisy" if snr_db <= lower else "middle" if snr_db <= upper else "clean"

    return {chunk.chunk_id: level(chunk.snr_db) for chunk in listed}


def sample_jsonl(chunks: Sequence[ChunkToAssess]) -> str:
    """Write the list to hand out, one JSON object a line, each with an empty `manual_text`."""
    return "".join(f"{json.dumps({**asdict(chunk), 'manual_text': ''}, ensure_ascii=False)}\n" for chunk in chunks)


def sample_csv(chunks: Sequence[ChunkToAssess]) -> str:
    """Write the list to hand out as CSV (RFC 4180) with an empty column `manual_text`.

    Write it with the encoding 'utf-8-sig' and without translating line ends: spreadsheets know UTF-8 by its mark.
    A text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    text = io.StringIO(newline="")
    columns = [*(column.name for column in fields(ChunkToAssess)), "manual_text"]
    writer = csv.DictWriter(text, columns, lineterminator="\r\n")
    writer.writeheader()
    for chunk in chunks:
        writer.writerow({name: _harmless(value) for name, value in asdict(chunk).items()} | {"manual_text": ""})
    return text.getvalue()


def _claim(items: int, seats: int) -> float:
    return items / (2 * seats + 1)


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
