"""The model card: what an adapter is, where it comes from and what not to expect, for whoever finds its folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_WHAT = {
    "whisper": (
        "speech recognition adapter",
        "peft",
        "a LoRA adapter: small matrices that are added to those of its base model, a recogniser of English speech. By "
        "itself it recognises nothing",
    ),
    "translategemma": (
        "translation adapter, English to Spanish",
        "peft",
        "a LoRA adapter: small matrices that are added to those of its base model, a translator. By itself it translates "
        "nothing",
    ),
    "marian": (
        "translator, English to Spanish",
        "transformers",
        "a whole translator: all weights of its base model were trained further",
    ),
}
_LIMITS = {
    "whisper": "Scores on the sermons of one church say little about other rooms, voices and microphones.",
    "translategemma": "Scores on scripture say how near it comes to the style of a Bible, and not how it does on sermons.",
}
_LIMITS["marian"] = _LIMITS["translategemma"]


def model_card(manifest: Mapping[str, Any]) -> str:
    """Write the card as Markdown, with the header that model hubs read.

    Args:
        manifest: what `adapter.json` says, but for its files.
    """
    kind = manifest["kind"]
    title, library, what = _WHAT.get(kind, (f"{kind} adapter", "peft", "weights that were trained on a base model"))
    languages = ["en"] if kind == "whisper" else ["en", "es"]
    lines = [
        "---",
        f"base_model: {manifest['base_model']}",
        f"library_name: {library}",
        f"language: [{', '.join(languages)}]",
        "---",
        "",
        f"# {manifest['base_model']}: {title}",
        "",
        f"This is {what}.",
        *([manifest["summary"]] if manifest["summary"] else []),
        "",
        "## Where it comes from",
        "",
        f"- base model: {manifest['base_model']}, revision {manifest['base_revision']}, weights "
        f"{manifest['base_sha256'][:12]}. It fits no other: with another revision its answers are noise.",
        f"- training set: {manifest['dataset_sha256'][:12]}",
        f"- made: {manifest['created_at']} by version {manifest['code_version']} of the platform",
        f"- with: {', '.join(f'{name} {number}' for name, number in sorted(manifest['environment'].items()))}",
        "",
        "## How it was trained",
        "",
        "| setting | value |",
        "|---|---|",
        *(f"| {name} | {_shown(value)} |" for name, value in _flat(manifest["parameters"])),
        *_seen(manifest["curves"]),
        "",
        "## What not to expect",
        "",
        _LIMITS.get(kind, "It was trained for one purpose, and may have become worse at others."),
        "What was measured, with intervals, is in the evaluation report. The terms of the base model hold for it too.",
        "",
    ]
    return "\n".join(lines)


def _seen(curves: Mapping[str, Any]) -> Iterator[str]:
    evaluations = curves.get("evaluations") or []
    if not evaluations:
        return
    names = sorted({name for evaluation in evaluations for name in evaluation["measures"]})
    yield from ("", "## What was seen on held-out examples", "", f"| step | {' | '.join(names)} |")
    yield f"|{'---|' * (len(names) + 1)}"
    for evaluation in evaluations:
        values = (_shown(evaluation["measures"].get(name)) for name in names)
        yield f"| {evaluation['step']} | {' | '.join(values)} |"


def _flat(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in sorted(value.items()):
        if isinstance(item, Mapping):
            yield from _flat(item, f"{before}{name}.")
        else:
            yield f"{before}{name}", item


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    # A bar would end the cell.
    return f"{value:.6g}" if isinstance(value, float) else str(value).replace("|", "\\|")
