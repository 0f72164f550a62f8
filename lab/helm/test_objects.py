"""The chart is well-formed: Helm's lint, strict schemas of every object, and the copies in the chart."""

import os
import subprocess
import tempfile
import unittest

import yaml

import copies
from chart import CHART, EXAMPLES, SETS, helm, objects, text
from settings import PROJECT


class Chart(unittest.TestCase):
    def test_lint_finds_nothing(self):
        for name, files in SETS.items():
            with self.subTest(name):
                arguments = [word for file in files for word in ("--values", file)]
                code, output, errors = helm("lint", "--strict", CHART, *arguments)
                self.assertEqual(code, 0, output + errors)

    def test_every_object_has_a_strict_schema_and_follows_it(self):
        location = os.environ["SCHEMAS"] + "/{{ .ResourceKind }}{{ .KindSuffix }}.json"
        for name in SETS:
            with self.subTest(name):
                ended = subprocess.run(
                    [os.environ["KUBECONFORM"], "-strict", "-summary", "-schema-location", location],
                    input=text(name),
                    capture_output=True,
                    text=True,
                )
                self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
                self.assertIn("Skipped: 0", ended.stdout)

    def test_names_are_unique_and_the_namespace_is_the_releases(self):
        for name in SETS:
            names = [(one["kind"], one["metadata"]["name"]) for one in objects(name)]
            self.assertEqual(len(names), len(set(names)), name)
            for one in objects(name):
                self.assertNotIn("namespace", one["metadata"], name)

    def test_long_names_are_cut_before_they_are_too_long_for_labels(self):
        long = "a-release-with-a-name-that-is-almost-53-characters-xy"
        arguments = [word for file in SETS["everything"] for word in ("--values", file)]
        code, output, errors = helm("template", long, CHART, *arguments)
        self.assertEqual(code, 0, errors)
        for one in filter(None, yaml.safe_load_all(output)):
            # A StatefulSet's name with its revision, which is ten characters long, is a label of its pods.
            longest = 52 if one["kind"] == "StatefulSet" else 63
            self.assertLessEqual(len(one["metadata"]["name"]), longest, one["metadata"]["name"])

    def test_the_chart_can_be_packed_and_its_package_renders_the_same(self):
        with tempfile.TemporaryDirectory() as folder:
            code, output, errors = helm("package", CHART, "--destination", folder)
            self.assertEqual(code, 0, output + errors)
            (package,) = os.listdir(folder)
            arguments = [word for file in SETS["everything"] for word in ("--values", file)]
            code, output, errors = helm(
                "template", "shop", f"{folder}/{package}", "--namespace", "orders", *arguments
            )
            self.assertEqual(code, 0, errors)
            self.assertEqual(output, text("everything"))

    def test_the_chart_has_the_version_of_the_services(self):
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        manifest = (PROJECT / "Cargo.toml").read_text().splitlines()
        version = next(line for line in manifest if line.startswith("version = ")).split('"')[1]
        self.assertEqual(chart["appVersion"], version)


class Copies(unittest.TestCase):
    def test_rules_and_dashboards_are_those_of_the_project(self):
        for path, content in copies.files().items():
            self.assertIsNotNone(content, f"{path}: its original is gone; run lab/helm/run --update")
            self.assertTrue(path.exists(), f"{path} is missing; run lab/helm/run --update")
            self.assertEqual(path.read_text(), content, f"{path} is old; run lab/helm/run --update")

    def test_the_schema_names_the_settings_of_the_services(self):
        self.assertEqual(copies.SCHEMA.read_text(), copies.schema(), "run lab/helm/run --update")


class Examples(unittest.TestCase):
    def test_the_files_that_the_values_name_are_in_secrets_of_the_examples(self):
        kafka = list(yaml.safe_load_all((EXAMPLES / "kafka-strimzi.yaml").read_text()))
        users = {one["metadata"]["name"] for one in kafka if one["kind"] == "KafkaUser"}
        (cluster,) = [one["metadata"]["name"] for one in kafka if one["kind"] == "Kafka"]
        database = yaml.safe_load((EXAMPLES / "postgres-cloudnative-pg.yaml").read_text())["metadata"]["name"]
        created = users | {f"{cluster}-cluster-ca-cert", f"{database}-app", f"{database}-ca"}
        # Those that the first lines of values.yaml create.
        created |= {"checkout-signing-keys", "checkout-api-keys"}
        for one in objects("example"):
            pod = one.get("spec", {}).get("template", {}).get("spec", {})
            for volume in pod.get("volumes", []):
                if "secret" in volume:
                    self.assertIn(volume["secret"]["secretName"], created)
