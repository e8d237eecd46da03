// A systolic array at work. `data` holds the registers of every cycle; nothing is computed here but what a caption says.
(root, data) => {
  const { rows, columns, frames, tokens, outputs } = data;
  const SVG = "http://www.w3.org/2000/svg";
  const CELL = { w: 96, h: 78 }, GAP = { x: 18, y: 20 };
  const AHEAD = { w: 42, h: 24, left: rows + 1, top: columns + 1 };
  const LEFT = 30 + AHEAD.left * AHEAD.w, TOP = 26 + AHEAD.top * AHEAD.h;
  const x0 = (j) => LEFT + j * (CELL.w + GAP.x), y0 = (i) => TOP + i * (CELL.h + GAP.y);
  const width = x0(columns) + 8, height = y0(rows) + 60;
  const PHASES = { preload: "weights move in, the last row first", fill: "the first sum is on its way down column 0", stream: "column 0 hands out a sum every cycle", drain: "column 0 is done, the other columns follow" };
  let at = 0, timer = null, chosen = [0, 0];

  const make = (name, attributes, parent, text) => {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  };
  const tint = (token, strength) => (token < 0 ? "transparent" : `hsl(${(token * 67 + 200) % 360} 65% 50% / ${strength})`);
  const frame = (t) => (t >= 0 && t < frames.length ? frames[t] : null);
  const shown = (value) => String(value).replace("-", "−");

  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${rows} by ${columns} processing elements, their registers after each cycle` }, root.querySelector(".sa-stage"));
  root.querySelector(".sa-stage").prepend(svg);
  make("text", { x: LEFT / 2 - 6, y: TOP - 16, class: "sa-label" }, svg, "inputs →");
  make("text", { x: x0(0) + CELL.w / 2, y: 16, class: "sa-label" }, svg, "weights ↓");
  make("text", { x: LEFT / 2 - 6, y: y0(rows) + 22, class: "sa-label" }, svg, "sums leave ↓");

  // A place on the way in: d cycles before the first PE. Dashed boxes are the registers that make the skew.
  const place = (x, y, register) => {
    const group = make("g", {}, svg);
    const size = { width: AHEAD.w - 6, height: AHEAD.h - 2, rx: 4 };
    const wash = make("rect", { x, y, ...size, fill: "transparent" }, group);
    if (register) make("rect", { x, y, ...size, class: "sa-register" }, group);
    return { wash, text: make("text", { x: x + size.width / 2, y: y + 16, class: "sa-small" }, group, "") };
  };
  const inputs = [], weights = [], cells = [], leaving = [];
  for (let i = 0; i < rows; i++) {
    make("path", { class: "sa-wire", d: `M${LEFT - 8} ${y0(i) + CELL.h / 2}H${x0(columns) - GAP.x}` }, svg);
    for (let d = 1; d <= AHEAD.left; d++) inputs.push({ i, d, ...place(LEFT - 4 - d * AHEAD.w, y0(i) + CELL.h / 2 - 11, d <= i) });
  }
  for (let j = 0; j < columns; j++) {
    make("path", { class: "sa-wire", d: `M${x0(j) + CELL.w / 2} ${TOP - 6}V${y0(rows) - 4}` }, svg);
    for (let d = 1; d <= AHEAD.top; d++) weights.push({ j, d, ...place(x0(j) + (CELL.w - AHEAD.w) / 2 + 3, TOP - 4 - d * AHEAD.h, d <= j) });
    leaving.push(place(x0(j) + (CELL.w - AHEAD.w) / 2 + 3, y0(rows) + 4, false));
    make("text", { x: x0(j) + CELL.w / 2, y: y0(rows) + 46, class: "sa-small" }, svg, `column ${j}`);
  }
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) {
      const group = make("g", { class: "sa-cell" }, svg), x = x0(j), y = y0(i);
      make("rect", { x, y, width: CELL.w, height: CELL.h, rx: 8, class: "sa-pe" }, group);
      const wash = make("rect", { x, y, width: CELL.w, height: CELL.h, rx: 8, class: "sa-wash", fill: "transparent" }, group);
      const text = (dx, dy, name) => make("text", { x: x + dx, y: y + dy, class: name }, group, "");
      const cell = { i, j, group, wash, weight: text(CELL.w / 2, 36, "sa-weight"), next: text(CELL.w - 20, 18, "sa-small"), value: text(20, 18, ""), sum: text(CELL.w / 2, CELL.h - 11, "sa-sum") };
      group.addEventListener("pointerenter", () => choose(i, j));
      group.addEventListener("click", () => choose(i, j));
      cells.push(cell);
    }

  const table = root.querySelector(".sa-result table");
  const results = [];
  const head = table.createTHead().insertRow();
  head.append(document.createElement("th"));
  for (let n = 0; n < outputs; n++) head.append(Object.assign(document.createElement("th"), { textContent: n, scope: "col" }));
  for (let t = 0; t < tokens; t++) {
    const row = (table.tBodies[0] ?? table.createTBody()).insertRow();
    row.append(Object.assign(document.createElement("th"), { textContent: `token ${t}`, scope: "row" }));
    results.push(Array.from({ length: outputs }, () => row.insertCell()));
  }

  const put = (spot, token, strength, text) => {
    spot.wash.setAttribute("fill", tint(token, strength));
    spot.text.textContent = text;
  };
  function draw() {
    const now = frame(at - 1), before = frame(at - 2);
    for (const spot of inputs) {
      const then = frame(at - 1 + spot.d), token = then ? then.token[spot.i][0] : -1;
      put(spot, token, 0.28, token < 0 ? "" : shown(then.value[spot.i][0]));
    }
    for (const spot of weights) {
      const then = frame(at - 1 + spot.d), loads = then && then.load[0][spot.j];
      put(spot, -1, 0, loads ? shown(then.next[0][spot.j]) : "");
    }
    for (const cell of cells) {
      const { i, j } = cell, token = now ? now.token[i][j] : -1;
      cell.group.classList.toggle("sa-idle", token < 0 && !(now && now.load[i][j]));
      cell.wash.setAttribute("fill", tint(token, 0.2));
      cell.weight.textContent = now && now.weight[i][j] !== null ? shown(now.weight[i][j]) : "";
      cell.next.textContent = now && now.fresh[i][j] ? `↓${shown(now.next[i][j])}` : "";
      cell.value.textContent = token < 0 ? "" : shown(now.value[i][j]);
      cell.sum.textContent = token < 0 ? "" : shown(now.sum[i][j]);
      cell.group.classList.toggle("sa-chosen", i === chosen[0] && j === chosen[1]);
    }
    for (const spot of leaving) put(spot, -1, 0, "");
    for (const [column, token, , sum] of now ? now.left : []) put(leaving[column], token, 0.28, shown(sum));
    for (const row of results) for (const cell of row) Object.assign(cell, { textContent: "", className: "" }).style.background = "";
    for (let t = 0; t < at; t++)
      for (const [, token, output, , total, complete] of frames[t].left) {
        const cell = results[token][output];
        cell.textContent = shown(total);
        cell.className = (complete ? "" : "sa-part ") + (t === at - 1 ? "sa-new" : "");
        cell.style.background = complete ? tint(token, 0.2) : "";
      }
    say(now, before);
    root.querySelector("input").value = at;
  }
  function say(now, before) {
    const [i, j] = chosen, line = root.querySelector(".sa-say");
    if (!now) {
      line.innerHTML = `<b>Before the first cycle.</b> Each row waits a cycle longer than the one above it (the dashed registers), each column's weights a cycle longer than the one at its left.`;
      return;
    }
    const above = i && before ? before.sum[i - 1][j] : 0, token = now.token[i][j];
    const term = (value) => (value < 0 ? `(${shown(value)})` : shown(value));
    const sum = token < 0 ? "no token here" : `${shown(above)} + ${term(now.weight[i][j])} · ${term(now.value[i][j])} = ${shown(now.sum[i][j])}, for token ${token}`;
    line.innerHTML = `<b>Cycle ${at} of ${frames.length}, ${now.phase}:</b> ${PHASES[now.phase]}.<br>PE in row ${i}, column ${j}: sum from above + weight · input: <b>${sum}</b>`;
  }
  function choose(i, j) { chosen = [i, j]; draw(); }
  function go(to) { at = Math.max(0, Math.min(frames.length, to)); draw(); }
  function play(on) {
    clearInterval(timer);
    timer = on ? setInterval(() => (at < frames.length ? go(at + 1) : play(false)), Number(root.querySelector("select").value)) : null;
    const button = root.querySelector("[data-do=play]");
    button.textContent = on ? "Pause" : "Play";
  }
  const actions = { start: () => go(0), back: () => go(at - 1), next: () => go(at + 1), play: () => { if (!timer && at === frames.length) go(0); play(!timer); } };
  root.addEventListener("click", (event) => {
    const name = event.target.dataset?.do;
    if (!name) return;
    if (name !== "play") play(false);
    actions[name]();
  });
  root.querySelector("input").addEventListener("input", (event) => { play(false); go(Number(event.target.value)); });
  root.querySelector("select").addEventListener("change", () => timer && play(true));
  const wanted = new URLSearchParams(location.search).get("cycle") ?? location.hash.match(/^#cycle=(\d+)$/)?.[1];
  go(Number(wanted ?? 0) || 0);
}
