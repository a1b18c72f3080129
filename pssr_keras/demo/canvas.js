// A board to draw on. Whatever is finished is handed over as a PNG file, in the state `picture`.

const STEP = 10; // pixels that an arrow key moves the pen

export default function ({ data, parentElement, setStateValue }) {
  const find = (selector) => parentElement.querySelector(selector);
  const canvas = find("canvas"), pen = find(".pen"), size = find(".size input"), ink = find(".ink input");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  canvas.setAttribute("aria-label", data.label);
  find(".ink").hidden = !data.colour;
  find(".ink").style.display = data.colour ? "" : "none";

  const clear = () => {
    context.fillStyle = data.paper;
    context.fillRect(0, 0, canvas.width, canvas.height);
  };
  if (canvas.dataset.paper !== data.paper) { // not where the page is only drawn again
    canvas.dataset.paper = data.paper;
    clear();
  }

  const state = (canvas.state ??= { x: 140, y: 140, drawing: false });
  const line = (x, y) => {
    context.strokeStyle = data.colour ? ink.value : data.ink;
    context.lineWidth = size.value;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(state.x, state.y);
    context.lineTo(x, y);
    context.stroke();
    state.x = x;
    state.y = y;
  };
  const handOver = () => setStateValue("picture", canvas.toDataURL("image/png"));
  const showPen = (shown) => {
    const scale = canvas.clientWidth / canvas.width;
    pen.hidden = !shown;
    pen.style.left = `${state.x * scale}px`;
    pen.style.top = `${state.y * scale}px`;
    pen.style.width = pen.style.height = `${size.value * scale}px`;
    pen.classList.toggle("down", state.drawing);
  };
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const scale = canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  };

  canvas.onpointerdown = (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    [state.x, state.y] = place(event);
    state.pointer = event.pointerId;
    showPen(false);
    line(state.x, state.y);
  };
  canvas.onpointermove = (event) => {
    if (state.pointer === event.pointerId) line(...place(event));
  };
  canvas.onpointerup = canvas.onpointercancel = (event) => {
    if (state.pointer !== event.pointerId) return;
    state.pointer = undefined;
    handOver();
  };

  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const lift = () => {
    if (!state.drawing) return;
    state.drawing = false;
    handOver();
  };
  canvas.onkeydown = (event) => {
    if (event.key in moves) {
      const inside = (value) => Math.min(Math.max(value, 0), canvas.width);
      const [x, y] = [0, 1].map((i) => inside([state.x, state.y][i] + STEP * moves[event.key][i]));
      if (state.drawing) line(x, y);
      [state.x, state.y] = [x, y];
    } else if (event.key === " ") {
      if (state.drawing) lift();
      else {
        state.drawing = true;
        line(state.x, state.y);
      }
    } else if (event.key === "Delete" || event.key === "Backspace") {
      erase();
    } else return;
    event.preventDefault();
    showPen(true);
  };
  canvas.onfocus = () => showPen(canvas.matches(":focus-visible"));
  canvas.onblur = () => {
    lift();
    showPen(false);
  };
  const erase = () => {
    clear();
    Object.assign(state, { x: 140, y: 140, drawing: false });
    setStateValue("picture", null);
  };
  find("button").onclick = erase;
}
