import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest

from stt_platform.machine.gpu import CPU, DeviceHeldError, device_name, hold_device, lock_folder

HOLD_UNTIL_KILLED = """
import sys, time
from pathlib import Path
from stt_platform.machine.gpu import hold_device
with hold_device("cpu", holder="a sermon", folder=Path(sys.argv[1])):
    print("holding", flush=True)
    time.sleep(600)
"""

WAIT_UNTIL_INTERRUPTED = """
import signal, sys
from pathlib import Path
from stt_platform.machine.gpu import hold_device

class Interrupted(BaseException):
    pass

def raise_interrupted(number, frame):
    raise Interrupted

signal.signal(signal.SIGINT, raise_interrupted)
tell = lambda holder: print("waiting for", holder.what, holder.pid, flush=True)
try:
    with hold_device("cpu", holder="me", on_wait=tell, folder=Path(sys.argv[1])):
        print("held", flush=True)
except Interrupted:
    print("interrupted", flush=True)
"""


def start(script, folder):
    return subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True, bufsize=1)


@pytest.fixture
def processes():
    started = []

    def starter(script, folder):
        started.append(start(script, folder))
        return started[-1]

    yield starter
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_free_device_is_held_without_waiting(tmp_path):
    with hold_device("cpu", holder="a sermon", folder=tmp_path) as lease:
        time.sleep(0.02)
        within = lease.held_s
    after = lease.held_s
    assert (lease.device, lease.holder, lease.waited_s, lease.waited_for) == ("cpu", "a sermon", 0.0, None)
    assert 0.02 <= within <= after == lease.held_s


def test_the_wait_names_the_holder_and_is_measured(tmp_path, processes):
    holder = processes(HOLD_UNTIL_KILLED, tmp_path)
    assert holder.stdout.readline() == "holding\n"
    seen = []

    def kill_it(current):
        seen.append(current)
        time.sleep(0.05)
        holder.kill()

    with hold_device("cpu", holder="me", on_wait=kill_it, folder=tmp_path) as lease:
        assert lease.waited_s >= 0.05
    assert [(who.what, who.pid) for who in seen] == [("a sermon", holder.pid)]
    assert seen[0] == lease.waited_for
    assert f"a sermon (process {holder.pid}, since 2" in str(seen[0])


def test_a_signal_handler_that_raises_ends_the_wait(tmp_path, processes):
    with hold_device("cpu", holder="the test", folder=tmp_path):
        waiting = processes(WAIT_UNTIL_INTERRUPTED, tmp_path)
        assert waiting.stdout.readline() == f"waiting for the test {os.getpid()}\n"
        waiting.send_signal(signal.SIGINT)
        assert waiting.stdout.readline() == "interrupted\n"
        assert waiting.wait() == 0


def test_threads_exclude_each_other(tmp_path):
    inside, most, waits = [], [], []
    # Between two plain statements a thread could be put aside without anyone else inside.
    change = threading.Lock()

    def claim():
        for _ in range(5):
            with hold_device("cpu", holder="thread", on_wait=waits.append, folder=tmp_path):
                with change:
                    inside.append(1)
                    most.append(len(inside))
                time.sleep(0.002)
                with change:
                    inside.pop()

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 20
    assert max(most) == 1
    assert waits


def test_a_second_claim_of_the_same_thread_is_an_error_and_harmless(tmp_path):
    with hold_device("cpu", holder="outer", folder=tmp_path):
        with (
            pytest.raises(DeviceHeldError, match="holds cpu already"),
            hold_device("cpu", holder="inner", folder=tmp_path),
        ):
            pass
        with hold_device("cuda-0", holder="another device", folder=tmp_path):
            pass
    with hold_device("cpu", holder="afterwards", folder=tmp_path):
        pass


def test_an_error_inside_frees_the_device(tmp_path):
    with pytest.raises(KeyError), hold_device("cpu", holder="first", folder=tmp_path) as lease:
        raise KeyError
    assert lease.held_s > 0
    with hold_device("cpu", holder="second", folder=tmp_path) as second:
        assert second.waited_s == 0.0


def test_a_child_that_outlives_the_lease_does_not_keep_it(tmp_path):
    with hold_device("cpu", holder="me", folder=tmp_path):
        child = os.fork()
        if child == 0:
            time.sleep(600)
            os._exit(0)
    try:
        with hold_device("cpu", holder="me", folder=tmp_path) as lease:
            assert lease.waited_s == 0.0
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_lock_file_tidied_away_while_waited_for_is_made_anew(tmp_path, processes):
    with hold_device("cpu", holder="the test", folder=tmp_path):
        waiting = processes(WAIT_UNTIL_INTERRUPTED, tmp_path)
        assert waiting.stdout.readline().startswith("waiting")
        (tmp_path / "cpu.lock").unlink()
    assert waiting.stdout.readline() == "held\n"
    assert (tmp_path / "cpu.lock").exists()


def test_folder_and_files_are_for_every_user_of_the_machine(tmp_path):
    folder = tmp_path / "locks"
    before = os.umask(0o077)
    try:
        with hold_device("cpu", holder="me", folder=folder):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o1777
    assert stat.S_IMODE((folder / "cpu.lock").stat().st_mode) == 0o666


def link(path, target):
    path.symlink_to(target)


def hard_link(path, target):
    path.hardlink_to(target)


def fifo(path, target):
    os.mkfifo(path)


@pytest.mark.parametrize("trap", [link, hard_link, fifo])
def test_lock_file_that_is_no_plain_file_is_refused(tmp_path, trap):
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    trap(tmp_path / "cpu.lock", precious)
    with pytest.raises(OSError, match=r"cpu\.lock"), hold_device("cpu", holder="me", folder=tmp_path):
        pass
    assert precious.read_text() == "keep me"


def test_linked_folder_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "locks").symlink_to(tmp_path / "real")
    with (
        pytest.raises(OSError, match="a link is refused"),
        hold_device("cpu", holder="me", folder=tmp_path / "locks"),
    ):
        pass


@pytest.mark.parametrize("device", ["", "../cpu", "a/b", ".cpu", "cpu\n"])
def test_device_that_is_no_file_name_is_refused(tmp_path, device):
    with pytest.raises(ValueError, match="device"), hold_device(device, holder="me", folder=tmp_path):
        pass


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b'"x"', b'{"what": "x"}', b"\xff\xfe", b"null"])
def test_any_text_in_the_lock_file_is_survived(tmp_path, processes, text):
    holder = processes(HOLD_UNTIL_KILLED, tmp_path)
    assert holder.stdout.readline() == "holding\n"
    (tmp_path / "cpu.lock").write_bytes(text)
    seen = []

    def kill_it(current):
        seen.append(str(current))
        holder.kill()

    with hold_device("cpu", holder="me", on_wait=kill_it, folder=tmp_path):
        pass
    assert seen == ["another process"]


def test_lock_folder_is_chosen_by_environment_else_shared_by_all(monkeypatch, tmp_path):
    monkeypatch.setenv("STT_LOCK_DIR", str(tmp_path))
    assert lock_folder() == tmp_path
    monkeypatch.delenv("STT_LOCK_DIR")
    assert lock_folder().name == "stt_platform-locks"
    assert stat.S_IMODE(lock_folder().parent.stat().st_mode) == 0o1777


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_device_is_the_cpu_when_cuda_is_hidden(monkeypatch, hidden):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert device_name() == CPU


def test_device_is_what_ctranslate2_sees():
    import ctranslate2

    assert device_name().startswith("cuda-" if ctranslate2.get_cuda_device_count() else CPU)
