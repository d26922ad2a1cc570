"""Weights in another format: converted once, and kept beside the models."""

import shutil
from collections.abc import Callable
from pathlib import Path

from stt_platform.machine.files import fsync_file, fsync_folder, one_at_a_time, temporary_name


def converted_once(folder: Path, convert: Callable[[Path], None], announce: Callable[[], None]) -> Path:
    """`folder`, which `convert` fills if it is not there: whole, or not at all. Who wants it meanwhile waits.

    Args:
        convert: writes its files into the empty folder that it is given.
        announce: called before something that takes long.
    """
    if folder.is_dir():
        return folder
    with one_at_a_time(folder.with_name(f".{folder.name}.lock")):
        if folder.is_dir():
            return folder
        announce()
        for left in folder.parent.glob(f".{folder.name}.*.tmp"):
            shutil.rmtree(left)
        temporary = temporary_name(folder)
        temporary.mkdir()
        try:
            convert(temporary)
            for path in temporary.iterdir():
                fsync_file(path)
            temporary.rename(folder)
            fsync_folder(folder.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder
