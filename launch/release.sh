#!/usr/bin/env bash
# Builds what is committed as a wheel and a source distribution in dist/, and tries both as a
# stranger would: in fresh environments of each Python, the wheel alone first (import, sounds, the
# studio's page, devices), then the source distribution with the tests. Then the audit of the locked
# versions and the bill of materials. About ten minutes, most of them the tests'.
#   bash launch/release.sh                                  everything
#   pythons="python3.12" tests="tests/test_main.py" bash launch/release.sh   one Python, some tests
#   tests=no bash launch/release.sh                         no tests
#   bash launch/release.sh lock                             newest versions -> launch/locked-*.txt
# Nothing is uploaded; where the advisories' service cannot be reached, the audit says so.
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/venv.sh

pythons=${pythons:-python3.11 python3.12}
tests=${tests:-tests}
work=runs/release
tools=$PWD/$work/tools/bin
server=
not_audited=

cleanup() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
}
trap cleanup EXIT
trap interrupted INT

say() {
  printf '== %s (%d s)\n' "$*" "$SECONDS"
}

# fresh FOLDER PYTHON
fresh() {
  check_python "$2"
  rm -rf "$1"
  "$2" -m venv "$1"
}

pip_install() {
  local venv=$1
  shift
  "$venv/bin/python" -m pip install -qq --disable-pip-version-check "$@" ||
    stop "The installation into $venv failed, see the lines above."
}

version_of() {
  "$1" -c 'import sys; print("{}.{}".format(*sys.version_info))'
}

lock() {
  local python venv=$work/lock
  for python in $pythons; do
    fresh "$venv" "$python"
    local version
    version=$(version_of "$python")
    pip_install "$venv" ".[test]"
    {
      echo "# What the tests were last run with on Python $version, Linux; installed by LOCKED=1 bash launch/test.sh."
      echo "# Made by launch/release.sh lock; constraints, so that each extra takes what it needs of them."
      "$venv/bin/python" -m pip freeze | grep -v -i -E '^(drumjax|pip|setuptools)\b'
    } >"$work/locked.txt"
    mv "$work/locked.txt" "launch/locked-$version.txt"
    say "launch/locked-$version.txt"
  done
}

build() {
  [ -z "$(git status --porcelain)" ] ||
    stop "Something here is not committed, and only what is committed is released; commit it first, see: git status"
  rm -rf "$work/source" dist
  mkdir -p "$work/source"
  git archive HEAD | tar -x -C "$work/source"
  [ -x "$tools/python" ] || fresh "$work/tools" "${pythons%% *}"
  pip_install "$work/tools" build twine pip-audit cyclonedx-bom
  "$tools/python" -m build --outdir dist "$work/source" >"$work/build.log" 2>&1 ||
    stop "The build failed; see $work/build.log."
  "$tools/python" -m twine check --strict dist/* >"$work/twine.log" 2>&1 ||
    stop "The description cannot be shown by an index; see $work/twine.log."
  wheel=$(echo "$PWD"/dist/*.whl)
  sdist=$(echo "$PWD"/dist/*.tar.gz)
  say "Built ${wheel##*/} and ${sdist##*/}"
}

# The wheel holds the package and the configs, the source distribution everything, nothing else.
check_contents() {
  git ls-files >"$work/files.txt"
  "$tools/python" - "$work/files.txt" "$wheel" "$sdist" <<'PYTHON' || exit 1
import sys, tarfile, zipfile
files = {line.rstrip("\n") for line in open(sys.argv[1], encoding="utf-8")}
packed = {n for n in zipfile.ZipFile(sys.argv[2]).namelist() if ".dist-info/" not in n}
wanted = {n for n in files if n.startswith("drumjax/")}
wanted |= {f"drumjax/{n}" for n in files if n.startswith("configs/")}
names = {m.name.partition("/")[2] for m in tarfile.open(sys.argv[3]).getmembers() if m.isfile()}
names -= {"PKG-INFO", "setup.cfg"}
names = {n for n in names if not n.startswith("drumjax.egg-info/")}
for what, have, want in (("wheel", packed, wanted), ("source distribution", names, files)):
    if have != want:
        more, less = sorted(have - want), sorted(want - have)
        sys.exit(f"The {what} is not what was committed: {more} too many, {less} missing; see MANIFEST.in and pyproject.toml.")
PYTHON
  say "Both hold what was committed"
}

# page VENV: the studio starts, and answers with its page and with one of the page's scripts.
page() {
  local log=$work/serve.log address="" _
  "$1/bin/drumjax" serve --port=0 --osc_port=0 --takes="$work/takes" --library="$work/library" >"$log" 2>&1 &
  server=$!
  for _ in $(seq 120); do
    address=$(grep -o -m 1 'http://[^ ]*' "$log" || true)
    [ -z "$address" ] || break
    kill -0 "$server" 2>/dev/null || stop "drumjax serve ended: $(tail -n 1 "$log")"
    sleep 1
  done
  "$1/bin/python" - "$address" <<'PYTHON' || stop "The studio's page did not come from '$address'; see $log."
import sys, urllib.parse, urllib.request
page = urllib.request.urlopen(sys.argv[1], timeout=60).read()
script = urllib.request.urlopen(urllib.parse.urljoin(sys.argv[1], "/app.js"), timeout=60).read()
sys.exit(b"<!doctype html" not in page[:200].lower() or not script)
PYTHON
  kill -INT "$server"
  wait "$server" || true
  server=
}

# try_wheel VENV: what needs no more than the bare installation.
try_wheel() {
  local bin=$PWD/$1/bin out
  out=$(mktemp -d "$PWD/$work/out.XXXX")
  (
    cd "$out"
    "$bin/python" -c 'import drumjax; print(drumjax.__version__, drumjax.__file__)'
    "$bin/drumjax" --help >/dev/null
    "$bin/drumjax" info >/dev/null
    "$bin/drumjax" sample --category=all --count=1 --output=sounds >/dev/null
    "$bin/drumjax" max-device --output=. >/dev/null
    "$bin/drumjax" pd-patch --output=. >/dev/null
    [ "$(find sounds -name '*.wav' | wc -l)" -eq 11 ]
    [ -s drumjax.amxd ] && [ -s drumjax.pd ]
    "$bin/python" -c 'from drumjax.training.config_files import config_folder as f; assert (f() / "cwae.py").is_file() and "site-packages" in str(f())'
  ) || stop "The wheel does not play in $1, see the lines above."
  page "$1"
  rm -rf "$out"
}

try_sdist() {
  local bin=$PWD/$1/bin
  rm -rf "$work/unpacked"
  mkdir -p "$work/unpacked"
  tar -xzf "$sdist" -C "$work/unpacked" --strip-components=1
  # shellcheck disable=SC2086 # several files
  (cd "$work/unpacked" && "$bin/pytest" $tests) || stop "Tests failed in $1, see the lines above."
}

# audited FILE SERVICE: says how many versions were looked up; 0 all, 1 some are weak, 3 not all.
# pip-audit itself ends with 0 where its service knows none of the versions.
audited() {
  rm -f "$work/audit.json"
  timeout 600 "$tools/pip-audit" --disable-pip --no-deps -s "$2" -r "$1" -f json \
    -o "$work/audit.json" >"$work/audit.log" 2>&1 || true
  "$tools/python" - "$work/audit.json" "$1" "$2" <<'PYTHON'
import json, os, sys
path, file, service = sys.argv[1:]
pins = sum("==" in line for line in open(file, encoding="utf-8"))
found = json.load(open(path))["dependencies"] if os.path.exists(path) else []
weak = {f"{d['name']} {d['version']}: {v['id']}" for d in found for v in d.get("vulns", [])}
known = sum("skip_reason" not in d for d in found)
print(f"{file}: {known} of {pins} versions audited by {service}", *sorted(weak), sep="\n  ")
sys.exit(1 if weak else 3 * (known < pins))
PYTHON
}

audit() {
  local file service status=0
  for file in launch/locked-*.txt; do
    for service in pypi osv; do
      status=0
      audited "$file" "$service" || status=$?
      [ "$status" -eq 3 ] || break
    done
    case "$status" in
      0) ;;
      3) not_audited+=" $file" ;;
      *) stop "Some of the versions in $file have known weaknesses, see the lines above; lift them: bash launch/release.sh lock" ;;
    esac
  done
}

mkdir -p "$work"
case "$*" in
  "") ;;
  lock)
    lock
    exit
    ;;
  *)
    echo "There is no '$*' here: use bash launch/release.sh, or bash launch/release.sh lock" >&2
    exit 2
    ;;
esac

for python in $pythons; do
  check_python "$python"
done
build
check_contents
for python in $pythons; do
  version=$(version_of "$python")
  venv=$work/venv-$version
  fresh "$venv" "$python"
  pip_install "$venv" "$wheel"
  say "Python $version: installed the wheel"
  try_wheel "$venv"
  say "Python $version: the wheel plays"
  "$tools/cyclonedx-py" environment "$venv/bin/python" --of JSON -o "dist/sbom-$version.cdx.json" 2>"$work/sbom.log" ||
    stop "The bill of materials was not made; see $work/sbom.log."
  if [ "$tests" != no ]; then
    fresh "$venv" "$python"
    pip_install "$venv" "${sdist}[test]"
    say "Python $version: installed the source distribution"
    try_sdist "$venv"
    say "Python $version: its tests passed"
  fi
done
audit
(cd dist && sha256sum -- * >SHA256SUMS)
cat dist/SHA256SUMS
say "Done; all of it is in dist/"
[ -z "$not_audited" ] ||
  echo "NOT AUDITED in full:$not_audited, as the advisories' services cannot be reached from here; run this again where they can before anything is published."
