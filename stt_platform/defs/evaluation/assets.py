"""What the platform measures itself against."""

import dagster as dg

from stt_platform.defs.evaluation.references import collect_references
from stt_platform.defs.platform import OWNERS, Platform
from stt_platform.defs.shown import table

_REFUSED = """
select source as file, reason, sermon, chunk_id as chunk, text from "references" where status = 'rejected'
order by source, reason limit 200
"""


@dg.asset(group_name="evaluation", kinds={"text"}, owners=OWNERS, deps=["training_chunks"])
def references(platform: Platform) -> dg.MaterializeResult:
    """What was really said, written by people from scratch or taken from a known script: the yardstick for every WER.

    Put `<name of the recording>.txt` beside a recording before you ingest it, or `.jsonl`, `.csv`, `.txt` files into
    `STT_HOME/references`; the lists of `assessment_sample` may also be filled where they lie. `[no speech]` says that
    nobody speaks. Of several texts for one chunk the first counts. Rows that fit no sermon or chunk are kept with their
    reason.
    """
    found = collect_references(platform.store)
    return dg.MaterializeResult(
        metadata={
            "files": found.files,
            "accepted references": found.accepted,
            "of chunks": found.chunks,
            "of chunks without speech": found.no_speech,
            "rejected references": found.rejected,
            "sermons with a reference": found.sermons,
            "rejected": table(platform.store.query(_REFUSED).to_pylist()),
        }
    )
