// The evaluations: what the reports say, how good the automatic texts are, and every number with its interval.

import { POLL_MS, byId, element, fetchJson, showProblem } from "./page.js";

const SUBJECTS = { speech: "Speech", translation: "Translation" };
const NEWEST = 5;
const ROWS_AT_ONCE = 200;
const FILTERS = ["set", "metric", "system"];
const SCALE_END = 0.5;

let overview = null;
let shown = "";
let opened = "";
let everyRow = false;

const small = (text) => element("span", { className: "small", text });
const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) : text);
const ended = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);

// ---- the reports ------------------------------------------------------------------------------------------

function reportItem(report) {
  const link = element("a", { text: report.title || report.name });
  link.href = `/evaluation/${encodeURIComponent(report.name)}`;
  const sign = element("span", { className: "sign", text: report.sign });
  sign.setAttribute("aria-hidden", "true");
  return element(
    "li",
    { className: `report ${report.level.replace(/[^a-z]/g, "")}` },
    sign,
    element(
      "div",
      { className: "report-head" },
      element("h4", {}, link),
      element("span", { className: "verdict-name", text: report.verdict }),
      element("span", { className: "quiet", text: report.made }),
    ),
    element("p", { text: report.words }),
    element("p", { className: "quiet", text: report.system }),
  );
}

function reportGroup(subject, reports) {
  const list = (some) => element("ul", { className: "reports" }, ...some.map(reportItem));
  const nodes = [element("h3", { text: SUBJECTS[subject] ?? sentence(subject) }), list(reports.slice(0, NEWEST))];
  const earlier = reports.slice(NEWEST);
  if (earlier.length) {
    const summary = element("summary", { text: `${earlier.length} earlier` });
    nodes.push(element("details", { className: "earlier" }, summary, list(earlier)));
  }
  return nodes;
}

function drawReports({ reports }) {
  const subjects = [...new Set([...Object.keys(SUBJECTS), ...reports.map(({ subject }) => subject)])];
  const groups = subjects.map((subject) => [subject, reports.filter((report) => report.subject === subject)]);
  byId("report-groups").replaceChildren(
    ...groups.filter(([, some]) => some.length).flatMap(([subject, some]) => reportGroup(subject, some)),
  );
  byId("no-reports").hidden = reports.length > 0;
}

// ---- the assessment ---------------------------------------------------------------------------------------

const onScale = (rate) => `${100 * Math.min(1, Math.max(0, rate / SCALE_END))}%`;

function scale(system, bands) {
  let begins = 0;
  const parts = bands.map((band) => {
    const ends = band.below ?? SCALE_END;
    const touched = system.value !== null && system.candidates.includes(band.name);
    const node = element("span", { className: `band${touched ? " touched" : ""}`, text: band.name });
    node.style.width = `${(100 * (ends - begins)) / SCALE_END}%`;
    begins = ends;
    return node;
  });
  const picture = element("div", { className: "scale" }, element("div", { className: "bands" }, ...parts));
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", system.words);
  if (system.ci_low !== null && system.ci_high !== null) {
    const span = element("i", { className: `span${system.ci_high > SCALE_END ? " beyond" : ""}` });
    span.style.left = onScale(system.ci_low);
    span.style.right = `calc(100% - ${onScale(system.ci_high)})`;
    picture.append(span);
  }
  if (system.value !== null) {
    const dot = element("i", { className: "dot" });
    dot.style.left = onScale(system.value);
    picture.append(dot);
  }
  return picture;
}

function drawAssessment({ assessment }) {
  const { systems, bands, policy, chunks, written, wanted } = assessment;
  byId("systems").replaceChildren(
    ...systems.flatMap((system) => [
      element("h3", { className: "system-name", text: `${system.system}: words that are wrong` }),
      scale(system, bands),
      element("p", { text: ended(system.words) }),
    ]),
  );
  byId("steps").hidden = systems.length > 0;
  byId("wanted").textContent = wanted;
  state("step-draw", chunks > 0, chunks ? `Done: ${chunks} chunks are drawn.` : "");
  state("step-write", chunks > 0 && written === chunks, chunks ? `${written} of ${chunks} are written down.` : "");
  byId("written").textContent =
    systems.length && chunks ? `People have written down ${written} of the ${chunks} chunks that were drawn.` : "";
  byId("policy").textContent = policy.problem ?? ended(sentence(policy.words || policy.policy));
  byId("policy-why").textContent = policy.problem ? "" : `Why: ${ended(policy.why)}`;
}

function state(id, done, text) {
  byId(id).classList.toggle("done", done);
  byId(id).querySelector(".state").textContent = text;
}

function drawView({ view, metrics }) {
  byId("view-choice").textContent = view.problem ?? `The view “${view.view}” is transcribed and trained on.`;
  byId("view-why").textContent = view.problem ? "" : `Why: ${ended(view.why)}`;
  byId("view-measured").replaceChildren(
    ...view.measured.map((row) => {
      const metric = metrics[row.metric];
      const { value, span } = figures([row.value, row.ci_low, row.ci_high], metric);
      const rate = `${row.view}: ${value} of the words are wrong${span ? ` (${span})` : ""}; ${row.system}`;
      return element("li", { text: rate }, ...row.compared.flatMap((each) => comparison(each, metric)));
    }),
  );
}

// ---- the numbers ------------------------------------------------------------------------------------------

// A value and the ends of its interval, with the same decimals: as few as show each that is not zero, as in the reports.
function figures(values, metric, signed = false) {
  const factor = metric?.unit === "%" ? 100 : 1;
  const given = values.filter((value) => value !== null).map((value) => factor * value);
  const seen = given.map(Math.abs).filter((value) => value > 1e-9);
  const fewest = !seen.length || Math.max(...seen) >= 1 ? 1 : 2;
  const decimals = [1, 2, 3].find((some) => some >= fewest && seen.every((value) => Number(value.toFixed(some)))) ?? 3;
  const digits = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  const [value, low, high] = given.map((each) => {
    const text = Math.abs(each).toLocaleString("en", digits);
    const sign = Number(text.replaceAll(",", "")) === 0 ? "" : each < 0 ? "−" : signed ? "+" : "";
    return sign + text;
  });
  const behind = { "%": signed ? " points" : " %", "": "" }[metric?.unit ?? ""] ?? ` ${metric.unit}`;
  return { value: values[0] === null ? "not scored" : value + behind, span: given.length === 3 ? `${low} to ${high}` : "" };
}

function comparison(row, metric) {
  const { value, span } = figures([row.difference, row.ci_low, row.ci_high], metric, true);
  const decision = element("span", { className: `decision ${row.decision}`, text: row.decision });
  const difference = row.difference === null ? "not compared" : `${value} `;
  const nodes = [element("div", {}, difference, row.difference === null ? "" : decision)];
  if (span) nodes.push(small(span));
  nodes.push(small(`beside ${row.compared_with}`));
  return nodes;
}

function details(row, metric) {
  const facts = [
    metric && `${metric.label}: ${metric.explanation}; ${metric.lower_is_better ? "lower" : "higher"} is better`,
    row.reason,
    ...row.compared.flatMap(({ compared_with, p_value, n, method, reason }) => [
      p_value !== null && `Compared with ${compared_with}: p = ${Number(p_value.toPrecision(2))}, n = ${n}, ${method}`,
      reason,
    ]),
    row.signature && `To get the same number again: ${row.signature}`,
    row.adapter_id && `Adapter: ${row.adapter_id}`,
    `Evaluation: ${row.evaluation_id}`,
  ].filter(Boolean);
  const cell = element("td", {}, ...facts.map((text) => element("p", { className: "quiet", text: ended(text) })));
  for (const report of overview.reports.filter(({ evaluation_id }) => evaluation_id === row.evaluation_id)) {
    const link = element("a", { text: `Report: ${report.title}` });
    link.href = `/evaluation/${encodeURIComponent(report.name)}`;
    cell.append(element("p", {}, link));
  }
  cell.colSpan = 5;
  return element("tr", { className: "more" }, cell);
}

const keyOf = (row) => JSON.stringify([row.evaluation_id, row.system, row.set, row.slice, row.metric]);

function rows(row) {
  const metric = overview.metrics[row.metric];
  const isOpen = opened === keyOf(row);
  const button = element("button", { className: "metric", text: metric?.label ?? row.metric });
  button.type = "button";
  button.dataset.row = keyOf(row);
  button.setAttribute("aria-expanded", String(isOpen));
  const { value, span } = figures([row.value, row.ci_low, row.ci_high], metric);
  const why = row.value === null && row.reason ? [small(row.reason)] : [];
  const line = element(
    "tr",
    {},
    element("td", {}, button),
    element("td", {}, value, ...(span ? [small(span)] : []), ...why, ...(row.value === null ? [] : [small(`n = ${row.n.toLocaleString("en")}`)])),
    element("td", {}, ...row.compared.flatMap((each) => comparison(each, metric))),
    element("td", {}, overview.sets[row.set] ?? row.set, ...(row.slice === "all" ? [] : [small(row.slice)])),
    element("td", { text: row.system }),
  );
  return isOpen ? [line, details(row, metric)] : [line];
}

function drawNumbers() {
  const { numbers } = overview;
  const wanted = FILTERS.map((name) => [name, byId(name).value]).filter(([, value]) => value);
  const matching = numbers.filter(
    (row) => wanted.every(([name, value]) => row[name] === value) && (byId("part").value === "every" || row.whole),
  );
  const drawn = everyRow ? matching : matching.slice(0, ROWS_AT_ONCE);
  byId("rows").replaceChildren(...drawn.flatMap(rows));
  byId("count").textContent = `${matching.length} of ${numbers.length} numbers`;
  byId("no-match").hidden = matching.length > 0;
  byId("more").hidden = drawn.length === matching.length;
  byId("more").textContent = `Show all ${matching.length}`;
}

function choices(id, names) {
  const select = byId(id);
  const before = select.value;
  const present = [...new Set(overview.numbers.map((row) => row[id]))];
  const known = Object.keys(names).filter((name) => present.includes(name));
  const ordered = [...known, ...present.filter((name) => !known.includes(name)).sort()];
  const nodes = ["", ...ordered].map((value) => {
    const node = element("option", { text: value ? (names[value] ?? value) : "all" });
    node.value = value;
    return node;
  });
  select.replaceChildren(...nodes);
  select.value = present.includes(before) ? before : "";
}

// ---- the page ---------------------------------------------------------------------------------------------

function draw() {
  const { reports, numbers, metrics, sets, assessment } = overview;
  drawReports(overview);
  drawAssessment(overview);
  drawView(overview);
  choices("set", sets);
  choices("metric", Object.fromEntries(Object.entries(metrics).map(([name, { label }]) => [name, label])));
  choices("system", {});
  drawNumbers();
  const measured = reports.length > 0 || numbers.length > 0;
  for (const id of ["view", "numbers"]) byId(id).hidden = !measured;
  for (const id of ["reports", "assessment"]) byId(id).hidden = false;
  // What to do first stands first.
  if (measured) byId("reports").after(byId("assessment"));
  else byId("reports").before(byId("assessment"));
  const better = reports.filter(({ level }) => level === "better").length;
  const count = `${reports.length} ${reports.length === 1 ? "report" : "reports"}`;
  byId("summary").textContent = reports.length
    ? `How good the models are, and how sure that is: ${count}, ${better} of a model that is better than its base`
    : measured || assessment.chunks
      ? "How good the models are, and how sure that is"
      : "Nothing has been measured yet. Below is what to do first.";
}

async function load() {
  try {
    const answer = await fetchJson("/api/evaluation");
    showProblem(null);
    if (JSON.stringify(answer) === shown) return;
    shown = JSON.stringify(answer);
    overview = answer;
    draw();
  } catch (error) {
    showProblem(error.message);
  }
}

byId("rows").addEventListener("click", (event) => {
  const row = event.target.closest("button.metric")?.dataset.row;
  if (row === undefined) return;
  opened = opened === row ? "" : row;
  drawNumbers();
  [...document.querySelectorAll("button.metric")].find((button) => button.dataset.row === row)?.focus();
});
byId("more").addEventListener("click", () => {
  everyRow = true;
  drawNumbers();
});
for (const id of [...FILTERS, "part"]) byId(id).addEventListener("change", drawNumbers);
setInterval(() => document.hidden || load(), POLL_MS);
load();
