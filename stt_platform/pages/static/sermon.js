// The page of one sermon: its sound in every view, the pictures, the chunks and the words, all at one position.

import { showFunnel } from "./funnel.js";
import { POLL_MS, badge, byId, clock, element, fetchJson, number, percent, showProblem } from "./page.js";
import { Row, SOUNDS, entryAt, lanesOf, lastStarted, place, soundClass, soundName, wholeLane } from "./timeline.js";

const SKIP_S = 5;
const DOUBTFUL_PROBABILITY = 0.5;
const SHOWN_PAUSE_S = 2;
// A word stays lit for a moment after its end, so that the light does not flicker between words.
const AFTERGLOW_S = 0.35;
// The browser may round a position down; this keeps a jump inside the word it was meant for.
const INSIDE_S = 0.002;
// Words are written under the close-up where they have room.
const LONGEST_WINDOW_WITH_WORDS_S = 10;
const OVERVIEW_COLUMNS = 1600;
const TEXT_STATUS = {
  reliable: ["accepted", "reliable text"],
  unsure: ["waiting", "text to be checked"],
  rejected: ["rejected", "text rejected"],
};

const key = decodeURIComponent(location.pathname.split("/").pop());
const address = (kind, suffix = "") => `/${kind}/${encodeURIComponent(key)}${suffix}`;

let sermon = null; // the answer of /api/sermon
let shownAnswer = "";
let players = new Map(); // from the name of a view to its sound: { audio, version }
let audio = null; // the sound that is heard
let heard = null; // the name of its view
let chunks = []; // the chunks with what belongs to them on the page
let words = []; // all words in order of time, with their spans
let lanes = []; // what is heard when, and who speaks when
let duration = 0;
let currentChunk; // undefined before the first update, null between chunks
let currentWord = null;
let followPausedUntil = 0;
let ticking = false; // whether the page follows the sound frame by frame
let rows = { tiles: [], chunks: null, words: null, lanes: [] }; // of the close-up
let shownWindows = "";

const chunkAt = (seconds) => entryAt(chunks, seconds);

function wordAt(seconds) {
  const word = words[lastStarted(words, seconds)];
  return word && seconds < word.end_s + AFTERGLOW_S ? word : null;
}

// A limit as it was set: without digits that say nothing.
const limit = (value, unit) => `${Number(value.toFixed(2))} ${unit}`;

function spokenTime(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes} minutes ${Math.floor(seconds % 60)} seconds`;
}

// ---- the sound --------------------------------------------------------------------------------------------

function seek(seconds, { remember = true } = {}) {
  const target = Math.min(Math.max(0, seconds), Math.max(0, duration - 0.01));
  audio.currentTime = target;
  followPausedUntil = 0;
  if (remember) history.replaceState(null, "", `#t=${target.toFixed(2)}`);
  update();
}

function seekToChunk(step) {
  const now = audio.currentTime;
  const index = lastStarted(chunks, now);
  // Like a music player: "previous" first goes to the start of the chunk one is in.
  const within = index >= 0 && now - chunks[index].start_s > 1;
  const target = step > 0 ? chunks[index + 1] : chunks[within ? index : index - 1];
  if (target) seek(target.start_s + INSIDE_S);
  else if (step < 0) seek(0);
}

async function start(sound) {
  try {
    await sound.play();
  } catch (error) {
    // Not a fault: it was paused again before it began.
    if (error.name !== "AbortError") showProblem("The browser could not play the sound of this sermon.");
  }
}

function playOrPause() {
  if (audio.paused) start(audio);
  else audio.pause();
}

// Goes on in another view at the same position. The one that sounds falls silent when the other is there.
function hear(view) {
  const next = players.get(view)?.audio;
  if (!next || next === audio) return;
  const before = audio;
  audio = next;
  heard = view;
  audio.playbackRate = before.playbackRate;
  audio.currentTime = before.currentTime;
  // Unless one has come back to it meanwhile.
  if (!before.paused) start(audio).then(() => before === audio || before.pause());
  showHeard();
  update();
}

function hearOther() {
  const views = [...players.keys()];
  hear(views[(views.indexOf(heard) + 1) % views.length]);
}

function newPlayer() {
  const sound = element("audio");
  sound.preload = "metadata";
  const ofHeard = (action) => () => sound === audio && action();
  sound.addEventListener("play", ofHeard(() => {
    showPlaying(true);
    keepUp();
  }));
  sound.addEventListener("pause", ofHeard(() => showPlaying(false)));
  for (const event of ["seeked", "timeupdate", "loadedmetadata"]) sound.addEventListener(event, ofHeard(update));
  sound.addEventListener("error", () => sound.src && showProblem("The sound of this sermon could not be loaded."));
  byId("player").append(sound);
  return { audio: sound, version: null };
}

function showPlaying(is) {
  byId("play").classList.toggle("playing", is);
  byId("play").setAttribute("aria-label", is ? "Pause" : "Play");
}

// One player for each view that has sound; one whose sound was made anew goes on where it was.
function loadSounds(views) {
  const at = audio ? audio.currentTime : startFromAddress();
  for (const [view, { audio: gone }] of players) {
    if (views.some((each) => each.view === view)) continue;
    gone.pause();
    gone.remove();
    players.delete(view);
  }
  for (const { view, version } of views) {
    if (!players.has(view)) players.set(view, newPlayer());
    const player = players.get(view);
    if (player.version === version) continue;
    player.version = version;
    player.audio.src = address("audio", `?view=${view}&version=${version}`);
    player.audio.currentTime = at;
  }
  // In the order of the answer, whatever came first.
  players = new Map(views.map(({ view }) => [view, players.get(view)]));
  if (!players.has(heard)) {
    heard = views[0]?.view ?? null;
    audio = players.get(heard)?.audio ?? null;
  }
}

// Says which view sounds: by its name, by the light of its picture, and to who hears the page.
function showHeard() {
  for (const name of document.querySelectorAll(".view-name")) {
    const is = name.dataset.view === heard;
    name.setAttribute("aria-pressed", is);
    name.title = is ? `You hear the view ${name.dataset.view}` : `Hear the view ${name.dataset.view} from here (v)`;
  }
  for (const [view, { audio: sound }] of players) {
    sound.toggleAttribute("data-heard", view === heard);
    sound.dataset.view = view;
  }
  for (const row of rows.tiles) {
    for (const image of row.nodes.values()) image.classList.toggle("unheard", row.view !== heard);
  }
  const version = players.get(heard)?.version;
  const picture = address("overview", `.png?width=${OVERVIEW_COLUMNS}&view=${heard}&version=${version}`);
  if (version && byId("overview").getAttribute("src") !== picture) byId("overview").src = picture;
}

// ---- the transcript ---------------------------------------------------------------------------------------

// The transcript of a chunk by the chosen recogniser, or null.
function transcriptOf(chunk) {
  const chosen = sermon.systems[byId("system").selectedIndex];
  const isChosen = ({ system, view }) => system === chosen?.system && view === chosen.view;
  return chunk.transcripts.find(isChosen) ?? null;
}

function wordsOf(chunk) {
  const transcript = transcriptOf(chunk);
  if (!transcript) return [];
  if (transcript.words.length) return transcript.words;
  const text = transcript.text.trim();
  return text ? [{ word: text, start_s: chunk.start_s, end_s: chunk.end_s, probability: null }] : [];
}

function describeWord(word) {
  const when = clock(word.start_s, 1);
  return word.probability === null ? when : `${when}, ${Math.round(word.probability * 100)} % sure`;
}

function textBadge(chunk) {
  const [className, text] = TEXT_STATUS[chunk.text_status];
  const node = badge(className, text);
  node.classList.add("of-text");
  if (chunk.text_reason) node.title = chunk.text_reason;
  return node;
}

function drawPassage(chunk) {
  const text = element("p", { className: "text" });
  const list = wordsOf(chunk);
  // Whisper's words carry the space before them; other recognisers' words do not.
  const spaced = list.some((word) => word.word.startsWith(" "));
  list.forEach((word, index) => {
    if (index && (!spaced || word.word.startsWith(" "))) text.append(" ");
    const span = element("span", { className: "word", text: word.word.trim(), title: describeWord(word) });
    if (word.probability !== null && word.probability < DOUBTFUL_PROBABILITY) span.classList.add("doubtful");
    span.dataset.start = word.start_s;
    span.addEventListener("click", () => seek(word.start_s + INSIDE_S));
    text.append(span);
    words.push({ ...word, span });
  });
  const jump = element("button", {
    className: "jump",
    text: `▶ ${clock(chunk.start_s, 1)}`,
    title: `Play from ${clock(chunk.start_s, 1)}`,
  });
  jump.type = "button";
  jump.addEventListener("click", () => {
    seek(chunk.start_s + INSIDE_S);
    if (audio.paused) playOrPause();
  });
  const start = element("div", { className: "start" }, jump);
  if (TEXT_STATUS[chunk.text_status]) start.append(textBadge(chunk));
  const passage = element("div", { className: `passage ${chunk.status}` }, start, text);
  if (!list.length) text.append(element("span", { className: "quiet", text: "no text" }));
  if (chunk.status === "rejected") {
    const why = element("p", { className: "why" }, element("strong", { text: "Rejected: " }));
    why.append(chunk.reason ?? "no reason was recorded");
    passage.append(why);
  }
  return passage;
}

const boxLabel = (chunk) =>
  chunk.status === "rejected"
    ? `Rejected: ${chunk.reason ?? "no reason was recorded"}`
    : `${clock(chunk.start_s, 1)} – ${clock(chunk.end_s, 1)}`;

function drawChunks() {
  words = [];
  const strip = [];
  const passages = [];
  let end = 0;
  for (const chunk of chunks) {
    if (chunk.start_s - end >= SHOWN_PAUSE_S) {
      passages.push(
        element("div", { className: "pause", text: `${number(chunk.start_s - end, 1, " s")} without speech` }),
      );
    }
    end = Math.max(end, chunk.end_s);
    const box = element("div", { className: `chunk ${chunk.status}`, title: boxLabel(chunk) });
    place(box, chunk.start_s, chunk.end_s, "%", 100 / (duration || 1));
    strip.push(box);
    chunk.passage = drawPassage(chunk);
    passages.push(chunk.passage);
  }
  // Chunks may touch, so words are sorted once more over all of them.
  words.sort((one, other) => one.start_s - other.start_s);
  byId("strip-chunks").replaceChildren(...strip);
  byId("chunks").replaceChildren(...passages);
  currentChunk = undefined;
  currentWord = null;
  drawLanes();
  drawCloseup();
}

// ---- the pictures -----------------------------------------------------------------------------------------

const windowSeconds = () => Number(byId("zoom").value);
const pixelsPerSecond = () => byId("closeup").clientWidth / windowSeconds();

// Heights are the style sheet's, so that a narrow screen has others.
const styleHeight = (name) => parseFloat(getComputedStyle(byId("player")).getPropertyValue(`--${name}-height`));

function laneName(lane, height) {
  const node = element("span", { className: "lane-name", text: lane.name, title: lane.about });
  node.style.height = `${height}px`;
  return node;
}

function viewName(view, height) {
  const node = element("button", { className: "view-name" });
  node.type = "button";
  node.dataset.view = view;
  // A loudspeaker: the view that sounds.
  const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  icon.setAttribute("viewBox", "0 0 16 16");
  icon.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", "M2 6h3l4-4v12l-4-4H2zM11 5.5a3.5 3.5 0 0 1 0 5M12.5 3.5a6.5 6.5 0 0 1 0 9");
  icon.append(path);
  node.append(icon, element("span", { text: view }), element("small", { text: "heard" }));
  node.style.height = `${height}px`;
  node.addEventListener("click", () => hear(view));
  return node;
}

function drawLanes() {
  const picture = element("span", { className: "lane-name", text: "Whole" });
  picture.style.height = `${byId("strip-picture").clientHeight}px`;
  const names = lanes.map((lane) => laneName(lane, styleHeight("strip-lane")));
  byId("strip-names").replaceChildren(picture, ...names);
  byId("strip-lanes").replaceChildren(...lanes.map((lane) => wholeLane(lane, duration || 1, OVERVIEW_COLUMNS)));
}

// Lays the rows of the close-up below each other: the views, the words, what is heard, who speaks.
function drawCloseup() {
  const scale = pixelsPerSecond();
  const names = [];
  const viewHeight = styleHeight(players.size > 1 ? "view" : "only-view");
  let top = 0;
  const lay = (node, entry, from, height) => {
    node.style.top = `${from}px`;
    node.style.height = `${height}px`;
    place(node, entry.start_s, entry.end_s, "px", scale);
    return node;
  };
  const next = (height) => (top += height) - height;

  rows = { tiles: [], chunks: null, words: null, lanes: [] };
  for (const view of players.keys()) {
    const from = next(viewHeight);
    names.push(viewName(view, viewHeight));
    const row = new Row(windowsOf(duration), (entry) => lay(tile(view, entry, scale), entry, from, viewHeight));
    row.view = view;
    rows.tiles.push(row);
  }
  const withWords = words.length > 0 && windowSeconds() <= LONGEST_WINDOW_WITH_WORDS_S;
  const wordsFrom = next(withWords ? styleHeight("words") : 0);
  if (withWords) names.push(laneName({ name: "Words", about: "What the recogniser heard" }, top - wordsFrom));
  const boxHeight = top;
  rows.chunks = new Row(chunks, (chunk) => {
    const box = element(
      "div",
      { className: `chunk ${chunk.status}`, title: boxLabel(chunk) },
      element("span", { className: "label", text: boxLabel(chunk) }),
    );
    box.classList.toggle("current", chunk === currentChunk);
    return lay(box, chunk, 0, boxHeight);
  });
  rows.words = new Row(withWords ? words : [], (word) => {
    const mark = element("span", { className: "mark", text: word.word.trim() });
    mark.classList.toggle("now", word === currentWord);
    return lay(mark, word, wordsFrom, boxHeight - wordsFrom);
  });
  const laneHeight = styleHeight("lane");
  rows.lanes = lanes.map((lane) => {
    const from = next(laneHeight);
    names.push(laneName(lane, laneHeight));
    return new Row(lane.entries, (entry) => {
      const mark = element("div", { className: entry.className, title: entry.title });
      mark.append(element("span", { className: "label", text: entry.name }));
      return lay(mark, entry, from, laneHeight);
    });
  });

  shownWindows = "";
  byId("track").replaceChildren();
  byId("closeup").style.height = `${top}px`;
  byId("closeup-names").replaceChildren(...names);
  showHeard();
  update();
}

// The close-up is a row of pictures, each one window wide.
function windowsOf(length_s) {
  const seconds = windowSeconds();
  return Array.from({ length: Math.ceil(length_s / seconds) }, (_, index) => ({
    start_s: index * seconds,
    end_s: Math.min(length_s, (index + 1) * seconds),
  }));
}

function tile(view, { start_s, end_s }, scale) {
  const width = Math.min(4000, Math.max(16, Math.round((end_s - start_s) * scale)));
  const image = element("img");
  image.alt = "";
  image.draggable = false;
  image.classList.toggle("unheard", view !== heard);
  const query = `start_s=${start_s}&end_s=${end_s}&width=${width}&view=${view}&version=${players.get(view).version}`;
  image.src = address("spectrogram", `.png?${query}`);
  return image;
}

// Draws what is in sight and one window before and after it; anew only when another window comes near.
function drawInSight(now) {
  const seconds = windowSeconds();
  const first = Math.floor((now - seconds) / seconds);
  const last = Math.floor((now + seconds) / seconds);
  if (!(pixelsPerSecond() > 0) || shownWindows === `${first} ${last}`) return;
  shownWindows = `${first} ${last}`;
  for (const row of [...rows.tiles, rows.chunks, rows.words, ...rows.lanes]) {
    row.show(byId("track"), first * seconds, (last + 1) * seconds);
  }
}

// Keeps the label of what reaches in from the left in sight.
function keepLabelInSight(row, left_s, scale) {
  const entry = entryAt(row.entries, left_s);
  const node = row.nodes.get(entry);
  if (row.shifted && row.shifted !== node) row.shifted.firstChild.style.removeProperty("transform");
  row.shifted = node;
  if (!node) return;
  const label = node.firstChild;
  const room = node.clientWidth - label.offsetWidth;
  const shift = Math.min(room, (left_s - entry.start_s) * scale);
  label.style.transform = `translateX(${Math.max(0, shift)}px)`;
}

// ---- the numbers of a chunk -------------------------------------------------------------------------------

function explained(list, term, value, hint) {
  list.append(element("dt", { text: term }), element("dd", { text: value }));
  if (hint) list.append(element("dd", { className: "hint", text: hint }));
}

function heardText(who, text) {
  return element(
    "div",
    { className: "heard-text" },
    element("span", { className: "quiet", text: who }),
    element("p", { text: text || "nothing" }),
  );
}

// What the chosen recogniser, and beside it the others, heard in a chunk.
function drawTexts(chunk, transcript) {
  const texts = [];
  if (chunk.heard_by_others.length) {
    if (transcript) texts.push(heardText(transcript.system, transcript.text.trim()));
    texts.push(...chunk.heard_by_others.map(({ system, text }) => heardText(system, text)));
  }
  byId("chunk-texts").replaceChildren(...texts);
}

function drawMeasures(list, chunk) {
  const { limits } = sermon;
  if (chunk.text_status) {
    explained(
      list,
      "Difference",
      percent(chunk.mean_cer, 1),
      `letters in which the recognisers differ; under ${limit(100 * limits.max_mean_cer, "%")} the text is reliable`,
    );
  }
  if (chunk.snr_db !== null) {
    explained(
      list,
      "SNR",
      number(chunk.snr_db, 1, " dB"),
      `voice over background noise; at least ${limit(limits.min_snr_db, "dB")} wanted ` +
        `(${number(chunk.wada_snr_db, 1)} by WADA, ${number(chunk.vad_snr_db, 1)} by the pauses: the smaller counts)`,
    );
  }
  if (chunk.clipped_ratio !== null) {
    explained(
      list,
      "Clipping",
      percent(chunk.clipped_ratio, 2),
      `cut off because it was too loud; at most ${limit(100 * limits.max_clipped_ratio, "%")} allowed`,
    );
  }
  if (chunk.bandwidth_hz !== null) {
    explained(
      list,
      "Bandwidth",
      number(chunk.bandwidth_hz / 1000, 1, " kHz"),
      `how high the sound reaches; under ${limit(limits.min_bandwidth_hz / 1000, "kHz")} it is muffled`,
    );
  }
  explained(
    list,
    "Silence ratio",
    percent(chunk.silence_ratio),
    `share of the chunk without speech; at most ${limit(100 * limits.max_silence_ratio, "%")} allowed`,
  );
  explained(list, "Forced cut", chunk.forced_cut ? "yes" : "no", "yes: cut inside speech, as no pause was found");
  if (chunk.loudness_lufs !== null) explained(list, "Loudness", number(chunk.loudness_lufs, 1, " LUFS"));
  if (chunk.true_peak_dbtp !== null) {
    explained(list, "True peak", number(chunk.true_peak_dbtp, 1, " dBTP"), "loudness and peak are the original's");
  }
  if (chunk.speaker) {
    const share = chunk.speaker_share === null ? undefined : `${percent(chunk.speaker_share)} of the speech in it`;
    explained(list, "Speaker", chunk.speaker, share);
  }
}

function drawDetails(chunk) {
  byId("no-chunk").hidden = Boolean(chunk);
  byId("chunk-details").hidden = !chunk;
  if (!chunk) return;
  const verdict = byId("chunk-verdict");
  verdict.replaceChildren(badge(chunk.status));
  if (TEXT_STATUS[chunk.text_status]) verdict.append(" ", textBadge(chunk));
  if (chunk.status === "rejected") verdict.append(" ", chunk.reason ?? "no reason was recorded");
  else if (chunk.text_reason) verdict.append(" ", chunk.text_reason);
  const transcript = transcriptOf(chunk);
  drawTexts(chunk, transcript);
  const numbers = byId("chunk-numbers");
  numbers.replaceChildren();
  explained(numbers, "Start", clock(chunk.start_s, 2));
  explained(numbers, "End", clock(chunk.end_s, 2));
  explained(numbers, "Length", number(chunk.end_s - chunk.start_s, 2, " s"));
  drawMeasures(numbers, chunk);
  if (transcript) {
    explained(numbers, "avg_logprob", number(transcript.avg_logprob, 2), "near 0: sure of the words; under −1: doubtful");
    explained(
      numbers, "no_speech_prob", number(transcript.no_speech_prob, 2), "near 1: the recogniser hears no speech here");
    explained(
      numbers, "compression ratio", number(transcript.compression_ratio, 2), "over 2.4: the text repeats itself");
  }
  explained(numbers, "Chunk", chunk.chunk_id);
}

function inSight(node) {
  const { top, bottom } = node.getBoundingClientRect();
  const player = byId("player");
  const covered = getComputedStyle(player).position === "sticky" ? player.getBoundingClientRect().bottom : 0;
  return top > covered && bottom < innerHeight;
}

function keepInSight(node) {
  if (!byId("follow").checked || audio.paused || performance.now() < followPausedUntil || inSight(node)) return;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  node.scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
  // A smooth scroll takes a moment, in which the word is still out of sight.
  followPausedUntil = performance.now() + 800;
}

// Says in words what the lanes show at a position.
function showHeardNow(now) {
  const named = lanes.map((lane) => entryAt(lane.entries, now)?.name).filter(Boolean);
  const text = named.join(" · ");
  if (byId("heard-now").textContent !== text) byId("heard-now").textContent = text;
}

// Brings everything on the page to the position of the sound.
function update() {
  if (!audio) return;
  const now = audio.currentTime;
  const scale = pixelsPerSecond();
  const half = windowSeconds() / 2;
  byId("now").textContent = clock(now, 1);
  byId("strip-playhead").style.left = `${duration ? (now / duration) * 100 : 0}%`;
  place(byId("strip-frame"), now - half, now + half, "%", 100 / (duration || 1));
  byId("strip").setAttribute("aria-valuenow", now.toFixed(1));
  byId("strip").setAttribute("aria-valuetext", spokenTime(now));
  byId("track").style.transform = `translateX(${-now * scale}px)`;
  drawInSight(now);
  for (const row of [rows.chunks, ...rows.lanes]) row && keepLabelInSight(row, now - half, scale);
  showHeardNow(now);

  const chunk = chunkAt(now);
  if (chunk !== currentChunk) {
    for (const [passing, is] of [[currentChunk, false], [chunk, true]]) {
      passing?.passage.classList.toggle("current", is);
      rows.chunks?.nodes.get(passing)?.classList.toggle("current", is);
    }
    currentChunk = chunk;
    // While it plays, the short gaps between chunks do not blank the numbers one is reading.
    if (chunk || audio.paused) drawDetails(chunk);
  }
  const word = wordAt(now);
  if (word !== currentWord) {
    for (const [passing, is] of [[currentWord, false], [word, true]]) {
      passing?.span.classList.toggle("now", is);
      rows.words?.nodes.get(passing)?.classList.toggle("now", is);
    }
    currentWord = word;
    if (word) keepInSight(word.span);
  }
}

function frame() {
  update();
  ticking = Boolean(audio && !audio.paused);
  if (ticking) requestAnimationFrame(frame);
}

function keepUp() {
  if (!ticking) requestAnimationFrame(frame);
  ticking = true;
}

// ---- the sermon as a whole --------------------------------------------------------------------------------

function showVerdict() {
  const card = byId("verdict");
  const soundMissing = sermon.status === "accepted" && !sermon.views.length;
  card.hidden = sermon.status === "accepted" && !soundMissing;
  card.className = `card verdict ${soundMissing ? "waiting" : sermon.status}`;
  byId("verdict-command").hidden = sermon.status === "rejected";
  byId("verdict-command").textContent = `stt run --through transcript --sermon ${sermon.sermon}`;
  if (sermon.status === "rejected") {
    byId("verdict-heading").textContent = "This sermon is not used";
    byId("verdict-text").textContent = sermon.reason ?? "No reason was recorded.";
    byId("verdict-remedy").textContent =
      "Nothing was deleted. Once the cause is mended, put the recording in again: a changed file is a new version.";
  } else if (sermon.status === "waiting") {
    byId("verdict-heading").textContent = "This sermon is still waiting";
    byId("verdict-text").textContent = sermon.waits_for.text;
    byId("verdict-remedy").textContent =
      `Next step: ${sermon.waits_for.stage}. It goes on by itself while the platform runs with its sensors on, or with`;
  } else if (soundMissing) {
    byId("verdict-heading").textContent = "The sound of this sermon is missing";
    byId("verdict-text").textContent = "Its transcript is here, but the converted recording is not on this machine.";
    byId("verdict-remedy").textContent = "It is made again with";
  }
}

function drawLegend() {
  byId("legend").hidden = !chunks.length && !lanes.length;
  byId("legend-chunks").hidden = !chunks.length;
  const labels = new Set(sermon.segments.map(({ label }) => label));
  const known = [...Object.keys(SOUNDS), ...[...labels].filter((label) => !(label in SOUNDS))];
  const swatches = known
    .filter((label) => labels.has(label))
    .map((label) =>
      element("span", {}, element("i", { className: `swatch ${soundClass(label)}` }), ` ${soundName(label)}`),
    );
  byId("legend-sounds").hidden = !swatches.length;
  byId("legend-sounds").replaceChildren("What is heard: ", ...swatches);
  const speakers = lanes.filter(({ kind }) => kind === "turns");
  byId("legend-speakers").hidden = !speakers.length;
  byId("legend-speakers").textContent =
    speakers.length === 1
      ? "S1 is the only speaker that was told apart."
      : "S1 is the speaker who speaks longest, S2 the next, and so on. They are told apart by their voices, not by name.";
  const { enhancement } = sermon;
  byId("legend-views").hidden = sermon.views.length < 2;
  byId("key-of-views").hidden = sermon.views.length < 2;
  byId("legend-views").textContent =
    "Original: the recording as it came. Enhanced: with less noise and rumble, at an even loudness" +
    (enhancement ? ` (${levels(enhancement)}).` : ".");
}

function levels({ loudness_before_lufs, loudness_lufs, gain_db, loudness_shortfall_db }) {
  if (loudness_before_lufs === null || loudness_lufs === null) return "too quiet to measure";
  const change = `${number(loudness_before_lufs, 1)} → ${number(loudness_lufs, 1, " LUFS")}`;
  const gain = gain_db === null ? "" : `, ${gain_db < 0 ? "" : "+"}${number(gain_db, 1, " dB")}`;
  const short = loudness_shortfall_db > 0.05
    ? `; ${number(loudness_shortfall_db, 1, " dB")} below the level aimed at, as louder would distort` : "";
  return `${change}${gain}${short}`;
}

function setSystems(systems) {
  const select = byId("system");
  const before = select.value;
  select.replaceChildren(
    ...systems.map(({ system, view }) => {
      const option = element("option", { text: `${system} on ${view}` });
      option.value = JSON.stringify([system, view]);
      option.selected = option.value === before;
      return option;
    }),
  );
  select.disabled = systems.length < 2;
  select.parentElement.hidden = systems.length === 0;
}

async function loadSermon() {
  let answer;
  try {
    answer = await fetchJson(address("api/sermon"));
  } catch (error) {
    showProblem(error.message);
    return;
  }
  showProblem(null);
  const text = JSON.stringify(answer);
  if (text === shownAnswer) return;
  shownAnswer = text;
  sermon = answer;
  chunks = answer.chunks;
  const ends = [...chunks, ...answer.segments].map(({ end_s }) => end_s);
  duration = answer.duration_s ?? ends.reduce((latest, end) => Math.max(latest, end), 0);
  lanes = lanesOf(answer.segments, answer.turns);

  document.title = `${answer.title || answer.sermon} – Sermons`;
  byId("title").textContent = answer.title || answer.sermon;
  byId("about").replaceChildren(
    [
      answer.speaker,
      answer.date,
      answer.duration_s === null ? null : clock(answer.duration_s),
      answer.split ? `used for: ${answer.split}` : null,
    ].filter(Boolean).join(" · "),
    " ",
    badge(answer.status),
  );
  setSystems(answer.systems);
  showVerdict();

  byId("player").hidden = !answer.views.length;
  byId("columns").hidden = !chunks.length;
  byId("length").textContent = clock(duration);
  byId("strip").setAttribute("aria-valuemax", duration.toFixed(1));
  loadSounds(answer.views);
  drawLegend();
  const rejected = chunks.filter((chunk) => chunk.status === "rejected").length;
  byId("transcript-note").textContent = answer.systems.length
    ? `${chunks.length} chunks, ${rejected} of them rejected; click a word to hear it`
    : `${chunks.length} chunks, ${rejected} of them rejected; not written down yet`;
  drawChunks();
  showFunnel(key);
}

function startFromAddress() {
  const found = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
  return found ? Number(found[1]) : 0;
}

function typing(target) {
  return target.closest("input:not([type=checkbox]), select, textarea") !== null;
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || !audio) return;
  const actions = {
    " ": playOrPause,
    ArrowLeft: () => seek(audio.currentTime - SKIP_S),
    ArrowRight: () => seek(audio.currentTime + SKIP_S),
    "[": () => seekToChunk(-1),
    "]": () => seekToChunk(1),
    v: hearOther,
  };
  const action = actions[event.key];
  // The space bar presses the button that has the focus; that stays so.
  if (!action || (event.key === " " && event.target.closest("button, a, input"))) return;
  event.preventDefault();
  action();
}

if (matchMedia("(max-width: 56rem)").matches) {
  for (const id of ["details", "legend"]) byId(id).open = false;
}
if (matchMedia("(max-width: 40rem)").matches) byId("zoom").value = "5";
byId("play").addEventListener("click", playOrPause);
byId("back").addEventListener("click", () => seek(audio.currentTime - SKIP_S));
byId("forward").addEventListener("click", () => seek(audio.currentTime + SKIP_S));
byId("previous").addEventListener("click", () => seekToChunk(-1));
byId("next").addEventListener("click", () => seekToChunk(1));
byId("speed").addEventListener("change", (event) => audio && (audio.playbackRate = Number(event.target.value)));
byId("zoom").addEventListener("change", drawCloseup);
byId("system").addEventListener("change", drawChunks);
byId("strip").addEventListener("click", (event) => {
  const { left, width } = byId("strip").getBoundingClientRect();
  seek(((event.clientX - left) / width) * duration);
});
byId("closeup").addEventListener("click", (event) => {
  const { left, width } = byId("closeup").getBoundingClientRect();
  seek(audio.currentTime + (event.clientX - left - width / 2) / pixelsPerSecond());
});
document.addEventListener("keydown", onKey);
for (const event of ["wheel", "touchmove"]) {
  // Whoever scrolls wants to read elsewhere for a while.
  document.addEventListener(event, () => (followPausedUntil = performance.now() + 5000), { passive: true });
}
addEventListener("hashchange", () => audio && seek(startFromAddress(), { remember: false }));
let width = 0;
new ResizeObserver(() => {
  document.documentElement.style.setProperty("--player-height", `${byId("player").offsetHeight}px`);
  if (byId("closeup").clientWidth !== width && audio) {
    width = byId("closeup").clientWidth;
    drawLanes();
    drawCloseup();
  }
}).observe(byId("player"));
// A sermon that is still being worked on fills in by itself; a finished one is left alone while one listens.
setInterval(() => !document.hidden && sermon?.status !== "accepted" && loadSermon(), POLL_MS);
loadSermon();
