// The trainings: how the loss falls, what is measured on held-out examples, and how fast it goes; live while one is at work.

import { POLL_MS, byId, element, fetchJson, number, showProblem } from "./page.js";

const LIVE_MS = 2_000;
const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { left: 46, right: 10, top: 10, bottom: 34 };
const TALL = 240;
const LOW = 130;

let trainings = [];
let shown = "";
let timer = 0;

const whole = (value) => value.toLocaleString("en");
const figure = (value) => (value === null ? "–" : String(Number(value.toPrecision(3))));

// ---- a chart ----------------------------------------------------------------------------------------------

function drawn(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

// Round numbers from low to high, about as many as are wanted.
function ticks(low, high, wanted) {
  const rough = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: Math.max(0, count) }, (_, k) => Number(((first + k) * step).toPrecision(12)));
}

// The mean over neighbours. Where the loss was no number the line has a hole.
function smoothed(points) {
  const reach = Math.max(1, Math.round(points.length / 30));
  return points.map(([step], k) => {
    const near = points.slice(Math.max(0, k - reach), k + reach + 1).flatMap(([, value]) => (value === null ? [] : [value]));
    return [step, near.length ? near.reduce((sum, value) => sum + value, 0) / near.length : null];
  });
}

function line(points, x, y) {
  let pen = "M";
  return points
    .map(([step, value]) => {
      if (value === null) {
        pen = "M";
        return "";
      }
      const piece = `${pen}${x(step).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
      return piece;
    })
    .join("");
}

// `curve` is drawn as each step and their average, `heldOut` with a dot for each measurement.
function chart({ curve, heldOut, last, done, width, height, words, show }) {
  const values = [...curve, ...heldOut].flatMap(([, value]) => (value === null ? [] : [value]));
  const [lowest, highest] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
  const spare = (highest - lowest || Math.abs(highest) || 1) * 0.08;
  const [low, high] = [Math.max(lowest >= 0 ? 0 : -Infinity, lowest - spare), highest + spare];
  const right = width - MARGIN.right;
  const bottom = height - MARGIN.bottom;
  const x = (step) => MARGIN.left + (last > 1 ? (step - 1) / (last - 1) : 0.5) * (right - MARGIN.left);
  const y = (value) => bottom - ((value - low) / (high - low)) * (bottom - MARGIN.top);
  const svg = drawn("svg", { class: "chart", role: "img", "aria-label": words, viewBox: `0 0 ${width} ${height}`, height });
  if (done < last) {
    const from = x(Math.max(1, done));
    svg.append(drawn("rect", { class: "ahead", x: from, y: MARGIN.top, width: right - from, height: bottom - MARGIN.top }));
  }
  for (const value of ticks(low, high, Math.max(2, Math.round(height / 50)))) {
    svg.append(drawn("path", { class: "grid", d: `M${MARGIN.left} ${y(value)}H${right}` }));
    svg.append(drawn("text", { x: MARGIN.left - 7, y: y(value) + 4, "text-anchor": "end" }, show(value)));
  }
  for (const step of ticks(1, last, Math.max(2, Math.round(width / 110)))) {
    if (!Number.isInteger(step)) continue;
    svg.append(drawn("text", { x: x(step), y: bottom + 16, "text-anchor": "middle" }, whole(step)));
  }
  svg.append(drawn("text", { x: (MARGIN.left + right) / 2, y: bottom + 31, "text-anchor": "middle" }, "step"));
  if (curve.length) {
    svg.append(drawn("path", { class: "each", d: line(curve, x, y) }));
    svg.append(drawn("path", { class: "smooth", d: line(smoothed(curve), x, y) }));
  }
  if (heldOut.length > 1) svg.append(drawn("path", { class: "held-out", d: line(heldOut, x, y) }));
  for (const [step, value] of heldOut) {
    const dot = drawn("circle", { class: "held-out", cx: x(step), cy: y(value), r: 5 });
    dot.append(drawn("title", {}, `step ${whole(step)}: ${show(value)}`));
    svg.append(dot);
  }
  return svg;
}

// ---- a training -------------------------------------------------------------------------------------------

function said(name, points, show) {
  const known = points.filter(([, value]) => value !== null);
  if (!known.length) return `${name}: nothing yet`;
  const [first, newest] = [known[0], known[known.length - 1]];
  const now = `${show(newest[1])} at step ${whole(newest[0])}`;
  return known.length > 1 ? `${name}: from ${show(first[1])} at step ${whole(first[0])} to ${now}` : `${name}: ${now}`;
}

function charts(training, width) {
  const { curve, measures, steps_total, step } = training;
  const common = { last: steps_total ?? 1, done: step, width };
  const heldOut = measures.find(({ name }) => name === "loss")?.points ?? [];
  const words = [said("Loss", curve, figure), ...(heldOut.length ? [said("on held-out examples", heldOut, figure)] : [])];
  const nodes = [
    element("h3", { text: "Loss (lower is better)" }),
    chart({ ...common, curve, heldOut, height: TALL, words: words.join("; "), show: figure }),
  ];
  for (const { name, label, explanation, unit, lower_is_better, points } of measures) {
    if (name === "loss") continue;
    const show = (value) => (unit === "%" ? `${figure(100 * value)} %` : figure(value));
    const better = lower_is_better === null ? "" : ` (${lower_is_better ? "lower" : "higher"} is better)`;
    nodes.push(
      element("h3", { text: label + better }),
      element("p", { className: "quiet", text: explanation }),
      chart({ ...common, curve: [], heldOut: points, height: LOW, words: said(label, points, show), show }),
    );
  }
  return nodes;
}

function numbers({ curve, tokens_per_s, memory_bytes, measures }) {
  const losses = smoothed(curve);
  const rows = [
    ["loss, averaged", losses.length ? figure(losses[losses.length - 1][1]) : "–"],
    ...measures.map(({ label, unit, points }) => {
      const value = points[points.length - 1][1];
      return [label, unit === "%" ? `${figure(100 * value)} %` : figure(value)];
    }),
    ["tokens per second", tokens_per_s === null ? "–" : whole(Math.round(tokens_per_s))],
    ["memory", memory_bytes === null ? "–" : number(memory_bytes / 1e9, 1, " GB")],
  ];
  const pairs = rows.map(([name, value]) => element("div", {}, element("dt", { text: name }), element("dd", { text: value })));
  return element("dl", { className: "numbers" }, ...pairs);
}

function progress({ step, steps_total }) {
  const words = steps_total === null ? "before the first step" : `step ${whole(step)} of ${whole(steps_total)}`;
  const bar = document.createElement("progress");
  bar.max = steps_total ?? 1;
  bar.value = step;
  bar.setAttribute("aria-label", words);
  return [bar, element("p", { className: "reached", text: words })];
}

function ago(written_at_s) {
  const seconds = Math.max(0, Math.round(Date.now() / 1000 - written_at_s));
  if (seconds < 90) return `written ${seconds} s ago`;
  if (seconds < 5400) return `written ${Math.round(seconds / 60)} minutes ago`;
  return `written ${new Date(1000 * written_at_s).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" })}`;
}

function card(training, width) {
  const { title, part, what, status, sign, verdict, meaning, problem, written_at_s } = training;
  const state = element("span", { className: "state" }, element("span", { text: `${sign} ` }), verdict);
  state.firstChild.setAttribute("aria-hidden", "true");
  const written = element("span", { className: "quiet written", text: ago(written_at_s) });
  written.dataset.at = written_at_s;
  const head = element(
    "div",
    { className: "training-head" },
    element("h2", { text: part ? `${title}: ${part}` : title }),
    state,
    written,
  );
  const named = status === "training" ? "training-now" : status.replace(" ", "-");
  const section = element("section", { className: `card training ${named}` }, head);
  section.setAttribute("aria-label", part ? `${title}: ${part}` : title);
  if (problem) {
    section.append(element("p", { className: "broken", text: problem }));
    return section;
  }
  section.append(element("p", { className: "quiet", text: `${what} ${meaning}`.trim() }));
  section.append(...progress(training), numbers(training), ...charts(training, width));
  return section;
}

// ---- the page ---------------------------------------------------------------------------------------------

function draw() {
  const place = byId("trainings");
  const style = getComputedStyle(document.body);
  // A card has a border and a padding of its own.
  const width = Math.max(240, document.body.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - 34);
  place.replaceChildren(...trainings.map((training) => card(training, width)));
  byId("nothing").hidden = trainings.length > 0;
  byId("legend").hidden = !trainings.some(({ problem }) => !problem);
  const working = trainings.filter(({ status }) => status === "training").length;
  byId("summary").textContent = working
    ? `${working} at work: this page follows by itself`
    : trainings.length
      ? "Nothing is being trained now. These are the last ones."
      : "How a model learns, while it does";
}

async function load() {
  try {
    const answer = (await fetchJson("/api/training")).trainings;
    showProblem(null);
    if (JSON.stringify(answer) !== shown) {
      shown = JSON.stringify(answer);
      trainings = answer;
      draw();
    }
  } catch (error) {
    showProblem(error.message);
  }
  for (const node of document.querySelectorAll(".written")) node.textContent = ago(Number(node.dataset.at));
}

async function follow() {
  clearTimeout(timer);
  if (!document.hidden) await load();
  clearTimeout(timer);
  timer = setTimeout(follow, trainings.some(({ status }) => status === "training") ? LIVE_MS : POLL_MS);
}

document.addEventListener("visibilitychange", () => document.hidden || follow());
window.addEventListener("resize", draw);
follow();
