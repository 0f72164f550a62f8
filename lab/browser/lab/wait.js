// Waiting for a condition: the only way in which anything here waits.

const POLL_MILLIS = 100;

/**
 * Calls `condition` until it returns something, and returns that.
 *
 * @param {string} what is named when it does not come in time, such as "the row of web-1"
 * @param {function(): unknown} condition a failure counts as "not yet", and is told at the deadline
 * @param {{seconds?: number}} [options]
 */
export async function until(what, condition, { seconds = 60 } = {}) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    let failure = null;
    try {
      const found = await condition();
      if (found) return found;
    } catch (error) {
      failure = error;
    }
    if (Date.now() > deadline) {
      throw new Error(`waited ${seconds} s for ${what}${failure ? `: ${failure.message}` : ''}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MILLIS));
  }
}

/** Returns the result of a promise, or fails at the deadline. */
export async function within(what, promise, { seconds }) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${seconds} s for ${what}`)), seconds * 1000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
