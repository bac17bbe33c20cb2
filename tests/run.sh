#!/bin/sh
# Every test: units, properties, and end to end with a real nats-server, the `nats` command, Jaeger and an
# S3 server, llama.cpp's server, OpenAI's client, and a browser. All but the first are built where Go, or Python, is present; elsewhere their tests are
# skipped, and this says so, unless JETBATCH_TEST_REQUIRE lists them (nats,jaeger,s3,helm,llama,openai,kube,schemathesis,page): then a skip is a failure.
# Arguments go to `cargo test`.
set -eu
# shellcheck source=deploy/setup.sh
. "$(dirname "$0")/../deploy/setup.sh"
cd "$root"

# tool NAME: the path of a tool built from tests/tools, or nothing where there is no Go for it.
tool() {
    code=0
    JETBATCH_TOOLS_DIR=$tools sh tests/tools/build.sh "$1" || code=$?
    [ "$code" -eq 0 ] && return 0
    [ "$code" -eq 3 ] || exit "$code"
    case ",${JETBATCH_TEST_REQUIRE:-}," in *,"$1",*)
        printf '*** %s is required (JETBATCH_TEST_REQUIRE), and there is none. ***\n' "$1" >&2
        exit 1
        ;;
    esac
    printf '\n*** SKIPPED: the end-to-end tests with %s, for want of Go or Python. ***\n\n' "$1" >&2
}
nats_cli=$(tool nats)
jaeger=$(tool jaeger)
s3=$(tool s3)
helm=$(tool helm)
llama=$(tool llama)
openai=$(tool openai)
kube=$(tool kube)
schemathesis=$(tool schemathesis)
page=$(tool page)
[ -z "$nats_cli" ] || export JETBATCH_TEST_NATS_CLI="$nats_cli"
[ -z "$jaeger" ] || export JETBATCH_TEST_JAEGER="$jaeger"
[ -z "$s3" ] || export JETBATCH_TEST_S3="$s3"
[ -z "$helm" ] || export JETBATCH_TEST_HELM="$helm"
[ -z "$kube" ] || export JETBATCH_TEST_KUBE="$kube"
[ -z "$llama" ] || export JETBATCH_TEST_LLAMA="$llama"
[ -z "$schemathesis" ] || export JETBATCH_TEST_SCHEMATHESIS="$schemathesis"
[ -z "$openai" ] || export JETBATCH_TEST_OPENAI="$openai"
[ -z "$page" ] || export JETBATCH_TEST_PAGE="$page"

# The binary first: the end-to-end tests start it, and all targets together fix one set of features.
cargo build --workspace --all-targets
cargo test --workspace "$@"
