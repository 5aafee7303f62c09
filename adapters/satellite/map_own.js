// A map of one's own: pictures in a box that is moved and scaled.
function start(data, tell) {
  const map = byId("map"), stack = make("div", map, { id: "stack" });
  const [width, height] = data.size;
  const view = { x: 0, y: 0, scale: 1 };
  let least = 0.01;
  const keys = make("div", document.body, { id: "keys" });
  for (const [id, title, text] of [["in", "Zoom in", "+"], ["out", "Zoom out", "\u2212"], ["fit", "Show all", "fit"]])
    make("button", keys, { id, title, textContent: text });
  stack.style.width = width + "px";
  stack.style.height = height + "px";
  function draw() {
    stack.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
    stack.classList.toggle("near", view.scale * data.step > 2);
  }
  function zoom(factor, x, y) {
    const scale = Math.min(Math.max(view.scale * factor, least), 64);
    view.x = x - (x - view.x) * scale / view.scale;
    view.y = y - (y - view.y) * scale / view.scale;
    view.scale = scale;
    draw();
  }
  function fit() {
    view.scale = Math.min(map.clientWidth / width, map.clientHeight / height) * 0.96 || 1;
    least = Math.min(view.scale / 4, 0.5);
    view.x = (map.clientWidth - width * view.scale) / 2;
    view.y = (map.clientHeight - height * view.scale) / 2;
    draw();
  }
  const middle = factor => zoom(factor, map.clientWidth / 2, map.clientHeight / 2);
  const held = new Map();
  map.addEventListener("pointerdown", event => {
    held.set(event.pointerId, event);
    map.setPointerCapture(event.pointerId);
    map.classList.add("held");
  });
  map.addEventListener("pointermove", event => {
    tell((event.clientX - view.x) / view.scale, (event.clientY - view.y) / view.scale);
    const before = held.get(event.pointerId);
    if (!before) return;
    const other = [...held.values()].find(e => e.pointerId !== event.pointerId);
    held.set(event.pointerId, event);
    if (other) {
      const reach = e => Math.hypot(e.clientX - other.clientX, e.clientY - other.clientY);
      zoom(reach(event) / Math.max(reach(before), 1), (event.clientX + other.clientX) / 2,
        (event.clientY + other.clientY) / 2);
    } else {
      view.x += event.clientX - before.clientX;
      view.y += event.clientY - before.clientY;
      draw();
    }
  });
  for (const name of ["pointerup", "pointercancel"]) map.addEventListener(name, event => {
    held.delete(event.pointerId);
    map.classList.toggle("held", held.size > 0);
  });
  map.addEventListener("wheel", event => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
  }, { passive: false });
  map.addEventListener("keydown", event => {
    const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (moves[event.key]) { view.x += moves[event.key][0]; view.y += moves[event.key][1]; draw(); }
    if (event.key === "+" || event.key === "=") middle(1.5);
    if (event.key === "-") middle(1 / 1.5);
    if (event.key === "0") fit();
  });
  byId("in").onclick = () => middle(1.5);
  byId("out").onclick = () => middle(1 / 1.5);
  byId("fit").onclick = fit;
  addEventListener("resize", fit);
  return { fit, image: layer => make("img", stack, { src: layer.src, alt: layer.name, draggable: false }) };
}
