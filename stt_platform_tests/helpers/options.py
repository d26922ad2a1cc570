"""Options with other values."""

from typing import Any, TypeVar

from pydantic import BaseModel

T = TypeVar("T", bound=BaseModel)


def changed(options: T, **values: Any) -> T:
    return type(options)(**{**options.model_dump(), **values})
