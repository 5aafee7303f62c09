// Leaflet, with the scene's pixels as its plane: column to the right, row downwards.
function start(data, tell) {
  const [width, height] = data.size;
  const all = [[-height, 0], [0, width]];
  const map = L.map("map", { crs: L.CRS.Simple, attributionControl: false, minZoom: -12, maxZoom: 6, zoomSnap: 0.25 });
  const fit = () => map.fitBounds(all, { padding: [12, 12], animate: false });
  map.on("mousemove", event => tell(event.latlng.lng, -event.latlng.lat));
  const near = () => byId("map").classList.toggle("near", 2 ** map.getZoom() * data.step > 2);
  map.on("zoomend", near);
  const keys = L.control({ position: "topleft" });
  keys.onAdd = () => {
    const bar = L.DomUtil.create("div", "leaflet-bar");
    const key = make("a", bar, { id: "fit", href: "#", title: "Show all", textContent: "fit", role: "button" });
    L.DomEvent.on(key, "click", event => { L.DomEvent.stop(event); fit(); });
    return bar;
  };
  keys.addTo(map);
  fit();
  return { fit, image: layer => L.imageOverlay(layer.src, all, { alt: layer.name }).addTo(map).getElement() };
}
