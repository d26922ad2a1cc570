"""What all trainings of LoRA share (Hu et al. 2022): the adapter in its model, and its files.

Files are the matrices as safetensors and PEFT's configuration, with nothing of this machine in them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stt_platform.training.options import LoraOptions

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


class LoraTask:
    """The part of a task of `stt_platform.training.loop` that is the same for every model.

    Attributes:
        network: the model with its adapter.
    """

    def __init__(
        self,
        model: Any,
        options: LoraOptions,
        targets: str | list[str],
        *,
        task_type: str | None,
        base_name: str,
        base_revision: str | None,
    ) -> None:
        """
        Args:
            model: the adapter is put into it.
            targets: the layers that get matrices, as PEFT reads it.
            base_name, base_revision: what the adapter says it belongs to.

        Raises:
            ValueError: where the model has no layer to adapt.
        """
        import torch
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(
            r=options.rank,
            lora_alpha=options.alpha,
            lora_dropout=options.dropout,
            target_modules=targets,
            bias="none",
            task_type=task_type,
            revision=base_revision,
        )
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            # What is trained is kept in float32, whatever the base is in: bfloat16 would swallow small steps.
            self.network: Any = get_peft_model(model, config, autocast_adapter_dtype=True)
        made = self.network.peft_config["default"]
        # PEFT puts the folder of this machine there.
        made.base_model_name_or_path = base_name
        # A set would be written in an order that Python draws for each process, and the adapter is named by its files.
        if isinstance(made.target_modules, set):
            made.target_modules = sorted(made.target_modules)
        if options.checkpointing:
            # Torch's old way computes no gradient in an encoder, whose input needs none.
            model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})

    def trainable(self) -> list[tuple[str, torch.nn.Parameter]]:
        """List the matrices of the adapter, sorted by name."""
        return sorted((name, p) for name, p in self.network.named_parameters() if p.requires_grad)

    def train_mode(self) -> None:
        """Turn dropout on, and whatever else is random in training."""
        self.network.train()

    def eval_mode(self) -> None:
        """Turn it off."""
        self.network.eval()

    def save(self, folder: Path) -> None:
        """Write the adapter as PEFT reads it."""
        save_lora(self.network, folder)

    def load(self, folder: Path) -> None:
        """Take the weights that `save` wrote."""
        load_lora(self.network, folder)


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
