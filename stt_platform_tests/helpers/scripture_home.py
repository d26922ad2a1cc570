"""A small STT_HOME with made-up verse pairs and a glossary, for the tests of their pages."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stt_platform.scripture.pairs import Gate
from stt_platform.scripture.versification import Difference, show_refs
from stt_platform.store.metadata import MetadataStore

EN, OTHER_EN, ES = "kjv", "asv", "rvr1909"
HOSTILE = '<img src=x onerror="window.attacked=1"><script>window.attacked=1</script>\'&amp;'
EMPTY_SIDE = "empty side: no Spanish text answers GEN 1:6; at least 1 character is needed"

Refs = tuple[int, ...]


def segments() -> Iterator[tuple[Refs, Refs]]:
    """Genesis 1 with a merge, a psalm with its title, and Job 38 and 39, which Spanish begins three verses earlier."""
    yield from (((ref,), (ref,)) for ref in range(1001001, 1001004))
    yield (1001004, 1001005), (1001004,)
    yield (1001006,), ()
    for verse in range(1, 39):
        yield (18038000 + verse,), (18038000 + verse,)
    for verse in range(1, 4):
        yield (18038038 + verse,), (18039000 + verse,)
    for verse in range(1, 28):
        yield (18039000 + verse,), (18039003 + verse,)
    for ref in (19003000, 19003001):
        yield (ref,), (ref,)


def text_of(side: str, ref: int) -> str:
    return f"{side} words of {ref}"


def build_home(home: Path) -> Path:
    """Two English texts with one Spanish one; one pair is set aside, and one says something hostile."""
    store = MetadataStore(home)
    pairs = [_pair(en_source, en, es) for en_source in (EN, OTHER_EN) for en, es in segments()]
    pairs.append({**_pair(EN, (55004022,), (55004022,)), "en": HOSTILE})
    subscription = {**_pair(EN, (55004022,), (55004022,), "s"), "status": "quarantined", "reason": HOSTILE}
    pairs.append(subscription)
    store.write("aligned_pairs", "corpus", pairs)
    store.write("scripture_verses", "corpus", list(_verses(pairs)))
    names = sorted({pair["segment_id"] for pair in pairs})
    sides = [{"segment_id": name, "group_id": name, "split": _split(name)} for name in names]
    store.write("scripture_splits", "corpus", sides)
    store.write("versification", "corpus", list(_differences(pairs)))
    store.write("scripture_texts", "corpus", _texts())
    store.write("glossary", "corpus", _terms())
    return home


def _pair(en_source: str, en: Refs, es: Refs, suffix: str = "") -> dict[str, Any]:
    first = f"{en[0]:08d}{suffix}"
    return {
        "pair_id": f"{en_source}-{ES}-{first}",
        "segment_id": f"{ES}-{es[0] if es else en[0]:08d}{suffix}",
        "en_source": en_source,
        "es_source": ES,
        "en_refs": list(en),
        "es_refs": list(es),
        "en": " ".join(text_of("en", ref) for ref in en),
        "es": " ".join(text_of("es", ref) for ref in es),
        "genre": "poetry" if en[0] > 18000000 else "pentateuch",
        "testament": "OT",
        "status": "accepted" if es else "quarantined",
        "reason": None if es else EMPTY_SIDE,
        "gate": None if es else Gate.EMPTY_SIDE.value,
    }


def _split(segment: str) -> str:
    return "test" if segment.endswith("39030") else "train"


def _verses(pairs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    seen = set()
    for pair in pairs:
        for side, source in (("en", pair["en_source"]), ("es", ES)):
            for ref in pair[f"{side}_refs"]:
                note = pair["pair_id"].endswith("s")
                kind = "subscription" if note else "verse" if ref % 1000 else "title"
                if (source, ref, kind) not in seen:
                    seen.add((source, ref, kind))
                    text = HOSTILE if side == "en" and ref == 55004022 else text_of(side, ref)
                    yield {"text_id": source, "ref": ref, "kind": kind, "text": text, "removed": []}


def _differences(pairs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for pair in pairs:
        en, es = tuple(pair["en_refs"]), tuple(pair["es_refs"])
        if en != es:
            note = "The Spanish chapter begins earlier." if en == (18038039,) else ""
            yield {
                **{name: pair[name] for name in ("en_source", "es_source", "en_refs", "es_refs")},
                "english": show_refs(en),
                "spanish": show_refs(es),
                "kind": Difference(en, es).kind,
                "note": note,
            }


def _texts() -> list[dict[str, Any]]:
    nothing = {"verses": 0, "titles": 0, "subscriptions": 0, "blank": 0}
    nameless = {"language": "", "title": "", "licence": "", "attribution": "", "source": "", **nothing}
    used = {"language": "en", "licence": "Public Domain", "source": "made up", **nothing, "verses": 70}
    return [
        {**used, "text_id": EN, "title": "King James Version", "attribution": HOSTILE, "status": "used"},
        {**used, "text_id": OTHER_EN, "title": "American Standard", "attribution": "1901", "status": "used"},
        {**used, "text_id": ES, "language": "es", "title": "Reina-Valera", "attribution": "1909", "status": "used"},
        {**nameless, "text_id": "web", "status": "missing", "reason": "WEB is missing: put it into a folder of texts"},
    ]


def _terms() -> list[dict[str, Any]]:
    rows = (
        ("grace", "", "grace", "gracia", "soteriology", "", 0.9, "attested"),
        ("james", "apostle", "James", "Jacobo", "people", "NT", 1.0, "attested"),
        ("james", "epistle", "James", "Santiago", "people", "register=sermon|JAS", None, "not in text"),
        ("atonement", "", "atonement", "expiación", "soteriology", "OT", 0.2, "weak"),
        ("hostile", "", HOSTILE, HOSTILE, "soteriology", "", 0.0, "unattested"),
    )
    return [
        {
            "term_id": term_id,
            "sense": sense,
            "en": en,
            "es": es,
            "domain": domain,
            "scope": scope,
            "pos": "noun",
            "note": HOSTILE if term_id == "hostile" else "",
            "source": "made up",
            "n": 0 if rate is None else 10,
            "hits": round(10 * (rate or 0)),
            "lemma_hits": 0,
            "any_hits": round(10 * (rate or 0)),
            "rate": rate,
            "lemma_rate": rate,
            "any_rate": rate,
            "chance": 0.01,
            "forbidden": 0,
            "status": status,
            "attested": [18039027] if rate else [],
            "missed": [1001001] if rate == 0.2 else [],
            "reason": None if status == "attested" else f"{en!r} is {status}",
        }
        for term_id, sense, en, es, domain, scope, rate, status in rows
    ]
