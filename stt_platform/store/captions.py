"""Captions that came with a recording, kept beside it as they came."""

from pathlib import Path

from stt_platform.machine.files import copy_atomically, sha256_of
from stt_platform.speech.captions import CAPTION_SUFFIXES
from stt_platform.store.names import is_sermon_key, slug


def attach_captions(store_home: Path, sermon: str, path: Path, *, name: str | None = None) -> Path:
    """Copy a file of captions to its sermon and return the copy: `sermons/<key>/captions/<name>.<vtt|srt|json3>`.

    `name` (default: the file's own) is made safe. Another file of that name is replaced as a whole; the same content
    is left as it is. Raises `ValueError` for a key or an ending that cannot be; `OSError` as copying does.
    """
    if not is_sermon_key(sermon):
        raise ValueError(f"{sermon!r} is no sermon key; `stt query 'select sermon from sermons'` lists them")
    suffix = path.suffix.lower()
    if suffix not in CAPTION_SUFFIXES:
        raise ValueError(
            f"{path.name!r}: captions end in {', '.join(sorted(CAPTION_SUFFIXES))}; save them as one of these"
        )
    target = store_home / "sermons" / sermon / "captions" / f"{slug(name or path.stem, 'captions')}{suffix}"
    if not target.exists() or sha256_of(target) != sha256_of(path):
        copy_atomically(path, target)
    return target


def caption_files(store_home: Path, sermon: str) -> list[Path]:
    """Return the files of captions of a sermon, those that people wrote before automatic ones."""
    folder = store_home / "sermons" / sermon / "captions"
    files = [path for path in folder.glob("*") if path.suffix in CAPTION_SUFFIXES and path.is_file()]
    return sorted(files, key=lambda path: (path.name.startswith("automatic"), path.name))
