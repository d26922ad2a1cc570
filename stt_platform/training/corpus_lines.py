"""The corpus as lines of JSON, for other programs: verse pairs and glossary pairs."""

from typing import Any

from stt_platform.glossary.augment import Example
from stt_platform.scripture.pairs import PairRow


def verse_pair_line(row: PairRow) -> dict[str, Any]:
    """Write a line of `verse_pairs_<split>.jsonl`. `verse_id` is the first English verse as BBCCCVVV, None where none is."""
    return {
        "en": row.en,
        "es": row.es,
        "verse_id": row.en_refs[0] if row.en_refs else None,
        "en_source": row.en_source,
        "es_source": row.es_source,
        "pair_id": row.pair_id,
        "segment_id": row.segment_id,
        "en_refs": list(row.en_refs),
        "es_refs": list(row.es_refs),
        "genre": row.genre,
        "testament": row.testament,
    }


def glossary_line(example: Example) -> dict[str, Any]:
    """Write a line of `glossary_pairs.jsonl`, of an example of `term_examples`."""
    return {"en": example.source, "es": example.target, "term_id": example.term_id, "kind": example.kind}
