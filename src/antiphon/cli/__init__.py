"""The command `antiphon`.

Nothing heavy is imported before it is needed: `--version` answers at once.
"""

import sys

from antiphon import __version__


def main() -> None:
    """The console script: every foreseen fault is one sentence and exit code 1."""
    if sys.argv[1:] == ["--version"]:
        print(f"antiphon {__version__}")
        return
    from antiphon import config, logs, serving
    from antiphon.cli import commands
    from antiphon.cli.options import fail

    logs.configure("warning")
    try:
        commands.app()
    except (config.ConfigError, serving.ServeError) as error:
        fail(str(error))
