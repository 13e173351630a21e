"""Files and folders take their names whole; an older one is never lost, whatever falls between two steps."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from PRRTPredictorCore import disk, files
from PRRTPredictorCore.disk import PARTIAL, REPLACED, aside, remove_leftovers
from PRRTPredictorCore.errors import Code, InputRefused, RunFailed
from PRRTPredictorCore.files import published_folder, replacing, write_bytes, write_together

NOBODY = 999_999_999
"""No process has this number."""


def put(target: Path, text: str) -> None:
    with published_folder(target) as folder:
        (folder / "model").write_text(text, encoding="utf-8")


def give_up(target: Path) -> None:
    with published_folder(target):
        raise ValueError("no new one after all")


def kept(target: Path) -> str:
    return (target / "model").read_text(encoding="utf-8")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=["exchanged", "renamed twice"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How an older folder is replaced: in one step, or in two where the system does not offer that."""
    if request.param == "renamed twice":
        monkeypatch.setattr(files, "exchange", lambda first, second: False)
    elif not exchanges():
        pytest.skip("this file system cannot exchange two names in one step")
    return str(request.param)


def exchanges() -> bool:
    import tempfile

    with tempfile.TemporaryDirectory() as here:
        first, second = Path(here) / "first", Path(here) / "second"
        first.mkdir()
        second.write_text("")
        return disk.exchange(first, second) and second.is_dir()


def test_a_folder_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path, way: str) -> None:
    for text in ("old", "new", "newer"):
        put(tmp_path / "model", text)
        assert kept(tmp_path / "model") == text
        assert names(tmp_path) == ["model"]


def test_two_who_write_one_folder_leave_one_of_the_two_whole(tmp_path: Path, way: str) -> None:
    for older in (False, True):
        with published_folder(tmp_path / "model") as later:
            (later / "model").write_text("later", encoding="utf-8")
            put(tmp_path / "model", "earlier")
            assert kept(tmp_path / "model") == "earlier"
        assert kept(tmp_path / "model") == "later", older
        assert names(tmp_path) == ["model"]


def raising_at(number: int, problem: BaseException) -> Callable[[Path, Path], Path]:
    """Path.replace that fails at one call, counted over those that concern folders."""
    rename, calls = Path.replace, [0]

    def replace(self: Path, target: Path) -> Path:
        calls[0] += 1
        if calls[0] == number:
            raise problem
        return rename(self, target)

    return replace


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("problem", [KeyboardInterrupt(), OSError(5, "Input/output error")], ids=["Ctrl-C", "EIO"])
def test_an_older_folder_outlives_whatever_falls_between_two_renames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, problem: BaseException
) -> None:
    put(tmp_path / "model", "old")
    monkeypatch.setattr(files, "exchange", lambda first, second: False)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", raising_at(number, problem))
        try:
            put(tmp_path / "model", "new")
        except (KeyboardInterrupt, RunFailed):
            assert kept(tmp_path / "model") == "old"
        else:  # the first rename fails in any case, because the older folder is there
            assert isinstance(problem, OSError)
            assert kept(tmp_path / "model") == "new"
    assert names(tmp_path) == ["model"]


def test_the_older_folder_stays_where_even_the_way_back_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "model", "old")
    monkeypatch.setattr(files, "exchange", lambda first, second: False)
    rename, calls = Path.replace, [0]

    def replace(self: Path, target: Path) -> Path:
        calls[0] += 1
        if calls[0] > 2:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(RunFailed):
            put(tmp_path / "model", "new")
    (waiting,) = tmp_path.iterdir()
    assert waiting.name.startswith(REPLACED)
    assert kept(waiting) == "old"


DYING = """
import os, signal, sys
from pathlib import Path
from PRRTPredictorCore import files
files.exchange = lambda first, second: False
rename, calls = Path.replace, [0]

def replace(self, target):
    calls[0] += 1
    if calls[0] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)

Path.replace = replace
with files.published_folder(Path(sys.argv[1])) as folder:
    (folder / "model").write_text("new")
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_process_killed_between_two_renames_loses_nothing(tmp_path: Path) -> None:
    put(tmp_path / "model", "old")
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(DYING), str(tmp_path / "model")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "model").exists()
    with pytest.raises(ValueError, match="no new one after all"):
        give_up(tmp_path / "model")
    assert kept(tmp_path / "model") == "old"
    put(tmp_path / "model", "new")
    assert kept(tmp_path / "model") == "new"
    assert names(tmp_path) == ["model"]


def left(pid: int, name: str = "model", prefix: str = PARTIAL, machine: str | None = None) -> str:
    """The temporary name that a process writes under."""
    return f"{prefix}{machine or disk.this_machine()}-{pid}-0123abcd-{name}"


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    living = tmp_path / left(os.getppid())
    own = aside(tmp_path / "model")
    dead = [tmp_path / left(pid) for pid in (NOBODY, os.getpid())]
    of_another_name = tmp_path / left(NOBODY, "other")
    mine = tmp_path / ".partial-notes"
    for folder in (living, own, *dead, of_another_name, mine):
        folder.mkdir()
    put(tmp_path / "model", "new")
    assert names(tmp_path) == sorted(["model", *(one.name for one in (living, own, of_another_name, mine))])
    remove_leftovers(tmp_path)
    assert not of_another_name.exists()
    assert mine.exists()


def test_a_file_written_again_leaves_nothing_of_a_killed_writer(tmp_path: Path) -> None:
    (tmp_path / left(NOBODY, "scene.mrb")).write_bytes(b"half")
    (tmp_path / left(NOBODY, "other.mrb")).write_bytes(b"half")
    write_bytes(tmp_path / "scene.mrb", b"whole")
    assert names(tmp_path) == sorted([left(NOBODY, "other.mrb"), "scene.mrb"])


def test_what_another_machine_writes_in_a_network_folder_is_left_to_it_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process numbers say nothing here: not even that of this very process."""
    theirs = [tmp_path / left(pid, machine="0badcafe") for pid in (NOBODY, os.getpid())]
    for folder in theirs:
        folder.mkdir()
        os.utime(folder, (0, 0))  # as an older folder that was renamed a moment ago: its content is of long ago
    put(tmp_path / "model", "new")
    assert names(tmp_path) == sorted(["model", *(folder.name for folder in theirs)])
    monkeypatch.setattr(disk, "_FORGOTTEN_S", -60.0)
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["model"]


def test_the_name_of_the_machine_is_in_no_temporary_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.this_machine.cache_clear()
    try:
        for machine in ("HOSPITAL-PC7", "HOSPITAL-PC8"):
            monkeypatch.setattr("platform.node", lambda machine=machine: machine)
            disk.this_machine.cache_clear()
            temporary = aside(tmp_path / "model")
            disk.remove(temporary)
            assert temporary.name.startswith(f"{PARTIAL}{disk.this_machine()}-{os.getpid()}-")
            assert "HOSPITAL" not in temporary.name
            (tmp_path / temporary.name).mkdir()
        assert len({name.split("-")[1] for name in names(tmp_path)}) == 2
    finally:
        disk.this_machine.cache_clear()


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="numbers of ended processes are kept on POSIX alone")
def test_a_process_that_has_ended_and_keeps_its_number_is_gone(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    (tmp_path / left(ended.pid)).mkdir()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == []
    ended.wait()


def test_what_was_replaced_waits_for_its_own_name(tmp_path: Path) -> None:
    waiting = tmp_path / left(NOBODY, prefix=REPLACED)
    waiting.mkdir()
    remove_leftovers(tmp_path)
    remove_leftovers(tmp_path, "model")
    put(tmp_path / "other", "new")
    assert waiting.exists()


@settings(max_examples=50)
@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='/\\:*?"<>|'), min_size=1, max_size=80)
)
def test_any_name_that_a_file_may_have_has_a_temporary_one(name: str) -> None:
    if name in (".", "..") or len(os.fsencode(name)) > 255:
        return
    temporary = aside(Path("folder") / name)
    assert len(os.fsencode(temporary.name)) <= 255
    assert temporary.parent == Path("folder")
    disk.remove(temporary)


def test_a_file_gets_the_rights_of_an_ordinary_one(tmp_path: Path) -> None:
    if os.name == "nt":
        pytest.skip("Windows has other rights")
    (tmp_path / "plain").write_text("x", encoding="utf-8")
    write_bytes(tmp_path / "whole", b"x")
    assert stat.S_IMODE((tmp_path / "whole").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_fails_leaves_the_old_or_the_new_file(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("any")
    write_bytes(folder / "file", b"old")
    step = data.draw(st.sampled_from(["touch", "flush_file", "replace", "flush_folder", "writer", "none"]))
    problem = data.draw(st.sampled_from([OSError(28, "No space left on device"), KeyboardInterrupt()]))

    def fail(*_: object, **__: object) -> None:
        raise problem

    with pytest.MonkeyPatch.context() as patch:
        if step in ("touch", "replace"):
            patch.setattr(Path, step, fail)
        elif step != "none":
            patch.setattr(files, {"flush_file": "_flush_to_disk"}.get(step, step), fail, raising=step != "writer")
        try:
            with replacing(folder / "file") as temporary:
                temporary.write_bytes(b"new")
                if step == "writer":
                    fail()
        except (RunFailed, KeyboardInterrupt):
            assert step != "none"
    assert (folder / "file").read_bytes() == (b"new" if step in ("none", "flush_folder") else b"old")
    assert names(folder) == ["file"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_files_that_are_written_together_go_through_no_link(tmp_path: Path) -> None:
    """A run from somebody else could name files of an earlier report, which go, and lead to the user's own."""
    mine, run = tmp_path / "pictures", tmp_path / "run"
    for folder in (mine, run):
        folder.mkdir()
    (mine / "holiday.png").write_bytes(b"mine")
    (run / "figures").symlink_to(mine)
    with pytest.raises(InputRefused) as refusal:
        write_together(run, {"figures/roc.png": b"new", "report.html": b"new"}, gone=["figures/holiday.png"])
    assert refusal.value.code is Code.OUTPUT
    assert names(mine) == ["holiday.png"]
    assert names(run) == ["figures"]


def test_what_a_new_report_has_no_room_for_goes_before_the_new_one_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_together(tmp_path, {"a.csv": b"old", "index": b"old"})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", raising_at(2, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            write_together(tmp_path, {"b.csv": b"new", "index": b"new"}, gone=["a.csv"])
    # The index still names the old file: whoever writes next removes it, and no file stays that none names.
    assert names(tmp_path) == ["b.csv", "index"]
    assert (tmp_path / "index").read_bytes() == b"old"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write anywhere")
@pytest.mark.parametrize("check", [files.require_folder_target, lambda path: files.require_file_target(path, ".png")])
def test_a_folder_that_nothing_may_be_written_into_is_a_failure_like_a_full_disk(
    tmp_path: Path, check: Callable[[Path], None]
) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(RunFailed) as refused:
            check(tmp_path / "out.png")
    finally:
        tmp_path.chmod(0o700)
    assert refused.value.code is Code.OUTPUT
    assert refused.value.exit_code == 4


def test_that_nothing_may_be_written_ends_with_4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(RunFailed) as refused:
        files.require_folder_target(tmp_path / "out")
    assert refused.value.exit_code == 4
