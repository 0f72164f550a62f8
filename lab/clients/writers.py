"""Other Kafka clients that write order statuses.

A writer is a program that reads jobs from stdin, one JSON array of

    {"case": NAME, "orders": [{"order_id", "status", "total", "currency"}, ...], "aborted": [...]}

with all values as text, writes the orders to $ORDER_STATUS_TOPIC as the case requires, and prints a line
{"case": NAME, "error": null or text} for each. In a case with transactions, the orders of "aborted" are
written in a transaction that is aborted; in other cases they are not written.
"""

import json
import subprocess
import threading
from dataclasses import dataclass, field

# The seconds that a writer has for all its cases.
DEADLINE = 150

VOUCHER, NONE = "one row", "no row"

# What every case writes: the number of the order, its status, total and currency, and what must become of
# the order in the end. Order 1 is written in three statuses, one of them twice.
LIFE = [
    (1, "PENDING", "150.00", "EUR", VOUCHER),
    (1, "SENT", "150.00", "EUR", VOUCHER),
    (1, "SENT", "150.00", "EUR", VOUCHER),
    (1, "DELIVERED", "150.00", "EUR", VOUCHER),
    (2, "SENT", "100.00", "EUR", VOUCHER),
    (3, "SENT", "99.99", "EUR", NONE),
    (4, "SENT", "150.00", "USD", NONE),
    (5, "CANCELLED", "200.00", "EUR", NONE),
    (6, "SENT", "-150.00", "EUR", "total_out_of_range"),
]
ABORTED = [(7, "SENT", "150.00", "EUR", NONE)]


@dataclass
class Writer:
    """A client, and the cases that its program knows."""

    name: str
    command: list
    cases: list
    # Cases in which every order becomes a dead letter, and its reason.
    dead: dict = field(default_factory=dict)
    # Cases that do not work yet, and the known defect: they must fail.
    defects: dict = field(default_factory=dict)

    def all_cases(self):
        return [*self.cases, *self.dead, *self.defects]


def writers(work, sources):
    """Returns all writers, with their programs in `work`."""
    return [
        Writer(
            "Python confluent-kafka",
            [work / "venv/bin/python", sources / "python/write.py"],
            [
                "JSON, defaults",
                "JSON, gzip",
                "JSON, lz4, idempotent",
                "JSON, partitioner murmur2_random",
                "JSON, transactional",
                "AvroSerializer, the topic's schema, zstd",
                "AvroSerializer, a schema of its own",
                "JSONSerializer",
            ],
        ),
        Writer(
            "Java kafka-clients",
            ["java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", work / "java/*",
             sources / "java/Writer.java", sources / "../../schemas/versions/order_status.1.avsc"],
            [
                "StringSerializer, defaults",
                "StringSerializer, snappy",
                "StringSerializer, zstd, total a number",
                "StringSerializer, not idempotent",
                "StringSerializer, transactional",
                "AvroKafkaSerializer, as Confluent's",
                "AvroKafkaSerializer, id in a header",
                "AvroKafkaSerializer, 8-byte id",
                "LongSerializer key",
                "IntegerSerializer key",
                "JsonConverter",
            ],
            dead={"JsonConverter with schemas": "wrapped_record"},
        ),
        Writer(
            "Node kafkajs",
            ["node", work / "node/write.js"],
            [
                "JSON, DefaultPartitioner, gzip",
                "JSON, LegacyPartitioner, snappy, order_id a number",
                "JSON, idempotent",
                "JSON, transactional",
                "Avro by confluent-schema-registry, total as text",
            ],
        ),
        Writer(
            "Go",
            [work / "go/write"],
            [
                "franz-go, defaults",
                "franz-go, zstd, transactional",
                "sarama, defaults (FNV-1a), snappy",
                "sarama, idempotent, transactional, lz4",
                "kafka-go, defaults (round robin)",
                "kafka-go, CRC32Balancer, gzip",
                "kafka-go, Murmur2Balancer",
            ],
        ),
    ]


@dataclass
class Job:
    """A case of a writer, and the first digits of its orders' ids."""

    writer: Writer
    case: str
    number: int
    error: str = None

    def order_id(self, order):
        # Digits, so that the same ids serve keys of 4 and 8 bytes.
        return f"{self.number}{order:02}"

    def expected(self):
        """Returns the expected outcome of each order, by its id."""
        dead = self.writer.dead.get(self.case)
        return {
            self.order_id(number): NONE if number == 7 else dead or outcome
            for number, *_, outcome in LIFE + ABORTED
        }

    def as_json(self):
        def orders(those):
            return [
                {"order_id": self.order_id(number), "status": status, "total": total, "currency": currency}
                for number, status, total, currency, _ in those
            ]
        return {"case": self.case, "orders": orders(LIFE), "aborted": orders(ABORTED)}


def jobs(all_writers):
    cases = [(writer, case) for writer in all_writers for case in writer.all_cases()]
    return [Job(writer, case, 1001 + at) for at, (writer, case) in enumerate(cases)]


def write(writer, its_jobs):
    """Runs a writer's program, and records in the jobs what it could not do."""
    asked = json.dumps([job.as_json() for job in its_jobs])
    program = subprocess.Popen(
        writer.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    killer = threading.Timer(DEADLINE, program.kill)
    killer.start()
    output, words = program.communicate(asked)
    killer.cancel()
    answers = {}
    for line in output.splitlines():
        answer = json.loads(line)
        answers[answer["case"]] = answer["error"]
    last_words = words.strip().splitlines()[-1:] or ["without a word"]
    for job in its_jobs:
        job.error = answers.get(job.case, f"the writer ended with {program.returncode}: {last_words[0]}")
