"""The glossary: attested in scripture, and as training examples."""

import json
import shutil
from dataclasses import asdict, dataclass
from typing import Any

from stt_platform.defs.glossary import report
from stt_platform.glossary.attestation import Attestation, attest
from stt_platform.glossary.augment import term_examples
from stt_platform.glossary.terms import Sense
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import Work
from stt_platform.scripture.pairs import ACCEPTED, main_target
from stt_platform.store.glossary import glossary_at, glossary_file
from stt_platform.store.scripture import read_pairs
from stt_platform.store.stages import StageResult
from stt_platform.training.corpus_lines import glossary_line

GLOSSARY_FILE = "glossary.csv"
"""The table in the output of `glossary`: what was read, whatever becomes of the original."""


@dataclass(frozen=True)
class GlossaryData:
    """How many terms and senses there are, and in how many verse pairs they were looked for."""

    terms: int
    senses: int
    verse_pairs_looked_at: int


@stage(
    version="1",
    group="glossary",
    kinds={"table"},
    upstream=("verse_pairs",),
    tables=("glossary",),
    parameters=lambda context: {"min_rate": context.settings.glossary.min_rate},
    files=lambda context: {"glossary": glossary_file(context.settings)},
    metadata=report.glossary_metadata,
)
def glossary(work: Work) -> StageResult:
    """Read the glossary, and count how often verses attest the Spanish of each term.

    Each sense of each term is looked for in the verse pairs: where the English stands, does the Spanish stand too? A term
    that is weak or unattested is not wrong (RVR1909 is old), but a person should look at it. The table is
    `data/reference/glossary.csv`; the setting `glossary.file` names another.
    """
    path = glossary_file(work.settings)
    terms = glossary_at(path)
    shutil.copyfile(path, work.folder / GLOSSARY_FILE)
    rows = [row for row in read_pairs(work.inputs["verse_pairs"].folder) if row.status == ACCEPTED]
    target = main_target(rows)
    pairs = [(row.en_refs[0], row.en, row.es) for row in rows if row.es_source == target]
    table = attest(terms, pairs, min_rate=work.settings.glossary.min_rate)
    report.draw_attestation(work.shown_folder, terms, table)
    return StageResult(
        data=GlossaryData(len(terms.terms), len(terms.senses), len(pairs)),
        tables={"glossary": [_row(sense, found) for sense, found in zip(terms.senses, table, strict=True)]},
    )


def _row(sense: Sense, found: Attestation) -> dict[str, Any]:
    return {
        **asdict(found),
        "scope": sense.scope_text,
        "pos": sense.pos,
        "domain": sense.domain,
        "note": sense.note,
        "source": sense.source,
        "attested": list(found.attested),
        "missed": list(found.missed),
        "reason": found.reason or None,
    }


@dataclass(frozen=True)
class GlossaryPairsData:
    """How many examples there are: terms by themselves, and sentences with one."""

    terms: int
    sentences: int


@stage(
    version="1",
    group="glossary",
    kinds={"text"},
    upstream=("glossary",),
    published={"glossary_pairs.jsonl": "glossary/glossary_pairs.jsonl"},
    metadata=report.pairs_metadata,
)
def glossary_pairs(work: Work) -> StageResult:
    """Make training examples of every term, alone and in sentences of a sermon, in both languages.

    Written as `glossary_pairs.jsonl`.
    """
    examples = term_examples(glossary_at(work.inputs["glossary"].folder / GLOSSARY_FILE))
    with (work.folder / "glossary_pairs.jsonl").open("w", encoding="utf-8") as file:
        for example in examples:
            file.write(json.dumps(glossary_line(example), ensure_ascii=False) + "\n")
    kinds = [example.kind for example in examples]
    return StageResult(data=GlossaryPairsData(kinds.count("term"), kinds.count("term_sentence")))
