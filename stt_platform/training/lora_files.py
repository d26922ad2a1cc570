"""A LoRA adapter as files: the matrices as safetensors and PEFT's configuration, and nothing of this machine in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peft import PeftModel

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def save_lora(model: PeftModel, folder: Path) -> None:
    """Write the adapter of a model into a folder, as `PeftModel.from_pretrained` reads it."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    # Not by `save_pretrained`, which asks the model hub about the vocabulary.
    weights = get_peft_model_state_dict(model, save_embedding_layers=False)
    save_file({name: weights[name].contiguous().cpu() for name in sorted(weights)}, folder / WEIGHTS)
    model.peft_config["default"].save_pretrained(str(folder))


def load_lora(model: PeftModel, folder: Path) -> None:
    """Take the matrices that `save_lora` wrote into a model that has an adapter of the same shape.

    Raises:
        ValueError: the file has other matrices.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    found = load_file(folder / WEIGHTS)
    wanted = get_peft_model_state_dict(model, save_embedding_layers=False)
    shapes, expected = ({name: tuple(w.shape) for name, w in side.items()} for side in (found, wanted))
    if shapes != expected:
        other = sorted({*shapes.items()} ^ {*expected.items()})
        raise ValueError(
            f"{folder / WEIGHTS} is of another adapter: {other[0][0]} is missing, too much or another shape"
        )
    set_peft_model_state_dict(model, found)
