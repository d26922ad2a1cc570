"""Checks a bundle of adapters where it is to be used. It needs Python, transformers and peft, and nothing of the platform.

    python3 verify_bundle.py [BUNDLE] [--base NAME=FOLDER] [--files-only]

Every file is held against its SHA-256; then every model is loaded, alone or on its base, hears a known utterance or reads
a known sentence, and has to write what it wrote when the bundle was made. The first line that says FAIL names the file or
the model, and the script ends with 1. The platform asks its models through the same functions when it makes a bundle.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import wave
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

MANIFEST, CHECKSUMS = "bundle.json", "SHA256SUMS"
FORMAT = 1

# Of the mean surprise of a token (nats). For an adapter of Whisper tiny, bfloat16 instead of float32 changed it by 0.6 %, and
# leaving the adapter out by 24 %.
_TOLERANCE_NATS, _TOLERANCE_SHARE = 0.02, 0.03
_MAX_NEW_TOKENS = 64
_SAMPLE_RATE_HZ = 16_000
_END_OF_TURN = "<end_of_turn>"


class Unfit(Exception):
    """A bundle, or a model of it, that may not be used: says what and what to do."""


# ---- files ------------------------------------------------------------------------------------------------


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sealed(content: dict[str, Any]) -> str:
    """Return the text of a manifest, with a hash of itself in it."""
    seal = hashlib.sha256(_as_text(content).encode()).hexdigest()
    return _as_text({**content, "seal": seal})


def read_manifest(bundle: Path) -> dict[str, Any]:
    """Return what `bundle.json` says. Raises `Unfit` where it is not there or was changed by a byte."""
    path = bundle / MANIFEST
    try:
        text = path.read_bytes().decode()
        content = json.loads(text)
        del content["seal"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unfit(f"{MANIFEST} cannot be read ({error!r}): copy the bundle again") from error
    if text != sealed(content):
        raise Unfit(f"{MANIFEST} was changed since the bundle was made: copy it again")
    if content["format"] != FORMAT:
        raise Unfit(
            f"{MANIFEST} is of format {content['format']}, and this script reads {FORMAT}: take the bundle's own"
        )
    return content


def damage(bundle: Path) -> list[str]:
    """Return what is wrong with the files of a bundle, a sentence for each; empty where every byte is as it was."""
    try:
        manifest = read_manifest(bundle)
    except Unfit as error:
        return [str(error)]
    sums = bundle / CHECKSUMS
    if not sums.is_file():
        return [f"{CHECKSUMS} is missing: copy it again"]
    if sha256_of(sums) != manifest["checksums_sha256"]:
        return [f"{CHECKSUMS} was changed since the bundle was made: copy it again"]
    return [said for name, expected in checksums(bundle).items() if (said := _wrong(bundle, name, expected))]


def checksums(bundle: Path) -> dict[str, str]:
    """SHA-256 of every file but `bundle.json` and the list itself, by name."""
    lines = (bundle / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    return {name: expected for expected, _, name in (line.partition("  ") for line in lines)}


def _wrong(bundle: Path, name: str, expected: str) -> str | None:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts:
        return f"{name} does not lie in the bundle: do not use it"
    path = bundle / name
    try:
        if not path.is_file():
            return f"{name} is missing: copy it again"
        found = sha256_of(path)
    except OSError as error:
        return f"{name} cannot be read ({error}): copy it again"
    return None if found == expected else f"{name} was changed since the bundle was made: copy it again"


def _as_text(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


# ---- models -----------------------------------------------------------------------------------------------


def hear(sound: Path, *, base: str | Path, adapter: Path | None, dtype: str = "float32") -> dict[str, Any]:
    """Return what a Whisper model writes of a sound, greedily and without timestamps.

    Args:
        sound: a wav file, 16 kHz, mono, 16 bits.
        base: a folder as transformers reads it, or a name on the model hub ("repository@revision").
        adapter: PEFT's folder; None for the base as it is.

    Returns:
        "text", and "nats_per_token": how surprised the model is by it.
    """
    import torch
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

    model = _adapted(_model(WhisperForConditionalGeneration, base, dtype), adapter)
    tokenizer = _loaded(WhisperTokenizer, base)
    extractor = _loaded(WhisperFeatureExtractor, base)
    heard = extractor(read_wav(sound), sampling_rate=_SAMPLE_RATE_HZ, return_tensors="pt").input_features.to(
        model.dtype
    )
    settings = model.generation_config
    # What older copies of Whisper bring, and newer code no longer takes.
    settings.forced_decoder_ids = None
    spoken = {"language": "en", "task": "transcribe"} if getattr(settings, "is_multilingual", False) else {}
    with torch.inference_mode():
        written = model.generate(
            input_features=heard,
            # Whisper hears the padding too.
            attention_mask=torch.ones_like(heard[:, 0], dtype=torch.long),
            do_sample=False,
            num_beams=1,
            return_timestamps=False,
            max_length=_MAX_NEW_TOKENS,
            **spoken,
        )
        text = tokenizer.batch_decode(written, skip_special_tokens=True)[0].strip()
        # Without the start, which the model puts before them itself.
        labels = tokenizer(text, return_tensors="pt").input_ids[:, 1:]
        loss = model(input_features=heard, labels=labels).loss
    return {"text": text, "nats_per_token": float(loss)}


def translate_prompt(prompt: str, *, base: str | Path, adapter: Path | None, dtype: str = "float32") -> dict[str, Any]:
    """What a causal language model writes after a prompt that begins with its own `<bos>`, greedily. Returns as `hear`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = _adapted(_model(AutoModelForCausalLM, base, dtype), adapter)
    tokenizer = _loaded(AutoTokenizer, base)
    asked = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids
    stops = {tokenizer.eos_token_id, tokenizer.get_vocab().get(_END_OF_TURN, tokenizer.eos_token_id)}
    # A folder suggests sampling, and a length.
    model.generation_config.update(do_sample=False, temperature=None, top_k=None, top_p=None, max_length=None)
    with torch.inference_mode():
        written = model.generate(
            input_ids=asked,
            attention_mask=torch.ones_like(asked),
            num_beams=1,
            max_new_tokens=_MAX_NEW_TOKENS,
            eos_token_id=sorted(stops),
            pad_token_id=tokenizer.pad_token_id,
        )
        answer = written[:, asked.shape[1] :]
        labels = torch.cat([torch.full_like(asked, -100), answer], dim=1)
        loss = model(input_ids=written, attention_mask=torch.ones_like(written), labels=labels).loss
    return {"text": tokenizer.decode(answer[0], skip_special_tokens=True).strip(), "nats_per_token": float(loss)}


def translate_tokens(tokens: list[int], folder: Path) -> dict[str, Any]:
    """Return what a MarianMT model makes of a sentence, greedily; in tokens, since its tokenizer needs one more package.

    Returns "tokens" and "nats_per_token".
    """
    import torch
    from transformers import MarianMTModel

    model = _model(MarianMTModel, folder, "float32")
    read = torch.tensor([tokens])
    model.generation_config.update(max_length=None, forced_eos_token_id=None)
    with torch.inference_mode():
        written = model.generate(
            input_ids=read,
            attention_mask=torch.ones_like(read),
            do_sample=False,
            num_beams=1,
            max_new_tokens=_MAX_NEW_TOKENS,
        )[:, 1:]
        loss = model(input_ids=read, attention_mask=torch.ones_like(read), labels=written).loss
    return {"tokens": written[0].tolist(), "nats_per_token": float(loss)}


def read_wav(path: Path) -> Any:
    """Return samples of a 16 kHz mono wav of 16 bits as float32, -1 to 1. Raises `Unfit` for another kind."""
    import numpy as np

    with wave.open(str(path), "rb") as sound:
        kind = (sound.getframerate(), sound.getnchannels(), sound.getsampwidth())
        if kind != (_SAMPLE_RATE_HZ, 1, 2):
            raise Unfit(f"{path} has {kind[0]} Hz, {kind[1]} channels and {8 * kind[2]} bits: want 16000 Hz, 1 and 16")
        return np.frombuffer(sound.readframes(sound.getnframes()), dtype="<i2").astype(np.float32) / 32768


def _model(kind: Any, source: str | Path, dtype: str) -> Any:
    import torch

    return _loaded(kind, source, use_safetensors=True, dtype=getattr(torch, dtype)).eval()


def _loaded(kind: Any, source: str | Path, **special: Any) -> Any:
    """From a folder without a look at the network, or from the model hub: "repository" or "repository@revision"."""
    if isinstance(source, Path):
        return kind.from_pretrained(str(source), local_files_only=True, **special)
    name, _, revision = source.partition("@")
    return kind.from_pretrained(name, revision=revision or "main", **special)


def _adapted(model: Any, adapter: Path | None) -> Any:
    if adapter is None:
        return model
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import safe_open

    adapted = PeftModel.from_pretrained(model, str(adapter)).eval()
    with safe_open(adapter / "adapter_model.safetensors", "pt") as file:
        written = set(file.keys())
    # PEFT only warns of matrices that it finds no place for, and puts new ones where it misses some.
    if others := sorted(written ^ set(get_peft_model_state_dict(adapted, save_embedding_layers=False))):
        raise Unfit(f"{adapter.name} is of another base: {others[0]} does not fit, and {len(others) - 1} more")
    return adapted.get_base_model()


# ---- the checks -------------------------------------------------------------------------------------------


def check_versions(manifest: dict[str, Any]) -> list[str]:
    """What is installed, a note for each. Raises `Unfit` where a package is missing, or older than what made the bundle."""
    notes = []
    for package, needed in sorted(manifest["needs"].items()):
        try:
            here = version(package)
        except PackageNotFoundError:
            raise Unfit(f"{package} is not installed: pip install '{package}>={needed}'") from None
        if _numbers(here) < _numbers(needed):
            raise Unfit(
                f"{package} {here} is older than {needed}, which made the bundle, and may misread an adapter without a "
                f"word: pip install '{package}>={needed}'"
            )
        notes.append(f"{package} {here}")
    return notes


def check_part(bundle: Path, part: dict[str, Any], bases: dict[str, Path]) -> str:
    """Load a model of the bundle and hold what it writes against what it wrote. Returns a sentence; raises `Unfit`."""
    folder, expected = bundle / part["folder"], part["expected"]
    source, adapter = _base_of(part, folder, bases)
    try:
        if part["kind"] == "whisper":
            found = hear(bundle / part["sound"], base=source, adapter=adapter, dtype=part["dtype"])
        elif part["kind"] == "translategemma":
            found = translate_prompt(part["prompt"], base=source, adapter=adapter, dtype=part["dtype"])
        else:
            found = _marian(part, folder)
    except Unfit:
        raise
    except Exception as error:
        on = "" if adapter is None else f" on its base {source}"
        raise Unfit(f"{part['folder']} could not be loaded{on}: {type(error).__name__}: {error}") from error
    off = abs(found["nats_per_token"] - expected["nats_per_token"])
    if not off <= _TOLERANCE_NATS + _TOLERANCE_SHARE * expected["nats_per_token"]:
        whole = "it is not the model that was packed"
        why = whole if adapter is None else f"the base is not {part['base']['name']}, or the adapter has no effect"
        raise Unfit(
            f"{part['folder']} finds its text otherwise likely than when the bundle was made: "
            f"{found['nats_per_token']:.3f} nats a token instead of {expected['nats_per_token']:.3f}; {why}"
        )
    if found["text"] == expected["text"]:
        return f"{part['folder']} wrote as expected: {found['text']}"
    if part["dtype"] == "bfloat16":
        # The likelihood is right. Of two words that are almost equally likely, another processor may choose the other.
        return (
            f"{part['folder']} wrote otherwise, by rounding in bfloat16: {found['text']} (expected: {expected['text']})"
        )
    raise Unfit(f"{part['folder']} wrote {found['text']!r}, and {expected['text']!r} was expected")


def _marian(part: dict[str, Any], folder: Path) -> dict[str, Any]:
    found = translate_tokens(part["tokens"], folder)
    as_expected = found["tokens"] == part["expected"]["tokens"]
    text = part["expected"]["text"] if as_expected else f"tokens {found['tokens']}"
    if find_spec("sentencepiece") is not None:
        from transformers import MarianTokenizer

        tokenizer = _loaded(MarianTokenizer, folder)
        if tokenizer(part["sentence"]).input_ids != part["tokens"]:
            raise Unfit(
                f"{part['folder']}: its tokenizer reads the known sentence otherwise than when the bundle was made"
            )
        text = tokenizer.decode(found["tokens"], skip_special_tokens=True).strip()
    return {"text": text, "nats_per_token": found["nats_per_token"]}


def _base_of(part: dict[str, Any], folder: Path, bases: dict[str, Path]) -> tuple[str | Path, Path | None]:
    """Return what to load, and which adapter to put on it; a whole model is its own base."""
    base = part["base"]
    if base is None:
        return folder, None
    if base["name"] in bases:
        return bases[base["name"]], folder
    if base["repo"] is None:
        raise Unfit(
            f"{part['folder']} needs its base {base['name']}, which the model hub does not have: copy its folder from the "
            f"training machine, and give it with --base {base['name']}=FOLDER"
        )
    return base["repo"] + (f"@{base['revision']}" if base["revision"] else ""), folder


def _numbers(text: str) -> tuple[int, ...]:
    """Of "5.23.1", 5 and 23: what comes after are corrections."""
    return tuple(int(piece) for piece in text.split(".")[:2] if piece.isdecimal())


# ---- MLX --------------------------------------------------------------------------------------------------


def mlx_commands(bundle: Path, manifest: dict[str, Any], target: Path) -> list[list[str]]:
    """What converts the translators that are there as full weights to MLX, four bits a weight, into folders of `target`."""
    whole = [part["folder"] for part in manifest["parts"] if part["kind"] == "translategemma" and part["base"] is None]
    convert = [sys.executable, "-m", "mlx_lm", "convert", "--quantize"]
    return [[*convert, "--hf-path", str(bundle / name), "--mlx-path", str(target / name)] for name in whole]


def _mlx(bundle: Path, manifest: dict[str, Any], target: Path | None) -> list[str]:
    """Convert if it is asked for, and say what was done or what would do it."""
    if not any(part["kind"] == "translategemma" for part in manifest["parts"]):
        return []
    commands = mlx_commands(bundle, manifest, target or bundle.parent / f"{manifest['name']}-mlx")
    if not commands:
        return [
            "MLX: nothing converted: that needs full weights (setting delivery.full_weights on the training machine)"
        ]
    if find_spec("mlx_lm") is None:
        return ["MLX: nothing converted: mlx_lm is not installed here (on a Mac: pip install mlx-lm)"]
    if target is None:
        return [f"MLX: --mlx FOLDER converts, or run: {' '.join(command[1:])}" for command in commands]
    target.mkdir(parents=True, exist_ok=True)
    for command in commands:
        if subprocess.run(command).returncode:
            raise Unfit(f"MLX: this failed: {' '.join(command)}")
    return [f"MLX: converted into {target}"]


# ---- the command ------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Run all checks; 0 if the bundle may be used, 1 if not."""
    parser = argparse.ArgumentParser(description="Checks a bundle of adapters where it is to be used.")
    parser.add_argument("bundle", nargs="?", type=Path, default=Path(__file__).resolve().parent, help="default: here")
    parser.add_argument(
        "--base",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="where a base model lies, such as distil-large-v3=/models/distil; others come from the model hub",
    )
    parser.add_argument("--files-only", action="store_true", help="hold the files against their hashes, load nothing")
    parser.add_argument("--mlx", type=Path, metavar="FOLDER", help="convert the translators to MLX, into this folder")
    chosen = parser.parse_args(arguments)
    bases = dict(given.partition("=")[::2] for given in chosen.base)
    for name, folder in bases.items():
        if not Path(folder).is_dir():
            parser.error(f"--base {name}={folder}: there is no such folder")
    return 0 if _all_well(chosen, {name: Path(folder) for name, folder in bases.items()}) else 1


def _all_well(chosen: argparse.Namespace, bases: dict[str, Path]) -> bool:
    bundle = chosen.bundle
    if damaged := damage(bundle):
        for said in damaged:
            _say("FAIL", said)
        return False
    manifest = read_manifest(bundle)
    _say("ok", f"{manifest['name']}: all {len(checksums(bundle)) + 2} files are as they were made")
    if chosen.files_only:
        return True
    try:
        _say("ok", ", ".join(check_versions(manifest)))
    except Unfit as error:
        _say("FAIL", str(error))
        return False
    _quiet()
    well = True
    for part in manifest["parts"]:
        if part["expected"] is None:
            _say("ok", f"{part['folder']}: files only; {part['loaded_by']} loads it")
            continue
        try:
            _say("ok", check_part(bundle, part, bases))
        except Unfit as error:
            _say("FAIL", str(error))
            well = False
    try:
        for note in _mlx(bundle, manifest, chosen.mlx if well else None):
            _say("note", note)
    except Unfit as error:
        _say("FAIL", str(error))
        well = False
    return well


def _quiet() -> None:
    """No bars and no advice of the libraries between the lines that count."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _say(kind: str, text: str) -> None:
    print(f"{kind:5}{text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
