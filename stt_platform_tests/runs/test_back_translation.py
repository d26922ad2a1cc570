"""The packaged Gemma 3 270M, converted as on first use, translates verses back."""

from pathlib import Path

import pytest

from stt_platform.models.registry import model
from stt_platform.models.translators import translator_folder
from stt_platform.scripture.pairs import PairRow
from stt_platform.translation.back_translation import back_translate
from stt_platform.translation.translator import load_translator

EXAMPLES = [
    ("Jesus wept.", "Y lloró Jesús."),
    ("He took the cup, gave thanks, and gave it to them.", "Y tomando el vaso, y hechas gracias, les dió."),
    ("Why have you done this?", "¿Por qué has hecho esto?"),
]
VERSES = [
    ("In the beginning God created the heaven and the earth.", "En el principio crió Dios los cielos y la tierra."),
    ("This is the day which the LORD hath made.", "Este es el día que hizo Jehová."),
    ("And God said, Let there be light: and there was light.", "Y dijo Dios: Sea la luz: y fué la luz."),
]


@pytest.mark.prove
def test_the_packaged_model_translates_verses_back(stt_home: Path) -> None:
    said: list[str] = []
    folder = translator_folder("gemma-3-270m", stt_home, said.append)
    assert "converting gemma-3-270m@1.0.0" in said[0]
    assert translator_folder("gemma-3-270m", stt_home, said.append) == folder
    assert len(said) == 1
    assert not list(folder.glob("*.gguf"))
    assert [path.name for path in folder.parent.iterdir() if not path.name.endswith(".lock")] == [folder.name]

    entry = model("gemma-3-270m")
    translator = load_translator(folder, prompt=entry.prompt, examples=EXAMPLES)
    rows = [
        PairRow(f"kjv-{i}", f"rvr1909-{i}", "kjv", "rvr1909", (i,), (i,), en, es, "law", "ot", "train")
        for i, (en, es) in enumerate(VERSES, start=1)
    ]
    done = back_translate(
        rows,
        lambda texts: [made.text for made in translator.translate(texts, source="es", target="en")],
        system=entry.identity,
    )
    assert all("\n" not in made.en and made.en for made in done)
    assert sum(made.status == "accepted" for made in done) >= 2, [(made.en, made.reason) for made in done]
