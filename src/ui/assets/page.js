// Fills the streaming page and the page of a batch from the data in the page, and keeps them up to date.
// Owns what is shown and in which words. Knows the JSON API (docs/api.md). Text of the user is only ever set as text.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const BATCHES_MAX = 1000, ROWS = 100;

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

function inputSoFar(batch) {
  return batch.takingInput ? `${records(batch.inputSize)} so far` : records(batch.inputSize);
}

function runningFor(batch, now) {
  return batch.cutTime ? formatDuration(Math.max(0, Math.floor((now - parseDate(batch.cutTime)) / 1000) * 1000)) : "-";
}

// What a batch in progress is doing.
function doing(batch) {
  const phase = batch.takingInput ? "taking input" : "ending";
  return batch.running ? `${phase}, in ${batch.running}` : phase;
}

// The ids of processes are long unless someone chose them: their beginning is enough to tell them apart.
function short(id) {
  return id.length > 16 ? `${id.slice(0, 8)}...` : id;
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
    setInterval(() => {
      this.showRunning();
      this.showActive();
    }, 1000);
    fill(element("setting-table"), data.program.settings.map(([name, value]) => ({ cells: [name, value] })), "None");
    document.querySelectorAll(".note").forEach((note) => {
      note.hidden = !intervalMs;
    });
  }

  take(update) {
    this.update = update;
    this.heard = Date.now();
    this.batches = (update.reset ? [] : this.batches).concat(update.ended).slice(-BATCHES_MAX);
    this.succeeded = this.batches.filter((b) => b.numFailedOutputOps === 0);
    this.problem(update.missing.length ? `Not ready: ${update.missing.join("; ")}` : update.notice ?? "");
    this.showGivenUp();
    this.showRunning();
    this.showCharts();
    this.showReceivers();
    this.showProcesses();
    this.showActive();
    this.showFailed();
    this.showCompleted();
    element("state-bytes").textContent = formatBytes(update.statistics.stateBytes);
  }

  problem(text) {
    element("problem").hidden = text === "";
    element("problem").textContent = text;
  }

  // The last batch was given up, unless the cause is already told.
  showGivenUp() {
    const { givenUp, missing } = this.update, banner = element("given-up");
    banner.hidden = !givenUp || missing.some((text) => text.includes(givenUp.reason));
    if (banner.hidden) return;
    const link = Object.assign(document.createElement("a"), { href: `/streaming/batch/${givenUp.batchId}`, textContent: formatTime(givenUp.batchId) });
    banner.replaceChildren("The last batch was given up (", link, `): ${givenUp.reason}. Its input comes again.`);
  }

  // The server's clock.
  now() {
    return this.update.now + (this.silent ? 0 : Date.now() - this.heard);
  }

  showRunning() {
    const { statistics, startedMs } = this.update, line = element("running");
    if (!startedMs) {
      line.textContent = "No batch has begun yet.";
      return;
    }
    const age = this.now() - startedMs, givenUp = statistics.numFailedBatches;
    const strong = (id, text) => Object.assign(document.createElement("strong"), { id, textContent: text });
    const every = statistics.batchDuration;
    line.replaceChildren(
      every ? "Running batches of " : "Running batches ",
      strong("interval", every ? formatDurationVerbose(every) : "as soon as possible"),
      " for ", strong("age", formatDurationVerbose(age < 1000 ? Math.max(0, age) : age - (age % 1000))),
      " since ", strong("since", formatTime(startedMs - (startedMs % 1000))),
      " (", strong("completed-batches", statistics.numTotalCompletedBatches),
      " completed batches, ",
      ...(givenUp ? [strong("given-up-batches", givenUp), " given up, "] : []), strong("records", statistics.numProcessedRecords), " records)",
    );
  }

  showCharts() {
    const { statistics } = this.update, times = this.succeeded.map((b) => b.batchId);
    const { numActiveBatches: active, numActiveReceivers, numReceivers } = statistics, completed = times.length;
    element("timelines").textContent = `Timelines (Last ${active + completed} batches, ${active} active, ${completed} completed)`;
    element("receivers").textContent = `${numActiveReceivers} / ${numReceivers} active`;
    element("receivers").className = numActiveReceivers < numReceivers ? "error" : "";
    const average = statistics.avgInputRate;
    element("input-rate").querySelector(".average").textContent = average === undefined ? "-" : `${average.toFixed(2)} records/sec`;
    this.input.show(times, this.succeeded.map((b) => b.inputRate));
    // One scale, so that they can be compared.
    const values = this.delays.flatMap(({ field }) => this.succeeded.map((b) => b[field] || 0));
    const greatest = values.reduce((a, b) => Math.max(a, b), 0);
    for (const { field, average, row, charts } of this.delays) {
      row.querySelector(".average").textContent = formatDuration(statistics[average]);
      charts.show(times, this.succeeded.map((b) => b[field]), greatest);
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
        { text: [short(r.executorId), r.executorHost].filter(Boolean).join(" / "), title: [r.executorId, r.executorHost].filter(Boolean).join(" / ") },
        r.nextOffset === undefined ? "-" : grouped(r.nextOffset),
        r.lag === undefined ? "-" : grouped(r.lag),
        r.lastErrorTime ? formatTime(parseDate(r.lastErrorTime)) : "-",
        { text: r.lastErrorMessage || "-", kind: "long" },
      ],
    })), "No receiver was assigned to this process yet");
  }

  showProcesses() {
    const { members = [], statePartitions = [], heldBack } = this.update.processes || {};
    const { restores = [] } = this.update;
    element("processes-section").hidden = members.length < 2 && !heldBack;
    element("restores-section").hidden = !restores.length;
    fill(element("restores"), restores.map((r) => ({
      cells: [
        r.partition, grouped(r.recordsDone), grouped(r.records),
        r.recordsPerSecond === undefined ? "-" : grouped(r.recordsPerSecond),
        r.secondsLeft === undefined ? "-" : formatDuration(r.secondsLeft * 1000),
      ],
    })), "None");
    element("processes-title").textContent = `Processes (${members.length})`;
    const names = members.map((m) => m.instance);
    const gone = statePartitions.map((s) => s.owner).filter((owner, at, all) => owner && !names.includes(owner) && all.indexOf(owner) === at);
    const rows = members.concat(gone.map((instance) => ({ instance, host: "not in the group" })));
    const least = (of, field) => of.map((s) => s[field]).filter((time) => time !== undefined).reduce((a, b) => Math.min(a, b), Infinity);
    const time = (ms) => (ms === Infinity ? "-" : formatTime(ms));
    fill(element("processes"), rows.map(({ instance, host }) => {
      const own = statePartitions.filter((s) => s.owner === instance);
      return {
        kind: heldBack && heldBack.by === instance ? "failing" : "",
        cells: [
          { text: short(instance), title: instance }, host, own.map((s) => s.partition).join(", ") || "none",
          time(least(own, "inputTimeMs")), time(least(own, "closedTimeMs")),
          grouped(own.reduce((sum, s) => sum + s.lag, 0)),
        ],
      };
    }), "None");
  }

  showActive() {
    const { active } = this.update, queued = active.filter((b) => b.status === "QUEUED");
    element("active-title").textContent = queued.length ? `Active Batches (${active.length}, ${queued.length} of them queued)` : `Active Batches (${active.length})`;
    const running = active.filter((b) => b.status !== "QUEUED").map((b) => ({
      cells: [
        batchLink(b), inputSoFar(b), formatDuration(b.schedulingDelay), runningFor(b, this.now()), operations(b),
        { text: doing(b), kind: "long" },
      ],
    }));
    // What waits has nothing to show but its time.
    const waiting = queued.slice(0, 1).map((first) => ({
      cells: [`from ${formatTime(first.batchId)}`, "-", "-", "-", operations(first), `${queued.length} queued`],
    }));
    fill(element("active"), running.concat(waiting), "None");
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
  const age = batch.status === "PROCESSING" && batch.cutTime ? ` for ${runningFor(batch, Date.now())}, ${doing(batch)}` : "";
  element("status").textContent = failed ? "GIVEN UP" : batch.status + age;
  element("status").className = failed ? "error" : "";
  element("problem").hidden = !failed;
  if (failed) element("problem").textContent = `Given up: ${batch.firstFailureReason}. Its input came again in a later batch.`;
  element("batch-duration").textContent = batch.batchDuration ? formatDurationVerbose(batch.batchDuration) : "as soon as possible";
  element("input-size").textContent = inputSoFar(batch);
  element("scheduling-delay").textContent = formatDuration(batch.schedulingDelay);
  element("processing-time").textContent = formatDuration(batch.processingTime);
  element("total-delay").textContent = formatDuration(batch.totalDelay);
  const parts = batch.phases && [
    ["computing while input arrived", batch.phases.input], ["ending the batch", batch.phases.end], ["sending", batch.phases.flush],
    ["committing", batch.phases.commit], ["writing state", batch.phases.apply],
  ];
  element("phases").textContent = parts ? parts.map(([name, ms]) => `${name} ${formatDuration(ms)}`).join(", ") : "";
  element("total-delay-note").textContent = batch.totalDelay < batch.processingTime ? "from the batch time; most of the work was done before it" : "";
  showOperators(batch);
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

// Each stage with its operators.
function showOperators(batch) {
  const all = batch.operators || [], total = all.reduce((sum, o) => sum + o.duration, 0);
  const share = (ms) => ({ text: total ? `${Math.round((ms * 100) / total)} %` : "-", share: total ? ms / total : 0 });
  const rows = [...new Set(all.map((o) => o.stage))].flatMap((stage) => {
    const own = all.filter((o) => o.stage === stage), sum = own.reduce((ms, o) => ms + o.duration, 0);
    return [
      { kind: "stage", cells: [`Stage ${stage}`, "", "", "", formatDuration(sum), share(sum)] },
      ...own.map((o) => ({ cells: [o.operatorId, o.name, o.description, grouped(o.numRecords), formatDuration(o.duration), share(o.duration)] })),
    ];
  });
  fill(element("operators"), rows, batch.status === "COMPLETED" ? "None" : "Known when the batch has ended");
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
