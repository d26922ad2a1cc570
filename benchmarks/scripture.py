"""What the corpus costs, and what it finds, against the plain join of the seed.

    .venv/bin/python benchmarks/scripture.py FOLDER

FOLDER holds five English texts and RVR1909 in any supported format. The plain join pairs verses of the same number,
as the seed's `align_scrollmapper` does, from texts that are read and cleaned already.
"""

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from stt_platform.scripture.finding import find_texts
from stt_platform.scripture.pairing import pair_texts, verse_pairs_of
from stt_platform.scripture.pairs import ACCEPTED, PairRow
from stt_platform.scripture.splitting import comparable, leaks, split_segments
from stt_platform.scripture.texts import ScriptureText

_SHORTEST = 5


def plain_join(english: list[ScriptureText], spanish: ScriptureText) -> list[tuple[str, int, str, str]]:
    """(source, number, English, Spanish) wherever both have more than five characters under one number."""
    return [
        (text.text_id, ref, verse, spanish.by_ref[ref])
        for text in english
        for ref, verse in text.by_ref.items()
        if len(verse) > _SHORTEST and len(spanish.by_ref.get(ref, "")) > _SHORTEST
    ]


def leaked(pairs: list[tuple[str, int, str, str]]) -> tuple[int, int]:
    """Held-out pairs of the seed's split (the number of the verse ends in 0), and those whose Spanish is in training."""
    learned = {comparable(es) for _, ref, _, es in pairs if ref % 10}
    test = [es for _, ref, _, es in pairs if not ref % 10]
    return len(test), sum(comparable(es) in learned for es in test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    times: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        started = time.monotonic()
        result = work()
        times[name] = time.monotonic() - started
        return result

    found = timed("read and clean", lambda: find_texts([folder]))
    english, (spanish, *_) = list(found.in_language("en")), found.in_language("es")
    joined = timed("plain join", lambda: plain_join(english, spanish))
    paired = timed("align", lambda: pair_texts(english, [spanish]))
    rows: list[PairRow] = timed("join and filter", lambda: verse_pairs_of(paired))
    splits = timed("split", lambda: split_segments(rows))

    right = {(row.en_source, ref): row for row in rows for ref in row.en_refs}
    wrong = sum(right[source, ref].es_refs != (ref,) for source, ref, _, _ in joined)
    accepted = [row for row in rows if row.status == ACCEPTED]
    held_out, in_both = leaked(joined)
    side = {row.segment_id: row.split for row in splits}
    our_leaks = leaks([replace(row, split=side[row.segment_id]) for row in rows])
    for name, seconds in times.items():
        print(f"{name:16} {seconds:6.1f} s")
    whole = sum(times.values()) - times["plain join"]
    baseline = times["read and clean"] + times["plain join"]
    print(f"ours {whole:.1f} s, plain join with the same reading {baseline:.1f} s: {whole / baseline:.1f} times")
    print(f"largest memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    print(f"plain join: {len(joined)} pairs, {wrong} of them with another verse, or with a part of one")
    print(f"ours: {len(rows)} pairs, {len(accepted)} accepted, {len(rows) - len(accepted)} set aside with a reason")
    print(
        f"the seed's split: {in_both} of {held_out} test pairs have their Spanish in training; ours: {len(our_leaks)}"
    )


if __name__ == "__main__":
    main()
