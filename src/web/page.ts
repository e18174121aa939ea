/** The page: settings from its address, tabs, the race and the bench. */
import "./theme.css";
import "./style.css";
import { MissingGpuError, requireAdapter } from "../host/browser/missing-gpu.ts";
import { BenchPanel } from "./bench-panel.ts";
import { byId } from "./element.ts";
import { RacePanel } from "./race-panel.ts";
import { type Settings, settingsOf, TABS } from "./settings.ts";
import { setUpForm, showSettings } from "./settings-form.ts";

let settings = settingsOf(location.hash);
setUpForm(take);
const panel = new RacePanel(settings);
const bench = new BenchPanel((message) => panel.showMissing(message));
setUpTabs();
setUpCopying();
take(settings);
void showMissingGpu();
addEventListener("hashchange", () => take(settingsOf(location.hash)));

function take(changed: Settings): void {
  settings = changed;
  showSettings(settings);
  showTab();
  panel.show(settings);
}

function setUpTabs(): void {
  for (const [position, name] of TABS.entries()) {
    const tab = byId(`tab-${name}`, HTMLButtonElement);
    tab.addEventListener("click", () => take({ ...settings, tab: name }));
    tab.addEventListener("keydown", ({ key }) => {
      const move = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (move === undefined) return;
      const next = TABS[(position + move + TABS.length) % TABS.length]!;
      take({ ...settings, tab: next });
      byId(`tab-${next}`, HTMLButtonElement).focus();
    });
  }
}

function showTab(): void {
  for (const name of TABS) {
    const isChosen = name === settings.tab;
    const tab = byId(`tab-${name}`, HTMLButtonElement);
    tab.setAttribute("aria-selected", `${isChosen}`);
    tab.tabIndex = isChosen ? 0 : -1;
    byId(`panel-${name}`, HTMLElement).hidden = !isChosen;
  }
  if (settings.tab === "bench") bench.show();
}

function setUpCopying(): void {
  const texts: Readonly<Record<string, () => string>> = {
    copy: () => byId("commands", HTMLElement).textContent ?? "",
    link: () => location.href,
  };
  for (const [id, text] of Object.entries(texts)) {
    byId(id, HTMLButtonElement).addEventListener("click", async () => {
      // The clipboard needs a secure address.
      const done = await navigator.clipboard?.writeText(text()).then(
        () => true,
        () => false,
      );
      byId("status", HTMLElement).textContent = done ? "Copied." : `Copy it from here: ${text()}`;
    });
  }
}

/** Tells a visitor without a GPU at once, and shows the recorded race. */
async function showMissingGpu(): Promise<void> {
  try {
    await requireAdapter();
  } catch (error) {
    if (!(error instanceof MissingGpuError)) throw error;
    panel.showMissing(error.message);
  }
}
