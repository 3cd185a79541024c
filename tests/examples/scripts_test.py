"""The scripts in `examples/`, run as a newcomer runs them."""

import pathlib

import pytest

import trainer.model.switchers
from feature_specs import load_spec
from tests.forks import SCRIPT

_ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run_script(forks):
    """(script of `examples/`, arguments) -> what it prints."""

    def run(script: str, *args: str) -> str:
        path = _ROOT / "examples" / script
        return forks.run(SCRIPT, [_ROOT, path, *args]).out

    return run


@pytest.fixture(scope="module")
def own_logs(tmp_path_factory, run_script):
    """(directory, what was printed) of own_logs.py."""
    out = tmp_path_factory.mktemp("examples") / "own_logs"
    return out, run_script("own_logs.py", str(out))


@pytest.mark.slow
def test_own_logs_rank_what_each_listener_likes(own_logs):
    out, printed = own_logs
    assert printed.startswith("6,000 plays, examples a day: {'day-20240101': 3000,")
    best = [line.split()[2] for line in printed.splitlines() if "  song " in line]
    # Who likes a genre hears 72 % of its songs for 30 s, and 14 % of the others
    # (exp(-30/90), exp(-30/15)): five times as many.
    assert best == ["rock"] * 3 + ["jazz"] * 3
    assert (out / "models" / "songs" / "1" / "saved_model.pb").exists()


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(trainer.model.switchers, "switcher"),
    reason="the decorator that registers a switcher is not there yet",
)
def test_a_structure_of_ones_own_trains_exports_and_serves(own_logs, run_script):
    out, _ = own_logs
    printed = run_script("own_structure.py", str(out))
    shares = [line for line in printed.splitlines() if "of the shared bottom" in line]
    assert [line.split(":")[0] for line in shares] == ["heard", "liked"]
    answer = printed.splitlines()[-1]
    rock, jazz = (
        float(answer.split(f"{g} ")[-1].split(",")[0]) for g in ("rock", "jazz")
    )
    assert answer.startswith("Listener 0, who likes rock:")
    assert rock > jazz


@pytest.mark.slow
def test_search_history_ranks_what_was_searched_for(tmp_path, run_script):
    printed = run_script("search_history.py", str(tmp_path / "out"))
    printed = printed.splitlines()
    # 50 listeners, 15 pages of 4 songs on 3 days; 6 searches a day.
    assert printed[0] == "9,000 plays, 2,250 pages"
    assert printed[1].startswith("900 searches: {'used': ")
    # What fits is heard for 30 s by 72 %, other songs by 14 % (see above).
    assert printed[-2:] == [
        "After 'best jazz songs': jazz, jazz, jazz",
        "After 'best rock songs': rock, rock, rock",
    ]


def test_the_spec_of_search_histories_is_right():
    spec = load_spec(str(_ROOT / "examples" / "search_history.yaml"))
    words = spec.feature("history_searches_words")
    assert (words.group, words.dtype, words.length) == ("query", "string", 8)


@pytest.mark.slow
def test_results_of_a_run_are_read(shared_run, run_script):
    printed = run_script("read_results.py", str(shared_run.root))
    assert "kuairand with preset mmoe, 20220408:20220414" in printed
    for part in (
        "filtered: ",
        "outside the days",
        "calibration",
        "by slice",
        "level 1",
    ):
        assert part in printed
    assert "day-20220413" in printed  # the last day of training
