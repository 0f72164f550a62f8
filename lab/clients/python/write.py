"""Writes orders with Confluent's Python client (librdkafka), case by case as stdin asks.

The protocol is the same for every writer: see ../writers.py.
"""

import decimal
import json
import os
import sys

from confluent_kafka import Producer
from confluent_kafka.schema_registry import (
    SchemaRegistryClient,
    header_schema_id_serializer,
    record_subject_name_strategy,
)
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

TOPIC = os.environ["ORDER_STATUS_TOPIC"]
registry = SchemaRegistryClient({"url": os.environ["SCHEMA_REGISTRY_URL"]})

# A shop's own schema: other field order, amounts of two decimals, an enum and a field of its own.
SHOP_SCHEMA = json.dumps({
    "type": "record",
    "name": "OrderChanged",
    "namespace": "shop.python",
    "fields": [
        {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
        {"name": "channel", "type": ["null", "string"], "default": None},
        {"name": "status", "type": {
            "type": "enum", "name": "Status", "symbols": ["CANCELLED", "DELIVERED", "PENDING", "SENT"]}},
        {"name": "order_id", "type": "long"},
        {"name": "currency", "type": ["null", "string"]},
    ],
})

JSON_SCHEMA = json.dumps({
    "title": "OrderChanged",
    "type": "object",
    "properties": {
        "order_id": {"type": "string"},
        "status": {"type": "string"},
        "total": {"type": "number"},
        "currency": {"type": "string"},
    },
    "required": ["order_id", "status", "total"],
})


def with_decimal(order):
    return {**order, "total": decimal.Decimal(order["total"])}


def plain_json(order):
    return json.dumps({**order, "total": float(order["total"])}).encode(), None


def serialized(serializer, change):
    def value(order):
        headers = []
        context = SerializationContext(TOPIC, MessageField.VALUE, headers)
        return serializer(change(order), context), headers
    return value


def latest_schema(**more):
    return AvroSerializer(registry, conf={"auto.register.schemas": False, "use.latest.version": True, **more})


def shop_avro():
    own_subject = {"subject.name.strategy": record_subject_name_strategy}
    return serialized(
        AvroSerializer(registry, SHOP_SCHEMA, conf=own_subject),
        lambda order: {**with_decimal(order), "order_id": int(order["order_id"]), "channel": "web"},
    )


def json_schema():
    own_subject = {"subject.name.strategy": record_subject_name_strategy}
    return serialized(
        JSONSerializer(JSON_SCHEMA, registry, conf=own_subject),
        lambda order: {**order, "total": float(order["total"])},
    )


# Settings of the client, and how a value is made.
CASES = {
    "JSON, defaults": ({}, lambda: plain_json),
    "JSON, gzip": ({"compression.type": "gzip"}, lambda: plain_json),
    "JSON, lz4, idempotent": ({"compression.type": "lz4", "enable.idempotence": True}, lambda: plain_json),
    "JSON, partitioner murmur2_random": ({"partitioner": "murmur2_random"}, lambda: plain_json),
    "JSON, transactional": ({"transactional.id": "clients-python"}, lambda: plain_json),
    "AvroSerializer, the topic's schema, zstd": (
        {"compression.type": "zstd"}, lambda: serialized(latest_schema(), with_decimal)),
    "AvroSerializer, a schema of its own": ({}, shop_avro),
    "AvroSerializer, id in a header": (
        {}, lambda: serialized(latest_schema(**{"schema.id.serializer": header_schema_id_serializer}), with_decimal)),
    "JSONSerializer": ({}, json_schema),
}


def write(name, orders, aborted):
    settings, make_value = CASES[name]
    producer = Producer({
        "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        "client.id": "clients-python",
        "linger.ms": 50,
        **settings,
    })
    value_of = make_value()
    refused = []

    def send(some):
        for order in some:
            value, headers = value_of(order)
            producer.produce(
                TOPIC, value, order["order_id"], headers=headers,
                on_delivery=lambda error, _: error and refused.append(error))

    if "transactional.id" in settings:
        producer.init_transactions()
        producer.begin_transaction()
        send(aborted)
        producer.flush()
        producer.abort_transaction()
        refused.clear()
        producer.begin_transaction()
        send(orders)
        producer.commit_transaction()
    else:
        send(orders)
    left = producer.flush(30)
    if left or refused:
        raise RuntimeError(f"{left} not delivered, {refused}")


for case in json.load(sys.stdin):
    error = None
    try:
        write(case["case"], case["orders"], case["aborted"])
    except Exception as problem:
        error = f"{type(problem).__name__}: {problem}"
    print(json.dumps({"case": case["case"], "error": error}), flush=True)
