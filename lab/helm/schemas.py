"""Writes JSON schemas for kubeconform, from packages alone: those of Kubernetes, which the Python package
kubernetes-validate contains, and those of the operators, made from the CRDs in their Go modules.

    schemas.py FOLDER
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import yaml

KUBERNETES = "v1.37.0-local-strict"

# Module, version, and its files of CRDs.
OPERATORS = [
    ("github.com/kedacore/keda/v2", "v2.21.0", ["config/crd/bases/keda.sh_scaledobjects.yaml"]),
    (
        "github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        [
            "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        ],
    ),
]


def kubernetes(folder):
    """Copies the strict schemas. Their references are paths of a web server."""
    source = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / KUBERNETES
    for file in source.glob("*.json"):
        text = re.sub(r'"\$ref": *"/api/_definitions.json', '"$ref": "_definitions.json', file.read_text())
        schema = json.loads(text)
        schema.pop("$id", None)
        (folder / file.name).write_text(json.dumps(schema))


def closed(schema):
    """Returns the schema of a CRD as JSON schema that refuses unknown fields, as the API server drops them."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: closed(value) for name, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string") is True:
        schema.pop("type", None)
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") is True
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not is_open:
        schema.setdefault("additionalProperties", False)
    return schema


def operator(folder, module, version, files):
    """Makes the schemas of an operator's CRDs, by the names that kubeconform looks for."""
    found = subprocess.run(
        ["go", "mod", "download", "-json", f"{module}@{version}"],
        env={**os.environ, "GOFLAGS": "-mod=mod"},
        check=True,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    source = Path(json.loads(found.stdout)["Dir"])
    for file in files:
        crd = yaml.safe_load((source / file).read_text())["spec"]
        group = crd["group"].split(".")[0]
        for of in crd["versions"]:
            schema = closed(of["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            name = f"{crd['names']['kind'].lower()}-{group}-{of['name']}.json"
            (folder / name).write_text(json.dumps(schema))


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    kubernetes(folder)
    for module, version, files in OPERATORS:
        operator(folder, module, version, files)


main()
