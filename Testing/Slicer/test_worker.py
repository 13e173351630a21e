"""Child processes as they really behave: they report, fail, flood, die, hang, leave children behind."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from PRRTPredictorCore.errors import Cancelled, Code, DicomRefused, LabRefused, PRRTError, RunFailed
from PRRTPredictorLib import ProcessTree as process_tree
from PRRTPredictorLib import Worker
from PRRTPredictorLib.Worker import Job, Progressed

ANSWER = "print('{\"answer\": 42}')\n"


class Told:
    """What a job told, in order."""

    def __init__(self) -> None:
        self.progress: list[Progressed] = []
        self.lines: list[str] = []
        self.finished: list[dict] = []
        self.failed: list[PRRTError] = []

    def start(self, script: Path, *words: str) -> Job:
        return Job.start(
            words,
            onProgress=self.progress.append,
            onLine=self.lines.append,
            onFinished=self.finished.append,
            onFailed=self.failed.append,
            command=(sys.executable, str(script)),
        )


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def child(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a child's script."""

    def write(source: str) -> Path:
        script = tmp_path / "child.py"
        script.write_text("import sys, time, os\n" + textwrap.dedent(source), encoding="utf-8")
        return script

    return write


def until(condition: Callable[[], bool], job: Job | None = None, seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        if job is not None:
            job.poll()
        time.sleep(0.005)


def polled_to_the_end(job: Job) -> None:
    until(lambda: not job.running, job)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# --- what a child says ------------------------------------------------------------------------------------------------


def test_progress_and_lines_arrive_in_order_and_the_document_last(child, told: Told) -> None:
    job = told.start(
        child(
            """
            for done in range(5):
                eta = "null" if done == 0 else 5 - done
                print(f'{{"stage": "train", "done": {done}, "total": 5, "eta_s": {eta}, "message": "fold {done}"}}',
                      file=sys.stderr)
            print("a remark", file=sys.stderr)
            """
            + ANSWER
        )
    )
    polled_to_the_end(job)
    assert told.progress == [Progressed("train", n, 5, None if n == 0 else 5.0 - n, f"fold {n}") for n in range(5)]
    assert told.lines == ["a remark"]
    assert (told.finished, told.failed) == ([{"answer": 42}], [])


def test_the_child_gets_the_words_json_progress_and_the_environment(child, told: Told) -> None:
    job = told.start(
        child(
            """
            import json
            names = ("PYTHONPATH", "PRRT_END_WITH_PARENT", "PATH")
            print(json.dumps({"words": sys.argv[1:], **{name: os.environ.get(name) for name in names}}))
            """
        ),
        "fit",
        "--out=a folder with blanks",
    )
    document = job.wait()
    assert document["words"] == ["fit", "--out=a folder with blanks", "--json", "--progress", "jsonl"]
    assert document["PYTHONPATH"].split(os.pathsep)[0] == str(Path(Worker.__file__).parents[1])
    assert document["PRRT_END_WITH_PARENT"] == "1"
    assert document["PATH"] == os.environ["PATH"]


def test_stdin_stays_open_while_the_job_runs_and_ends_with_us(child, told: Told) -> None:
    job = told.start(child("sys.stdin.read(); print('{}')"))
    time.sleep(0.3)
    job.poll()
    assert job.running
    job._process.stdin.close()
    assert job.wait() == {}


def test_text_that_is_not_ascii_not_utf8_not_ended_or_ended_by_carriage_returns(child, told: Told) -> None:
    job = told.start(
        child(
            """
            err = sys.stderr.buffer
            err.write("Röntgen µg/L 患者\\r\\n".encode()); err.write(b"\\xff\\xfe latin\\n\\n")
            err.write(b"10%\\r20%\\rdone\\n"); err.flush()
            err.write("hal".encode() + "bé".encode()[:2]); err.flush(); time.sleep(0.1)
            err.write("bé".encode()[2:]); err.flush()
            """
            + ANSWER
        )
    )
    job.wait()
    assert told.lines == ["Röntgen µg/L 患者", "\ufffd\ufffd latin", "10%", "20%", "done", "halbé"]


def test_python_in_the_child_writes_utf8_whatever_the_locale(child, told: Told, monkeypatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("PYTHONUTF8", "0")
    told.start(child("print('µkat/L', file=sys.stderr)\n" + ANSWER)).wait()
    assert told.lines == ["µkat/L"]


def test_a_line_that_only_looks_like_progress_is_a_line(child, told: Told) -> None:
    lines = ['{"stage": "x"}', "{not json", '{"stage": 1, "done": "a", "total": 2, "eta_s": null, "message": ""}', "{}"]
    told.start(child(f"sys.stderr.write('\\n'.join({lines!r}))\n" + ANSWER)).wait()
    assert told.lines == lines
    assert told.progress == []


def test_what_libraries_print_before_the_document_does_not_hide_it(child, told: Told) -> None:
    script = child("print('Downloading {1}')\nprint('{not this}')\nprint('{\\n \"answer\": {\\n  \"x\": 1\\n }\\n}')")
    assert told.start(script).wait() == {"answer": {"x": 1}}


# --- how a child fails ------------------------------------------------------------------------------------------------


def test_a_typed_error_comes_back_as_it_was_raised() -> None:
    job = Job.start(["suv", str(Path("no", "such", "folder"))])
    with pytest.raises(DicomRefused) as caught:
        job.wait()
    assert caught.value.code is Code.PATH_MISSING
    assert caught.value.where
    assert caught.value.remedy


def test_the_kind_code_place_and_remedy_survive_the_way_back(child, told: Told) -> None:
    sent = LabRefused(Code.LAB_UNIT, "µ?", where="CgA", remedy="ask")
    job = told.start(child(f"print({json.dumps(sent.to_json())!r}); sys.exit(3)"))
    polled_to_the_end(job)
    (error,) = told.failed
    assert type(error) is LabRefused
    assert (error.code, error.message, error.where, error.remedy) == (Code.LAB_UNIT, "µ?", "CgA", "ask")
    assert told.finished == []


def test_wrong_usage_is_a_dead_child_with_its_last_lines() -> None:
    with pytest.raises(RunFailed) as caught:
        Job.start(["no-such-command"]).wait()
    assert caught.value.code is Code.WORKER_DIED
    assert "no-such-command" in caught.value.message


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals that end a process")
def test_a_child_killed_from_outside_gives_its_last_lines_and_leaves_no_orphan(child, told: Told) -> None:
    job = told.start(
        child(
            """
            import subprocess
            other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            for n in range(9): print("line", n, file=sys.stderr)
            print(other.pid, file=sys.stderr, flush=True)
            time.sleep(600)
            """
        )
    )
    until(lambda: len(told.lines) == 10, job)
    os.kill(job.processId, signal.SIGKILL)
    polled_to_the_end(job)
    (error,) = told.failed
    assert error.code is Code.WORKER_DIED
    assert "signal 9" in error.message
    assert "line 8" in error.message
    assert "line 3" not in error.message
    assert error.remedy
    until(lambda: not alive(int(told.lines[-1])))


@pytest.mark.parametrize("source", ["", "print('no json')", "print('[1, 2]')", "os._exit(0)"])
def test_a_child_that_ends_well_without_an_answer_is_dead_too(child, told: Told, source: str) -> None:
    with pytest.raises(RunFailed) as caught:
        told.start(child(source)).wait()
    assert caught.value.code is Code.WORKER_DIED


def test_an_error_of_an_unknown_kind_is_not_mistaken_for_an_answer(child, told: Told) -> None:
    script = child('print(\'{"error": {"kind": "Newer", "code": "NEW", "message": "m"}}\'); sys.exit(4)')
    with pytest.raises(RunFailed) as caught:
        told.start(script).wait()
    assert caught.value.code is Code.WORKER_DIED


def test_a_missing_executable_is_said_at_once() -> None:
    with pytest.raises(RunFailed) as caught:
        Job.start(["suv"], command=("/no/such/PythonSlicer",))
    assert caught.value.code is Code.WORKER_DIED
    assert "PythonSlicer" in caught.value.message
    assert caught.value.remedy


def test_a_grandchild_that_holds_the_pipes_does_not_hold_the_answer(child, told: Told) -> None:
    job = told.start(
        child(
            """
            import subprocess
            other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(500)"])
            print(other.pid, file=sys.stderr)
            """
            + ANSWER
        )
    )
    begun = time.monotonic()
    assert job.wait() == {"answer": 42}
    assert time.monotonic() - begun < 250
    psutil.Process(int(told.lines[0])).kill()


# --- floods -----------------------------------------------------------------------------------------------------------


def test_poll_never_takes_long_while_ten_thousand_lines_arrive(child, told: Told) -> None:
    job = told.start(child("for n in range(10_000): print('line', n, file=sys.stderr)\n" + ANSWER))
    longest = 0.0
    gc.disable()  # other tests' garbage is not poll's
    try:
        while job.running:
            # What this thread itself computed: the clock on the wall also counts what else the machine does.
            begun = time.thread_time()
            job.poll()
            longest = max(longest, time.thread_time() - begun)
            time.sleep(0.001)
    finally:
        gc.enable()
    assert longest < 0.02
    assert told.lines == [f"line {n}" for n in range(10_000)]


def test_poll_returns_at_once_while_a_child_says_nothing(child, told: Told) -> None:
    job = told.start(child("time.sleep(600)"))
    took = []
    for _ in range(200):
        begun = time.monotonic()
        job.poll()
        took.append(time.monotonic() - begun)
    assert sorted(took)[100] < 0.01  # single ones may be held up by what else the machine does
    assert job.running
    job.cancel()


def test_where_nobody_polls_the_child_is_not_held_up_and_the_newest_lines_are_kept(child, told: Told) -> None:
    job = told.start(child("for n in range(25_000): print(n, file=sys.stderr)\n" + ANSWER))
    job._process.wait(60)  # ends although nobody polls
    until(lambda: job._log.finished)
    job.wait()
    assert "15000 lines" in told.lines[0]
    assert told.lines[1:] == [str(n) for n in range(15_000, 25_000)]


def test_a_flood_on_stdout_neither_blocks_the_child_nor_eats_the_memory(child, told: Told) -> None:
    job = told.start(child("for _ in range(80): print('x' * 2**20)\n" + ANSWER))
    assert job.wait() == {"answer": 42}
    assert len(job._answer.text()) <= 33 * 2**20


def test_a_line_without_end_does_not_eat_the_memory(child, told: Told) -> None:
    told.start(child("sys.stderr.write('x' * 5_000_000)\n" + ANSWER)).wait()
    assert sum(map(len, told.lines)) == 5_000_000
    assert max(map(len, told.lines)) < 200_000


# --- Cancel -----------------------------------------------------------------------------------------------------------

FAMILY = """
    import subprocess
    leaf = "import os, sys, time; print('leaf', os.getpid(), file=sys.stderr, flush=True); time.sleep(600)"
    node = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {leaf!r}]); time.sleep(600)"
    for _ in range(2): subprocess.Popen([sys.executable, "-c", node])
    time.sleep(600)
"""


@pytest.mark.parametrize("has_psutil", [True, False], ids=["psutil", "without psutil"])
def test_cancel_ends_children_and_grandchildren(child, told: Told, monkeypatch, has_psutil: bool) -> None:
    job = told.start(child(FAMILY))
    until(lambda: len(told.lines) == 2, job)
    family = psutil.Process(job.processId).children(recursive=True)
    assert len(family) == 4
    if not has_psutil:
        monkeypatch.setitem(sys.modules, "psutil", None)
    begun = time.monotonic()
    job.cancel()
    assert time.monotonic() - begun < 30  # of the 600 s that they would sleep
    polled_to_the_end(job)
    monkeypatch.undo()
    until(lambda: not any(alive(one.pid) for one in family))
    assert not alive(job.processId)
    (error,) = told.failed
    assert isinstance(error, Cancelled)
    assert error.code is Code.CANCELLED
    assert told.finished == []


def test_cancelling_twice_or_after_the_end_says_nothing_more(child, told: Told) -> None:
    job = told.start(child("time.sleep(600)"))
    job.cancel()
    job.cancel()
    polled_to_the_end(job)
    job.cancel()
    job.poll()
    assert len(told.failed) == 1
    with pytest.raises(Cancelled):
        job.wait()

    done = Told()
    job = done.start(child(ANSWER))
    job.wait()
    job.cancel()
    job.poll()
    assert (len(done.finished), done.failed) == (1, [])


def test_nothing_arrives_after_cancel(child, told: Told) -> None:
    job = told.start(child("while True: print('more', file=sys.stderr)"))
    until(lambda: bool(told.lines), job)
    before = len(told.lines)
    job.cancel()
    polled_to_the_end(job)
    assert len(told.lines) == before


def test_a_callback_may_cancel(child) -> None:
    failed: list[PRRTError] = []
    jobs: list[Job] = []
    jobs.append(
        Job.start(
            [],
            onLine=lambda line: jobs[0].cancel(),
            onFailed=failed.append,
            command=(sys.executable, str(child("print('x', file=sys.stderr, flush=True); time.sleep(600)"))),
        )
    )
    polled_to_the_end(jobs[0])
    assert [type(error) for error in failed] == [Cancelled]


def test_a_callback_that_raises_does_not_break_the_job(child) -> None:
    def refuse(line: str) -> None:
        raise ValueError(line)

    finished: list[dict] = []
    job = Job.start(
        [],
        onLine=refuse,
        onFinished=finished.append,
        command=(sys.executable, str(child("print('one\\ntwo', file=sys.stderr)\n" + ANSWER))),
    )
    raised = 0
    deadline = time.monotonic() + 240
    while job.running and time.monotonic() < deadline:
        try:
            job.poll()
        except ValueError:
            raised += 1
        time.sleep(0.005)
    assert raised == 2
    assert finished == [{"answer": 42}]


def test_an_end_callback_that_raises_is_called_once(child) -> None:
    calls: list[dict] = []

    def refuse(document: dict) -> None:
        calls.append(document)
        raise ValueError

    job = Job.start([], onFinished=refuse, command=(sys.executable, str(child(ANSWER))))
    with pytest.raises(ValueError):  # noqa: PT011
        polled_to_the_end(job)
    assert not job.running
    job.poll()
    assert len(calls) == 1


def test_a_callback_that_raises_in_wait_ends_the_child(child) -> None:
    def refuse(line: str) -> None:
        raise ValueError(line)

    source = "print('x', file=sys.stderr, flush=True); time.sleep(600)"
    job = Job.start([], onLine=refuse, command=(sys.executable, str(child(source))))
    with pytest.raises(ValueError, match="x"):
        job.wait()
    until(lambda: not alive(job.processId))


@pytest.mark.skipif(os.name == "nt", reason="sends a signal to itself")
def test_an_interrupt_of_wait_cancels(child, told: Told) -> None:
    job = told.start(child("print('up', file=sys.stderr, flush=True); time.sleep(600)"))

    def interrupt() -> None:
        until(lambda: bool(told.lines))  # told by nobody but wait
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            job.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    assert [type(error) for error in told.failed] == [Cancelled]
    assert not alive(job.processId)


@pytest.mark.skipif(os.name == "nt", reason="kills with a signal")
def test_the_child_ends_when_its_parent_was_killed(child, tmp_path: Path) -> None:
    """The real command line: it listens to its stdin, so that a crash of Slicer leaves nothing running."""
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import sys, time\n"
        f"sys.path.insert(0, {str(Worker.MODULE_FOLDER)!r})\n"
        "from PRRTPredictorLib.Worker import Job\n"
        f"job = Job.start(['synth', '--out', {str(tmp_path / 'made')!r}, '--patients', '500', '--jobs', '1'])\n"
        "print(job.processId, flush=True)\ntime.sleep(600)\n",
        encoding="utf-8",
    )
    process = subprocess.Popen([sys.executable, str(parent)], stdout=subprocess.PIPE, text=True)
    try:
        pid = int(process.stdout.readline())
        until(lambda: any(tmp_path.glob("*made*")))  # it has begun its work
    finally:
        process.kill()
        process.communicate()
    until(lambda: not alive(pid))


# --- which Python -----------------------------------------------------------------------------------------------------


def test_inside_slicer_the_child_is_pythonslicer_from_the_path(monkeypatch, tmp_path: Path) -> None:
    import slicer

    monkeypatch.setattr(slicer, "app", object(), raising=False)
    program = tmp_path / ("PythonSlicer.exe" if os.name == "nt" else "PythonSlicer")
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Worker.pythonCommand() == (str(program),)
    program.unlink()
    with pytest.raises(RunFailed) as caught:
        Worker.pythonCommand()
    assert "PythonSlicer" in caught.value.message


def test_without_the_application_it_is_this_python(monkeypatch) -> None:
    import slicer

    monkeypatch.delattr(slicer, "app", raising=False)
    assert Worker.pythonCommand() == (sys.executable,)


def test_on_windows_there_is_no_console_window(monkeypatch) -> None:
    class Startup:
        dwFlags = 0
        wShowWindow = 1

    flags = {"CREATE_NO_WINDOW": 0x08000000, "CREATE_NEW_PROCESS_GROUP": 0x200, "STARTF_USESHOWWINDOW": 1, "SW_HIDE": 0}
    for name, value in {**flags, "STARTUPINFO": Startup}.items():
        monkeypatch.setattr(process_tree.subprocess, name, value, raising=False)
    monkeypatch.setattr(process_tree.sys, "platform", "win32")
    options = process_tree.launchOptions()
    monkeypatch.undo()
    assert options["creationflags"] == 0x08000200
    assert (options["startupinfo"].dwFlags, options["startupinfo"].wShowWindow) == (1, 0)
