"""The commands that look after a store: `lookalike generations` and `lookalike exclude`."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from lookalike.model.errors import LookalikeError
from lookalike.model.printable import say

from ..filesystem import files
from .groups import Group
from .options import IN_PART, UNKNOWN, ConfigFile, Overrides, expand, load_config

generations_app = Group(
    help="What was published: list it, serve another one, delete old ones, check every file.",
)
exclude_app = Group(
    help="Take items down: no query returns them from now on, and the next run leaves them out.",
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Name = Annotated[str | None, typer.Argument(metavar="NAME", help="Name of a generation.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of items.")]
IdsFile = Annotated[
    str | None,
    typer.Option("--from", metavar="FILE", callback=expand, help="A file with an id on each line."),
]


@generations_app.command("list")
def list_(config: ConfigFile, as_json: AsJson = False, set: Overrides = None) -> None:
    """List the generations of the store, the newest last. The one that is served is marked.

    Example: lookalike generations list -c config/nightly.yaml
    """
    from ..store.generations import list_generations

    found = list_generations(load_config(config, set).store)
    if as_json:
        return _print_json([asdict(summary) for summary in found])
    rows = [
        (
            "*" if one.current else "",
            one.name,
            one.problem or one.created,
            _number(one.items),
            _number(one.shards),
            _number(one.indexes),
            "" if one.recall is None else f"{one.recall:.4f}",
            one.encoder or "",
        )
        for one in found
    ]
    headings = ("", "generation", "published", "items", "shards", "indexes", "recall", "encoder")
    return _print_table(headings, rows, numbers=(3, 4, 5, 6))


@generations_app.command()
def show(config: ConfigFile, name: Name = None, as_json: AsJson = False, set: Overrides = None) -> None:
    """Show what a generation is made of. Without a name: the one that is served. With --json: all of it.

    Example: lookalike generations show 20260101T010203Z-0a1b2c3d -c config/nightly.yaml
    """
    from ..store import generations

    store = load_config(config, set).store
    generation = generations.show(store, name)
    if as_json:
        return _print_json(asdict(generation))
    current = generations.served_name(store) == generation.name
    say(f"generation   {generation.name}{' (served)' if current else ''}")
    say(f"published    {generation.created}, after {generation.previous or 'none'}")
    say(f"encoder      {generation.encoder_name} {generation.encoder[:16]}, {generation.dim} dimensions")
    say(f"metric       {generation.metric}")
    say(f"counts       {', '.join(f'{count:,} {kind}' for kind, count in generation.counts.items())}")
    say(f"shards       {generation.shard_count:,}, {generation.duplicates:,} ids in more than one")
    rows = [
        (ref.path, _number(ref.count), ref.algorithm, "" if ref.recall is None else f"{ref.recall:.4f}")
        for ref in generation.indexes
    ]
    return _print_table(("index shard", "vectors", "algorithm", "recall"), rows, numbers=(1, 3))


@generations_app.command()
def rollback(
    config: ConfigFile,
    to: Annotated[
        str | None, typer.Option(metavar="NAME", help="What to serve. Default: what was served before.")
    ] = None,
    set: Overrides = None,
) -> None:
    """Serve an earlier generation (or a later one) again, at once. Exclusions still apply.

    It is served only once all of its index is seen to be there. Queries that run finish on what they opened.

    Example: lookalike generations rollback -c config/nightly.yaml
    """
    from ..store import generations
    from ..store.lock import hold

    store = load_config(config, set).store
    with hold(store, "generations rollback"):
        before = generations.served_name(store)
        now = generations.rollback(store, to)
    say(f"served       {now.name}, {now.counts['items']:,} items; before: {before or 'none'}")


@generations_app.command()
def prune(
    config: ConfigFile,
    keep: Annotated[int, typer.Option(min=1, metavar="N", help="Keep the newest N generations.")] = 7,
    keep_days: Annotated[
        float | None, typer.Option(min=0, metavar="DAYS", help="Also keep what is younger than this.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be deleted.")] = False,
    as_json: AsJson = False,
    set: Overrides = None,
) -> None:
    """Delete old generations, and the artifacts that no kept one names. Never the one that is served.

    Safe beside running queries: what a query reads is left for the next time.

    Example: lookalike generations prune -c config/nightly.yaml --keep 3 --keep-days 14 --dry-run
    """
    from ..store.leftovers import clean_up
    from ..store.lock import hold
    from ..store.prune import prune as run

    store = load_config(config, set).store
    with contextlib.nullcontext() if dry_run else hold(store, "generations prune"):
        if not dry_run:
            clean_up(store)
        summary = run(store, keep, keep_days, dry_run=dry_run)
    if as_json:
        return _print_json(asdict(summary))
    say(f"kept         {len(summary.kept)} generations")
    for name in summary.in_use:
        say(f"in use       {name}: a query reads it, left for the next time")
    for name in summary.deleted:
        say(f"{'would delete' if dry_run else 'deleted     '} {name}")
    for name in summary.waiting:
        say(f"waiting      {name}: files are deleted an hour later, by the next prune")
    done = "would free" if dry_run else "freed"
    return print(
        f"{done:12} {summary.bytes / 1e6:,.1f} MB in {summary.files:,} files of {len(summary.artifacts):,} artifacts"
    )


@generations_app.command()
def verify(config: ConfigFile, name: Name = None, as_json: AsJson = False, set: Overrides = None) -> None:
    """Read every file of all generations (or of one) and compare it with its digest. Exits with 3 if one differs.

    Without a name, what is kept of standing queries is read as well.

    Example: lookalike generations verify -c config/nightly.yaml
    """
    from ..standing.verify import damage
    from ..store import generations
    from ..store.verify import verify as run

    store = load_config(config, set).store
    checked = generations.names(store) if name is None else [name]
    problems = [*run(store, name), *(damage(store) if name is None else ())]
    if as_json:
        _print_json({"generations": checked, "problems": problems})
    else:
        say(*problems, f"verified     {len(checked)} generations, {len(problems)} problems")
    if problems:
        raise typer.Exit(IN_PART)


@exclude_app.command()
def add(
    config: ConfigFile,
    ids: Ids = None,
    from_: IdsFile = None,
    reason: Annotated[str, typer.Option(help="Why, for the list.")] = "",
    as_json: AsJson = False,
    set: Overrides = None,
) -> None:
    """Take items down. The index is not built again; queries find other items in their place.

    Exits with 4 if no generation has one of the ids. It is excluded all the same: it may come, or be a mistake.

    Example: lookalike exclude add -c config/nightly.yaml --reason "request 4711" cats/17.jpg cats/18.jpg
    """
    from ..store import exclusions

    store = load_config(config, set).store
    change = exclusions.add(store, _asked(ids, from_), reason)
    unknown: list[str] = []
    alike: dict[str, str] = {}
    try:
        unknown = exclusions.unknown_ids(store, [*change.changed, *change.unchanged])
        alike = exclusions.nearest_served(store, unknown)
    except (LookalikeError, OSError) as error:
        # They are taken down all the same.
        reason = files.reason(error) if isinstance(error, OSError) else str(error)
        say(f"Whether the ids are known cannot be told: {reason}", file=sys.stderr)
    if as_json:
        changed = {"added": change.changed, "already": change.unchanged}
        _print_json({**changed, "unknown": unknown, "nearest": alike})
    else:
        say(f"excluded     {len(change.changed):,} ids, {len(change.unchanged):,} were excluded before")
        _print_ids("unknown", unknown, "in no generation; excluded all the same", alike)
    if unknown:
        raise typer.Exit(UNKNOWN)


@exclude_app.command()
def remove(
    config: ConfigFile, ids: Ids = None, from_: IdsFile = None, as_json: AsJson = False, set: Overrides = None
) -> None:
    """Lift exclusions. What a run has left out meanwhile comes back with the next run.

    Exits with 4 if one of the ids is not in the list.

    Example: lookalike exclude remove -c config/nightly.yaml --from mistakes.txt
    """
    from ..store import exclusions

    store = load_config(config, set).store
    change = exclusions.remove(store, _asked(ids, from_))
    alike = exclusions.nearest_excluded(store, change.unchanged)
    if as_json:
        _print_json({"removed": change.changed, "absent": change.unchanged, "nearest": alike})
    else:
        say(f"lifted       {len(change.changed):,} exclusions")
        _print_ids("absent", change.unchanged, "not in the list", alike)
    if change.unchanged:
        raise typer.Exit(UNKNOWN)


@exclude_app.command("list")
def list_excluded(config: ConfigFile, as_json: AsJson = False, set: Overrides = None) -> None:
    """List what is taken down, since when and why.

    Example: lookalike exclude list -c config/nightly.yaml --json
    """
    from ..store import exclusions

    rows = [
        (one.item_id, one.since.isoformat(timespec="seconds"), one.reason)
        for one in exclusions.entries(load_config(config, set).store)
    ]
    headings = ("item_id", "since", "reason")
    if as_json:
        return _print_json([dict(zip(headings, row, strict=True)) for row in rows])
    return _print_table(headings, rows)


def _asked(ids: Sequence[str] | None, path: str | None) -> list[str]:
    from ..store import exclusions

    asked = [*(ids or ()), *(exclusions.ids_from_file(path) if path else ())]
    if not asked:
        raise LookalikeError("Expected ids, as arguments or in a file (--from FILE). Received: none")
    return asked


def _number(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _print_ids(title: str, ids: Sequence[str], remark: str, alike: Mapping[str, str], most: int = 20) -> None:
    for item_id in ids[:most]:
        meant = f"; did you mean {alike[item_id]!r}?" if item_id in alike else ""
        say(f"{title:12} {item_id!r}: {remark}{meant}")
    if len(ids) > most:
        say(f"{title:12} and {len(ids) - most:,} more")


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, default=dict))


def _print_table(headings: Sequence[str], rows: Sequence[Sequence[Any]], numbers: Sequence[int] = ()) -> None:
    from rich.console import Console

    from ..runner.tables import WIDTH, make_table

    # A pipe has no width: nothing is folded there.
    Console(width=None if sys.stdout.isatty() else WIDTH).print(make_table(headings, rows, numbers))
