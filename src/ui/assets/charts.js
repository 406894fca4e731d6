// A timeline with the histogram of the same values beside it, on the same scale.
// Owns drawing. Knows no batch: gets times (milliseconds), values, and a function to format a value.
"use strict";

const CHART_HEIGHT = 154, CHART_TOP = 10, CHART_BOTTOM = 30, BINS = 10;

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

// The end of the scale: enough for the largest value, rounded up to 1, 2, 2.5 or 5 times a power of ten.
function scaleEnd(greatest) {
  if (!(greatest > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(greatest));
  return [1, 2, 2.5, 5, 10].map((n) => n * power).find((end) => end >= greatest * 1.001);
}

class Charts {
  // `row` holds a .timeline and a .histogram; `write` formats a value; `open` is called with the time that was clicked.
  constructor(row, write, open, limit) {
    this.timeline = row.querySelector(".timeline");
    this.histogram = row.querySelector(".histogram");
    this.write = write;
    this.open = open;
    this.limit = limit || null;
    this.data = [[], []];
    this.plot = null;
    new ResizeObserver(() => this.resize()).observe(row);
  }

  // `greatest`: the scale is at least for this value, so that charts can share one.
  show(times, values, greatest = 0) {
    this.data = [times.map((t) => t / 1000), values];
    this.end = scaleEnd(values.reduce((a, b) => Math.max(a, b), greatest));
    this.showEmpty(times.length === 0);
    if (times.length === 0) return;
    if (this.plot) this.plot.setData(this.data); else this.build();
    this.bars();
  }

  rebuild() {
    if (!this.plot) return;
    this.plot.destroy();
    this.plot = null;
    this.build();
    this.bars();
  }

  showEmpty(empty) {
    const note = this.timeline.querySelector(".empty");
    if (note && !empty) note.remove();
    if (!note && empty) {
      this.timeline.append(Object.assign(document.createElement("div"), { className: "empty", textContent: "No batch has ended yet" }));
    }
    if (empty && this.plot) {
      this.plot.destroy();
      this.plot = null;
      this.histogram.replaceChildren();
    }
  }

  width() {
    return Math.max(120, this.timeline.clientWidth - 8);
  }

  resize() {
    if (!this.plot) return;
    this.plot.setSize({ width: this.width(), height: CHART_HEIGHT });
    this.bars();
  }

  build() {
    const axis = { stroke: color("quiet"), font: "11px system-ui, sans-serif", grid: { stroke: color("line"), width: 1 }, ticks: { show: false } };
    const clock = (t) => new Date(t * 1000).toLocaleTimeString("en-GB");
    const options = {
      width: this.width(), height: CHART_HEIGHT, padding: [CHART_TOP, 28, 0, 0], legend: { show: false },
      cursor: { x: false, y: false, drag: { x: false, y: false }, points: { size: 8 } },
      scales: { x: { time: true, range: (u, a, b) => (a === b ? [a - 1, b + 1] : [a, b]) }, y: { range: () => [0, this.end] } },
      axes: [
        // Below the labels of the other axis.
        { ...axis, size: CHART_BOTTOM, gap: 9, space: 90, values: (u, splits) => splits.map(clock) },
        { ...axis, size: 62, space: 30, values: (u, splits) => splits.map((value) => this.write(value)) },
      ],
      series: [{}, {
        stroke: color("series"), width: 1.6, fill: color("fill"),
        points: { show: this.data[0].length < 40, size: 5, fill: color("series") },
      }],
      hooks: { draw: [(u) => this.drawLimit(u)], setCursor: [(u) => this.hint(u)] },
    };
    this.plot = new uPlot(options, this.data, this.timeline);
    this.tip = Object.assign(document.createElement("div"), { className: "hint", hidden: true });
    this.plot.over.append(this.tip);
    this.plot.over.addEventListener("click", () => {
      if (this.plot.cursor.idx != null) this.open(Math.round(this.plot.data[0][this.plot.cursor.idx] * 1000));
    });
  }

  drawLimit(u) {
    if (!this.limit || this.limit.at > this.end) return;
    const { ctx } = u, ratio = devicePixelRatio, y = u.valToPos(this.limit.at, "y", true);
    ctx.save();
    ctx.strokeStyle = color("limit");
    ctx.setLineDash([5 * ratio, 4 * ratio]);
    ctx.lineWidth = 1.2 * ratio;
    ctx.beginPath();
    ctx.moveTo(u.bbox.left, y);
    ctx.lineTo(u.bbox.left + u.bbox.width, y);
    ctx.stroke();
    ctx.font = 11 * ratio + "px system-ui, sans-serif";
    ctx.textAlign = "right";
    // The text is above the line, unless the line is at the upper edge. Values may pass behind it.
    const above = y > 18 * ratio, at = above ? y - 3 * ratio : y + 4 * ratio;
    ctx.textBaseline = above ? "bottom" : "top";
    const x = u.bbox.left + u.bbox.width - 4 * ratio;
    ctx.setLineDash([]);
    ctx.strokeStyle = color("paper");
    ctx.lineWidth = 4 * ratio;
    ctx.strokeText(this.limit.text, x, at);
    ctx.fillStyle = color("limit");
    ctx.fillText(this.limit.text, x, at);
    ctx.restore();
  }

  hint(u) {
    const { idx, left } = u.cursor;
    this.tip.hidden = idx == null || left < 0;
    if (this.tip.hidden) return;
    this.tip.textContent = this.write(u.data[1][idx], true) + " at " + formatTime(u.data[0][idx] * 1000);
    const at = u.valToPos(u.data[0][idx], "x"), width = this.tip.offsetWidth;
    this.tip.style.left = Math.max(0, Math.min(at - width / 2, u.over.clientWidth - width)) + "px";
    this.tip.style.top = "2px";
  }

  // How many batches have a value in each tenth of the scale.
  bars() {
    const counts = new Array(BINS).fill(0);
    for (const value of this.data[1]) counts[Math.min(BINS - 1, Math.floor((value / this.end) * BINS))] += 1;
    const width = Math.max(60, this.histogram.clientWidth - 6), left = 4, right = 34;
    const height = CHART_HEIGHT - CHART_TOP - CHART_BOTTOM, step = height / BINS, most = Math.max(...counts, 1);
    const make = (name, attributes, text) => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
      if (text !== undefined) node.textContent = text;
      return node;
    };
    const svg = make("svg", { height: CHART_HEIGHT, viewBox: `0 0 ${width} ${CHART_HEIGHT}`, role: "img" });
    svg.append(make("line", { x1: left, x2: left, y1: CHART_TOP, y2: CHART_TOP + height }));
    counts.forEach((count, bin) => {
      if (count === 0) return;
      const y = CHART_TOP + height - (bin + 1) * step, long = Math.max(1, ((width - left - right) * count) / most);
      const bar = make("rect", { x: left, y: y + 1, width: long, height: step - 2, rx: 1 });
      const range = this.write((bin * this.end) / BINS, true) + " to " + this.write(((bin + 1) * this.end) / BINS, true);
      bar.append(make("title", {}, `${count} batches: ${range}`));
      svg.append(bar, make("text", { x: left + long + 4, y: y + step / 2 + 4 }, count));
    });
    svg.append(make("text", { x: left, y: CHART_HEIGHT - 8 }, "#batches"));
    this.histogram.replaceChildren(svg);
  }
}
