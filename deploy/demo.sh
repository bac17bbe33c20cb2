#!/bin/sh
# From a fresh clone to answers: set up, build, run every room in one process on a sample of prompts.
# Arguments go to `jetbatch demo`.
set -eu
# shellcheck source=deploy/setup.sh
. "$(dirname "$0")/setup.sh"
cd "$root"
# Not --release: that takes minutes longer to build, and the demo is over in seconds either way.
cargo build --profile quick -p jetbatch
exec "${CARGO_TARGET_DIR:-target}/quick/jetbatch" demo "$@"
