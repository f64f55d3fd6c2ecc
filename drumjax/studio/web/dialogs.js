/** The help and the kit dialogs. */

/**
 * @param {HTMLDialogElement} dialog
 * @param {import("./store.js").Store} store
 * @param {() => void} onReset start the session over
 */
export function wireHelp(dialog, store, onReset) {
  const letters = dialog.querySelector("#letters");
  letters.checked = store.settings.letters;
  letters.onchange = () => store.set({ letters: letters.checked });
  dialog.querySelector("#reset").onclick = () => {
    onReset();
    dialog.close();
  };
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {object} instrument as /instrument.json says
 * @param {(to: "download" | "library", kit: object) => void} onChoice kit: name, profile, formats
 */
export function wireKitDialog(dialog, instrument, onChoice) {
  const [name, profile] = ["#kit-name", "#kit-profile"].map((id) => dialog.querySelector(id));
  fillProfiles(profile, instrument);
  dialog.addEventListener("close", () => {
    const to = dialog.returnValue;
    dialog.returnValue = ""; // Escape would leave it as it is
    if (to !== "download" && to !== "library") return;
    const formats = [...dialog.querySelectorAll(".checks input:checked")].map((box) => box.value);
    onChoice(to, { name: name.value, profile: profile.value, formats });
  });
}

/**
 * @param {HTMLSelectElement} menu
 * @param {{profiles: Record<string, number[]>, sample_rate: number}} instrument rates in Hz, bits
 */
export function fillProfiles(menu, { profiles, sample_rate }) {
  menu.append(new Option(`as is: ${sample_rate / 1000} kHz`, ""));
  for (const [name, [rate, bits]] of Object.entries(profiles)) {
    menu.append(new Option(`${name}: ${rate / 1000} kHz, ${bits} bit`, name));
  }
}
