(() => {
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
const NARROW = 560, PAPER = 690;
const dark = matchMedia("(prefers-color-scheme: dark)");
let printing = false;

// --- themes -------------------------------------------------------------------------------------------------------
function theme() { return root.dataset.theme || (dark.matches ? "dark" : "light"); }

function colors() {
  const style = getComputedStyle(root), out = {};
  for (const role of data.roles) out["@" + role] = style.getPropertyValue("--" + role).trim();
  return out;
}

function filled(value, table) {
  if (typeof value === "string") return value[0] === "@" && value in table ? table[value] : value;
  if (Array.isArray(value)) return value.map((x) => filled(x, table));
  if (value && typeof value === "object") {
    const out = {};
    for (const key in value) out[key] = filled(value[key], table);
    return out;
  }
  return value;
}

function over(base, change) {
  const out = Object.assign({}, base);
  for (const key in change) {
    const both = out[key] && typeof out[key] === "object" && !Array.isArray(change[key]) && typeof change[key] === "object";
    out[key] = both ? over(out[key], change[key]) : change[key];
  }
  return out;
}

// --- figures ------------------------------------------------------------------------------------------------------
const FONT = 'system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif';
const AXIS = {
  gridcolor: "@rule", linecolor: "@rule", zerolinecolor: "@rule", tickfont: {color: "@muted"},
  title: {font: {color: "@muted", size: 12.5}}, fixedrange: true, automargin: true,
};
const BASE = {
  font: {family: FONT, size: 12.5, color: "@ink"}, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
  margin: {l: 8, r: 12, t: 8, b: 8}, showlegend: false, hovermode: "closest", dragmode: false,
  hoverlabel: {bgcolor: "@raised", bordercolor: "@rule", font: {color: "@ink", family: FONT, size: 12.5}, align: "left"},
  legend: {orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: {color: "@ink"}},
};

function layout(chart, width) {
  let out = over(BASE, chart.layout);
  if (width < NARROW && chart.narrow) out = over(out, chart.narrow);
  for (const key in out) if (/^[xy]axis\d*$/.test(key)) out[key] = over(AXIS, out[key]);
  out.width = width;
  return out;
}

function draw(id) {
  const element = document.getElementById(id), chart = data.charts[id], table = colors();
  const width = printing ? PAPER : Math.floor(element.getBoundingClientRect().width);
  if (width < 40) return;
  const shown = filled(layout(chart, width), table);
  element.style.height = shown.height + "px";
  Plotly.react(element, filled(chart.data, table), shown, {displayModeBar: false, responsive: false});
  if (element.dataset.wired) return;
  element.dataset.wired = "1";
  element.on("plotly_click", (event) => {
    const hit = event.points[0], detail = Array.isArray(hit.customdata) ? hit.customdata[0] : hit.customdata;
    if (Number.isInteger(detail)) open(detail);
  });
}

function drawAll() { for (const id in data.charts) draw(id); }

// --- details ------------------------------------------------------------------------------------------------------
const drawer = document.getElementById("drawer"), body = document.getElementById("drawer-body");
let shown = -1, opener = null;

function mark() {
  for (const element of document.querySelectorAll("[data-detail]")) {
    element.classList.toggle("chosen", Number(element.dataset.detail) === shown);
  }
}

function open(index) {
  if (!(index >= 0 && index < data.details.length)) return;
  if (drawer.hidden) opener = document.activeElement;
  shown = index;
  body.innerHTML = data.details[index];  // made and escaped by hwsim
  drawer.hidden = false;
  drawer.scrollTop = 0;
  mark();
  document.getElementById("close").focus({preventScroll: true});
}

function close() {
  if (drawer.hidden) return;
  drawer.hidden = true;
  shown = -1;
  mark();
  if (opener && opener.focus) opener.focus({preventScroll: true});
}

function step(by) { open((shown + by + data.details.length) % data.details.length); }

document.getElementById("close").addEventListener("click", close);
document.getElementById("previous").addEventListener("click", () => step(-1));
document.getElementById("next").addEventListener("click", () => step(1));
document.addEventListener("keydown", (event) => {
  const target = event.target.closest ? event.target.closest("[data-detail]") : null;
  if (event.key === "Escape") close();
  else if ((event.key === "Enter" || event.key === " ") && target) {
    event.preventDefault();
    open(Number(target.dataset.detail));
  } else if (!drawer.hidden && drawer.contains(event.target)) {
    if (event.key === "ArrowRight") step(1);
    if (event.key === "ArrowLeft") step(-1);
  }
});
document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-detail]");
  if (target && !event.target.closest("th")) open(Number(target.dataset.detail));
});

// --- tables -------------------------------------------------------------------------------------------------------
function compare(a, b) {
  const x = Number(a), y = Number(b);
  return a !== "" && b !== "" && !Number.isNaN(x) && !Number.isNaN(y) ? x - y : String(a).localeCompare(String(b), "en");
}

for (const button of document.querySelectorAll("th button[data-column]")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), rows = button.closest("table").tBodies[0];
    const column = Number(button.dataset.column), numeric = head.classList.contains("r");
    const before = head.getAttribute("aria-sort");
    const down = before === "none" ? numeric : before === "ascending";  // figures: largest first
    for (const other of head.parentElement.children) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const sign = down ? -1 : 1;
    const sorted = Array.from(rows.rows).sort((a, b) =>
      sign * compare(a.cells[column].dataset.key, b.cells[column].dataset.key));
    rows.append(...sorted);
  });
}

// --- start --------------------------------------------------------------------------------------------------------
const toggle = document.getElementById("theme");
function named() { toggle.textContent = theme() === "dark" ? "Light" : "Dark"; }
toggle.addEventListener("click", () => {
  root.dataset.theme = theme() === "dark" ? "light" : "dark";
  named();
  drawAll();
});
dark.addEventListener("change", () => { named(); drawAll(); });
let waiting = 0, width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === width || printing) return;
  width = innerWidth;
  clearTimeout(waiting);
  waiting = setTimeout(drawAll, 120);
});
addEventListener("beforeprint", () => { printing = true; root.dataset.paper = root.dataset.theme || ""; root.dataset.theme = "light"; drawAll(); });
addEventListener("afterprint", () => {
  printing = false;
  if (root.dataset.paper) root.dataset.theme = root.dataset.paper; else delete root.dataset.theme;
  delete root.dataset.paper;
  drawAll();
});
named();
drawAll();
root.dataset.ready = "1";
})();
