"""The system under test: the services on the stack that `run` has started, a little traffic, and Prometheus.

    producer ──▶ orders' gate ──▶ Postgres ◀── vouchers' gate ◀── sink
"""

import json
import subprocess
import threading
import time
import urllib.error
import urllib.request

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

import environment
from environment import GROUP, ORDER_STATUS, VOUCHERS_TOPIC
from processes import Gate, Service
from prometheus import Prometheus
from wait import until

# Clients of the ingress, with their keys. "shop" sends the traffic. RATE is the limit of each client.
KEYS = {"shop": "shop-key-of-the-lab-1", "flood": "flood-key-of-the-lab-1"}
RATE = 40

WEEK = "604800000"


class System:
    def __init__(self):
        self.prometheus = Prometheus()
        self.orders_gate, self.vouchers_gate = Gate(environment.ORDERS), Gate(environment.VOUCHERS)
        self.keys_file = environment.WORK / "keys"
        self.producer = Service("producer", "producer", {
            "DATABASE_URL": self.orders_gate.url,
            "API_KEYS_FILE": str(self.keys_file),
            "API_KEY_RATE": str(RATE),
            "API_KEY_BURST": str(RATE),
            # Few enough that a fault can use all of them.
            "HTTP_CONNECTIONS": "64",
            "DATABASE_POOL": "4",
        })
        self.processor = self.new_processor("processor", "monitoring", {})
        self.sink = Service("sink", "sink", {"DATABASE_URL": self.vouchers_gate.url})
        self.traffic = Traffic(self)
        self.kafka = Producer({"bootstrap.servers": environment.BROKERS})
        self.admin = AdminClient({"bootstrap.servers": environment.BROKERS})

    @staticmethod
    def new_processor(name, instance, variables):
        return Service(name, "processor", {
            "VOUCHER_SIGNING_KEY": environment.SIGNING_KEY, "PROCESSOR_INSTANCE_ID": instance, **variables})

    def start(self):
        self.write_keys()
        for gate in [self.orders_gate, self.vouchers_gate]:
            gate.open()
        services = {"producer": self.producer, "processor": self.processor, "sink": self.sink}
        for name, service in services.items():
            self.prometheus.targets[service.address] = f"checkout-{name}"
            service.start()
        for service in services.values():
            service.ready()
        self.traffic.start()
        self.prometheus.start()

    def stop(self):
        self.traffic.stop()
        for service in [self.producer, self.processor, self.sink, self.prometheus.process]:
            service.stop()

    def write_keys(self, text=None):
        """Writes the file of keys in one step."""
        if text is None:
            text = "".join(f"{client} {key}\n" for client, key in KEYS.items())
        new = self.keys_file.with_suffix(".new")
        new.write_text(text)
        new.chmod(0o600)
        new.rename(self.keys_file)

    def request(self, method, path, body=None, client="shop"):
        """Returns the status of an answer."""
        request = urllib.request.Request(
            f"{self.producer.url}{path}", method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"authorization": f"Bearer {KEYS[client]}", "content-type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as answer:
                answer.read()
                return answer.status
        except urllib.error.HTTPError as error:
            error.read()
            return error.code

    def write(self, topic, records):
        """Writes records, pairs of key and value, as any client would."""
        for key, value in records:
            while True:
                try:
                    self.kafka.produce(topic, key=key, value=value)
                    break
                except BufferError:
                    self.kafka.poll(0.1)
        assert self.kafka.flush(60) == 0, f"not all records were written to {topic}"

    def configure(self, topic, name, value):
        """Sets one setting of a topic, and leaves the others as they are."""
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        for done in self.admin.incremental_alter_configs([resource]).values():
            done.result(30)

    def set_retention(self, milliseconds):
        """Sets how long order-status keeps every record, and lets the processor read it."""
        self.configure(ORDER_STATUS, "min.compaction.lag.ms", milliseconds)
        self.processor.restart()
        seconds = int(milliseconds) / 1000
        until("the processor to know the topic's setting", lambda: self.processor.metric(
            "checkout_topic_guaranteed_retention_seconds") == seconds)

    def committed(self):
        """Returns the group's offsets of order-status, where it has any."""
        asker = Consumer({"bootstrap.servers": environment.BROKERS, "group.id": GROUP})
        partitions = asker.list_topics(ORDER_STATUS, timeout=30).topics[ORDER_STATUS].partitions
        offsets = asker.committed([TopicPartition(ORDER_STATUS, number) for number in partitions], timeout=30)
        asker.close()
        return [one for one in offsets if one.offset >= 0]

    def commit(self, offsets):
        """Sets the group's offsets, while it has no member."""
        def is_set():
            request = [ConsumerGroupTopicPartitions(GROUP, offsets)]
            for done in self.admin.alter_consumer_group_offsets(request).values():
                return all(one.error is None for one in done.result(10).topic_partitions)
        # A member that was stopped stays in the group for its session's timeout.
        until("the group's offsets to be set", is_set)

    def psql(self, *statements):
        """Starts a session of the orders' database that runs these statements and stays until it is killed."""
        session = subprocess.Popen(
            ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", environment.ORDERS], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        session.stdin.write("".join(f"{statement};\n" for statement in statements) + "\\echo done\n")
        session.stdin.flush()
        said = []
        while line := session.stdout.readline():
            said.append(line)
            if line == "done\n":
                return session
        raise RuntimeError(f"psql ended: {''.join(said)}")


class Traffic:
    """Places and sends a few orders each second, and lists them, whatever the answers are."""

    def __init__(self, system):
        self.system, self.stopping, self.number = system, threading.Event(), 0
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.thread.start()

    def stop(self):
        self.stopping.set()
        if self.thread.is_alive():
            self.thread.join(30)

    def run(self):
        while not self.stopping.is_set():
            self.number += 1
            order = f"traffic-{self.number}"
            for method, path, body in [
                ("POST", "/orders", {"order_id": order, "total": "120.00" if self.number % 2 else "80.00"}),
                ("PATCH", f"/orders/{order}", {"status": "SENT"}),
                ("GET", f"/orders/{order}", None),
            ]:
                try:
                    self.system.request(method, path, body)
                except OSError:
                    pass  # the producer is away
            # The pace of the traffic.
            time.sleep(0.3)
