"""A small STT_HOME with something to deliver: a recogniser's adapter that was promoted, a translator's, and a MarianMT."""

from pathlib import Path

from stt_platform.models.registry import model
from stt_platform.store.adapters import record_made
from stt_platform.store.choices import Champion, record_speech_champion
from stt_platform.store.reports import ReportCard, write_report
from stt_platform.training.adapter_files import AdapterFiles, Base, Provenance, weights_sha256, write_adapter
from stt_platform.training.lora import save_lora
from stt_platform.training.whisper_export import export_whisper
from stt_platform_tests.helpers.tiny_whisper import make_tiny_whisper
from stt_platform_tests.helpers.translation_home import add_adapter, add_fine_tuned, add_models

RECOGNISER = "whisper-tiny.en"


def build_home(home: Path) -> Path:
    """Tiny models with random weights under the names of real ones, adapters of them, and two reports."""
    make_tiny_whisper(whisper_base(home))
    add_models(home)
    champion = add_recogniser(home)
    record_speech_champion(home, Champion(champion.adapter_id, "the tests say so"))
    add_adapter(home, part="A")
    add_fine_tuned(home)
    add_report(home, "speech-cycle-1", f"{RECOGNISER}@1+{champion.adapter_id[:12]}")
    add_report(home, "speech-cycle-0", f"{RECOGNISER}@1+000000000000")
    return home


def whisper_base(home: Path) -> Path:
    """Where the recogniser's base lies, as it is converted for training."""
    return home / "models" / model(RECOGNISER).identity


def add_recogniser(home: Path, *, seed: int = 3, cycle: str = "1") -> AdapterFiles:
    """An adapter of the recogniser with random weights, written as the training writes it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import WhisperForConditionalGeneration

    base = whisper_base(home)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = WhisperForConditionalGeneration.from_pretrained(base)
        config = LoraConfig(r=4, lora_alpha=64, target_modules=["q_proj", "v_proj", "fc2"], init_lora_weights=False)
        adapted = get_peft_model(network, config)
    adapted.peft_config["default"].base_model_name_or_path = RECOGNISER

    def fill(folder: Path) -> None:
        save_lora(adapted, folder)
        export_whisper(base, folder, folder / "serving")

    of = Base(RECOGNISER, model(RECOGNISER).pinned_revision, weights_sha256(base))
    provenance = Provenance("whisper", of, "0" * 64, {"rank": 4}, "0", {"steps": [], "evaluations": []})
    found = write_adapter(home / "adapters", provenance, fill)
    record_made(home, "whisper_adapter", cycle, found.adapter_id)
    return found


def add_report(home: Path, name: str, system: str, page: str = "<p>a page</p>") -> None:
    """A report as its stage publishes it."""
    made = home / "made" / name
    made.mkdir(parents=True, exist_ok=True)
    write_report(made, page, ReportCard(name, f"Report {name}", "speech", system, "better", "Better.", name))
    (home / "reports").mkdir(exist_ok=True)
    (made / "report.html").rename(home / "reports" / f"{name}.html")
    (made / "report.json").rename(home / "reports" / f"{name}.json")
