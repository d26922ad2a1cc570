"""What people see of a training set in the UI."""

import json
from collections.abc import Mapping
from typing import Any

import dagster as dg

from stt_platform.defs.shown import picture, table
from stt_platform.orchestration.platform import Platform
from stt_platform.store.stages import CORPUS, StageOutput, current_output

CURVES, EXAMPLES = "curves.png", "examples.json"
"""What a training leaves in its folder for people to look at."""

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
    """Show counts and weights by kind, some examples, and the hash that names the set."""
    manifest = json.loads((output.folder / "translation_training_set.json").read_text(encoding="utf-8"))
    without = current_output(platform.home, CORPUS, "back_translations") is None
    return {
        **output.shown,
        "sha256": manifest["sha256"],
        "made without": "back-translations, which have not been made" if without else "–",
        "examples by kind": table(platform.store.query(_COUNTS).to_pylist()),
        "some examples": table(platform.store.query(_EXAMPLES).to_pylist()),
        "manifest": dg.MetadataValue.path(str(platform.home / "training" / "translation_training_set.json")),
    }


def adapter_metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    """Show the curves, validation examples before and after, and what took how much memory."""
    shown = dict(output.shown)
    plan, left_out = shown.pop("memory plan"), shown.pop("left out")
    examples = json.loads((output.shown_folder / EXAMPLES).read_text(encoding="utf-8"))
    return {
        "curves": picture(
            output.shown_folder / CURVES, "the loss and what was measured while it learned, over the steps"
        ),
        **shown,
        "before and after": table(examples),
        "memory plan": table(plan),
        "left out": "; ".join(f"{name}: {why}" for name, why in sorted(left_out.items())) or "–",
        "folder": dg.MetadataValue.path(str(platform.home / "adapters" / output.shown["adapter_id"])),
    }


_SPEECH = """
select source_kind as kind, target as text, source as sound from training_examples where "set" = $set and split = 'train'
qualify row_number() over (partition by source_kind order by md5(example_id)) <= 2 order by 1, 2
"""


def speech_set_metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    """Show hours by source, what was left out and why, some examples, and the hash that names the set."""
    manifest = json.loads((output.folder / "speech_training_set.json").read_text(encoding="utf-8"))
    hours, counts = manifest["hours"], manifest["examples"]
    by_source = [
        {"split": split, "source": kind, "examples": counts[split][kind], "minutes": round(60 * value, 1)}
        for split, kinds in sorted(hours.items(), reverse=True)
        for kind, value in sorted(kinds.items())
    ]
    left_out = [{"chunks": count, "left out because": reason} for reason, count in manifest["left_out"].items()]
    examples = platform.store.query(_SPEECH, {"set": f"speech-{manifest['cycle']}"}).to_pylist()
    return {
        **output.shown,
        "where the texts come from": table(by_source),
        "left out": table(left_out),
        "could not be read": "; ".join(f"{name}: {why}" for name, why in sorted(manifest["unreadable"].items())) or "–",
        "some examples": table(examples),
        "audio folder": dg.MetadataValue.path(str(output.folder)),
    }
