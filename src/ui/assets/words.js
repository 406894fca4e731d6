// How times, rates and sizes are written, and tables filled: for all pages.
// Owns words and rows. Knows no page. Text of the user is only ever set as text.
"use strict";

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

// Fills a table. A cell is a text, or {text, link, kind, title, share}; a row may have a `kind`.
function fill(table, rows, none) {
  const body = table.tBodies[0], columns = table.tHead.rows[0].cells;
  body.replaceChildren(...rows.map((row) => {
    const tr = document.createElement("tr");
    if (row.kind) tr.className = row.kind;
    row.cells.forEach((cell, i) => {
      const td = tr.insertCell(), { text, link, kind, title, share } = typeof cell === "object" ? cell : { text: cell };
      td.className = [columns[i].className, kind].filter(Boolean).join(" ");
      if (link) td.append(Object.assign(document.createElement("a"), { href: link, textContent: text }));
      else if (share !== undefined) td.append(Object.assign(document.createElement("progress"), { value: share, title: text }));
      else td.textContent = text;
      if (title) td.title = title;
    });
    return tr;
  }));
  if (rows.length === 0) {
    const td = body.insertRow().insertCell();
    Object.assign(td, { colSpan: columns.length, className: "none", textContent: none });
  }
}
