"""Holds what helm rendered against Kubernetes: `python check.py FILE...`.

Each object against the schemas of the oldest and the newest Kubernetes that the chart is for, kinds that Kubernetes does not
know against crds.json; then what no schema says: names that point to nothing, secrets in the open, rights that a pod has and
does not need.
"""

import json
import sys
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

VERSIONS = ["1.27", "1.37"]
CRDS = json.loads((Path(__file__).parent / "crds.json").read_text())
ROLES = {"gateway", "intake", "scheduler", "worker", "archiver", "projector", "webhooks"}
# What a pod may take from its environment that the chart does not make.
STORE = ("JETBATCH__STORE__", "AWS_", "GOOGLE_", "AZURE_")


def schemas(thing):
    own = CRDS.get(f"{thing['apiVersion']} {thing['kind']}")
    if own:
        return jsonschema.validate(thing["spec"], own)
    for version in VERSIONS:
        kubernetes_validate.validate(thing, version, strict=True)


def is_within(selector, labels):
    return selector.items() <= labels.items()


def pods(things):
    return [thing for thing in things if thing["kind"] == "Deployment"]


def labels(deployment):
    return deployment["spec"]["template"]["metadata"]["labels"]


def check_selectors(things):
    """Whatever selects pods selects those of a Deployment, and Deployments none of each other's."""
    seen = []
    for deployment in pods(things):
        own = deployment["spec"]["selector"]["matchLabels"]
        found = [other["metadata"]["name"] for other in pods(things) if is_within(own, labels(other))]
        assert found == [deployment["metadata"]["name"]], f"{found} are selected by one Deployment"
        seen.append(own)
    for thing in things:
        spec = thing.get("spec", {})
        selector = {"Service": lambda: spec["selector"], "PodDisruptionBudget": lambda: spec["selector"]["matchLabels"],
                    "NetworkPolicy": lambda: spec["podSelector"]["matchLabels"]}.get(thing["kind"])
        if selector:
            chosen = [other for other in pods(things) if is_within(selector(), labels(other))]
            assert chosen, f"{thing['kind']} {thing['metadata']['name']} selects no pod"
    monitors = [thing for thing in things if thing["kind"] == "ServiceMonitor"]
    for monitor in monitors:
        wanted = monitor["spec"]["selector"]["matchLabels"]
        chosen = [thing for thing in things if thing["kind"] == "Service" and is_within(wanted, thing["metadata"]["labels"])]
        assert len(chosen) == 3, "gateways, heads and workers are asked for metrics"


def check_scaling(things):
    """What scales names a Deployment that has no number of its own, and is for its pool."""
    by_name = {thing["metadata"]["name"]: thing for thing in pods(things)}
    for thing in things:
        if thing["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            target = by_name[thing["spec"]["scaleTargetRef"]["name"]]
            assert "replicas" not in target["spec"], "two would set the number"
            env = {entry["name"]: entry.get("value") for entry in target["spec"]["template"]["spec"]["containers"][0]["env"]}
            pool = env["JETBATCH__WORKER__POOLS"]
            if thing["kind"] == "ScaledObject":
                query = thing["spec"]["triggers"][0]["metadata"]["query"]
                assert query == f'max(jetbatch_workers_needed{{pool="{pool}"}})', query
            else:
                metric = thing["spec"]["metrics"][0]["external"]["metric"]
                assert (metric["name"], metric["selector"]["matchLabels"]) == ("jetbatch_workers_needed", {"pool": pool})


def check_roles(things):
    """Every role is somebody's: one that no pod has is never done."""
    args = [deployment["spec"]["template"]["spec"]["containers"][0]["args"] for deployment in pods(things)]
    roles = {role for words in args for role in words[words.index("--roles") + 1].split(",")}
    assert roles == ROLES, f"the pods have {sorted(roles)}"


def check_pod(deployment, things):
    name, pod = deployment["metadata"]["name"], deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    volumes = [volume["name"] for volume in pod["volumes"]]
    mounts = [mount["name"] for mount in container["volumeMounts"]]
    assert len(set(volumes)) == len(volumes) and set(mounts) <= set(volumes), f"{name}: {mounts} of {volumes}"
    configs = [thing["metadata"]["name"] for thing in things if thing["kind"] == "ConfigMap"]
    claims = [thing["metadata"]["name"] for thing in things if thing["kind"] == "PersistentVolumeClaim"]
    for volume in pod["volumes"]:
        assert "configMap" not in volume or volume["configMap"]["name"] in configs, volume
        claim = volume.get("persistentVolumeClaim", {}).get("claimName", "")
        assert not claim.endswith("-store") or claim in claims, volume
    names = [entry["name"] for entry in container["env"]]
    assert len(set(names)) == len(names), f"{name} sets a variable twice: {names}"
    safe = container["securityContext"]
    assert safe["readOnlyRootFilesystem"] and not safe["allowPrivilegeEscalation"] and safe["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["runAsNonRoot"] and pod["automountServiceAccountToken"] is False
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), f"{name} asks for nothing"
    assert "memory" in container["resources"]["limits"], f"{name} is not bounded"
    if labels(deployment)["app.kubernetes.io/component"] == "worker":
        assert not [entry for entry in names if entry.startswith(STORE)], f"{name} knows of the store"
        drain = next(entry["value"] for entry in container["env"] if entry["name"] == "JETBATCH__WORKER__DRAIN_S")
        assert pod["terminationGracePeriodSeconds"] > int(drain), f"{name} is killed while it drains"
    for probe, path in [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]:
        assert container[probe]["httpGet"] == {"path": path, "port": "http"}, f"{name}: {probe}"


def check(path):
    things = [thing for thing in yaml.safe_load_all(Path(path).read_text()) if thing]
    names = [(thing["kind"], thing["metadata"]["name"]) for thing in things]
    assert len(set(names)) == len(names), f"a name twice in {names}"
    for thing in things:
        try:
            schemas(thing)
        except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
            raise AssertionError(f"{thing['kind']} {thing['metadata']['name']}: {error.message} at {list(error.path)}")
        assert thing["kind"] != "Secret", "secrets are named, not made"
        assert len(thing["metadata"]["name"]) <= 63, thing["metadata"]["name"]
    check_selectors(things)
    check_scaling(things)
    check_roles(things)
    for deployment in pods(things):
        check_pod(deployment, things)
    kinds = sorted({kind for kind, _ in names})
    print(f"{path}: {len(things)} objects are what Kubernetes {VERSIONS[0]} and {VERSIONS[-1]} take: {', '.join(kinds)}")


if __name__ == "__main__":
    for path in sys.argv[1:]:
        check(path)
