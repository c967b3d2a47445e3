// SPDX-License-Identifier: BSD-2-Clause
"use strict";

const at = (id) => document.getElementById(id);
let facts = null, messages = [], running = null;

function headers() {
  const found = {"Content-Type": "application/json"};
  if (at("key").value) found.Authorization = "Bearer " + at("key").value;
  return found;
}

async function refusal(response) {
  const text = await response.text();
  try {
    return new Error(JSON.parse(text).error.message);
  } catch {  // not the application's: the server's, or of something between
    return new Error(`the server says ${response.status}: ${text.slice(0, 200)}`);
  }
}

// The conversation. ---------------------------------------------------------------------------------------------------

function show(message) {
  const item = document.createElement("li");
  item.className = message.role;
  item.textContent = message.content;
  at("messages").append(item);
  item.scrollIntoView({block: "end"});
  return item;
}

function settle(active) {
  at("send").disabled = active;
  at("stop").disabled = !active;
  at("again").disabled = active || !messages.some((each) => each.role === "user");
}

async function* events(response) {
  const reader = response.body.getReader(), decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const {done, value} = await reader.read();
    if (done) return;
    rest += decoder.decode(value, {stream: true});
    for (let end; (end = rest.indexOf("\n\n")) >= 0; rest = rest.slice(end + 2)) {
      const data = rest.slice(0, end).replace(/^data: /, "");
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}

function takeBack() {
  // The last message was not answered: nothing may stand between it and the next one.
  const text = messages.pop().content, box = at("text");
  at("messages").lastElementChild.remove();
  box.value = box.value ? `${text}\n${box.value}` : text;
}

async function answer() {
  const mine = messages, chat = facts.chat;  // another conversation may have begun when this one's answer ends
  const body = {
    model: facts.model, stream: true, stream_options: {include_usage: true},
    temperature: Number(at("temperature").value), max_tokens: Number(at("tokens").value),
  };
  if (chat) body.messages = messages; else body.prompt = messages[messages.length - 1].content;
  const message = {role: "assistant", content: ""}, item = show(message);
  item.classList.add("running");
  const control = running = new AbortController();
  settle(true);
  let begun = null, usage = null, reason = "stopped";
  try {
    const response = await fetch(chat ? "/v1/chat/completions" : "/v1/completions",
      {method: "POST", headers: headers(), body: JSON.stringify(body), signal: control.signal});
    if (!response.ok) throw await refusal(response);
    for await (const piece of events(response)) {
      if (piece.error) throw new Error(piece.error.message);
      usage = piece.usage || usage;
      const choice = piece.choices[0];
      if (!choice) continue;
      reason = choice.finish_reason || reason;
      const text = chat ? choice.delta.content : choice.text;
      if (!text) continue;
      begun = begun || performance.now();
      message.content += text;
      item.textContent = message.content;
      item.scrollIntoView({block: "end"});
    }
  } catch (error) {
    if (mine === messages && error.name !== "AbortError") at("problem").textContent = error.message;
  }
  if (mine !== messages) return;
  item.classList.remove("running");
  running = null;
  if (message.content || reason !== "stopped") {  // an answer that ended may be empty
    messages.push(message);
  } else {
    item.remove();
    takeBack();
  }
  if (usage && usage.completion_tokens > 1 && begun !== null) {
    const seconds = (performance.now() - begun)/1000, rate = document.createElement("span");
    rate.className = "rate";
    rate.textContent = `${usage.completion_tokens} tokens, ${((usage.completion_tokens - 1)/seconds).toFixed(1)} a second`
      + ` · prompt of ${usage.prompt_tokens}, ${usage.prompt_tokens_details.cached_tokens} kept`
      + (reason === "length" ? " · cut at the number of tokens" : "");
    item.append(rate);
  }
  settle(false);
  at("text").focus();
}

function send() {
  const text = at("text").value.trim();
  if (!text || running || facts === null) return;
  at("problem").textContent = "";
  at("text").value = "";
  messages.push({role: "user", content: text});
  show(messages[messages.length - 1]);
  answer();
}

at("form").addEventListener("submit", (event) => { event.preventDefault(); send(); });
at("access").addEventListener("submit", (event) => event.preventDefault());
at("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); }
});
at("stop").addEventListener("click", () => running && running.abort());
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && running) running.abort(); });
at("again").addEventListener("click", () => {
  while (messages.length && messages[messages.length - 1].role === "assistant") {
    messages.pop();
    at("messages").lastElementChild.remove();
  }
  at("problem").textContent = "";
  answer();
});
at("clear").addEventListener("click", () => {
  if (running) running.abort();
  running = null;
  messages = [];
  at("messages").replaceChildren();
  at("problem").textContent = "";
  settle(false);
});

// What was measured. --------------------------------------------------------------------------------------------------

function list(id, rows) {
  at(id).replaceChildren(...rows.flatMap(([name, value]) => {
    const term = document.createElement("dt"), text = document.createElement("dd");
    term.textContent = name;
    text.textContent = value;
    return [term, text];
  }));
}

function bytes(count) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (count < 1000 || unit === "GB") return `${count < 10 && unit !== "B" ? count.toFixed(1) : Math.round(count)} ${unit}`;
    count /= 1000;
  }
}

function cycles(counters) {
  // Engines of the device's own decoder may work at the same time: then the bar is as long as their sum.
  const decoder = counters.busy_vector || counters.busy_attention;
  const counts = [["busy", "array busy", counters.busy], ...(decoder
    ? [["vector", "vector engine", counters.busy_vector], ["attention", "attention engine", counters.busy_attention]]
    : [["weights", "waits for weights", counters.wait_weights], ["results", "waits for results", counters.wait_results]])];
  const sum = counts.reduce((sum, [, , count]) => sum + count, 0), all = Math.max(1, counters.cycles, sum);
  counts.push(["other", decoder ? "none of them" : "start, activations, results", Math.max(0, counters.cycles - sum)]);
  const texts = counts.map(([kind, name, count]) => [kind, name, 100*count/Math.max(1, counters.cycles), 100*count/all]);
  at("cycles").replaceChildren(...texts.map(([kind, , , width]) => {
    const part = document.createElement("div");
    part.className = kind;
    part.style.width = `${width}%`;
    return part;
  }));
  at("cycles").setAttribute("aria-label", texts.map(([, name, share]) => `${name} ${share.toFixed(0)} %`).join(", "));
  at("legend").replaceChildren(...texts.map(([kind, name, share]) => {
    const item = document.createElement("li"), label = document.createElement("span"), value = document.createElement("b");
    label.className = kind;
    label.textContent = name;
    value.textContent = `${share.toFixed(1)} %`;
    item.append(label, value);
    return item;
  }));
}

function roofline(device, counters) {
  // Both axes logarithmic; the point is what was measured per cycle of the device, times its clock.
  const beats = counters.beats_in + counters.beats_out;
  if (!beats || !counters.cycles) return;
  const peak = device.macs_per_cycle, width = device.beat_bytes;
  const macs = counters.busy*peak, intensity = macs/(beats*width), reached = macs/counters.cycles;
  const x = (value) => 40 + 260*(Math.log2(value) + 3)/12, y = (value) => 150 - 115*(Math.log2(value) + 2)/(Math.log2(peak) + 2);
  const ridge = peak/width, low = 1/8;
  const svg = at("roofline"), make = (name, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text) node.textContent = text;
    return node;
  };
  svg.replaceChildren(
    make("polyline", {class: "roof", points: `${x(low)},${y(low*width)} ${x(ridge)},${y(peak)} ${x(512)},${y(peak)}`}),
    make("circle", {class: "point", cx: x(Math.min(512, Math.max(low, intensity))), cy: y(Math.max(.25, reached)), r: 5}),
    make("text", {x: 150, y: 26}, `array: ${peak} MAC a cycle`),
    make("text", {x: x(low) + 14, y: y(low*width) + 16}, `port: ${width} bytes a cycle`),
    make("text", {x: 160, y: 172}, "MAC a byte of memory →"));
  const text = `${reached.toFixed(1)} of ${peak} MAC a cycle, at ${intensity.toFixed(2)} MAC a byte`;
  svg.setAttribute("aria-label", text);
  at("reached").textContent = text;
}

async function poll() {
  try {
    const response = await fetch("/stats", {headers: headers()});
    if (!response.ok) throw await refusal(response);
    const stats = await response.json();
    facts = stats.facts;
    const device = facts.device;
    at("model").textContent = `${facts.model} (${facts.family}, ${facts.layers} layers, context ${facts.context}) on `
      + (device ? device.url : "the host, in float32");
    list("device", device ? [["array", `${device.rows} × ${device.lanes}`], ["clock", `${device.clock_hz/1e6} MHz`],
      ["memory", bytes(device.mem_bytes)], ["port, peak", `${bytes(device.port_bytes_per_s)}/s`],
      ["activations", facts.activations.toUpperCase()]] : [["device", "none"]]);
    const measures = device && !device.url.startsWith("reference");
    const span = stats.window && stats.window.tokens > 0 ? stats.window : null, rows = [["answering", stats.active], ["waiting", stats.waiting],
      ["tokens made", stats.generated_tokens], ["prompt tokens kept", stats.kept_tokens]];
    if (span) {
      rows.push(["tokens a second", (span.tokens/Math.max(span.busy_s, 1e-9)).toFixed(1)]);
      if (measures) {
        const moved = (span.counters.beats_in + span.counters.beats_out)*device.beat_bytes;
        rows.push(["device cycles a token", Math.round(span.counters.cycles/span.tokens).toLocaleString("en")],
          ["memory, of its peak", `${(100*moved/Math.max(1, span.counters.cycles*device.beat_bytes)).toFixed(1)} %`],
          ["link a token", bytes((span.link.sent + span.link.received)/span.tokens)]);
        cycles(span.counters);
        roofline(device, span.counters);
      }
    }
    list("rates", rows);
    at("measured").hidden = !(measures && span);
    at("note").textContent = measures
      ? "Cycles, beats and bytes are the device's own counters; seconds of a simulated device are the simulator's."
      : device ? "The reference device computes in numpy and measures nothing; boards and simulated devices do." : "";
    if (at("problem").dataset.poll) { at("problem").textContent = ""; delete at("problem").dataset.poll; }
  } catch (error) {
    at("problem").textContent = error.message;
    at("problem").dataset.poll = "1";
  }
  setTimeout(poll, 1000);
}

settle(false);
poll();
