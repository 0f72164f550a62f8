"""What became of orders: rows in Postgres, and dead letters."""

import collections
import json
import os
import subprocess
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

DEADLINE = 90


def sql(database, statement):
    done = subprocess.run(
        ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--field-separator=\t",
         "--set=ON_ERROR_STOP=1", "--command", statement, os.environ[database]],
        capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def records(topic):
    """Returns all committed records of a topic."""
    consumer = Consumer({
        "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        "group.id": "clients-judge",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
    })
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    found, open_partitions = [], set(partitions)
    while open_partitions:
        record = consumer.poll(30)
        if record is None:
            raise TimeoutError(f"partitions {open_partitions} of {topic} cannot be read")
        if record.error() is None:
            found.append(record)
        elif record.error().code() == KafkaError._PARTITION_EOF:
            open_partitions.discard(record.partition())
        else:
            raise RuntimeError(record.error())
    consumer.close()
    return found


def unread(group, topic):
    """Returns the number of partitions with records that the group has not read yet."""
    ends = {}
    for record in records(topic):
        ends[record.partition()] = max(record.offset() + 1, ends.get(record.partition(), 0))
    asker = Consumer({"bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"], "group.id": group})
    asked = [TopicPartition(topic, partition) for partition in ends]
    committed = asker.committed(asked, timeout=30) if asked else []
    asker.close()
    return sum(partition.offset < ends[partition.partition] for partition in committed)


def wait_until_done():
    """Waits until everything that was written has been processed, in the direction of the data flow."""
    stages = [
        ("rows wait in the outbox", lambda: int(sql("ORDERS_DATABASE_URL", "SELECT count(*) FROM outbox")[0][0])),
        ("partitions of order-status are not read to their end", lambda: unread("processor", "order-status")),
        ("partitions of vouchers are not read to their end", lambda: unread("sink", "vouchers")),
    ]
    deadline = time.monotonic() + DEADLINE
    for words, left in stages:
        while number := left():
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {DEADLINE} s {number} {words}")
            time.sleep(0.2)


def rows():
    """Returns the voucher rows by order."""
    found = collections.defaultdict(list)
    for order_id, amount, currency in sql(
        "VOUCHERS_DATABASE_URL", "SELECT order_id, amount, currency FROM vouchers"
    ):
        found[order_id].append(f"{amount} {currency}")
    return found


def order_of(key):
    """Returns the order that a record's key names, in any of the forms in which clients write keys."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return str(int.from_bytes(key, "big"))
    if text.startswith(("\"", "{")):
        key = json.loads(text)
        return key["payload"] if isinstance(key, dict) else key
    return text if text.isprintable() else str(int.from_bytes(key, "big"))


def dead_letters(topic):
    """Returns the dead letters of a topic by order: reason and message."""
    found = collections.defaultdict(list)
    for record in records(f"{topic}.dlq"):
        headers = dict(record.headers())
        found[order_of(record.key())].append(
            (headers["dlq.reason"].decode(), headers["dlq.message"].decode()))
    return found
