// Text with a button that copies it; without a clipboard the text is selected, to copy by hand.

function select(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = window.getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}

async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    // Pages that are not served over HTTPS have no clipboard; the older way may still work.
    select(element);
    return document.execCommand("copy");
  }
}

function render({ model, el }) {
  const title = document.createElement("div");
  title.className = "rtdetr-copy-title";
  title.textContent = model.get("title");
  const box = document.createElement("div");
  box.className = "rtdetr-copy";
  const text = document.createElement("pre");
  text.textContent = model.get("text");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${model.get("title")}`);
  const note = document.createElement("span");
  note.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    note.textContent = (await copy(text)) ? "Copied" : "Selected: press Ctrl+C";
    setTimeout(() => { note.textContent = ""; }, 4000);
  });
  const side = document.createElement("div");
  side.className = "rtdetr-copy-side";
  side.append(button, note);
  box.append(text, side);
  el.append(title, box);
}

export default { render };
