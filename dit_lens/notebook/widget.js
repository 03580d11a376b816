/* The page of a report in a cell of a notebook. It stands behind the page's own module, which has `mount`. Blobs come as
   views of one buffer; what `render` returns takes the view away again. */

/* JupyterLab says which theme it has; elsewhere the system decides. */
function followTheme(stage) {
  const light = document.body.dataset.jpThemeLight;
  if (light) stage.dataset.theme = light === "true" ? "light" : "dark";
}

export default {
  async render({ model, el }) {
    const blobs = model.get("blobs").map((view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
    const stage = document.createElement("div");
    stage.tabIndex = -1;
    stage.dataset.lmSuppressShortcuts = "true"; // JupyterLab would move to another cell with the arrows
    followTheme(stage);
    el.append(stage);
    const { remove } = await mount(stage, model.get("payload"), blobs);
    return () => {
      remove();
      stage.remove();
    };
  },
};
