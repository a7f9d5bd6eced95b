import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from tests.dictionary.embedded.processes import ended, wait_for

from scopebook.embedded import children, launcher, watching
from scopebook.embedded.children import Child, last_line, open_log
from scopebook.embedded.watching import Watched
from scopebook.errors import InstanceError

SLEEP = "import time; time.sleep(600)"
#: Starts a command through the launcher, says its process id and waits to be killed.
OWNER = f"""
import os, subprocess, sys
command = [sys.executable, "-I", "-S", {launcher.__file__!r}, "--parent", str(os.getpid()),
           "--signal", "15", *sys.argv[1:], "--", sys.executable, "-S", "-c", {SLEEP!r}]
child = subprocess.Popen(command)
print(child.pid, flush=True)
child.wait()
"""


def _child(tmp_path: Path, code: str) -> Child:
    return Child("worker", [sys.executable, "-S", "-c", code], dict(os.environ), tmp_path / "a.log")


@pytest.mark.parametrize("options", [[], ["--watch"]], ids=["by the kernel", "by a watcher"])
def test_a_child_ends_with_the_process_that_started_it(options: list[str]) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-S", "-c", OWNER, *options], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout
    launched = psutil.Process(int(owner.stdout.readline()))
    wait_for(lambda: SLEEP in (launched.children() or [launched])[-1].cmdline())
    family = [launched, *launched.children()]

    owner.kill()
    owner.communicate()

    wait_for(lambda: all(map(ended, family)))


def test_a_watched_child_hands_on_the_signal_and_the_exit_code() -> None:
    code = "import signal, sys; signal.signal(15, lambda *_: sys.exit(5)); print(flush=True);"
    command = [sys.executable, "-I", "-S", launcher.__file__, "--watch", "--signal", "15"]
    command += ["--parent", str(os.getpid()), "--", sys.executable, "-S", "-c", code + SLEEP]
    watcher = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert watcher.stdout
    assert watcher.stdout.readline() == b"\n"

    watcher.send_signal(signal.SIGTERM)

    watcher.communicate(timeout=60)
    assert watcher.returncode == 5


def test_a_stopped_child_takes_its_own_children_with_it(tmp_path: Path) -> None:
    child = _child(tmp_path, f"import os; os.fork(); {SLEEP}")
    child.start()
    assert child.pid
    parent = psutil.Process(child.pid)
    wait_for(parent.children)
    family = [parent, *parent.children()]

    child.stop()

    wait_for(lambda: all(map(ended, family)))
    assert not child.alive()


def test_a_child_that_ignores_the_soft_signal_is_killed(tmp_path: Path) -> None:
    child = _child(
        tmp_path, f"import signal; signal.signal(15, signal.SIG_IGN); print(1, flush=True); {SLEEP}"
    )
    child.stop_signals = ((signal.SIGTERM, 0.3),)
    child.start()
    wait_for(lambda: "1" in child.log.read_text())

    child.stop()

    assert not child.alive()


def test_a_command_that_is_not_there_says_so_in_the_log(tmp_path: Path) -> None:
    child = Child("worker", ["/no/such/program"], dict(os.environ), tmp_path / "a.log")

    child.start()

    wait_for(lambda: not child.alive())
    assert last_line(child.log) == "/no/such/program: No such file or directory"


def test_a_log_that_has_grown_big_is_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "_LOG_LIMIT_BYTES", 100)
    log = tmp_path / "logs" / "api.log"
    log.parent.mkdir()
    log.write_text("x" * 101)

    os.close(open_log(log))

    assert log.read_text() == ""
    assert log.with_name("api.log.1").read_text() == "x" * 101


def test_what_dies_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_FIRST_PAUSE_S", 0.05)
    child = _child(tmp_path, SLEEP)
    child.start()
    watched = Watched(child)
    first = child.pid
    assert first
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: not child.alive())

    wait_for(lambda: (watched.look(), child.alive())[1])

    assert child.pid != first
    child.stop()


def test_what_dies_again_and_again_is_given_up_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_FIRST_PAUSE_S", 0.01)
    child = _child(tmp_path, "import sys; sys.exit('no room for the model')")
    child.start()
    watched = Watched(child)

    with pytest.raises(InstanceError, match=r"died 5 times .*a\.log ends with: no room for the"):
        wait_for(lambda: watched.look())
