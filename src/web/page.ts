/** The page: settings from its address, and the race. */
import "./style.css";
import { MissingGpuError, requireAdapter } from "../host/browser/missing-gpu.ts";
import { byId } from "./element.ts";
import { RacePanel } from "./race-panel.ts";
import { type Settings, settingsOf } from "./settings.ts";
import { setUpForm, showSettings } from "./settings-form.ts";

let settings = settingsOf(location.hash);
setUpForm(take);
const panel = new RacePanel(settings);
setUpCopying();
take(settings);
void showMissingGpu();
addEventListener("hashchange", () => take(settingsOf(location.hash)));

function take(changed: Settings): void {
  settings = changed;
  showSettings(settings);
  panel.show(settings);
}

function setUpCopying(): void {
  const texts: Readonly<Record<string, () => string>> = {
    copy: () => byId("commands", HTMLElement).textContent ?? "",
    link: () => location.href,
  };
  for (const [id, text] of Object.entries(texts)) {
    byId(id, HTMLButtonElement).addEventListener("click", async () => {
      // Only a secure address has a clipboard.
      const done = await navigator.clipboard?.writeText(text()).then(
        () => true,
        () => false,
      );
      byId("status", HTMLElement).textContent = done ? "Copied." : `Copy it from here: ${text()}`;
    });
  }
}

/** A visitor without a GPU is told at once, and sees the recorded race. */
async function showMissingGpu(): Promise<void> {
  try {
    await requireAdapter();
  } catch (error) {
    if (!(error instanceof MissingGpuError)) throw error;
    panel.showMissing(error.message);
  }
}
