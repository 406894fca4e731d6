// Fills the streaming page and the page of a batch from the data in the page, and keeps them up to date.
// Owns what is shown and in which words. Knows the JSON API (docs/api.md). Text of the user is only ever set as text.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const BATCHES_MAX = 1000, ROWS = 100;

// ---- words ----------------------------------------------------------------------------------------------------------

function element(id) {
  return document.getElementById(id);
}

function two(n) {
  return String(n).padStart(2, "0");
}

// 2026/11/22 14:03:12, with milliseconds if there are any.
function formatTime(ms) {
  const t = new Date(ms), fraction = ms % 1000 ? "." + String(ms % 1000).padStart(3, "0") : "";
  return `${t.getFullYear()}/${two(t.getMonth() + 1)}/${two(t.getDate())} ${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}${fraction}`;
}

// The two or three largest units: 2 minutes 3 seconds.
function formatDurationVerbose(ms) {
  const units = [["year", 31536e6], ["week", 6048e5], ["day", 864e5], ["hour", 36e5], ["minute", 6e4], ["second", 1e3]];
  const parts = [];
  let rest = ms;
  units.forEach(([name, unit], i) => {
    const n = Math.floor(rest / unit);
    rest -= n * unit;
    parts[i] = n === 0 ? "" : n === 1 ? `1 ${name}` : `${n} ${name}s`;
  });
  parts.push(ms >= 1000 && rest === 0 ? "" : `${rest} ms`);
  const first = parts.findIndex((p, i) => p !== "" || i === units.length);
  return parts.slice(first, first + (first < 4 ? 3 : 2)).filter((p) => p !== "").join(" ");
}

// 12 ms, 1.5 s, 2.0 min, 3.1 h; `-` if unknown.
function formatDuration(ms) {
  if (ms === undefined || ms === null) return "-";
  if (ms < 1000) return `${Number.isInteger(ms) ? ms : ms.toPrecision(2)} ms`;
  if (ms < 60000) return `${Number((ms / 1000).toFixed(1))} s`;
  if (ms < 3600000) return `${(ms / 60000).toFixed(1)} min`;
  return `${(ms / 3600000).toFixed(1)} h`;
}

function formatRate(perSecond, withUnit) {
  const unit = withUnit ? " records/sec" : "";
  if (perSecond >= 1e6) return `${Number((perSecond / 1e6).toFixed(2))}M${unit}`;
  if (perSecond >= 1e4) return `${Number((perSecond / 1e3).toFixed(1))}k${unit}`;
  return `${withUnit ? perSecond.toFixed(2) : Number(perSecond.toPrecision(3))}${unit}`;
}

function formatBytes(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = bytes > 0 ? Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10)) : 0;
  return `${(bytes / 1024 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}

function grouped(n) {
  return n.toLocaleString("en-US");
}

// A date of the JSON API: 2026-11-22T14:03:12.000GMT.
function parseDate(text) {
  return Date.parse(text.replace("GMT", "Z"));
}

// ---- tables ---------------------------------------------------------------------------------------------------------

// Fills a table. A cell is a text, or {text, link, kind}; a row may have a `kind`.
function fill(table, rows, none) {
  const body = table.tBodies[0], columns = table.tHead.rows[0].cells;
  body.replaceChildren(...rows.map((row) => {
    const tr = document.createElement("tr");
    if (row.kind) tr.className = row.kind;
    row.cells.forEach((cell, i) => {
      const td = tr.insertCell(), { text, link, kind } = typeof cell === "object" ? cell : { text: cell };
      td.className = [columns[i].className, kind].filter(Boolean).join(" ");
      if (link) td.append(Object.assign(document.createElement("a"), { href: link, textContent: text }));
      else td.textContent = text;
    });
    return tr;
  }));
  if (rows.length === 0) {
    const td = body.insertRow().insertCell();
    Object.assign(td, { colSpan: columns.length, className: "none", textContent: none });
  }
}

function batchLink(batch) {
  return { text: formatTime(batch.batchId), link: `/streaming/batch/${batch.batchId}` };
}

function operations(batch) {
  const failed = batch.numFailedOutputOps ? ` (${batch.numFailedOutputOps} failed)` : "";
  return `${batch.numCompletedOutputOps}/${batch.numTotalOutputOps}${failed}`;
}

function records(n) {
  return n === 1 ? "1 record" : `${grouped(n)} records`;
}

// ---- the streaming page ---------------------------------------------------------------------------------------------

class StreamingPage {
  constructor() {
    this.batches = [];
    this.rows = ROWS;
    const open = (time) => location.assign(`/streaming/batch/${time}`);
    const { intervalMs, streams } = data.program;
    const limit = intervalMs ? { at: intervalMs, text: `batch interval ${formatDurationVerbose(intervalMs)}` } : null;
    this.input = new Charts(element("input-rate"), formatRate, open);
    this.delays = [
      ["scheduling-delay", "schedulingDelay", "avgSchedulingDelay", null],
      ["processing-time", "processingTime", "avgProcessingTime", limit],
      ["total-delay", "totalDelay", "avgTotalDelay", null],
    ].map(([id, field, average, line]) => ({ field, average, row: element(id), charts: new Charts(element(id), formatDuration, open, line) }));
    this.streams = streams.map(({ id, name }) => {
      const row = element("streams").insertRow();
      row.append(Object.assign(document.createElement("th"), { scope: "row", textContent: name }));
      row.firstChild.append(document.createElement("small"));
      row.insertCell().className = "timeline";
      row.insertCell().className = "histogram";
      return { id, row, charts: new Charts(row, formatRate, open) };
    });
    element("expand").addEventListener("click", () => this.expand());
    if (location.hash === "#per-input") {
      element("streams").hidden = false;
      element("expand").setAttribute("aria-expanded", "true");
    }
    element("more").addEventListener("click", () => {
      this.rows = BATCHES_MAX;
      this.showCompleted();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      [this.input, ...this.delays.map((d) => d.charts), ...this.streams.map((s) => s.charts)].forEach((c) => c.rebuild());
    });
    setInterval(() => this.showRunning(), 1000);
  }

  take(update) {
    this.update = update;
    this.heard = Date.now();
    this.batches = (update.reset ? [] : this.batches).concat(update.ended).slice(-BATCHES_MAX);
    this.succeeded = this.batches.filter((b) => b.numFailedOutputOps === 0);
    this.problem(update.missing.length ? `Not ready: ${update.missing.join("; ")}` : update.notice ?? "");
    this.showRunning();
    this.showCharts();
    this.showReceivers();
    this.showActive();
    this.showFailed();
    this.showCompleted();
    element("state-bytes").textContent = formatBytes(update.statistics.stateBytes);
  }

  problem(text) {
    element("problem").hidden = text === "";
    element("problem").textContent = text;
  }

  showRunning() {
    const { statistics, startedMs, now } = this.update, line = element("running");
    if (!startedMs) {
      line.textContent = "No batch has begun yet.";
      return;
    }
    const age = now + (this.silent ? 0 : Date.now() - this.heard) - startedMs;
    const strong = (id, text) => Object.assign(document.createElement("strong"), { id, textContent: text });
    const every = statistics.batchDuration;
    line.replaceChildren(
      every ? "Running batches of " : "Running batches ",
      strong("interval", every ? formatDurationVerbose(every) : "as soon as possible"),
      " for ", strong("age", formatDurationVerbose(age < 1000 ? Math.max(0, age) : age - (age % 1000))),
      " since ", strong("since", formatTime(startedMs - (startedMs % 1000))),
      " (", strong("completed-batches", statistics.numTotalCompletedBatches),
      " completed batches, ", strong("records", statistics.numProcessedRecords), " records)",
    );
  }

  showCharts() {
    const { statistics } = this.update, times = this.succeeded.map((b) => b.batchId);
    const { numActiveBatches: active, numTotalCompletedBatches: completed, numActiveReceivers, numReceivers } = statistics;
    element("timelines").textContent = `Timelines (Last ${times.length} batches, ${active} active, ${completed} completed)`;
    element("receivers").textContent = `${numActiveReceivers} / ${numReceivers} active`;
    element("receivers").className = numActiveReceivers < numReceivers ? "error" : "";
    const average = statistics.avgInputRate;
    element("input-rate").querySelector(".average").textContent = average === undefined ? "-" : `${average.toFixed(2)} records/sec`;
    this.input.show(times, this.succeeded.map((b) => b.inputRate));
    for (const { field, average, row, charts } of this.delays) {
      row.querySelector(".average").textContent = formatDuration(statistics[average]);
      charts.show(times, this.succeeded.map((b) => b[field]));
    }
    if (!element("streams").hidden) this.showStreams(times);
  }

  expand() {
    const body = element("streams");
    body.hidden = !body.hidden;
    element("expand").setAttribute("aria-expanded", String(!body.hidden));
    history.replaceState(null, "", body.hidden ? location.pathname : "#per-input");
    if (!body.hidden) this.showStreams(this.succeeded.map((b) => b.batchId));
  }

  showStreams(times) {
    for (const { id, row, charts } of this.streams) {
      const rates = this.succeeded.map((b) => {
        const own = b.streams.find((s) => s.streamId === id);
        return own && b.inputSize ? (b.inputRate * own.numRecords) / b.inputSize : 0;
      });
      const own = this.update.receivers.filter((r) => r.streamId === id);
      const average = rates.length ? formatRate(rates.reduce((a, b) => a + b, 0) / rates.length, true) : "-";
      row.querySelector("small").textContent = `Receivers: ${own.filter((r) => r.isActive).length} / ${own.length} active. Avg: ${average}`;
      charts.show(times, rates);
    }
  }

  showReceivers() {
    const { receivers, statistics } = this.update;
    element("receivers-title").textContent = `Receivers (${statistics.numActiveReceivers} / ${statistics.numReceivers} active)`;
    fill(element("receiver-table"), receivers.map((r) => ({
      kind: r.status === "ERROR" ? "failing" : "",
      cells: [
        r.streamName,
        { text: r.status, kind: r.status.toLowerCase() },
        { text: r.executorHost ? `${r.executorId} / ${r.executorHost}` : r.executorId, kind: "place" },
        r.nextOffset === undefined ? "-" : grouped(r.nextOffset),
        r.lag === undefined ? "-" : grouped(r.lag),
        r.lastErrorTime ? formatTime(parseDate(r.lastErrorTime)) : "-",
        { text: r.lastErrorMessage || "-", kind: "long" },
      ],
    })), "No receiver was assigned to this process yet");
  }

  showActive() {
    const { active } = this.update;
    element("active-title").textContent = `Active Batches (${active.length})`;
    fill(element("active"), active.slice().reverse().map((b) => b.status === "QUEUED" ? {
      cells: [formatTime(b.batchId), "-", "-", "-", operations(b), "queued"],
    } : {
      cells: [
        batchLink(b), b.takingInput ? "-" : records(b.inputSize), formatDuration(b.schedulingDelay), formatDuration(b.processingTime),
        operations(b), b.takingInput ? "processing, taking input" : "processing",
      ],
    }), "None");
  }

  showFailed() {
    const failed = this.batches.filter((b) => b.numFailedOutputOps > 0).reverse().slice(0, ROWS), total = this.update.statistics.numFailedBatches;
    element("failed-section").hidden = failed.length === 0;
    element("failed-title").textContent = `Batches Given Up (last ${failed.length} out of ${total})`;
    fill(element("failed"), failed.map((b) => ({
      kind: "failing",
      cells: [batchLink(b), records(b.inputSize), formatDuration(b.processingTime), operations(b), { text: b.firstFailureReason, kind: "long" }],
    })), "None");
  }

  showCompleted() {
    const newest = this.succeeded.slice().reverse(), total = this.update.statistics.numTotalCompletedBatches;
    element("completed-title").textContent = `Completed Batches (last ${newest.length} out of ${total})`;
    fill(element("completed"), newest.slice(0, this.rows).map((b) => ({
      cells: [
        batchLink(b), records(b.inputSize), formatDuration(b.schedulingDelay), formatDuration(b.processingTime),
        formatDuration(b.totalDelay), operations(b),
      ],
    })), "None");
    element("more").hidden = newest.length <= this.rows;
    element("more").textContent = `Show all ${grouped(newest.length)}`;
  }

  listen() {
    const events = new EventSource("/api/v1/events");
    events.onmessage = (event) => {
      this.silent = false;
      this.take(JSON.parse(event.data));
    };
    events.onerror = () => {
      this.silent = true;
      this.problem(`No response from the process since ${formatTime(this.heard - (this.heard % 1000))}: the numbers are from then.`);
    };
  }
}

// ---- the page of a batch --------------------------------------------------------------------------------------------

function showBatch(batch, ops) {
  element("batch-time").textContent = formatTime(batch.batchId);
  const failed = batch.numFailedOutputOps > 0;
  element("status").textContent = failed ? "GIVEN UP" : batch.status;
  element("status").className = failed ? "error" : "";
  element("problem").hidden = !failed;
  if (failed) element("problem").textContent = `Given up: ${batch.firstFailureReason}. Its input came again in a later batch.`;
  element("batch-duration").textContent = batch.batchDuration ? formatDurationVerbose(batch.batchDuration) : "as soon as possible";
  element("input-size").textContent = records(batch.inputSize);
  element("scheduling-delay").textContent = formatDuration(batch.schedulingDelay);
  element("processing-time").textContent = formatDuration(batch.processingTime);
  element("total-delay").textContent = formatDuration(batch.totalDelay);
  const status = (o) => (o.failureReason ? "FAILED" : batch.status === "COMPLETED" ? "SUCCEEDED" : "PROCESSING");
  fill(element("operations"), ops.map((o) => ({
    kind: o.failureReason ? "failing" : "",
    cells: [o.outputOpId, `${o.name} at ${o.description}`, formatDuration(o.duration), status(o), { text: o.failureReason || "-", kind: "long" }],
  })), batch.takingInput ? "Still taking input" : "None");
  const ranges = batch.streams.flatMap((s) => s.ranges.map((r) => [s.streamName, r]));
  fill(element("inputs"), ranges.map(([name, r]) => ({
    cells: [name, r.topic, r.partition, grouped(r.fromOffset), grouped(r.untilOffset), grouped(r.numRecords)],
  })), batch.takingInput ? "Still taking input" : failed ? "Nothing was processed before it failed" : batch.inputSize ? "The offsets of this batch are no longer kept" : "No input");
}

async function followBatch() {
  const at = `/api/v1/applications/${encodeURIComponent(data.program.id)}/streaming/batches/${data.batch.batchId}`;
  const ask = async (path) => (await fetch(path)).json();
  while (data.batch.status !== "COMPLETED") {
    await new Promise((after) => setTimeout(after, 1000));
    try {
      [data.batch, data.operations] = await Promise.all([ask(at), ask(`${at}/operations`)]);
    } catch {
      continue;
    }
    showBatch(data.batch, data.operations);
  }
}

// ---- start ----------------------------------------------------------------------------------------------------------

if (element("operations")) {
  if (data.batch) {
    showBatch(data.batch, data.operations);
    followBatch();
  } else {
    element("batch-time").textContent = data.asked;
    element("facts").hidden = true;
    element("problem").hidden = false;
    element("problem").textContent = "Unknown batch: only the last 1,000 are kept.";
  }
} else {
  const page = new StreamingPage();
  page.take(data);
  page.listen();
}
