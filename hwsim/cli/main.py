"""`hwsim`: the verbs, and the one place where an error becomes an exit code.

Exit codes: 0 done; 1 internal error; 2 usage, configuration or input; 3 unsupported model or operator; 4 infeasible
budget; 5 optional tool missing; 6 verification failed; 130 interrupted, state saved.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext

import typer

from hwsim.cli import calibrate, catalogue, demo, doctor, explore, export, profile, quantize, synth
from hwsim.cli import cost as cost_verb
from hwsim.cli import predict as predict_verb
from hwsim.cli.output import emit_error, keep_stdout_clean
from hwsim.core.errors import HwsimError, InputError


class Stopped(HwsimError):
    """Ctrl-C."""

    exit_code = 130
    code = "interrupted"


app = typer.Typer(
    name="hwsim",
    help="Which number format, on which device, at what cost, and how sure are we.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("quantize")(quantize.run)
app.command("cost")(cost_verb.run)
app.command("predict")(predict_verb.run)
app.command("explore")(explore.run_explore)
app.command("report")(explore.run_report)
app.command("export")(export.run)
app.command("synth")(synth.run)
app.command("calibrate")(calibrate.run)
app.command("profile")(profile.run)
app.command("formats")(catalogue.run_formats)
app.command("devices")(catalogue.run_devices)
app.command("parts")(catalogue.run_parts)
app.command("recipes")(catalogue.run_recipes)
app.command("doctor")(doctor.run)
app.command("demo")(demo.run)


def invoke(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    try:
        with keep_stdout_clean() if as_json else nullcontext():
            result = app(args=words, prog_name="hwsim", standalone_mode=False)
        if result == Stopped.exit_code:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except HwsimError as error:
        emit_error(error, as_json)
        return error.exit_code
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        emit_error(Stopped("interrupted", hint="finished work is saved"), as_json)
        return Stopped.exit_code
    except typer.TyperException as error:
        verb = words[0] if words and words[0] in {command.name for command in app.registered_commands} else ""
        hint = f"see: hwsim {verb} --help" if verb else "see: hwsim --help"
        emit_error(InputError(error.format_message(), where=verb or "hwsim", hint=hint), as_json)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        traceback.print_exc()
        emit_error(HwsimError(f"internal error: {error}", hint="please report it with the lines above"), as_json)
        return 1


def run() -> None:
    """Entry point of the console script."""
    sys.exit(invoke())


if __name__ == "__main__":
    run()
