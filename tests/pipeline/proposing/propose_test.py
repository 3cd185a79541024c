"""Proposals against the specs that were written by hand, and for logs of all kinds.

What differs is listed here with the reason: a difference that is not in the list, or one
that went away, is told by name.
"""

import pathlib
import random

import polars as pl
import pytest

import trailrank
from feature_specs import load_spec, read_spec
from feature_specs.build import parse_yaml
from feature_specs.errors import TrailrankError
from pipeline.proposing.errors import ProposalError
from pipeline.simulator import simulate
from tests.pipeline.proposing.own_logs import write_own_logs

_BYTEREC = pathlib.Path(__file__).parents[4] / "shared/data/byterec_sample.tsv"


def propose(logs, name="proposed"):
    proposed = trailrank.propose_spec(logs, name)
    return proposed, parse_yaml(proposed.text, "proposed")


def shipped(name):
    return parse_yaml(load_spec(name).text, name)


def differences(ours, theirs):
    """{what: (proposed, shipped)} of roles, joins, outcomes, features and labels."""
    mine, other = facts(ours), facts(theirs)
    return {
        key: (mine.get(key), other.get(key))
        for key in sorted(mine.keys() | other.keys())
        if mine.get(key) != other.get(key)
    }


def facts(raw):
    """The meaning of a spec, as far as both may say it: key -> value."""
    log = raw["log"]
    found = {f"log.{key}": log.get(key) for key in ("format", "user", "item", "random")}
    found |= {f"log.time.{key}": value for key, value in log["time"].items()}
    found["log.timezone"] = log["timezone"]
    found |= {f"outcome {name}": True for name in log["outcomes"]}
    found["history.positive"] = raw["history"]["positive"]
    for join in log["joins"].values():
        found[f"join by {join['key']}"] = True
    for column, declared in log["columns"].items():
        found[f"type of {column}"] = declared
    for feature in raw["features"]:
        source = feature["name"], feature["group"]
        found[f"feature {source[0]}"] = (source[1], feature["kind"])
    for task in raw["tasks"]:
        found[f"label {task['kind']} {task['label']}"] = True
    return found


# --- KuaiRand -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kuairand(tmp_path_factory):
    """(the proposal, its YAML) for simulated logs."""
    logs = tmp_path_factory.mktemp("kuairand")
    simulate(logs, users=12, days=3, rows_per_user_day=150.0)
    return propose(logs, "kuairand")


_LEFT_OUT = (3, 4, 5, 7, 8, *range(10, 18))
_WHY_KUAIRAND = {
    "log.time.longest_ms": "a play of days is damage: for a person to say",
    "history.positive": "likes are added by hand: one task is proposed",
    # No sum, combination or window of columns is proposed, only columns.
    "feature author_plays": "a counter",
    "feature tag_pause_s": "a counter",
    "feature user_minutes": "a statistic of watch time",
    "feature user_group_code": "made of user_minutes",
    "feature user_play_rate": "called user_click_rate: by the outcome's name",
    "feature user_click_rate": "the same",
    "feature video_play_rate": "called item_click_rate: by the outcome's name",
    "feature item_click_rate": "the same",
    "feature video_impressions": "a statistic without an outcome",
    "feature history_author_id": "the history keeps the item",
    "feature duration_bucket": "the length comes once, as a number",
    "feature duration_s": "called length_s",
    "feature length_s": "the same",
    "feature tags": "called tag, as the column is",
    "feature tag": "the same",
    "feature music_type": "its values are whole numbers: a code, no category",
    "feature is_live_streamer": "one value in a dozen users",
    # Columns that the shipped spec leaves out.
    "feature follow_user_num_range": "the same as the number, in intervals",
    "feature fans_user_num_range": "the same",
    "feature friend_user_num_range": "the same",
    "feature register_days_range": "the same",
    "feature video_duration": "the same as duration_ms of the log",
    "feature server_width": "nobody thought it useful",
    "feature server_height": "the same",
    **{f"feature onehot_feat{n}": "not all 18 are needed" for n in _LEFT_OUT},
    # Labels that are made of several columns, or of a column's rank.
    "label binary play_time_ms < LEAST(3000, duration_ms)": "a rule of KuaiRand",
    "label regression LEAST(play_time_ms / 1000, 600)": "a choice of the loss",
    "label regression watch_rank": "a quantile",
    "label binary play_time_ms >= 0.8 * duration_ms": "a second degree of finishing",
    "label binary comment_stay_time > 0": "a time of which only its being is asked",
    "label binary is_like + is_follow + is_comment + is_forward > 0": "a sum",
    "label regression LN(1 + profile_stay_time / 1000)": "left out by hand",
}


def test_the_proposal_for_kuairand_differs_from_the_shipped_spec_where_it_is_said(
    kuairand,
):
    _, raw = kuairand
    found = differences(raw, shipped("kuairand"))
    assert found.keys() ^ _WHY_KUAIRAND.keys() == set()


def test_what_is_proposed_for_kuairand_as_it_was_written_by_hand(kuairand):
    _, raw = kuairand
    same = facts(raw).items() & facts(shipped("kuairand")).items()
    names = {key for key, _ in same}
    assert {
        "log.user", "log.item", "log.random", "log.timezone", "log.time.column",
        "log.time.unit", "log.time.watched_ms", "log.time.length_ms",
        "join by user_id", "join by video_id", "feature user_id", "feature video_id",
        "feature author_id", "feature history_video_id", "feature hour", "feature tab",
        "feature upload_type", "feature trail_position", "label binary is_like = 1",
        "label binary play_time_ms >= duration_ms",
        "label regression LEAST(play_time_ms / duration_ms, 3)",
        "label regression LN(1 + play_time_ms / 1000)",
    } <= names  # fmt: skip
    outcomes = {name for name in names if name.startswith("outcome ")}
    assert len(outcomes) == 11  # of is_click to is_profile_enter


def test_the_proposal_for_kuairand_is_right_and_reads_all_its_logs(kuairand):
    proposed, raw = kuairand
    spec = read_spec(proposed.text)
    assert spec.log.files == "log_*.csv"
    assert spec.log.joins["user_features_pure"].files == "user_features_pure.csv"
    assert "date" not in [feature["name"] for feature in raw["features"]]


def test_totals_over_the_whole_month_are_not_joined(kuairand):
    proposed, _ = kuairand
    line = next(line for line in proposed.text.splitlines() if "is not joined" in line)
    assert "video_features_statistic_pure.csv" in line and "the future" in line


def test_what_cannot_be_known_is_asked_for(kuairand):
    proposed, _ = kuairand
    assert any("an offset names no zone" in line for line in proposed.unknown)
    assert any("what a like is worth" in line for line in proposed.unknown)


# --- MovieLens ------------------------------------------------------------------------


def write_movielens(folder):
    """As `trailrank fetch movielens` writes it, with a few hundred ratings."""
    draw = random.Random(3)
    begin = 881_250_949
    ratings = [
        (
            user,
            movie,
            draw.choice([1, 2, 3, 3, 4, 4, 4, 5]),
            begin + draw.randrange(10**7),
        )
        for user in range(1, 61)
        for movie in draw.sample(range(1, 81), 12)
    ]
    names = ["user_id", "movie_id", "rating", "timestamp"]
    pl.DataFrame(ratings, names, orient="row").write_csv(folder / "ratings.csv")
    users = [
        (
            user,
            18 + user % 40,
            "MF"[user % 2],
            ["writer", "student", "other"][user % 3],
            f"V{user}B",
        )
        for user in range(1, 61)
    ]
    names = ["user_id", "age", "gender", "occupation", "zip_code"]
    pl.DataFrame(users, names, orient="row").write_csv(folder / "users.csv")
    genres = ["Action", "Comedy", "Drama", "War"]
    movies = [
        (
            movie,
            f"A Tale of {movie} Cities",
            1930 + movie % 70,
            " ".join(draw.sample(genres, 1 + movie % 3)),
        )
        for movie in range(1, 81)
    ]
    names = ["movie_id", "title", "release_year", "genres"]
    pl.DataFrame(movies, names, orient="row").write_csv(folder / "movies.csv")


@pytest.fixture(scope="module")
def movielens(tmp_path_factory):
    logs = tmp_path_factory.mktemp("movielens")
    write_movielens(logs)
    return propose(logs, "movielens")


_WHY_MOVIELENS = {
    "type of rating": "whole numbers in these files; the spec takes halves too",
    "history.positive": "all ratings are kept by hand, with their values",
    "feature age": "a number; by hand cut into buckets",
    "feature release_year": "the same",
    "feature title": "words of a text; by hand left out",
    "feature hour": "by hand left out: ratings come long after the film",
    "feature history_mean_rating": "made of the history",
    "feature history_size": "the same",
    "feature user_high_rating_rate": "by hand left out",
    "feature item_high_rating_rate": "the same",
    "feature trail_position": "by hand no trail: nobody watches on",
    "feature trail_seconds": "the same",
    "label binary rating = 5": "one threshold is proposed, the median",
    "label binary rating <= 2": "the same",
}


def test_the_proposal_for_movielens_differs_from_the_shipped_spec_where_it_is_said(
    movielens,
):
    found = differences(movielens[1], shipped("movielens"))
    assert found.keys() == _WHY_MOVIELENS.keys()


def test_sparse_logs_share_splits_and_zip_codes_are_no_features(movielens):
    proposed, raw = movielens
    assert raw["log"]["days_per_split"] == 28
    assert (
        "# zip_code is none: nearly every row has a value of its own." in proposed.text
    )


def test_the_proposal_for_movielens_is_right(movielens):
    assert read_spec(movielens[0].text).feature("genres").kind == "sequence"


def test_camel_case_of_other_movielens_files(tmp_path):
    """ml-latest: ratings.csv with userId, movieId; genres parted by |."""
    write_movielens(tmp_path)
    camel = {"user_id": "userId", "movie_id": "movieId"}
    for name in ("ratings", "movies"):
        path = tmp_path / f"{name}.csv"
        frame = pl.read_csv(path)
        if name == "movies":
            frame = frame.with_columns(pl.col("genres").str.replace_all(" ", "|"))
            frame = frame.drop("title")
        frame.rename(camel, strict=False).write_csv(path)
    (tmp_path / "users.csv").unlink()
    proposed, raw = propose(tmp_path)
    spec = read_spec(proposed.text)
    assert (spec.log.user, spec.log.item) == ("userId", "movieId")
    genres = spec.feature("genres")
    assert genres.expr == "STRING_TO_ARRAY(NULLIF(genres, ''), '|')"
    assert raw["features"][0] == {
        "name": "user_id", "group": "query", "kind": "id", "table": "user",
        "expr": '"userId"',
    }  # fmt: skip


# --- logs of other kinds --------------------------------------------------------------


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    logs = tmp_path_factory.mktemp("own")
    write_own_logs(logs)
    return propose(logs, "own")


def test_hourly_folders_of_utc_with_times_of_two_zones(own):
    _, raw = own
    log = raw["log"]
    assert log["format"] == "parquet"
    assert log["files"] == "impressions/dt={day:%Y-%m-%d}/hour=*/part-*.parquet"
    assert log["folder_timezone"] == "UTC"
    assert log["timezone"] in ("Etc/GMT-1", "Etc/GMT+5")
    assert log["time"] == {
        "column": "ts", "unit": "iso", "watched_s": "watch_seconds", "length_s": "length_s",
    }  # fmt: skip
    assert log["outcomes"] == ["watch_seconds", "finished"]


def test_lists_and_vectors_of_a_side_table(own):
    _, raw = own
    columns = raw["log"]["joins"]["videos"]["columns"]
    assert columns["tags"] == "list<string>?"
    assert columns["embedding"] == "vector<16>?"
    kinds = {f["name"]: (f["group"], f["kind"]) for f in raw["features"]}
    assert kinds["tags"] == ("candidate", "sequence")
    assert kinds["embedding"] == ("candidate", "vector")
    assert kinds["creator_id"] == ("candidate", "id")
    assert kinds["surface"] == ("context", "category")
    assert "impression_id" not in kinds


def test_engagements_apart_become_events(own):
    _, raw = own
    events = raw["events"]["engagements"]
    assert events["key"] == "impression_id"
    assert events["files"] == "engagements/dt={day:%Y-%m-%d}/hour=*/part-*.parquet"
    count = "COUNT(*) FILTER (WHERE action = '{}')"
    assert events["columns"] == {
        "like": f"{count.format('like')} > {count.format('unlike')}",
        "share": f"{count.format('share')} > 0",
    }
    assert {"like", "share"} <= {task["name"] for task in raw["tasks"]}


def test_the_proposal_for_own_logs_is_right(own):
    spec = read_spec(own[0].text)
    assert spec.feature("embedding").shape == (16,)


def test_a_file_without_a_header_gets_made_up_names(tmp_path):
    if not _BYTEREC.exists():
        pytest.skip(f"no {_BYTEREC.name}")
    (tmp_path / "sample.tsv").write_bytes(_BYTEREC.read_bytes())
    proposed, raw = propose(tmp_path)
    log = raw["log"]
    assert log["header"] == [f"c{n}" for n in range(12)]
    assert log["separator"] == "\t"
    assert (log["user"], log["item"]) == ("c0", "c2")
    assert "These names are made up; give your own." in " ".join(proposed.unknown)
    assert "days and hours are made up" in " ".join(proposed.unknown)


def test_the_proposal_for_a_file_without_a_header_is_right(tmp_path):
    if not _BYTEREC.exists():
        pytest.skip(f"no {_BYTEREC.name}")
    (tmp_path / "sample.tsv").write_bytes(_BYTEREC.read_bytes())
    assert read_spec(propose(tmp_path)[0].text).log.user == "c0"


def test_a_proposal_has_the_directorys_name(tmp_path):
    logs = tmp_path / "My Logs-2" / "data"
    logs.mkdir(parents=True)
    write_movielens(logs)
    text = trailrank.propose_spec(logs).text
    assert "\nname: my_logs_2\n" in text


def test_a_directory_without_logs_is_told_what_it_holds(tmp_path):
    (tmp_path / "notes.csv").write_text("only\none\n")
    with pytest.raises(ProposalError, match="Got notes.csv"):
        trailrank.propose_spec(tmp_path)


def test_tables_without_a_user_an_item_and_a_time_are_told(tmp_path):
    (tmp_path / "prices.csv").write_text("shop,price\n" + "a,1\nb,2\n" * 9)
    with pytest.raises(ProposalError, match="prices: shop, price"):
        trailrank.propose_spec(tmp_path)


def test_impressions_without_an_outcome_are_told(tmp_path):
    rows = "".join(f"{n},{n + 7},{1_700_000_000 + n},home\n" for n in range(50))
    (tmp_path / "log.csv").write_text(f"user_id,item_id,ts,page\n{rows}")
    with pytest.raises(TrailrankError, match="nothing to predict"):
        trailrank.propose_spec(tmp_path)
