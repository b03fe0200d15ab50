"""The server, the keys of those who may ask it, and its log."""

import importlib.util
import sys

from clinstack import config
from clinstack.commands.command import app, command, group, show
from clinstack.errors import BadInput

keyring = group("keys", "Keeps the keys of those who may ask a server.")
trail = group("audit-log", "Checks and searches a server's audit log.")


@command(keyring, "add", config.KeysAddOptions, ("name",))
def _keys_add(options: config.KeysAddOptions) -> None:
    from clinstack.serving.keys import add_key

    tasks = None if options.tasks is None else [one.strip() for one in options.tasks.split(",") if one.strip()]
    key = add_key(options.keys, options.name, tasks, options.notes_per_minute)
    show({"name": options.name, "key": key}, f"{key}\nThis is the key of {options.name}. It is not kept: note it now.")


@command(keyring, "list", config.KeysListOptions)
def _keys_list(options: config.KeysListOptions) -> None:
    from clinstack.serving.keys import read_keys

    lines, found = [], []
    for one in read_keys(options.keys):
        tasks = None if one.tasks is None else sorted(one.tasks)
        found.append({"name": one.name, "tasks": tasks, "notes_per_minute": one.notes_per_minute})
        said = "every task" if tasks is None else ", ".join(tasks)
        lines.append(f"{one.name}: {said}, {one.notes_per_minute} notes a minute")
    show({"keys": found}, "\n".join(lines) or "no keys")


@command(keyring, "remove", config.KeysRemoveOptions, ("name",))
def _keys_remove(options: config.KeysRemoveOptions) -> None:
    from clinstack.serving.keys import remove_key

    remove_key(options.keys, options.name)
    show({"removed": options.name}, f"{options.name} has no key any more")


@command(trail, "check", config.AuditCheckOptions, ("log",))
def _audit_check(options: config.AuditCheckOptions) -> None:
    from clinstack.serving.audit import verify

    lines = verify(options.log)
    show({"lines": lines}, f"{options.log}: {lines:,} lines, each as it was written")


@command(trail, "find", config.AuditFindOptions, ("log",))
def _audit_find(options: config.AuditFindOptions) -> None:
    from clinstack.serving.audit import find

    try:
        text = options.note.read_bytes().decode("utf-8")  # as it is: line breaks are part of what was asked
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"--note {options.note} cannot be read as UTF-8 text.") from error
    found = [
        {key: line[key] for key in ("time", "request", "caller", "versions")} for _, line in find(options.log, [text])
    ]
    lines = [f"{one['time']}  {one['caller'] or 'no key'}  {', '.join(one['versions'])}" for one in found]
    show({"found": found}, "\n".join(lines) or "this text was never asked")


@command(app, "serve", config.ServeOptions)
def _serve(options: config.ServeOptions) -> None:
    if importlib.util.find_spec("fastapi") is None or importlib.util.find_spec("uvicorn") is None:
        raise BadInput("clinstack serve needs FastAPI and uvicorn, which are not installed. Install clinstack[serve].")
    from clinstack.serving.server import serve

    def started(address: str, tasks: list[str]) -> None:
        show({"address": address, "tasks": tasks}, f"{address} answers for {', '.join(tasks)}; Ctrl-C ends it")
        sys.stdout.flush()

    serve(options, started)
