// The schema registry: schemas that are registered late, and values of them that can be typed.

import { STACK } from './environment.js';

/** Bytes at which Kafka's console producer ends a line. */
const LINE_ENDS = [0x0a, 0x0d];

let schemas = 0;

/**
 * Returns the ids that the next new schemas will have, without registering them. Nobody but these tests
 * registers schemas here, and the registry counts by ones.
 */
export async function nextSchemaIds(count) {
  for (;;) {
    const last = await register(newSchema());
    const ids = Array.from({ length: count }, (_, at) => last + 1 + at);
    if (!ids.some((id) => LINE_ENDS.includes(id))) return ids;
  }
}

/** Registers the schema of `avro`'s values under a new name. Returns its id. */
export function registerSchema() {
  return register(newSchema());
}

/**
 * Returns an order in Avro, as a text that Kafka's console producer writes byte for byte.
 *
 * @param {number} schemaId of `nextSchemaIds`, at most 127
 * @param {{order_id: string, status: string, total: string}} order texts of at most 63 characters, and
 *   not of 5, whose length is written as the end of a line
 */
export function avro(schemaId, order) {
  const id = String.fromCharCode(0, 0, 0, 0, schemaId);
  const fields = [order.order_id, order.status, order.total];
  // The length of a string is a zigzag varint: one byte below 64.
  return id + fields.map((text) => String.fromCharCode(text.length * 2) + text).join('');
}

// Each has another name, so that each is a new schema.
function newSchema() {
  schemas += 1;
  const string = (name) => ({ name, type: 'string' });
  return {
    type: 'record',
    name: `Order${process.pid}x${schemas}`,
    fields: ['order_id', 'status', 'total'].map(string),
  };
}

async function register(definition) {
  const answer = await fetch(`${STACK.registry}/subjects/${definition.name}/versions`, {
    method: 'POST',
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
    body: JSON.stringify({ schema: JSON.stringify(definition) }),
  });
  if (!answer.ok) throw new Error(`the registry answers ${answer.status}: ${await answer.text()}`);
  const { id } = await answer.json();
  return id;
}
