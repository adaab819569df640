// Plays the asciicast on standard input as fast as it goes, without a screen,
// and prints what the player made of it.
import { readFileSync, readdirSync } from "node:fs";

const dist = new URL("node_modules/asciinema-player/dist/", import.meta.url);
const core = readdirSync(dist).find((name) => name.startsWith("core-"));
const { C: Core } = await import(new URL(core, dist));

const quiet = { log() {}, debug() {}, info() {}, warn() {}, error() {} };
const data = readFileSync(0, "utf8");
const player = new Core({ data: () => new Response(data) }, { logger: quiet, speed: 1e6, preload: true });

const seen = { output: "", input: "", markers: [], sizes: [] };
player.addEventListener("reset", ({ size }) => seen.sizes.push(`${size.cols}x${size.rows}`));
player.addEventListener("resize", ({ cols, rows }) => seen.sizes.push(`${cols}x${rows}`));
player.addEventListener("output", (data) => (seen.output += data.join("")));
player.addEventListener("input", ({ data }) => (seen.input += data));
player.addEventListener("marker", ({ label }) => seen.markers.push(label));
player.addEventListener("error", (e) => {
  console.error(e);
  process.exit(1);
});
player.addEventListener("ended", async () => {
  seen.duration = await player.getDuration();
  process.stdout.write(JSON.stringify(seen), () => process.exit(0));
});
player.terminalReady();
await player.init();
await player.play();
