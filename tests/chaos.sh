#!/bin/sh
# jetbatch on a NATS cluster of its own, broken on purpose: nothing may be lost, doubled or wrong.
#   tests/chaos.sh                              about three minutes (tests/chaos/short.args)
#   tests/chaos.sh long                         1,000 faults, 1,000,000 requests: an hour and a half
#   tests/chaos.sh heads --seed 7               any scenario of tests/chaos, any argument of jetbatch-chaos
#   tests/chaos.sh --faults 5 --requests 1000   the short one with other numbers
# JETBATCH_BIN names another jetbatch; it is built here otherwise, without mistral.rs.
set -eu
# shellcheck source=deploy/setup.sh
. "$(dirname "$0")/../deploy/setup.sh"
cd "$root"

scenario=short
case ${1:-} in '' | -*) ;; *) scenario=$1 && shift ;; esac
[ -f "tests/chaos/$scenario.args" ] || { echo "no scenario tests/chaos/$scenario.args" >&2; exit 2; }
# One argument a line, or an argument and its value; `#` begins a comment.
# shellcheck disable=SC2046
set -- $(sed 's/#.*//' "tests/chaos/$scenario.args") "$@"

# Not where others build: a jetbatch without mistral.rs must not take the place of theirs.
target=${CARGO_TARGET_DIR:-target}/chaos
CARGO_TARGET_DIR=$target cargo build --release -p jetbatch-testkit --bin jetbatch-chaos
[ -n "${JETBATCH_BIN:-}" ] || CARGO_TARGET_DIR=$target cargo build --release -p jetbatch --no-default-features
exec "$target/release/jetbatch-chaos" "$@"
