#!/bin/sh
# Runs a scenario of tests/chaos by name, as `sh tests/chaos.sh short`. More arguments go to jetbatch-chaos, after the
# scenario's own. CHAOS_PROFILE=release builds for speed.
set -eu
# shellcheck source=deploy/setup.sh
. "$(dirname "$0")/../deploy/setup.sh"
cd "$root"
scenario=tests/chaos/${1:?which scenario? the names are those in tests/chaos}.args
shift
[ -f "$scenario" ] || die "no file $scenario"
profile=${CHAOS_PROFILE:-dev}
folder=$profile
[ "$profile" != dev ] || folder=debug
# All targets together fix one set of features, as in tests/run.sh: what that has built is not built again.
cargo build --workspace --all-targets --profile "$profile"
# shellcheck disable=SC2046 # one word each
exec "${CARGO_TARGET_DIR:-target}/$folder/jetbatch-chaos" $(sed 's/#.*//' "$scenario") "$@"
