"""Bundles without models: folders with a few files, sealed as real ones are."""

from pathlib import Path

from stt_platform.delivery.bundle import BundlePart, HubBase, seal_bundle
from stt_platform.store.bundles import LATEST, LATEST_TXT

VERSIONS = {"transformers": "5.23.0", "peft": "0.21.2", "torch": "2.11.0"}
WEIGHTS = "fine_tuned_whisper_mi/adapter_model.safetensors"
PART = BundlePart("fine_tuned_whisper_mi", "whisper", "ab" * 32, HubBase("tiny", None))


def make_bundle(
    folder: Path, name: str = "2026-01-02--0a1b2c3d", *, made_at: str = "2026-01-02T03:04:05+00:00", size: int = 2000
) -> Path:
    """A bundle in `folder/name`; its weights are `size` bytes."""
    bundle = folder / name
    for file, content in {
        WEIGHTS: bytes(k % 251 for k in range(size)),
        "fine_tuned_whisper_mi/README.md": b"# a card\n",
        "reports/speech-cycle-0.html": b"<p>better</p>",
    }.items():
        (bundle / file).parent.mkdir(parents=True, exist_ok=True)
        (bundle / file).write_bytes(content)
    seal_bundle(bundle, name=name, made_at=made_at, made_by="the tests", versions=VERSIONS, parts=[PART])
    return bundle


def flip(path: Path, at: int | None = None) -> None:
    """Change one bit of one byte: the one in the middle, or where it is said."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 1
    path.write_bytes(content)


def latest_bundle(shelf: Path) -> Path | None:
    """The bundle that `latest` points at, as a link or by the name in `latest.txt`; None where there is neither."""
    if (shelf / LATEST).is_dir():
        return (shelf / LATEST).resolve()
    told = shelf / LATEST_TXT
    return shelf / told.read_text(encoding="utf-8").strip() if told.is_file() else None
