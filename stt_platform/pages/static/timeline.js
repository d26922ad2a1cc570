// What lies on a time line: classes of sound, speakers, and rows of which only the part in sight is drawn.

import { clock, element } from "./page.js";

// Every class has a name and a pattern of its own, so that it is not told by its colour only.
export const SOUNDS = {
  speech: "speech",
  music: "music",
  singing: "singing",
  speech_over_music: "speech over music",
  noise: "noise",
  silence: "silence",
};

const MOST_SPEAKER_LANES = 4;
const OTHERS = "others";

export const soundName = (label) => SOUNDS[label] ?? label;
export const soundClass = (label) => `sound ${label in SOUNDS ? label : "unknown"}`;

export function place(node, start_s, end_s, unit, scale) {
  node.style.left = `${start_s * scale}${unit}`;
  node.style.width = `${(end_s - start_s) * scale}${unit}`;
}

// Index of the last entry that starts at or before `seconds`, or -1.
export function lastStarted(entries, seconds) {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (entries[middle].start_s <= seconds) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

// The entry that reaches over `seconds`, or null.
export function entryAt(entries, seconds) {
  const entry = entries[lastStarted(entries, seconds)];
  return entry && seconds < entry.end_s ? entry : null;
}

// Entries in order of their start, with those that are nearer than `gap_s` made one: what no pixel could tell apart.
function joined(entries, gap_s) {
  const out = [];
  for (const entry of entries) {
    const last = out.at(-1);
    if (last && entry.start_s - last.end_s < gap_s) last.end_s = Math.max(last.end_s, entry.end_s);
    else out.push({ ...entry });
  }
  return out;
}

// One lane for each of the speakers who speak longest, and one for all others together.
function speakerLanes(turns) {
  const bySpeaker = new Map();
  for (const turn of turns) {
    if (!bySpeaker.has(turn.speaker)) bySpeaker.set(turn.speaker, []);
    bySpeaker.get(turn.speaker).push(turn);
  }
  const speakers = [...bySpeaker.keys()].sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
  const own = speakers.length > MOST_SPEAKER_LANES + 1 ? speakers.slice(0, MOST_SPEAKER_LANES) : speakers;
  const lanes = own.map((speaker) => ({ name: speaker, entries: bySpeaker.get(speaker) }));
  const rest = turns.filter((turn) => !own.includes(turn.speaker));
  if (rest.length) lanes.push({ name: OTHERS, entries: rest });
  return lanes;
}

// The lanes of a sermon: what is heard, then who speaks. Each entry has its times, a name, a tooltip and a class.
export function lanesOf(segments, turns) {
  const when = ({ start_s, end_s }) => `${clock(start_s, 1)} – ${clock(end_s, 1)}`;
  const lanes = [];
  if (segments.length) {
    const entries = segments.map((segment) => ({
      ...segment,
      name: soundName(segment.label),
      title: `${soundName(segment.label)}, ${when(segment)}`,
      className: soundClass(segment.label),
    }));
    lanes.push({ kind: "sounds", name: "Sound", about: "What is heard: speech, music, noise …", entries });
  }
  for (const { name, entries } of speakerLanes(turns)) {
    const about = name === OTHERS ? "All other speakers" : `When speaker ${name} speaks`;
    const titled = entries.map((turn) => ({
      ...turn,
      name: turn.speaker,
      title: `${turn.speaker} speaks, ${when(turn)}`,
      className: `turn${name === OTHERS ? " of-others" : ""}`,
    }));
    titled.sort((one, other) => one.start_s - other.start_s);
    lanes.push({ kind: "turns", name, about, entries: titled });
  }
  return lanes;
}

// A lane over the whole length, `columns` pixels wide at most.
export function wholeLane(lane, duration_s, columns) {
  const pixel_s = duration_s / columns;
  const entries = lane.kind === "turns" ? joined(lane.entries, pixel_s) : lane.entries;
  const node = element("div", { className: "lane" });
  for (const entry of entries) {
    const title = lane.kind === "turns" ? `${entry.name} speaks` : entry.title;
    const mark = element("i", { className: entry.className, title });
    place(mark, entry.start_s, Math.max(entry.end_s, entry.start_s + pixel_s), "%", 100 / duration_s);
    node.append(mark);
  }
  return node;
}

// A row of a moving track: entries in order of their start, of which those in sight have a node.
export class Row {
  constructor(entries, make) {
    this.entries = entries;
    this.make = make;
    this.nodes = new Map();
    let latest_s = -Infinity;
    this.latestEnds = entries.map((entry) => ({ start_s: (latest_s = Math.max(latest_s, entry.end_s)) }));
  }

  // Draws what lies between two times into `track` and takes away the rest.
  show(track, from_s, to_s) {
    const first = lastStarted(this.latestEnds, from_s) + 1;
    const last = lastStarted(this.entries, to_s);
    const wanted = new Set(this.entries.slice(first, last + 1).filter((entry) => entry.end_s > from_s));
    for (const [entry, node] of this.nodes) {
      if (wanted.has(entry)) continue;
      node.remove();
      this.nodes.delete(entry);
    }
    for (const entry of wanted) {
      if (this.nodes.has(entry)) continue;
      const node = this.make(entry);
      this.nodes.set(entry, node);
      track.append(node);
    }
  }
}
