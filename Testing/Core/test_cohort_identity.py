"""Study codes: keyed, stable, free of the identifier; the key private and made once."""

from __future__ import annotations

import os
import re
import secrets
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from PRRTPredictorCore.cohort.identity import KEY_FILE, config_dir, study_code
from PRRTPredictorCore.disk import this_machine
from PRRTPredictorCore.errors import Code, CohortRefused, InputRefused, RunFailed
from PRRTPredictorCore.files import user_folder

POSIX_USER = os.name == "posix" and hasattr(os, "geteuid") and os.geteuid() != 0


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRRT_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path / "config"


def test_a_code_is_short_stable_and_tells_nothing() -> None:
    code = study_code("Mustermann^Max")
    assert re.fullmatch(r"P-[0-9a-f]{10}", code)
    assert study_code("Mustermann^Max") == code
    assert study_code("Mustermann^Moritz") != code


def test_blanks_padding_and_case_do_not_make_a_second_patient() -> None:
    assert len({study_code(one) for one in ("pat-7", "PAT-7", " PAT-7 ", "PAT-7\0", "ＰＡＴ-7")}) == 1


@pytest.mark.parametrize(
    "hostile", ["../../etc/passwd", "<script>alert(1)</script>", "=cmd()|' /C calc'!A0", "'; DROP", "\ud800"]
)
def test_hostile_identifiers_are_harmless(hostile: str) -> None:
    assert re.fullmatch(r"P-[0-9a-f]{10}", study_code(hostile))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.text(min_size=1).filter(lambda text: text.strip(" \t\r\n\0")))
def test_any_text_gives_a_code(identifier: str) -> None:
    try:
        code = study_code(identifier)
    except CohortRefused:
        assert not identifier.strip()  # blanks of other alphabets become plain blanks
    else:
        assert re.fullmatch(r"P-[0-9a-f]{10}", code)


@pytest.mark.parametrize("empty", ["", "  ", "\0"])
def test_an_empty_identifier_is_refused(empty: str) -> None:
    with pytest.raises(CohortRefused) as caught:
        study_code(empty)
    assert caught.value.code is Code.COHORT_VALUE


def test_another_key_gives_other_codes(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = study_code("PAT-7")
    monkeypatch.setenv("PRRT_CONFIG_DIR", str(tmp_path / "another"))
    assert study_code("PAT-7") != code
    monkeypatch.setenv("PRRT_CONFIG_DIR", str(config))
    assert study_code("PAT-7") == code


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps the profile private by other means")
def test_only_the_user_can_read_the_key(config: Path) -> None:
    study_code("PAT-7")
    assert stat.S_IMODE((config / KEY_FILE).stat().st_mode) == 0o600


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps the profile private by other means")
def test_a_key_that_others_could_read_is_closed_to_them_and_this_is_said(
    config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = study_code("PAT-7")
    for mode, kept in ((0o644, 0o640), (0o666, 0o660), (0o600, 0o600), (0o640, 0o640)):
        (config / KEY_FILE).chmod(mode)
        caplog.clear()
        assert study_code("PAT-7") == code
        assert stat.S_IMODE((config / KEY_FILE).stat().st_mode) == kept
        assert ["private again" in line for line in caplog.messages] == ([True] if mode & 0o007 else [])


@pytest.mark.parametrize("step", ["write", "fsync", "link"])
@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "stop"])
def test_a_key_is_made_whole_or_not_at_all(
    config: Path, monkeypatch: pytest.MonkeyPatch, step: str, problem: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise problem

    with monkeypatch.context() as patch:
        if step == "write":
            patch.setattr(secrets, "token_hex", fail)
        else:
            patch.setattr(os, step, fail)
        if step == "link" and isinstance(problem, OSError):  # as on a file system without hard links
            assert study_code("PAT-7")
        else:
            with pytest.raises((KeyboardInterrupt, RunFailed)) as told:
                study_code("PAT-7")
            assert isinstance(told.value, KeyboardInterrupt) or told.value.code is Code.STUDY_KEY
    left = [path.name for path in config.iterdir()]
    assert left == ([KEY_FILE] if step == "link" and isinstance(problem, OSError) else [])
    assert study_code("PAT-7") == study_code("PAT-7")


def test_a_key_that_cannot_be_made_is_a_failure_of_the_machine(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    config.mkdir()
    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(RunFailed) as refused:
        study_code("PAT-7")
    assert refused.value.exit_code == 4
    assert refused.value.code is Code.STUDY_KEY


@pytest.mark.parametrize("key_was_there", [False, True])
def test_what_a_killed_creator_left_is_no_key_and_goes(config: Path, key_was_there: bool) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    if key_was_there:
        study_code("PAT-7")
    config.mkdir(exist_ok=True)
    leftover = config / f".partial-{this_machine()}-{gone.pid}-0123abcd-{KEY_FILE}"
    leftover.write_bytes(b"")
    assert study_code("PAT-7")
    assert [path.name for path in config.iterdir()] == [KEY_FILE]


def test_without_an_override_the_key_lies_in_the_users_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRRT_CONFIG_DIR")
    assert config_dir().name == "PRRTPredictor"


def test_creators_at_the_same_time_agree(config: Path) -> None:
    line = "from PRRTPredictorCore.cohort.identity import study_code; print(study_code('PAT-7'))"
    running = [
        subprocess.Popen([sys.executable, "-c", line], stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        for _ in range(6)
    ]
    codes = {process.communicate(timeout=300)[0].strip() for process in running}
    assert all(process.returncode == 0 for process in running)
    assert codes == {study_code("PAT-7")}


@pytest.mark.parametrize("content", [b"", b"too short", b"z" * 64, b"\xff" * 64, b"0" * 66])
def test_a_damaged_key_is_refused_and_not_replaced(
    config: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("PRRTPredictorCore.cohort.identity._PATIENCE_SECONDS", 0.05)
    config.mkdir()
    (config / KEY_FILE).write_bytes(content)
    with pytest.raises(InputRefused) as caught:
        study_code("PAT-7")
    assert caught.value.code is Code.STUDY_KEY
    assert "PAT-7" not in str(caught.value)
    assert (config / KEY_FILE).read_bytes() == content


def test_a_key_that_is_a_folder_or_a_folder_that_is_a_file_is_refused(config: Path) -> None:
    (config / KEY_FILE).mkdir(parents=True)
    with pytest.raises(InputRefused) as caught:
        study_code("PAT-7")
    assert caught.value.code is Code.STUDY_KEY
    (config / KEY_FILE).rmdir()
    config.rmdir()
    config.write_text("a file")
    with pytest.raises(InputRefused) as caught:
        study_code("PAT-7")
    assert caught.value.code is Code.STUDY_KEY


@pytest.mark.skipif(not POSIX_USER, reason="root reads everything; Windows has other rights")
def test_an_unreadable_key_is_refused(config: Path) -> None:
    study_code("PAT-7")
    (config / KEY_FILE).chmod(0)
    with pytest.raises(InputRefused) as caught:
        study_code("PAT-7")
    assert caught.value.code is Code.STUDY_KEY


@pytest.mark.parametrize("kind", ["config", "cache"])
@pytest.mark.parametrize("xdg", ["", "/elsewhere"])
def test_a_users_folders_are_where_platformdirs_would_put_them(monkeypatch, kind: str, xdg: str) -> None:
    platformdirs = pytest.importorskip("platformdirs")
    monkeypatch.setenv(f"XDG_{kind.upper()}_HOME", xdg)
    expected = getattr(platformdirs, f"user_{kind}_path")("PRRTPredictor", appauthor=False)
    assert user_folder(kind) == expected


@pytest.mark.parametrize(
    ("system", "config", "cache"),
    [
        ("win32", "AppData/Local/PRRTPredictor", "AppData/Local/PRRTPredictor/Cache"),
        ("darwin", "Library/Application Support/PRRTPredictor", "Library/Caches/PRRTPredictor"),
        ("linux", ".config/PRRTPredictor", ".cache/PRRTPredictor"),
    ],
)
def test_each_system_has_its_own_folders(monkeypatch, tmp_path: Path, system: str, config: str, cache: str) -> None:
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(sys, "platform", system)
    assert user_folder("config") == tmp_path / config
    assert user_folder("cache") == tmp_path / cache
