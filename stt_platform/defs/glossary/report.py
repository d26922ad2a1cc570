"""What people see of the glossary in the UI."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from stt_platform.defs.shown import page, picture, table
from stt_platform.glossary.attestation import Attestation
from stt_platform.glossary.term_pictures import attestation_picture
from stt_platform.glossary.terms import Glossary
from stt_platform.orchestration.platform import Platform
from stt_platform.store.stages import StageOutput

_PICTURE = "attestation.png"
_LOOK_AT = """
select en as english, es as spanish, sense, n as "verses with the English", rate as "share with this Spanish",
    chance as "share elsewhere", status, reason
from glossary where status in ('unattested', 'weak') order by any_rate, n desc, term_id
"""
_EXAMPLES = 12


def draw_attestation(folder: Path, glossary: Glossary, table: Sequence[Attestation]) -> None:
    """Draw once what every look at the asset shows."""
    (folder / _PICTURE).write_bytes(attestation_picture(table, glossary))


def glossary_metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    """Return the attestation as a picture and in numbers, and the terms that a person should look at."""
    statuses = platform.store.query("select status, count(*) as n from glossary group by status").to_pylist()
    counts = Counter({row["status"]: row["n"] for row in statuses})
    return {
        "picture": picture(output.shown_folder / _PICTURE, "how often each term is borne out"),
        "look at it": page(platform, "glossary"),
        **output.shown,
        **{name: counts[name] for name in ("attested", "weak", "unattested", "not in text")},
        "terms to look at": table(platform.store.query(_LOOK_AT).to_pylist()),
    }


def pairs_metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    """Numbers, where the file lies, and some lines of it."""
    lines = (output.folder / "glossary_pairs.jsonl").read_text(encoding="utf-8").splitlines()
    step = max(len(lines) // _EXAMPLES, 1)
    return {
        **output.shown,
        "file": dg.MetadataValue.path(str(platform.home / "glossary" / "glossary_pairs.jsonl")),
        "examples": table([json.loads(line) for line in lines[::step]]),
    }
