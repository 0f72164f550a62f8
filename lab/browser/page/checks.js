// Checks that hold for every view.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Fails when axe finds anything in the page as it is. */
export async function axeFindsNothing(page, where) {
  // Injected through the debugger, because the page's content security policy rightly refuses foreign
  // scripts.
  await page.evaluate(AXE);
  const findings = await page.evaluate(async () => {
    const { violations } = await window.axe.run(document, {
      resultTypes: ['violations'],
      // Not on by default; WCAG 2.2 asks for it.
      rules: { 'target-size': { enabled: true } },
    });
    return violations.flatMap(({ id, help, nodes }) =>
      nodes.map(({ target, failureSummary }) => ({ id, help, target: target.join(' '), failureSummary })),
    );
  });
  assert.deepEqual(findings, [], `axe found something in ${where}`);
}

/** Fails when the page or an open dialog can be scrolled sideways, or something sticks out of it. */
export async function fitsItsWidth(page, where) {
  const { content, width, wide, dialogs } = await page.evaluate(() => {
    const root = document.scrollingElement;
    const sticksOut = (element) => element.getBoundingClientRect().right > innerWidth + 1;
    // Elements inside a box that scrolls by itself, such as a block of hex, do not widen the page.
    const isOwn = (element) => {
      for (let box = element.parentElement; box; box = box.parentElement) {
        if (['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(box).overflowX)) return false;
      }
      return true;
    };
    const wide = [...document.querySelectorAll('body *')].filter((one) => sticksOut(one) && isOwn(one));
    // A dialog scrolls by itself, but only down.
    const dialogs = [...document.querySelectorAll('dialog[open]')].filter((one) => one.scrollWidth > one.clientWidth);
    return {
      dialogs: dialogs.map((dialog) => `${dialog.scrollWidth} px in ${dialog.clientWidth} px`),
      content: root.scrollWidth,
      width: root.clientWidth,
      wide: wide.slice(0, 5).map((element) => element.outerHTML.slice(0, 120)),
    };
  });
  assert.ok(content <= width, `${where} is ${content} px wide in ${width} px`);
  assert.deepEqual(wide, [], `something sticks out of ${where}`);
  assert.deepEqual(dialogs, [], `the dialog of ${where} is too wide`);
}

/** Fails when something in the page moves by itself. */
export async function nothingMoves(page, where) {
  const moving = await page.evaluate(() =>
    document
      .getAnimations()
      .filter((animation) => animation.playState === 'running')
      // A transition without a duration is no animation.
      .filter((animation) => animation.effect.getComputedTiming().activeDuration > 1)
      .map(({ effect }) => effect.target.outerHTML.slice(0, 120)),
  );
  assert.deepEqual(moving, [], `something moves in ${where}`);
}
