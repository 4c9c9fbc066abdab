"""``mbmf completion``: what makes a shell complete commands and their options."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Literal

import tyro


@dataclass(frozen=True)
class Options:
    """Print what makes a shell complete mbmf's words: eval "$(mbmf completion bash)"."""

    shell: tyro.conf.Positional[Literal["bash", "zsh"]]
    """Which shell it is."""


_SCRIPT = """\
_mbmf() {
  local word=${COMP_WORDS[COMP_CWORD]} words
  case "${COMP_WORDS[1]}${COMP_WORDS[2]:+ }${COMP_WORDS[2]}" in
%s  esac
  [ "$COMP_CWORD" -gt 1 ] || words="%s"
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _mbmf mbmf
"""


def run(options: Options) -> None:
    """Runs the command."""
    from mbmf.cli.main import COMMANDS, SUBCOMMANDS
    from mbmf.cli.parse import flags

    cases = []
    # the longer names first: the first pattern that fits is taken
    for name in sorted(COMMANDS | SUBCOMMANDS, key=len, reverse=True):
        module = importlib.import_module(f"mbmf.cli.{name.replace(' ', '_')}")
        cases.append(f'    "{name}"*) words="{" ".join(["--help", *flags(module.Options)])}" ;;\n')
    script = _SCRIPT % ("".join(cases), " ".join(["help", *COMMANDS]))
    if options.shell == "zsh":
        script = "autoload -U +X bashcompinit && bashcompinit\n" + script
    print(script, end="")
