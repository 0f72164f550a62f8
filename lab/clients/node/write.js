// Writes orders with kafkajs, case by case as stdin asks. The protocol: ../writers.py.

import { readFileSync } from 'node:fs';
import { SchemaRegistry, SchemaType } from '@kafkajs/confluent-schema-registry';
import kafkajs from 'kafkajs';
import SnappyCodec from 'kafkajs-snappy';

const { CompressionCodecs, CompressionTypes, Kafka, Partitioners, logLevel } = kafkajs;
CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec;

const topic = process.env.ORDER_STATUS_TOPIC;
const kafka = new Kafka({
  clientId: 'clients-node',
  brokers: process.env.KAFKA_BOOTSTRAP_SERVERS.split(','),
  logLevel: logLevel.NOTHING,
});

// JavaScript has no decimals: the total is a string.
const schema = JSON.stringify({
  type: 'record',
  name: 'OrderChanged',
  namespace: 'shop.node',
  fields: [
    { name: 'order_id', type: 'string' },
    { name: 'status', type: 'string' },
    { name: 'total', type: 'string' },
    { name: 'currency', type: 'string' },
  ],
});

const json = async () => (order) => JSON.stringify({ ...order, total: Number(order.total) });

const numbered = async () => (order) => JSON.stringify({ ...order, order_id: Number(order.order_id) });

const avro = async () => {
  const registry = new SchemaRegistry({ host: process.env.SCHEMA_REGISTRY_URL });
  const { id } = await registry.register(
    { type: SchemaType.AVRO, schema },
    { subject: 'shop.node.OrderChanged' },
  );
  return (order) => registry.encode(id, order);
};

// Settings of the producer, of a batch, and how a value is made.
const cases = {
  'JSON, DefaultPartitioner, gzip': [
    { createPartitioner: Partitioners.DefaultPartitioner },
    { compression: CompressionTypes.GZIP },
    json,
  ],
  'JSON, LegacyPartitioner, snappy, order_id a number': [
    { createPartitioner: Partitioners.LegacyPartitioner },
    { compression: CompressionTypes.Snappy },
    numbered,
  ],
  'JSON, idempotent': [{ idempotent: true, maxInFlightRequests: 1 }, {}, json],
  'JSON, transactional': [
    { transactionalId: 'clients-node', idempotent: true, maxInFlightRequests: 1 },
    {},
    json,
  ],
  'Avro by confluent-schema-registry, total as text': [{}, {}, avro],
};

async function write(name, orders, aborted) {
  const [settings, batch, makeValue] = cases[name];
  const valueOf = await makeValue();
  const messages = (some) =>
    Promise.all(some.map(async (order) => ({ key: order.order_id, value: await valueOf(order) })));
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, ...settings });
  await producer.connect();
  try {
    if (settings.transactionalId) {
      const lost = await producer.transaction();
      await lost.send({ topic, messages: await messages(aborted) });
      await lost.abort();
      const kept = await producer.transaction();
      await kept.send({ topic, messages: await messages(orders) });
      await kept.commit();
    } else {
      await producer.send({ topic, ...batch, messages: await messages(orders) });
    }
  } finally {
    await producer.disconnect();
  }
}

for (const { case: name, orders, aborted } of JSON.parse(readFileSync(0, 'utf8'))) {
  let error = null;
  try {
    await write(name, orders, aborted);
  } catch (problem) {
    error = String(problem);
  }
  console.log(JSON.stringify({ case: name, error }));
}
