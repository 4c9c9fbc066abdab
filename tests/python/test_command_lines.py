"""Command lines: those of the original parse, and flags, numbers and help are alike everywhere."""

from __future__ import annotations

import importlib
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mbmf.cli import main as cli
from mbmf.cli.parse import parse, whole

BAD = 2

# the original's scripts by our names, with every flag and example of its page
ORIGINAL = [
    "mb --seed=0 --run_num=1 --yaml_file='swimmer_forward'",
    "mb --seed=0 --run_num=0 --yaml_file='cheetah_forward'",
    "mb --seed=0 --run_num=2 --yaml_file='ant_forward'",
    "mb --seed=0 --run_num=3 --yaml_file='hopper_forward'",
    "mb --seed=0 --run_num=4 --yaml_file='cheetah_trajfollow' --desired_traj_type='straight' "
    "--visualize_MPC_rollout",
    *(
        f"mb --seed=0 --run_num={run} --yaml_file='{robot}_trajfollow' --desired_traj_type='{path}' "
        "--visualize_MPC_rollout --use_existing_training_data --use_existing_dynamics_model"
        for run, robot, path in (
            (4, "cheetah", "backward"),
            (4, "cheetah", "forwardbackward"),
            (5, "swimmer", "left_turn"),
            (5, "swimmer", "right_turn"),
            (6, "ant", "left_turn"),
            (6, "ant", "right_turn"),
            (6, "ant", "u_turn"),
        )
    ),
    "mb --yaml_file=ant_forward --num_rollouts_save_for_mf=30 --might_render --perform_forwardsim_for_vis "
    "--print_minimal",
    "mbmf --run_num=1 --which_agent=2",
    "mbmf --run_num=1 --which_agent=2 --std_on_mlp_policy=1.0",
    "mbmf --run_num=0 --which_agent=4 --std_on_mlp_policy=0.5",
    "mbmf --run_num=3 --which_agent=6 --std_on_mlp_policy=1.0 ",
    "mbmf --run_num=2 --which_agent=1 --std_on_mlp_policy=0.5",
    "mbmf --run_num=2 --which_agent=1 --save_trpo_run_num=2 --num_workers_trpo=4 --might_render "
    "--visualize_mlp_policy --visualize_on_policy_rollouts --print_minimal --use_existing_pretrained_policy",
    "mf --seed=0 --save_trpo_run_num=1 --which_agent=2 --num_workers_trpo=2 --std_on_mlp_policy=0.5",
    *(
        f"mf --seed={seed} --save_trpo_run_num={run} --which_agent={agent} --num_workers_trpo=4"
        for seed, run in ((0, 1), (50, 2))
        for agent in (4, 2, 1, 6)
    ),
    "mf --which_agent=2 --steps_per_rollout=333 --num_trpo_iters=500",
    "plot mbmf --trpo_dir=runs --std_on_mlp_policy=0.5 --which_agent=2 --run_nums 1 --seeds 0",
    "plot mbmf --trpo_dir=runs --std_on_mlp_policy=1.0 --which_agent=2 --run_nums 1 2 3 --seeds 0 70 100",
]


def options_of(line: str) -> Any:
    """What a command line of ours is parsed to."""
    command, *words = shlex.split(line)
    return parse(importlib.import_module(f"mbmf.cli.{command}").Options, f"mbmf {command}", words)


@pytest.mark.parametrize("line", ORIGINAL)
def test_every_command_line_of_the_original_parses(line: str) -> None:
    options = options_of(line)
    for word in shlex.split(line)[1:]:
        name, _, value = word.removeprefix("--").partition("=")
        if not word.startswith("--"):
            continue
        found = getattr(options, "std" if line.startswith("mf") and name == "std_on_mlp_policy" else name)
        assert found is True or (value and str(found) in (value, f"{value}.0")) or isinstance(found, tuple)


def test_dashes_and_underscores_are_alike() -> None:
    one, other = "mf --which_agent=2 --num_workers_trpo=3", "mf --which-agent 2 --num-workers-trpo 3"
    assert vars(options_of(one)) == vars(options_of(other))


@pytest.mark.parametrize(
    ("text", "number"),
    [("1000000", 10**6), ("1e6", 10**6), ("2.5e6", 2_500_000), ("1_000", 1000)],
)
def test_whole_numbers_as_people_write_them(text: str, number: int) -> None:
    assert whole(text) == number
    assert options_of(f"mf --which_agent=2 --max_steps={text}").max_steps == number


@pytest.mark.parametrize("text", ["1.5", "nan", "inf", "1e30", "many"])
def test_what_is_no_whole_number(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        options_of(f"mf --which_agent=2 --max_steps={text}")
    assert caught.value.code == BAD
    assert "max_steps" in capsys.readouterr().err


@pytest.mark.parametrize("command", [*cli.COMMANDS, "plot mbmf", "plot loss"])
def test_help_fits_80_columns(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        cli.main([*command.split(), "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 5
    assert [line for line in lines[1:] if len(line) > 80] == []
    assert [line for line in lines if "(default: None)" in line] == []


def test_usage_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_help_of_a_command_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["help", "mb"])
    assert caught.value.code == 0
    assert "--yaml_file" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["mb", "mbmf", "mf --which_agent=2", "demo", "video --run_num=1"])
def test_seeds_have_one_range(
    command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, requirement in ((2**64, f"at most {2**64 - 1}"), (-1, "at least 0")):
        assert cli.main([*command.split(), f"--seed={seed}"]) == BAD
        assert capsys.readouterr().err == f"mbmf: --seed must be {requirement}, got {seed}\n"
    assert list(tmp_path.iterdir()) == []


def run_command(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from mbmf.cli.main import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *args],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, **environment},
    )


def test_a_terminal_of_ascii() -> None:
    """What is not in its letters is written in others; nothing fails."""
    code = "from mbmf.cli import terminal\nwith terminal.prepared(): print('3 ± 1 – 2 × 4 ─│ π')"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert result.stdout == b"3 +- 1 - 2 x 4 -| ?\n"


def test_a_reader_that_leaves() -> None:
    code = "import sys; from mbmf.cli.main import main; sys.exit(main())"
    line = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} bench --help | head -n 1"
    result = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("usage: mbmf bench")
    assert result.stderr == ""


def test_missing_files_are_named_without_errno(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert cli.main(["demo", f"--output={file / 'demo'}"]) == BAD
    assert "[Errno" not in capsys.readouterr().err


def test_warnings_are_notes_without_a_path(capsys: pytest.CaptureFixture[str]) -> None:
    import warnings

    from mbmf.cli import terminal

    with terminal.prepared():
        warnings.warn("the robot may fall", stacklevel=1)
        warnings.warn("old names", DeprecationWarning, stacklevel=1)
    assert capsys.readouterr().err == "note: the robot may fall\n"


@pytest.mark.parametrize("command", ["bench control", "bench planner"])
def test_outputs_of_bench_are_checked_before_it_measures(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert cli.main([*command.split(), f"--output={file / 'figures'}"]) == BAD
    said = capsys.readouterr()
    assert said.out == ""
    assert "--output must be a place to write" in said.err
