"""`python -m bench.retrieval`: how good a search is, and what it costs.

Vectors are kept in `bench/results/` by what they were made of; `--fresh` makes them again, which is what
measures indexing. `--base-url` and `--model` measure another embedder: any server with `/v1/embeddings`.
`--postgres URL` looks words up in that database, which nobody else may use.
`--reranker` and `--reranker-model` measure what a server with `/v1/rerank` makes of the best results.
"""

import argparse
import asyncio
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from antiphon.backends.embeddings import RemoteEmbedder
from antiphon.backends.rerank import RemoteReranker
from antiphon.retrieval.chunks import PASSAGE
from antiphon.retrieval.embedder import Embedder, Vectors
from antiphon.retrieval.minilm import MiniLM
from antiphon.retrieval.ranking import DENSE, Weights
from bench.retrieval.dataset import documents, questions
from bench.retrieval.index import Index
from bench.retrieval.postgres import PostgresWords
from bench.retrieval.quality import Asked, Figures, by_ranks, figures, reranked, weighted
from bench.retrieval.speed import SIZES, Cost, cost, resident

RESULTS = Path("bench/results")
KINDS = ("plain", "keywords", "paraphrase")
WAYS = {
    "meaning alone": weighted(DENSE),
    "words alone": weighted(Weights(0, 1)),
    **{
        f"scores {share:.1f} : {1 - share:.1f}": weighted(Weights(share, 1 - share))
        for share in (0.9, 0.8, 0.7, 0.6, 0.5)
    },
    "ranks 2 : 1": by_ranks(2, 1),
    "ranks 1 : 1": by_ranks(1, 1),
}


def main() -> None:
    arguments = _arguments()
    console = Console(width=None if Console().is_terminal else 140, highlight=False)
    embedder = _embedder(arguments)
    words = PostgresWords(arguments.postgres) if arguments.postgres else None
    index = Index(documents(), arguments.passage, words)
    index.words.settle()
    console.print(
        f"{len(documents())} documents, {len(index.chunks)} chunks, {len(index.passages)} passages of "
        f"at most {arguments.passage} tokens, {len(questions())} questions; embedder {embedder.name}"
    )
    vectors = _vectors(index.passages, embedder, arguments.fresh, console)
    index.put(vectors)
    asked = [question.named for question in questions()]
    written = [question.question for question in questions()]
    for title, texts in (("The subject named", asked), ("As written", written)):
        answers = Asked(index, questions(), texts, asyncio.run(_embed(embedder, texts)))
        console.print(_quality(title, answers), _kinds(answers))
        if arguments.reranker:
            console.print(_reranked(title, answers, texts, arguments))
    if not arguments.quality:
        before = resident()
        costs = [
            cost(index, vectors, asked, size, embedder, arguments.postgres)
            for size in SIZES[: arguments.sizes]
        ]
        console.print(_costs(costs))
        console.print(
            f"Memory of this process: {before:.0f} MB before the searches, {resident():.0f} MB after"
        )
    asyncio.run(embedder.close())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.retrieval",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--fresh", action="store_true", help="make all vectors again, and measure that")
    parser.add_argument("--quality", action="store_true", help="no costs of searches")
    parser.add_argument("--sizes", type=int, default=len(SIZES), help="only the first of the sizes of stores")
    parser.add_argument("--passage", type=int, default=PASSAGE, help=f"tokens of a vector [{PASSAGE}]")
    parser.add_argument("--postgres", metavar="URL", help="of a database for the words")
    parser.add_argument("--threads", type=int, default=1, help="of the embedded embedder [1]")
    parser.add_argument("--base-url", help="of another embedder, with its /v1")
    parser.add_argument("--model", help="its name there")
    parser.add_argument("--reranker", metavar="URL", help="of a reranker, with its /v1")
    parser.add_argument("--reranker-model", help="its name there")
    parser.add_argument("--api-key-env", help="the variable that holds its key")
    return parser.parse_args()


def _embedder(arguments: argparse.Namespace) -> Embedder:
    if arguments.base_url:
        key = os.environ.get(arguments.api_key_env or "")
        return RemoteEmbedder(arguments.base_url, arguments.model or "", key)
    return MiniLM(arguments.threads)


async def _embed(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    vectors = await embedder.embed(texts)
    if isinstance(embedder, RemoteEmbedder):
        await embedder.close()  # a connection belongs to its loop
    return vectors


def _vectors(texts: Sequence[str], embedder: Embedder, fresh: bool, console: Console) -> Vectors:
    """Of passages: those that were kept, or new ones with how long they took."""
    digest = hashlib.sha256("\0".join((embedder.name, *texts)).encode()).hexdigest()[:16]
    kept = RESULTS / f"vectors-{digest}.npy"
    if kept.exists() and not fresh:
        vectors: Vectors = np.load(kept)
        return vectors
    asyncio.run(_embed(embedder, texts[:1]))  # so that loading is not counted
    begun, cpu = time.perf_counter(), time.process_time()
    vectors = asyncio.run(_embed(embedder, texts))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    console.print(
        f"{len(texts)} passages embedded in {seconds:.1f} s: {len(texts) / seconds:.0f} a second, "
        f"{len(texts) / cpu:.0f} for each second of processor time"
    )
    RESULTS.mkdir(parents=True, exist_ok=True)
    np.save(kept, vectors)
    return vectors


def _quality(title: str, answers: Asked) -> Table:
    table = Table(f"{title}: R@1, R@5, MRR", "all", "tuning half", "held-out half")
    for name, ranking in WAYS.items():
        ranks = list(zip(answers.questions, answers.ranks(ranking), strict=True))
        halves = [
            figures(rank for question, rank in ranks if question.held_out is held) for held in (False, True)
        ]
        table.add_row(name, *map(str, (figures(rank for _, rank in ranks), *halves)))
    return table


def _reranked(title: str, answers: Asked, texts: Sequence[str], arguments: argparse.Namespace) -> Table:
    reranker = RemoteReranker(arguments.reranker, arguments.reranker_model)
    ranks = asyncio.run(reranked(answers, texts, reranker))
    table = Table(f"{title}, reranked", "questions", "R@1, R@5, MRR")
    table.add_row("all", str(len(ranks)), str(figures(ranks)))
    for kind in KINDS:
        found = figures(rank for each, rank in zip(questions(), ranks, strict=True) if each.kind == kind)
        table.add_row(kind, str(found.count), str(found))
    return table


def _kinds(answers: Asked) -> Table:
    table = Table("As Antiphon ranks", "questions", "R@1, R@5, MRR")
    for kind, found in _by_kind(answers):
        table.add_row(kind, str(found.count), str(found))
    return table


def _by_kind(answers: Asked) -> Iterator[tuple[str, Figures]]:
    ranks = list(zip(answers.questions, answers.ranks(weighted(Weights())), strict=True))
    for kind in KINDS:
        yield kind, figures(rank for question, rank in ranks if question.kind == kind)


def _costs(costs: Sequence[Cost]) -> Table:
    table = Table(
        "chunks",
        "vectors",
        "MB",
        "opened s",
        "search ms",
        "worst ms",
        "CPU ms",
        "database CPU ms",
        "vectors ms",
        "words ms",
    )
    for one in costs:
        times = (one.latency, one.worst, one.cpu, one.database, one.vectors_alone, one.words_alone)
        table.add_row(
            f"{one.chunks:,}",
            f"{one.vectors:,}",
            f"{one.megabytes:.0f}",
            f"{one.opened:.2f}",
            *(f"{1000 * seconds:.1f}" for seconds in times),
        )
    return table


if __name__ == "__main__":
    main()
