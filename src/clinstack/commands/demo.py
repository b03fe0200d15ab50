"""The whole road on built-in data."""

from clinstack import config
from clinstack.commands.command import app, command, show


@command(app, "demo", config.DemoOptions)
def _demo(options: config.DemoOptions) -> None:
    from clinstack.demo.road import walk
    from clinstack.terminal import Terminal, show_comparison

    with Terminal() as terminal:
        done = walk(options, terminal)

    def shown() -> None:
        show_comparison(done["runs"])
        print(f"\n{len(done['runs'])} runs, {done['seconds']:.0f} s. Open the report: {done['report']}")

    show(done, shown)
