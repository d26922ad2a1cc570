"""The planner's numbers beside those of real modules, on the meta device or small, and beside arithmetic by hand."""

import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stt_platform.training.architectures import UnknownArchitecture, model_config, model_shape
from stt_platform.training.memory import (
    MemoryEstimate,
    TrainedTensor,
    estimate,
    optimizer_bytes,
    weight_bytes,
)
from stt_platform.training.training_shape import TrainingShape
from stt_platform_tests.helpers.model_configs import known, known_config

LANGUAGE_MODEL = r"(.*language_model.*|^model\.layers.*)\.(q|k|v|o|gate|up|down)_proj"
FAMILIES = ("gemma text", "gemma", "whisper", "marian")


def random_config(family: str, seed: int) -> Any:
    """A configuration that nobody published."""
    from transformers import AutoConfig

    drawn = random.Random(f"{family} {seed}")
    width = 48 * drawn.randint(1, 4)
    text = {
        "hidden_size": width,
        "intermediate_size": 8 * drawn.randint(9, 40),
        "num_hidden_layers": drawn.randint(2, 5),
        "num_attention_heads": (heads := drawn.choice((2, 4, 6))),
        "num_key_value_heads": drawn.choice([n for n in (1, 2, heads) if heads % n == 0]),
        "head_dim": 8 * drawn.randint(2, 5),
        "vocab_size": drawn.randint(300, 900),
        "sliding_window": 64,
    }
    if family == "gemma text":
        return AutoConfig.for_model("gemma3_text", **text)
    if family == "gemma":
        vision = {
            "hidden_size": 32 * drawn.randint(1, 3),
            "intermediate_size": 8 * drawn.randint(5, 20),
            "num_hidden_layers": drawn.randint(1, 4),
            "num_attention_heads": 4,
            "image_size": 28 * drawn.randint(2, 4),
            "patch_size": 14,
            "vision_use_head": drawn.random() < 0.5,
        }
        return AutoConfig.for_model("gemma3", text_config=text, vision_config=vision)
    both = {
        "d_model": width,
        "encoder_layers": drawn.randint(1, 5),
        "decoder_layers": drawn.randint(1, 5),
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 8 * drawn.randint(9, 40),
        "decoder_ffn_dim": 8 * drawn.randint(9, 40),
        "vocab_size": (vocabulary := drawn.randint(300, 900)),
        **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 0),
    }
    if family == "whisper":
        return AutoConfig.for_model("whisper", num_mel_bins=drawn.choice((80, 128)), **both)
    return AutoConfig.for_model("marian", decoder_vocab_size=vocabulary, dropout=0.0, **both)


def gb(number: float) -> float:
    return number / 1e9


def static_bytes(found: MemoryEstimate) -> int:
    """What is there between two steps."""
    return found.bytes_of("weights", "adapter", "gradients", "optimizer")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_those_of_the_real_model(family: str, seed: int) -> None:
    from stt_platform_tests.helpers.live_memory import real_model

    config = random_config(family, seed)
    shape = model_shape(config)
    parameters = list(real_model(config).parameters())
    assert shape.parameters == sum(parameter.numel() for parameter in parameters)
    everything = TrainingShape(method="full", dtype="float32")
    found = estimate(shape, everything)
    learning = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    assert found.trained == learning
    assert found.bytes_of("weights") == 4 * shape.parameters
    assert (found.bytes_of("gradients"), found.bytes_of("optimizer")) == (4 * learning, 8 * learning)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("targets", ["all-linear", ("q_proj", "v_proj"), r".*\.layers\.0\..*(fc1|up|q)(_proj)?"])
def test_adapters_are_those_that_peft_makes(family: str, seed: int, targets: Any) -> None:
    from stt_platform_tests.helpers.live_memory import peft_model

    config = random_config(family, seed)
    training = TrainingShape(rank=3 + seed, targets=targets, optimizer="paged_adamw_32bit")
    trained = [p.numel() for p in peft_model(config, training).parameters() if p.requires_grad]
    found = estimate(model_shape(config), training)
    assert found.trained == sum(trained) > 0
    assert found.bytes_of("adapter") == found.bytes_of("gradients") == 4 * sum(trained)
    assert found.bytes_of("optimizer") == 8 * sum(trained)


@pytest.mark.parametrize("family", ["gemma text", "gemma"])
def test_saved_modules_are_copied_as_peft_copies_them(family: str) -> None:
    from stt_platform_tests.helpers.live_memory import peft_model

    config = random_config(family, 7)
    training = TrainingShape(modules_to_save=("lm_head", "embed_tokens"))
    real = sum(p.numel() for p in peft_model(config, training).parameters() if p.requires_grad)
    alone = estimate(model_shape(config), TrainingShape()).trained
    text = config.get_text_config()
    assert real - alone == 2 * text.vocab_size * text.hidden_size
    assert estimate(model_shape(config), training).trained == real


@pytest.mark.parametrize("family", FAMILIES)
def test_the_layers_in_few_bits_are_those_that_transformers_replaces(family: str) -> None:
    import bitsandbytes
    from transformers import BitsAndBytesConfig
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear
    from transformers.quantizers.base import get_keys_to_not_convert

    from stt_platform_tests.helpers.live_memory import real_model

    config = random_config(family, 11)
    model = real_model(config)
    settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    replace_with_bnb_linear(model, get_keys_to_not_convert(model), settings)
    replaced = {name for name, module in model.named_modules() if isinstance(module, bitsandbytes.nn.Linear4bit)}
    training = TrainingShape(quantisation="nf4")
    found = {module.name for module in model_shape(config).modules if training.quantises(module)}
    assert found == replaced != set()


def test_quantised_bytes_are_those_that_bitsandbytes_makes() -> None:
    import torch
    from bitsandbytes.functional import int8_vectorwise_quant, quantize_4bit

    linear = next(module for module in known("whisper-tiny.en").modules if module.name.endswith("layers.0.fc1"))
    weight = torch.randn(linear.outputs, linear.inputs)
    bias = 2 * linear.outputs
    packed, state = quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    # What describes the state when it is saved is no memory of the card.
    tensors = [packed, *(t for t in state.as_dict().values() if isinstance(t, torch.Tensor))]
    real = sum(t.numel() * t.element_size() for t in tensors) + state.offset.nbytes + bias
    assert weight_bytes(linear, TrainingShape(quantisation="nf4")) == real
    eight, scale, _ = int8_vectorwise_quant(weight.half())
    assert weight_bytes(linear, TrainingShape(quantisation="int8")) == eight.nbytes + scale.nbytes + bias


@pytest.mark.parametrize("name", ["adamw", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"])
def test_optimizer_states_are_those_of_the_real_optimizers(name: Any) -> None:
    import bitsandbytes
    import torch

    kinds = {
        "adamw": torch.optim.AdamW,
        "adamw_8bit": bitsandbytes.optim.AdamW8bit,
        "paged_adamw_8bit": bitsandbytes.optim.PagedAdamW8bit,
        "paged_adamw_32bit": bitsandbytes.optim.PagedAdamW32bit,
    }
    sizes = [(16, 640), (64, 16), (300, 401)]
    parameters = [torch.nn.Parameter(torch.randn(size)) for size in sizes]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    optimizer = kinds[name](parameters)
    optimizer.step()
    states = [
        value.nbytes
        for state in optimizer.state.values()
        for key, value in state.items()
        # One table for all, and a counter, are not for each number.
        if isinstance(value, torch.Tensor) and not key.startswith("qmap") and key != "step"
    ]
    tensors = [TrainedTensor(rows * columns, "float32") for rows, columns in sizes]
    total, paged = optimizer_bytes(tensors, name)
    assert total == sum(states)
    assert paged == (pytest.approx(total * 120_300 / 131_564, rel=0.05) if name.startswith("paged") else 0)


PUBLISHED = {
    "whisper-tiny.en": 37_760_256,
    "distil-large-v3": 756_405_760,
    "large-v3": 1_543_490_560,
    "gemma-3-270m": 268_098_176,
    "translategemma-4b": 4_300_079_472,
    "translategemma-12b": 12_187_325_040,
    "opus-mt-en-es": 77_943_296,
}


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_the_models_of_the_table_have_as_many_parameters_as_their_makers_say(name: str, parameters: int) -> None:
    assert known(name).parameters == parameters


# By hand: linear layers of the text model (B), LoRA of rank 16 on them (M), base in NF4 with bfloat16 embeddings (GB), with
# LoRA's weights, gradients and states of 32 and of 8 bits (GB), and totals with a CUDA context at 2,048, 4,096, 8,192
# and 16,384 tokens with checkpointing, fused loss and states of 8 bits (GB).
BY_HAND = {
    "translategemma-4b": (3.209, 29.8, 3.21, 3.6, 3.4, (4.8, 5.4, 6.7, 9.2)),
    "translategemma-12b": (10.758, 65.5, 7.78, 8.6, 8.2, (10.1, 11.3, 13.6, 18.3)),
}
# The seed's modules_to_save: all of it, and what no pager can move (GB).
SEED = {"translategemma-4b": (19.7, 8.9), "translategemma-12b": (32.7, 16.6)}


def textbook(**others: Any) -> TrainingShape:
    """16 bits throughout, which is what one counts by hand."""
    values = {"quantisation": "nf4", "targets": LANGUAGE_MODEL, "adapter_dtype": "bfloat16", "fused": True}
    return TrainingShape(**{**values, **others})


@pytest.mark.parametrize("name", BY_HAND)
def test_parts_agree_with_arithmetic_by_hand(name: str) -> None:
    linear, lora, base, with_32, with_8, totals = BY_HAND[name]
    shape = known(name)
    text = [m for m in shape.modules if m.kind == "linear" and m.component == "language model"]
    assert sum(m.inputs * m.outputs for m in text) / 1e9 == pytest.approx(linear, abs=0.001)
    found = estimate(shape, textbook(optimizer="paged_adamw_32bit"))
    assert found.trained / 1e6 == pytest.approx(lora, abs=0.05)
    assert gb(found.bytes_of("weights")) == pytest.approx(base, rel=0.01)
    assert gb(static_bytes(found)) == pytest.approx(with_32, rel=0.02)
    assert gb(static_bytes(estimate(shape, textbook(optimizer="adamw_8bit")))) == pytest.approx(with_8, rel=0.02)
    for tokens, total in zip((2048, 4096, 8192, 16384), totals, strict=True):
        found = estimate(shape, textbook(optimizer="adamw_8bit", sequence_length=tokens))
        assert gb(found.total_bytes) == pytest.approx(total, rel=0.05), f"{tokens} tokens"


@pytest.mark.parametrize("name", SEED)
def test_the_seeds_saved_modules_cost_what_was_found_by_hand(name: str) -> None:
    total, unpageable = SEED[name]
    saved = ("lm_head", "embed_tokens")
    found = estimate(known(name), textbook(optimizer="paged_adamw_32bit", modules_to_save=saved))
    assert gb(static_bytes(found)) == pytest.approx(total, rel=0.01)
    paged = found.total_bytes - found.unpageable_bytes
    assert gb(static_bytes(found) - paged) == pytest.approx(unpageable, rel=0.02)


def test_naive_logits_of_2048_tokens() -> None:
    """By hand 5.4 GB, with 10 bytes each. The loss of transformers holds 12 when it goes backwards."""
    found = estimate(known("translategemma-4b"), textbook(logits="full"))
    assert gb(found.bytes_of("logits")) * 10 / 12 == pytest.approx(5.4, rel=0.01)


ACTIVATION_CASES = {
    "16 bits": TrainingShape(adapter_dtype="bfloat16"),
    "as peft makes it": TrainingShape(),
    "as peft makes it, all kept": TrainingShape(checkpointing=False),
    "two layers, all kept": TrainingShape(targets=("q_proj", "v_proj"), checkpointing=False),
    "32 bits": TrainingShape(dtype="float32"),
    "whole": TrainingShape(method="full", dtype="float32"),
    "whole, all kept": TrainingShape(method="full", dtype="float32", checkpointing=False),
}
# Whisper is adapted, never trained whole: what its convolutions keep is not counted. Gemma of images has the text model of Gemma.
ACTIVATIONS = [
    (f, c) for f in FAMILIES if f != "gemma" for c in ACTIVATION_CASES if not (f == "whisper" and c.startswith("whole"))
]


@pytest.mark.parametrize(("family", "case"), ACTIVATIONS)
def test_activations_are_what_autograd_keeps(family: str, case: str) -> None:
    from stt_platform_tests.helpers.live_memory import activation_peak_bytes

    config = random_config(family, 1)
    training = replace(ACTIVATION_CASES[case], rows=2, sequence_length=300, logits="full")
    found = estimate(model_shape(config), training)
    assert found.bytes_of("activations", "logits") == pytest.approx(activation_peak_bytes(config, training), rel=0.1)


REAL = {
    "translategemma-4b": TrainingShape(targets=LANGUAGE_MODEL),
    "translategemma-12b": TrainingShape(targets=LANGUAGE_MODEL, sequence_length=1024, rows=2),
    "distil-large-v3": TrainingShape(sequence_length=225, rows=4),
    "large-v3": TrainingShape(targets=("q_proj", "v_proj"), sequence_length=225, rows=2, checkpointing=False),
    "gemma-3-270m": TrainingShape(targets=LANGUAGE_MODEL, dtype="float32", sequence_length=512),
}


@pytest.mark.prove
@pytest.mark.parametrize("name", REAL)
def test_activations_of_the_models_that_are_trained_here(name: str) -> None:
    from stt_platform_tests.helpers.live_memory import activation_peak_bytes

    training = replace(REAL[name], logits="full")
    config = known_config(name)
    if not config.is_encoder_decoder:
        # Gemma's logits would be most of it, and hide the rest.
        config.get_text_config().vocab_size = 100
    found = estimate(model_shape(config), training)
    assert found.bytes_of("activations", "logits") == pytest.approx(activation_peak_bytes(config, training), rel=0.05)


@pytest.mark.gpu
@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="no CUDA device on this machine")
def test_training_in_4_bits_takes_what_was_predicted(tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

    text = {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 12, "num_attention_heads": 8}
    wide = {"num_key_value_heads": 4, "head_dim": 256, "vocab_size": 32_000, "sliding_window": 512}
    config = AutoConfig.for_model("gemma3_text", **text, **wide)
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(tmp_path)
    four = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    base = AutoModelForCausalLM.from_pretrained(
        tmp_path, quantization_config=four, dtype=torch.bfloat16, device_map={"": 0}
    )
    training = TrainingShape(
        quantisation="nf4", targets=LANGUAGE_MODEL, lora_dropout=0.05, rows=2, sequence_length=2048, logits="full"
    )
    lora = LoraConfig(r=training.rank, lora_dropout=training.lora_dropout, target_modules=LANGUAGE_MODEL)
    model = get_peft_model(base, lora)
    base.activation_checkpointing_enable({"use_reentrant": False})
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    tokens = torch.randint(0, 32_000, (training.rows, training.sequence_length), device="cuda")
    torch.cuda.reset_peak_memory_stats()
    for _ in range(3):
        logits = model(input_ids=tokens, use_cache=False).logits.float().flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(logits, tokens.flatten())
        del logits
        loss.backward()
        optimizer.step()
        # As the loop does it: gradients are there from the first backward pass on.
        optimizer.zero_grad(set_to_none=True)
    found = estimate(model_shape(config), training)
    predicted = found.total_bytes - found.bytes_of("context")
    assert predicted == pytest.approx(torch.cuda.max_memory_allocated(), rel=0.15)


def test_checkpointing_keeps_inputs_only() -> None:
    shape = known("large-v3")
    kept = {
        on: estimate(shape, TrainingShape(rows=4, sequence_length=448, checkpointing=on)).bytes_of("activations")
        for on in (True, False)
    }
    assert kept[False] > 15 * kept[True]


def test_what_makes_activations_bigger() -> None:
    """Dropout has a mask for each adapter, a mask of attention grows with the square."""
    shape = known("translategemma-4b")
    base = TrainingShape(quantisation="nf4", targets=LANGUAGE_MODEL, sequence_length=2048)

    def activations(training: TrainingShape) -> int:
        return estimate(shape, training).bytes_of("activations")

    layer = 2560 * 5 + 2048 + 10240
    assert activations(replace(base, lora_dropout=0.05)) - activations(base) == 2048 * layer
    assert activations(replace(base, packed=True)) > activations(base) + 2 * 2048**2
    assert activations(replace(base, autocast=True)) < activations(base)
    assert activations(replace(base, rows=2)) == 2 * activations(base)


def test_llm_int8_keeps_the_inputs_of_frozen_layers() -> None:
    shape = known("distil-large-v3")
    base = TrainingShape(targets=("q_proj", "v_proj"), checkpointing=False, sequence_length=225, rows=4)
    found: dict[str, MemoryEstimate] = {}
    for kind in ("none", "int8"):
        found[kind] = estimate(shape, replace(base, quantisation=kind))
    assert found["int8"].bytes_of("weights") < 0.6 * found["none"].bytes_of("weights")
    assert found["int8"].bytes_of("activations") > 1.3 * found["none"].bytes_of("activations")


def test_what_is_not_in_the_model_is_refused() -> None:
    shape = known("whisper-tiny.en")
    with pytest.raises(ValueError, match=r"gate_proj.*name no linear layer of Whisper"):
        estimate(shape, TrainingShape(targets=("gate_proj",)))
    with pytest.raises(ValueError, match="modules_to_save names 'lm_head'"):
        estimate(shape, TrainingShape(modules_to_save=("lm_head",)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optimizer": "sgd"}, r"(?s)optimizer.*'adamw'.*input_value='sgd'"),
        ({"rows": 0}, r"(?s)rows.*greater than 0.*input_value=0"),
        ({"lora_dropout": 1.0}, r"(?s)lora_dropout.*less than 1.*input_value=1\.0"),
        ({"method": "full", "quantisation": "nf4"}, "no quantised base"),
    ],
)
def test_bad_values_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingShape(**values)


def test_a_configuration_is_read_from_the_folder_of_the_weights(tmp_path: Path) -> None:
    random_config("whisper", 5).save_pretrained(tmp_path)
    assert model_shape(model_config(tmp_path)).parameters == model_shape(random_config("whisper", 5)).parameters
    (tmp_path / "config.json").write_text('{"alignment_heads": []}')
    with pytest.raises(UnknownArchitecture, match="not a converted copy"):
        model_config(tmp_path)
    with pytest.raises(UnknownArchitecture, match=r"config\.json is no configuration"):
        model_config(tmp_path / "none")


def test_a_model_without_a_task_here_is_refused() -> None:
    from transformers import AutoConfig

    with pytest.raises(UnknownArchitecture, match="siglip"):
        model_shape(AutoConfig.for_model("siglip"))
