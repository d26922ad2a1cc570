"""Shapes of the models that are trained here, from `model_configs.toml`: nothing is fetched."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from stt_platform.training.architectures import ModelShape, model_shape

_TABLE = Path(__file__).with_suffix(".toml")


def known_config(name: str) -> Any:
    from transformers import AutoConfig

    values = tomllib.loads(_TABLE.read_text(encoding="utf-8"))[name]
    return AutoConfig.for_model(values.pop("model_type"), **values)


@cache
def known(name: str) -> ModelShape:
    return model_shape(known_config(name))
