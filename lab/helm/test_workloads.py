"""The pods: kinds, identity, settings, secrets, security, probes, and their shutdown."""

import re
import unittest

from chart import COMPONENTS, SETS, containers, environment, objects, of_kind, pods, rendered, workload
from settings import LIBPQ, is_read, readers

# Variables whose values are secrets, and which may come from a Secret alone.
SECRET = re.compile(r"DATABASE_URL|ORDERS_DATABASE_URL|VOUCHER_SIGNING_KEY|.*(PASSWORD|TOKEN)")


class Workloads(unittest.TestCase):
    def test_the_processor_is_a_stateful_set_whose_pods_do_not_wait_for_each_other(self):
        processor = workload(objects("minimal"), "processor")
        self.assertEqual(processor["kind"], "StatefulSet")
        self.assertEqual(processor["spec"]["podManagementPolicy"], "Parallel")
        names = [one["metadata"]["name"] for one in of_kind(objects("minimal"), "Service", "processor")]
        self.assertIn(processor["spec"]["serviceName"], names)

    def test_a_processors_name_is_that_of_its_pod(self):
        (container,) = workload(objects("minimal"), "processor")["spec"]["template"]["spec"]["containers"]
        entry = environment(container)["PROCESSOR_INSTANCE_ID"]
        self.assertEqual(entry["valueFrom"], {"fieldRef": {"fieldPath": "metadata.name"}})

    def test_producer_and_sink_are_deployments_and_no_order_is_refused_during_an_update(self):
        for component in ("producer", "sink"):
            self.assertEqual(workload(objects("minimal"), component)["kind"], "Deployment")
        strategy = workload(objects("minimal"), "producer")["spec"]["strategy"]["rollingUpdate"]
        self.assertEqual(strategy["maxUnavailable"], 0)

    def test_members_of_a_group_are_replaced_seconds_apart(self):
        for component in ("processor", "sink"):
            self.assertEqual(workload(objects("minimal"), component)["spec"]["minReadySeconds"], 5)

    def test_one_console_and_only_when_it_is_wanted(self):
        self.assertEqual(of_kind(objects("minimal"), "Deployment", "console"), [])
        self.assertEqual(workload(objects("everything"), "console")["spec"]["replicas"], 1)

    def test_a_component_that_is_disabled_leaves_nothing_behind(self):
        for component in ("producer", "processor", "sink"):
            values = {component: {"enabled": False}, "networkPolicy": {"enabled": True}}
            left = [
                one["kind"]
                for one in rendered(SETS["minimal"], values)
                if one["metadata"]["labels"]["app.kubernetes.io/component"] == component
            ]
            self.assertEqual(left, [], component)

    def test_selectors_select_their_own_pods_and_no_others(self):
        for name in SETS:
            every = {
                one["metadata"]["labels"]["app.kubernetes.io/component"]: one["spec"]["template"]["metadata"]
                for one in objects(name)
                if one["kind"] in ("Deployment", "StatefulSet", "Job")
            }
            for component in set(every) & set(COMPONENTS):
                selector = workload(objects(name), component)["spec"]["selector"]["matchLabels"]
                chosen = [of for of, pod in every.items() if selector.items() <= pod["labels"].items()]
                self.assertEqual(chosen, [component], name)
                self.assertNotIn("app.kubernetes.io/version", selector)

    def test_the_image_is_the_digest_or_the_charts_version(self):
        (container,) = workload(objects("minimal"), "sink")["spec"]["template"]["spec"]["containers"]
        self.assertRegex(container["image"], r"^checkout:\d+\.\d+\.\d+$")
        (container,) = workload(objects("everything"), "sink")["spec"]["template"]["spec"]["containers"]
        self.assertRegex(container["image"], r"^registry\.example\.com/shop/checkout@sha256:[0-9a-f]{64}$")


class Settings(unittest.TestCase):
    def test_every_variable_exists_and_the_component_reads_it(self):
        read = readers()
        for name in SETS:
            for pod, template in pods(objects(name)):
                for container in containers(template):
                    service, command = container["command"][0], container["args"][0]
                    for variable in environment(container):
                        if variable in LIBPQ or variable.startswith("OTEL_"):
                            continue
                        self.assertIn(variable, read, f"{name}, {pod}: docs/settings.md has no {variable}")
                        if variable in {"VOUCHERS_TOPIC", "AUDIT_TOPIC"}:
                            continue  # shared settings, of which not every service needs each
                        services = ["processor", "sink", "console"] if service == "console" else [service]
                        cells = [cell for one in services for cell in read[variable].get(one, [])]
                        # The Job has the environment of run, whose address check does not need.
                        wanted = {command, "run"} if service != "console" else {"run", "explain", "backfill"}
                        self.assertTrue(
                            any(is_read(cell, wanted) for cell in cells),
                            f"{name}, {pod}: {service} {command} does not read {variable}",
                        )

    def test_no_variable_is_set_twice(self):
        for name in SETS:
            for pod, template in pods(objects(name)):
                for container in containers(template):
                    names = [entry["name"] for entry in container["env"]]
                    self.assertEqual(len(names), len(set(names)), f"{name}, {pod}: {sorted(names)}")

    def test_numbers_are_written_as_the_services_read_them(self):
        (container,) = workload(objects("everything"), "producer")["spec"]["template"]["spec"]["containers"]
        values = environment(container)
        self.assertEqual(values["HTTP_BODY_LIMIT"]["value"], "1048576")
        self.assertEqual(values["HTTP_BULK_SPOOL_LIMIT"]["value"], "1073741824")
        self.assertEqual(values["OLD_ROUTES_WITHOUT_KEY"]["value"], "true")

    def test_properties_of_kafka_are_one_line_with_commas_escaped(self):
        values = {"kafka": {"properties": {"ssl.cipher.suites": "A,B", "linger.ms": 5}}}
        (container,) = workload(rendered(SETS["minimal"], values), "sink")["spec"]["template"]["spec"]["containers"]
        text = environment(container)["KAFKA_PROPERTIES"]["value"]
        self.assertEqual(text, "linger.ms=5,ssl.cipher.suites=A\\,B")

    def test_the_console_has_the_rule_and_the_groups_of_the_services(self):
        (console,) = workload(objects("everything"), "console")["spec"]["template"]["spec"]["containers"]
        (processor,) = workload(objects("everything"), "processor")["spec"]["template"]["spec"]["containers"]
        console, processor = environment(console), environment(processor)
        rule = {name for name in processor if name.startswith("VOUCHER") or name == "PROCESSOR_GROUP"}
        self.assertIn("VOUCHER_MIN_TOTAL", rule)
        for name in rule:
            self.assertEqual(console[name], processor[name])
        self.assertEqual(console["SINK_GROUP"]["value"], "gifts-sink")
        self.assertNotIn("PROCESSOR_TASKS", console)

    def test_the_console_knows_the_names_of_the_services(self):
        everything = objects("everything")
        (console,) = workload(everything, "console")["spec"]["template"]["spec"]["containers"]
        ports = {
            one["metadata"]["name"]: [port["port"] for port in one["spec"]["ports"]]
            for one in of_kind(everything, "Service")
        }
        for variable in ("PRODUCER_URLS", "PROCESSOR_URLS", "SINK_URLS", "ORDERS_URL"):
            url = environment(console)[f"CONSOLE_{variable}"]["value"]
            host, port = url.removeprefix("http://").split(":")
            self.assertIn(int(port), ports[host], variable)

    def test_the_console_knows_the_orders_and_the_viewer_of_traces(self):
        (console,) = workload(objects("everything"), "console")["spec"]["template"]["spec"]["containers"]
        variables = environment(console)
        secret = variables["ORDERS_DATABASE_URL"]["valueFrom"]["secretKeyRef"]
        self.assertEqual(secret, {"name": "orders-reader", "key": "uri"})
        self.assertEqual(variables["CONSOLE_TRACE_URL"]["value"], "https://traces.example.com/{trace_id}")


class Secrets(unittest.TestCase):
    def test_secrets_are_files_and_the_only_other_one_comes_from_a_secret(self):
        for name in SETS:
            for pod, template in pods(objects(name)):
                for container in containers(template):
                    for variable, entry in environment(container).items():
                        if SECRET.fullmatch(variable):
                            self.assertIn(variable, {"DATABASE_URL", "ORDERS_DATABASE_URL"}, f"{name}, {pod}")
                            self.assertIn("secretKeyRef", entry["valueFrom"], f"{name}, {pod}")

    def test_a_configuration_file_keeps_the_environment_free_of_secrets(self):
        for pod, template in pods(objects("config-file")):
            for container in containers(template):
                variables = environment(container)
                self.assertFalse([one for one in variables if SECRET.fullmatch(one)], pod)
                self.assertEqual(variables["CHECKOUT_CONFIG"]["value"], "/etc/checkout/config/checkout.toml")
        volumes = workload(objects("config-file"), "sink")["spec"]["template"]["spec"]["volumes"]
        self.assertEqual([one["secret"]["secretName"] for one in volumes], ["sink-config"])

    def test_the_example_of_configuration_files_gives_each_pod_its_own(self):
        secrets = {
            "producer": "producer-config",
            "processor": None,
            "sink": "sink-config",
            "migrations": "owner-config",
        }
        for pod, template in pods(objects("example-config-file")):
            volumes = {one["name"]: one.get("secret", {}) for one in template["spec"].get("volumes", [])}
            component = template["metadata"]["labels"]["app.kubernetes.io/component"]
            self.assertEqual(volumes.get("secret-config", {}).get("secretName"), secrets.pop(component), pod)
            for container in containers(template):
                self.assertFalse([one for one in environment(container) if SECRET.fullmatch(one)], pod)
        self.assertEqual(secrets, {})

    def test_every_file_that_a_variable_names_is_mounted_from_a_secret(self):
        files = 0
        for name in SETS:
            for pod, template in pods(objects(name)):
                secrets = {one["name"] for one in template["spec"].get("volumes", []) if "secret" in one}
                for container in containers(template):
                    mounted = [
                        one["mountPath"] + "/"
                        for one in container.get("volumeMounts", [])
                        if one["name"] in secrets and one.get("readOnly")
                    ]
                    values = [entry.get("value", "") for entry in container["env"]]
                    for path in re.findall(r"/etc/checkout/[^,\s]+", " ".join(values)):
                        files += 1
                        self.assertTrue(
                            any(path.startswith(one) for one in mounted), f"{name}, {pod}: {path} in {mounted}"
                        )
        self.assertGreater(files, 20)

    def test_only_owner_and_group_can_read_secrets(self):
        for name in SETS:
            for pod, template in pods(objects(name)):
                for volume in template["spec"].get("volumes", []):
                    if "secret" in volume:
                        self.assertEqual(volume["secret"]["defaultMode"], 0o440, f"{name}, {pod}")

    def test_volumes_and_mounts_belong_together(self):
        for name in SETS:
            for pod, template in pods(objects(name)):
                volumes = [one["name"] for one in template["spec"].get("volumes", [])]
                self.assertEqual(len(volumes), len(set(volumes)), f"{name}, {pod}")
                mounts = [one for container in containers(template) for one in container.get("volumeMounts", [])]
                self.assertEqual({one["name"] for one in mounts}, set(volumes), f"{name}, {pod}")

    def test_a_component_has_its_own_user_of_kafka(self):
        for component, secret in [("producer", "kafka-producer"), ("sink", "kafka-user")]:
            volumes = workload(objects("everything"), component)["spec"]["template"]["spec"]["volumes"]
            (volume,) = [one for one in volumes if one["name"] == "secret-kafka"]
            self.assertEqual(volume["secret"]["secretName"], secret)


class Pods(unittest.TestCase):
    def test_every_container_is_confined(self):
        for name in SETS:
            for pod, template in pods(objects(name)):
                spec = template["spec"]
                self.assertTrue(spec["securityContext"]["runAsNonRoot"], f"{name}, {pod}")
                self.assertEqual(spec["securityContext"]["runAsUser"], 65532)
                self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                self.assertIs(spec["automountServiceAccountToken"], False)
                self.assertIs(spec["enableServiceLinks"], False)
                for container in containers(template):
                    context = container["securityContext"]
                    self.assertIs(context["readOnlyRootFilesystem"], True, f"{name}, {pod}")
                    self.assertIs(context["allowPrivilegeEscalation"], False)
                    self.assertEqual(context["capabilities"], {"drop": ["ALL"]})

    def test_every_container_has_requests_and_a_limit_of_memory(self):
        for name in SETS:
            for pod, template in pods(objects(name)):
                for container in containers(template):
                    resources = container["resources"]
                    self.assertEqual(set(resources["requests"]), {"cpu", "memory"}, f"{name}, {pod}")
                    # A limit of CPU would delay a service whose neighbours are idle.
                    self.assertEqual(set(resources["limits"]), {"memory"}, f"{name}, {pod}")

    def test_a_pod_that_waits_is_not_restarted(self):
        for component in COMPONENTS:
            (container,) = workload(objects("everything"), component)["spec"]["template"]["spec"]["containers"]
            self.assertEqual(container["livenessProbe"]["httpGet"]["path"], "/livez")
            self.assertEqual(container["startupProbe"]["httpGet"]["path"], "/livez")
            self.assertEqual(container["readinessProbe"]["httpGet"]["path"], "/readyz")
            address = environment(container).get("HTTP_ADDR") or environment(container)["CONSOLE_HTTP_ADDR"]
            (port,) = container["ports"]
            self.assertEqual(address["value"], f"0.0.0.0:{port['containerPort']}")

    def test_balancers_notice_before_the_producer_stops(self):
        for component in ("producer", "console"):
            spec = workload(objects("everything"), component)["spec"]["template"]["spec"]
            (container,) = spec["containers"]
            sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
            self.assertGreaterEqual(sleep, 10)
            self.assertGreaterEqual(spec["terminationGracePeriodSeconds"], sleep + 30)

    def test_a_zero_sleep_is_left_out(self):
        # Kubernetes accepts it since 1.32 only.
        (container,) = workload(objects("minimal"), "processor")["spec"]["template"]["spec"]["containers"]
        self.assertNotIn("lifecycle", container)

    def test_pods_are_spread_unless_that_is_taken_away(self):
        for component in ("producer", "processor", "sink"):
            template = workload(objects("minimal"), component)["spec"]["template"]
            spread = template["spec"]["topologySpreadConstraints"]
            keys = [one["topologyKey"] for one in spread]
            self.assertEqual(keys, ["kubernetes.io/hostname", "topology.kubernetes.io/zone"])
            for one in spread:
                labels = template["metadata"]["labels"]
                self.assertLessEqual(one["labelSelector"]["matchLabels"].items(), labels.items())
        template = workload(objects("everything"), "producer")["spec"]["template"]
        self.assertNotIn("topologySpreadConstraints", template["spec"])

    def test_the_producer_may_write_its_temporary_files_and_is_not_evicted_for_them(self):
        spec = workload(objects("minimal"), "producer")["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        (mount,) = [one for one in container["volumeMounts"] if one["mountPath"] == "/tmp"]
        (volume,) = [one for one in spec["volumes"] if one["name"] == mount["name"]]
        limit = int(environment(container)["HTTP_BULK_SPOOL_LIMIT"]["value"])
        self.assertGreater(int(volume["emptyDir"]["sizeLimit"]), limit)

    def test_keys_are_wanted_unless_the_producer_is_insecure(self):
        (insecure,) = workload(objects("minimal"), "producer")["spec"]["template"]["spec"]["containers"]
        self.assertIn("--insecure", insecure["args"])
        (secure,) = workload(objects("everything"), "producer")["spec"]["template"]["spec"]["containers"]
        self.assertNotIn("--insecure", secure["args"])
        self.assertIn("API_KEYS_FILE", environment(secure))

    def test_what_a_user_adds_is_there(self):
        template = workload(objects("everything"), "producer")["spec"]["template"]
        (container,) = template["spec"]["containers"]
        self.assertEqual(container["args"], ["run", "--log-format", "json"])
        self.assertIn("OTEL_RESOURCE_ATTRIBUTES", environment(container))
        for component in COMPONENTS:
            (other,) = workload(objects("everything"), component)["spec"]["template"]["spec"]["containers"]
            self.assertIn("OTEL_EXPORTER_OTLP_ENDPOINT", environment(other))
        self.assertEqual(template["metadata"]["annotations"], {"example.com/note": "producer"})
        self.assertEqual(template["metadata"]["labels"]["example.com/team"], "shop")
        for field in ("nodeSelector", "tolerations", "affinity", "priorityClassName", "imagePullSecrets"):
            self.assertIn(field, template["spec"])
