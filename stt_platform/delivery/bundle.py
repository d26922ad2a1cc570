"""A bundle: a folder with the adapters that the live machine loads, and with all that it needs to trust them.

In it lie the folders under the names that the live machine knows, model cards within them, the evaluation reports, the
sound of a known utterance, `SHA256SUMS` (which `shasum -a 256 -c` reads), `bundle.json`, which seals itself, and
`verify_bundle.py`, which needs nothing of ours. What a model has to write there is what it wrote here, asked through the
functions of that script.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from stt_platform.delivery import verify_bundle
from stt_platform.delivery.readme import bundle_readme
from stt_platform.delivery.verify_bundle import CHECKSUMS, FORMAT, MANIFEST, sealed, sha256_of
from stt_platform.translation.prompts import render_prompt

SCRIPT, README, SOUND = "verify_bundle.py", "README.md", "checks/utterance.wav"

UTTERANCE = "In the beginning God created the heaven and the earth."
"""What is said in the known sound, and the known sentence."""

_NEEDED = ("transformers", "peft")

# Weights of more than so many bytes are loaded in bfloat16: in float32 they would not fit a small machine.
_LARGE_BYTES = 3_000_000_000

# What a token of the model hub and a password in an address look like.
_SECRET = re.compile(rb"\bhf_[A-Za-z0-9]{20,}\b|://[^/\s:@\"']+:[^/\s:@\"']+@")
_WEIGHTS = (".safetensors", ".bin", ".wav", ".spm")


@dataclass(frozen=True)
class HubBase:
    """The base model of an adapter, and where another machine gets it.

    Attributes:
        name: in the registry.
        repo: on the model hub, as `transformers` reads it; None where it has to be copied.
        revision: its commit; None for the newest.
    """

    name: str
    repo: str | None
    revision: str | None = None


@dataclass(frozen=True)
class BundlePart:
    """One folder of a bundle.

    Attributes:
        folder: its name in the bundle.
        kind: "whisper", "translategemma", "marian", or "ctranslate2".
        adapter_id: of what was trained.
        base: what the adapter is put on; None for a whole model.
        dtype: of the arithmetic with which it is checked.
        asked: what it is given: "sound", "prompt", or "sentence" with "tokens".
        expected: what it writes then; None for what is only held against its hashes.
        loaded_by: what loads it.
    """

    folder: str
    kind: str
    adapter_id: str
    base: HubBase | None
    dtype: str = "float32"
    asked: Mapping[str, Any] = field(default_factory=dict)
    expected: Mapping[str, Any] | None = None
    loaded_by: str = "transformers and peft"


def hub_base(name: str, repo: str, revision: str | None) -> HubBase:
    """Return where another machine gets a base model.

    Args:
        name: in the registry.
        repo, revision: of the registry, where they are what `transformers` reads.
    """
    recogniser = _hub_recognisers().get(name)
    return HubBase(name, recogniser) if recogniser else HubBase(name, repo or None, revision)


@cache
def _hub_recognisers() -> dict[str, str]:
    return tomllib.loads(Path(__file__).with_name("hub_bases.toml").read_text(encoding="utf-8"))


def arithmetic(base: Path) -> str:
    """Return the dtype in which a model of this folder is checked: float32, and bfloat16 for a large one."""
    return "bfloat16" if sum(path.stat().st_size for path in base.glob("*.safetensors")) > _LARGE_BYTES else "float32"


def recogniser_part(
    bundle: Path, folder: str, adapter_id: str, *, base: Path, hub: HubBase | None, dtype: str = "float32"
) -> BundlePart:
    """Return a recogniser of a bundle, with what it hears in the known sound.

    Args:
        bundle: with `SOUND` and `folder` in it.
        base: folder of the base model; of the model itself where it is a whole one.
        hub: the base; None for a whole model.
    """
    adapter = None if hub is None else bundle / folder
    expected = verify_bundle.hear(bundle / SOUND, base=base, adapter=adapter, dtype=dtype)
    return BundlePart(folder, "whisper", adapter_id, hub, dtype, {"sound": SOUND, "spoken": UTTERANCE}, expected)


def translator_part(
    bundle: Path, folder: str, adapter_id: str, *, base: Path, hub: HubBase | None, dtype: str
) -> BundlePart:
    """Return a causal translator of a bundle, with what it makes of the known sentence; arguments as `recogniser_part`."""
    prompt = render_prompt(UTTERANCE)
    adapter = None if hub is None else bundle / folder
    expected = verify_bundle.translate_prompt(prompt, base=base, adapter=adapter, dtype=dtype)
    asked = {"sentence": UTTERANCE, "prompt": prompt}
    return BundlePart(folder, "translategemma", adapter_id, hub, dtype, asked, expected)


def marian_part(bundle: Path, folder: str, adapter_id: str) -> BundlePart:
    """Return the MarianMT of a bundle, with what it makes of the known sentence."""
    from transformers import MarianTokenizer

    tokenizer = MarianTokenizer.from_pretrained(str(bundle / folder), local_files_only=True)
    tokens = tokenizer(UTTERANCE).input_ids
    written = verify_bundle.translate_tokens(tokens, bundle / folder)
    expected = {**written, "text": tokenizer.decode(written["tokens"], skip_special_tokens=True).strip()}
    asked = {"sentence": UTTERANCE, "tokens": tokens}
    return BundlePart(folder, "marian", adapter_id, None, "float32", asked, expected, "transformers")


def script_sha256() -> str:
    """Hash of the script that goes into every bundle."""
    return sha256_of(Path(verify_bundle.__file__))


def seal_bundle(
    bundle: Path, *, name: str, made_at: str, made_by: str, versions: Mapping[str, str], parts: Sequence[BundlePart]
) -> dict[str, Any]:
    """Add the script, the page for people, the checksums and the manifest to a folder that has its parts; returns the manifest.

    Args:
        made_at: in UTC, ISO 8601.
        made_by: the platform and its version.
        versions: of the packages that made it.
    """
    shutil.copyfile(verify_bundle.__file__, bundle / SCRIPT)
    content = {
        "format": FORMAT,
        "name": name,
        "made_at": made_at,
        "made_by": made_by,
        "made_with": dict(versions),
        "needs": {package: ".".join(versions[package].split(".")[:2]) for package in _NEEDED},
        "parts": [_described(part) for part in parts],
    }
    (bundle / README).write_text(bundle_readme(content, reports_of(bundle)), encoding="utf-8")
    lines = [f"{sha256_of(bundle / file)}  {file}\n" for file in _files(bundle)]
    (bundle / CHECKSUMS).write_text("".join(lines), encoding="utf-8")
    content["checksums_sha256"] = sha256_of(bundle / CHECKSUMS)
    (bundle / MANIFEST).write_bytes(sealed(content).encode())
    return content


def reports_of(bundle: Path) -> list[str]:
    """Return the names of the evaluation reports in a bundle."""
    return sorted(path.name for path in (bundle / "reports").glob("*.html"))


def private_files(bundle: Path, secrets: Collection[str]) -> list[str]:
    """Return files of a bundle in which a secret stands: one of these, or what looks like a token or a password."""
    known = [secret.encode() for secret in secrets]
    return [name for name in _files(bundle) if not name.endswith(_WEIGHTS) and _tells(bundle / name, known)]


def _tells(path: Path, secrets: Sequence[bytes]) -> bool:
    content = path.read_bytes()
    return bool(_SECRET.search(content)) or any(secret in content for secret in secrets)


def _files(bundle: Path) -> Iterator[str]:
    left_out = {bundle / CHECKSUMS, bundle / MANIFEST}
    for path in sorted(bundle.rglob("*")):
        if path.is_file() and path not in left_out:
            yield path.relative_to(bundle).as_posix()


def _described(part: BundlePart) -> dict[str, Any]:
    described = asdict(part)
    asked = described.pop("asked")
    return described | asked


def bundle_name(made_at: str, key: str) -> str:
    """Return the folder's name: the day, and the first of the hash of all that decides its content."""
    return f"{made_at[:10]}--{key[:8]}"
