// Pictures with boxes, a row a picture: the true ones, then those of each run or step. Boxes are drawn
// here, so that the slider needs no kernel. `element.js` stands before it.

const SVG = "http://www.w3.org/2000/svg";

function drawn(tag, attributes, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

// Places of the detections that are drawn. True boxes have no scores and are all drawn.
function chosen(kind, objects, least) {
  const places = kind.boxes.map((_, place) => place);
  if (!kind.scores) return places;
  return least === null ? places.slice(0, objects) : places.filter((place) => kind.scores[place] >= least);
}

function picture(shown, kind, least) {
  const [width, height] = shown.size;
  const unit = Math.max(width, height) / 100;
  const objects = shown.kinds.find((each) => !each.scores)?.boxes.length ?? kind.boxes.length;
  const root = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
                              "aria-label": `${shown.name}, ${kind.label}` });
  root.append(shown.source
    ? drawn("image", { href: shown.source, width, height, preserveAspectRatio: "none" })
    : drawn("rect", { width, height, fill: "#c8c8c8" }));
  for (const place of chosen(kind, objects, least)) {
    const [left, top, right, bottom] = kind.boxes[place];
    const score = kind.scores ? ` ${kind.scores[place].toFixed(2)}` : "";
    const name = `${kind.names[place]}${score}`;
    const room = (2.6 * name.length + 1.5) * unit;
    const at = Math.max(0, Math.min(left, width - room));  // the name stays inside the picture
    root.append(
      drawn("rect", { x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top),
                      fill: "none", stroke: kind.color, "stroke-width": 0.7 * unit }),
      drawn("rect", { x: at, y: Math.max(0, top - 5 * unit), width: room, height: 5 * unit,
                      fill: kind.color }),
      drawn("text", { x: at + 0.8 * unit, y: Math.max(5 * unit, top) - 1.3 * unit, fill: "white",
                      "font-size": 4.2 * unit, "font-family": "sans-serif" }, name),
    );
  }
  return root;
}

function render({ model, el }) {
  const pictures = model.get("pictures");
  el.classList.add("rtnb-predictions");
  if (!pictures.length) {
    el.append(element("p", {}, "No predictions yet."));
    return;
  }
  const kinds = pictures[0].kinds;
  const hasTruth = kinds.some((kind) => !kind.scores);
  const auto = element("input", { type: "checkbox", "aria-label": "As many as there are objects" });
  const slider = element("input", { type: "range", min: 0, max: 1, step: 0.01, "aria-label": "Least score" });
  const value = element("output");
  const bar = element("div", { class: "rtnb-predictions-bar", role: "group", "aria-label": "What is drawn" });
  if (hasTruth) bar.append(element("label", {}, auto, " the best, as many as there are objects"));
  bar.append(element("label", {}, "least score ", slider, " ", value),
             element("span", { class: "rtnb-predictions-hint" }, "click a picture to enlarge it"));
  const grid = element("div", { class: "rtnb-predictions-grid", style: `--kinds: ${kinds.length}` });
  const dialog = element("dialog", { class: "rtnb-predictions-large", "aria-label": "Enlarged picture" });
  dialog.addEventListener("click", () => dialog.close());
  el.append(bar, grid, dialog);

  function enlarge(shown, kind) {
    dialog.replaceChildren(element("div", {}, `${shown.name}: ${kind.label} (click or Escape closes)`),
                           picture(shown, kind, model.get("least_score")));
    dialog.showModal();
  }

  function draw() {
    const least = model.get("least_score");
    auto.checked = least === null;
    slider.value = least ?? 0;
    value.textContent = least === null ? "-" : least.toFixed(2);
    const heads = kinds.map((kind) => {
      const head = element("div", { class: "rtnb-predictions-head" }, kind.label);
      head.style.borderBottomColor = kind.color;
      return head;
    });
    const cells = pictures.flatMap((shown) => shown.kinds.map((kind) => {
      const cell = element("button", { type: "button", title: `Enlarge ${shown.name}, ${kind.label}` },
                           picture(shown, kind, least));
      cell.addEventListener("click", () => enlarge(shown, kind));
      return cell;
    }));
    grid.replaceChildren(...heads, ...cells);
  }

  auto.addEventListener("change", () => {
    model.set("least_score", auto.checked ? null : Number(slider.value));
    model.save_changes();
  });
  // The kernel draws its picture anew, so it hears of the slider only when that is let go.
  slider.addEventListener("input", () => model.set("least_score", Number(slider.value)));
  slider.addEventListener("change", () => model.save_changes());
  model.on("change:least_score", draw);
  draw();
  return () => model.off("change:least_score", draw);
}

export default { render };
