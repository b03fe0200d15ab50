"""What a command would cost, and how far plans were off."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from clinstack import config
from clinstack.commands.command import Output, app, show, take_flag
from clinstack.errors import BadInput


@app.command(name="plan")
def _plan(*command: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]) -> None:
    """Says what a command would cost and trains nothing: plan adapt ..., plan train ..., plan search ..., plan study ...

    Put the whole command with its options behind the word plan. With --measure a few real steps on this machine replace its
    assumed rate. `plan check RUN...` sets plans beside what finished runs took.
    """
    words = list(command)
    Output.measure = take_flag(words, "--measure")
    if words[:1] == ["check"]:
        _check_plan(config.make_options(config.PlanCheckOptions, {"runs": [Path(word) for word in words[1:]]}))
        return
    if not words or words[0].startswith("-"):
        raise BadInput("plan needs a command to plan, such as: plan adapt --base tiny-base --corpus CORPUS --out RUN.")
    Output.plan = True
    try:
        app(words, exit_on_error=False, print_error=False)
    finally:
        Output.plan = False


def _check_plan(options: config.PlanCheckOptions) -> None:
    from clinstack.studies.plan import check
    from clinstack.terminal import show_plan_check

    if not options.runs:
        raise BadInput("plan check needs at least one run folder.")
    found = check(options.runs)
    show(found, lambda: show_plan_check(found))
