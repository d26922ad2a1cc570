"""Other recognisers than Whisper: PocketSphinx on a real telephone call, CTC on a small untrained model."""

import json
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stt_platform.evaluation.agreement import pairwise_cer
from stt_platform.speech.recognisers.base import ChunkSpan
from stt_platform.speech.recognisers.pocketsphinx import PocketSphinx
from stt_platform.speech.recognisers.wav2vec2_ctc import Wav2Vec2Ctc

SAMPLE = files("pyannote.audio") / "sample" / "sample.wav"
# Between pauses, and what is said there by the reference.
SPANS = [ChunkSpan("a", 107_000, 200_000), ChunkSpan("b", 230_000, 300_000), ChunkSpan("c", 340_000, 420_000)]
LETTERS = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]


@pytest.fixture(scope="module")
def call():
    samples, _ = soundfile.read(str(SAMPLE), dtype="float32")
    return samples


@pytest.fixture(scope="module", params=[True, False], ids=["with a mask", "without a mask"])
def ctc_folder(request, tmp_path_factory) -> Path:
    """A wav2vec 2.0 of the right shape, with weights by chance, as safetensors."""
    import torch
    from transformers import (
        Wav2Vec2Config,
        Wav2Vec2CTCTokenizer,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForCTC,
        Wav2Vec2Processor,
    )

    masked = request.param
    folder = tmp_path_factory.mktemp("ctc")
    (folder / "vocab.json").write_text(json.dumps({letter: i for i, letter in enumerate(LETTERS)}))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=masked)
    Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        vocab_size=len(LETTERS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(16,) * 7,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer" if masked else "group",
        do_stable_layer_norm=masked,
        initializer_range=1.0,
        pad_token_id=0,
    )
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    assert (folder / "model.safetensors").exists()
    return folder


def hear(recogniser, samples, spans, **parameters):
    return list(recogniser.transcribe_chunks(lambda a, b: samples[a:b], spans, **parameters))


def test_pocketsphinx_transcribes_a_call_whatever_came_before(call):
    recogniser = PocketSphinx()
    progress = []
    forwards = hear(recogniser, call, SPANS, progress=lambda *now: progress.append(now))
    assert [t.chunk_id for t in forwards] == ["a", "b", "c"]
    assert progress == [(1, 3), (2, 3), (3, 3)]
    assert all(t.text == t.text.strip().lower() and "(" not in t.text and "<" not in t.text for t in forwards)
    assert hear(recogniser, call, SPANS[::-1]) == forwards[::-1]
    assert hear(PocketSphinx(), call, SPANS) == forwards


def test_pocketsphinx_makes_words_of_read_english(test_data: Path):
    lines = (test_data / "audio" / "manifest.jsonl").read_text().splitlines()
    entries = {entry["file"]: entry["ref_text"] for entry in map(json.loads, lines)}
    for name in ("sense_0890", "sense_0930"):
        file = f"audio/audiobook/{name}.wav"
        samples, _ = soundfile.read(test_data / file, dtype="float32")
        (found,) = hear(PocketSphinx(), samples, [ChunkSpan("0", 0, samples.size)])
        assert pairwise_cer({"sphinx": found.text, "reference": entries[file]}).mean_cer < 0.4


def test_pocketsphinx_takes_silence_and_no_chunks_at_all():
    silence = np.zeros(32_000, dtype=np.float32)
    (found,) = hear(PocketSphinx(), silence, [ChunkSpan("s", 0, 32_000)])
    # It knows no silence without sound, and may write a word; a talk it never is.
    assert len(found.text.split()) <= 1
    assert hear(PocketSphinx(), silence, []) == []


def test_ctc_decodes_greedily_what_the_model_says(ctc_folder, call):
    import torch
    from transformers import Wav2Vec2ForCTC

    (found,) = hear(Wav2Vec2Ctc(ctc_folder), call, SPANS[:1])

    model = Wav2Vec2ForCTC.from_pretrained(ctc_folder).eval()
    samples = call[SPANS[0].start_sample : SPANS[0].end_sample].astype(np.float64)
    normalised = torch.tensor((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7), dtype=torch.float32)
    with torch.inference_mode():
        best = model(normalised[None]).logits.argmax(-1)[0].tolist()
    kept = [token for i, token in enumerate(best) if token != 0 and (i == 0 or token != best[i - 1])]
    text = "".join(LETTERS[token] if token > 4 else " " for token in kept if token in (4, *range(5, len(LETTERS))))
    assert found.text.replace("<s>", "").replace("</s>", "").replace("<unk>", "").split() == text.lower().split()
    assert found.text


def test_ctc_hears_a_chunk_in_a_batch_as_it_hears_it_alone(ctc_folder, call):
    recogniser = Wav2Vec2Ctc(ctc_folder)
    progress = []
    together = hear(recogniser, call, SPANS, progress=lambda *now: progress.append(now))
    assert together == [hear(recogniser, call, [span])[0] for span in SPANS]
    assert [t.chunk_id for t in together] == ["a", "b", "c"]
    masked = json.loads((ctc_folder / "processor_config.json").read_text())["feature_extractor"][
        "return_attention_mask"
    ]
    assert progress == ([(3, 3)] if masked else [(1, 3), (2, 3), (3, 3)])
    # 6 s hold one chunk each.
    progress.clear()
    assert hear(recogniser, call, SPANS, max_batch_s=6.0, progress=lambda *now: progress.append(now)) == together
    assert progress == [(1, 3), (2, 3), (3, 3)]


def test_ctc_takes_chunks_that_are_shorter_than_its_window(ctc_folder, call):
    assert len(hear(Wav2Vec2Ctc(ctc_folder), call, [ChunkSpan("x", 0, 100)])) == 1


@pytest.mark.parametrize(
    ("span", "size", "message"),
    [
        (ChunkSpan("c1", 5, 5), 0, "c1 has 0 samples"),
        (ChunkSpan("c2", 0, 16_000), 12_000, r"c2 spans samples 0 to 16000.*\(12000,\)"),
    ],
)
def test_a_chunk_that_does_not_fit_is_refused_by_its_id(span, size, message):
    with pytest.raises(ValueError, match=message):
        list(PocketSphinx().transcribe_chunks(lambda start, end: np.zeros(size, np.float32), [span]))


def test_no_folder_no_recogniser(tmp_path):
    with pytest.raises((OSError, ValueError), match=re.escape(str(tmp_path))):
        Wav2Vec2Ctc(tmp_path)
