// Writes the positions and the look of the page's parts into the document.
"use strict";

addEventListener("load", () => {
  const look = (element) => {
    const { color, backgroundColor } = getComputedStyle(element), at = element.getBoundingClientRect();
    return { color, background: backgroundColor, box: [at.left, at.top, at.width, at.height].map(Math.floor) };
  };
  const receivers = [...document.querySelectorAll("#receiver-table tbody tr")];
  const charts = [...document.querySelectorAll(".charts tr[id]")].filter((row) => row.querySelector(".u-over"));
  const parts = {
    receivers: receivers.map((row) => ({ ...look(row), cells: [...row.cells].map(look) })),
    charts: Object.fromEntries(charts.map((row) => [row.id, look(row.querySelector(".u-over"))])),
    histograms: Object.fromEntries(charts.map((row) => [row.id, look(row.querySelector("svg"))])),
  };
  document.body.append(Object.assign(document.createElement("pre"), { id: "parts", hidden: true, textContent: JSON.stringify(parts) }));
});
