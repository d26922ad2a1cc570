// What both pages share. What comes from the store may hold anything, so it enters a page as text only:
// textContent and attributes, never markup.

export const POLL_MS = 15_000;

export const byId = (id) => document.getElementById(id);

export function element(tag, { className, text, title } = {}, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  if (title) node.title = title;
  node.append(...children);
  return node;
}

export function clock(seconds, decimals = 0) {
  const unit = 10 ** decimals;
  const whole = Math.max(0, Math.floor(seconds * unit + 1e-6)) / unit;
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  const rest = (whole % 60).toFixed(decimals).padStart(decimals ? 3 + decimals : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

export const number = (value, decimals, unit = "") =>
  value === null || value === undefined ? "not measured" : `${value.toFixed(decimals)}${unit}`.replace("-", "−");

export const percent = (share, decimals = 0) => (share === null ? "not measured" : number(share * 100, decimals, " %"));

export async function fetchJson(address) {
  let response;
  try {
    response = await fetch(address, { cache: "no-store" });
  } catch {
    throw new Error("The listening page does not answer. Is it still running? It will be asked again.");
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error ?? "The listening page gave an answer that cannot be shown.");
  return body;
}

export function showProblem(message) {
  byId("problem").textContent = message ?? "";
  byId("problem").hidden = !message;
}

export const badge = (status, text = status) => element("span", { className: `badge ${status}`, text });
