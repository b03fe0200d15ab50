"""How an options class becomes a command: flags and help from its fields, one library call, one shown result."""

import inspect
import json
from collections.abc import Callable
from typing import Annotated, Any, Optional

from cyclopts import App, Group, Parameter
from pydantic import BaseModel

from clinstack import config
from clinstack.errors import BadInput
from clinstack.models.method import gather_method_options, method_fields, methods
from clinstack.training.processes import launched

_GLOBAL_HELP = (
    "Every command also takes --config FILE (TOML: option names and values), --json (one JSON object on stdout) and "
    "--debug (tracebacks)."
)

app = App(
    name="clinstack",
    help="Adapts a language model to clinical notes in two parameter-efficient steps, and proves that both are at work.",
    help_epilogue=_GLOBAL_HELP,
    help_format="plaintext",
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,
)


def group(name: str, about: str) -> App:
    """A command that has commands of its own."""
    made = App(name=name, help=about, help_epilogue=_GLOBAL_HELP)
    app.command(made)
    return made


_OPTIONS = Group("Options", sort_key=0)
_METHOD = Group("Options of the PEFT method", sort_key=2)
_MACHINE = Group("Training and machine", sort_key=1)


class Output:
    """How results are to be shown, as the global flags said."""

    json = False
    plan = False
    measure = False


def command(
    where: App,
    name: str | None,
    options: type[config.Chosen],
    positional: tuple[str, ...] = (),
    *,
    method: bool = False,
) -> Callable[[Callable[[config.Chosen], Any]], Callable[[config.Chosen], Any]]:
    """Registers a function of one options class as a command whose flags are the class's fields.

    name: None for what the group does with what is none of its commands.
    """

    def register(run: Callable[[config.Chosen], Any]) -> Callable[[config.Chosen], Any]:
        def run_it(*args: Any, **given: Any) -> Any:
            given |= dict(zip(positional, args, strict=False))
            chosen = config.make_options(options, gather_method_options(given) if method else given)
            if launched().count > 1 and options not in (config.AdaptOptions, config.TrainOptions):
                several = f"{launched().count} processes were launched, which adapt and train alone share"
                raise BadInput(f"{several}. Start it by itself.")
            return _show_plan(chosen) if Output.plan else run(chosen)

        run_it.__doc__ = options.__doc__
        parameters = [_parameter(key, options, positional) for key in positional]
        parameters += [_parameter(key, options, positional) for key in options.model_fields if key not in positional]
        parameters = [one for one in parameters if one.name != "method_options"]
        if method:
            parameters += _method_parameters()
        run_it.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run_it.__annotations__ = {one.name: one.annotation for one in parameters}
        if name is None:
            where.default(run_it)
        else:
            where.command(run_it, name=name)
        return run

    return register


def _parameter(key: str, options: type[BaseModel], positional: tuple[str, ...]) -> inspect.Parameter:
    field = options.model_fields[key]
    default = inspect.Parameter.empty if field.is_required() else field.get_default(call_default_factory=True)
    shared = key in config.TrainingOptions.model_fields and issubclass(options, config.TrainingOptions)
    about = Parameter(
        help=field.description,
        negative=(),
        group=_MACHINE if shared else _OPTIONS,
        show_default=default not in (None, []),
    )
    return inspect.Parameter(
        key,
        inspect.Parameter.POSITIONAL_ONLY if key in positional else inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[field.annotation, about],
    )


def _method_parameters() -> list[inspect.Parameter]:
    table, made = methods(), []
    for key, owners in method_fields().items():
        field = table[owners[0]].model_fields[key]
        defaults: dict[str, list[str]] = {}
        for owner in owners:
            defaults.setdefault(str(table[owner].model_fields[key].default), []).append(owner)
        shown = "; ".join(f"{', '.join(some)}: {value}" for value, some in defaults.items())
        help_text = f"{field.description} [{shown}]"
        about = Parameter(help=help_text, group=_METHOD, show_default=False)
        annotation: Any = Annotated[Optional[field.annotation], about]  # noqa: UP045
        made.append(inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))
    return made


def _show_plan(options: config.Options) -> None:
    from clinstack.studies.plan import plan
    from clinstack.terminal import show_plan

    found = plan(options, measure=Output.measure)
    show(found, lambda: show_plan(found))


def show(result: dict[str, Any], for_people: str | Callable[[], Any]) -> None:
    """Shows a result: one JSON object under --json, else what people read."""
    if not launched().first:
        return
    if Output.json:
        print(json.dumps(result, ensure_ascii=False, allow_nan=False))
    elif callable(for_people):
        for_people()
    else:
        print(for_people)


def take_flag(arguments: list[str], flag: str) -> bool:
    """Whether a flag is among the arguments, out of which it is taken."""
    found = flag in arguments
    while flag in arguments:
        arguments.remove(flag)
    return found
