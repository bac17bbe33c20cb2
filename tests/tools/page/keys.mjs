// How a person signs in, where the door asks for a key.
//
//     node keys.mjs CHROMIUM URL
//
// JETBATCH_TEST_KEYS holds three keys with commas between them: one that may submit and read, one that may only read, and an
// admin's.
import { chromium } from "playwright-core";
import assert from "node:assert/strict";

const [executablePath, url] = process.argv.slice(2);
const [whole, reader, admin] = process.env.JETBATCH_TEST_KEYS.split(",");
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const context = await browser.newContext();
const page = await context.newPage();
page.setDefaultTimeout(60_000);
page.on("pageerror", (error) => assert.fail(String(error)));

async function signIn(key) {
  await page.getByLabel("Key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
}

const room = (name) => page.getByRole("link", { name, exact: true });

await page.goto(url);
await page.getByRole("heading", { name: "Sign in" }).waitFor();
assert.equal(await room("Jobs").isVisible(), false, "nothing is offered without a key");
await signIn("jb_wrong");
await page.getByText("the key is not known here").waitFor();
await signIn(whole);
await room("Submit").click();
await page.getByLabel("Prompts").fill("one\ntwo");
await page.getByRole("button", { name: "Submit" }).click();
await page.waitForURL(/#\/jobs\/[0-9a-f-]{36}$/);
await page.getByRole("button", { name: "Delete" }).waitFor();
assert.equal(await room("Workers").isVisible(), false, "workers are for those who may operate");
const kept = (await context.cookies()).find((cookie) => cookie.name === "jetbatch_key");
assert.ok(kept.httpOnly && kept.sameSite === "Strict" && kept.value === whole);
assert.equal(await page.evaluate(() => document.cookie), "", "no script sees it");

await page.getByRole("button", { name: "Sign out" }).click();
await page.getByRole("heading", { name: "Sign in" }).waitFor();
assert.equal((await context.cookies()).length, 0);
await signIn(reader);
await page.getByRole("link", { name: "Download the answers" }).waitFor();
assert.equal(await page.getByRole("button", { name: "Delete" }).count(), 0, "a reader is offered no order");
assert.equal(await room("Submit").isVisible(), false);
assert.equal(await room("Keys").isVisible(), false);

await page.getByRole("button", { name: "Sign out" }).click();
await page.getByRole("heading", { name: "Sign in" }).waitFor();
await signIn(admin);
await room("Keys").click();
await page.getByLabel("Name").fill("of the page");
await page.getByRole("button", { name: "Make it" }).click();
await page.locator("pre", { hasText: /^jb_/ }).waitFor();
const made = page.locator("tr", { hasText: "of the page" });
await made.getByRole("button", { name: "Revoke" }).click();
await made.getByRole("button", { name: "End it for good?" }).click();
await made.getByText("revoked", { exact: true }).waitFor();
await browser.close();
console.log("a person signs in and out");
