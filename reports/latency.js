"use strict";
/* The live half of the latency section: batch sweep, and bars and roofline of a chosen prediction and batch size. */
try {
(() => {
  const data = JSON.parse(document.getElementById("latency-data").textContent);
  const { timed, columns, bounds, unit } = data;
  const $ = (id) => document.getElementById(`latency-${id}`);
  const FONT = getComputedStyle(document.body).fontFamily, INK = "#1f2328", MUTED = "#59636e", GRID = "#e6e8eb";
  const TOUCH = window.innerWidth < 760;
  const el = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
  const quantity = (x, digits = 3) => typeof x !== "number" ? (x ?? "")
    : Number(x.toPrecision(digits)).toLocaleString("en-US", { maximumFractionDigits: 12 });
  const escaped = (s) => s.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" }[c]));
  const positive = (v) => typeof v === "number" && v > 0;

  /* ---- logarithmic axes: ends around the values, and at most eight round ticks in what is shown ---- */
  function ends(values, margin = 1.25) {
    const good = values.filter(positive);
    if (!good.length) return [1, 10];
    const low = good.reduce((a, b) => Math.min(a, b)) / margin, high = good.reduce((a, b) => Math.max(a, b)) * margin;
    const spread = Math.max(1, Math.sqrt(3 / (high / low)));
    return [low / spread, high * spread];
  }
  function logTicks(low, high, most) {
    let found = [];
    for (const steps of [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 5, 7]]) {
      const ticks = [];
      for (let n = Math.floor(Math.log10(low)); n <= Math.log10(high); n += 1) {
        for (const step of steps) { const v = step * 10 ** n; if (v >= low && v <= high) ticks.push(v); }
      }
      if (ticks.length > most) return found.length ? found : ticks.filter((_, i) => i % Math.ceil(ticks.length / most) === 0);
      found = ticks;
    }
    return found;
  }
  const marks = (ticks) => ({ tickmode: "array", tickvals: ticks, ticktext: ticks.map((v) => quantity(v)) });
  const axis = (title, [low, high], ticks) => ({ type: "log", range: [Math.log10(low), Math.log10(high)], gridcolor: GRID,
    linecolor: MUTED, tickcolor: MUTED, ticks: "outside", ticklen: 4, zeroline: false, automargin: true,
    tickfont: { color: MUTED, size: 12 }, title: { text: title, font: { size: 13 }, standoff: 8 },
    ...marks(ticks || logTicks(low, high, TOUCH ? 5 : 8)) });
  const HOVER = { bgcolor: "#ffffff", bordercolor: MUTED, font: { family: FONT, color: INK, size: 12.5 }, align: "left" };
  const config = { displaylogo: false, showSendToCloud: false, responsive: true, displayModeBar: TOUCH ? false : "hover",
    modeBarButtons: [["toImage"], ["zoom2d", "pan2d", "resetScale2d"]] };
  function draw(id, traces, xaxis, yaxis, more = {}) {
    const div = $(id);
    Plotly.react(div, traces, { xaxis, yaxis, margin: { l: 56, r: 14, t: 32, b: 46 }, hovermode: "closest", showlegend: false,
      dragmode: TOUCH ? false : "zoom", font: { family: FONT, color: INK }, hoverlabel: HOVER,
      paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff", ...more }, config);
    if (div.retick) return;
    div.retick = true;
    div.on("plotly_relayout", (event) => {
      const update = {};
      for (const name of ["xaxis", "yaxis"]) {
        if (!Object.keys(event).some((key) => key.startsWith(`${name}.range`) || key === `${name}.autorange`)) continue;
        const [low, high] = div.layout[name].range.map((v) => 10 ** v);
        const sizes = id !== "roofline" && name === "xaxis";
        const found = marks(sizes ? data.ticks : logTicks(low, high, TOUCH ? 5 : 8));
        for (const [key, value] of Object.entries(found)) update[`${name}.${key}`] = value;
      }
      if (Object.keys(update).length) Plotly.relayout(div, update);
    });
  }

  /* ---- batch sweep ---- */
  function sweep(id, key, title, what) {
    const traces = [], values = [];
    timed.forEach((t) => {
      const rows = t.batches.filter((b) => b[key].every(positive));
      const x = rows.map((b) => b.batch), at = (i) => rows.map((b) => b[key][i]);
      values.push(...rows.flatMap((b) => b[key]));
      const edge = { type: "scatter", mode: "lines", hoverinfo: "skip", line: { width: rows.length > 1 ? 0 : 1.3, color: t.colour } };
      if (rows.length > 1) {
        traces.push({ ...edge, x, y: at(0) }, { ...edge, x, y: at(2), fill: "tonexty", fillcolor: `${t.colour}22` });
      } else if (rows.length) traces.push({ ...edge, x: [x[0], x[0]], y: [at(0)[0], at(2)[0]] });
      traces.push({ type: "scatter", mode: "lines+markers", x, y: at(1), line: { color: t.colour, width: 1.6, dash: t.dash },
        marker: { size: 8, color: rows.map((b) => b.out ? "#ffffff" : t.colour), line: { width: 1.5, color: t.colour } }, hoverinfo: "text",
        hovertext: rows.map((b) => `<b>${escaped(t.label)}</b><br>batch ${quantity(b.batch, 9)}: ${quantity(b[key][1])} ${what}`
          + `<br>${quantity(b[key][0])} to ${quantity(b[key][2])}${b.out ? "<br>outside what was measured" : ""}`) });
    });
    const shapes = [];
    if (key === "us" && data.deadline !== null) {
      values.push(data.deadline);
      shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: data.deadline, y1: data.deadline, line: { color: INK, width: 1, dash: "dash" } });
    }
    draw(id, traces, axis("batch size", ends(data.sizes), data.ticks), axis(title, ends(values)), { shapes });
  }

  /* ---- one prediction at one batch size ---- */
  function bars(found) {
    $("bars").replaceChildren(...found.bars.map((bar) => el("tr", {}, el("th", { scope: "row" }, bar.name),
      el("td", {}, el("div", { class: "bar", role: "img", "aria-label": bar.words, title: bar.words },
        ...bar.parts.map(([, colour, width]) => el("span", { style: `width:${width}%;background:${colour}` })))),
      el("td", { class: "num" }, bar.value))));
    $("legend").replaceChildren(...found.legend.map(([name, colour, share]) =>
      el("span", {}, el("i", { style: `background:${colour}` }), `bound by ${name} ${share}`)));
  }

  function roofline(t, found) {
    const [x, y, time, name, what, bound] = ["x", "y", "time", "name", "what", "bound"].map((key) => columns[found[key]]);
    const [left, right] = ends([...x, ...t.roofs.flatMap((r) => [0.1, 2].map((f) => f * r.ops / r.gbps))], 2);
    const span = ends([...y, ...t.roofs.map((r) => r.ops)], 2);
    const lines = t.roofs.map((r) => ({ type: "scatter", mode: "lines", hoverinfo: "skip", line: { color: INK, width: 1.2 },
      x: [left, r.ops / r.gbps, right], y: [left, r.ops / r.gbps, right].map((v) => Math.min(r.ops, r.gbps * v)) }));
    const points = Object.entries(bounds).map(([kind, style]) => {
      const own = x.map((_, i) => i).filter((i) => bound[i] === kind);
      return { type: "scatter", mode: "markers", x: own.map((i) => x[i]), y: own.map((i) => y[i]), hoverinfo: "text",
        marker: { symbol: style.symbol, color: style.colour, opacity: 0.7, line: { width: 0.7, color: "#ffffff" },
          size: own.map((i) => 6 + 20 * Math.sqrt(time[i] / (found.whole || 1))) },
        hovertext: own.map((i) => `<b>${escaped(name[i])}</b><br>${escaped(what[i])}, bound by ${kind}<br>${quantity(time[i])} µs`
          + `<br>${quantity(y[i])} G${unit} at ${quantity(x[i])} operations per byte`) };
    });
    const annotations = t.roofs.map((r) => ({ x: Math.log10(right), y: Math.log10(r.ops), xanchor: "right", yanchor: "bottom",
      showarrow: false, bgcolor: "rgba(255,255,255,0.75)", text: escaped(r.label), font: { color: INK, size: 11.5 } }));
    draw("roofline", [...lines, ...points], axis("operations per byte moved", [left, right]), axis(`attained G${unit}`, span), { annotations });
    $("caption").textContent = found.caption;
  }

  function show() {
    const t = timed[$("timed").selectedIndex], size = Number($("batch").value);
    const found = t.batches.find((b) => b.batch === size) || t.batches[0];
    bars(found);
    roofline(t, found);
  }
  function sizes() {
    const before = Number($("batch").value) || data.batch, own = timed[$("timed").selectedIndex].batches.map((b) => b.batch);
    $("batch").replaceChildren(...own.map((size) => el("option", { value: size }, quantity(size, 9))));
    $("batch").value = own.includes(before) ? before : own[0];
    show();
  }

  $("timed").append(...timed.map((t) => el("option", {}, t.label)));
  $("timed").parentNode.hidden = timed.length === 1;
  $("timed").onchange = sizes;
  $("batch").onchange = show;
  sweep("sweep", "us", "latency of a batch (µs)", "µs");
  sweep("rate", "rate", "inputs per second", "inputs/s");
  sizes();
})();
} catch (error) {
  document.documentElement.className = "";  /* the static page is complete */
  console.error(error);
}
