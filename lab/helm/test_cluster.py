"""The objects around the pods: migrations, disruption budgets, network policies, scaling, metrics."""

import json
import re
import shutil
import tempfile
import unittest
from pathlib import Path

import yaml

from chart import COMPONENTS, SETS, containers, environment, objects, of_kind, pods, rendered, selects, workload
from copies import CHART
from settings import PROJECT


class Migrations(unittest.TestCase):
    def test_the_job_runs_before_installs_and_updates(self):
        (job,) = of_kind(objects("minimal"), "Job")
        annotations = job["metadata"]["annotations"]
        self.assertEqual(annotations["helm.sh/hook"], "pre-install,pre-upgrade")
        self.assertIn("before-hook-creation", annotations["helm.sh/hook-delete-policy"])
        self.assertEqual(job["metadata"]["name"], "shop-checkout-migrations")

    def test_the_hook_needs_nothing_that_the_release_creates(self):
        for name in ("minimal", "everything"):
            (job,) = of_kind(objects(name), "Job")
            created = {
                (one["kind"], one["metadata"]["name"])
                for one in objects(name)
                if "helm.sh/hook" not in one["metadata"].get("annotations", {})
            }
            spec = job["spec"]["template"]["spec"]
            self.assertNotIn(("ServiceAccount", spec["serviceAccountName"]), created)
            for volume in spec.get("volumes", []):
                self.assertNotIn(("Secret", volume.get("secret", {}).get("secretName")), created)
                self.assertNotIn("configMap", volume)

    def test_topics_come_before_tables(self):
        (job,) = of_kind(objects("minimal"), "Job")
        commands = [one["command"] + one["args"] for one in containers(job["spec"]["template"])]
        steps = yaml.safe_load((CHART / "values.yaml").read_text())["migrations"]["steps"]
        self.assertEqual(commands, [step["command"] for step in steps])
        self.assertEqual(commands[0][0], "processor")

    def test_an_ordinary_job_is_no_hook_and_has_another_name_when_it_changes(self):
        (job,) = of_kind(objects("plain-migrations"), "Job")
        self.assertFalse([one for one in job["metadata"]["annotations"] if one.startswith("helm.sh/")])
        files = SETS["plain-migrations"]
        (same,) = of_kind(rendered(files, {"sink": {"replicaCount": 5}}), "Job")
        self.assertEqual(same, job)
        (other,) = of_kind(rendered(files, {"image": {"tag": "9.9.9"}}), "Job")
        self.assertNotEqual(other["metadata"]["name"], job["metadata"]["name"])

    def test_a_component_that_is_disabled_needs_no_secret(self):
        for component, unset in [
            ("producer", {"database": {"existingSecret": ""}, "insecure": False}),
            ("processor", {"signingKeys": {"existingSecret": ""}}),
            ("sink", {"database": {"existingSecret": ""}}),
        ]:
            found = rendered(SETS["minimal"], {component: {"enabled": False, **unset}})
            (job,) = of_kind(found, "Job")
            steps = [one["command"][0] for one in containers(job["spec"]["template"])]
            self.assertEqual(steps, [one for one in ("processor", "producer", "sink") if one != component])
            for pod, template in pods(found):
                for volume in template["spec"].get("volumes", []):
                    self.assertNotEqual(volume.get("secret", {}).get("secretName"), "", f"{component}: {pod}")

    def test_no_job_when_no_component_has_a_step(self):
        values = {component: {"enabled": False} for component in ("producer", "processor", "sink")}
        self.assertEqual(rendered(SETS["plain-migrations"], {**values, "serviceAccount": {"create": False}}), [])

    def test_no_job_when_they_are_off(self):
        self.assertEqual(of_kind(objects("no-migrations"), "Job"), [])

    def test_the_job_has_the_owners_users(self):
        (job,) = of_kind(objects("everything"), "Job")
        by_name = {one["name"]: environment(one) for one in containers(job["spec"]["template"])}
        for step, secret in [("orders-tables", "orders-owner"), ("vouchers-tables", "vouchers-owner")]:
            self.assertEqual(by_name[step]["DATABASE_URL"]["valueFrom"]["secretKeyRef"]["name"], secret)
        (kafka,) = [one for one in job["spec"]["template"]["spec"]["volumes"] if one["name"] == "secret-kafka"]
        self.assertEqual(kafka["secret"]["secretName"], "kafka-owner")


class Budgets(unittest.TestCase):
    def test_one_pod_may_be_away_and_a_waiting_one_may_always_be_evicted(self):
        for component in COMPONENTS:
            (budget,) = of_kind(objects("everything"), "PodDisruptionBudget", component)
            self.assertEqual(budget["spec"]["maxUnavailable"], 1)
            self.assertEqual(budget["spec"]["unhealthyPodEvictionPolicy"], "AlwaysAllow")
            labels = workload(objects("everything"), component)["spec"]["template"]["metadata"]["labels"]
            self.assertTrue(selects(budget["spec"]["selector"], labels))


class Network(unittest.TestCase):
    def egress(self, name, component):
        """Returns the ports of each rule of egress with its peers."""
        (policy,) = of_kind(objects(name), "NetworkPolicy", component)
        self.assertIn("Egress", policy["spec"]["policyTypes"])
        found = {}
        for rule in policy["spec"]["egress"]:
            for port in rule.get("ports", []):
                found[port["port"], port.get("protocol")] = rule.get("to")
        return found

    def test_policies_are_off_by_default_and_otherwise_there_for_every_pod(self):
        self.assertEqual(of_kind(objects("minimal"), "NetworkPolicy"), [])
        policies = of_kind(objects("everything"), "NetworkPolicy")
        for component in (*COMPONENTS, "migrations"):
            kinds = of_kind(objects("everything"), "Job") if component == "migrations" else None
            of = kinds[0] if kinds else workload(objects("everything"), component)
            labels = of["spec"]["template"]["metadata"]["labels"]
            chosen = [one for one in policies if selects(one["spec"]["podSelector"], labels)]
            self.assertEqual(len(chosen), 1, component)

    def test_every_component_reaches_names_kafka_and_the_registry(self):
        for component in (*COMPONENTS, "migrations"):
            egress = self.egress("everything", component)
            for port in [(53, "UDP"), (53, "TCP"), (9093, "TCP"), (8081, "TCP"), (4318, "TCP")]:
                self.assertIn(port, egress, component)
            self.assertEqual(
                egress[9093, "TCP"], [{"podSelector": {"matchLabels": {"strimzi.io/cluster": "shop"}}}]
            )

    def test_only_those_with_a_database_reach_postgres(self):
        for component, has_one in [
            ("producer", True),
            ("processor", False),
            ("sink", True),
            ("console", True),
            ("migrations", True),
        ]:
            self.assertEqual((5432, "TCP") in self.egress("everything", component), has_one, component)

    def test_a_configuration_file_may_name_a_database(self):
        for component, may in [("producer", True), ("processor", False), ("sink", True), ("console", True)]:
            self.assertEqual((5432, "TCP") in self.egress("config-file", component), may, component)

    def test_without_a_registry_there_is_no_way_to_one(self):
        self.assertNotIn((8081, "TCP"), self.egress("plain-migrations", "processor"))

    def test_the_console_reaches_the_services_and_they_let_it_in(self):
        everything = objects("everything")
        console = workload(everything, "console")["spec"]["template"]["metadata"]["labels"]
        (policy,) = of_kind(everything, "NetworkPolicy", "console")
        peers = [
            peer["podSelector"]
            for rule in policy["spec"]["egress"]
            for peer in rule.get("to", [])
            if {"port": "http"} in rule.get("ports", [])
        ]
        for component in ("producer", "processor", "sink"):
            labels = workload(everything, component)["spec"]["template"]["metadata"]["labels"]
            self.assertTrue(any(selects(peer, labels) for peer in peers), component)
            (other,) = of_kind(everything, "NetworkPolicy", component)
            callers = [peer.get("podSelector", {}) for rule in other["spec"]["ingress"] for peer in rule["from"]]
            self.assertTrue(any(one and selects(one, console) for one in callers), component)

    def test_clients_reach_only_producer_and_console(self):
        client = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}
        for component in COMPONENTS:
            (policy,) = of_kind(objects("everything"), "NetworkPolicy", component)
            is_let_in = any(client in rule["from"] for rule in policy["spec"]["ingress"])
            self.assertEqual(is_let_in, component in ("producer", "console"), component)

    def test_the_hooks_policy_is_there_before_the_job(self):
        (policy,) = of_kind(objects("everything"), "NetworkPolicy", "migrations")
        annotations = policy["metadata"]["annotations"]
        self.assertEqual(annotations["helm.sh/hook"], "pre-install,pre-upgrade")
        self.assertLess(int(annotations["helm.sh/hook-weight"]), 0)
        (policy,) = of_kind(objects("plain-migrations"), "NetworkPolicy", "migrations")
        self.assertNotIn("annotations", policy["metadata"])


class Scaling(unittest.TestCase):
    def test_replicas_are_left_to_keda(self):
        for component, kind in [("processor", "StatefulSet"), ("sink", "Deployment")]:
            scaled = workload(objects("keda"), component)
            self.assertNotIn("replicas", scaled["spec"], component)
            (scaler,) = of_kind(objects("keda"), "ScaledObject", component)
            target = scaler["spec"]["scaleTargetRef"]
            self.assertEqual(target, {"apiVersion": "apps/v1", "kind": kind, "name": scaled["metadata"]["name"]})
            self.assertIn("replicas", workload(objects("minimal"), component)["spec"], component)

    def test_the_trigger_asks_for_the_lag_of_the_group_in_use(self):
        metrics = (PROJECT / "docs/monitoring.md").read_text()
        for component, group in [("processor", "may"), ("sink", "sink")]:
            (scaler,) = of_kind(objects("keda"), "ScaledObject", component)
            (trigger,) = scaler["spec"]["triggers"]
            query = trigger["metadata"]["query"]
            lag = f'checkout_consumer_lag_seconds{{group="{group}",namespace="orders"}}'
            owners = f"sum by (job, instance) (checkout_{component}_partitions) > 0"
            self.assertEqual(query, f"max({lag} and on (job, instance) {owners}) or max(0 * {lag})")
            self.assertIn("checkout_consumer_lag_seconds", metrics)
            self.assertEqual(trigger["metadata"]["ignoreNullValues"], "false")
            self.assertEqual(trigger["authenticationRef"]["kind"], "ClusterTriggerAuthentication")

    def test_it_scales_in_calmly_and_never_to_nothing(self):
        (scaler,) = of_kind(objects("keda"), "ScaledObject", "processor")
        self.assertGreaterEqual(scaler["spec"]["minReplicaCount"], 1)
        behavior = scaler["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        self.assertGreaterEqual(behavior["scaleDown"]["stabilizationWindowSeconds"], 600)
        self.assertEqual(scaler["spec"]["fallback"]["behavior"], "currentReplicasIfHigher")


class Outboxes(unittest.TestCase):
    def test_one_more_outbox_is_producers_with_a_name_and_tables_of_their_own(self):
        found = objects("another-outbox")
        workloads = [one["metadata"]["name"] for one in found if one["kind"] in ("Deployment", "StatefulSet")]
        self.assertEqual(workloads, ["shop-checkout-producer"])
        (container,) = workload(found, "producer")["spec"]["template"]["spec"]["containers"]
        self.assertEqual(environment(container)["OUTBOX_NAME"]["value"], "b")
        (job,) = of_kind(found, "Job")
        commands = [one["command"] + one["args"] for one in containers(job["spec"]["template"])]
        self.assertEqual(commands, [["producer", "migrate"]])


class Metrics(unittest.TestCase):
    def test_each_pod_is_scraped_once(self):
        everything = objects("everything")
        (monitor,) = of_kind(everything, "ServiceMonitor")
        (endpoint,) = monitor["spec"]["endpoints"]
        for component in COMPONENTS:
            scraped = [
                one
                for one in of_kind(everything, "Service", component)
                if selects(monitor["spec"]["selector"], one["metadata"]["labels"])
            ]
            self.assertEqual(len(scraped), 1, component)
            (service,) = scraped
            self.assertIn(endpoint["port"], [port["name"] for port in service["spec"]["ports"]])
            self.assertEqual(service["metadata"]["labels"]["app.kubernetes.io/component"], component)
            labels = workload(everything, component)["spec"]["template"]["metadata"]["labels"]
            self.assertLessEqual(service["spec"]["selector"].items(), labels.items())

    def jobs(self, name, release="shop"):
        """Returns the jobs that Prometheus derives from the ServiceMonitor of a release."""
        found = rendered(SETS[name], {"metrics": {"serviceMonitor": {"enabled": True}}}, release=release)
        (monitor,) = of_kind(found, "ServiceMonitor")
        (relabeling,) = monitor["spec"]["endpoints"][0]["relabelings"]
        label = "__meta_kubernetes_service_label_app_kubernetes_io_component"
        self.assertEqual((relabeling["sourceLabels"], relabeling["targetLabel"]), ([label], "job"))
        services = [one["metadata"]["labels"] for one in of_kind(found, "Service")]
        return {
            relabeling["replacement"].replace("$1", labels["app.kubernetes.io/component"])
            for labels in services
            if selects(monitor["spec"]["selector"], labels)
        }

    def test_jobs_are_named_as_the_rules_expect_them(self):
        services = ("producer", "processor", "sink")
        self.assertEqual(self.jobs("minimal", "checkout"), {f"checkout-{one}" for one in services})
        self.assertEqual(self.jobs("minimal"), {f"shop-checkout-{one}" for one in services})
        # Its names do not contain "checkout".
        self.assertEqual(self.jobs("everything"), {f"shop-vouchers-checkout-{one}" for one in COMPONENTS})
        rules = "".join(file.read_text() for file in (CHART / "files/rules").glob("*.yml"))
        selectors = re.findall(r'job=~"([^"]+)"', rules)
        self.assertTrue(selectors)
        for selector in selectors:
            for job in self.jobs("everything"):
                self.assertRegex(job, f"^(?:{selector})$")

    def test_two_outboxes_in_one_namespace_are_two_jobs(self):
        other = self.jobs("another-outbox", "outbox-b")
        self.assertEqual(other, {"outbox-b-checkout-producer"})
        self.assertFalse(other & self.jobs("minimal"))

    def test_instances_that_are_not_ready_are_scraped_too(self):
        for component in ("producer", "processor", "sink"):
            headless = [
                one
                for one in of_kind(objects("minimal"), "Service", component)
                if one["spec"].get("clusterIP") == "None"
            ]
            self.assertEqual(len(headless), 1, component)
            self.assertIs(headless[0]["spec"]["publishNotReadyAddresses"], True)

    def test_rules_and_dashboards_are_those_of_the_files(self):
        everything = objects("everything")
        rules = sorted((CHART / "files/rules").glob("*.yml"))
        found = of_kind(everything, "PrometheusRule")
        self.assertEqual(
            [one["spec"]["groups"] for one in sorted(found, key=lambda one: one["metadata"]["name"])],
            [yaml.safe_load(file.read_text())["groups"] for file in rules],
        )
        for one in found:
            self.assertEqual(one["metadata"]["labels"]["release"], "prometheus")
        dashboards = {file.name: file.read_text() for file in (CHART / "files/dashboards").glob("*.json")}
        maps = [one for one in of_kind(everything, "ConfigMap") if "release" not in one["data"]]
        shown = {name: text for one in maps for name, text in one["data"].items()}
        self.assertEqual(set(shown), set(dashboards))
        for name, text in shown.items():
            self.assertEqual(yaml.safe_load(text), yaml.safe_load(dashboards[name]))
        for one in maps:
            self.assertEqual(one["metadata"]["labels"]["grafana_dashboard"], "1")

    def test_links_of_the_dashboard_lead_where_the_user_keeps_the_runbooks(self):
        values = {
            "metrics": {
                "prometheusRule": {"runbooksUrl": "https://wiki.example.com/runbooks/"},
                "grafanaDashboard": {"enabled": True},
            }
        }
        (dashboard,) = of_kind(rendered(SETS["minimal"], values), "ConfigMap")
        (text,) = dashboard["data"].values()
        (link,) = json.loads(text)["links"]
        self.assertEqual(link["url"], "https://wiki.example.com/runbooks/README.md")
        self.assertIn("https://wiki.example.com/runbooks/CheckoutConsumerBehind.md", text)
        self.assertNotIn("checkout.example", text)

    def test_templates_of_alerts_are_kept_and_their_links_lead_where_the_user_says(self):
        rules = """groups:
  - name: some
    rules:
      - alert: Some
        expr: up == 0
        annotations:
          description: "{{ $labels.instance }}"
          runbook_url: https://checkout.example/docs/runbooks/CheckoutTargetDown.md
          dashboard_url: https://grafana.example/d/checkout
"""
        with tempfile.TemporaryDirectory() as folder:
            chart = Path(folder) / "checkout"
            shutil.copytree(CHART, chart)
            (chart / "files/rules").mkdir(parents=True, exist_ok=True)
            (chart / "files/rules/some.yml").write_text(rules)
            values = {
                "runbooksUrl": "https://wiki.example.com/runbooks/",
                "dashboardUrl": "https://grafana.example.com/d/checkout?var-job=x",
            }
            values = {"metrics": {"prometheusRule": {"enabled": True, **values}}}
            found = of_kind(rendered(SETS["minimal"], values, chart), "PrometheusRule")
        (some,) = [one for one in found if one["metadata"]["name"] == "shop-checkout-some"]
        annotations = some["spec"]["groups"][0]["rules"][0]["annotations"]
        self.assertEqual(annotations["description"], "{{ $labels.instance }}")
        self.assertEqual(annotations["runbook_url"], "https://wiki.example.com/runbooks/CheckoutTargetDown.md")
        self.assertEqual(annotations["dashboard_url"], "https://grafana.example.com/d/checkout?var-job=x")

    def test_nothing_of_the_operators_by_default(self):
        kinds = {one["kind"] for one in objects("minimal")}
        self.assertFalse(kinds & {"ServiceMonitor", "PrometheusRule", "ScaledObject", "ConfigMap", "Secret"})
        self.assertFalse({one["kind"] for name in SETS for one in objects(name)} & {"Secret", "Role", "RoleBinding"})


class ExtraObjects(unittest.TestCase):
    def test_templates_in_them_are_rendered(self):
        (extra,) = [one for one in of_kind(objects("everything"), "ConfigMap") if "release" in one["data"]]
        self.assertEqual(extra["metadata"]["name"], "shop-vouchers-extra")
        self.assertEqual(extra["data"], {"release": "shop"})
