# shellcheck shell=bash
# Sourced by the other scripts: makes .venv in the current directory and installs drumjax into it.
# PYTHON names the interpreter that the environment is made with (python3). LOCKED=1 installs the
# versions of launch/locked-*.txt, which the tests were last run with, instead of the newest ones.

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

# for_devices COUNT CONFIG WORKDIR: the flag that lets so many devices share each batch: the config's
# data.per_category, rounded up (a line says so), or that of the run that saved something. Nothing where the
# config cannot be read; the training says why.
for_devices() {
  JAX_PLATFORMS=cpu "$venv_python" - "$@" <<'PYTHON'
import json, pathlib, runpy, sys
count, (path, _, variant) = int(sys.argv[1]), sys.argv[2].partition(":")
begun = pathlib.Path(sys.argv[3], "config.json")
try:
    if begun.is_file() and any(f.name.isdecimal() for f in begun.parent.glob("checkpoints/*")):
        size = json.loads(begun.read_text())["data"]["per_category"]
    else:
        own = runpy.run_path(path)["get_config"](*filter(None, [variant])).data.per_category
        size = -(-own // count) * count
        if size != own:
            print(f"data.per_category is {size}, not {own}, so that {count} devices share it.", file=sys.stderr)
except Exception:
    sys.exit()
print(f"--config.data.per_category={size}")
PYTHON
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

# The file of locked versions for the environment's Python.
locked() {
  "$venv_python" -c 'import sys; print("launch/locked-{}.{}.txt".format(*sys.version_info))'
}

# What an installation is made from; another one is another installation.
wanted() {
  cat pyproject.toml
  [ -z "${LOCKED:-}" ] || cat "$(locked)"
}

# install EXTRA [ACCELERATOR]: with cuda12, cuda13 or tpu, JAX for that. Does nothing if that is
# what was last installed.
install() {
  local stamp=.venv/installed-$1${2:+-$2}${LOCKED:+-locked}.toml
  [ -x "$venv_python" ] && cmp -s <(wanted) "$stamp" && return
  "$venv_python" -m pip --version >/dev/null 2>&1 || make_venv
  check_python "$venv_python"
  local what=(-e ".[$1]" ${2:+"jax[$2]"})
  if [ -n "${LOCKED:-}" ]; then
    [ -f "$(locked)" ] || stop "There is no $(locked); use another Python, or leave LOCKED out."
    what+=(-c "$(locked)")
  fi
  echo "Installing into .venv (a few minutes on the first run) …"
  "$venv_python" -m pip install -qq --disable-pip-version-check "${what[@]}" ||
    stop "The installation failed, see the lines above; run the same command again to go on."
  wanted >"$stamp"
}
