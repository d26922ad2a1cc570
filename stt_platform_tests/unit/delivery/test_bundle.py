"""A bundle's files: sealed, described, and without secrets; and its script, which knows nothing of ours."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from stt_platform.delivery import verify_bundle
from stt_platform.delivery.bundle import (
    BundlePart,
    HubBase,
    arithmetic,
    bundle_name,
    hub_base,
    private_files,
    reports_of,
    seal_bundle,
)
from stt_platform.delivery.verify_bundle import Unfit, check_versions, damage, mlx_commands, read_manifest
from stt_platform_tests.helpers.sealed_bundles import PART, VERSIONS, WEIGHTS, flip, make_bundle

SCRIPT = Path(verify_bundle.__file__)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path)


def files(bundle: Path) -> list[str]:
    return sorted(path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file())


def test_a_sealed_bundle_is_whole_and_says_what_it_is(bundle: Path) -> None:
    assert damage(bundle) == []
    manifest = read_manifest(bundle)
    assert manifest["needs"] == {"transformers": "5.23", "peft": "0.21"}
    assert manifest["parts"][0]["base"] == {"name": "tiny", "repo": None, "revision": None}
    assert reports_of(bundle) == ["speech-cycle-0.html"]
    # What other tools read too.
    done = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=bundle, capture_output=True)
    assert done.returncode == 0


@pytest.mark.parametrize("at", [0, None, -1])
def test_one_flipped_bit_of_any_file_names_that_file(bundle: Path, at: int | None) -> None:
    for name in files(bundle):
        whole = (bundle / name).read_bytes()
        flip(bundle / name, at)
        (said,) = damage(bundle)
        assert said.startswith(f"{name} "), name
        (bundle / name).write_bytes(whole)
    assert damage(bundle) == []


def test_a_missing_file_is_named_whichever_it_is(bundle: Path) -> None:
    for name in files(bundle):
        whole = (bundle / name).read_bytes()
        (bundle / name).unlink()
        (said,) = damage(bundle)
        assert said.startswith(f"{name} "), name
        (bundle / name).write_bytes(whole)


def test_all_that_is_damaged_is_named(bundle: Path) -> None:
    flip(bundle / WEIGHTS)
    (bundle / "README.md").unlink()
    assert [said.split()[0] for said in damage(bundle)] == ["README.md", WEIGHTS]


def test_white_space_in_the_manifest_counts_too(bundle: Path) -> None:
    path = bundle / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text())), encoding="utf-8")
    assert damage(bundle) == ["bundle.json was changed since the bundle was made: copy it again"]


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd"])
def test_a_list_that_leads_out_of_the_bundle_is_refused(bundle: Path, name: str) -> None:
    sums = bundle / "SHA256SUMS"
    sums.write_text(sums.read_text() + f"{'0' * 64}  {name}\n", encoding="utf-8")
    content = json.loads((bundle / "bundle.json").read_text())
    del content["seal"]
    content["checksums_sha256"] = verify_bundle.sha256_of(sums)
    (bundle / "bundle.json").write_text(verify_bundle.sealed(content), encoding="utf-8")
    assert damage(bundle) == [f"{name} does not lie in the bundle: do not use it"]


def test_the_script_ends_with_1_and_names_the_file(bundle: Path) -> None:
    command = [sys.executable, "-I", "-S", str(bundle / "verify_bundle.py"), "--files-only"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    assert "all 7 files are as they were made" in done.stdout
    flip(bundle / WEIGHTS)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == f"FAIL {WEIGHTS} was changed since the bundle was made: copy it again\n"


def test_a_base_folder_that_is_not_there_is_told_at_once(bundle: Path) -> None:
    command = [sys.executable, "-I", str(bundle / "verify_bundle.py"), "--base", "tiny=/nowhere"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--base tiny=/nowhere: there is no such folder" in done.stderr


def test_the_script_needs_nothing_of_ours_and_an_old_python_reads_it() -> None:
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 9))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - set(sys.stdlib_module_names) == {"numpy", "torch", "transformers", "peft", "safetensors"}
    at_top = {node.module.split(".")[0] for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert at_top <= set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    ("installed", "said"),
    [
        ({"transformers": "5.23.4", "peft": "0.21.0"}, None),
        ({"transformers": "6.0", "peft": "1.0.0rc1"}, None),
        ({"transformers": "5.22.9", "peft": "0.21.0"}, "transformers 5.22.9 is older than 5.23"),
        ({"transformers": "5.23.0", "peft": "0.9.1"}, "peft 0.9.1 is older than 0.21"),
        ({"transformers": "5.23.0"}, "peft is not installed: pip install 'peft>=0.21'"),
    ],
)
def test_older_packages_than_those_that_made_it_are_refused(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, installed: dict[str, str], said: str | None
) -> None:
    def version(package: str) -> str:
        try:
            return installed[package]
        except KeyError:
            raise verify_bundle.PackageNotFoundError(package) from None

    monkeypatch.setattr(verify_bundle, "version", version)
    if said is None:
        assert len(check_versions(read_manifest(bundle))) == 2
        return
    with pytest.raises(Unfit, match=said):
        check_versions(read_manifest(bundle))


def test_mlx_is_made_of_full_translators_only(tmp_path: Path) -> None:
    parts = [
        PART,
        BundlePart("fine_tuned_gemma_mi_A", "translategemma", "a", HubBase("g", "google/g")),
        BundlePart("fine_tuned_gemma_mi_A_full", "translategemma", "a", None),
    ]
    manifest = seal_bundle(tmp_path, name="x", made_at="t", made_by="m", versions=VERSIONS, parts=parts)
    (command,) = mlx_commands(tmp_path, manifest, Path("/mlx"))
    assert command[1:4] == ["-m", "mlx_lm", "convert"]
    assert command[-4:] == [
        "--hf-path",
        str(tmp_path / "fine_tuned_gemma_mi_A_full"),
        "--mlx-path",
        "/mlx/fine_tuned_gemma_mi_A_full",
    ]


@pytest.mark.parametrize(
    ("content", "private"),
    [
        ("nothing to see", False),
        ("hf_internal_testing and https://example.org/a:b", False),
        ("token = hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345", True),
        ("https://ann:wonder@example.org/", True),
        ("the lamp-and-the-oil stands here", True),
    ],
)
def test_a_secret_in_a_file_is_found(bundle: Path, content: str, private: bool) -> None:
    (bundle / "reports" / "page.html").write_text(content, encoding="utf-8")
    assert private_files(bundle, ["lamp-and-the-oil"]) == (["reports/page.html"] if private else [])


def test_the_page_says_what_has_to_be_copied_and_how_it_is_checked(bundle: Path) -> None:
    page = (bundle / "README.md").read_text(encoding="utf-8")
    assert "python3 verify_bundle.py --base tiny=FOLDER" in page
    assert "| `fine_tuned_whisper_mi` | recogniser of English speech, adapter | tiny |" in page
    assert "[speech-cycle-0.html](reports/speech-cycle-0.html)" in page


@pytest.mark.parametrize(
    ("name", "repo", "expected"),
    [
        ("distil-large-v3", "Systran/faster-distil", HubBase("distil-large-v3", "distil-whisper/distil-large-v3")),
        ("translategemma-4b", "google/tg", HubBase("translategemma-4b", "google/tg", "abc")),
        ("gemma-3-270m", None, HubBase("gemma-3-270m", None, "abc")),
    ],
)
def test_a_recogniser_is_looked_for_where_transformers_can_read_it(
    name: str, repo: str | None, expected: HubBase
) -> None:
    assert hub_base(name, repo, "abc") == expected


def test_a_large_model_is_asked_in_bfloat16(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"small")
    assert arithmetic(tmp_path) == "float32"
    with (tmp_path / "model-2.safetensors").open("wb") as sparse:
        sparse.truncate(4_000_000_000)
    assert arithmetic(tmp_path) == "bfloat16"


def test_a_bundle_is_named_by_its_day_and_content() -> None:
    assert bundle_name("2026-01-02T03:04:05+00:00", "0a1b2c3d4e5f") == "2026-01-02--0a1b2c3d"
