// The listening page. What comes from the store may hold anything, so it enters the page as text only:
// textContent and attributes, never markup.

const POLL_MS = 15_000;
const SKIP_S = 5;
const DOUBTFUL_PROBABILITY = 0.5;
const SHOWN_PAUSE_S = 2;
// A word stays lit for a moment after its end, so that the light does not flicker between words.
const AFTERGLOW_S = 0.35;
// The browser may round a position down; this keeps a jump inside the word it was meant for.
const INSIDE_S = 0.002;

const byId = (id) => document.getElementById(id);

function element(tag, { className, text, title } = {}, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  if (title) node.title = title;
  node.append(...children);
  return node;
}

function clock(seconds, decimals = 0) {
  const unit = 10 ** decimals;
  const whole = Math.max(0, Math.floor(seconds * unit + 1e-6)) / unit;
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  const rest = (whole % 60).toFixed(decimals).padStart(decimals ? 3 + decimals : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

function spokenTime(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes} minutes ${Math.floor(seconds % 60)} seconds`;
}

const number = (value, decimals, unit = "") =>
  value === null || value === undefined ? "not measured" : `${value.toFixed(decimals)}${unit}`.replace("-", "−");

async function fetchJson(address) {
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

function showProblem(message) {
  byId("problem").textContent = message ?? "";
  byId("problem").hidden = !message;
}

const badge = (status) => element("span", { className: `badge ${status}`, text: status });

// ---- the list of sermons ---------------------------------------------------------------------------------

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

function startList() {
  const search = byId("search");
  let sermons = [];
  let shown = "";

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
    } catch (error) {
      showProblem(error.message);
    }
  }

  search.addEventListener("input", draw);
  setInterval(() => document.hidden || load(), POLL_MS);
  load();
}

// ---- one sermon ------------------------------------------------------------------------------------------

const audio = byId("audio");
const key = decodeURIComponent(location.pathname.split("/").pop());
const address = (kind, suffix = "") => `/${kind}/${encodeURIComponent(key)}${suffix}`;

let sermon = null; // the answer of /api/sermon
let shownAnswer = "";
let chunks = []; // the chunks with what belongs to them on the page
let words = []; // all words in order of time, with their spans
let duration = 0;
let currentChunk; // undefined before the first update, null between chunks
let currentWord = null;
let shiftedChunk = null;
let followPausedUntil = 0;
let tiles = new Map();

// Index of the last entry that starts at or before `seconds`, or -1.
function lastStarted(entries, seconds) {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (entries[middle].start_s <= seconds) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function chunkAt(seconds) {
  const chunk = chunks[lastStarted(chunks, seconds)];
  return chunk && seconds < chunk.end_s ? chunk : null;
}

function wordAt(seconds) {
  const index = lastStarted(words, seconds);
  const word = words[index];
  return word && seconds < word.end_s + AFTERGLOW_S ? word : null;
}

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

function playOrPause() {
  if (audio.paused) audio.play().catch(() => showProblem("The browser could not play the sound of this sermon."));
  else audio.pause();
}

// The transcript of a chunk by the chosen recogniser, or null.
function transcriptOf(chunk) {
  const system = byId("system").value;
  return chunk.transcripts.find((transcript) => transcript.system === system) ?? null;
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
  const passage = element("div", { className: `passage ${chunk.status}` }, jump, text);
  if (!list.length) text.append(element("span", { className: "quiet", text: "no text" }));
  if (chunk.status === "rejected") {
    const why = element("p", { className: "why" }, element("strong", { text: "Rejected: " }));
    why.append(chunk.reason ?? "no reason was recorded");
    passage.append(why);
  }
  return passage;
}

function place(node, start_s, end_s, unit, scale) {
  node.style.left = `${start_s * scale}${unit}`;
  node.style.width = `${(end_s - start_s) * scale}${unit}`;
}

const boxLabel = (chunk) =>
  chunk.status === "rejected"
    ? `Rejected: ${chunk.reason ?? "no reason was recorded"}`
    : `${clock(chunk.start_s, 1)} – ${clock(chunk.end_s, 1)}`;

function pixelsPerSecond() {
  return byId("closeup").clientWidth / Number(byId("zoom").value);
}

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
  drawCloseup();
}

function drawCloseup() {
  const scale = pixelsPerSecond();
  const boxes = chunks.map((chunk) => {
    const box = element("div", { className: `chunk ${chunk.status}`, title: boxLabel(chunk) });
    place(box, chunk.start_s, chunk.end_s, "px", scale);
    chunk.label = element("span", { className: "label", text: boxLabel(chunk) });
    box.append(chunk.label);
    chunk.box = box;
    return box;
  });
  tiles = new Map();
  shiftedChunk = null;
  byId("track").replaceChildren(...boxes);
  const lane = element("div", { className: "words" });
  if (Number(byId("zoom").value) <= 10) {
    for (const word of words) {
      word.mark = element("span", { text: word.word.trim() });
      place(word.mark, word.start_s, word.end_s, "px", scale);
      lane.append(word.mark);
    }
    byId("track").append(lane);
  } else {
    for (const word of words) word.mark = null;
  }
  update();
}

// The close-up is a row of pictures, each one window wide: those in sight and their neighbours are kept.
function drawTiles(now) {
  const seconds = Number(byId("zoom").value);
  const scale = pixelsPerSecond();
  if (!(scale > 0) || !sermon?.sound) return;
  const first = Math.max(0, Math.floor((now - seconds) / seconds));
  const last = Math.min(Math.ceil(duration / seconds) - 1, Math.floor((now + seconds) / seconds));
  for (const [index, image] of tiles) {
    if (index < first - 1 || index > last + 1) {
      image.remove();
      tiles.delete(index);
    }
  }
  for (let index = first; index <= last; index += 1) {
    if (tiles.has(index)) continue;
    const start = index * seconds;
    const end = Math.min(duration, start + seconds);
    const width = Math.min(4000, Math.max(16, Math.round((end - start) * scale)));
    const image = element("img");
    image.alt = "";
    image.draggable = false;
    image.src = address(
      "spectrogram",
      `.png?start_s=${start}&end_s=${end}&width=${width}&view=${sermon.view}&version=${sermon.sound.version}`,
    );
    place(image, start, end, "px", scale);
    byId("track").prepend(image);
    tiles.set(index, image);
  }
}

function explained(list, term, value, hint) {
  list.append(element("dt", { text: term }), element("dd", { text: value }));
  if (hint) list.append(element("dd", { className: "hint", text: hint }));
}

function drawDetails(chunk) {
  byId("no-chunk").hidden = Boolean(chunk);
  byId("chunk-details").hidden = !chunk;
  if (!chunk) return;
  const verdict = byId("chunk-verdict");
  verdict.replaceChildren(badge(chunk.status));
  if (chunk.status === "rejected") verdict.append(" ", chunk.reason ?? "no reason was recorded");
  const numbers = byId("chunk-numbers");
  numbers.replaceChildren();
  explained(numbers, "Start", clock(chunk.start_s, 2));
  explained(numbers, "End", clock(chunk.end_s, 2));
  explained(numbers, "Length", number(chunk.end_s - chunk.start_s, 2, " s"));
  const transcript = transcriptOf(chunk);
  if (transcript) {
    explained(numbers, "avg_logprob", number(transcript.avg_logprob, 2), "near 0: sure of the words; under −1: doubtful");
    explained(
      numbers, "no_speech_prob", number(transcript.no_speech_prob, 2), "near 1: the recogniser hears no speech here");
    explained(
      numbers, "compression ratio", number(transcript.compression_ratio, 2), "over 2.4: the text repeats itself");
  }
  explained(
    numbers,
    "Silence ratio",
    chunk.silence_ratio === null ? "not measured" : `${Math.round(chunk.silence_ratio * 100)} %`,
    "share of the chunk without speech",
  );
  explained(numbers, "Forced cut", chunk.forced_cut ? "yes" : "no", "yes: cut inside speech, as no pause was found");
  if (chunk.snr_db !== null) explained(numbers, "SNR", number(chunk.snr_db, 1, " dB"), "voice over background noise");
  if (chunk.loudness_lufs !== null) explained(numbers, "Loudness", number(chunk.loudness_lufs, 1, " LUFS"));
  if (chunk.true_peak_dbtp !== null) explained(numbers, "True peak", number(chunk.true_peak_dbtp, 1, " dBTP"));
  if (chunk.speaker) explained(numbers, "Speaker", chunk.speaker);
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

// Keeps the label of the chunk that reaches in from the left in sight.
function moveLabel(leftEdge, scale) {
  const chunk = chunkAt(leftEdge);
  if (chunk !== shiftedChunk) shiftedChunk?.label.style.removeProperty("transform");
  shiftedChunk = chunk;
  if (!chunk) return;
  const room = chunk.box.clientWidth - chunk.label.offsetWidth;
  const shift = Math.min(room, (leftEdge - chunk.start_s) * scale);
  chunk.label.style.transform = `translateX(${Math.max(0, shift)}px)`;
}

// Brings everything on the page to the position of the sound.
function update() {
  if (!sermon?.sound) return;
  const now = audio.currentTime;
  const share = duration ? (now / duration) * 100 : 0;
  byId("now").textContent = clock(now, 1);
  byId("strip-playhead").style.left = `${share}%`;
  const half = Number(byId("zoom").value) / 2;
  place(byId("strip-frame"), now - half, now + half, "%", 100 / (duration || 1));
  byId("strip").setAttribute("aria-valuenow", now.toFixed(1));
  byId("strip").setAttribute("aria-valuetext", spokenTime(now));
  byId("track").style.transform = `translateX(${-now * pixelsPerSecond()}px)`;
  drawTiles(now);
  moveLabel(now - half, pixelsPerSecond());

  const chunk = chunkAt(now);
  if (chunk !== currentChunk) {
    for (const [passing, is] of [[currentChunk, false], [chunk, true]]) {
      passing?.passage.classList.toggle("current", is);
      passing?.box.classList.toggle("current", is);
    }
    currentChunk = chunk;
    // While it plays, the short gaps between chunks do not blank the numbers one is reading.
    if (chunk || audio.paused) drawDetails(chunk);
  }
  const word = wordAt(now);
  if (word !== currentWord) {
    for (const [passing, is] of [[currentWord, false], [word, true]]) {
      passing?.span.classList.toggle("now", is);
      passing?.mark?.classList.toggle("now", is);
    }
    currentWord = word;
    if (word) keepInSight(word.span);
  }
}

function frame() {
  update();
  if (!audio.paused) requestAnimationFrame(frame);
}

function showVerdict() {
  const card = byId("verdict");
  const soundMissing = sermon.status === "accepted" && !sermon.sound;
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

function setOptions(select, values, chosen) {
  select.replaceChildren(
    ...values.map((value) => {
      const option = element("option", { text: value });
      option.value = value;
      option.selected = value === chosen;
      return option;
    }),
  );
  select.disabled = values.length < 2;
  select.parentElement.hidden = values.length === 0;
}

async function loadSermon() {
  let answer;
  try {
    const view = byId("view").value || "original";
    answer = await fetchJson(address("api/sermon", `?view=${encodeURIComponent(view)}`));
  } catch (error) {
    showProblem(error.message);
    return;
  }
  showProblem(null);
  const text = JSON.stringify(answer);
  if (text === shownAnswer) return;
  shownAnswer = text;
  const before = sermon;
  sermon = answer;
  chunks = answer.chunks;
  duration = answer.duration_s ?? Math.max(0, ...chunks.map((chunk) => chunk.end_s));

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
  setOptions(byId("view"), answer.views, answer.view);
  setOptions(byId("system"), answer.systems, byId("system").value || answer.systems[0]);
  showVerdict();

  byId("player").hidden = !answer.sound;
  byId("legend").hidden = !chunks.length;
  byId("columns").hidden = !chunks.length;
  byId("length").textContent = clock(duration);
  byId("strip").setAttribute("aria-valuemax", duration.toFixed(1));
  if (answer.sound && (before?.sound?.version !== answer.sound.version || before?.view !== answer.view)) {
    const at = before ? audio.currentTime : startFromAddress();
    const query = `view=${answer.view}&version=${answer.sound.version}`;
    audio.src = address("audio", `?${query}`);
    audio.currentTime = at;
    byId("overview").src = address("overview", `.png?width=1600&${query}`);
  }
  const rejected = chunks.filter((chunk) => chunk.status === "rejected").length;
  byId("transcript-note").textContent = answer.systems.length
    ? `${chunks.length} chunks, ${rejected} of them rejected; click a word to hear it`
    : `${chunks.length} chunks, ${rejected} of them rejected; not written down yet`;
  drawChunks();
}

function startFromAddress() {
  const found = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
  return found ? Number(found[1]) : 0;
}

function typing(target) {
  return target.closest("input:not([type=checkbox]), select, textarea") !== null;
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || !sermon?.sound) return;
  const actions = {
    " ": playOrPause,
    ArrowLeft: () => seek(audio.currentTime - SKIP_S),
    ArrowRight: () => seek(audio.currentTime + SKIP_S),
    "[": () => seekToChunk(-1),
    "]": () => seekToChunk(1),
  };
  const action = actions[event.key];
  // The space bar presses the button that has the focus; that stays so.
  if (!action || (event.key === " " && event.target.closest("button, a, input"))) return;
  event.preventDefault();
  action();
}

function startSermon() {
  if (matchMedia("(max-width: 56rem)").matches) byId("details").open = false;
  if (matchMedia("(max-width: 40rem)").matches) byId("zoom").value = "5";
  byId("play").addEventListener("click", playOrPause);
  byId("back").addEventListener("click", () => seek(audio.currentTime - SKIP_S));
  byId("forward").addEventListener("click", () => seek(audio.currentTime + SKIP_S));
  byId("previous").addEventListener("click", () => seekToChunk(-1));
  byId("next").addEventListener("click", () => seekToChunk(1));
  byId("speed").addEventListener("change", (event) => (audio.playbackRate = Number(event.target.value)));
  byId("zoom").addEventListener("change", drawCloseup);
  byId("view").addEventListener("change", loadSermon);
  byId("system").addEventListener("change", drawChunks);
  byId("strip").addEventListener("click", (event) => {
    const { left, width } = byId("strip").getBoundingClientRect();
    seek(((event.clientX - left) / width) * duration);
  });
  byId("closeup").addEventListener("click", (event) => {
    const { left, width } = byId("closeup").getBoundingClientRect();
    seek(audio.currentTime + (event.clientX - left - width / 2) / pixelsPerSecond());
  });
  const playing = (is) => {
    byId("play").classList.toggle("playing", is);
    byId("play").setAttribute("aria-label", is ? "Pause" : "Play");
  };
  audio.addEventListener("play", () => {
    playing(true);
    requestAnimationFrame(frame);
  });
  audio.addEventListener("pause", () => playing(false));
  for (const event of ["seeked", "timeupdate", "loadedmetadata"]) audio.addEventListener(event, update);
  audio.addEventListener("error", () => audio.src && showProblem("The sound of this sermon could not be loaded."));
  document.addEventListener("keydown", onKey);
  for (const event of ["wheel", "touchmove"]) {
    // Whoever scrolls wants to read elsewhere for a while.
    document.addEventListener(event, () => (followPausedUntil = performance.now() + 5000), { passive: true });
  }
  addEventListener("hashchange", () => sermon && seek(startFromAddress(), { remember: false }));
  let width = 0;
  new ResizeObserver(() => {
    document.documentElement.style.setProperty("--player-height", `${byId("player").offsetHeight}px`);
    if (byId("closeup").clientWidth !== width && sermon?.sound) {
      width = byId("closeup").clientWidth;
      drawCloseup();
    }
  }).observe(byId("player"));
  // A sermon that is still being worked on fills in by itself; a finished one is left alone while one listens.
  setInterval(() => !document.hidden && sermon?.status !== "accepted" && loadSermon(), POLL_MS);
  loadSermon();
}

if (document.body.dataset.page === "sermon") startSermon();
else startList();
