"""Figures and predictions of a finished run."""

from clinstack import config
from clinstack.commands.command import app, command, show
from clinstack.errors import BadInput


@command(app, "evaluate", config.EvaluateOptions, ("run",))
def _evaluate(options: config.EvaluateOptions) -> None:
    from clinstack.evaluation.scoring import evaluate
    from clinstack.terminal import show_metrics, show_subgroups

    found = evaluate(options)

    def shown() -> None:
        show_metrics(found, found["metrics"], options.split)
        counts = f"{found['notes']:,} notes of {found['patients']:,} patients"
        print(f"{counts}; {found['labels_scored']} of {found['classes']} classes scored")
        if found["subgroups"]:
            show_subgroups(found["subgroups"])

    show(found, shown)


@command(app, "predict", config.PredictOptions, ("run",))
def _predict(options: config.PredictOptions) -> None:
    from clinstack.evaluation.prediction import predict

    if (options.run is None) == (options.server is None) or (options.task and not options.server):
        raise BadInput("Give either a run folder, or --server ADDRESS and, where it has several, --task NAME.")
    if options.key_file and not options.server:
        raise BadInput("--key-file is for a server: give its address with --server.")
    if options.server is None:
        done = predict(options)
    else:
        from clinstack.serving.client import Client, RemoteClassifier, given_key

        with Client(options.server, key=given_key(options.key_file)) as client:
            done = predict(options, lambda: RemoteClassifier(client, options.task))
    show(done, f"{done['output']}: {done['notes']:,} notes, task {done['task']}")
