// What a person does on the page, in a real browser.
//
//     node check.mjs CHROMIUM URL [FOLDER]
//
// In FOLDER pictures are left, in three widths, light and dark.
import { chromium } from "playwright-core";
import assert from "node:assert/strict";
import { join } from "node:path";

const [executablePath, url, folder] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const complaints = [];

async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(url)) complaints.push(`it asks elsewhere: ${request.url()}`);
  });
  return page;
}

const prompts = (count) => Array.from({ length: count }, (_, n) => `Prompt number ${n} <b>of</b> many`).join("\n");

async function submit(page, text, set = async () => {}) {
  await page.goto(`${url}/#/submit`);
  await page.getByLabel("Prompts").fill(text);
  await set();
  await page.getByRole("button", { name: "Submit" }).click();
  await page.waitForURL(/#\/jobs\/[0-9a-f-]{36}$/);
  return page.url().split("/").pop();
}

const state = (page, word) => page.locator(".tag", { hasText: new RegExp(`^${word}$`) }).first().waitFor();

async function submitted() {
  const page = await open();
  const id = await submit(page, prompts(20));
  await state(page, "completed");
  await page.getByText("20 of 20").waitFor();
  await page.locator(".pair").first().waitFor();
  const [asked, answer] = await page.locator(".pair").first().locator("pre").allTextContents();
  assert.ok(asked.includes("Prompt number 0 <b>of</b> many"), asked);
  assert.ok(answer.length > 0);
  assert.equal(await page.locator(".pair b").count(), 0, "text is no HTML");
  assert.ok(await page.getByRole("link", { name: "Download the answers" }).isVisible());
  await page.getByRole("link", { name: "Jobs" }).click();
  await page.getByRole("link", { name: id.slice(0, 8) }).waitFor();
  return id;
}

async function steered() {
  const page = await open();
  await submit(page, prompts(2000));
  await page.getByRole("button", { name: "Pause" }).click();
  await state(page, "paused");
  await page.getByRole("button", { name: "Resume" }).click();
  await state(page, "running");
  await page.getByLabel("Priority").selectOption("low");
  await page.locator("dd", { hasText: /^low$/ }).waitFor();
  const cancel = page.getByRole("button", { name: "Cancel" });
  await cancel.click();
  await page.getByRole("button", { name: "End it?" }).click();
  await state(page, "cancelled");
  await page.getByRole("button", { name: "Retry what failed" }).waitFor();
}

async function quoted() {
  const page = await open();
  await page.goto(`${url}/#/submit`);
  await page.getByLabel("Prompts").fill("one\ntwo\nthree");
  await page.getByRole("button", { name: "Quote" }).click();
  await page.getByRole("heading", { name: "Quote" }).waitFor();
  await page.locator("dd", { hasText: /^3$/ }).first().waitFor();
  await page.getByLabel("Prompts").fill('{"custom_id":"a","body":{"messages":7}}');
  await page.getByRole("button", { name: "Quote" }).click();
  await page.getByText("It would not be taken.").waitFor();
  assert.ok(page.url().endsWith("#/submit"), "nothing is submitted");
}

async function refused() {
  const page = await open();
  await page.goto(`${url}/#/submit`);
  await page.getByRole("button", { name: "Submit" }).click();
  await page.getByText("Choose a file, or type a prompt.").waitFor();
  const id = await submit(page, '{"custom_id":"a","body":{"messages":7}}\n{"custom_id":');
  await state(page, "failed");
  await page.getByText("The input did not validate: ").waitFor();
  return id;
}

async function looked() {
  const page = await open();
  await page.goto(`${url}/#/workers`);
  await page.getByText("slots busy").first().waitFor();
  await page.getByText("needed to keep every deadline").first().waitFor();
  await page.goto(`${url}/#/dead`);
  await page.getByText("Nothing was given up.").waitFor();
  await page.goto(`${url}/#/jobs/00000000-0000-7000-8000-000000000000`);
  const told = page.getByText("there is no job");
  await told.waitFor();
  const words = await told.elementHandle();
  for (let n = 0; n < 5; n += 1) await page.evaluate(() => fetch("/whoami").then((answer) => answer.text()));
  assert.ok(await words.evaluate((element) => element.isConnected), "it is told once, and not drawn again and again");
  complaints.splice(0, complaints.length, ...complaints.filter((text) => !text.includes("404")));
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
}

async function pictures(id) {
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1440, 820, 390]) {
      const page = await open({ colorScheme, viewport: { width, height: 900 } });
      for (const [name, hash] of [["jobs", "/"], ["job", `/jobs/${id}`], ["workers", "/workers"], ["dead", "/dead"], ["submit", "/submit"], ["keys", "/keys"]]) {
        await page.goto(`${url}/#${hash}`);
        await page.locator("h1").waitFor();
        if (name === "jobs") await page.locator("tbody tr").first().waitFor();
        if (name === "job") await page.locator(".pair").first().waitFor();
        if (name === "workers") await page.locator("tbody tr").first().waitFor();
        const wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
        assert.ok(!wide, `${name} is wider than ${width}`);
        await page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}.png`), fullPage: true });
      }
      await page.context().close();
    }
  }
}

try {
  const id = await submitted();
  for (const part of [steered, quoted, refused, looked]) {
    await part();
    console.log(`${part.name}: passed`);
  }
  if (folder) await pictures(id);
  assert.deepEqual(complaints, []);
  console.log("the page: all passed");
} finally {
  await browser.close();
}
