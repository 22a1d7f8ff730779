"""The options for the steps around the search, and the command that changes them in an encoder bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from lookalike.model.encoder.bundle import MANIFEST, fingerprint, manifest_digest, read_manifest
from lookalike.model.encoder.search_steps import (
    KEY,
    DatabaseAugmentation,
    QueryExpansion,
    Reranking,
    Retrieval,
    read_retrieval,
    retrieval_json,
)
from lookalike.model.errors import LookalikeError

from ..filesystem import files

OFF = "off"

AugmentationOption = Annotated[
    str | None,
    typer.Option(
        "--database-augmentation",
        metavar="K,ALPHA",
        help="When the index is built, move each item towards its K nearest ones: they are added to it, one of "
        "cosine s with weight s to the power of ALPHA. Try 5,3 where things have several pictures each; costs a "
        "search an item at each build, nothing in a query. Not for near duplicates that must stay apart.",
    ),
]
ExpansionOption = Annotated[
    str | None,
    typer.Option(
        "--query-expansion",
        metavar="K,ALPHA",
        help="Ask twice: the second time with the query and its K nearest items added up, with weights as above. "
        "Finds more of what the first answers have in common; one wrong among them may lead astray, so let K be "
        "smaller than what is relevant, and ALPHA 3 or more. Try 5,3; costs a second search.",
    ),
]
RerankingOption = Annotated[
    str | None,
    typer.Option(
        "--reranking",
        metavar="N[,K1,K2,LAMBDA]",
        help="Put the first N answers in a new order: in front comes what shares its mutual nearest neighbours "
        "with the query. K1 (20) neighbours are looked at, K2 (6) averaged, and LAMBDA (0.3) is the share of the "
        "plain distance. Let N be several times K1. Costs the square of N for each query.",
    ),
]


def parsed(augmentation: str | None, expansion: str | None, reranking: str | None) -> Mapping[str, Any]:
    """The steps that are named, as fields of `Retrieval`; None for one that is switched off.

    Raises:
        LookalikeError: naming the option and what is allowed.
    """
    given = {
        "database_augmentation": (DatabaseAugmentation, augmentation),
        "query_expansion": (QueryExpansion, expansion),
        "reranking": (Reranking, reranking),
    }
    return {name: _step(name, kind, text) for name, (kind, text) in given.items() if text is not None}


def _step(name: str, kind: type[Any], text: str) -> Any:
    if text == OFF:
        return None
    option, fields = f"--{name.replace('_', '-')}", list(kind.model_fields)
    try:
        numbers = [json.loads(part) for part in text.split(",")]
        return kind.model_validate(dict(zip(fields[: len(numbers)], numbers, strict=True)))
    except ValidationError as error:
        first = error.errors()[0]
        said = f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": Value error, ")
    except ValueError:
        said = f"expected numbers: {','.join(fields)}, or {OFF}"
    raise LookalikeError(f"{option}: {said}. Received: {text}")


def tune(
    folder: Annotated[Path, typer.Argument(metavar="ENCODER", help="Folder of the bundle.")],
    database_augmentation: AugmentationOption = None,
    query_expansion: ExpansionOption = None,
    reranking: RerankingOption = None,
) -> None:
    """Change the steps around the search in an encoder bundle. Steps that are not named stay; `off` ends one.

    Vectors stay the same, and so does the fingerprint: nothing is embedded again. Query expansion and re-ranking
    act from the next query on, database augmentation from the next `lookalike nightly` or `index`. Measure before
    and after with `lookalike evaluate`. docs/retrieval.md has the definitions.

    Example: lookalike encoder tune encoders/lite0 --query-expansion 5,3 --reranking off
    """
    manifest = read_manifest(folder)
    steps = parsed(database_augmentation, query_expansion, reranking)
    settings = Retrieval(**{**dict(read_retrieval(manifest)), **steps})
    if steps:
        manifest[KEY] = retrieval_json(settings)
        manifest["digest"] = manifest_digest(manifest)
        files.write_bytes(str(folder / MANIFEST), (json.dumps(manifest, indent=2) + "\n").encode())
    print(f"encoder      {folder}\nfingerprint  {fingerprint(manifest)}\nsteps        {settings}")
