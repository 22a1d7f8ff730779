"""The options for the steps around the search."""

from __future__ import annotations

from typing import Annotated

import typer

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
