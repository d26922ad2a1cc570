// Verse pairs: a chapter in two languages with what joins its verses, what was set aside, and the texts.

import { byId, element, fetchJson, showProblem } from "./page.js";

const SVG = "http://www.w3.org/2000/svg";
const TABS = ["reading", "set-aside", "texts"];
const SIDES = ["en", "es"];
const LANGUAGES = { en: "English", es: "Spanish" };
const KINDS = {
  renumbered: "under another number",
  merged: "joined into one",
  split: "divided into several",
  regrouped: "cut in other places",
  "only English": "in English only",
  "only Spanish": "in Spanish only",
};
const REASONS = {
  duplicate: "The same words stand in another pair already, so this copy would count twice.",
  "empty side": "Only one of the two languages has this text.",
  length: "One side is much longer than the other, so something is probably missing.",
  "too many verses": "So many verses are joined to one that the words can no longer be matched.",
  markup: "Signs that are no words were left in the text.",
  untranslated: "Both sides have nearly the same words, so one of them was not translated.",
  language: "One side seems to be in the wrong language.",
  "one-sided title": "A psalm's title stands on one side only.",
  order: "The verse stands out of the order of its neighbours.",
};

let overview = null;
let chapter = null;
let counted = false;

const short = (textId) => textId.toUpperCase();
const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

function address(place) {
  const { en, es, book, chapter: number } = { en: chapter?.en, es: chapter?.es, ...place };
  return `/scripture?${new URLSearchParams({ en, es, book, chapter: number })}`;
}

function link(place, text, className) {
  const node = element("a", { text, className });
  node.href = address(place);
  node.dataset.place = "";
  return node;
}

// --- the two columns ---

const label = (verse) => (verse.own ? `${verse.verse}` : `${verse.chapter}:${verse.verse}`);
const nodeOf = (side, key) => byId(`${side}-${key}`);

function verseOf(side, key) {
  return chapter.columns[side].find((each) => each.key === key);
}

function fullLabel(side, keys) {
  const verses = keys.map((key) => verseOf(side, key));
  const [first, last] = [verses[0], verses.at(-1)];
  const start = `${first.chapter}:${first.verse}`;
  if (verses.length === 1) return start;
  return first.chapter === last.chapter ? `${start}–${last.verse}` : `${start}–${last.chapter}:${last.verse}`;
}

// How a pair is drawn.
function look(pair) {
  if (pair.kind === "same") return "same";
  return pair.kind === "renumbered" ? "renumbered" : pair.en.length && pair.es.length ? "joined" : "alone";
}

function verseNode(side, verse, first) {
  const place = `${verse.slot - first + 1}`;
  if (verse.kind === "heading") {
    const heading = element("div", { className: `heading ${side} ${verse.own ? "" : "guest"}` });
    const name = `${verse.name} ${verse.chapter}`;
    heading.append(
      verse.own
        ? element("strong", { text: `${short(chapter[side])} · ${name}` })
        : element("span", {}, element("span", { text: "from " }), link(verse, name)),
    );
    heading.style.gridRow = place;
    return heading;
  }
  const pairs = chapter.pairs.filter((pair) => pair[side].includes(verse.key));
  const pair = pairs[0];
  const setAside = pairs.some(({ status }) => status === "quarantined");
  const classes = ["verse", side, look(pair), verse.own ? "" : "guest", setAside ? "set-aside" : ""];
  const node = element("div", { className: classes.join(" ") });
  node.id = `${side}-${verse.key}`;
  node.style.gridRow = place;
  node.dataset.pairs = pairs.map((each) => chapter.pairs.indexOf(each)).join(" ");
  const name = { title: "title", subscription: "note at the end" }[verse.kind] ?? label(verse);
  const head = element("div", { className: "verse-head" }, element("b", { text: name }));
  const other = side === "en" ? "es" : "en";
  if (pair.kind !== "same") {
    const answer = pair[other].length ? `= ${fullLabel(other, pair[other])}` : "= nothing";
    const title = pair[other].length ? `${LANGUAGES[other]} ${fullLabel(other, pair[other])}` : "Nothing answers this";
    head.append(element("span", { className: "answer", text: answer, title }));
  }
  if (side === "es" && pair.split && !setAside) {
    head.append(element("span", { className: `split ${pair.split}`, text: pair.split }));
  }
  const words = element("p", { className: "words", text: verse.text });
  words.lang = side;
  node.append(head, words);
  // Told once, where the reader meets the pair first.
  const [home, firstKey] = pair.en.length ? ["en", pair.en[0]] : ["es", pair.es[0]];
  if (side === home && verse.key === firstKey) {
    if (setAside) node.append(element("p", { className: "why", text: `Set aside: ${pair.reason}` }));
    if (pair.note) node.append(element("p", { className: "why note", text: pair.note }));
  }
  return node;
}

function drawColumns() {
  const slots = SIDES.flatMap((side) => chapter.columns[side].map(({ slot }) => slot));
  const [first, last] = [Math.min(...slots), Math.max(...slots)];
  const bands = element("div", { className: "bands" });
  bands.style.gridRow = `1 / ${last - first + 2}`;
  const svg = document.createElementNS(SVG, "svg");
  svg.id = "bands";
  svg.setAttribute("aria-hidden", "true");
  bands.append(svg);
  const verses = SIDES.flatMap((side) => chapter.columns[side].map((verse) => verseNode(side, verse, first)));
  byId("pairs").replaceChildren(bands, ...verses);
}

function span(side, keys, top) {
  const boxes = keys.map((key) => nodeOf(side, key).getBoundingClientRect());
  return [Math.min(...boxes.map((box) => box.top)) - top + 2, Math.max(...boxes.map((box) => box.bottom)) - top - 2];
}

function shape(name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function bandNodes(pair, index, width, top) {
  const classes = `band ${look(pair)} ${pair.status === "quarantined" ? "set-aside" : ""}`;
  const names = { class: classes, "data-pair": index, "data-en": pair.en.join(" "), "data-es": pair.es.join(" ") };
  if (!pair.en.length || !pair.es.length) {
    const side = pair.en.length ? "en" : "es";
    const [from, to] = span(side, pair[side], top);
    const [near, far] = side === "en" ? [0, width * 0.3] : [width, width * 0.7];
    return [shape("path", { ...names, d: `M${near} ${from}L${far} ${(from + to) / 2}L${near} ${to}Z` })];
  }
  const [[enTop, enEnd], [esTop, esEnd]] = SIDES.map((side) => span(side, pair[side], top));
  const middle = width / 2;
  const d =
    `M0 ${enTop}C${middle} ${enTop} ${middle} ${esTop} ${width} ${esTop}` +
    `L${width} ${esEnd}C${middle} ${esEnd} ${middle} ${enEnd} 0 ${enEnd}Z`;
  const nodes = [shape("path", { ...names, d })];
  if (pair.kind !== "same" && width > 60) {
    const text = SIDES.map((side) => shortLabel(side, pair[side])).join(" = ");
    const y = (enTop + enEnd + esTop + esEnd) / 4;
    nodes.push(shape("text", { class: "band-label", "data-pair": index, x: middle, y, "text-anchor": "middle" }, text));
  }
  return nodes;
}

function shortLabel(side, keys) {
  const [first, last] = [verseOf(side, keys[0]), verseOf(side, keys.at(-1))];
  if (first === last) return label(first);
  return `${label(first)}–${first.chapter === last.chapter ? last.verse : label(last)}`;
}

function drawBands() {
  const svg = byId("bands");
  if (!svg || byId("reading").hidden) return;
  const { top, width, height } = svg.getBoundingClientRect();
  svg.setAttribute("viewBox", `0 0 ${width} ${Math.max(1, height)}`);
  const nodes = chapter.pairs.flatMap((pair, index) => bandNodes(pair, index, width, top));
  // Words above all the bands.
  svg.replaceChildren(...nodes.filter((node) => node.tagName !== "text"), ...nodes.filter((node) => node.tagName === "text"));
}

function lightUp(event) {
  const lit = event.target.closest?.("[data-pairs], [data-pair]")?.dataset;
  const wanted = new Set((lit?.pairs ?? lit?.pair ?? "").split(" ").filter(Boolean));
  for (const node of byId("pairs").querySelectorAll("[data-pairs], [data-pair]")) {
    const own = (node.dataset.pairs ?? node.dataset.pair).split(" ");
    node.classList.toggle("lit", own.some((each) => wanted.has(each)));
  }
}

// --- what stands around the columns ---

function finding() {
  const pairs = chapter.pairs;
  const differing = pairs.filter(({ kind }) => kind !== "same");
  if (!differing.length) return "Every verse has the same number in both languages.";
  const both = differing.filter(({ en, es }) => en.length && es.length);
  const chosen = both.filter(({ kind }) => kind === "renumbered").at(-1) ?? both[0];
  const many = `Counted otherwise in this chapter: ${differing.length} of ${plural(pairs.length, "pair")}.`;
  if (!chosen) return `${many} What stands in one language only has no partner.`;
  const [en, es] = SIDES.map((side) => `${short(chapter[side])} ${fullLabel(side, chosen[side])}`);
  return `${many} ${en} says the same as ${es}. Follow the coloured bands.`;
}

function neighbour(id, place, before, after) {
  const node = byId(id);
  node.hidden = !place;
  if (!place) return;
  node.textContent = `${before}${place.name} ${place.chapter}${after}`;
  node.href = address(place);
}

function drawChapter() {
  const { names, chapter: number } = chapter;
  const spanish = names.spanish === names.english ? "" : ` · ${names.spanish} ${number}`;
  byId("place").textContent = `${names.english} ${number}${spanish}`;
  document.title = `${names.english} ${number} – Verse pairs`;
  byId("finding").textContent = finding();
  byId("finding").className = chapter.pairs.some(({ kind }) => kind !== "same") ? "differs" : "quiet";
  neighbour("previous", chapter.previous, "← ", "");
  neighbour("next", chapter.next, "", " →");
  drawColumns();
}

function options(id, choices, chosen) {
  const nodes = choices.map(([value, text]) => {
    const node = element("option", { text });
    node.value = value;
    return node;
  });
  byId(id).replaceChildren(...nodes);
  byId(id).value = chosen;
}

const unique = (values) => [...new Set(values)];

function drawChooser() {
  const { combinations, books } = overview;
  const textOptions = (side) => unique(combinations.map((each) => each[side])).map((id) => [id, short(id)]);
  for (const side of SIDES) options(side, textOptions(side), chapter[side]);
  options("book", books.map(({ code, english, spanish }) => [code, english === spanish ? english : `${english} · ${spanish}`]), chapter.book);
  const chapters = books.find(({ code }) => code === chapter.book).chapters;
  options("chapter", chapters.map((each) => [each, each]), chapter.chapter);
}

const isHere = (place) => place.book === chapter.book && place.chapter === chapter.chapter;

function regionNode(region) {
  const heading = link(region, region.english || region.spanish);
  const words = Object.entries(region.kinds).map(([kind, count]) => `${count} ${KINDS[kind] ?? kind}`);
  const node = element(
    "li",
    {},
    heading,
    element("div", { className: "quiet", text: region.english && region.spanish ? `= ${region.spanish}` : "in one language only" }),
    element("div", { className: "quiet small", text: words.join(", ") }),
  );
  if (region.chapters.length > 1) {
    const chapters = region.chapters.map((place) => link(place, `${place.chapter}`));
    node.append(element("div", { className: "quiet small chapter-links" }, "chapters ", ...chapters));
  }
  for (const alarm of region.alarms) node.append(element("div", { className: "why", text: `To be checked: ${alarm}` }));
  return node;
}

function drawPlaces() {
  const { regions, set_aside: chapters } = overview;
  byId("regions-count").textContent = regions.length ? plural(regions.length, "place") : "";
  byId("regions").replaceChildren(...regions.map(regionNode));
  if (!regions.length) byId("regions").append(element("li", { className: "quiet", text: "Nowhere: all numbers agree." }));
  byId("chapters-count").textContent = chapters.length ? plural(chapters.length, "chapter") : "none";
  byId("chapters").replaceChildren(
    ...chapters.map((place) => link(place, `${place.name} ${place.chapter}${place.pairs > 1 ? ` (${place.pairs})` : ""}`)),
  );
  markPlaces();
}

function markPlaces() {
  for (const node of document.querySelectorAll(".places a")) {
    const asked = new URL(node.href).searchParams;
    const here = isHere({ book: asked.get("book"), chapter: Number(asked.get("chapter")) });
    if (here) node.setAttribute("aria-current", "page");
    else node.removeAttribute("aria-current");
  }
}

// --- counts, reasons and texts ---

const COUNTS = [["pairs", "Pairs"], ["accepted", "Used"], ["train", "Training"], ["test", "Test"], ["set_aside", "Set aside"]];

function countTable(bodyId, name, rows) {
  const body = byId(bodyId);
  const heads = [element("th", { text: name }), ...COUNTS.map(([, text]) => element("th", { className: "number", text }))];
  heads.forEach((head) => { head.scope = "col"; });
  body.parentElement.tHead.replaceChildren(element("tr", {}, ...heads));
  body.replaceChildren(
    ...rows.map(([text, row]) =>
      element(
        "tr",
        {},
        element("td", { text }),
        ...COUNTS.map(([key]) => element("td", { className: "number", text: row[key].toLocaleString("en") })),
      ),
    ),
  );
}

function sampleNode(sample) {
  const place = { en: sample.en_source, es: sample.es_source, book: sample.book, chapter: sample.chapter };
  const labels = unique([sample.en_label, sample.es_label].filter(Boolean)).join(" = ");
  const side = (lang) => {
    const node = element("p", { text: sample[lang] || "(nothing)", className: sample[lang] ? "" : "quiet" });
    node.lang = lang;
    return node;
  };
  return element(
    "li",
    {},
    element("div", {}, link(place, labels), element("span", { className: "quiet", text: ` ${short(sample.en_source)} with ${short(sample.es_source)}` })),
    element("div", { className: "sides" }, side("en"), side("es")),
    element("div", { className: "quiet small", text: sample.reason }),
  );
}

function reasonNode({ kind, pairs, samples }, most) {
  const bar = element("i", { className: "reason-bar" });
  bar.style.width = `${(100 * pairs) / most}%`;
  const shown = samples.length < pairs ? `${samples.length} of them, drawn by chance:` : "All of them:";
  return element(
    "details",
    { className: "reason-kind" },
    element(
      "summary",
      {},
      element("b", { text: kind }),
      ` ${plural(pairs, "pair")} `,
      element("span", { className: "quiet", text: REASONS[kind] ?? "" }),
      element("span", { className: "reason-track" }, bar),
    ),
    element("p", { className: "quiet", text: shown }),
    element("ol", { className: "samples" }, ...samples.map(sampleNode)),
  );
}

function usedText(text) {
  const parts = [plural(text.verses, "verse")];
  if (text.titles) parts.push(plural(text.titles, "psalm title"));
  if (text.subscriptions) parts.push(plural(text.subscriptions, "note at the end of a letter", "notes at the end of letters"));
  if (text.blank) parts.push(plural(text.blank, "verse without words", "verses without words"));
  return element(
    "li",
    {},
    element("b", { text: `${short(text.text_id)} · ${text.title}` }),
    element("span", { className: "quiet", text: ` ${LANGUAGES[text.language] ?? text.language}` }),
    element("div", { text: `${text.licence || "Licence not known"}. ${text.attribution}` }),
    element("div", { className: "quiet small", text: `${parts.join(", ")}; from ${text.source}` }),
  );
}

function drawCounts({ texts, by_text: byText, by_genre: byGenre, reasons }) {
  countTable("by-text", "Texts", byText.map((row) => [`${short(row.en)} with ${short(row.es)}`, row]));
  countTable("by-genre", "Kind of book", byGenre.map((row) => [row.genre, row]));
  const most = Math.max(...reasons.map(({ pairs }) => pairs));
  byId("reasons").replaceChildren(...reasons.map((reason) => reasonNode(reason, most)));
  byId("no-reasons").hidden = reasons.length > 0;
  const of = (status) => texts.filter((text) => text.status === status);
  byId("texts-used").replaceChildren(...of("used").map(usedText));
  byId("texts-missing").replaceChildren(...of("missing").map(({ text_id: id, reason }) => element("li", {}, element("b", { text: short(id) }), ` ${reason ?? ""}`)));
  byId("texts-unused").replaceChildren(
    ...of("not used").map(({ text_id: id, source, reason }) =>
      element("li", {}, element("b", { text: short(id) }), ` ${source}`, element("div", { className: "quiet small", text: reason ?? "" })),
    ),
  );
  byId("missing-card").hidden = !of("missing").length;
  byId("unused-card").hidden = !of("not used").length;
}

// --- moving about ---

function showTab() {
  const asked = location.hash.slice(1);
  const shown = TABS.includes(asked) ? asked : TABS[0];
  for (const name of TABS) {
    const chosen = name === shown;
    byId(name).hidden = !chosen || !overview;
    byId(`tab-${name}`).setAttribute("aria-selected", String(chosen));
    byId(`tab-${name}`).tabIndex = chosen ? 0 : -1;
  }
  if (shown === TABS[0]) drawBands();
  else loadCounts();
}

function chooseTab(name) {
  history.replaceState(null, "", `${location.pathname}${location.search}#${name}`);
  showTab();
}

async function loadCounts() {
  if (counted) return;
  try {
    counted = true;
    drawCounts(await fetchJson("/api/scripture/counts"));
  } catch (error) {
    counted = false;
    showProblem(error.message);
  }
}

async function load() {
  try {
    const query = location.search;
    const [about, shown] = await Promise.all([
      fetchJson(`/api/scripture${query}`),
      fetchJson(`/api/scripture/chapter${query}`),
    ]);
    if (query !== location.search) return;
    showProblem(null);
    overview = about.overview;
    chapter = shown.chapter;
    byId("nothing").hidden = Boolean(overview);
    byId("tabs").hidden = !overview;
    if (!overview) {
      await loadCounts();
      byId("texts").hidden = !byId("texts").querySelector("li");
      return;
    }
    drawChooser();
    drawPlaces();
    drawChapter();
    showTab();
  } catch (error) {
    showProblem(error.message);
  }
}

async function go(place) {
  const sameTexts = (!place.en || place.en === chapter.en) && (!place.es || place.es === chapter.es);
  history.pushState(null, "", address(place));
  if (!sameTexts) return load();
  try {
    const query = location.search;
    const shown = (await fetchJson(`/api/scripture/chapter${query}`)).chapter;
    if (query !== location.search) return undefined;
    showProblem(null);
    chapter = shown;
    drawChooser();
    markPlaces();
    drawChapter();
    showTab();
    byId("place").scrollIntoView({ block: "nearest" });
  } catch (error) {
    showProblem(error.message);
  }
  return undefined;
}

function placeOf(href) {
  const asked = new URL(href).searchParams;
  return Object.fromEntries(asked.entries());
}

document.addEventListener("click", (event) => {
  const node = event.target.closest("a[data-place], #previous, #next");
  if (!node || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(placeOf(node.href));
});
for (const side of SIDES) {
  byId(side).addEventListener("change", () => {
    const chosen = { en: byId("en").value, es: byId("es").value };
    const fits = overview.combinations.some(({ en, es }) => en === chosen.en && es === chosen.es);
    // A text that is not paired with the other one brings one that it is paired with.
    const pair = fits ? chosen : overview.combinations.find((each) => each[side] === chosen[side]);
    go({ ...pair, book: chapter.book, chapter: chapter.chapter });
  });
}
byId("book").addEventListener("change", () => {
  const { code, chapters } = overview.books.find((each) => each.code === byId("book").value);
  go({ book: code, chapter: chapters[0] });
});
byId("chapter").addEventListener("change", () => go({ book: chapter.book, chapter: byId("chapter").value }));
byId("words").addEventListener("change", () => {
  byId("pairs").classList.toggle("numbers-only", !byId("words").checked);
  drawBands();
});
byId("pairs").addEventListener("pointerover", lightUp);
byId("pairs").addEventListener("pointerleave", lightUp);
byId("tabs").addEventListener("click", (event) => {
  const tab = event.target.closest("[role=tab]");
  if (tab) chooseTab(tab.getAttribute("aria-controls"));
});
byId("tabs").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const at = TABS.findIndex((name) => byId(`tab-${name}`).getAttribute("aria-selected") === "true");
  const name = TABS[(at + step + TABS.length) % TABS.length];
  chooseTab(name);
  byId(`tab-${name}`).focus();
});
// On a narrow screen they stand above the chapter and would hide it.
if (matchMedia("(max-width: 64rem)").matches) {
  for (const node of document.querySelectorAll(".places details")) node.open = false;
}
new ResizeObserver(() => drawBands()).observe(byId("pairs"));
addEventListener("popstate", load);
addEventListener("hashchange", showTab);
load();
