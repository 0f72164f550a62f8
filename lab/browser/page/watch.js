// Events that must never happen in a page of the console, whatever a test does with it.

import assert from 'node:assert/strict';

// The browser's own words for an answer that is an error. Such answers are shown by the page.
const FAILED_REQUEST = /^Failed to load resource/;

export class Watch {
  #origin;
  #seen = [];

  /** @param {string} address of the console */
  constructor(address) {
    this.#origin = new URL(address).origin;
  }

  /** Watches every page of a context. */
  async over(context) {
    await context.exposeBinding('reportToTest', (_, sentence) => this.#note(sentence));
    await context.addInitScript(() => {
      addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI, sample }) => {
        window.reportToTest(`the policy was violated: ${effectiveDirective} by ${blockedURI} ${sample}`);
      });
    });
    context.on('dialog', (dialog) => {
      this.#note(`a dialog opened: ${dialog.message()}`);
      dialog.dismiss().catch(() => {});
    });
    context.on('weberror', (error) => this.#note(`an error was not handled: ${error.error().stack}`));
    context.on('console', (message) => {
      if (message.type() !== 'error' || FAILED_REQUEST.test(message.text())) return;
      this.#note(`the page complained: ${message.text()}`);
    });
    context.on('request', (request) => {
      const { origin, protocol } = new URL(request.url());
      if (origin !== this.#origin && protocol !== 'data:') this.#note(`a request went to ${request.url()}`);
    });
  }

  #note(sentence) {
    this.#seen.push(sentence);
  }

  check() {
    assert.deepEqual(this.#seen, [], 'something happened that must never happen');
  }
}
