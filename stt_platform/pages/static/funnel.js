// The funnel: how much sound came in, how much every gate left, and what took the rest.

import { byId, element, fetchJson, showProblem } from "./page.js";

const MOST_REASONS = 5;

function amount(seconds) {
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  if (hours) return `${hours} h ${String(minutes).padStart(2, "0")} min`;
  if (minutes >= 10) return `${minutes} min`;
  if (minutes) return `${minutes}:${String(rest).padStart(2, "0")} min`;
  return seconds > 0 && whole < 1 ? "under 1 s" : `${whole} s`;
}

function share(seconds, total) {
  const value = (100 * seconds) / total;
  // What is left of much is not nothing, and what lacks little is not all.
  if (value > 0 && value < 1) return "under 1 %";
  return `${value < 100 ? Math.min(99, Math.round(value)) : 100} %`;
}

function reasons(losses) {
  const named = losses.length > MOST_REASONS ? MOST_REASONS - 1 : MOST_REASONS;
  const shown = losses.slice(0, named).map(({ reason, seconds }) => `${reason} ${amount(seconds)}`);
  const rest = losses.slice(named).reduce((sum, { seconds }) => sum + seconds, 0);
  if (rest) shown.push(`other reasons ${amount(rest)}`);
  return shown.join(" · ");
}

function part(kind, start, seconds, total) {
  const node = element("i", { className: kind });
  node.style.left = `${(100 * start) / total}%`;
  node.style.width = `${(100 * seconds) / total}%`;
  return node;
}

function bar(step, total) {
  const parts = [part("left", 0, step.seconds_left, total)];
  const sum = (heldBack) =>
    step.losses.filter((loss) => loss.held_back === heldBack).reduce((all, loss) => all + loss.seconds, 0);
  parts.push(part("held-back", step.seconds_left, sum(true), total));
  parts.push(part("lost", step.seconds_left + sum(true), sum(false), total));
  const node = element("div", { className: "bar" }, ...parts);
  node.setAttribute("aria-hidden", "true");
  return node;
}

function row(step, total) {
  const lost = step.losses.length ? reasons(step.losses) : "";
  return element(
    "li",
    {},
    element("span", { className: "name", text: step.name }),
    bar(step, total),
    element("span", { className: "amount", text: `${amount(step.seconds_left)}, ${share(step.seconds_left, total)}` }),
    element("span", { className: "lost quiet", text: lost && `less: ${lost}` }),
  );
}

function draw(card, steps) {
  card.hidden = !steps.length;
  if (!steps.length) return;
  const total = steps[0].seconds_in;
  const last = steps.at(-1);
  const all = { name: "came in", seconds_left: total, losses: [] };
  card.replaceChildren(
    element(
      "summary",
      { text: "How much sound is left " },
      element("span", {
        className: "quiet",
        text: `${amount(total)} came in, ${amount(last.seconds_left)} (${share(last.seconds_left, total)}) have a text that can be relied on`,
      }),
    ),
    element("ol", {}, ...[all, ...steps].map((step) => row(step, total))),
    element(
      "p",
      { className: "quiet key" },
      element("span", {}, element("i", { className: "swatch left" }), " left after the step"),
      element("span", {}, element("i", { className: "swatch held-back" }), " held back until someone has looked at it"),
      element("span", {}, element("i", { className: "swatch lost" }), " not used (nothing is deleted)"),
    ),
  );
}

// Shows the funnel of one sermon, or of all, in the card `funnel` of the page.
export async function showFunnel(sermon) {
  try {
    const address = sermon === undefined ? "/api/funnel" : `/api/funnel/${encodeURIComponent(sermon)}`;
    draw(byId("funnel"), (await fetchJson(address)).steps);
  } catch (error) {
    showProblem(error.message);
  }
}
