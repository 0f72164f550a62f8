"""Renders the chart, and finds objects in what was rendered."""

import functools
import os
import subprocess
import tempfile
from pathlib import Path

import yaml

from copies import CHART
from settings import PROJECT

VALUES = PROJECT / "lab/helm/values"
EXAMPLES = PROJECT / "deploy/helm/examples"

# Each set of values, as the files that it consists of.
SETS = {
    "minimal": [VALUES / "minimal.yaml"],
    "everything": [VALUES / "everything.yaml"],
    "keda": [VALUES / "minimal.yaml", VALUES / "keda.yaml"],
    "plain-migrations": [VALUES / "minimal.yaml", VALUES / "plain-migrations.yaml"],
    "no-migrations": [VALUES / "minimal.yaml", VALUES / "no-migrations.yaml"],
    "config-file": [VALUES / "config-file.yaml"],
    "example": [EXAMPLES / "values.yaml"],
    "another-outbox": [EXAMPLES / "another-outbox.yaml"],
    "example-config-file": [EXAMPLES / "config-file.yaml"],
}
COMPONENTS = ("producer", "processor", "sink", "console")


def helm(*arguments):
    """Runs Helm and returns its exit code, its output and its errors. Without a cluster, a Helm that is built from
    its sources assumes an old Kubernetes, so the oldest version that the chart supports is passed."""
    if arguments[0] in ("template", "lint"):
        arguments += ("--kube-version", "1.30.0")
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "HELM_CACHE_HOME": home, "HELM_CONFIG_HOME": home, "HELM_DATA_HOME": home}
        ended = subprocess.run(
            [os.environ["HELM"], *map(str, arguments)], capture_output=True, text=True, env=environment
        )
    return ended.returncode, ended.stdout, ended.stderr


def template(files, values=None, chart=CHART, release="shop"):
    """Renders the chart as an installation of a release into the namespace `orders`."""
    arguments = ["template", release, chart, "--namespace", "orders"]
    for file in files:
        arguments += ["--values", file]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as more:
        yaml.safe_dump(values or {}, more)
        more.flush()
        return helm(*arguments, "--values", more.name)


@functools.cache
def text(name):
    """Returns the rendered text of a set of values."""
    code, output, errors = template(SETS[name])
    if code != 0:
        raise AssertionError(f"{name}: {errors}")
    return output


def parse(output):
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [document for document in yaml.load_all(output, loader) if document]


def rendered(files, values=None, chart=CHART, release="shop"):
    """Returns the objects of files of values with further values."""
    code, output, errors = template(files, values, chart, release)
    if code != 0:
        raise AssertionError(errors)
    return parse(output)


@functools.cache
def objects(name):
    """Returns the objects of a set of values, which tests do not change."""
    return parse(text(name))


def of_kind(all_objects, kind, component=None):
    """Returns the objects of a kind, of one component if it is named."""
    return [
        one
        for one in all_objects
        if one["kind"] == kind
        and component in (None, one["metadata"].get("labels", {}).get("app.kubernetes.io/component"))
    ]


def workload(all_objects, component):
    """Returns the Deployment or StatefulSet of a component."""
    found = of_kind(all_objects, "Deployment", component) + of_kind(all_objects, "StatefulSet", component)
    (one,) = found
    return one


def pods(all_objects):
    """Yields the name of each workload or Job with the template of its pods."""
    for one in all_objects:
        if one["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield one["metadata"]["name"], one["spec"]["template"]


def containers(template):
    """Returns all containers of a template, init containers included."""
    return template["spec"].get("initContainers", []) + template["spec"]["containers"]


def environment(container):
    """Returns the variables of a container as a map from the name to its entry."""
    return {entry["name"]: entry for entry in container["env"]}


def selects(selector, labels):
    """Returns whether a selector selects an object with these labels."""
    exact = selector.get("matchLabels", {}).items() <= labels.items()
    return exact and all(
        labels.get(one["key"]) in one["values"] and one["operator"] == "In"
        for one in selector.get("matchExpressions", [])
    )
