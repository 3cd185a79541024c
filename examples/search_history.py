"""Search history to a ranked answer: a second log, joined to the first by its users.

    python examples/search_history.py OUT

Each day a listener searches for a genre, another one each day, then hears songs of it
to the end. Who he is says nothing; what he searched for says it all. The spec is
`search_history.yaml`, beside this script.
"""

from __future__ import annotations

import json
import pathlib
import random
import sys

import trailrank

SPEC = pathlib.Path(__file__).with_suffix(".yaml")
PRESET = """
bottom: [32]
switcher: {kind: mmoe, experts: 2, units: [16]}
tower: [8]
epochs_per_day: 8
optimizer: {learning_rate: 0.003, table_learning_rate: 0.1, average_steps: 0}
"""

LISTENERS, SONGS, PAGES, SONGS_A_PAGE, DAYS = 50, 20, 15, 4, 3
GENRES = ("rock", "jazz")
QUERIES = ("best {} songs", "{} 2024", "New {}", "")
FIRST_DAY = 1_704_067_200  # 2024-01-01, in seconds
HOUR, DAY = 3_600, 86_400


def main(out: pathlib.Path) -> None:
    """Everything, into a new directory."""
    logs = out / "logs"
    logs.mkdir(parents=True)
    (out / "small.yaml").write_text(PRESET)
    write_logs(logs)

    spec = trailrank.load_spec(str(SPEC))
    report = trailrank.make_examples(spec, logs, out / "examples")
    searches = report.figures["histories"]["searches"]
    print(f"{report.rows_in:,} plays, {report.figures['requests']['requests']:,} pages")
    print(f"{searches['rows_in']} searches: {searches['buckets']}")

    encoding = trailrank.make_encoding(spec, out / "examples", out / "encoding")
    ranker = trailrank.train(
        spec,
        out / "small.yaml",
        out / "examples",
        encoding=encoding.graph,
        checkpoints=out / "checkpoints",
        days=report.train,
        accelerator="cpu",
        batch_size=64,
    )
    model = out / "models" / spec.name / "1"
    trailrank.export(ranker, encoding.graph, spec, model)
    with (
        trailrank.serve(models=out / "models") as server,
        trailrank.Client(server.url, spec) as client,
    ):
        for query in ("best jazz songs", "best rock songs"):
            print(f"After {query!r}: {', '.join(best_genres(client, query))}")


def write_logs(logs: pathlib.Path) -> None:
    """Two files a day: what was searched for, and the songs of each page."""
    draws = random.Random(0)
    for day in range(DAYS):
        begin = FIRST_DAY + day * DAY
        searches, plays = [], ["listener,song,started_at,page,genre,seconds_heard"]
        for listener in range(LISTENERS):
            taste = draws.choice(GENRES)
            searches += search(draws, listener, taste, begin)
            plays += play(draws, listener, taste, begin + HOUR)
        name = f"202401{day + 1:02}"
        (logs / f"searches_{name}.jsonl").write_text("\n".join(searches) + "\n")
        (logs / f"plays_{name}.csv").write_text("\n".join(plays) + "\n")


def search(draws: random.Random, listener: int, taste: str, begin: int) -> list[str]:
    """A listener's searches of a day, in its first hour: lines of JSON."""
    return [
        json.dumps(
            {
                "listener": listener,
                "searched_at": begin + draws.randrange(HOUR),
                "query": query.format(taste),
            }
        )
        for query in draws.choices(QUERIES, k=6)
    ]


def play(draws: random.Random, listener: int, taste: str, begin: int) -> list[str]:
    """A listener's pages of a day: lines of CSV, some songs heard to their end."""
    lines = []
    for number in range(PAGES):
        page = begin + number * HOUR  # unique among the listener's
        for place in range(SONGS_A_PAGE):
            song = draws.randrange(SONGS)
            fits = genre(song) == taste
            heard = draws.expovariate(1 / 90 if fits else 1 / 15)
            started_at = page + 300 * place
            lines.append(
                f"{listener},{song},{started_at},{page},{genre(song)},{heard:.1f}"
            )
    return lines


def genre(song: int) -> str:
    """The genre of a song."""
    return GENRES[song % 2]


def best_genres(client: trailrank.Client, query: str) -> list[str]:
    """The genres of the best three of ten songs, after some search."""
    songs = list(range(10))
    candidates = [{"song": song, "genre": genre(song)} for song in songs]
    words = query.lower().split(" ")
    request = {"history_searches_words": words, "hour": 12}
    answer = client.rank(request, candidates)
    order = sorted(songs, key=lambda song: -answer["log_score"][song])
    return [genre(song) for song in order[:3]]


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "search_history"))
