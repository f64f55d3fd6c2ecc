#!/usr/bin/env bash
# Runs the tests in .venv, which is made on the first run; arguments go to pytest.
#   bash launch/test.sh                      all but the slow ones
#   bash launch/test.sh -m slow              the slow ones
#   bash launch/test.sh tests/test_main.py   one file
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/venv.sh

install test
exec "$venv_python" -m pytest "$@"
