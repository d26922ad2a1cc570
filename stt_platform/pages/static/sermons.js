// The list of sermons.

import { showFunnel } from "./funnel.js";
import { POLL_MS, badge, byId, clock, element, fetchJson, showProblem } from "./page.js";

const search = byId("search");
let sermons = [];
let shown = "";

function sermonRow(sermon) {
  const link = element("a", { text: sermon.title || sermon.sermon });
  link.href = `/sermon/${encodeURIComponent(sermon.sermon)}`;
  const status = element("td", {}, badge(sermon.status));
  if (sermon.reason) status.append(element("div", { className: "reason", text: sermon.reason }));
  return element(
    "tr",
    { className: sermon.status },
    element("td", {}, link),
    element("td", { text: sermon.speaker ?? "" }),
    element("td", { text: sermon.date ?? "" }),
    element("td", { className: "number", text: sermon.duration_s === null ? "" : clock(sermon.duration_s) }),
    element("td", { text: sermon.split ?? "" }),
    status,
  );
}

function searchable(sermon) {
  const { sermon: key, title, speaker, date, split, status, reason } = sermon;
  return [key, title, speaker, date, split, status, reason].filter(Boolean).join(" ").toLowerCase();
}

function draw() {
  const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const matching = sermons.filter((sermon) => wanted.every((word) => searchable(sermon).includes(word)));
  byId("rows").replaceChildren(...matching.map(sermonRow));
  byId("no-sermons").hidden = sermons.length > 0;
  byId("listing").hidden = sermons.length === 0;
  byId("no-match").hidden = matching.length > 0;
  const of = (status) => sermons.filter((sermon) => sermon.status === status).length;
  byId("summary").textContent =
    `${sermons.length} in all: ${of("accepted")} accepted, ${of("waiting")} waiting, ${of("rejected")} rejected` +
    (wanted.length ? `; ${matching.length} match the search` : "");
}

async function load() {
  try {
    const answer = (await fetchJson("/api/sermons")).sermons;
    showProblem(null);
    if (JSON.stringify(answer) === shown) return;
    shown = JSON.stringify(answer);
    sermons = answer;
    draw();
    showFunnel();
  } catch (error) {
    showProblem(error.message);
  }
}

search.addEventListener("input", draw);
setInterval(() => document.hidden || load(), POLL_MS);
load();
