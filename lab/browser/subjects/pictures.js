// Pictures of every view, for a person to look at: target/browser/pictures.

import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import { PICTURES } from '../lab/environment.js';
import { keepPlacing } from '../lab/orders.js';
import { holds } from '../page/case.js';
import { everyView } from '../page/views.js';

const WIDTHS = { wide: { width: 1280, height: 800 }, narrow: { width: 320, height: 640 } };

for (const colorScheme of ['light', 'dark']) {
  holds(`every view is drawn, ${colorScheme}`, async ({ open }) => {
    await mkdir(PICTURES, { recursive: true });
    const views = await everyView(open);
    const end = new AbortController();
    const placing = keepPlacing(end.signal);
    try {
      for (const [width, viewport] of Object.entries(WIDTHS)) {
        for (const { name, path: address, as, isThere } of views) {
          const page = await open(address, { as, colorScheme, viewport });
          await isThere(page);
          const file = path.join(PICTURES, `${name}-${width}-${colorScheme}.png`);
          await page.screenshot({ path: file, fullPage: true, animations: 'disabled' });
          await page.close();
        }
      }
    } finally {
      end.abort();
      await placing;
    }
  }, { minutes: 8 });
}
