#!/usr/bin/env bash
# twice.sh COMMAND...: runs a command that ends in `cargo test`. A test that fails is run once more, without the others beside
# it, and told of: a shared machine stalls. What fails twice has failed, and so have more than three.
set -euo pipefail
log=$(mktemp)
trap 'rm -f "$log"' EXIT

"$@" --no-fail-fast 2>&1 | tee "$log" && exit 0
mapfile -t failed < <(sed -n 's/^---- \(.*\) stdout ----$/\1/p' "$log" | sort -u)
((${#failed[@]} >= 1 && ${#failed[@]} <= 3)) || exit 1
printf '\n*** Once more, alone: %s\n' "${failed[*]}"
"$@" --no-fail-fast -- --exact --test-threads 1 "${failed[@]}" 2>&1 | tee "$log"
# A name that is found nowhere would pass.
passed=$(grep -c '^test .* \.\.\. ok$' "$log" || true)
((passed >= ${#failed[@]})) || exit 1
printf '\n*** Passed only the second time: %s\n' "${failed[*]}"
