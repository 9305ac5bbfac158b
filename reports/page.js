"use strict";
/* The live half of the report: plots, filters, table and drawer over the embedded data. Without it the page is static. */
try {
(() => {
  const data = JSON.parse(document.getElementById("study-data").textContent);
  const { meta, designs: D, panels, families, texts, layers } = data;
  const N = D.id.length;
  const $ = (id) => document.getElementById(id);
  const text = (key, i) => texts[D[key][i]];
  const byId = new Map(D.id.map((id, i) => [id, i]));
  const FONT = getComputedStyle(document.body).fontFamily, INK = "#1f2328", MUTED = "#59636e", GRID = "#e6e8eb";
  const FITS = { y: "fits", u: "uncertain", n: "does not fit" };
  const HEADINGS = { export: "Export this design", cost: "Price it layer by layer", predict: "Predict its latency" };
  const PAGE = 100, PAGED_FROM = 300;
  const state = { families: new Set(families.keys()), fits: new Set("yun"), target: "", whiskers: "front", zoom: true,
    sort: "rank", down: false, search: "", page: 0, chosen: null, opener: null };

  /* ---- small tools ---- */
  const el = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (value === true) node.setAttribute(key, "");
      else if (value !== false && value !== null) node.setAttribute(key, value);
    }
    node.append(...children.filter((child) => child !== null && child !== ""));
    return node;
  };
  const quantity = (x, digits = 3) => typeof x !== "number" ? (x ?? "")
    : Number(x.toPrecision(digits)).toLocaleString("en-US", { maximumFractionDigits: 12 });
  const percent = (x) => `${(100 * x).toFixed(1)} %`;
  const bits = (b) => b >= 1e7 ? `${quantity(b / 1e6)} Mbit` : b >= 1e4 ? `${quantity(b / 1e3)} kbit` : `${quantity(b)} bit`;
  const escaped = (s) => s.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" }[c]));
  const metric = (i) => `${percent(D.metric[i])} (${(100 * D.metric_lo[i]).toFixed(1)} to ${(100 * D.metric_hi[i]).toFixed(1)})`;
  const ends = (cost, i) => (D[`${cost}_ends`] && D[`${cost}_ends`][i]) || [D[cost][i], D[cost][i]];
  const height = (i) => 100 * D.metric[i];
  const isFull = (fits) => fits === "" || fits === "y";
  const fill = (i, neutral) => neutral || isFull(D.fits[i]) ? families[D.family[i]].colour
    : D.fits[i] === "u" ? families[D.family[i]].tint : "#ffffff";
  const costText = (cost, i) => {
    if (cost === "memory_bits") return bits(D.memory_bits[i]);
    if (D[cost][i] === null) return "";
    const [lo, hi] = ends(cost, i);
    return `${quantity(D[cost][i])} ${meta.costs[cost][0]}` + (lo === hi ? "" : ` (${quantity(lo)} to ${quantity(hi)})`);
  };
  const glyph = (symbol, colour, inside) => {
    const shape = { circle: "M8 2.5a5.5 5.5 0 1 0 .01 0z", diamond: "M8 1.5 14.5 8 8 14.5 1.5 8z",
      "triangle-up": "M8 2 14.5 13.5h-13z", square: "M3 3h10v10H3z", line: "M0 8h16", ring: "M8 1.5a6.5 6.5 0 1 0 .01 0z",
      cross: "M1 8h14M8 3v10" }[symbol];
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    for (const [k, v] of [["viewBox", "0 0 16 16"], ["class", "glyph"], ["aria-hidden", "true"]]) svg.setAttribute(k, v);
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    for (const [k, v] of [["d", shape], ["fill", inside], ["stroke", colour], ["stroke-width", "1.6"]]) path.setAttribute(k, v);
    svg.append(path);
    return svg;
  };

  /* ---- where a design stands: 0 knee, 1 front, 2 contender, 3 other ---- */
  const RANKS = ["knee", "front", "contender", ""];
  const rank = new Array(N).fill(3);
  for (const panel of panels) for (const view of panel.views) {
    view.contenders.forEach((i) => { rank[i] = Math.min(rank[i], 2); });
    view.front.forEach((i) => { rank[i] = Math.min(rank[i], 1); });
    if (view.knee !== null) rank[view.knee] = 0;
  }
  const shown = (i, neutral) => state.families.has(D.family[i]) && (neutral || D.fits[i] === "" || state.fits.has(D.fits[i]));

  /* ---- plots ---- */
  const hover = (i, cost) => [`<b>${escaped(text("pair", i))}</b>  ${escaped(D.id[i])}`,
    escaped(`${text("recipe", i)}, ${text("setting", i)}`), `${escaped(meta.metric)} ${metric(i)}`,
    escaped(costText(cost, i)), D.fits[i] ? FITS[D.fits[i]] : "", escaped(text("note", i))].filter(Boolean).join("<br>");
  const markers = (view, cost, list, size, line, opacity, neutral) => ({
    type: "scatter", mode: "markers", x: list.map((i) => D[cost][i]), y: list.map(height),
    customdata: list, hovertext: list.map((i) => hover(i, cost)), hoverinfo: "text", showlegend: false,
    hoverlabel: { bgcolor: "#ffffff", bordercolor: MUTED, font: { family: FONT, color: INK, size: 12.5 }, align: "left" },
    marker: { size: list.map((i) => size * { circle: 1, diamond: 1.12, "triangle-up": 1.25 }[families[D.family[i]].symbol] || size), opacity,
      symbol: list.map((i) => families[D.family[i]].symbol), color: list.map((i) => fill(i, neutral)),
      line: { width: line, color: list.map((i) => families[D.family[i]].colour) } } });
  const whiskers = (cost, list) => families.map((family, f) => {
    const own = list.filter((i) => D.family[i] === f);
    const bar = (mid, lo, hi) => ({ type: "data", symmetric: false, array: own.map((i) => hi(i) - mid(i)),
      arrayminus: own.map((i) => mid(i) - lo(i)), color: family.colour, thickness: 0.8, width: 0 });
    return { type: "scatter", mode: "markers", x: own.map((i) => D[cost][i]), y: own.map(height),
      hoverinfo: "skip", showlegend: false, opacity: 0.5, marker: { size: 0.1, color: family.colour },
      error_x: bar((i) => D[cost][i], (i) => ends(cost, i)[0], (i) => ends(cost, i)[1]),
      error_y: bar(height, (i) => 100 * D.metric_lo[i], (i) => 100 * D.metric_hi[i]) };
  });
  const ring = (cost, list, size, width) => ({ type: "scatter", mode: "markers", hoverinfo: "skip", showlegend: false,
    x: list.map((i) => D[cost][i]), y: list.map(height),
    marker: { symbol: "circle-open", size, color: INK, line: { width } } });

  function traces(panel, view, list, neutral) {
    const { cost } = panel;
    const onFront = new Set(view.front), near = new Set(view.contenders);
    const front = list.filter((i) => onFront.has(i)), contenders = list.filter((i) => near.has(i));
    const rest = list.filter((i) => !onFront.has(i) && !near.has(i));
    const few = { none: [], front, contenders: [...front, ...contenders], all: list }[state.whiskers];
    const line = [...view.front].sort((a, b) => D[cost][a] - D[cost][b] || D.metric[a] - D.metric[b]);
    const twin = state.chosen === null ? [] : list.filter((i) => i === state.chosen
      || (panel.kind === "all" && text("pair", i) === text("pair", state.chosen) && D.recipe[i] === D.recipe[state.chosen]
        && D.metric[i] === D.metric[state.chosen]));
    return [...whiskers(cost, few), markers(view, cost, rest, 6, 0.8, 0.4, neutral),
      markers(view, cost, contenders, 7, 1, 0.7, neutral),
      { type: "scatter", mode: "lines", x: line.map((i) => D[cost][i]), y: line.map(height), hoverinfo: "skip",
        showlegend: false, line: { shape: "hv", color: INK, width: 1.3 } },
      markers(view, cost, front, 10, 1.5, 1, neutral),
      ring(cost, view.knee !== null && list.includes(view.knee) ? [view.knee] : [], 18, 1.3), ring(cost, twin, 22, 3)];
  }

  function layout(panel, view) {
    const [low, mid, high] = meta.float.map((x) => 100 * x);
    const axis = { gridcolor: GRID, linecolor: MUTED, tickcolor: MUTED, ticks: "outside", ticklen: 4, zeroline: false,
      tickfont: { color: MUTED, size: 12 }, automargin: true };
    const shapes = [
      { type: "rect", xref: "paper", x0: 0, x1: 1, y0: low, y1: high, fillcolor: GRID, opacity: 0.5, line: { width: 0 }, layer: "below" },
      { type: "line", xref: "paper", x0: 0, x1: 1, y0: mid, y1: mid, line: { color: MUTED, width: 1, dash: "dash" }, layer: "below" }];
    const notes = [{ xref: "paper", x: 1, xanchor: "left", y: mid, yanchor: "middle", text: ` float<br> ${percent(mid / 100)}`,
      align: "left", showarrow: false, font: { color: MUTED, size: 11.5 } }];
    if (view.capacity) {
      const x = view.capacity;
      shapes.push({ type: "line", yref: "paper", y0: 0, y1: 1, x0: x, x1: x, line: { color: INK, width: 1, dash: "dot" } });
      notes.push({ x: view.log ? Math.log10(x) : x, yref: "paper", y: 0.02, xanchor: "right", yanchor: "bottom", showarrow: false,
        textangle: -90, text: `the part has ${x.toLocaleString("en-US")}`, font: { color: INK, size: 11.5 } });
    }
    const x = { ...axis, type: view.log ? "log" : "linear", title: { text: meta.costs[panel.cost][1], font: { size: 13 }, standoff: 10 },
      tickformat: "~s", ...(view.log ? { dtick: "D2" } : { nticks: 8 }) };
    const y = { ...axis, title: { text: meta.metric, font: { size: 13 }, standoff: 8 }, tickformat: "~f", ticksuffix: " %" };
    if (state.zoom) {
      x.range = view.log ? view.x.map(Math.log10) : view.x;
      y.range = view.y.map((v) => 100 * v);
    }
    return { xaxis: x, yaxis: y, shapes, annotations: notes, margin: { l: 56, r: 58, t: 28, b: 46 }, hovermode: "closest",
      dragmode: window.innerWidth < 760 ? false : "zoom", font: { family: FONT, color: INK },
      paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff", showlegend: false };
  }

  function members(panel, view) {
    if (panel.kind !== "all") return D.id.map((_, i) => i).filter((i) => text("target", i) === view.target);
    return state.target ? D.id.map((_, i) => i).filter((i) => text("target", i) === state.target) : view.members;
  }

  function drawPanel(panel) {
    const view = panel.views[panel.select ? panel.select.selectedIndex : 0];
    const neutral = panel.kind === "all" && !state.target;
    const list = members(panel, view).filter((i) => shown(i, neutral) && D[panel.cost][i] !== null);
    const below = state.zoom ? list.filter((i) => D.metric[i] < view.y[0]).length : 0;
    panel.note.textContent = below ? `${below.toLocaleString("en-US")} less accurate designs lie below the picture.` : "";
    const config = { displaylogo: false, showSendToCloud: false, responsive: true, displayModeBar: window.innerWidth < 760 ? false : "hover",
      modeBarButtons: [["toImage"], ["zoom2d", "pan2d", "resetScale2d"]] };
    Plotly.react(panel.div, traces(panel, view, list, neutral), layout(panel, view), config);
  }
  const drawPanels = () => panels.forEach(drawPanel);

  function buildPanels() {
    panels.forEach((panel, p) => {
      panel.div = el("div", { class: "plot", id: `plot-${panel.cost}-${panel.kind}` });
      panel.note = el("p", { class: "small panel-note" });
      const head = el("div", { class: "panel-head" }, el("h3", {}, panel.title));
      if (panel.kind !== "all") {
        panel.select = el("select", { "aria-label": `${panel.title}: target`, onchange: () => drawPanel(panel) },
          ...panel.views.map((v) => el("option", { value: v.target }, meta.titles[v.target] || v.target)));
        head.append(el("label", {}, "on ", panel.select));
      }
      const wide = panels.length % 2 === 1 && p === 0;
      $("panels").append(el("div", { class: wide ? "panel wide" : "panel" }, head, panel.div, panel.note));
      drawPanel(panel);
      panel.div.on("plotly_click", (event) => {
        const i = event.points[0].customdata;
        if (i !== undefined) choose(i);
      });
    });
    if (!panels.length) $("panels").append(el("p", {}, "There is no front to draw."));
  }

  /* ---- controls ---- */
  function box(set, key, icon, label) {
    const input = el("input", { type: "checkbox", checked: true, onchange: () => {
      if (input.checked) set.add(key); else set.delete(key);
      refresh();
    } });
    return el("label", {}, input, icon, label);
  }

  function buildControls() {
    families.forEach((family, f) => {
      if (D.family.includes(f)) $("families").append(box(state.families, f, glyph(family.symbol, family.colour, family.colour), family.name));
    });
    const insides = { y: MUTED, u: "#d5d8dc", n: "#ffffff" };
    if (D.fits.some((fits) => fits)) {
      Object.keys(FITS).forEach((key) => $("feasibility").append(box(state.fits, key, glyph("circle", MUTED, insides[key]), FITS[key])));
    } else $("feasibility").remove();
    Object.keys(meta.titles).forEach((target) => $("target").append(el("option", { value: target }, meta.titles[target])));
    const many = Math.max(0, ...panels.flatMap((panel) => panel.views.map((view) => view.contenders.length)));
    state.whiskers = $("whiskers").value = many > 40 ? "front" : "contenders";
    $("target").onchange = () => {
      state.target = $("target").value;
      panels.forEach((panel) => {
        const place = panel.views.findIndex((view) => view.target === state.target);
        if (panel.select && place >= 0) panel.select.selectedIndex = place;
      });
      refresh();
    };
    $("whiskers").onchange = () => { state.whiskers = $("whiskers").value; drawPanels(); };
    $("range").onchange = () => { state.zoom = $("range").value === "zoom"; drawPanels(); };
    $("search").oninput = () => { state.search = $("search").value.toLowerCase(); state.page = 0; drawTable(); };
    const keys = [["line", INK, "Pareto front"], ["ring", INK, "knee"], ["cross", MUTED, "intervals"]];
    $("key").append(...keys.map(([symbol, colour, label]) => el("span", {}, glyph(symbol, colour, "none"), label)));
  }
  const refresh = () => { state.page = 0; drawPanels(); drawTable(); };

  /* ---- table ---- */
  const has = (key) => D[key].some((value) => value !== null);
  const link = (i) => el("a", { class: "design", href: `#design=${encodeURIComponent(D.id[i])}` }, D.id[i]);
  const number = (key, label, show) => ({ key, label, num: true, value: (i) => D[key][i], show: show || ((i) => quantity(D[key][i])) });
  const word = (key, label) => ({ key, label, value: (i) => text(key, i), show: (i) => text(key, i) });
  const columns = [
    { key: "id", label: "Design", value: (i) => D.id[i], show: link },
    { key: "rank", label: "Front", value: (i) => rank[i], show: (i) => el("span", { class: rank[i] < 2 ? "rank" : "sub" }, RANKS[rank[i]]) },
    word("pair", "Formats"), word("recipe", "Recipe"), word("target", "Target"), word("setting", "Setting"),
    number("metric", meta.metric[0].toUpperCase() + meta.metric.slice(1), (i) => el("span", {}, percent(D.metric[i]), " ",
      el("span", { class: "sub" }, `${(100 * D.metric_lo[i]).toFixed(1)}–${(100 * D.metric_hi[i]).toFixed(1)}`))),
    ...[["lut", "LUT"], ["dsp", "DSP"], ["bram18", "BRAM"]].filter(([key]) => has(key)).map(([key, label]) => number(key, label)),
    number("memory_bits", "Memory kbit", (i) => quantity(D.memory_bits[i] / 1000)), number("latency_us", "Latency µs"),
    { key: "fits", label: "Fits", value: (i) => "yun".indexOf(D.fits[i] || "x"), show: (i) => FITS[D.fits[i]] || "" },
    ...(D.note.some((t) => texts[t]) ? [{ ...word("note", "Note"), kind: "note", show: (i) => el("span", { title: text("note", i) }, text("note", i)) }] : [])];
  const haystack = D.id.map((id, i) => [id, ...["pair", "weights", "acts", "edge", "recipe", "target", "setting", "note"]
    .map((key) => text(key, i)), families[D.family[i]].name, RANKS[rank[i]], FITS[D.fits[i]] || ""].join(" ").toLowerCase());

  function rows() {
    const column = columns.find((c) => c.key === state.sort);
    const words = state.search.split(/\s+/).filter(Boolean);
    const list = D.id.map((_, i) => i).filter((i) => shown(i, false) && (!state.target || text("target", i) === state.target)
      && words.every((w) => haystack[i].includes(w)));
    const sign = state.down ? -1 : 1;
    const order = (a, b) => a === b ? 0 : a === null ? 1 : b === null ? -1 : sign * (a < b ? -1 : 1);
    return list.sort((a, b) => order(column.value(a), column.value(b)) || D.metric[b] - D.metric[a] || a - b);
  }

  function drawTable() {
    const list = rows();
    const paged = list.length > PAGED_FROM;
    const pages = paged ? Math.ceil(list.length / PAGE) : 1;
    state.page = Math.min(state.page, pages - 1);
    const start = paged ? state.page * PAGE : 0;
    const part = paged ? list.slice(start, start + PAGE) : list;
    $("table").tBodies[0].replaceChildren(...part.map((i) => el("tr", { class: i === state.chosen ? "chosen" : null, "data-i": i },
      ...columns.map((c) => el("td", { class: c.num ? "num" : c.kind || null }, c.show(i))))));
    $("count").textContent = `${list.length.toLocaleString("en-US")} of ${N.toLocaleString("en-US")} designs`;
    const turn = (step, label, off) => el("button", { type: "button", disabled: off, onclick: () => { state.page += step; drawTable(); } }, label);
    $("pager").replaceChildren(...(paged ? [turn(-1, "Previous", state.page === 0),
      `${start + 1} to ${start + part.length}`, turn(1, "Next", state.page === pages - 1)] : []));
    for (const th of $("table").tHead.rows[0].cells) {
      th.setAttribute("aria-sort", th.dataset.key !== state.sort ? "none" : state.down ? "descending" : "ascending");
    }
  }

  function buildTable() {
    const better = new Set(["metric"]);
    $("table").tHead.append(el("tr", {}, ...columns.map((c) => el("th", { scope: "col", class: c.num ? "num" : null, "data-key": c.key },
      el("button", { type: "button", onclick: () => {
        state.down = state.sort === c.key ? !state.down : better.has(c.key);
        state.sort = c.key;
        state.page = 0;
        drawTable();
      } }, c.label)))));
    $("table").tBodies[0].onclick = (event) => {
      const row = event.target.closest("tr");
      if (row && !event.target.closest("a")) choose(Number(row.dataset.i));
    };
    drawTable();
  }

  /* ---- drawer ---- */
  function layerTable(i) {
    const table = layers.tables[i];
    if (!table) return el("p", { class: "small" }, `The per-layer table of this design is left out of the page to keep it small; designs.sqlite in ${meta.run} holds it.`);
    if (!table.length) return el("p", { class: "small" }, "No per-layer table was recorded.");
    const names = table.filter((_, k) => k % 2 === 0).map((k) => layers.names[k]);
    const cells = table.filter((_, k) => k % 2 === 1).map((k) => layers.columns[k]);
    const kinds = cells.map((column) => column.some((v) => typeof v === "number") ? "num" : null);
    return el("div", { class: "scroll" }, el("table", {},
      el("thead", {}, el("tr", {}, ...names.map((name, c) => el("th", { scope: "col", class: kinds[c] }, name.replaceAll("_", " "))))),
      el("tbody", {}, ...cells[0].map((_, r) => el("tr", {}, ...cells.map((column, c) => el("td", { class: kinds[c] }, String(quantity(column[r], 4)))))))));
  }

  function fillDrawer(i) {
    const target = text("target", i), figures = [];
    const difference = 100 * (D.metric[i] - meta.float[1]);
    const against = `${Math.abs(difference).toFixed(1)} points ${difference < 0 ? "below" : "above"} float`;
    figures.push([meta.metric, `${metric(i)}, ${Math.abs(difference) < 0.05 ? "equal to float" : against}`]);
    for (const cost of ["lut", "ff", "dsp", "bram18", "latency_us"]) {
      if (D[cost][i] !== null) figures.push([cost === "latency_us" ? "latency" : meta.costs[cost][0],
        el("span", {}, cost === "latency_us" ? costText(cost, i) : costText(cost, i).replace(` ${meta.costs[cost][0]}`, ""), " ", el("span", { class: "small" }, texts[D[`${cost}_basis`][i]]))]);
    }
    figures.push(["memory", bits(D.memory_bits[i])]);
    if (D.fits[i]) figures.push(["fits the part", { y: "yes", u: "uncertain: the interval crosses the limit", n: "no" }[D.fits[i]]]);
    if (text("note", i)) figures.push(["note", text("note", i)]);
    figures.push(["weights", text("weights", i)], ["activations", text("acts", i)], ["first and last layer", text("edge", i)],
      ["scales", text("scale", i)], ["seed", String(D.seed[i])], ["design", D.id[i]]);
    const command = text("command", i).replaceAll("{id}", D.id[i]);
    const code = el("code", {}, command);
    const copy = el("button", { type: "button", onclick: async () => {
      try { await navigator.clipboard.writeText(command); copy.textContent = "Copied"; } catch { getSelection().selectAllChildren(code); }
    } }, "Copy");
    const place = RANKS[rank[i]] ? ` (${RANKS[rank[i]]})` : "";
    $("drawer").replaceChildren(el("button", { type: "button", class: "close", "aria-label": "Close", onclick: close }, "Close"),
      el("h2", { id: "drawer-title", tabindex: "-1" }, text("pair", i)),
      el("p", { class: "small" }, `${text("recipe", i)} on ${meta.titles[target] || target}, ${text("setting", i)}${place}`),
      el("dl", {}, ...figures.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
      el("h3", {}, HEADINGS[command.split(" ")[1]]), el("div", { class: "command" }, code, copy),
      el("h3", {}, "Layers"), layerTable(i));
  }

  const choose = (i) => { location.hash = `design=${encodeURIComponent(D.id[i])}`; };
  function close() {
    history.pushState(null, "", "#");
    followHash();
  }
  function followHash() {
    const match = /^#design=(.+)$/.exec(location.hash);
    let name = match ? match[1] : "";
    try { name = decodeURIComponent(name); } catch { /* not ours: no design has that id */ }
    const i = byId.get(name);
    const before = state.chosen;
    state.chosen = i === undefined ? null : i;
    $("drawer").hidden = i === undefined;
    if (i !== undefined) {
      if (before === null) state.opener = document.activeElement;
      fillDrawer(i);
      $("drawer").scrollTop = 0;
      $("drawer-title").focus({ preventScroll: true });
    } else if (before !== null && state.opener && state.opener.isConnected) state.opener.focus({ preventScroll: true });
    if (before !== state.chosen) {
      drawPanels();
      for (const row of $("table").tBodies[0].rows) row.classList.toggle("chosen", Number(row.dataset.i) === state.chosen);
    }
  }

  if (!N) $("plots").hidden = $("designs").hidden = true;
  buildControls();
  buildTable();
  buildPanels();
  followHash();
  window.addEventListener("hashchange", followHash);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && state.chosen !== null) close(); });
})();
} catch (error) {
  document.documentElement.className = "";  /* the static page is complete */
  console.error(error);
}
