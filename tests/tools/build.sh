#!/bin/sh
# build.sh nats|jaeger|s3|helm|llama|openai|kube|schemathesis|page: prints the path of that tool, built from the Go module beside this file
# unless it is there; `llama` is a Python that has llama.cpp's server, from a wheel that is pinned by its hash, `openai` one
# that has OpenAI's client, `schemathesis` one that has that, `kube` one that has the Kubernetes schemas; `page` is a folder with what drives a browser, where
# Node and Chromium are.
# On PATH `nats`, `jaeger-all-in-one`, `versitygw` and `helm` are taken as they are. Exit code 3: there is no
# Go, or no Python, that can build it.
# A Jaeger built here answers its API and shows no page: the Go module holds none.
#
# JETBATCH_TOOLS_DIR  where tools are kept (default: .tools in the repository, which git ignores)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
tools=${JETBATCH_TOOLS_DIR:-$root/.tools}
case $tools in /*) ;; *) tools=$root/$tools ;; esac
bin=$tools/bin

unset pins
case ${1:-} in
nats) name=nats package=github.com/nats-io/natscli/nats ;;
jaeger) name=jaeger-all-in-one package=github.com/jaegertracing/jaeger/cmd/all-in-one ;;
s3) name=versitygw package=github.com/versity/versitygw/cmd/versitygw ;;
helm) name=helm package=helm.sh/helm/v4/cmd/helm ;;
llama) name=llama pins=--require-hashes ;;
openai) name=openai pins= ;;
kube) name=kube pins= ;;
schemathesis) name=schemathesis pins= ;;
page) name=page ;;
*) echo "usage: $0 nats|jaeger|s3|helm|llama|openai|kube|schemathesis|page" >&2; exit 2 ;;
esac

# A Python of its own, with the packages that are pinned beside this file.
if [ -n "${pins+set}" ]; then
    python=$tools/$name/bin/python
    want=$(cksum <"$here/$name/requirements.txt")
    if [ "$(cat "$tools/$name/.pins" 2>/dev/null)" != "$want" ]; then
        rm -rf "${tools:?}/$name"
        mkdir -p "$tools"
        # shellcheck disable=SC2086
        if ! python3 -m venv "$tools/$name" >&2 || ! "$python" -m pip install --quiet --disable-pip-version-check \
            --no-deps $pins -r "$here/$name/requirements.txt" >&2; then
            rm -rf "${tools:?}/$name"
            echo "*** no Python 3.10 with venv and pip for this machine: $name is not there. ***" >&2
            exit 3
        fi
        printf '%s\n' "$want" >"$tools/$name/.pins"
    fi
    echo "$python"
    exit 0
fi

if [ "$name" = page ]; then
    chromium=
    for browser in chromium chromium-browser google-chrome; do
        chromium=${chromium:-$(command -v "$browser" || true)}
    done
    if [ -z "$chromium" ] || ! command -v npm >/dev/null 2>&1; then
        echo "*** no Chromium, or no Node with npm: the page is not looked at in a browser. ***" >&2
        exit 3
    fi
    want=$(cksum <"$here/page/package-lock.json")
    mkdir -p "$tools/page"
    if [ "$(cat "$tools/page/.pins" 2>/dev/null)" != "$want" ]; then
        cp "$here/page/package.json" "$here/page/package-lock.json" "$tools/page/"
        (cd "$tools/page" && npm ci --silent --no-audit --no-fund) >&2
        printf '%s\n' "$want" >"$tools/page/.pins"
    fi
    cp "$here/page/check.mjs" "$here/page/keys.mjs" "$here/page/picture.mjs" "$tools/page/"
    ln -sfn "$chromium" "$tools/page/chromium"
    echo "$tools/page"
    exit 0
fi

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
