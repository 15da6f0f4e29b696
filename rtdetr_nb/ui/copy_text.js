// Text with a button that copies it. `clipboard.js` stands before it.

function render({ model, el }) {
  const title = document.createElement("div");
  title.className = "rtdetr-copy-title";
  title.textContent = model.get("title");
  const box = document.createElement("div");
  box.className = "rtdetr-copy";
  const text = document.createElement("pre");
  text.textContent = model.get("text");
  const side = document.createElement("div");
  side.className = "rtdetr-copy-side";
  side.append(...copyButton(text, `Copy ${model.get("title")}`));
  box.append(text, side);
  el.append(title, box);
}

export default { render };
