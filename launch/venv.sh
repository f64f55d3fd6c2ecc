# Sourced by the other scripts: makes .venv in the current directory and installs drumjax into it.
# PYTHON names the interpreter that the environment is made with (python3).

venv_python=.venv/bin/python

# On Linux, training's large arrays stay in huge pages instead of being given back after each step.
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184}

stop() {
  printf '%s\n' "$*" >&2
  exit 1
}

# For a trap of Ctrl-C. A script may set `again` to the command that goes on.
interrupted() {
  printf '\nStopped. To go on from here, run the same command again%s\n' "${again:+: }${again:-.}" >&2
  exit 130
}

# Runs a command; a failure ends the script with the command's status.
run() {
  "$venv_python" "$@" || {
    local status=$?
    [ "$status" -eq 130 ] && interrupted
    exit "$status"
  }
}

# Says in one sentence what is wrong with the interpreter that would be used, if anything is.
check_python() {
  command -v "$1" >/dev/null 2>&1 ||
    stop "There is no $1; install Python 3.11 or newer, or name one: PYTHON=/path/to/python3.12 bash $0"
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    stop "drumjax needs Python 3.11 or newer, and $1 is $("$1" -V 2>&1); name a newer one: PYTHON=/path/to/python3.12 bash $0"
}

make_venv() {
  local python=${PYTHON:-python3}
  check_python "$python"
  "$python" -c 'import venv, ensurepip' 2>/dev/null ||
    stop "$python cannot make virtual environments; install its venv module first, on Debian and Ubuntu with: sudo apt install python3-venv"
  "$python" -m venv .venv || stop "The environment .venv cannot be made with $python; see the lines above."
}

# install EXTRA: does nothing if pyproject.toml is the one that was last installed with that extra.
install() {
  local stamp=.venv/installed-$1.toml
  [ -x "$venv_python" ] && cmp -s pyproject.toml "$stamp" && return
  "$venv_python" -m pip --version >/dev/null 2>&1 || make_venv
  check_python "$venv_python"
  echo "Installing into .venv (a few minutes on the first run) …"
  "$venv_python" -m pip install -qq --disable-pip-version-check -e ".[$1]" ||
    stop "The installation failed, see the lines above; run the same command again to go on."
  cp pyproject.toml "$stamp"
}
