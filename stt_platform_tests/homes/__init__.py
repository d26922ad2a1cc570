"""An STT_HOME as an earlier commit wrote it, to see that this version opens what people have; `make_home.py` made it."""

import tarfile
from pathlib import Path

_PACKED = Path(__file__).with_name("made_by_e6edeb5.tar.xz")


def unpack_home(folder: Path) -> Path:
    """Unpack the home into `folder`, which is made where it is not there, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(_PACKED, "r:xz") as archive:
        archive.extractall(folder, filter="data")
    return folder
