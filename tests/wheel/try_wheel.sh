#!/usr/bin/env bash
# Installs a wheel into an empty environment and goes the whole way there, outside any
# checkout: what a user gets who never saw this repository.
#
#     bash tests/wheel/try_wheel.sh WHEEL LOCK PYTHON      (`make try-wheel`)
#
# PYTHON may be an environment's: the new one is made from what that was made from.
# Only what the wheel asks for is installed, in the lock's versions: a dependency that
# setup.py does not name is missing here, although every developer has it. Needs `uv`.
set -euo pipefail
wheel=$(realpath "$1")
lock=$(realpath "$2")
python=$("$3" -c 'import sys; print("%s/bin/python%d.%d" % (sys.base_prefix, *sys.version_info[:2]))')
uv=$(command -v uv) || { echo "try_wheel.sh needs uv on the PATH."; exit 1; }

away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
cd "$away"
unset PYTHONPATH VIRTUAL_ENV

say() { echo "== $* ($SECONDS s)"; }

say "An empty environment, Python $python"
"$uv" venv --quiet --python "$python" env
"$uv" pip install --quiet --python env/bin/python --constraint "$lock" "$wheel"
PATH="$away/env/bin:/usr/bin:/bin"

say "The package lies in the environment, not in a checkout"
python - "$away" <<'PY'
import pathlib, sys
import trailrank
home, away = pathlib.Path(trailrank.__file__).resolve(), pathlib.Path(sys.argv[1]).resolve()
assert home.is_relative_to(away), f"trailrank comes from {home}, not from the wheel."
PY

say "trailrank --version, --help"
trailrank --version
[[ $(trailrank --help) == *"usage: trailrank COMMAND"* ]]

say "trailrank spec check"
trailrank spec check kuairand
trailrank spec check movielens

say "trailrank demo"
trailrank demo --root demo
test -f demo/run/run.json
test -n "$(ls demo/run/models/kuairand)"
say "The wheel works"
