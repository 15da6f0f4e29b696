// Copying the text of an element; without a clipboard the text is selected, to copy by hand.

function selectText(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = window.getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}

async function copyText(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    // Pages that are not served over HTTPS have no clipboard; the older way may still work.
    selectText(element);
    return document.execCommand("copy");
  }
}

function copyButton(element, label) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", label);
  const note = document.createElement("span");
  note.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    note.textContent = (await copyText(element)) ? "Copied" : "Selected: press Ctrl+C";
    setTimeout(() => { note.textContent = ""; }, 4000);
  });
  return [button, note];
}
