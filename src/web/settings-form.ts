/** The form of the race's settings, and beside it what they determine: the figure, the commands, the address. */
import { COLUMNS, columnTitle } from "../paper/columns.ts";
import { equalCommand } from "../run/equal-command.ts";
import { byId, element } from "./element.ts";
import { ghostFigure } from "./ghost-figure.ts";
import { METHOD_COLORS, METHOD_NAMES } from "./method-look.ts";
import {
  BATCH_SIZES,
  GHOST_SIZES,
  hashOf,
  REGIMES,
  RULES,
  raceSpec,
  type Settings,
  settingsOf,
  WIDTHS,
} from "./settings.ts";

const RULE_TEXTS = { none: "as SB", sqrt: "times √(B / B_S), the paper's", linear: "times B / B_S" };
const REGIME_TEXTS = {
  adapted: "epochs times B / B_S, the paper's",
  ceil: "epochs times ⌈B / B_S⌉",
  "iteration-matched": "exactly the steps of SB",
};

/** Fills the lists of the form; calls `onChange` with the settings of the address when a visitor has changed something. */
export function setUpForm(onChange: (settings: Settings) => void): void {
  const form = byId("settings", HTMLFormElement);
  const numbers = (values: readonly number[]) => values.map((value) => [`${value}`, `${value}`] as const);
  const lists: Readonly<Record<string, readonly (readonly [value: string, text: string])[]>> = {
    batch: numbers(BATCH_SIZES),
    ghost: numbers(GHOST_SIZES),
    width: numbers(WIDTHS),
    rule: RULES.map((rule) => [rule, RULE_TEXTS[rule]]),
    regime: REGIMES.map((regime) => [regime, REGIME_TEXTS[regime]]),
  };
  for (const [name, options] of Object.entries(lists)) {
    const list = form.elements.namedItem(name) as HTMLSelectElement;
    list.append(...options.map(([value, text]) => element("option", { value }, text)));
  }
  const methods = byId("methods", HTMLFieldSetElement);
  for (const column of COLUMNS) {
    const box = element("input", { type: "checkbox", name: "methods", value: column });
    const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.borderColor = `var(${METHOD_COLORS[column]})`;
    methods.append(element("label", { title: METHOD_NAMES[column] }, box, swatch, columnTitle(column)));
  }
  const read = () => {
    const { tab } = settingsOf(location.hash);
    const axis = document.querySelector<HTMLInputElement>('input[name="axis"]:checked')?.value ?? "steps";
    const given = new FormData(form);
    const chosen = given.getAll("methods");
    given.delete("methods");
    const entries = [...given, ["tab", tab], ["axis", axis], ["methods", chosen.join(",")]];
    onChange(settingsOf(entries.map(([key, value]) => `${key}=${value}`).join("&")));
  };
  form.addEventListener("change", read);
  byId("axis", HTMLFieldSetElement).addEventListener("change", read);
  form.addEventListener("submit", (event) => event.preventDefault());
}

/** Shows settings in the form, the figure, the commands and the address. */
export function showSettings(settings: Settings): void {
  const form = byId("settings", HTMLFormElement);
  for (const name of ["batch", "ghost", "rule", "regime", "width", "seed", "steps"] as const)
    (form.elements.namedItem(name) as HTMLSelectElement | HTMLInputElement).value = `${settings[name]}`;
  for (const option of (form.elements.namedItem("ghost") as HTMLSelectElement).options)
    option.disabled = Number(option.value) > settings.batch;
  for (const box of document.querySelectorAll<HTMLInputElement>('input[name="methods"]'))
    box.checked = settings.methods.some((column) => column === box.value);
  for (const radio of document.querySelectorAll<HTMLInputElement>('input[name="axis"]'))
    radio.checked = radio.value === settings.axis;

  const { svg, caption } = ghostFigure(settings);
  const figure = byId("ghost-figure", HTMLElement);
  figure.innerHTML = svg;
  figure.setAttribute("aria-label", caption);
  byId("ghost-caption", HTMLElement).textContent = caption;
  const commands = settings.methods.map((column) => equalCommand(raceSpec(settings, column)));
  byId("commands", HTMLElement).textContent = commands.join("\n");

  const hash = hashOf(settings);
  history.replaceState(null, "", hash === "" ? location.pathname + location.search : `#${hash}`);
}

/** Settings cannot be changed while a race runs. */
export function lockForm(isLocked: boolean): void {
  const form = byId("settings", HTMLFormElement);
  for (const field of form.elements) {
    if (field instanceof HTMLInputElement || field instanceof HTMLSelectElement) field.disabled = isLocked;
  }
}
