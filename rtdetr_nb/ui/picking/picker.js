// The tree of layers. Python owns the truth (`picked`, indices into `leaves`); what is counted here
// is only what has to answer a click at once. `element.js` and `clipboard.js` stand before it.

const BUTTONS = [
  ["All", "Tick everything shown that fits", (leaf) => true],
  ["None", "Untick everything shown", (leaf) => false],
  ["Invert", "Tick what is not ticked, of everything shown", (leaf, ticked) => !ticked],
  ["Matched only", "Tick exactly the matched tensors, of everything shown",
   (leaf) => leaf.status === "matched"],
];

// Nodes in the order of the screen: {name, label, level, parent, children, leaves}; a node that is
// a leaf has `leaf`, its index.
function buildNodes(leaves) {
  const nodes = [];
  const byLabel = new Map();
  leaves.forEach((leaf, index) => {
    let parent = null;
    leaf.path.forEach((word, depth) => {
      const last = depth === leaf.path.length - 1;
      const label = leaf.path.slice(0, depth + 1).join(".");
      let node = byLabel.get(label);
      if (!node) {
        node = { name: word, label, level: depth + 1, parent, children: [], leaves: [],
                 expanded: false, leaf: last ? index : null };
        byLabel.set(label, node);
        if (parent) parent.children.push(node);
        else nodes.push(node);
      }
      node.leaves.push(index);
      parent = node;
    });
  });
  return nodes;
}

function inOrder(nodes, visit) {
  for (const node of nodes) {
    if (visit(node) !== false) inOrder(node.children, visit);
  }
}

// Jupyter's shortcuts (one letter, arrows) must not fire while someone types or moves in here. What
// has the focus needs the mark itself: it is looked at before what it lies in.
const NO_SHORTCUTS = { "data-lm-suppress-shortcuts": "true" };

// Whether a name is meant by what is typed: a regular expression that finds something in it, or a
// shell-style pattern of the whole name, as `diff.select` takes it.
function makeFilter(text) {
  const tests = [];
  let problem = "";
  try {
    const expression = new RegExp(text);
    tests.push((name) => expression.test(name));
  } catch (error) {
    problem = error.message;
  }
  if (/[*?]/.test(text)) {
    const escaped = text.replace(/[.+^${}()|\\]/g, "\\$&");
    try {
      const pattern = new RegExp(`^(${escaped.replace(/\*/g, ".*").replace(/\?/g, ".")})$`);
      tests.push((name) => pattern.test(name) || pattern.test(`backbone.${name}`));
    } catch (error) {
      problem = problem || error.message;
    }
  }
  return { problem, test: tests.length ? (name) => tests.some((test) => test(name)) : null };
}

class Tree {
  constructor(model, root) {
    this.model = model;
    this.leaves = model.get("leaves");
    this.top = buildNodes(this.leaves);
    this.picked = new Set(model.get("picked"));
    this.unanswered = 0;  // changes of the ticks that the kernel has not taken yet
    this.pattern = null;
    this.onlyMismatches = false;
    this.rows = new Map();
    this.active = this.top[0];
    this.typed = { text: "", at: 0 };
    this.build(root);
    this.render();
  }

  build(root) {
    this.root = element("div", { class: "rtnb-picker", ...NO_SHORTCUTS });
    this.filter = element("input", {
      type: "text", "aria-label": "Filter keys (pattern or regular expression)", spellcheck: "false",
      placeholder: "filter keys, e.g. *.bn.* or bn\\.(weight|bias)$",
    });
    this.filter.addEventListener("input", () => this.setFilter());
    this.filter.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") { event.preventDefault(); this.focus(this.active); }
    });
    const only = element("input", { type: "checkbox", "aria-label": "Only mismatches" });
    only.addEventListener("change", () => { this.onlyMismatches = only.checked; this.render(); });
    const bar = element("div", { class: "rtnb-bar", role: "toolbar", "aria-label": "Picking" },
                        this.filter, element("label", {}, only, "Only mismatches"));
    for (const [text, title, wanted] of BUTTONS) {
      bar.append(this.button(text, title, () => this.setShown(wanted)));
    }
    bar.append(
      this.button("Expand", "Open every branch", () => this.expandAll(true)),
      this.button("Collapse", "Close every branch", () => this.expandAll(false)),
    );
    this.undo = this.button("Undo", "Take back the last change of the ticks",
                            () => this.model.send({ do: "undo" }));
    bar.append(this.undo);
    this.verdict = element("div", { class: "rtnb-verdict", role: "status", "aria-label": "Verdict" });
    this.problem = element("div", { class: "rtnb-problem", role: "alert" });
    this.list = element("div", {
      class: "rtnb-tree", role: "tree", "aria-label": "Layers", "aria-multiselectable": "true",
    });
    this.list.addEventListener("keydown", (event) => this.onKey(event));
    this.list.addEventListener("click", (event) => this.onClick(event));
    this.values = element("div", { role: "status", "aria-label": "Values" });
    this.counts = element("div", { class: "rtnb-counts", role: "status", "aria-label": "Picked" });
    this.official = element("div", { role: "status", "aria-label": "Official log" });
    this.warnings = element("div", { role: "status", "aria-label": "Warnings" });
    this.code = element("code", { "aria-label": "The same in code" });
    this.root.append(this.verdict, bar, this.problem, this.list, this.values, this.counts, this.official,
                     this.warnings, this.buildCode(), this.buildInput(), this.buildWriter());
    root.append(this.root);
  }

  button(text, title, action) {
    const made = element("button", { type: "button", title }, text);
    made.addEventListener("click", action);
    return made;
  }

  buildCode() {
    return element("div", { class: "rtnb-code" }, element("span", {}, "the same in code: ", this.code),
                   ...copyButton(this.code, "Copy the same in code"));
  }

  // What the pictures say of the backbone, where the picker has any.
  buildInput() {
    this.mend = this.button(
      "Check and mend the input format",
      "Look at the pictures: was the backbone trained on such ones? If not, its stem is rewritten",
      () => {
        this.mend.disabled = true;
        this.looked.textContent = "Looking at the pictures ...";
        this.model.send({ do: "mend" });
      });
    this.leave = this.button("Leave the stem as it is", "Write the stem without the change",
                             () => this.model.send({ do: "leave" }));
    this.looked = element("div", { role: "status", "aria-label": "Input format" });
    return element("div", {}, element("div", {
      class: "rtnb-bar", role: "group", "aria-label": "Pictures",
    }, this.mend, this.leave), this.looked);
  }

  showInput() {
    const folded = this.model.get("folded");
    this.mend.hidden = !this.model.get("can_look");
    this.leave.hidden = !folded;
    if (this.mend.disabled) return;  // what it says comes with the answer
    const mended = folded ? `The stem will be rewritten in the file: it expects ${folded}. ` : "";
    this.looked.textContent = mended + this.model.get("looked");
  }

  buildWriter() {
    this.path = element("input", {
      type: "text", "aria-label": "Path of the tuning file", spellcheck: "false",
    });
    this.path.value = this.model.get("path");
    const base = element("input", {
      type: "text", "aria-label": "Full checkpoint to put it into", spellcheck: "false",
      placeholder: "into a full checkpoint (optional)",
    });
    const replace = element("input", { type: "checkbox", "aria-label": "Replace an existing file" });
    const anyway = element("input", { type: "checkbox", "aria-label": "Write it all the same" });
    this.anyway = element("label", {}, anyway, "Write it all the same");
    this.write = this.button("Write tuning file", "Write what is ticked and prove it", () => {
      this.write.disabled = true;
      this.message.textContent = "Writing, and reading it again ...";
      this.message.className = "";
      this.model.send({
        do: "write", path: this.path.value, base: base.value, replace: replace.checked,
        anyway: anyway.checked && !this.anyway.hidden,
      });
    });
    this.message = element("div", { role: "status", "aria-label": "Result of writing" });
    const bar = element("div", { class: "rtnb-bar", role: "group", "aria-label": "Writing" },
                        this.path, base,
                        element("label", {}, replace, "Replace an existing file"), this.anyway,
                        this.write);
    this.caution = element("div", { role: "status", "aria-label": "Caution" });
    return element("div", {}, bar, this.message, this.caution);
  }

  // What is shown: the leaves that the filter and "only mismatches" leave.

  shows(index) {
    const leaf = this.leaves[index];
    if (this.onlyMismatches && (leaf.loadable || leaf.status === "bookkeeping")) return false;
    return !this.pattern || this.pattern(leaf.name) || this.pattern(leaf.file_key);
  }

  setFilter() {
    const { problem, test } = makeFilter(this.filter.value);
    this.pattern = this.filter.value ? test : null;
    this.problem.textContent = this.filter.value && !test
      ? `The filter is no pattern yet (${problem}); all keys are shown.` : "";
    this.render();
  }

  isOpen(node) {
    return node.expanded || this.filtered;
  }

  visibleNodes() {
    const visible = [];
    inOrder(this.top, (node) => {
      if (!node.shown.length) return false;
      visible.push(node);
      return this.isOpen(node);
    });
    return visible;
  }

  // Drawing.

  render() {
    this.filtered = this.pattern !== null || this.onlyMismatches;
    const shown = this.leaves.map((_, index) => this.shows(index));
    inOrder(this.top, (node) => { node.shown = node.leaves.filter((index) => shown[index]); });
    this.visible = this.visibleNodes();
    if (!this.visible.includes(this.active)) this.active = this.nearestVisible(this.active);
    const hadFocus = this.list.contains(document.activeElement);
    this.rows = new Map(this.visible.map((node) => [node, this.row(node)]));
    this.list.replaceChildren(...this.rows.values());
    if (!this.visible.length) this.list.textContent = this.whyEmpty();
    this.update();
    if (hadFocus && this.active) this.focus(this.active);
  }

  whyEmpty() {
    const fits = this.leaves.every((leaf) => leaf.loadable || leaf.status === "bookkeeping");
    return this.onlyMismatches && fits ? "Everything fits." : "No key is left: change the filter.";
  }

  nearestVisible(node) {
    let up = node;
    while (up && !this.visible.includes(up)) up = up.parent;
    return up ?? this.visible[0];
  }

  row(node) {
    const leaf = node.leaf === null ? null : this.leaves[node.leaf];
    const siblings = (node.parent ? node.parent.children : this.top).filter((n) => n.shown.length);
    const row = element("div", {
      role: "treeitem", class: "rtnb-row", "aria-label": node.label, tabindex: "-1",
      "aria-level": node.level, "aria-setsize": siblings.length,
      "aria-posinset": siblings.indexOf(node) + 1, style: `--level:${node.level - 1}`,
      ...NO_SHORTCUTS,
    });
    row.node = node;
    if (!leaf) row.setAttribute("aria-expanded", this.isOpen(node));
    row.append(
      element("span", { class: "rtnb-twisty", "aria-hidden": "true" },
              leaf ? "" : this.isOpen(node) ? "\u25be" : "\u25b8"),
      element("span", { class: "rtnb-box", "aria-hidden": "true" }),
      element("span", { class: "rtnb-name" }, node.name),
    );
    if (leaf) this.describeLeaf(row, leaf);
    else row.append(element("span", { class: "rtnb-count" }));
    return row;
  }

  describeLeaf(row, leaf) {
    const color = this.model.get("colors")[leaf.status];
    const same = leaf.model_shape === leaf.file_shape;
    const shapes = same ? leaf.model_shape : `file ${leaf.file_shape}, model ${leaf.model_shape}`;
    const badge = element("span", { class: "rtnb-badge" }, leaf.status);
    badge.style.backgroundColor = color;
    row.append(badge, element("span", { class: "rtnb-shape" }, shapes));
    if (leaf.note) row.append(element("span", { class: "rtnb-note" }, leaf.note));
    if (leaf.file_key) row.append(this.valuesButton(leaf));
    row.title = leaf.file_key ? `in the file: ${leaf.file_key}` : "not in the file";
    row.setAttribute("aria-description", `${leaf.status}, ${shapes}. ${leaf.note}`);
    if (!leaf.loadable) row.setAttribute("aria-disabled", "true");
  }

  // Not in the order of tabs, where 400 of them would stand in the way: the key is "i".
  valuesButton(leaf) {
    const made = element("button", { type: "button", class: "rtnb-look", tabindex: "-1",
                                     title: "Range, mean and histogram of the values (key: i)" }, "values");
    made.addEventListener("click", (event) => { event.stopPropagation(); this.lookAt(leaf); });
    return made;
  }

  lookAt(leaf) {
    if (leaf?.file_key) this.model.send({ do: "values", index: this.leaves.indexOf(leaf) });
  }

  update() {
    for (const [node, row] of this.rows) {
      const able = node.shown.filter((index) => this.leaves[index].loadable);
      const ticked = able.filter((index) => this.picked.has(index)).length;
      // What does not fit is not loaded either, so a branch with it is never ticked in full.
      const state = ticked === 0 ? "false" : ticked === node.shown.length ? "true" : "mixed";
      row.setAttribute("aria-checked", state);
      if (!able.length) row.setAttribute("aria-disabled", "true");
      row.tabIndex = node === this.active ? 0 : -1;
      if (node.leaf === null) {
        const all = node.leaves.filter((index) => this.picked.has(index)).length;
        row.lastChild.textContent = this.branchCount(node, all);
      }
    }
    this.count();
  }

  branchCount(node, ticked) {
    const unfit = node.leaves.filter((index) => !this.leaves[index].loadable).length;
    const cannot = unfit ? `, ${unfit} do not fit` : "";
    const hidden = this.filtered ? `, ${node.shown.length} shown` : "";
    return `${ticked} of ${node.leaves.length} picked${cannot}${hidden}`;
  }

  count() {
    let values = 0, share = 0, total = 0;
    this.leaves.forEach((leaf, index) => {
      total += leaf.in_backbone;
      if (this.picked.has(index)) { values += leaf.elements; share += leaf.in_backbone; }
    });
    const percent = total ? (100 * share / total).toFixed(1) : "0.0";
    this.counts.textContent =
      `${this.picked.size} of ${this.leaves.length} tensors picked, ` +
      `${values.toLocaleString("en")} values, ${percent} % of the backbone` +
      (this.unanswered ? " (the kernel takes them over ...)" : "");
    this.counts.setAttribute("aria-busy", this.unanswered > 0);
  }

  showVerdict() {
    const { word, color, text, findings } = this.model.get("judged");
    if (!word) return;
    const badge = element("span", { class: "rtnb-badge" }, word);
    badge.style.backgroundColor = color;
    const lines = (wanted) => findings.filter(wanted).map(([level, ground, words]) => {
      const name = element("span", { class: "rtnb-badge" }, level);
      name.style.backgroundColor = ground;
      return element("div", { class: "rtnb-finding" }, name, ` ${words}`);
    });
    const failures = lines(([level]) => level === "failure");
    const rest = lines(([level]) => level !== "failure");
    this.verdict.replaceChildren(badge, ` ${text}`, ...failures);
    if (rest.length) {
      this.verdict.append(element("details", {}, element("summary", {}, "Warnings and notes"),
                                  ...rest));
    }
    this.anyway.hidden = word !== "failed" || !this.picked.size;
  }

  showReport() {
    this.showVerdict();
    this.undo.disabled = !this.model.get("can_undo");
    this.official.textContent = this.model.get("official");
    this.warnings.replaceChildren(...this.model.get("warnings").map((text) =>
      element("div", { class: "rtnb-warning" }, element("b", {}, "warning"), ` ${text}`)));
    this.code.textContent = this.model.get("code");
  }

  showMessage() {
    if (this.write.disabled) return;  // what it says of the writing comes with the answer
    this.message.textContent = this.model.get("message");
    this.message.className = this.model.get("failed") ? "rtnb-failed" : "rtnb-done";
    const caution = this.model.get("caution");
    this.caution.replaceChildren(...(caution ? [element("b", {}, "warning"), ` ${caution}`] : []));
    this.caution.className = caution ? "rtnb-warning" : "";
  }

  onAnswer(content) {
    if (content.do !== "answer") return;
    if (content.to === "pick") {
      this.unanswered = Math.max(0, this.unanswered - 1);
      this.takePicked();
      return;
    }
    this.write.disabled = false;
    this.mend.disabled = false;
    this.showMessage();
    this.showInput();
  }

  // Picking.

  // As a message, which leaves at once: what is saved as a state waits until the kernel has taken
  // the one before. A cell that runs before the answer may still see the earlier ticks.
  send() {
    this.unanswered += 1;
    this.update();
    this.model.send({ do: "pick", picked: [...this.picked].sort((a, b) => a - b) });
  }

  toggle(node) {
    const able = node.shown.filter((index) => this.leaves[index].loadable);
    if (!able.length) return;
    const clear = able.every((index) => this.picked.has(index));
    for (const index of able) {
      if (clear) this.picked.delete(index);
      else this.picked.add(index);
    }
    this.send();
  }

  setShown(wanted) {
    this.leaves.forEach((leaf, index) => {
      if (!leaf.loadable || !this.shows(index)) return;
      if (wanted(leaf, this.picked.has(index))) this.picked.add(index);
      else this.picked.delete(index);
    });
    this.send();
  }

  expand(node, open) {
    if (node.leaf !== null || this.filtered) return;
    node.expanded = open;
    this.render();
  }

  expandAll(open) {
    inOrder(this.top, (node) => { node.expanded = open && node.leaf === null; });
    this.render();
  }

  takePicked() {
    // Ticks of a moment ago are not taken: the last answer brings the newest.
    if (!this.unanswered) this.picked = new Set(this.model.get("picked"));
    this.update();
  }

  // Mouse and keyboard, as the tree pattern of WAI-ARIA has it.

  onClick(event) {
    const row = event.target.closest(".rtnb-row");
    if (!row) return;
    this.focus(row.node);
    if (row.node.leaf === null && event.target.matches(".rtnb-twisty, .rtnb-name")) {
      this.expand(row.node, !row.node.expanded);
    } else {
      this.toggle(row.node);
    }
  }

  onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || !this.active) return;
    const at = this.visible.indexOf(this.active);
    const node = this.active;
    const actions = {
      ArrowDown: () => this.focus(this.visible[at + 1]),
      ArrowUp: () => this.focus(this.visible[at - 1]),
      Home: () => this.focus(this.visible[0]),
      End: () => this.focus(this.visible[this.visible.length - 1]),
      ArrowRight: () => this.isOpen(node) ? this.focus(this.visibleChild(node))
                                          : this.expand(node, true),
      ArrowLeft: () => node.expanded && !this.filtered ? this.expand(node, false)
                                                       : this.focus(node.parent),
      " ": () => this.toggle(node),
      Enter: () => node.leaf === null ? this.expand(node, !node.expanded) : this.toggle(node),
      "*": () => this.expandSiblings(node),
      "/": () => this.filter.focus(),
      i: () => this.lookAt(this.leaves[node.leaf]),
    };
    const action = actions[event.key] ??
      (event.key.length === 1 ? () => this.typeAhead(event.key, event.timeStamp) : null);
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }

  visibleChild(node) {
    return node.children.find((child) => child.shown.length);
  }

  expandSiblings(node) {
    for (const sibling of node.parent ? node.parent.children : this.top) {
      sibling.expanded = sibling.leaf === null;
    }
    this.render();
  }

  // Letters typed within half a second of each other lead to the next row that begins with them.
  typeAhead(letter, time) {
    this.typed.text = time - this.typed.at < 500 ? this.typed.text + letter : letter;
    this.typed.at = time;
    const at = this.visible.indexOf(this.active);
    const start = this.typed.text.length === 1 ? at + 1 : at;
    const order = [...this.visible.slice(start), ...this.visible.slice(0, start)];
    this.focus(order.find((node) => node.name.startsWith(this.typed.text)));
  }

  focus(node) {
    if (!node) return;
    const previous = this.rows.get(this.active);
    if (previous) previous.tabIndex = -1;
    this.active = node;
    const row = this.rows.get(node);
    row.tabIndex = 0;
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }
}

function render({ model, el }) {
  const tree = new Tree(model, el);
  tree.showReport();
  tree.showMessage();
  tree.showInput();
  const listeners = [
    ["change:picked", () => tree.takePicked()],
    ["change:official change:warnings change:code change:judged change:can_undo",
     () => tree.showReport()],
    ["change:message change:failed change:caution", () => tree.showMessage()],
    ["change:looked change:folded", () => tree.showInput()],
    ["change:values", () => { tree.values.innerHTML = model.get("values"); }],  // escaped by Python
    ["msg:custom", (content) => tree.onAnswer(content)],
    ["change:path", () => { tree.path.value = model.get("path"); }],
  ];
  for (const [events, listener] of listeners) model.on(events, listener);
  return () => {
    for (const [events, listener] of listeners) model.off(events, listener);
  };
}

export default { render };
