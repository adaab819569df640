"use strict";
// Everything here is comfort: the page can be read without it.

const root = document.documentElement;
const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// The reader's time zone, when they have not chosen one.
function guessZone() {
  if (root.hasAttribute("data-zone-given")) return;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!zone || !navigator.cookieEnabled) return;
  document.cookie = `sandtrail_tz=${zone}; path=/; max-age=31536000; samesite=lax`;
  if (zone !== root.dataset.zone && document.cookie.includes("sandtrail_tz=")) location.reload();
}

function offerZones() {
  const list = one("#zones");
  if (!list || !Intl.supportedValuesOf) return;
  one("#tz").addEventListener("focus", () => {
    list.replaceChildren(...["UTC", ...Intl.supportedValuesOf("timeZone")].map((zone) => new Option(zone)));
  }, { once: true });
}

// Relative times grow while the page is open.
function span(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400).toLocaleString("en")} d`;
}
function ago(seconds) {
  if (Math.abs(seconds) < 5) return "just now";
  return seconds < 0 ? `in ${span(-seconds)}` : `${span(seconds)} ago`;
}
// The server's clock counts, not the reader's.
let ahead = 0;
function readClock() {
  const now = one(".foot time");
  if (now) ahead = Date.now() - Date.parse(now.dateTime);
}
function keepTimes() {
  setInterval(() => {
    for (const time of all("main time[title], main time[data-left]")) {
      const since = (Date.now() - ahead - Date.parse(time.dateTime)) / 1000;
      const words = time.title ? ago(since) : span(Math.max(0, -since));
      if (words !== time.textContent) time.textContent = words;
    }
  }, 10000);
}

// Tooltips of charts and strips: the title of what is under the pointer.
function showTips() {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);
  let current = null;
  const hide = () => { tip.hidden = true; current?.classList.remove("on"); current = null; };
  document.addEventListener("pointermove", (event) => {
    const target = tipTarget(event);
    if (!target) return hide();
    const title = one("title", target);
    if (title) { target.dataset.tip = title.textContent; title.remove(); }
    if (target !== current) {
      current?.classList.remove("on");
      current = target;
      target.classList.add("on");
      tip.textContent = target.dataset.tip;
      tip.hidden = false;
    }
    const box = tip.getBoundingClientRect();
    const left = event.clientX + 14 + box.width > innerWidth ? event.clientX - 14 - box.width : event.clientX + 14;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - box.height - 4))}px`;
  });
  document.addEventListener("scroll", hide, { passive: true });
}
function tipTarget(event) {
  const chart = event.target.closest?.(".plot")?.closest("[data-chart]");
  if (!chart) return event.target.closest?.(".strip a, .histogram g");
  const drawing = one(".runs-plot .drawing", chart).getBoundingClientRect();
  const slots = all(".slot", chart);
  const at = Math.floor((event.clientX - drawing.left) / drawing.width * slots.length);
  return slots[at];
}

// Menus close like menus.
function closeMenus(except) {
  for (const menu of all("details.menu[open]")) if (menu !== except) menu.open = false;
}

// Keyboard.
const editing = (element) => element.closest?.("input, select, textarea, [contenteditable]");
let going = false;
function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") return onEscape(event);
  if (editing(event.target) || one("dialog[open]")) return;
  if (going) {
    going = false;
    const to = { o: "/", e: "/executions", s: "/strategies", u: "/users", a: "/alerts" }[event.key];
    if (to) { event.preventDefault(); location.assign(to); }
    return;
  }
  switch (event.key) {
    case "j": step(1, event); break;
    case "k": step(-1, event); break;
    case "g": going = true; break;
    case "/": event.preventDefault(); search(); break;
    case "?": event.preventDefault(); one("#help").showModal(); break;
  }
}
function onEscape(event) {
  if (one("dialog[open]")) return; // it closes itself
  if (one("details.menu[open]")) return closeMenus();
  if (editing(event.target) || event.target.closest?.("tr")) return event.target.blur();
  const back = one("[data-back]");
  if (back) goBack(event, back);
}
// Back to the list as it was, with its filter, when the reader came from it.
function goBack(event, link) {
  event.preventDefault();
  if (document.referrer && new URL(document.referrer).pathname === "/executions" && history.length > 1) return history.back();
  location.assign(link.href);
}
function step(by, event) {
  event.preventDefault();
  const neighbour = one(by > 0 ? "[data-older]" : "[data-newer]");
  if (neighbour) return neighbour.click();
  const rows = all("tr .cover");
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement);
  const next = at < 0 ? 0 : at + by;
  if (next < 0 || next >= rows.length) {
    if (by > 0) one("[data-more]")?.click();
    return;
  }
  rows[next].focus({ preventScroll: true });
  rows[next].closest("tr").scrollIntoView({ block: "nearest" });
}
function search() {
  const input = one("[data-search]");
  if (!input) return location.assign("/executions#text");
  input.focus();
  input.select();
}

// The list: older pages are added below, newer ones replace it.
async function fetchPage(address) {
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (answer.redirected) location.reload(); // the session has ended
  if (!answer.ok || answer.redirected) throw new Error(`the server answered ${answer.status}`);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}
async function more(event) {
  const link = event.target.closest("[data-more]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (link.getAttribute("aria-busy")) return;
  link.setAttribute("aria-busy", "true");
  try {
    const page = await fetchPage(link.href);
    const rows = one("[data-list] tbody", page);
    if (rows) one("[data-list] table").append(rows);
    one(".pager").replaceWith(one(".pager", page));
    one(".pager [href]:not([rel])")?.remove(); // "Newest" is on this page already
    rows?.querySelector(".cover").focus({ preventScroll: true });
  } catch {
    location.assign(link.href);
  }
}

// Live: a signal that something came, then the first page again. While the
// reader is further down or on a row, it waits for a click.
function live() {
  const button = one("[data-live]");
  const pill = one("[data-pill]");
  if (!button) return;
  let source = null, waiting = 0, loading = false, again = false;
  const reading = () => scrollY > 160 || all("[data-list] tbody").length > 1 || one("[data-list]").contains(document.activeElement);
  const load = async () => {
    if (loading) { again = true; return; }
    loading = true;
    try {
      const page = await fetchPage(location.href);
      one("[data-list]").replaceWith(one("[data-list]", page));
      waiting = 0;
      pill.hidden = true;
    } catch { stop(); }
    loading = false;
    if (again) { again = false; load(); }
  };
  const came = () => {
    waiting++;
    if (!reading()) return load();
    pill.textContent = `${waiting} new, show`;
    pill.hidden = false;
  };
  const stop = () => { source?.close(); source = null; show(false); };
  const show = (on) => button.setAttribute("aria-pressed", String(on));
  button.addEventListener("click", () => {
    if (source) return stop();
    source = new EventSource(button.dataset.live);
    source.onmessage = came;
    source.addEventListener("execution", came);
    source.onopen = () => show(true);
    source.onerror = () => show(false);
  });
  pill.addEventListener("click", () => { scrollTo({ top: 0 }); document.activeElement?.blur(); load(); });
  addEventListener("pagehide", stop);
}

// A page that is left open brings itself up to date, unless somebody is
// using it.
function refresh() {
  const main = one("main");
  const seconds = Number(main.dataset.refresh);
  if (!seconds) return;
  setInterval(async () => {
    const busy = document.hidden || one("main details[open]") || main.matches(":has(:focus-visible)") ||
      !getSelection().isCollapsed || one(".slot.on, .strip a.on");
    if (busy) return;
    try {
      const page = await fetchPage(location.href);
      main.replaceChildren(...one("main", page).childNodes);
      one(".foot").replaceWith(one(".foot", page));
      readClock();
    } catch { /* the next round tries again; the footer says how old this is */ }
  }, seconds * 1000);
}

// A recorded session: the player is loaded when somebody wants to see it.
function loaded(element) {
  document.head.append(element);
  return new Promise((done, failed) => { element.onload = done; element.onerror = failed; });
}
async function play(button) {
  const session = button.closest("[data-session]");
  button.disabled = true;
  const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href: session.dataset.sheet });
  const script = Object.assign(document.createElement("script"), { src: session.dataset.player });
  try {
    await Promise.all([loaded(style), loaded(script)]);
    const answer = await fetch(session.dataset.session);
    if (!answer.ok) throw new Error(answer.status === 409 ? "The recording is another one than the execution names." : "The recording cannot be read.");
    session.replaceChildren();
    AsciinemaPlayer.create({ data: answer }, session, { autoPlay: true, fit: "width", idleTimeLimit: 2, terminalFontSize: "14px" });
  } catch (problem) {
    button.disabled = false;
    one(".hint", session).textContent = problem.message || "The player cannot be loaded.";
  }
}

async function copy(button) {
  await navigator.clipboard.writeText(button.dataset.copy);
  const label = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = label; }, 1500);
}

// Empty fields stay out of the address.
function cleanFilter(event) {
  const form = event.target.closest("[data-filter]");
  if (!form) return;
  for (const field of all("input, select", form)) if (!field.value) field.disabled = true;
}

guessZone();
offerZones();
readClock();
keepTimes();
showTips();
live();
refresh();
document.addEventListener("keydown", onKey);
document.addEventListener("submit", cleanFilter);
document.addEventListener("click", (event) => {
  closeMenus(event.target.closest?.("details.menu"));
  const button = event.target.closest?.("[data-copy]");
  if (button) copy(button);
  const player = event.target.closest?.("[data-play]");
  if (player) play(player);
  if (event.target.closest?.("[data-help]")) one("#help").showModal();
  const back = event.target.closest?.("[data-back]");
  if (back && !event.ctrlKey && !event.metaKey && !event.shiftKey) goBack(event, back);
  more(event);
});
addEventListener("pageshow", () => { for (const field of all("[data-filter] :disabled")) field.disabled = false; });
if (location.hash === "#text") search();
