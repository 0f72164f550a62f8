// Makes the HTTP requests that stdin asks for: `node ask.js fetch` or `node ask.js http`. The
// protocol: ../routes.py.

import http from 'node:http';
import { createInterface } from 'node:readline';

const address = process.env.PRODUCER_HTTP_ADDR;

async function byFetch({ method, path, headers, body }) {
  const answer = await fetch(`http://${address}${path}`, { method, headers, body });
  return {
    status: answer.status,
    headers: Object.fromEntries(answer.headers),
    body: await answer.text(),
  };
}

const agent = new http.Agent({ keepAlive: true });

function byHttp({ method, path, headers, body }) {
  return new Promise((resolve, reject) => {
    const request = http.request(`http://${address}${path}`, { method, headers, agent }, (answer) => {
      answer.setEncoding('utf8');
      let text = '';
      answer.on('data', (part) => {
        text += part;
      });
      answer.on('end', () =>
        resolve({ status: answer.statusCode, headers: answer.headers, body: text }),
      );
    });
    request.on('error', reject);
    // The length of a body that is written in parts is unknown, so it is sent in chunks.
    if (body !== null) {
      const half = body.length >> 1;
      request.write(body.slice(0, half));
      request.write(body.slice(half));
    }
    request.end();
  });
}

const ask = { fetch: byFetch, http: byHttp }[process.argv[2]];
for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = await ask(JSON.parse(line));
  } catch (problem) {
    answer = { error: `${problem}${problem.cause ? `: ${problem.cause}` : ''}` };
  }
  console.log(JSON.stringify(answer));
}
process.exit();
