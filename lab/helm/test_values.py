"""Values that are wrong are refused, with a sentence that says what to write instead."""

import unittest

from chart import SETS, VALUES, template

MINIMAL = SETS["minimal"]


class Values(unittest.TestCase):
    def refused(self, values, *sentences, files=MINIMAL):
        code, output, errors = template(files, values)
        self.assertNotEqual(code, 0, f"{values} is accepted")
        for sentence in sentences:
            self.assertIn(sentence, errors)

    def test_without_values_the_first_missing_one_is_named(self):
        self.refused({}, "is not set: ", files=[])

    def test_every_required_value_is_named(self):
        for values, name in [
            ({"kafka": {"bootstrapServers": ""}}, "kafka.bootstrapServers"),
            ({"producer": {"database": {"existingSecret": ""}}}, "producer.database.existingSecret"),
            ({"sink": {"database": {"existingSecret": ""}}}, "sink.database.existingSecret"),
            ({"processor": {"signingKeys": {"existingSecret": ""}}}, "processor.signingKeys.existingSecret"),
            ({"producer": {"insecure": False}}, "producer.apiKeys.existingSecret"),
            ({"console": {"enabled": True}}, "console.keys.existingSecret"),
            ({"sink": {"keda": {"enabled": True}}}, "keda.prometheus.serverAddress"),
        ]:
            with self.subTest(name):
                self.refused(values, f"{name} is not set: ")

    def test_misspelt_names_are_refused(self):
        for values, name in [
            ({"procesor": {}}, "procesor"),
            ({"processor": {"replicas": 3}}, "replicas"),
            ({"image": {"tagg": "1"}}, "tagg"),
            ({"producer": {"database": {"existingSecrets": "x"}}}, "existingSecrets"),
            ({"networkPolicy": {"enable": True}}, "enable"),
            ({"sink": {"keda": {"maxReplicas": 3}}}, "maxReplicas"),
            ({"migrations": {"useHelmHook": True}}, "useHelmHook"),
            ({"processor": {"settings": {"VOUCHER_AMOUT": "5.00"}}}, "VOUCHER_AMOUT"),
            ({"settings": {"VOUCHER_TOPIC": "gifts"}}, "VOUCHER_TOPIC"),
        ]:
            with self.subTest(name):
                self.refused(values, name)

    def test_a_setting_of_another_component_is_refused(self):
        self.refused({"sink": {"settings": {"VOUCHER_AMOUNT": "5.00"}}}, "VOUCHER_AMOUNT")

    def test_secrets_are_refused_where_they_would_be_readable(self):
        for values in [
            {"processor": {"settings": {"VOUCHER_SIGNING_KEY": "hunter2"}}},
            {"producer": {"settings": {"DATABASE_URL": "postgres://u:p@h/d"}}},
            {"settings": {"SCHEMA_REGISTRY_PASSWORD": "hunter2"}},
            {"settings": {"SCHEMA_REGISTRY_TOKEN": "hunter2"}},
            {"kafka": {"properties": {"sasl.password": "hunter2"}}},
        ]:
            with self.subTest(values):
                self.refused(values)

    def test_kafka_has_its_properties_from_one_place(self):
        kafka = {"existingSecret": "user", "properties": {"security.protocol": "SSL"}}
        self.refused({"kafka": kafka}, "kafka.existingSecret and kafka.properties are both set")

    def test_values_out_of_range_are_refused(self):
        for values in [
            {"kafka": {"bootstrapServers": "SASL_SSL://kafka:9092"}},
            {"producer": {"database": {"sslMode": "verify_full"}}},
            {"processor": {"keda": {"minReplicaCount": 0}}},
            {"processor": {"replicaCount": "2"}},
            {"image": {"digest": "0123"}},
            {"migrations": {"steps": [{"name": "x", "command": ["console", "run"]}]}},
        ]:
            with self.subTest(values):
                self.refused(values)

    def test_a_grace_period_that_is_too_short_is_refused(self):
        values = {"producer": {"settings": {"HTTP_SHUTDOWN_DELAY": 20}}}
        self.refused(values, "producer.terminationGracePeriodSeconds is too short", "are 55 s")
        values["producer"]["terminationGracePeriodSeconds"] = 55
        self.assertEqual(template(MINIMAL, values)[0], 0)

    def test_the_grace_period_of_each_component_is_checked(self):
        # HTTP_SHUTDOWN_DELAY is 10 in these values.
        for component, sleep, needed in [
            ("producer", 10, 45),
            ("processor", 10, 35),
            ("sink", 6, 31),
            ("console", 10, 35),
        ]:
            with self.subTest(component):
                values = {component: {"preStopSleepSeconds": sleep, "terminationGracePeriodSeconds": needed - 1}}
                sentence = f"{component}.terminationGracePeriodSeconds is too short"
                self.refused(values, sentence, f"are {needed} s", files=SETS["everything"])
                values[component]["terminationGracePeriodSeconds"] = needed
                self.assertEqual(template(SETS["everything"], values)[0], 0)

    def test_a_delay_of_all_components_is_the_producers_alone(self):
        values = {"settings": {"HTTP_SHUTDOWN_DELAY": 20}}
        self.refused(values, "producer.terminationGracePeriodSeconds is too short", "are 55 s")
        values["producer"] = {"terminationGracePeriodSeconds": 55}
        self.assertEqual(template(MINIMAL, values)[0], 0)

    def test_steps_of_the_migrations_cannot_mount_two_secrets_at_one_path(self):
        values = {"sink": {"kafka": {"existingSecret": "sink"}}, "kafka": {"existingSecret": "all"}}
        self.refused(values, "the volume secret-kafka is another Secret in another step")
        values["migrations"] = {"kafka": {"existingSecret": "owner"}}
        self.assertEqual(template([VALUES / "minimal.yaml"], values)[0], 0)
