// Fetches the page anew and changes only what differs, so that nothing flickers and a selection stays.
const EVERY_MS = 2000;
const PATIENCE_MS = 5000;
const lost = document.getElementById("lost");
const build = (page) => page.querySelector("meta[name=build]")?.content;
let timer = 0;
let lastAnswer = new Date();

function morph(old, fresh) {
  if (old.nodeName !== fresh.nodeName) {
    old.replaceWith(document.importNode(fresh, true));
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const before = [...old.childNodes];
  const after = [...fresh.childNodes];
  after.forEach((node, i) => (before[i] ? morph(before[i], node) : old.append(document.importNode(node, true))));
  before.slice(after.length).forEach((node) => node.remove());
}

async function update() {
  clearTimeout(timer);
  try {
    const answer = await fetch(location.pathname, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!build(page)) throw new Error("not the status page");
    if (build(page) !== build(document)) return location.reload();
    const olds = document.querySelectorAll("[data-live], head > title, head > link");
    const news = page.querySelectorAll("[data-live], head > title, head > link");
    olds.forEach((old, i) => morph(old, news[i]));
    lost.hidden = true;
    document.documentElement.classList.remove("old");
    lastAnswer = new Date();
  } catch {
    lost.textContent = `No answer since ${lastAnswer.toLocaleTimeString()}: what stands below is from then.`;
    lost.hidden = false;
    document.documentElement.classList.add("old");
  }
  if (!document.hidden) timer = setTimeout(update, EVERY_MS);
}

document.addEventListener("visibilitychange", () => document.hidden || update());
timer = setTimeout(update, EVERY_MS);
