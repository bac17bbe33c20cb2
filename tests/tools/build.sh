#!/bin/sh
# build.sh nats|jaeger|s3: prints the path of that tool, built from the Go module beside this file unless it is there.
# On PATH `nats`, `jaeger-all-in-one` and `versitygw` are taken as they are. Exit code 3: there is no Go that can build it.
# A Jaeger built here answers its API and shows no page: the Go module holds none.
#
# JETBATCH_TOOLS_DIR  where tools are kept (default: .tools in the repository, which git ignores)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
tools=${JETBATCH_TOOLS_DIR:-$root/.tools}
case $tools in /*) ;; *) tools=$root/$tools ;; esac
bin=$tools/bin

case ${1:-} in
nats) name=nats package=github.com/nats-io/natscli/nats ;;
jaeger) name=jaeger-all-in-one package=github.com/jaegertracing/jaeger/cmd/all-in-one ;;
s3) name=versitygw package=github.com/versity/versitygw/cmd/versitygw ;;
*) echo "usage: $0 nats|jaeger|s3" >&2; exit 2 ;;
esac

# The stamp is the module's own pins: a changed version builds again.
want=$(cksum <"$here/$1/go.sum")
if [ -x "$bin/$name" ] && [ "$(cat "$bin/.$name.pins" 2>/dev/null)" = "$want" ]; then
    echo "$bin/$name"
    exit 0
fi
if command -v "$name" >/dev/null 2>&1 && [ "$(command -v "$name")" != "$bin/$name" ]; then
    command -v "$name"
    exit 0
fi

PATH=$PATH:/usr/local/go/bin
cd "$here/$1"
if ! command -v go >/dev/null 2>&1; then
    echo "*** no Go toolchain: $name is not built. Install Go, or put $name on PATH. ***" >&2
    exit 3
fi
if ! go list -m >/dev/null; then
    echo "*** this Go is too old for $name (see above): $name is not built. ***" >&2
    exit 3
fi
echo "building $name with $(go env GOVERSION), a few minutes the first time" >&2
mkdir -p "$bin"
CGO_ENABLED=0 nice -n 10 go build -mod=readonly -buildvcs=false -trimpath -ldflags='-s -w' -o "$bin/$name.new" "$package" >&2
mv -f "$bin/$name.new" "$bin/$name"
printf '%s\n' "$want" >"$bin/.$name.pins"
echo "$bin/$name"
