"""Small environments, made here: built once, called, cancelled, and rebuilt when their lock changes."""

import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from stt_platform.environments import (
    EnvironmentNotBuilt,
    IsolatedEnvironment,
    IsolatedError,
    build,
    environment,
    environment_names,
)
from stt_platform.errors import PlatformError
from stt_platform.settings import repository

WORKER = '''
import os, subprocess, sys, time
from pathlib import Path

calls = 0

def echo(request, progress):
    global calls
    calls += 1
    return {"got": request, "calls": calls, "variables": sorted(os.environ), "home": str(Path.home()),
            "prefix": sys.prefix, "folder": os.getcwd(), "stdin": sys.stdin.read(), "isolated": sys.flags.isolated}

def chatter(request, progress):
    print('{"result": "not this"}')
    os.write(1, b'{"error": 1}')
    for done in range(request["steps"]):
        sys.stderr.write("x" * request["width"])
        progress({"done": done})
    return {"pid": os.getpid()}

def import_six(request, progress):
    import six
    return {"six": six.__version__}

def fail(request, progress):
    print("a word before", file=sys.stderr)
    return {"quotient": 1 / request["by"]}

def nothing_that_json_knows(request, progress):
    return {"value": float("nan")}

def end(request, progress):
    if request["status"] is None:
        os.kill(os.getpid(), request["signal"])
    os._exit(request["status"])

def stubborn(request, progress):
    """Holds the interpreter lock, deaf to signals, with a child of its own."""
    import signal
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    progress({"pids": [os.getpid(), child.pid]})
    sum(range(10**13))

def _hidden(request, progress):
    return {}
'''

ENSURE = """
import sys
from pathlib import Path
from stt_platform.environments import IsolatedEnvironment
folder = Path(sys.argv[1])
environment = IsolatedEnvironment("tiny", folder, folder, folder / "built")
"""
BUILD = ENSURE + "print(environment.ensure(lambda line: print(line, flush=True)))"
CALL = ENSURE + "environment.call('stubborn', {}, progress=lambda told: print(*told['pids'], flush=True))"


@pytest.fixture
def tiny(tmp_path: Path) -> IsolatedEnvironment:
    """An environment without packages."""
    (tmp_path / "worker.py").write_text(WORKER)
    (tmp_path / "requirements-tiny.lock").write_text("# nothing\n")
    return IsolatedEnvironment("tiny", tmp_path, tmp_path, tmp_path / "built")


@pytest.fixture
def closed_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without network and with nothing fetched before."""
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://user:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")


def lock_of_six() -> str:
    """One small package."""
    return lock_of("six", "requirements-inaspeechsegmenter.lock")


def lock_of(package: str, lock: str) -> str:
    """One package, pinned as in a lock of the repository."""
    lines = (repository() / lock).read_text().splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith(f"{package}=="))
    until = next(index for index, line in enumerate(lines[first:], first) if not line.endswith("\\"))
    return "\n".join([*lines[first : until + 1], ""])


def visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def hidden(folder: Path) -> list[Path]:
    return sorted(folder.glob(".*"))


def python(code: str, folder: Path, **kwargs) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True, **kwargs)


def all_gone(pids: list[int]) -> bool:
    def lives(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    deadline = time.monotonic() + 120
    while any(lives(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_is_built_once_and_called(tiny: IsolatedEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "a secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("PYTHONPATH", str(repository()))
    told: list[str] = []
    folder = tiny.ensure(told.append)
    assert folder.is_relative_to(tiny.built_in / "tiny")
    assert "building it" in told[0] and "ready" in told[-1]
    assert tiny.ensure(told.append) == folder
    assert sum("building it, once" in line for line in told) == 1

    answer = tiny.call("echo", {"text": "Grüße", "numbers": [1, 2.5, None]})
    assert answer["got"] == {"text": "Grüße", "numbers": [1, 2.5, None]}
    assert Path(answer["prefix"]) == folder
    assert Path(answer["home"]).is_relative_to(folder)
    assert Path(answer["folder"]) == Path.cwd(), "a path in a request means what it means to the caller"
    assert "CUDA_VISIBLE_DEVICES" in answer["variables"] and "HF_TOKEN" not in answer["variables"]
    assert answer["isolated"] and answer["stdin"] == ""


def test_a_session_keeps_its_worker(tiny: IsolatedEnvironment) -> None:
    with tiny.session() as session:
        assert [session.call("echo", {})["calls"] for _ in range(3)] == [1, 2, 3]
        with pytest.raises(IsolatedError, match="division by zero"):
            session.call("fail", {"by": 0})
        assert session.call("echo", {})["calls"] == 4
        large = {"text": "x" * 5_000_000}
        assert session.call("echo", large)["got"] == large
    with pytest.raises(IsolatedError, match="over"):
        session.call("echo", {})


def test_progress_comes_in_order_whatever_else_is_printed(tiny: IsolatedEnvironment) -> None:
    told: list = []
    with tiny.session() as session:
        answer = session.call("chatter", {"steps": 50, "width": 50_000}, progress=told.append)
    assert told == [{"done": done} for done in range(50)]
    assert all_gone([answer["pid"]])


@pytest.mark.parametrize(
    ("function", "request_", "type_", "says"),
    [
        ("fail", {"by": 0}, "ZeroDivisionError", "division by zero"),
        ("fail", {}, "KeyError", "by"),
        ("import_six", {}, "ModuleNotFoundError", "six"),
        ("nothing_that_json_knows", {}, "ValueError", "not JSON compliant"),
        ("missing", {}, "LookupError", "no function 'missing'"),
        ("_hidden", {}, "LookupError", "no function '_hidden'"),
    ],
)
def test_errors_are_carried_back(
    tiny: IsolatedEnvironment, function: str, request_: dict, type_: str, says: str
) -> None:
    with pytest.raises(IsolatedError) as caught:
        tiny.call(function, request_)
    error = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - as Dagster may carry it on
    assert (error.environment, error.type) == ("tiny", type_)
    assert says in error.message and type_ in error.traceback
    if function == "fail":
        assert "request[" in error.traceback and "worker.py" in str(error)
        assert "a word before" in error.stderr


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"status": None, "signal": signal.SIGKILL}, "killed by SIGKILL.*memory"),
        ({"status": None, "signal": signal.SIGSEGV}, "killed by SIGSEGV"),
        ({"status": 3}, "ended with status 3"),
        ({"status": 255}, "ended with status 255"),
    ],
)
def test_a_worker_that_dies(tiny: IsolatedEnvironment, request_: dict, says: str) -> None:
    with tiny.session() as session:
        with pytest.raises(IsolatedError, match=says) as caught:
            session.call("end", request_)
        assert caught.value.type == "WorkerEnded"
        with pytest.raises(IsolatedError, match="begin another"):
            session.call("echo", {})


def test_no_result_in_time(tiny: IsolatedEnvironment) -> None:
    told: list = []
    with tiny.session() as session:
        with pytest.raises(IsolatedError, match="no result within 1 s") as caught:
            session.call("stubborn", {}, progress=told.append, timeout_s=1)
        assert caught.value.type == "TimeoutError"
    assert all_gone(told[0]["pids"])


class Interrupted(BaseException):
    """As DagsterExecutionInterruptedError: raised by a signal handler, and no Exception."""


def test_an_interrupted_caller_takes_everything_with_it(tiny: IsolatedEnvironment) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted

    told: list = []

    def report(progress: object) -> None:
        told.append(progress)
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1)).start()

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        tiny.ensure()
        with pytest.raises(Interrupted):
            tiny.call("stubborn", {}, progress=report)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert all_gone(told[0]["pids"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_killed_caller_takes_everything_with_it(tiny: IsolatedEnvironment, number: signal.Signals) -> None:
    tiny.ensure()
    with python(CALL, tiny.folder, stderr=subprocess.DEVNULL) as caller:
        pids = [int(pid) for pid in caller.stdout.readline().split()]
        assert len(pids) == 2
        caller.send_signal(number)
        assert caller.wait(timeout=30) != 0
    assert all_gone(pids)


def test_a_process_that_the_caller_forked_does_not_keep_a_worker(tiny: IsolatedEnvironment) -> None:
    tiny.ensure()
    forking = "import os, time\ndef report(told):\n    bystander = os.fork()\n    if not bystander:\n        time.sleep(600)\n"
    code = (
        ENSURE
        + forking
        + "    print(bystander, *told['pids'], flush=True)\n"
        + "environment.call('stubborn', {}, progress=report)"
    )
    with python(code, tiny.folder) as caller:
        bystander, *pids = (int(pid) for pid in caller.stdout.readline().split())
        caller.kill()
        try:
            assert all_gone(pids)
            assert psutil.pid_exists(bystander)
        finally:
            os.kill(bystander, signal.SIGKILL)


def test_several_at_once_build_once(tiny: IsolatedEnvironment) -> None:
    builders = [python(BUILD, tiny.folder) for _ in range(3)]
    outputs = [builder.communicate(timeout=60)[0].splitlines() for builder in builders]
    assert all(builder.returncode == 0 for builder in builders)
    assert sum("building it, once" in line for lines in outputs for line in lines) == 1
    assert {Path(lines[-1]) for lines in outputs} == set(visible(tiny.built_in / "tiny"))
    assert not hidden(tiny.built_in / "tiny")


def test_a_package_is_installed_from_the_lock_and_a_changed_lock_rebuilds(tiny: IsolatedEnvironment) -> None:
    lock = tiny.locks / "requirements-tiny.lock"
    with tiny.session() as session:
        old = visible(tiny.built_in / "tiny")
        lock.write_text(lock_of_six())
        assert tiny.call("import_six", {})["six"]
        assert session.call("echo", {})["calls"] == 1
        assert len(visible(tiny.built_in / "tiny")) == 2, "a worker is at work in the old one"
    lock.write_text(lock_of_six() + "# changed\n")
    new = tiny.ensure()
    assert visible(tiny.built_in / "tiny") == [new]
    assert new not in old


def test_is_rebuilt_when_its_python_is_gone(tiny: IsolatedEnvironment) -> None:
    folder = tiny.ensure()
    for link in (folder / "bin").glob("python*"):
        link.unlink()
    (folder / "bin" / "python").symlink_to(folder / "uninstalled")
    assert tiny.call("echo", {})["calls"] == 1
    assert visible(tiny.built_in / "tiny") == [folder]


def test_packages_of_which_only_the_files_are_wanted(tiny: IsolatedEnvironment) -> None:
    (tiny.folder / "environment.toml").write_text('[unpacked]\nfiles = "requirements-tiny-files.lock"\n')
    with pytest.raises(EnvironmentNotBuilt, match=r"requirements-tiny-files\.lock is missing"):
        tiny.ensure()
    (tiny.locks / "requirements-tiny-files.lock").write_text(lock_of_six())
    assert (tiny.ensure() / "files" / "six.py").exists()
    with pytest.raises(IsolatedError, match="six"):
        tiny.call("import_six", {})


def test_packages_that_are_published_as_source_only(tiny: IsolatedEnvironment) -> None:
    (tiny.folder / "environment.toml").write_text('sources = "requirements-tiny-sources.lock"\n')
    sources = tiny.locks / "requirements-tiny-sources.lock"
    with pytest.raises(EnvironmentNotBuilt, match=r"requirements-tiny-sources\.lock is missing"):
        tiny.ensure()
    sources.write_text(lock_of("django-ranged-fileresponse", "requirements-label_studio-sources.lock"))
    (tiny.locks / "requirements-tiny.lock").write_text(lock_of("setuptools", "requirements-label_studio.lock"))
    built = tiny.ensure()
    assert list(built.glob("lib/python*/site-packages/ranged_fileresponse/__init__.py"))
    sources.write_text(re.sub("sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, sources.read_text()))
    with pytest.raises(EnvironmentNotBuilt, match=r"(?i)hash"):
        tiny.ensure()


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (lambda lock: "six==1.17.0\n", "hash"),
        (lambda lock: re.sub("sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, lock), "(?i)hash"),
        (lambda lock: "this is no lock ]\n", "could not be built"),
    ],
    ids=["without-hash", "wrong-hash", "unreadable"],
)
def test_a_broken_lock_leaves_nothing(tiny: IsolatedEnvironment, broken: Callable[[str], str], says: str) -> None:
    lock = tiny.locks / "requirements-tiny.lock"
    lock.write_text(broken(lock_of_six()))
    with pytest.raises(EnvironmentNotBuilt, match=says) as caught:
        tiny.ensure()
    assert "make lock" in str(caught.value) and str(lock) in str(caught.value)
    assert not visible(tiny.built_in / "tiny") and not hidden(tiny.built_in / "tiny")
    lock.unlink()
    with pytest.raises(EnvironmentNotBuilt, match="missing"):
        tiny.ensure()


def test_without_network(tiny: IsolatedEnvironment, closed_index: None) -> None:
    (tiny.locks / "requirements-tiny.lock").write_text(lock_of_six())
    with pytest.raises(EnvironmentNotBuilt, match="Connect to the network") as caught:
        tiny.ensure()
    assert "secret" not in str(caught.value)
    assert not visible(tiny.built_in / "tiny") and not hidden(tiny.built_in / "tiny")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_killed_build_leaves_nothing_that_is_used(
    tiny: IsolatedEnvironment, tmp_path: Path, number: signal.Signals
) -> None:
    (tiny.locks / "requirements-tiny.lock").write_text(lock_of_six())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        index = {
            "UV_DEFAULT_INDEX": f"http://127.0.0.1:{silent.getsockname()[1]}/simple",
            "UV_CACHE_DIR": str(tmp_path / "cache"),
        }
        with python(BUILD, tiny.folder, env={**os.environ, **index}, stderr=subprocess.DEVNULL) as builder:
            assert "building it" in builder.stdout.readline()
            # It asks the index, which never answers.
            silent.accept()
            uv = [process.pid for process in psutil.Process(builder.pid).children(recursive=True)]
            builder.send_signal(number)
        assert all_gone(uv)
    assert not visible(tiny.built_in / "tiny")
    assert bool(hidden(tiny.built_in / "tiny")) == (number == signal.SIGKILL)
    assert tiny.call("import_six", {})["six"]
    assert not hidden(tiny.built_in / "tiny")


def test_without_uv(tiny: IsolatedEnvironment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build, "repository", lambda: tmp_path)
    monkeypatch.setattr(build, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EnvironmentNotBuilt, match="make setup"):
        tiny.ensure()


@pytest.mark.parametrize("name", ["nothing", "../environments", "", "inaspeechsegmenter/../inaspeechsegmenter"])
def test_only_environments_that_are_there(name: str) -> None:
    assert "inaspeechsegmenter" in environment_names()
    with pytest.raises(PlatformError, match=r"choose one of .*inaspeechsegmenter"):
        environment(name)


def test_the_command_that_builds_ahead() -> None:
    command = [sys.executable, "-m", "stt_platform.environments", "nothing"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "choose one of" in done.stderr and "Traceback" not in done.stderr
