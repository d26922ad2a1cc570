"""The page of a bundle for whoever finds it: what is in it, how it is checked, and how it is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_WHAT = {
    "whisper": "recogniser of English speech",
    "translategemma": "translator, English to Spanish",
    "marian": "small translator, English to Spanish",
    "ctranslate2": "the same as a whole model in CTranslate2's format",
}


def bundle_readme(manifest: Mapping[str, Any], reports: Sequence[str]) -> str:
    """Return the page as Markdown.

    Args:
        manifest: what `bundle.json` says.
        reports: names of the pages in the folder `reports`.
    """
    parts = manifest["parts"]
    lines = [
        f"# Bundle {manifest['name']}",
        "",
        f"Made {manifest['made_at']} by {manifest['made_by']}. It changes no more: a new one has another name.",
        "",
        "| folder | what it is | base | from the model hub |",
        "|---|---|---|---|",
        *(_row(part) for part in parts),
        "",
        "## Check it first",
        "",
        "```",
        *(f"pip install '{package}>={needed}'" for package, needed in sorted(manifest["needs"].items())),
        "python3 verify_bundle.py" + "".join(f" --base {name}=FOLDER" for name in _to_be_copied(parts)),
        "```",
        "",
        "It holds every file against its SHA-256 and lets every model answer; the last lines say FAIL where one is not as "
        "it was, and it ends with 1. A base model that lies on this machine is given with `--base NAME=FOLDER`; others come "
        "from the model hub. `--files-only` loads nothing, and `shasum -a 256 -c SHA256SUMS` does the same without Python.",
        "",
        *_loading(parts),
        "## How good it is",
        "",
        *([f"- [{name}](reports/{name})" for name in reports] or ["No report has measured what is in this bundle."]),
        "",
        "The model cards are in the folders, as `README.md`. The terms of the base models hold for what was made of them.",
        "",
    ]
    return "\n".join(lines)


def _row(part: Mapping[str, Any]) -> str:
    base = part["base"]
    what = _WHAT[part["kind"]]
    if base is None:
        return f"| `{part['folder']}` | {what}, whole | – | – |"
    place = "no: copy it from the training machine" if base["repo"] is None else f"`{base['repo']}`"
    return f"| `{part['folder']}` | {what}, adapter | {base['name']} | {place} |"


def _to_be_copied(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted({part["base"]["name"] for part in parts if part["base"] and part["base"]["repo"] is None})


def _loading(parts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    adapter = next((part for part in parts if part["base"]), None)
    if adapter:
        kind = "WhisperForConditionalGeneration" if adapter["kind"] == "whisper" else "AutoModelForCausalLM"
        base = adapter["base"]["repo"] or "FOLDER OF THE BASE"
        yield from (
            "## Load it",
            "",
            "```python",
            "from peft import PeftModel",
            f"from transformers import {kind}",
            "",
            f'base = {kind}.from_pretrained("{base}")',
            f'model = PeftModel.from_pretrained(base, "{adapter["folder"]}")',
            "```",
            "",
        )
    if any(part["kind"] == "translategemma" for part in parts):
        yield from (
            "For MLX: `pip install mlx-lm`, then `python3 verify_bundle.py --mlx FOLDER`. It converts translators that are "
            "in the bundle as full weights (setting `delivery.full_weights` of the training machine).",
            "",
        )
