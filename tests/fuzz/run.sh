#!/bin/sh
# run.sh [SECONDS [TARGET...]]: fuzzes every target, or those that are named, for a minute each or for so many seconds.
# It stops at the first input that breaks a property, and says where that is kept: mend, then put it into corpus/TARGET
# under a name that tells what it is. Every cargo test replays corpus/.
#
# Any stable Rust will do: nothing here has unsafe code, so no sanitizer is asked for, and only those need a nightly.
# libFuzzer itself is C++. What a run finds beyond corpus/ stays in found/, outside git; of that, the least that covers
# as much code is
#   cargo fuzz cmin --fuzz-dir tests/fuzz --sanitizer none TARGET tests/fuzz/found/TARGET
#
# JETBATCH_TOOLS_DIR  where cargo-fuzz is installed unless it is there (default: .tools in the repository)
set -eu
VERSION=0.13.2

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
tools=${JETBATCH_TOOLS_DIR:-$root/.tools}
case $tools in /*) ;; *) tools=$root/$tools ;; esac
PATH=$tools/bin:$PATH

seconds=${1:-60}
case $seconds in '' | *[!0-9]*) echo "usage: $0 [SECONDS [TARGET...]]" >&2; exit 2 ;; esac
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- line envelope subject submission config

have() { command -v "$1" >/dev/null 2>&1; }
have cargo || { echo "no cargo: run deploy/setup.sh first" >&2; exit 1; }
have "${CXX:-c++}" || { echo "no C++ compiler, which libFuzzer is built with. As root: apt-get install g++" >&2; exit 1; }
have cargo-fuzz || cargo install cargo-fuzz --version "$VERSION" --locked --root "$tools"

cd "$root"
build() { cargo fuzz build --fuzz-dir "$here" --sanitizer none; }
build

# fuzz TARGET: everything libFuzzer says goes into a file, of which one line is shown, or its end.
fuzz() {
    found=$here/found/$1
    mkdir -p "$found"
    set -- "$1" "$found" "$here/corpus/$1" -- -max_total_time="$seconds" -timeout=10 -print_final_stats=1
    dictionary=$here/dictionaries/$1.dict
    [ ! -f "$dictionary" ] || set -- "$@" -dict="$dictionary"
    if ! cargo fuzz run --fuzz-dir "$here" --sanitizer none "$@" >"$found.log" 2>&1; then
        tail -n 40 "$found.log" >&2
        echo "$1: FAILED, see $found.log" >&2
        return 1
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$found.log")
    covered=$(sed -n 's/.*DONE *cov: \([0-9]*\).*/\1/p' "$found.log")
    echo "$1: $runs inputs in $seconds s, no failure; $covered edges covered"
}

for target in "$@"; do
    fuzz "$target"
done
