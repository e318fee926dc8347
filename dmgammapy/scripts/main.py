"""Command line ``dmgammapy``: the group of all commands, see the other files of this folder."""

import click

from dmgammapy import __version__

from . import _analysis, _convert, _likelihoods, _lookup, _simulate
from ._common import EXIT_CODES, Group, help_text

__all__ = ["cli"]

COMPLETION = """\b
Shell completion (bash; zsh and fish likewise):
  eval "$(_DMGAMMAPY_COMPLETE=bash_source dmgammapy)"
"""


def _main():
    r"""Search for dark matter in gamma rays.

    \b
    An analysis from one YAML file:
      dmgammapy config --template -o analysis.yaml
      dmgammapy run analysis.yaml

    \b
    What a file holds, and its limits:
      dmgammapy info castro.fits
      dmgammapy limits castro.fits --cl 0.95 --channel b

    Each command has its own --help with examples.
    """


cli = click.version_option(__version__, prog_name="dmgammapy")(
    Group(
        "dmgammapy",
        help=help_text(_main),
        epilog=f"{EXIT_CODES}\n{COMPLETION}",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
)
for module in (_analysis, _likelihoods, _simulate, _convert, _lookup):
    for command in module.COMMANDS:
        cli.add_command(command)
