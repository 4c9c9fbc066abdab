"""The command ``mbmf``: finds the command's module, parses its options, and turns errors into messages."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

import mbmf
from mbmf.cli import terminal
from mbmf.errors import CoreError, MbmfError
from mbmf.start import hear

# each is a module of this package with a frozen dataclass Options and a function run(options)
COMMANDS = {
    "mb": "learn the dynamics from random data, drive the robot with them",
    "mbmf": "teach a policy to act as mb's controller does, then improve it",
    "mf": "learn a policy by trial and error alone, to compare with (TRPO)",
    "reproduce": "the paper's comparison: mb, mbmf, mf over seeds, figure, table",
    "sweep": "compare settings over seeds, on all cores or a cluster",
    "plot": "draw runs: learning curves (mbmf), loss, forwardsim, trajfollow",
    "report": "write a run as one HTML page",
    "video": "show an episode as a video, recorded or driven now",
    "view": "show a learned robot in the browser, and change its plans",
    "evaluate": "score a policy, or a run's controller, over episodes",
    "export": "write what was learned for programs without Python: C++, ONNX",
    "control": "drive a learned robot in real time, simulated, and time the loop",
    "list": "list the runs: task, seed, state, reward, size",
    "tasks": "list the presets, or print one",
    "new": "write a task file for a robot of your own, from its MJCF",
    "check": "try a task with no and with random actions, and say what is odd",
    "demo": "see it work in three minutes: the swimmer, with small settings",
    "bench": "measure simulator, planner and training on this machine",
    "completion": "print what makes a shell complete mbmf's words",
}
# "bench planner" is the module bench_planner
SUBCOMMANDS = {
    "bench planner": "measure the planner: share of the peak, ratios, latency, memory",
    "bench control": "measure how late waiting threads wake, and plans with deadlines",
}

USAGE = """usage: mbmf <command> [options]

Learn a robot's dynamics from minutes of data, and control it with them.

commands:
{commands}

options:
  -V, --version  print the version and the release of MuJoCo in use
  -h, --help     print this text; `mbmf help <command>` describes a command"""

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


def main(args: Sequence[str] | None = None) -> int:
    """Runs a command line (default: that of the process) and returns the exit code.

    0: done; 1: failed while running; 2: bad input; 130: interrupted by Ctrl-C; 143: by SIGTERM, in the same
    way. A failure is told in one message, with its traceback if the environment variable MBMF_TRACEBACK is
    set.
    """
    given = list(sys.argv[1:] if args is None else args)
    with terminal.prepared():
        try:
            code = _command(given)
            sys.stdout.flush()
        except BrokenPipeError:
            terminal.leave_quietly()
            return EXIT_BAD_INPUT
        except SystemExit:
            # of tyro, after help or words that it cannot parse; help may go to a reader that leaves, too
            try:
                sys.stdout.flush()
            except BrokenPipeError:
                terminal.leave_quietly()
            raise
    if args is None and code in (EXIT_INTERRUPTED, EXIT_TERMINATED):
        terminal.leave_at_once(code)
    return code


def _command(given: list[str]) -> int:
    if given[:1] == ["help"] and len(given) > 1:
        given = [*given[1:], "--help"]
    if not given or given[0] in ("-h", "--help", "help"):
        lines = [f"  {name:13} {text}" for name, text in (COMMANDS | SUBCOMMANDS).items()]
        print(USAGE.format(commands="\n".join(lines)))
        return 0 if given else EXIT_BAD_INPUT
    if given[0] in ("-V", "--version"):
        from mbmf import _core

        print(f"mbmf {mbmf.__version__} (MuJoCo {_core.mujoco_version_loaded()}, {_core.isa()})")
        return 0
    command, *rest = given
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return _fail(f"command must be one of {', '.join(COMMANDS)}, got {command!r}{hint}")
    if rest and f"{command} {rest[0]}" in SUBCOMMANDS:
        command = f"{command} {rest.pop(0)}"
    signals: list[int] = []
    try:
        run = _prepared(command, rest)
        hear()
        with _interruptible(signals):
            run()
    except KeyboardInterrupt:
        return _interrupted(signals)
    except BrokenPipeError:
        raise
    except Exception as error:
        if signals:  # a compiled module that is being imported makes another error of it
            return _interrupted(signals)
        if not isinstance(error, MbmfError | CoreError | ValueError | OSError):
            raise
        if os.environ.get("MBMF_TRACEBACK"):
            raise
        code = EXIT_FAILED if isinstance(error, CoreError) else EXIT_BAD_INPUT
        message = terminal.os_message(error) if isinstance(error, OSError) else str(error)
        return _fail(message or type(error).__name__, code)
    return 0


@contextlib.contextmanager
def _interruptible(came: list[int]) -> Iterator[None]:
    """SIGTERM, by which services and clusters end a command, is as Ctrl-C here; ``came`` notes both.

    A program that has its own way with one of them keeps it.
    """
    owner = os.getpid()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM and os.getpid() != owner:  # a forked child ends at once
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        came.append(number)
        raise KeyboardInterrupt

    usual: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    if threading.current_thread() is not threading.main_thread():
        usual = {}
    ours = [number for number, handler in usual.items() if signal.getsignal(number) is handler]
    for number in ours:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, usual[number])


def _prepared(command: str, args: list[str]) -> Callable[[], None]:
    """What runs the command, whose words are parsed."""
    from mbmf.cli.limits import check_ranges
    from mbmf.cli.parse import parse

    module = importlib.import_module(f"mbmf.cli.{command.replace(' ', '_')}")
    options = parse(module.Options, f"mbmf {command}", args)
    check_ranges(options)
    return lambda: module.run(options)


def _interrupted(signals: list[int]) -> int:
    terminated = signal.SIGTERM in signals
    print(f"mbmf: {'ended by SIGTERM' if terminated else 'interrupted'}", file=sys.stderr)
    return EXIT_TERMINATED if terminated else EXIT_INTERRUPTED


def _fail(message: str, code: int = EXIT_BAD_INPUT) -> int:
    red, reset = ("\x1b[31m", "\x1b[0m") if sys.stderr.isatty() and "NO_COLOR" not in os.environ else ("", "")
    print(f"{red}mbmf: {message}{reset}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
