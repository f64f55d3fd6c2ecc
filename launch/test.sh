#!/usr/bin/env bash
# Runs the tests in .venv, which is made on the first run; arguments go to pytest.
#   bash launch/test.sh                      all but the slow ones
#   bash launch/test.sh -m slow              the slow ones
#   bash launch/test.sh tests/test_main.py   one file
# Some tests drive Pure Data, liblo and Chromium. As root on Debian or Ubuntu, as in a container,
# these are installed; programs=no leaves that out. Tests whose program is not there are skipped.
# (Ubuntu has Chromium as a snap alone, which no container runs; Google Chrome does as well.)
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/venv.sh

install_programs() {
  local missing=()
  command -v pd >/dev/null || missing+=(puredata-core)
  command -v oscsend >/dev/null || missing+=(liblo-tools)
  command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium)
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "Installing ${missing[*]} for the tests that drive them (programs=no leaves that out) …"
  local get=(apt-get -qq -o Dpkg::Use-Pty=0 -o Acquire::Retries=1)
  export DEBIAN_FRONTEND=noninteractive
  local package updated=
  for package in "${missing[@]}"; do # one that is not to be had does not keep the others away
    "${get[@]}" install -y --no-install-recommends "$package" >/dev/null 2>&1 && continue
    [ -n "$updated" ] || timeout 120 "${get[@]}" update >/dev/null 2>&1 || true
    updated=yes
    "${get[@]}" install -y --no-install-recommends "$package" >/dev/null 2>&1 ||
      echo "$package cannot be installed; the tests that drive it are skipped."
  done
}

install test
if [ "${programs:-yes}" != no ] && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  install_programs
fi
exec "$venv_python" -m pytest "$@"
