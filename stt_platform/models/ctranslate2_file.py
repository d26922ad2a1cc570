"""Reading the weights of a model in CTranslate2's format, which the library itself only loads to run.

The layout is that of `ModelSpec._serialize` in `ctranslate2/specs/model_spec.py`, binary version 6, all numbers in
little-endian:

    uint32 version; string name of the specification; uint32 its revision
    uint32 count; then for each variable
        string name; uint8 rank; uint32 × rank shape; uint8 type; uint32 bytes; the bytes, row-major
    uint32 count; then for each alias
        string alias; string name of the variable

where a string is uint16 length, that many bytes, the last of them zero. Types: float32, int8, int16, int32, float16,
bfloat16.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import torch

_VERSION = 6
_TYPES = ("float32", "int8", "int16", "int32", "float16", "bfloat16")


@dataclass(frozen=True)
class CTranslate2Weights:
    """What a `model.bin` holds.

    Attributes:
        specification: "WhisperSpec" for Whisper.
        variables: by name, such as "encoder/conv1/weight". Equal ones are kept once in the file, and are one tensor here.
    """

    specification: str
    variables: dict[str, torch.Tensor]


def read_ctranslate2(path: Path) -> CTranslate2Weights:
    """Read a `model.bin`.

    Raises:
        ValueError: the file is cut short or longer than it says, or of another version.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        try:
            (version,) = _numbers(file, "I")
            if version != _VERSION:
                raise ValueError(f"{path} is of CTranslate2's binary version {version}; version {_VERSION} can be read")
            specification = _string(file)
            _, count = _numbers(file, "II")
            variables = dict(_variable(file) for _ in range(count))
            (count,) = _numbers(file, "I")
            aliases = {_string(file): _string(file) for _ in range(count)}
        except EOFError:
            raise ValueError(f"{path} is cut short: get the model again") from None
        if file.read(1):
            raise ValueError(f"{path} is longer than it says: get the model again")
    return CTranslate2Weights(specification, variables | {alias: variables[name] for alias, name in aliases.items()})


def _variable(file: BinaryIO) -> tuple[str, torch.Tensor]:
    import torch

    name = _string(file)
    (rank,) = _numbers(file, "B")
    shape = _numbers(file, f"{rank}I")
    kind, size = _numbers(file, "BI")
    dtype = getattr(torch, _TYPES[kind])
    return name, torch.frombuffer(bytearray(_read(file, size)), dtype=dtype).reshape(shape)


def _string(file: BinaryIO) -> str:
    (length,) = _numbers(file, "H")
    return _read(file, length)[:-1].decode("utf-8")


def _numbers(file: BinaryIO, kinds: str) -> tuple[int, ...]:
    return struct.unpack(f"<{kinds}", _read(file, struct.calcsize(f"<{kinds}")))


def _read(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise EOFError
    return data
