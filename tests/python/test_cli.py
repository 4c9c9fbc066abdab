"""The command line: output, exit codes, and that bad input gets one message and changes nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mbmf.cli import main as cli

BAD = 2


def fails(capsys: pytest.CaptureFixture[str], *args: str, code: int = BAD) -> str:
    """Runs a command line that must fail; returns its one message."""
    assert cli.main(args) == code
    printed = capsys.readouterr()
    assert printed.err.startswith("mbmf: ")
    assert "Traceback" not in printed.err
    return printed.err.strip()


def test_usage_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    printed = capsys.readouterr().out
    for command in cli.COMMANDS:
        assert f"\n  {command} " in printed


def test_no_command_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == BAD
    assert "usage: mbmf" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("mbmf 0.1.0 (MuJoCo 4.0.0, ")


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_of_a_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"])
    assert caught.value.code == 0
    assert f"mbmf {command}" in capsys.readouterr().out


def test_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    message = fails(capsys, "dmeo")
    known = ", ".join(cli.COMMANDS)
    assert message == f"mbmf: command must be one of {known}, got 'dmeo'; did you mean demo?"


@pytest.mark.parametrize("flag", ["--candidates=many", "--candidate=5", "--seed"])
def test_flags_that_do_not_parse(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["demo", flag])
    assert caught.value.code == BAD
    assert flag.split("=")[0].lstrip("-") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["demo", "--seed=-1"], "--seed must be at least 0, got -1"),
        (["demo", "--nthread=-2"], "--nthread must be at least 0, got -2"),
        (["demo", "--iterations=0"], "model_based.iterations must be an integer from 1 to 1000000, got 0"),
        (["demo", "--epochs=-3"], "model_based.epochs must be an integer from 1 to 1000000, got -3"),
        (["demo", "--candidates=0"], "model_based.candidates must be an integer from 1 to 100000000, got 0"),
        (["demo", "--random_episodes=0"], "episodes must be an integer from 1 to 1000000, got 0"),
        (["bench", "--nthread=-1"], "--nthread must be at least 0, got -1"),
        (["bench", "--seconds=0"], "--seconds must be positive and at most 3600, got 0.0"),
        (["bench", "--seconds=nan"], "--seconds must be positive and at most 3600, got nan"),
        (["mb", "--yaml_file=swimer_forward"], "swimmer_forward"),
        (["mb", "--yaml_file=missing.yaml"], "missing.yaml"),
    ],
)
def test_bad_input(
    args: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in fails(capsys, *args)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_run_is_left_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    mine = tmp_path / "thesis.txt"
    mine.write_text("mine")
    assert str(tmp_path) in fails(capsys, "demo", f"--output={tmp_path}")
    assert mine.read_text() == "mine"


def test_a_folder_that_cannot_be_made(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "file" in fails(capsys, "demo", f"--output={tmp_path / 'file' / 'demo'}")
    assert (tmp_path / "file").read_text() == ""


def command_that(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Makes `mbmf demo` raise."""

    def run(options: object) -> None:
        raise error

    module = SimpleNamespace(Options=cli.importlib.import_module("mbmf.cli.demo").Options, run=run)
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: module)


def test_exit_codes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from mbmf.errors import CoreError, DataError

    monkeypatch.delenv("MBMF_TRACEBACK", raising=False)
    full = "runs/demo must be readable, or writable, got: No space left on device"
    for error, code, message in (
        (DataError("data must be finite, got nan"), 2, "data must be finite, got nan"),
        (ValueError("horizon must be at least 1, got 0"), 2, "horizon must be at least 1, got 0"),
        (OSError(28, "No space left on device", "runs/demo"), 2, full),
        (CoreError("no candidate has a finite cost"), 1, "no candidate has a finite cost"),
    ):
        command_that(monkeypatch, error)
        assert fails(capsys, "demo", code=code) == f"mbmf: {message}"
        monkeypatch.undo()
    command_that(monkeypatch, KeyboardInterrupt())
    assert "interrupted" in fails(capsys, "demo", code=130)


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    command_that(monkeypatch, TypeError("a defect"))
    with pytest.raises(TypeError, match="a defect"):
        cli.main(["demo"])


def test_traceback_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MBMF_TRACEBACK", "1")
    command_that(monkeypatch, ValueError("why"))
    with pytest.raises(ValueError, match="why"):
        cli.main(["demo"])


def test_as_a_process() -> None:
    code = "import sys; from mbmf.cli.main import main; sys.exit(main())"
    result = subprocess.run(
        [sys.executable, "-c", code, "dance"], capture_output=True, text=True, check=False
    )
    assert result.returncode == BAD
    assert result.stdout == ""
    known = ", ".join(cli.COMMANDS)
    assert result.stderr == f"mbmf: command must be one of {known}, got 'dance'\n"
