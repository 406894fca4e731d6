// Fills the page of queries and the page of one query from the data in the page, and keeps them up to date.
// Owns what is shown and in which words, which are Spark's. Knows the JSON API (docs/api.md). Text of the user is only ever set as text.
"use strict";

const EVERY_MS = 1000, ROWS = 50;
let data = JSON.parse(document.getElementById("data").textContent);

const rate = (value) => (value === undefined || value === null ? "-" : value.toFixed(2));
const lasted = (query) => formatDurationVerbose(query.duration < 1000 ? query.duration : Math.floor(query.duration / 1000) * 1000);
const latest = (value) => (value === undefined || value === null ? "-" : grouped(value));

function row(query, withError) {
  const cells = [
    query.name || "-", query.status, query.id, { text: query.runId, link: `/queries/${query.runId}` },
    formatTime(query.startTime), lasted(query),
    rate(query.inputRowsPerSecond), rate(query.processedRowsPerSecond), latest(query.latestBatch),
  ];
  if (withError) cells.splice(2, 0, { text: query.exception || "-", kind: "long" });
  return { kind: query.exception ? "failing" : "", cells };
}

function showQueries() {
  const active = data.queries.filter((query) => query.isActive), completed = data.queries.filter((query) => !query.isActive);
  element("active-count").textContent = active.length;
  element("completed-count").textContent = completed.length;
  fill(element("active"), active.map((query) => row(query, false)), "No query is running");
  fill(element("completed"), completed.reverse().map((query) => row(query, true)), "No query has ended");
}

const sum = (progress, name) => progress.stateOperators.reduce((all, operator) => all + (operator[name] || 0), 0);
const whole = (ms) => formatDuration(Math.round(ms));
const CHARTS = [
  ["input-rate", (p) => p.inputRowsPerSecond, formatRate],
  ["process-rate", (p) => p.processedRowsPerSecond, formatRate],
  ["input-rows", (p) => p.numInputRows, (n) => grouped(Math.round(n))],
  ["batch-duration", (p) => p.durationMs.triggerExecution, whole],
  ["watermark-gap", (p) => (p.eventTime && p.eventTime.watermark ? Date.parse(p.timestamp) - Date.parse(p.eventTime.watermark) : undefined), whole],
  ["state-rows", (p) => (p.stateOperators.some((o) => o.numRowsTotal !== undefined) ? sum(p, "numRowsTotal") : undefined), (n) => grouped(Math.round(n))],
  ["state-bytes", (p) => (p.stateOperators.some((o) => o.memoryUsedBytes !== undefined) ? sum(p, "memoryUsedBytes") : undefined), formatBytes],
  ["dropped-rows", (p) => (p.stateOperators.some((o) => o.numRowsDroppedByWatermark !== undefined) ? sum(p, "numRowsDroppedByWatermark") : undefined), (n) => grouped(Math.round(n))],
];
const charts = new Map();

function showChart(name, value, write) {
  const shown = element(name), points = data.progress.map((p) => [Date.parse(p.timestamp), value(p)]).filter(([, v]) => v !== undefined && v !== null);
  const always = ["input-rate", "process-rate", "input-rows", "batch-duration"].includes(name);
  shown.hidden = !always && points.length === 0;
  if (shown.hidden) return;
  if (!charts.has(name)) charts.set(name, new Charts(shown, write, () => {}));
  const values = points.map(([, v]) => v);
  charts.get(name).show(points.map(([at]) => at), values);
  const average = shown.querySelector(".average");
  average.textContent = values.length ? write(values.reduce((a, b) => a + b, 0) / values.length, true) : "-";
}

function showQuery() {
  const { query, progress } = data, ended = query.isActive ? "Running" : "Ran";
  element("name").textContent = query.name || "-";
  element("status").textContent = query.status;
  element("id").textContent = query.id;
  element("run-id").textContent = query.runId;
  element("running").textContent = `${ended} for ${lasted(query)} since ${formatTime(query.startTime)}`;
  element("problem").hidden = !query.exception;
  element("problem").textContent = query.exception || "";
  element("timelines").textContent = `Timelines (last ${progress.length} batches with rows)`;
  for (const [name, value, write] of CHARTS) showChart(name, value, write);
  const took = (p, name) => formatDuration(p.durationMs[name]);
  const last = progress.slice(-ROWS).reverse();
  fill(element("operations"), last.map((p) => ({
    cells: [p.batchId, formatTime(Date.parse(p.timestamp)), grouped(p.numInputRows), took(p, "addBatch"), took(p, "walCommit"), took(p, "commitOffsets"), took(p, "triggerExecution")],
  })), "No batch has ended yet");
}

async function follow(ask, show) {
  show();
  for (;;) {
    await new Promise((after) => setTimeout(after, EVERY_MS));
    if (document.hidden) continue;
    try {
      data = await ask();
    } catch {
      continue;
    }
    show();
  }
}

const json = async (path) => (await fetch(path)).json();
if (data.query) {
  const at = `/api/v1/queries/${data.query.runId}`;
  follow(async () => { const [query, progress] = await Promise.all([json(at), json(`${at}/progress`)]); return { query, progress }; }, showQuery);
} else if (data.queries) {
  follow(async () => ({ queries: await json("/api/v1/queries") }), showQueries);
} else {
  element("problem").hidden = false;
  element("problem").textContent = "There is no such run of a query: only the last 100 that have ended are kept.";
}
