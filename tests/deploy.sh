#!/bin/sh
# The chart in deploy/helm: rendered by helm, each way that its ci folder has values for, and held against the schemas of
# Kubernetes. What it must refuse, it refuses. The settings that it gives are held against `jetbatch config check`, where
# JETBATCH_BIN names a jetbatch.
# JETBATCH_TEST_HELM and JETBATCH_TEST_KUBE name the tools; unset, they are built.
# Exit code 3: there is no Go for helm, or no Python for the schemas.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
chart=$root/deploy/helm/jetbatch
helm=${JETBATCH_TEST_HELM:-$(sh "$root/tests/tools/build.sh" helm)}
python=${JETBATCH_TEST_KUBE:-$(sh "$root/tests/tools/build.sh" kube)}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
# Of this run alone: no plugin, no repository.
export HELM_CACHE_HOME="$out/helm" HELM_CONFIG_HOME="$out/helm" HELM_DATA_HOME="$out/helm"

"$helm" lint --strict --quiet "$chart"
"$helm" template plain "$chart" >"$out/plain.yaml"
for values in "$chart"/ci/*-values.yaml; do
    name=$(basename "$values" -values.yaml)
    "$helm" lint --strict --quiet "$chart" --values "$values"
    "$helm" template "$name" "$chart" --namespace batch --values "$values" >"$out/$name.yaml"
done
# Names at their longest.
long=$(printf '%064d' 0 | tr 0 b)
printf 'workers: [{ pool: %s }]\nconfig: |\n  [pools.%s.engine]\n  kind = "echo"\n' "$long" "$long" >"$out/long"
"$helm" template "$(printf '%053d' 0 | tr 0 a)" "$chart" --values "$out/long" >"$out/long.yaml"
"$python" "$root/tests/tools/kube/check.py" "$out"/*.yaml

# refuses WORDS ARGUMENTS...: helm says no, and says those words.
refuses() {
    words=$1
    shift
    if "$helm" template no "$chart" "$@" >"$out/no" 2>&1; then
        echo "it takes $*" >&2
        exit 1
    fi
    grep -q "$words" "$out/no" || { cat "$out/no" >&2; echo "it does not say '$words' of $*" >&2; exit 1; }
}
refuses "replicaz" --set gateway.replicaz=2
refuses "/gateway/replicas" --set-string gateway.replicas=two
refuses "/nats/url" --set nats.url=nats://user:password@nats:4222
refuses "/nats/replicas" --set nats.replicas=2
refuses "/store/url" --set store.url=/a/folder
refuses "name one secret" --set nats.login.secret=a --set nats.nkey.secret=b
refuses "config has no .pools.other.engine" --set 'workers[0].pool=other'
refuses "stands there twice" --set 'workers[0].pool=tiny' --set 'workers[1].pool=tiny'
refuses "min 0 needs kind keda" --set workerDefaults.autoscaling.kind=hpa --set workerDefaults.autoscaling.min=0
refuses "min is more than max" --set workerDefaults.autoscaling.min=9
refuses "a secret with a key of role operate" --set serviceMonitor.enabled=true
refuses "the name that the ingress answers to" --set gateway.ingress.enabled=true
echo "the chart refuses what it should"

if [ -n "${JETBATCH_BIN:-}" ]; then
    "$python" "$root/tests/tools/kube/settings.py" "$JETBATCH_BIN" "$out"/*.yaml
fi
