"""Tiny translators with random weights, made in the test: they answer nonsense, but load and run as real ones do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SENTENCES = (
    "In the beginning God created the heaven and the earth.",
    "And God said, Let there be light: and there was light.",
    "Grace be to you, and peace, from God our Father.",
    "The LORD is my shepherd; I shall not want.",
    "En el principio crió Dios los cielos y la tierra.",
    "Y dijo Dios: Sea la luz: y fué la luz.",
    "Gracia sea a vosotros, y paz de Dios nuestro Padre.",
    "Jehová es mi pastor; nada me faltará.",
)

_CONTROL = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]


def gemma_tokenizer() -> Any:
    """A small byte-pair tokenizer with Gemma's control tokens, which puts `<bos>` before a text unless told not to."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from tokenizers import decoders as tokenizer_decoders
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.decoder = tokenizer_decoders.Metaspace(prepend_scheme="never")
    alphabet = sorted(set("".join(SENTENCES)) | set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ().,:;\n"))
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=_CONTROL, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", tokenizer.token_to_id("<bos>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    )


def tiny_gemma(folder: Path, *, images: bool = False, seed: int = 0) -> Path:
    """A Gemma 3 of three layers; with `images` as TranslateGemma is built, with a part that sees."""
    import torch
    from transformers import (
        Gemma3Config,
        Gemma3ForCausalLM,
        Gemma3ForConditionalGeneration,
        Gemma3TextConfig,
        SiglipVisionConfig,
    )

    tokenizer = gemma_tokenizer()
    text = Gemma3TextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=16,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        max_position_embeddings=512,
        initializer_range=0.6,
        # Tied, a random model repeats its last token for ever.
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(seed)
    if images:
        sight = SiglipVisionConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=28,
            patch_size=14,
        )
        model = Gemma3ForConditionalGeneration(
            Gemma3Config(text_config=text, vision_config=sight, mm_tokens_per_image=4, tie_word_embeddings=False)
        )
    else:
        model = Gemma3ForCausalLM(text)
    model.generation_config.update(do_sample=True, top_k=64, top_p=0.95)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_marian(folder: Path, *, source: str = "en", target: str = "es", seed: int = 0) -> Path:
    """A MarianMT of two layers, with the tokenizer of its own kind: sentencepiece models trained on `SENTENCES`."""
    import json

    import sentencepiece
    from transformers import MarianTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(SENTENCES), encoding="utf-8")
    pieces: list[str] = []
    for side in ("source", "target"):
        sentencepiece.SentencePieceTrainer.train(
            input=str(corpus), model_prefix=str(folder / side), vocab_size=120, hard_vocab_limit=False, minloglevel=2
        )
        (folder / f"{side}.model").rename(folder / f"{side}.spm")
        loaded = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{side}.spm"))
        pieces += [loaded.id_to_piece(i) for i in range(loaded.get_piece_size())]
    names = ["</s>", "<unk>", *sorted(set(pieces) - {"<s>", "</s>", "<unk>"}), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}), encoding="utf-8")
    tokenizer = MarianTokenizer.from_pretrained(str(folder), source_lang=source, target_lang=target)
    tokenizer.save_pretrained(folder)
    _save_marian(folder, tokenizer, seed)
    return folder


def _save_marian(folder: Path, tokenizer: Any, seed: int) -> None:
    import torch
    from transformers import MarianConfig, MarianMTModel

    torch.manual_seed(seed)
    pad = tokenizer.pad_token_id
    config = MarianConfig(
        vocab_size=len(tokenizer.get_vocab()),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=64,
        init_std=0.6,
        pad_token_id=pad,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=pad,
        forced_eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    model = MarianMTModel(config)
    # As in the files of OPUS-MT.
    model.generation_config.update(num_beams=4, max_length=64, bad_words_ids=[[pad]])
    model.save_pretrained(folder)
