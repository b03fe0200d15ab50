"""The two steps."""

from clinstack import config
from clinstack.commands.command import app, command, show


@command(app, "adapt", config.AdaptOptions, method=True)
def _adapt(options: config.AdaptOptions) -> None:
    from clinstack.terminal import Terminal, show_language, show_proof
    from clinstack.training.language import adapt

    with Terminal() as terminal:
        result = adapt(options, terminal)

    def shown() -> None:
        show_language(result)
        show_proof(result)
        print(f"run    {options.out}")

    show(result, shown)


@command(app, "train", config.TrainOptions, method=True)
def _train(options: config.TrainOptions) -> None:
    from clinstack.terminal import Terminal, show_metrics, show_proof
    from clinstack.training.classification import train

    with Terminal() as terminal:
        result = train(options, terminal)

    def shown() -> None:
        show_metrics(result, result["metrics"]["test"], f"{result['variant']}, test")
        show_proof(result)
        print(f"run    {options.out}")

    show(result, shown)
