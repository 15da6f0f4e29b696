// The chart of runs: hover, zoom by dragging, smoothing, a logarithmic axis, steps or minutes.
// `uPlot` and `element.js` stand before this script in the same module, and Python adds what calls `render`: a
// widget's export, or the values themselves for a page without a kernel.

const GREY = "#7f7f7f";

// Mean over `span` neighbours; a value that is no number is left out.
function smoothed(values, span) {
  if (span <= 1) return values;
  const sums = [0], counts = [0], half = Math.floor(span / 2);
  values.forEach((value, at) => {
    const known = value != null;
    sums.push(sums[at] + (known ? value : 0));
    counts.push(counts[at] + (known ? 1 : 0));
  });
  return values.map((value, at) => {
    const first = Math.max(0, at - half), end = Math.min(values.length, at + half + 1);
    const count = counts[end] - counts[first];
    return value == null || !count ? null : (sums[end] - sums[first]) / count;
  });
}

function shownNumber(value) {
  if (value == null) return "-";
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(2) : String(+value.toFixed(4));
}

function render({ model, el }) {
  const runs = structuredClone(model.get("runs"));
  const state = { what: "loss", x: "steps", span: 9, log: false, hidden: new Set() };
  let chart = null;

  el.classList.add("rtnb-chart");
  const bar = element("div", { class: "rtnb-chart-bar" });
  const what = element("select", { "aria-label": "What is shown" });
  const x = element("select", { "aria-label": "Along the axis" });
  for (const [value, text] of [["steps", "steps"], ["minutes", "minutes"]]) {
    x.append(element("option", { value }, text));
  }
  const span = element("input", { type: "range", min: 1, max: 101, step: 2, value: state.span });
  const spanText = element("span");
  const log = element("input", { type: "checkbox" });
  const hint = element("span", { class: "rtnb-chart-hint" }, "drag to zoom, double-click to go back");
  const labelled = (text, ...parts) => {
    const label = element("label", {}, text);
    label.append(...parts);
    return label;
  };
  bar.append(what, x, labelled("smooth ", span, spanText), labelled("log ", log), hint);
  const place = element("div");
  el.append(bar, place);

  function offerQuantities() {
    const names = [...new Set(runs.flatMap((run) => Object.keys(run.values)))];
    if ([...what.options].map((option) => option.value).join() === names.join()) return;
    what.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
    what.value = names.includes(state.what) ? state.what : names[0] || "";
    state.what = what.value;
  }

  // One table a run: x, the values as they are, smoothed, and AP at the evaluations.
  function joined() {
    const tables = runs.map((run) => {
      const values = run.values[state.what] || [];
      return [run[state.x], values, smoothed(values, state.span)];
    });
    const evaluations = runs.map((run) => [run[`ap_${state.x}`], run.ap]);
    const sorted = [...tables, ...evaluations].map(([first, ...rest]) => [first, ...rest]);
    return uPlot.join(sorted);
  }

  function series() {
    const shown = (run) => !state.hidden.has(run.label);
    const value = (_, number) => shownNumber(number);
    const lines = runs.flatMap((run) => [
      { label: `${run.label} (each step)`, stroke: `${run.color}66`, width: 1, show: shown(run), value,
        points: { show: false } },
      { label: run.label, stroke: run.color, width: 2, show: shown(run), value, spanGaps: true,
        points: { show: false } },
    ]);
    const points = runs.map((run) => ({
      label: `${run.label} AP`, scale: "ap", stroke: run.color, width: 0, show: shown(run), value,
      paths: () => null, points: { show: true, size: 8, fill: run.color },
    }));
    return [{ label: state.x === "steps" ? "step" : "minute", value }, ...lines, ...points];
  }

  function build() {
    chart?.destroy();
    const axis = { stroke: GREY, grid: { stroke: "#7f7f7f33", width: 1 }, ticks: { stroke: "#7f7f7f66" } };
    const hasEvaluations = runs.some((run) => run.ap.length);
    const options = {
      width: Math.max(320, place.clientWidth || 900),
      height: 300,
      scales: { x: { time: false }, y: { distr: state.log ? 3 : 1 }, ap: { range: [0, 1] } },
      axes: [axis, { ...axis, label: state.what, labelSize: 18, size: 64 },
             ...(hasEvaluations ? [{ ...axis, scale: "ap", side: 1, label: "AP", labelSize: 18, grid: { show: false } }] : [])],
      series: series(),
      cursor: { drag: { x: true, y: true, uni: 20 } },
      hooks: { setSeries: [follow] },
    };
    chart = new uPlot(options, joined(), place);
  }

  // A click on a run in the legend hides all that belongs to it.
  function follow(plot, index, change) {
    if (index == null || change.show == null) return;
    const count = runs.length;
    const at = index <= 2 * count ? Math.floor((index - 1) / 2) : index - 1 - 2 * count;
    const label = runs[at].label;
    if (change.show === !state.hidden.has(label)) return;
    if (change.show) state.hidden.delete(label); else state.hidden.add(label);
    for (const other of [1 + 2 * at, 2 + 2 * at, 1 + 2 * count + at]) {
      if (plot.series[other].show !== change.show) plot.setSeries(other, { show: change.show });
    }
  }

  function redraw() {
    if (!chart) return;
    const { min, max } = chart.scales.x;
    const all = chart.data[0];
    const isZoomed = all.length > 1 && (min > all[0] || max < all[all.length - 1]);
    chart.setData(joined(), !isZoomed);
    if (isZoomed) chart.redraw();
  }

  // What was sent before this page listened is asked for; what is added meanwhile has to wait for it.
  const askForAll = () => model.send?.({
    do: "whole", have: runs.map((run) => [run.steps.length, run.ap.length]),
  });

  function take(message) {
    if (message.do === "append" && message.from > runs[message.run].steps.length) {
      askForAll();
      return;
    }
    if (message.do === "all") {
      message.runs.forEach((run, at) => { runs[at] = run; });
    } else if (message.do === "append") {
      const run = runs[message.run];
      for (const name of ["steps", "minutes"]) {
        run[name].length = message.from;
        run[name].push(...message[name]);
      }
      for (const [name, values] of Object.entries(message.values)) {
        const known = (run.values[name] ??= []);
        known.length = message.from;
        known.push(...values);
      }
      for (const name of ["ap", "ap_steps", "ap_minutes"]) run[name] = message[name];
    } else {
      return;
    }
    const before = state.what, had = chart?.axes.length;
    offerQuantities();
    const needsAxis = runs.some((run) => run.ap.length) && had === 2;
    if (!chart || before !== state.what || needsAxis) build(); else redraw();
  }

  what.addEventListener("change", () => { state.what = what.value; build(); });
  x.addEventListener("change", () => { state.x = x.value; build(); });
  log.addEventListener("change", () => { state.log = log.checked; build(); });
  span.addEventListener("input", () => {
    state.span = Number(span.value);
    spanText.textContent = ` ${state.span}`;
    redraw();
  });
  spanText.textContent = ` ${state.span}`;
  offerQuantities();
  build();
  // In the next frame, and only where the width has changed: a chart that answers its own change of size
  // would never stand still.
  const watcher = new ResizeObserver(() => requestAnimationFrame(() => {
    const width = Math.max(320, place.clientWidth);
    if (chart && place.clientWidth > 0 && chart.width !== width) chart.setSize({ width, height: 300 });
  }));
  watcher.observe(place);
  model.on("msg:custom", take);
  askForAll();
  return () => {
    model.off("msg:custom", take);
    watcher.disconnect();
    chart?.destroy();
  };
}
