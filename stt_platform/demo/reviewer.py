"""A stand-in for the reviewer: it knows the script, and writes down what is really said in each chunk that it is asked about.

It shows what corrections are worth where nobody is there to make them. What it writes is called what it is: its name
stands in every row.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from stt_platform.defs.adapters.speech_chunks import heard_chunk
from stt_platform.machine.files import write_atomically
from stt_platform.speech.script_alignment import script_parts
from stt_platform.store.metadata import MetadataStore

REVIEWER = "stand-in reviewer (reads the script)"

_SCRIPTS = """
select scripts.sermon, scripts.text from "references" scripts
join splits on splits.sermon = scripts.sermon and splits.split = 'train'
where scripts.status = 'accepted' and scripts.chunk_id is null order by scripts.sermon
"""
_CHUNKS = """
select speech.chunk_id, speech.start_sample, speech.end_sample, heard.words from speech_chunks speech
join transcripts heard on heard.chunk_id = speech.chunk_id where speech.sermon = $sermon order by speech.start_sample
"""
_ASKED = (
    "select chunk_id, text from flagged_segments where cycle = $cycle and status = 'flagged' and chunk_id is not null"
)


def review(store: MetadataStore, cycle: int) -> int:
    """Correct the list of a cycle, where the script says what is spoken there; returns how many segments it corrected.

    The corrections lie in `STT_HOME/corrections`, as a spreadsheet that a person sends back would.
    """
    asked = {row["chunk_id"]: row["text"] for row in store.query(_ASKED, {"cycle": cycle}).to_pylist()}
    rows = [row for row in _corrections(store, asked) if row["chunk_id"] in asked]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["chunk_id", "proposal", "corrected", "verdict", "reviewer"], lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    path: Path = store.home / "corrections" / f"stand-in-reviewer-cycle-{cycle}.csv"
    data = text.getvalue().encode("utf-8-sig")
    if not path.exists() or path.read_bytes() != data:
        write_atomically(path, data)
    return len(rows)


def _corrections(store: MetadataStore, asked: Mapping[str, str]) -> Iterator[dict[str, str]]:
    for script in store.query(_SCRIPTS).to_pylist():
        rows = store.query(_CHUNKS, {"sermon": script["sermon"]}).to_pylist()
        for part in script_parts(script["text"], [heard_chunk(row) for row in rows]):
            if part.text:
                yield {
                    "chunk_id": part.chunk_id,
                    "proposal": asked.get(part.chunk_id, ""),
                    "corrected": part.text,
                    # A row that is left as it was counts as not answered, unless it says that this is right.
                    "verdict": "usable",
                    "reviewer": REVIEWER,
                }
