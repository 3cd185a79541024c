"""`trailrank spec`."""

import pytest

from feature_specs.command import run


@pytest.fixture
def shown(capsys, monkeypatch, tmp_path):
    """What `trailrank spec show` prints of a text, each line's words parted by one."""

    def show(text: str) -> list[str]:
        path = tmp_path / "spec.yaml"
        path.write_text(text)
        monkeypatch.setenv("COLUMNS", "220")
        assert run(["show", str(path)]) == 0
        return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]

    return show


def test_check_says_what_is_right(capsys):
    assert run(["check", "movielens"]) == 0
    assert "10 features" in capsys.readouterr().out


def test_check_counts_what_is_made_of_the_log(capsys, good, tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(good)
    assert run(["check", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "11 features (2 of the trail), 3 tables, 2 tasks; " in printed
    assert "6 counters, statistics and quantiles, 5 derived columns." in printed


def test_show_lists_features_tables_and_tasks(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["show", "kuairand"]) == 0
    shown = capsys.readouterr().out
    for name in ("history_video_id", "trail_position", "author", "like_after_view"):
        assert name in shown


def test_show_says_where_each_column_comes_from(shown, good):
    lines = shown(good)
    for line in (
        "files log_{day}.jsonl (jsonl), 9 columns",
        "join videos videos.csv (csv) on video_id, 3 columns",
        "length, ms duration",
        "random rows tab = 9",
        "keep long duration > 5000",
        "a trail ends by 30 min of silence, or a new user_id, tab",
        "trail_position trail impressions so far, from 1 its trail all",
        "trail_length trail impressions in all its trail trail, labels",
        "trail_last_tags trail last tags its trail all",
        "history_video_id history video_id where liked = 1 last 7 all",
        "author_seen counter count, same author_id user's past candidate, trail",
        "since_like counter seconds since the last where liked = 1 user's past all",
        "tag_likes counter mean of liked, same STRING_TO_ARRAY(tags, ','); prior 0.1, weight 5 user's past candidate, trail",
        "like_rate statistic mean of liked by video_id; prior 0.1, weight 5 7 days before candidate, trail",
        "plays statistic count by video_id all days before candidate, trail",
        "watch_rank quantile rank of watched (0 to 60000 by 500) where duration / 1000 is alike, cut at 7, 15 training days labels",
        "very_well derived well AND liked = 1 its row labels",
        "ending derived trail_relative > 0.8 its row trail, labels",
    ):
        assert line in lines


def test_show_says_what_other_logs_and_requests_give(shown, good):
    text = good.replace(
        "  random:", "  request: {session: tab, seconds: 30}\n  random:"
    )
    lines = shown(
        text
        + 'histories: {searches: {files: "s*.csv", format: csv, user: who, time: at,'
        " where: \"query <> ''\", length: 9, columns: {words: query},"
        " types: {who: int64, at: int64, query: string}}}\n"
    )
    for line in (
        "history searches s*.csv (csv) of who at at",
        "requests tab, pauses of at most 30 s",
        "history_searches_words history query of searches where query <> '' last 9 all",
        "request_position request place in its request, from 1 its request labels",
    ):
        assert line in lines


def test_show_says_what_is_in_a_facets_partitions(shown, good):
    facet = "{feature: user_group, partitions: {fresh: [new], old: [known]}"
    facet += ", default: old, train_with: {fresh: [fresh, old]}}"
    text = shown(f"{good}facets: {{market: {facet}}}\n")
    assert "market user_group fresh new fresh, old" in text
    assert "market user_group old known, all others old" in text


def test_brackets_in_sql_are_shown_as_they_are(shown, good):
    text = good.replace("STRING_TO_ARRAY(tags, ',')", "STRING_TO_ARRAY(tags, '[red]')")
    assert (
        "tag_list derived STRING_TO_ARRAY(tags, '[red]') its row candidate, trail"
        in shown(text)
    )


def test_a_spec_without_made_columns_shows_no_empty_table(shown):
    lines = shown(
        "name: bare\n"
        "log: {files: '*', user: u, item: i, time: {column: t}, outcomes: [y],"
        " columns: {u: int64, i: int64, t: int64, y: int64}}\n"
        "tables: {ids: {buckets: 8}}\n"
        "features: [{name: u, group: query, kind: id, table: ids},"
        " {name: i, group: candidate, kind: id, table: ids}]\n"
        "tasks: [{name: y, kind: binary, label: y}]\n"
        "fusion: {weights: {y: 1}}\n"
    )
    assert not any("columns made of the log" in line for line in lines)
    assert "bare: features" in lines


def test_missing_argument_ends_in_usage(capsys):
    with pytest.raises(SystemExit) as caught:
        run(["check"])
    assert caught.value.code == 2
    assert "usage: trailrank spec check" in capsys.readouterr().err
