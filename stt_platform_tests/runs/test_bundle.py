"""A bundle made of small adapters, and its script where nothing of the platform is: it passes, and finds every damage."""

import errno
import io
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import dagster as dg
import pytest
from rich.console import Console

from stt_platform.cli.bundling import make_bundle
from stt_platform.definitions import defs
from stt_platform.defs.delivery import bundle as bundle_stage
from stt_platform.delivery.bundle import HubBase, translator_part
from stt_platform.delivery.merging import merge_translator
from stt_platform.delivery.verify_bundle import Unfit, check_part, damage, read_manifest
from stt_platform.errors import PlatformError
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.running import run_stage
from stt_platform.orchestration.stage import stages
from stt_platform.settings import load_settings
from stt_platform.store.choices import Champion, record_speech_champion, speech_champion
from stt_platform.store.stages import CORPUS, current_output
from stt_platform.training.causal_lora import TARGET_MODULES
from stt_platform.training.lora import save_lora
from stt_platform_tests.helpers.bundle_home import RECOGNISER, add_recogniser, add_report, build_home, whisper_base
from stt_platform_tests.helpers.sealed_bundles import WEIGHTS, flip, latest_bundle
from stt_platform_tests.helpers.translation_home import BASE
from stt_platform_tests.helpers.translator_models import tiny_gemma

STAGE = "adapter_bundle"
GEMMA = "fine_tuned_gemma_mi_A"
SECRET = "hf_planted9D2c71"

# Packages as if they were all that is installed: what a .pth file adds, such as the checkout of the platform, is not there.
APART = """
import importlib.util, runpy, sys
sys.path += sys.argv[1].split(':')
assert importlib.util.find_spec('stt_platform') is None
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a bundle that holds all that a bundle can hold, made by a real run."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STT_HOME", str(home))
        patch.setenv("STT_LOCK_DIR", str(home / "locks"))
        patch.setenv("HF_TOKEN", SECRET)
        build_home(home)
        (home / "settings.toml").write_text("[delivery]\nctranslate2 = true\nfull_weights = true\n", encoding="utf-8")
        with dg.DagsterInstance.ephemeral() as instance:
            job = defs.resolve_implicit_global_asset_job_def()
            assert job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey(STAGE)]).success
        yield home


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    newest = latest_bundle(made / "bundles")
    return shutil.copytree(newest, tmp_path / newest.name)


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which the bundle of `made` is there, and that may be changed; no options are set."""
    copy = shutil.copytree(made, tmp_path / "home", symlinks=True)
    monkeypatch.setenv("STT_HOME", str(copy))
    monkeypatch.setenv("STT_LOCK_DIR", str(tmp_path / "locks"))
    return copy


def bases(home: Path) -> dict[str, Path]:
    return {RECOGNISER: whisper_base(home), BASE: home / "models" / BASE}


def script(bundle: Path, home: Path, *more: str) -> subprocess.CompletedProcess:
    """The bundle's script, with the packages of this environment and nothing of ours."""
    packages = ":".join(dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib")))
    given = [argument for name, folder in bases(home).items() for argument in ("--base", f"{name}={folder}")]
    command = [sys.executable, "-I", "-S", "-c", APART, packages, str(bundle / "verify_bundle.py"), *given, *more]
    environment = {"PATH": os.environ["PATH"], "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HOME": str(home)}
    return subprocess.run(command, capture_output=True, text=True, cwd=bundle, env=environment, timeout=300)


def part(bundle: Path, folder: str) -> dict:
    return next(part for part in read_manifest(bundle)["parts"] if part["folder"] == folder)


def make(home: Path) -> Path:
    """Bring the stage up to date in this process; returns the latest bundle."""
    run_stage(stages()[STAGE], Platform(), lambda line: None)
    return latest_bundle(home / "bundles")


def test_the_bundle_holds_what_the_live_machine_loads(made: Path, bundle: Path) -> None:
    folders = {path.name for path in bundle.iterdir() if path.is_dir()}
    assert folders == {
        "checks",
        "reports",
        "fine_tuned_whisper_mi",
        "fine_tuned_whisper_mi_ct2",
        "fine_tuned_whisper_mi_full",
        GEMMA,
        f"{GEMMA}_full",
        "fine_tuned_marian_mi",
    }
    for folder in ("fine_tuned_whisper_mi", GEMMA):
        assert (bundle / folder / "adapter_config.json").is_file()
        assert (bundle / folder / "adapter_model.safetensors").is_file()
        assert (bundle / folder / "README.md").is_file()
    assert (bundle / "fine_tuned_whisper_mi_ct2" / "model.bin").is_file()
    # Of the reports, those that measured what is in it.
    assert sorted(path.name for path in (bundle / "reports").iterdir()) == [
        "speech-cycle-1.html",
        "speech-cycle-1.json",
    ]
    assert not list(bundle.rglob("*.tmp"))
    assert str(made) not in "".join(
        path.read_text(encoding="utf-8") for path in bundle.rglob("*") if path.suffix in (".json", ".md", ".html")
    )
    for one in read_manifest(bundle)["parts"]:
        assert one["expected"] is None or one["expected"]["text"], one["folder"]


def test_no_secret_travels_with_it(made: Path) -> None:
    files = [path for path in made.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_the_script_passes_where_nothing_of_ours_is(made: Path, bundle: Path) -> None:
    done = script(bundle, made)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"ok   {bundle.name}: all ")
    assert lines[1].startswith("ok   peft ")
    answered = [line.split()[1] for line in lines[2:] if "wrote as expected: " in line]
    assert answered == [
        "fine_tuned_whisper_mi",
        "fine_tuned_whisper_mi_full",
        GEMMA,
        f"{GEMMA}_full",
        "fine_tuned_marian_mi",
    ]
    assert "ok   fine_tuned_whisper_mi_ct2: files only; faster-whisper loads it" in lines
    assert lines[-1] == "note MLX: nothing converted: mlx_lm is not installed here (on a Mac: pip install mlx-lm)"


@pytest.mark.parametrize(
    "file", [WEIGHTS, f"{GEMMA}/adapter_config.json", "fine_tuned_marian_mi/model.safetensors", "checks/utterance.wav"]
)
def test_the_script_fails_on_one_flipped_byte_and_names_the_file(made: Path, bundle: Path, file: str) -> None:
    flip(bundle / file)
    done = script(bundle, made)
    assert done.returncode == 1
    assert done.stdout == f"FAIL {file} was changed since the bundle was made: copy it again\n"


def test_the_script_fails_on_a_missing_file_and_names_it(made: Path, bundle: Path) -> None:
    (bundle / WEIGHTS).unlink()
    done = script(bundle, made)
    assert done.returncode == 1
    assert done.stdout == f"FAIL {WEIGHTS} is missing: copy it again\n"


def test_another_base_is_noticed(made: Path, bundle: Path, tmp_path: Path) -> None:
    other = tiny_gemma(tmp_path / "other", seed=3)
    with pytest.raises(Unfit, match=f"{GEMMA} "):
        check_part(bundle, part(bundle, GEMMA), {BASE: other})
    check_part(bundle, part(bundle, GEMMA), bases(made))


@pytest.mark.parametrize("folder", ["fine_tuned_whisper_mi", GEMMA])
def test_an_adapter_without_effect_is_noticed(made: Path, bundle: Path, folder: str) -> None:
    from safetensors.torch import load_file, save_file

    path = bundle / folder / "adapter_model.safetensors"
    save_file({name: weight * 0 for name, weight in load_file(path).items()}, path)
    with pytest.raises(Unfit, match=f"{folder} "):
        check_part(bundle, part(bundle, folder), bases(made))


def test_an_adapter_of_another_model_is_told_apart_though_peft_takes_it(made: Path, bundle: Path) -> None:
    shutil.copytree(bundle / GEMMA, bundle / "fine_tuned_whisper_mi", dirs_exist_ok=True)
    with pytest.raises(Unfit, match="fine_tuned_whisper_mi is of another base: base_model"):
        check_part(bundle, part(bundle, "fine_tuned_whisper_mi"), bases(made))


def test_a_translator_that_can_see_too_is_asked_like_any_other(tmp_path: Path) -> None:
    """As TranslateGemma is built: a model of text and images, of which the text is used."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = tiny_gemma(tmp_path / "base", images=True)
    config = LoraConfig(r=4, target_modules=TARGET_MODULES, init_lora_weights=False, task_type="CAUSAL_LM")
    (tmp_path / GEMMA).mkdir()
    save_lora(get_peft_model(AutoModelForCausalLM.from_pretrained(base), config), tmp_path / GEMMA)
    of = {"base": base, "dtype": "bfloat16"}
    made = translator_part(tmp_path, GEMMA, "a", hub=HubBase("tiny", None), **of)
    described = {**asdict(made), **made.asked}
    assert made.expected["text"] in check_part(tmp_path, described, {"tiny": base})
    merge_translator(base, tmp_path / GEMMA, tmp_path / "whole", dtype="float32")
    whole = translator_part(tmp_path, "whole", "a", hub=None, base=tmp_path / "whole", dtype="float32")
    assert "wrote as expected" in check_part(tmp_path, {**asdict(whole), **whole.asked}, {})


def test_a_base_that_the_hub_does_not_have_is_asked_for(bundle: Path) -> None:
    with pytest.raises(Unfit, match=f"give it with --base {BASE}=FOLDER"):
        check_part(bundle, part(bundle, GEMMA), {})


def test_nothing_is_made_twice_and_what_was_taken_away_comes_back(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_stage, "_packed", lambda *arguments: pytest.fail("it was made anew"))
    before = latest_bundle(home / "bundles")
    shutil.rmtree(before)
    assert make(home) == before
    assert damage(before) == []


def test_the_command_makes_it_and_says_where(home: Path) -> None:
    said = io.StringIO()
    assert make_bundle(home, load_settings(home), Console(file=said, width=300)) == 0
    assert "Nothing to do: adapter_bundle is up to date." in said.getvalue()
    assert str(latest_bundle(home / "bundles")) in said.getvalue()
    assert "python3 verify_bundle.py" in said.getvalue()


def test_a_new_champion_is_a_new_bundle_on_the_share_too(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = tmp_path / "share"
    (home / "settings.toml").write_text(f"[delivery]\nfolder = '{share}'\nkeep = 1\n", encoding="utf-8")
    newer = add_recogniser(home, seed=9, cycle="2")
    record_speech_champion(home, Champion(newer.adapter_id, "better"))
    real = Path.symlink_to

    def symlink_to(self: Path, *arguments: object, **named: object) -> None:
        if share in self.parents:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        real(self, *arguments, **named)

    monkeypatch.setattr(Path, "symlink_to", symlink_to)
    before = latest_bundle(home / "bundles")
    after = make(home)
    assert after != before
    assert not before.exists()
    assert part(after, "fine_tuned_whisper_mi")["adapter_id"] == newer.adapter_id
    assert (share / "latest.txt").read_text(encoding="utf-8") == f"{after.name}\n"
    assert damage(latest_bundle(share)) == []
    # Without the options it holds adapters, and no model a second time.
    assert not (after / "fine_tuned_whisper_mi_full").exists()
    assert not (after / "fine_tuned_whisper_mi_ct2").exists()


def test_a_full_disk_leaves_no_half_bundle(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record_speech_champion(home, Champion(None, "none"))
    before, output = latest_bundle(home / "bundles"), current_output(home, CORPUS, STAGE)
    names = sorted(path.name for path in (home / "bundles").iterdir())

    def full(bundle: Path, **named: object) -> None:
        (bundle / "bundle.json").write_bytes(b"{")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(bundle_stage, "seal_bundle", full)
        with pytest.raises(PlatformError, match=r"No space left on device.*make room"):
            make(home)
    assert sorted(path.name for path in (home / "bundles").iterdir()) == names
    assert latest_bundle(home / "bundles") == before
    assert damage(before) == []
    assert current_output(home, CORPUS, STAGE).key == output.key
    assert "fine_tuned_whisper_mi" not in {part["folder"] for part in read_manifest(make(home))["parts"]}


def test_a_token_in_a_report_is_not_delivered(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "the-secret-of-the-church")
    champion = speech_champion(home).adapter_id
    add_report(home, "speech-cycle-7", f"{RECOGNISER}@1+{champion[:12]}", "<p>the-secret-of-the-church</p>")
    before = latest_bundle(home / "bundles")
    with pytest.raises(PlatformError, match=r"reports/speech-cycle-7\.html of the bundle holds a token or a password"):
        make(home)
    assert latest_bundle(home / "bundles") == before


def test_a_spoilt_adapter_is_not_delivered(home: Path) -> None:
    newer = add_recogniser(home, seed=9, cycle="2")
    record_speech_champion(home, Champion(newer.adapter_id, "better"))
    flip(newer.folder / "adapter_model.safetensors")
    with pytest.raises(PlatformError, match=r"adapter_model\.safetensors was changed"):
        make(home)


def test_without_anything_to_deliver_it_says_what_is_missing(stt_home: Path) -> None:
    with pytest.raises(PlatformError, match="there is nothing to deliver yet"):
        run_stage(stages()[STAGE], Platform(), lambda line: None)
    assert not (stt_home / "bundles").exists()


@pytest.mark.prove
def test_the_script_passes_in_a_fresh_environment(made: Path, bundle: Path, tmp_path: Path) -> None:
    """Only transformers and peft are installed, and what they bring (torch comes with peft)."""
    versions = read_manifest(bundle)["made_with"]
    wanted = [f"{package}=={versions[package]}" for package in ("transformers", "peft", "torch")]
    python = tmp_path / "fresh" / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(python.parents[1])], check=True)
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", str(python), *wanted], check=True)
    listed = subprocess.run(
        [*uv, "pip", "list", "--format", "json", "--python", str(python)], capture_output=True, check=True
    )
    installed = {row["name"] for row in json.loads(listed.stdout)}
    assert not installed & {"stt-platform", "sentencepiece", "soundfile", "dagster"}
    given = [argument for name, folder in bases(made).items() for argument in ("--base", f"{name}={folder}")]
    command = [str(python), "-I", str(bundle / "verify_bundle.py"), *given]
    done = subprocess.run(command, capture_output=True, text=True, cwd=bundle)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("wrote as expected") == 5
    flip(bundle / WEIGHTS)
    done = subprocess.run(command, capture_output=True, text=True, cwd=bundle)
    assert (done.returncode, done.stdout.split()[:2]) == (1, ["FAIL", WEIGHTS])
