"""The command line: one function per command (`commands/`): options in, one library call, one shown result.

Flags, help and the keys of `--config FILE` (TOML) are generated from the options classes and the PEFT methods' own fields; a
flag beats the file, the file beats the default. Errors are one sentence on stderr with the exit code of their kind; `--debug`
adds the traceback, `--json` prints the result as one JSON object and nothing else on stdout.
"""

import signal
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cyclopts

from clinstack import config
from clinstack.commands import data, demo, evaluation, library, plan, serving, studies, training  # noqa: F401 (each registers its own)
from clinstack.commands.command import Output, app, take_flag
from clinstack.errors import BadInput, ClinstackError, did_you_mean
from clinstack.models.method import method_fields
from clinstack.training.processes import launched


def _take_config(arguments: list[str]) -> list[cyclopts.config.Dict]:
    """The TOML file of `--config`, taken out of the arguments."""
    file = None
    for index, argument in enumerate(arguments):
        if argument == "--config" and index + 1 < len(arguments):
            file = Path(arguments[index + 1])
            del arguments[index : index + 2]
            break
        if argument.startswith("--config="):
            file = Path(argument.removeprefix("--config="))
            del arguments[index]
            break
    if file is None:
        return []
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise BadInput(f"--config {file} cannot be read. Give a TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"--config {file} is not valid TOML: {error}.") from None
    _check_config(file, values, arguments)
    return [cyclopts.config.Dict(values, use_commands_as_keys=False, source=str(file))]


def _check_config(file: Path, values: dict[str, Any], arguments: list[str]) -> None:
    table: dict[str, type[config.Options]] = {"adapt": config.AdaptOptions, "train": config.TrainOptions}
    if "search" in arguments:
        table = {"adapt": config.SearchAdaptOptions, "train": config.SearchTrainOptions}
    options = next((table[word] for word in arguments if word in table), None)
    if options is not None:
        known = {*options.model_fields, *method_fields()} - {"method_options"}
        if unknown := sorted(key for key in values if key.replace("-", "_") not in known):
            raise BadInput(f"{file}: unknown option {unknown[0]!r}. {did_you_mean(unknown[0], known)}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and ends the process with its exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stopped command tidies up, as after Ctrl-C
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = take_flag(words, "--debug")
    Output.json = take_flag(words, "--json")
    try:
        app.config = _take_config(words)
        app(words, exit_on_error=False, print_error=False)
        code = 0
    except (ClinstackError, cyclopts.CycloptsError) as error:
        if debug:
            raise
        if launched().speaks_of_failure(isinstance(error, ClinstackError) and error.of_one_process):
            print(f"clinstack: {error}", file=sys.stderr)
        code = error.exit_code if isinstance(error, ClinstackError) else 2
    except KeyboardInterrupt:
        print("clinstack: interrupted.", file=sys.stderr)
        code = 130
    except BrokenPipeError:
        code = 1
    except Exception as error:
        if debug:
            raise
        print(
            f"clinstack: an unexpected {type(error).__name__}; this is a fault of clinstack. --debug shows where.",
            file=sys.stderr,
        )
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    main()
