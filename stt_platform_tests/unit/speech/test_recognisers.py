"""A recogniser is added by its own file, and by an entry of the registry."""

import pytest

from stt_platform.defs import recognisers
from stt_platform.errors import PlatformError
from stt_platform.models.registry import Model
from stt_platform.settings import Settings
from stt_platform.speech import recognisers as folder
from stt_platform.speech.recognisers.base import ChunkSpan, ChunkTranscript, silence
from stt_platform.store.hypotheses import KeptHearing, SpeechHypothesisStore

TOY = """
from stt_platform.speech.recognisers.base import ChunkTranscript, Recogniser


class Toy(Recogniser):
    kind = "toy"

    def __init__(self, word):
        self._word = word

    @classmethod
    def load(cls, folder, *, device="cpu", compute_type="int8", cpu_threads=2):
        return cls((folder / "word.txt").read_text())

    def transcribe_chunks(
        self, read_samples, chunks, *, language="en", beam_size=5, word_timestamps=True, progress=None
    ):
        for chunk in chunks:
            yield ChunkTranscript(chunk.chunk_id, " ".join([self._word] * (len(read_samples(0, 16_000)) // 8_000)))
"""


def test_a_recogniser_needs_its_own_file_and_an_entry_of_the_registry(tmp_path, monkeypatch):
    (tmp_path / "toy_recogniser.py").write_text(TOY)
    (tmp_path / "word.txt").write_text("amen")
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    entry = Model("toy", "toy", "MIT", package="toy", revision="1")
    monkeypatch.setattr(Model, "folder_on_disk", lambda self: tmp_path)
    monkeypatch.setattr(recognisers, "model", {"toy": entry}.__getitem__)
    settings = Settings()
    for chosen in (settings.transcription, settings.agreement):
        toy = recognisers.load_recogniser(recognisers.base_system("toy"), chosen)
        toy.warm_up()
        assert list(toy.transcribe_chunks(silence, [ChunkSpan("a", 0, 16_000)])) == [ChunkTranscript("a", "amen amen")]
        assert toy.detect_language(silence(0, 16_000)) is None


def test_a_kind_without_a_recogniser_is_refused_with_those_there_are(tmp_path):
    system = recognisers.SpeechSystem("nllb@1", tmp_path, None, "nllb@1", "translator")
    with pytest.raises(
        PlatformError, match=r"nllb@1: .*'translator'; there are faster-whisper, pocketsphinx, .*wav2vec2-ctc"
    ):
        recognisers.load_recogniser(system, Settings().transcription)


def test_a_text_without_scores_is_kept(tmp_path):
    store = SpeechHypothesisStore(tmp_path, "toy@1", {})
    store.keep({"k": KeptHearing("amen", 0.5, None, None, None)})
    assert store.find(["k"]) == {"k": KeptHearing("amen", 0.5, None, None, None)}
