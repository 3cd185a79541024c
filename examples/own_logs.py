"""Own logs to a ranked answer: examples, encoding, training, export, serving, one rank.

    python examples/own_logs.py OUT

Two music listeners in three like rock, the others jazz; the logs know nothing of that
but who listened to what for how long. The spec below is all that describes their shape.
In production `trailrank.run_pipeline` does the same steps, with checks between them.
"""

from __future__ import annotations

import pathlib
import random
import sys

import trailrank

SPEC = """
name: songs
log:
  files: "plays_*.csv"
  user: listener
  item: song
  time: {column: started_at, unit: s}
  columns: {listener: int64, song: int64, started_at: int64, genre: string,
            seconds_heard: float64, liked: int64}
  outcomes: [seconds_heard, liked]           # known only after a song was shown
trail: {gap_minutes: 30, scope: [listener]}
history: {positive: "seconds_heard >= 30", columns: [song], length: 5}
tables: {listener: {buckets: 100, dim: 8}, song: {buckets: 500, dim: 8}}
features:
  - {name: listener, group: query, kind: id, table: listener}
  - {name: history_song, group: query, kind: sequence, table: song}
  - {name: hour, group: context, kind: code, size: 24,
     expr: "EXTRACT(hour FROM event_time)"}
  - {name: song, group: candidate, kind: id, table: song}
  - {name: genre, group: candidate, kind: category, size: 4}
  - {name: trail_position, group: trail, kind: bucket, boundaries: [2, 4, 8]}
tasks:
  - {name: heard, kind: binary, label: "seconds_heard >= 30"}
  - {name: liked, kind: binary, label: "liked = 1", loss_weight: 2}
fusion: {weights: {heard: 1.0, liked: 0.5}}
"""

PRESET = """
bottom: [32]
switcher: {kind: mmoe, experts: 2, units: [16]}
tower: [8]
trail: {units: [4], dim: 4}
epochs_per_day: 8
optimizer: {learning_rate: 0.003, table_learning_rate: 0.1, average_steps: 0}
"""

LISTENERS, SONGS, PLAYS_A_DAY, DAYS = 30, 20, 3000, 2
GENRES = ("rock", "jazz")
FIRST_DAY = 1_704_067_200  # 2024-01-01, in seconds
DAY = 86_400


def main(out: pathlib.Path) -> None:
    """Everything, into a new directory."""
    logs = out / "logs"
    logs.mkdir(parents=True)
    (out / "songs.yaml").write_text(SPEC)
    (out / "small.yaml").write_text(PRESET)
    write_logs(logs)

    spec = trailrank.load_spec(str(out / "songs.yaml"))
    report = trailrank.make_examples(spec, logs, out / "examples")
    print(f"{report.rows_in:,} plays, examples a day: {report.examples}")

    encoding = trailrank.make_encoding(spec, out / "examples", out / "encoding")
    ranker = trailrank.train(
        spec,
        out / "small.yaml",
        out / "examples",
        encoding=encoding.graph,
        checkpoints=out / "checkpoints",
        days=report.train,  # the last day is for evaluation
        accelerator="cpu",
        batch_size=64,
    )
    trailrank.export(ranker, encoding.graph, spec, out / "models" / spec.name / "1")

    with (
        trailrank.serve(models=out / "models") as server,
        trailrank.Client(server.url, spec) as client,
    ):
        for listener in (0, 2):
            print(f"Listener {listener}, who likes {taste(listener)}:")
            for song, score in rank(client, listener):
                print(f"  song {song:<4} {genre(song)}  {score:.3f}")


def write_logs(logs: pathlib.Path) -> None:
    """A file a day: one line for each song that a listener was played."""
    draws = random.Random(0)
    for day in range(DAYS):
        lines = ["listener,song,started_at,genre,seconds_heard,liked"]
        for play in range(PLAYS_A_DAY):
            listener, song = draws.randrange(LISTENERS), draws.randrange(SONGS)
            started_at = FIRST_DAY + day * DAY + play * DAY // PLAYS_A_DAY
            fits = genre(song) == taste(listener)
            heard = draws.expovariate(1 / 90 if fits else 1 / 15)
            liked = int(heard >= 30 and draws.random() < 0.3)
            lines.append(
                f"{listener},{song},{started_at},{genre(song)},{heard:.1f},{liked}"
            )
        (logs / f"plays_{day}.csv").write_text("\n".join(lines) + "\n")


def taste(listener: int) -> str:
    """The genre that a listener likes."""
    return GENRES[0] if listener % 3 < 2 else GENRES[1]


def genre(song: int) -> str:
    """The genre of a song."""
    return GENRES[song % 2]


def rank(client: trailrank.Client, listener: int) -> list[tuple[int, float]]:
    """The best three of ten songs for a listener, with their fused scores."""
    songs = list(range(10))
    candidates = [{"song": song, "genre": genre(song)} for song in songs]
    answer = client.rank({"listener": listener, "hour": 20}, candidates)
    best = sorted(songs, key=lambda song: -answer["log_score"][song])
    return [(song, answer["score"][song]) for song in best[:3]]


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "own_logs"))
