"""What people see of a training set in the UI."""

import json
from collections.abc import Mapping
from typing import Any

import dagster as dg

from stt_platform.defs.platform import Platform
from stt_platform.defs.shown import table
from stt_platform.store.stages import CORPUS, StageOutput, current_output

_COUNTS = """
select "set", split, source_kind as kind, count(*) as examples, count(distinct target) as "distinct targets",
    sum(weight) as weight
from training_examples where "set" like 'translation%' group by all order by 1, 2 desc, 4 desc
"""
_EXAMPLES = """
select source_kind as kind, split, source, target, prompt from training_examples where "set" like 'translation%'
qualify row_number() over (partition by "set", source_kind order by md5(example_id)) <= 2 order by 1, 2
"""


def set_metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    """Counts and weights by kind, some examples, and the hash that names the set."""
    manifest = json.loads((output.folder / "translation_training_set.json").read_text(encoding="utf-8"))
    without = current_output(platform.home, CORPUS, "back_translations") is None
    return {
        **output.facts,
        "sha256": manifest["sha256"],
        "made without": "back-translations, which have not been made" if without else "–",
        "examples by kind": table(platform.store.query(_COUNTS).to_pylist()),
        "some examples": table(platform.store.query(_EXAMPLES).to_pylist()),
        "manifest": dg.MetadataValue.path(str(platform.home / "training" / "translation_training_set.json")),
    }
