"""Runs inside the isolated environment: COMET (Rei et al., EMNLP 2020 and WMT 2022) on rows of three texts."""

import functools
import hashlib
import inspect
import math
import os
from pathlib import Path

# Whatever is needed is in the folders of the request: nothing may be fetched instead.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

# Fixed: the order of sums depends on it.
THREADS = 2
PRECISIONS = ("fp32", "fp16")
# In checkpoints of older versions of transformers, and in no network of ours: counting numbers, and a layer not used.
IGNORED = ("encoder.model.embeddings.position_ids", "encoder.model.pooler.")


def score(request, progress):
    """Score translations.

    Args:
        request: `model`, a folder with `hparams.yaml` and `checkpoints/model.ckpt`; `encoder`, a folder with its
            encoder's configuration and tokenizer; `rows` of `[source, translation, reference]`; `device`, "cpu" or
            "cuda"; `precision`, "fp32" or "fp16"; `batch_size`.
        progress: called with `{"done", "total"}` in rows, a hundred times at most.

    Returns:
        `scores`, one for each row in order; `tokens`, the longest of its three texts, special tokens counted;
        `max_tokens`, after which COMET reads no further; `batches`, the rows of each in the order of their scoring;
        `checkpoint`, the SHA-256 of the weights; `versions`.
    """
    import torch

    device, precision, rows = request["device"], request["precision"], request["rows"]
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r} is none of {', '.join(PRECISIONS)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("there is no GPU that PyTorch can use here: ask for device 'cpu'")
    torch.set_num_threads(THREADS)
    checkpoint = Path(request["model"]) / "checkpoints" / "model.ckpt"
    network = _network(str(checkpoint), request["encoder"], device, precision)
    tokens, batches = _batches(network, rows, request["batch_size"])
    scores = [math.nan] * len(rows)
    done = told = 0
    for batch in batches:
        texts = [dict(zip(("src", "mt", "ref"), rows[index], strict=True)) for index in batch]
        inputs = {name: tensor.to(device) for name, tensor in network.prepare_for_inference(texts).items()}
        with torch.inference_mode():
            for index, value in zip(batch, network(**inputs).score.float().tolist(), strict=True):
                scores[index] = value
        done += len(batch)
        if done - told >= len(rows) / 100:
            told = done
            progress({"done": done, "total": len(rows)})
    unfit = [index for index, value in enumerate(scores) if not math.isfinite(value)]
    if unfit:
        raise ArithmeticError(
            f"{len(unfit)} of {len(rows)} scores are no numbers in {precision}, the first of them of row {unfit[0]}: "
            "the weights are damaged, or need fp32"
        )
    return {
        "scores": scores,
        "tokens": tokens,
        "max_tokens": _max_tokens(network),
        "batches": batches,
        "checkpoint": _sha256(str(checkpoint)),
        "versions": _versions(),
    }


def _batches(network, rows, batch_size):
    """Length of each row in tokens, and batches of like lengths: the longest first, as those need most memory."""
    # The tokenizer has no answer to no texts.
    if not rows:
        return [], []
    tokenizer = network.encoder.tokenizer
    sizes = [
        [len(ids) for ids in tokenizer([row[part] for row in rows], verbose=False)["input_ids"]] for part in range(3)
    ]
    tokens = [max(row) for row in zip(*sizes, strict=True)]
    order = sorted(range(len(rows)), key=lambda index: (-tokens[index], index))
    return tokens, [order[first : first + batch_size] for first in range(0, len(order), batch_size)]


def _max_tokens(network):
    # As the library's own `prepare_sample`, which cuts without a word.
    return network.encoder.max_positions - 2


@functools.cache
def _network(checkpoint, encoder, device, precision):
    import torch
    import yaml
    from comet.models import str2model

    hparams_file = Path(checkpoint).parents[1] / "hparams.yaml"
    kind = str2model[yaml.safe_load(hparams_file.read_text(encoding="utf-8"))["class_identifier"]]
    # A checkpoint is a pickle, which could run any code. This one holds tensors and plain values only, so it is read
    # without running any; the library's own way of loading reads whatever is in it.
    held = torch.load(checkpoint, map_location="cpu", weights_only=True)
    known = inspect.signature(kind.__init__).parameters
    settings = {name: value for name, value in held["hyper_parameters"].items() if name in known}
    settings |= {"pretrained_model": encoder, "load_pretrained_weights": False, "local_files_only": True}
    network = kind(**settings)
    found = network.load_state_dict(held["state_dict"], strict=False)
    unexpected = [name for name in found.unexpected_keys if not name.startswith(IGNORED)]
    if found.missing_keys or unexpected:
        # What is missing would stay random, and so would the scores.
        raise ValueError(
            f"{checkpoint} does not fit its network: {len(found.missing_keys)} weights are missing "
            f"({', '.join(found.missing_keys[:3])}), {len(unexpected)} are unknown ({', '.join(unexpected[:3])})"
        )
    if not network.requires_references():
        raise ValueError(f"{checkpoint} scores without references; a model that reads them is wanted")
    network.eval()
    # As `comet-score` does since 2.2.5.
    if precision == "fp16":
        network.half()
    return network.to(device)


@functools.cache
def _sha256(path):
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _versions():
    from importlib.metadata import version

    return {name: version(name) for name in ("unbabel-comet", "torch", "transformers")}
