"""Holds the settings that each Deployment gives its jetbatch against what jetbatch takes: `python settings.py JETBATCH FILE...`."""

import subprocess
import sys
import tempfile
from pathlib import Path

import yaml


def check(jetbatch, path):
    things = [thing for thing in yaml.safe_load_all(Path(path).read_text()) if thing]
    (config,) = [thing["data"]["jetbatch.toml"] for thing in things if thing["kind"] == "ConfigMap"]
    for deployment in (thing for thing in things if thing["kind"] == "Deployment"):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        env = {entry["name"]: entry.get("value", "from-a-secret") for entry in container["env"]}
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(config)
            file.flush()
            done = subprocess.run([jetbatch, "config", "check", file.name], env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{path}: {deployment['metadata']['name']}: {done.stderr}"
    print(f"{path}: jetbatch takes the settings")


if __name__ == "__main__":
    for path in sys.argv[2:]:
        check(sys.argv[1], path)
