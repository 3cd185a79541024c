"""Hostile and mistaken files: each ends in one clear message, soon and in little memory.

All are read in one other process, which a limit of time and memory ends.
"""

import json
import resource
import subprocess
import sys

import pytest

from feature_specs import SpecError, load_spec

_MOST_SECONDS, _MOST_MB = 5, 500

_READ = """
import json, pathlib, re, signal, sys, time
from feature_specs import SpecError, read_preset, read_spec
from tpu_configs.slices import read_slice
STATUS = pathlib.Path("/proc/self/status")
READERS = {"spec": read_spec, "preset": read_preset, "slice": read_slice}
found = {}
for name, kind, text in json.load(sys.stdin):
    signal.alarm(60)  # whatever hangs ends the process
    began = time.process_time()
    try:
        READERS[kind](text, "hostile")
        told = []
    except SpecError as error:
        told = list(error.problems)
    except BaseException as error:
        told = [f"TRACE {type(error).__name__}: {error}"[:200]]
    seconds = time.process_time() - began
    # Not `ru_maxrss`, which begins with what the parent has.
    peak = int(re.search("VmHWM:[^0-9]+([0-9]+) kB", STATUS.read_text())[1]) / 1024
    found[name] = told, seconds, peak
print(json.dumps(found))
"""


def _bomb(levels: int) -> str:
    """Ten to the power of `levels` values in a few lines."""
    lines = ["a0: &a0 {name: x}"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
    return "\n".join([*lines, f"features: *a{levels - 1}"])


def _many(section: str, entry: str, count: int) -> str:
    return f"{section}:\n" + "\n".join(f"  - {entry.format(i)}" for i in range(count))


# name -> (what is read, its text, what is told)
_TEXTS = {
    "alias bomb": ("spec", _bomb(10), "more than 200,000 values"),
    "alias bomb in a preset": ("preset", _bomb(10), "more than 200,000 values"),
    "aliases that nest": (
        "spec",
        "a0: &a0 [1]\n" + "\n".join(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 99)),
        "line 32, column 12: not YAML: more than 32 levels",  # the mapping and 32 lists
    ),
    "what holds itself": ("spec", "features: &x [*x]", "found unconstructable"),
    "20,000 brackets": ("spec", "features: " + "[" * 20_000, "more than 32 levels"),
    "20,000 braces": ("slice", "a: " + "{a: " * 20_000, "more than 32 levels"),
    "20,000 dashes": ("spec", "features: \n" + "- " * 20_000, "more than 32 levels"),
    "100,000 digits": ("spec", "name: " + "1" * 100_000, "a number of 100,000"),
    "100,000 hex digits": ("preset", "dropout: 0x" + "f" * 100_000, "of 100,002"),
    "100,000 decimals": ("spec", "name: 0." + "1" * 100_000, "a number of 100,002"),
    "2 MB of text": ("spec", "name: x\n" * 250_000, "has 2,000,000 characters"),
    "1 MB of unknown keys": (
        "spec",
        "\n".join(f"key{i}: 1" for i in range(70_000)),
        "key0: is no section",
    ),
    "1 MB of unknown keys of a preset": (
        "preset",
        "\n".join(f"key{i}: 1" for i in range(70_000)),
        "key0: is no key here",
    ),
    "a quote without an end": ("spec", 'name: "' + "x" * 900_000, "not YAML"),
    "a key twice": ("spec", "name: a\nname: b", "'name' is written twice"),
    "a key twice, as text": ("preset", "7: a\n'7': b", "'7' is written twice"),
    "null for a key": ("spec", "null: 1", "key None must be text; quote it"),
    "a list for a key": ("spec", "? [a]\n: b", "line 1, column 3: not YAML"),
    "a merged mapping": ("spec", "a: &x {b: 1}\nc: {<<: *x}", "<< is no key of YAML"),
    "a Python tag": (
        "spec",
        "name: !!python/object/apply:os.system ['true']",
        "could not determine a constructor",
    ),
    "a tag that does not fit": ("spec", "name: !!bool maybe", "is no bool"),
    "an empty number": ("slice", "name: !!int ''", "line 1, column 7: not YAML"),
    "the day 2024-13-45": ("spec", "name: 2024-13-45", "is no timestamp"),
    "base 8": ("preset", "epochs_per_day: 010", "010 is a number of base 8 or 60"),
    "base 60": ("preset", "epochs_per_day: 1:30", "1:30 is a number of base 8 or 60"),
    "two documents": ("spec", "name: a\n---\nname: b", "but found another document"),
    "an empty file": ("spec", "", "is empty; it must be a mapping of keys"),
    "a comment": ("slice", "# nothing", "is empty; it must be a mapping of keys"),
    "a list": ("spec", "- name: x", "must be a mapping of keys"),
    "a word": ("preset", "mmoe", "must be a mapping of keys"),
    "a NUL": ("spec", "name: x\n\0", "line 2: not YAML: the character U+0000 is no"),
    "an escaped NUL": ("spec", 'name: "x\\0"', "the character U+0000 is no text"),
    "an escape sequence": ("spec", 'name: "\\e[2J"', "the character U+001B is no text"),
    "text from right to left": ("spec", "name: '\u202eabc'", "U+202E is no text"),
    "half a surrogate pair": ("spec", "name: \ud800", "U+D800 is no text"),
    "a wide and deep preset": (
        "preset",
        "switcher: {kind: ple, units: [65536, 65536], experts: 1024, levels: 64}",
        "switcher: takes up to 2.25 PB; at most 40 GB",
    ),
    "a billion experts": (
        "preset",
        "switcher: {kind: mmoe, experts: 1000000000}",
        "switcher.experts: must be from 1 to 1,024",
    ),
    "a wide bottom": ("preset", "bottom: [10000000]", "none above 65,536"),
    "unified tables of a petabyte": (
        "preset",
        "unified: {buckets: 2147483647, tables: 64, dim: 4096}",
        "unified: take 2.25 PB; at most 1 TB.",
    ),
    "a rate of 1e300": (
        "preset",
        "optimizer: {learning_rate: 1e300}",
        "learning_rate: must be from 0 to 1e30",
    ),
    "a slice of a billion chips": (
        "slice",
        "{name: x, accelerator: tpu, topology: 'v5e:40000x40000'}",
        "topology: has more than 16,384 chips",
    ),
    "a batch of 1e12": (
        "slice",
        "{like: cpu, name: x, batch_size: 1000000000000}",
        "batch_size: must be from 1 to 16,777,216",
    ),
}

_USER = "{name: user_id, group: query, kind: id, table: user}"
_VIDEO = "{name: video_id, group: candidate, kind: id, table: video}"
# name -> (a part of the good spec, what stands there instead, what is told)
_CHANGES = {
    "a table of 35 TB": (
        "video: {buckets: 1024}",
        "video: {buckets: 2147483647, dim: 4096}",
        "tables.video: 2,147,483,647 rows x 4,096 floats take 35.2 TB; at most 1 TB",
    ),
    "tables of 1.03 TB": (
        "video: {buckets: 1024}, user: {buckets: 100, dim: 8}",
        "video: {buckets: 2147483647}, user: {buckets: 2147483647}",
        "tables: take 1.03 TB; at most 1 TB in all",  # 2 x 2^31 x 60 x 4 bytes
    ),
    "2^31 buckets": ("buckets: 1024", "buckets: 2147483648", "below 2^31"),
    "a dim of a million": (
        "dim: 8}",
        "dim: 1000000}",
        "tables.user.dim: must be a multiple of 4, at most 4,096",
    ),
    "size: 1e12": ("size: 24", "size: 1e12", "size: must be a whole number"),
    "a vocabulary of 10^12": (
        "size: 24",
        "size: 1000000000000",
        "(hour).size: must be from 1 to 10,000,000",
    ),
    "a sequence of 10^9": (
        "table: tag, length: 4",
        "table: tag, length: 1000000000",
        "(tag_list).length: must be from 0 to 10,000",
    ),
    "a history of 10^9": (
        "length: 7",
        "length: 1000000000",
        "history.length: must be from 1 to 10,000",
    ),
    "a million days": ("days: 7", "days: 1000000", "days: must be from 0 to 36,525"),
    "a gap of 1e300 minutes": (
        "trail: {",
        "trail: {gap_minutes: 1e300, ",
        "trail.gap_minutes: must be positive, and no more than a century",
    ),
    "100,000 boundaries": (
        "boundaries: [18, 30]",
        f"boundaries: {list(range(100_000))}",
        "(age).boundaries: must be one number at least, and at most 10,000",
    ),
    "a billion bins": (
        "boundaries: [7, 15], step: 500",
        f"boundaries: {list(range(1000))}, step: 1",
        "cut 1,001 groups, each with its own bins",  # of 60,000 bins each
    ),
    "6,000 features": (
        "features:",
        _many("features", "{{name: f{}, group: query, kind: number, expr: age}}", 6000),
        "features: may have 5,000 entries, and has 6,011",
    ),
    "300 tasks": (
        "tasks:",
        _many("tasks", "{{name: t{}, kind: binary, label: liked}}", 300),
        "tasks: may have 200 entries, and has 302",
    ),
    "a line break in the name": (
        "name: tiny",
        'name: "tiny\\n"',
        "name: must be lower",
    ),
    "a path for a name": ("name: tiny", "name: ../tiny", "name: must be lower-case"),
    "a long name": ("name: tiny", f"name: {'a' * 65}", "name: must be lower-case"),
    "a line break in a column": (
        "age:",
        '"age\\n":',
        "may hold no control characters",
    ),
    "a column without a name": ("tab: int64", "tab: int64, '': int64", "from 1 to 128"),
    "a quotation mark in a column": (
        "tab: int64",
        "tab: int64, 'a\"b': int64",
        'columns.a"b: may hold no control characters, no "',
    ),
    "columns that differ in case": (
        "tab: int64",
        "tab: int64, Tab: int64",
        "log.columns.Tab: is 'tab' but for its spelling",
    ),
    "one column for user and item": ("item: video_id", "item: user_id", "is log.user"),
    "files above the logs": (
        '"log_{day}.jsonl"',
        '"../../../etc/passwd"',
        "log.files: must stay inside the log directory",
    ),
    "absolute files": ('"videos.csv"', "/etc/passwd", "videos.files: must stay inside"),
    "files of a home": ('"videos.csv"', "~/x.csv", "videos.files: must stay inside"),
    "files of a bucket": ('"videos.csv"', "gs://b/x.csv", "must stay inside"),
    "files above, by a day": (
        '"log_{day}.jsonl"',
        '"{day:%Y/../%m%d}"',
        "log.files: must stay inside the log directory",
    ),
    "files without a name": ('"videos.csv"', "' '", "must be from 1 to 1,000 char"),
    "a line break for a separator": (
        "  random:",
        '  separator: "\\n"\n  random:',
        "log.separator: must be an ASCII character, no line break",
    ),
    "a time zone that is a path": ("Asia/Shanghai", "../../etc/passwd", "an IANA time"),
    "a sample space that is empty": (
        '"duration > 0"',
        '"FALSE"',
        "sample_space: never holds",
    ),
    "a sample space of all": ('"duration > 0"', '"1 = 1"', "reads no column"),
    "a filter that keeps nothing": (
        '"duration > 5000"',
        '"duration > 5000 AND FALSE"',
        "filters.keep.long: never holds",
    ),
    "a label that is always 0": (
        'label: "liked = 1"',
        'label: "liked * 0"',
        "label: is always 0, so there is nothing to learn",
    ),
    "a label that is never true": (
        'label: "liked = 1"',
        'label: "liked = 1 AND 1 = 2"',
        "label: is always False",
    ),
    "no task that counts": ("{like: 1.0}", "{like: 0}", "fusion.weights: must have a"),
    "a weight of 1e300": ("{like: 1.0}", "{like: 1e300}", "from -1,000,000 to"),
    "max_auc_drop: -1": (
        "{slices",
        "{max_auc_drop: -1, slices",
        "max_auc_drop: must be at least 0 and below 1",
    ),
    "min_auc of 2": (
        "{slices",
        "{min_auc: {like: 2}, slices",
        "min_auc.like: must be at least 0 and below 1",
    ),
    "a request that reads the video": (
        'group: query, kind: number, expr: "age / 1"',
        "group: query, kind: number, expr: score",
        "'age_years' reads score, the video's: it differs from candidate to candidate",
    ),
    "a request that reads the video's statistic": (
        'group: query, kind: number, expr: "age / 1"',
        "group: context, kind: number, expr: like_rate",
        "'age_years' reads like_rate, the video's",
    ),
    "a video that reads the time": (
        'group: query, kind: number, expr: "age / 1"',
        'group: candidate, kind: number, expr: "EXTRACT(hour FROM event_time)"',
        "'age_years' reads event_time, the user's or the request's",
    ),
    "a video that reads the user": (
        "{name: like_rate, group: candidate,",
        "{name: rate, expr: like_rate + user_id, group: candidate,",
        "'rate' reads user_id, the user's or the request's",
    ),
    "a pair on the wrong side": (
        "{name: age_years, group: query,",
        "{name: age_years, paired: true, group: query,",
        "paired: is for features of group candidate",
    ),
    "ids of two types in a table": (
        _VIDEO,
        _VIDEO.replace("table: video", "table: user"),
        "(video_id).table: is of int64s, as feature 'user_id' has it",
    ),
    "20,000 terms": (
        '"age / 1"',
        '"' + " + ".join(["age"] * 20_000) + '"',
        "expr: is longer than 10,000 characters",
    ),
    "4,900 terms": (
        '"age / 1"',
        '"' + "+".join(["a"] * 4_900) + '"',
        "expr: has more than 256 steps",
    ),
    "1,000 parentheses": (
        '"age / 1"',
        f'"{"(" * 1000}age{")" * 1000}"',
        "than 256 steps",
    ),
}


@pytest.fixture(scope="module")
def outcomes(good) -> dict[str, tuple[list[str], float, float]]:
    """Name of a file -> what is told, the seconds that takes, the peak of memory."""
    cases = [(name, kind, text) for name, (kind, text, _) in _TEXTS.items()]
    for name, (old, new, _) in _CHANGES.items():
        assert old in good, f"{name}: {old!r} is not in the good spec"
        cases.append((name, "spec", good.replace(old, new, 1)))
    done = subprocess.run(
        [sys.executable, "-c", _READ],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", [*_TEXTS, *_CHANGES])
def test_a_hostile_file_ends_in_a_clear_message(outcomes, name):
    told, seconds, peak_mb = outcomes[name]
    expected = {**_TEXTS, **_CHANGES}[name][2]
    assert any(expected in problem for problem in told), told[:5]
    assert not any("TRACE" in problem for problem in told), told
    assert seconds < _MOST_SECONDS and peak_mb < _MOST_MB
    assert max(len(problem) for problem in told) <= 1_000 and len(told) <= 101


def test_there_are_sixty_of_them():
    assert len(_TEXTS) + len(_CHANGES) >= 60


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"name: \xff", "not UTF-8 text"),
        ("name: x".encode("utf-16"), "not UTF-8 text"),
        (b"x" * 4_000_001, "has 4,000,001 characters; at most 1,000,000"),
    ],
)
def test_a_file_of_bytes_is_refused(tmp_path, data, told):
    path = tmp_path / "spec.yaml"
    path.write_bytes(data)
    with pytest.raises(SpecError, match=told):
        load_spec(str(path))


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("a\0b", "a path holds no character 0"),
        ("x" * 5000, "File name too long"),
        ("/", "Is a directory"),
        ("/dev/zero", "not YAML|more than|characters"),
    ],
)
def test_a_path_without_a_text_is_refused(path, told):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SpecError, match=told):
        load_spec(path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown / 1024 < _MOST_MB
