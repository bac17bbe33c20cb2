// A picture of the page as a person sees it now: node picture.mjs CHROMIUM URL HASH HEIGHT FILE
import { chromium } from "playwright-core";

const [executablePath, url, hash, height, path] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage({ viewport: { width: 900, height: Number(height) } });
  await page.goto(`${url}/#${hash}`);
  await page.locator("h1").waitFor();
  // What is drawn over time is to be seen, too.
  await page.waitForTimeout(8_000);
  await page.screenshot({ path });
} finally {
  await browser.close();
}
