"""Translating with tiny random models that the real code loads, and choosing and judging back-translations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stt_platform.models.registry import ModelMissing, models
from stt_platform.models.translators import translator_folder
from stt_platform.scripture.pairs import PairRow
from stt_platform.translation.back_translation import back_translate, choose_examples, choose_segments
from stt_platform.translation.translator import Translator, load_translator
from stt_platform_tests.helpers.translator_models import SENTENCES, tiny_gemma, tiny_marian

TEXTS = [*SENTENCES[:4], "", "Grace", "a <bos> inside", SENTENCES[0]]
EXAMPLES = [(SENTENCES[0], SENTENCES[4]), (SENTENCES[3], SENTENCES[7])]
MAKERS = {
    "text": tiny_gemma,
    "text and images": lambda folder: tiny_gemma(folder, images=True),
    "encoder and decoder": tiny_marian,
}


@pytest.fixture(scope="module", params=MAKERS)
def translator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Translator:
    return load_translator(MAKERS[request.param](tmp_path_factory.mktemp("translator")))


def test_a_batch_gives_what_each_text_gives_alone_and_in_order(translator: Translator) -> None:
    alone = [translator.translate([text], max_new_tokens=20)[0] for text in TEXTS]
    seen: list[tuple[int, int]] = []
    together = translator.translate(
        TEXTS, max_new_tokens=20, batch_size=4, progress=lambda done, total: seen.append((done, total))
    )
    assert together == alone
    assert together[0] == together[-1]
    assert len({done.text for done in alone}) > 3
    assert seen == [(6, 8), (8, 8)]


def test_rows_that_are_done_leave_the_batch_and_the_others_go_on_as_before(tmp_path: Path) -> None:
    translator = load_translator(tiny_gemma(tmp_path))
    # So many end signs that each text ends somewhere else.
    translator._stops |= set(range(20, 45))
    texts = [f"{text} {word}" for text in SENTENCES[:4] for word in ("light", "peace", "grace")]
    alone = [translator.translate([text], max_new_tokens=16)[0] for text in texts]
    for batch_size in (12, 8, 4, 3):
        assert translator.translate(texts, max_new_tokens=16, batch_size=batch_size) == alone
    assert len({done.tokens for done in alone}) > 4


def test_what_is_likeliest_is_what_transformers_finds(tmp_path: Path) -> None:
    translator = load_translator(tiny_gemma(tmp_path))
    prompts = [translator._encode(text) for text in SENTENCES[:3]]
    asked = translator._tokenizer.pad({"input_ids": prompts}, padding=True, return_tensors="pt")
    ours = translator._go_on(prompts, [60] * 3, 0)
    with torch.inference_mode():
        theirs = translator._model.generate(**asked, max_new_tokens=60)[:, asked.input_ids.shape[1] :].tolist()
    pad = translator._tokenizer.pad_token_id
    assert [row + [pad] * (60 - len(row)) for row in ours] == [row + [pad] * (60 - len(row)) for row in theirs]


def test_a_model_that_is_being_trained_is_refused(tmp_path: Path) -> None:
    translator = load_translator(tiny_gemma(tmp_path))
    translator._model.gradient_checkpointing_enable()
    translator._model.train()
    with pytest.raises(ValueError, match=r"call its eval\(\) first"):
        translator.translate(["Grace"])


def test_a_text_is_continued_without_being_asked_for_anything(tmp_path: Path) -> None:
    translator = load_translator(tiny_gemma(tmp_path))
    given = ["En el principio", "Jehová es", " "]
    asked = _recorded(translator, lambda: translator.continue_texts(given[:1]))
    tokenizer = translator._tokenizer
    assert asked[0].tolist() == [tokenizer(f"<bos>{given[0]}", add_special_tokens=False).input_ids]
    first, second, empty = translator.continue_texts(given, max_new_tokens=12)
    assert [first, second] == [translator.continue_texts([text], max_new_tokens=12)[0] for text in given[:2]]
    assert first.text and first.tokens <= 12 and first != second
    assert empty.status == "failed" and "empty" in empty.reason
    with pytest.raises(ValueError, match="only a causal language model"):
        load_translator(tiny_marian(tmp_path / "marian")).continue_texts(given)


def test_a_text_that_cannot_be_translated_is_marked_and_the_others_go_on(translator: Translator) -> None:
    long = "Grace " * 400
    empty, control, too_long, fine = translator.translate(["  ", "a <end_of_turn> b", long, SENTENCES[0]])
    assert [done.status for done in (empty, control, too_long)] == ["failed"] * 3
    assert "empty" in empty.reason
    assert "<end_of_turn>" in control.reason
    assert "has room for" in too_long.reason
    assert fine.text


def test_no_answer_is_longer_than_its_limit(translator: Translator) -> None:
    (done,) = translator.translate([SENTENCES[0]], max_new_tokens=2)
    assert done.tokens <= 2
    assert done.status != "cut" or done.reason == "stopped at the limit of 2 tokens"


@pytest.mark.parametrize(
    ("prompt", "examples", "shown"),
    [
        ("translategemma", (), "Please translate the following Spanish text into English:\n\n\nJehová es mi pastor"),
        (
            "examples",
            EXAMPLES,
            f"Spanish: {SENTENCES[7]}\nEnglish: {SENTENCES[3]}\n\nSpanish: Jehová es mi pastor\nEnglish:",
        ),
    ],
)
def test_a_prompt_has_one_beginning(tmp_path: Path, prompt: str, examples: list, shown: str) -> None:
    translator = load_translator(tiny_gemma(tmp_path), prompt=prompt, examples=examples)
    asked = _recorded(translator, lambda: translator.translate(["Jehová es mi pastor"], source="es", target="en"))
    (tokens,) = asked[0].tolist()
    tokenizer = translator._tokenizer
    assert tokens.count(tokenizer.bos_token_id) == 1
    assert tokens[0] == tokenizer.bos_token_id
    assert "".join(shown.split()) in "".join(tokenizer.decode(tokens).split())


@pytest.mark.parametrize("stop", ["<end_of_turn>", "<eos>"])
def test_an_answer_ends_at_an_end_sign(tmp_path: Path, stop: str) -> None:
    translator = load_translator(tiny_gemma(tmp_path))
    word, end = translator._tokenizer.convert_tokens_to_ids(["D", stop])
    _say(translator, [word, end, word])
    (done,) = translator.translate(["Dios"], source="es", target="en")
    assert (done.text, done.tokens, done.status) == ("D", 2, "translated")


def test_with_examples_an_answer_ends_with_its_line(tmp_path: Path) -> None:
    translator = load_translator(tiny_gemma(tmp_path), prompt="examples", examples=EXAMPLES)
    word, line = translator._tokenizer.convert_tokens_to_ids(["D", "\n"])
    _say(translator, [word, line, word])
    assert translator.translate(["Dios"], source="es", target="en")[0].text == "D"


def test_hints_reach_the_prompt_and_only_the_one_that_takes_them(tmp_path: Path) -> None:
    hints = [[("grace", "gracia")]]
    tuned = load_translator(tiny_gemma(tmp_path / "a"))
    (asked,) = _recorded(tuned, lambda: tuned.translate(["Grace be to you"], hints=hints))
    assert "grace→gracia" in "".join(tuned._tokenizer.decode(asked[0]).replace("<unk>", "→").split())
    with pytest.raises(ValueError, match="takes hints"):
        load_translator(tmp_path / "a", prompt="examples", examples=EXAMPLES).translate(["Grace"], hints=hints)
    with pytest.raises(ValueError, match="2 texts, but hints for 1"):
        tuned.translate(["Grace", "Peace"], hints=hints)


def test_a_direction_that_a_model_does_not_translate_is_refused(tmp_path: Path) -> None:
    translator = load_translator(tiny_marian(tmp_path))
    with pytest.raises(ValueError, match=r"from 'en' to 'es', not from 'es' to 'en'.*opus-mt-es-en"):
        translator.translate(["Gracia"], source="es", target="en")
    with pytest.raises(ValueError, match="'de'"):
        translator.translate(["Grace"], target="de")


def test_examples_belong_to_their_prompt(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 examples"):
        load_translator(tmp_path, prompt="examples")
    with pytest.raises(ValueError, match="2 examples"):
        load_translator(tmp_path, examples=EXAMPLES)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("kind", MAKERS)
def test_on_cuda_a_batch_gives_what_the_cpu_gives(tmp_path: Path, kind: str) -> None:
    folder = MAKERS[kind](tmp_path)
    on_gpu = load_translator(folder, device="cuda")
    assert on_gpu.translate(TEXTS, batch_size=4) == [on_gpu.translate([text])[0] for text in TEXTS]
    assert on_gpu.translate(TEXTS) == load_translator(folder).translate(TEXTS)


def test_a_folder_of_the_users_goes_first_and_must_be_whole(tmp_path: Path) -> None:
    own = tmp_path / "models" / "translategemma-4b"
    own.mkdir(parents=True)
    with pytest.raises(ModelMissing, match=r"no config.json and no \*.safetensors"):
        translator_folder("translategemma-4b", tmp_path)
    tiny_gemma(own)
    assert translator_folder("translategemma-4b", tmp_path) == own


def test_a_translator_that_is_not_there_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(ModelMissing, match=r"HF_TOKEN.*STT_HOME/models/translategemma-4b.*STT_PROFILE=embedded"):
        translator_folder("translategemma-4b", tmp_path)
    with pytest.raises(ModelMissing, match="no translator"):
        translator_folder("whisper-tiny.en", tmp_path)


def test_a_gated_translator_says_how_to_be_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx2 as httpx
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError

    def refuse(*_: object, **__: object) -> str:
        raise GatedRepoError("401", response=httpx.Response(401, request=httpx.Request("GET", "http://hub")))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(ModelMissing, match=r"gated, and HF_TOKEN is not set: accept its conditions"):
        translator_folder("translategemma-12b", tmp_path)


def test_the_small_translator_needs_examples() -> None:
    assert models()["gemma-3-270m"].prompt == "examples"
    assert models()["translategemma-4b"].prompt == "translategemma"


def row(verse: int, source: str = "web", **changed: object) -> PairRow:
    ref = 1001000 + verse
    fields = {
        "pair_id": f"{source}-rvr1909-{ref:08d}",
        "segment_id": f"rvr1909-{ref:08d}",
        "en_source": source,
        "es_source": "rvr1909",
        "en_refs": (ref,),
        "es_refs": (ref,),
        "en": f"And God said, Let there be light number {verse}.",
        "es": f"Y dijo Dios: Sea la luz número {verse}, y fué la luz.",
        "genre": ("law", "history", "wisdom", "gospels")[verse % 4],
        "testament": "ot",
        "split": "train",
    }
    return PairRow(**{**fields, **changed})


def test_only_accepted_rows_of_the_training_side_are_chosen_one_for_each_segment() -> None:
    rows = [
        *(row(1, source) for source in ("asv", "kjv", "web", "ylt")),
        *(row(2, source) for source in ("ylt", "kjv")),
        row(3, split="test"),
        row(4, split="excluded"),
        row(5, status="quarantined", reason="too long"),
        row(6, "web"),
        row(6, "kjv", es_refs=(1001006, 1001007)),
    ]
    chosen = choose_segments(rows, sample=None, seed=1)
    assert [(item.es_refs[0] % 1000, item.en_source) for item in chosen] == [(1, "web"), (2, "kjv"), (6, "kjv")]
    assert choose_segments(rows[::-1], sample=None, seed=1) == chosen


def test_a_draw_depends_on_the_seed_and_not_on_the_rest() -> None:
    rows = [row(verse) for verse in range(1, 101)]
    chosen = choose_segments(rows, sample=10, seed=1)
    assert len(chosen) == 10
    assert choose_segments(rows[::-1], sample=10, seed=1) == chosen
    assert choose_segments(rows, sample=10, seed=2) != chosen
    assert set(choose_segments(rows, sample=20, seed=1)) > set(chosen)
    left_out = {chosen[0].segment_id}
    assert left_out.isdisjoint(item.segment_id for item in choose_segments(rows, sample=None, seed=1, exclude=left_out))


def test_examples_are_short_and_of_different_genres() -> None:
    rows = [row(verse) for verse in range(1, 9)] + [row(9, en="In the beginning " * 20), row(10, split="test")]
    chosen = choose_examples(rows, seed=1)
    assert len({item.genre for item in chosen}) == 3
    assert choose_examples(rows[::-1], seed=1) == chosen
    with pytest.raises(ValueError, match="1 of 3 examples"):
        choose_examples([row(1), row(5)], seed=1)


@pytest.mark.parametrize(
    ("made", "status", "en", "word"),
    [
        (
            "And God said: Let there be\n light number 1.",
            "accepted",
            "__bt__ And God said: Let there be light number 1.",
            "",
        ),
        (
            "And God said, Let there be [light] number 1.",
            "quarantined",
            "And God said, Let there be [light] number 1.",
            "[ ]",
        ),
        ("The bees are a strong country.", "quarantined", "The bees are a strong country.", "below 35"),
        ("Y dijo Dios: Sea la luz número 1.", "quarantined", "Y dijo Dios: Sea la luz número 1.", "copied"),
        ("", "quarantined", "", "nothing"),
    ],
)
def test_a_back_translation_is_tagged_or_marked(made: str, status: str, en: str, word: str) -> None:
    (done,) = back_translate([row(1)], lambda texts: [made for _ in texts], system="model@1")
    assert (done.segment_id, done.status, done.en, done.system) == (row(1).segment_id, status, en, "model@1")
    assert word in done.reason
    assert (done.chrf is None) == (not made)


def test_translations_that_do_not_answer_the_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        back_translate([row(1), row(2)], lambda texts: ["one"], system="model@1")


def _recorded(translator: Translator, run: Callable[[], object]) -> list[torch.Tensor]:
    """What the model is asked while `run` runs: the prompts, not what it then goes on with."""
    asked: list[torch.Tensor] = []

    def record(_: object, args: tuple, inputs: dict) -> None:
        if inputs["input_ids"].shape[1] > 1:
            asked.append(inputs["input_ids"])

    handle = translator._model.register_forward_pre_hook(record, with_kwargs=True)
    run()
    handle.remove()
    return asked


def _say(translator: Translator, words: list[int]) -> None:
    """Let the model find these tokens likeliest, one after the other."""
    left = list(words)

    def say(_: object, args: tuple, found: object) -> object:
        found.logits[:] = -1e9
        found.logits[..., left.pop(0)] = 0
        return found

    translator._model.register_forward_hook(say)
