// The glossary: every term with how often its Spanish stands where its English stands.

import { badge, byId, element, fetchJson, percent, showProblem } from "./page.js";

const STATUSES = {
  attested: "found",
  weak: "seldom found",
  unattested: "never found",
  "not in text": "not in the Bible text",
};

const search = byId("search");
let terms = [];
let opened = "";

const keyOf = (term) => `${term.term_id} ${term.sense}`;
const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

function part(className, share) {
  const node = element("i", { className });
  node.style.width = `${100 * (share ?? 0)}%`;
  return node;
}

function rateCell(term) {
  if (!term.n) return element("td", { className: "quiet", text: "–" });
  const bar = element("span", { className: "rate" }, part("any", term.any_rate), part("this", term.rate));
  bar.setAttribute("aria-hidden", "true");
  const text = `${percent(term.rate)} of ${term.n.toLocaleString("en")}`;
  return element("td", { title: `${term.hits} of ${term.n} verse pairs` }, bar, element("span", { className: "quiet small", text }));
}

function references(name, places) {
  if (!places.length) return [];
  const links = places.flatMap((place, at) => {
    const node = element("a", { text: place.label });
    node.href = `/scripture?${new URLSearchParams({ book: place.book, chapter: place.chapter })}`;
    return at ? [", ", node] : [node];
  });
  return [element("p", {}, `${name}: `, ...links)];
}

function details(term) {
  const facts = [];
  if (term.reason) facts.push(term.reason);
  if (term.n && term.any_rate > term.rate) facts.push(`${percent(term.any_rate)} with any right Spanish word`);
  if (term.chance !== null) facts.push(`${percent(term.chance, 1)} of the other verses have this Spanish too, by chance`);
  if (term.forbidden) facts.push(`${term.forbidden} verses have a Spanish word that the glossary calls wrong`);
  const cell = element(
    "td",
    {},
    ...references("Found, for example, in", term.attested),
    ...references("Said otherwise, for example, in", term.missed),
    ...facts.map((text) => element("p", { className: "quiet", text: `${text}.` })),
    element("p", { className: "quiet", text: `${term.pos}, ${term.domain}; source: ${term.source || "not given"}` }),
  );
  cell.colSpan = 7;
  return element("tr", { className: "more" }, cell);
}

function rows(term) {
  const isOpen = opened === keyOf(term);
  const button = element("button", { className: "term", text: term.en });
  button.type = "button";
  button.dataset.term = keyOf(term);
  button.setAttribute("aria-expanded", String(isOpen));
  const spanish = element("td", { text: term.es });
  spanish.lang = "es";
  const status = badge(term.status, STATUSES[term.status] ?? term.status);
  status.classList.add(term.status.replaceAll(" ", "-"));
  const row = element(
    "tr",
    {},
    element("td", {}, button),
    spanish,
    element("td", { text: term.sense }),
    element("td", { text: term.scope }),
    rateCell(term),
    element("td", {}, status),
    element("td", { className: "quiet", text: term.note }),
  );
  return isOpen ? [row, details(term)] : [row];
}

function draw() {
  const wanted = plain(search.value).split(/\s+/).filter(Boolean);
  const [domain, status] = [byId("domain").value, byId("status").value];
  const matching = terms.filter(
    (term) =>
      (!domain || term.domain === domain) &&
      (!status || term.status === status) &&
      wanted.every((word) => plain(`${term.en} ${term.es} ${term.sense} ${term.note}`).includes(word)),
  );
  if (byId("order").value === "doubtful") matching.sort((one, other) => (one.any_rate ?? 2) - (other.any_rate ?? 2) || other.n - one.n);
  byId("rows").replaceChildren(...matching.flatMap(rows));
  byId("no-match").hidden = matching.length > 0;
  byId("nothing").hidden = terms.length > 0;
  byId("listing").hidden = terms.length === 0;
  const found = terms.filter((term) => term.status === "attested").length;
  const narrowed = matching.length < terms.length ? `; ${matching.length} shown` : "";
  byId("summary").textContent = terms.length
    ? `${terms.length} terms with the Spanish that the church uses; ${found} of them found in the Bible text${narrowed}`
    : "Terms with the Spanish that the church uses";
}

function choices(id, values, all, names = {}) {
  const nodes = ["", ...values].map((value) => {
    const node = element("option", { text: value ? (names[value] ?? value) : all });
    node.value = value;
    return node;
  });
  byId(id).replaceChildren(...nodes);
}

async function load() {
  try {
    terms = (await fetchJson("/api/glossary")).terms;
    choices("domain", [...new Set(terms.map(({ domain }) => domain))].sort(), "all");
    choices("status", Object.keys(STATUSES).filter((status) => terms.some((term) => term.status === status)), "all", STATUSES);
    draw();
  } catch (error) {
    showProblem(error.message);
  }
}

byId("rows").addEventListener("click", (event) => {
  const term = event.target.closest("button.term")?.dataset.term;
  if (term === undefined) return;
  opened = opened === term ? "" : term;
  draw();
  [...document.querySelectorAll("button.term")].find((button) => button.dataset.term === term)?.focus();
});
search.addEventListener("input", draw);
for (const id of ["domain", "status", "order"]) byId(id).addEventListener("change", draw);
load();
