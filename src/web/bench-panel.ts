/** The bench tab: the project's kernels on this GPU, and a visitor's own kernel in place of one of them. */
import type { KernelRow } from "../bench/kernels.ts";
import { milliseconds, summaryText } from "../bench/sample.ts";
import type { UserKernelReport } from "../bench/user-kernel.ts";
import type { UserKernelRow } from "../bench/user-kernel-timed.ts";
import type { AdapterFacts } from "../gpu/adapter.ts";
import type { Roofline } from "../gpu/roofline.ts";
import type { FromBench } from "./bench-messages.ts";
import { BenchSession } from "./bench-session.ts";
import { byId, element } from "./element.ts";

/** A software adapter compiles one kernel in seconds, and a float64 reference takes as long. */
const LIMIT_MS = 60_000;

/** Contents of the JSON file. */
interface BenchResults {
  adapter: AdapterFacts | null;
  roofline: Roofline | null;
  kernels: KernelRow[];
  wrong: { pass: string; case: string; message: string }[];
  ownKernel: UserKernelReport | null;
}

export class BenchPanel {
  #session: BenchSession | null = null;
  /** Whether the current or last check is that of the visitor's own kernel. */
  #isOwnKernel = false;
  readonly #results: BenchResults = {
    adapter: null,
    roofline: null,
    kernels: [],
    wrong: [],
    ownKernel: null,
  };
  readonly #onMissing: (message: string) => void;

  /** @param onMissing receives the reason if there is no GPU */
  constructor(onMissing: (message: string) => void) {
    this.#onMissing = onMissing;
    this.#on("bench-start", () => this.#begin({ kind: "kernels", op: this.#chosen("bench-op") }));
    this.#on("bench-stop", () => this.#stop("Stopped."));
    this.#on("own-check", () =>
      this.#begin({
        kind: "own kernel",
        as: this.#chosen("own-as"),
        code: byId("own-code", HTMLTextAreaElement).value,
      }),
    );
    this.#on("own-source", () => this.#open().send({ kind: "source", as: this.#chosen("own-as") }));
  }

  /** Loads the worker when the tab is first shown. */
  show(): void {
    this.#open();
  }

  #on(id: string, act: () => void): void {
    byId(id, HTMLButtonElement).addEventListener("click", act);
  }

  #chosen(id: string): string {
    return byId(id, HTMLSelectElement).value;
  }

  #open(): BenchSession {
    this.#session ??= new BenchSession(LIMIT_MS, (message) => this.#take(message));
    return this.#session;
  }

  #begin(message: Parameters<BenchSession["send"]>[0]): void {
    this.#isOwnKernel = message.kind === "own kernel";
    if (this.#isOwnKernel) byId("own-report", HTMLElement).replaceChildren();
    this.#setBusy(true);
    this.#open().send(message);
  }

  #stop(text: string): void {
    this.#session?.close();
    this.#session = null;
    this.#setBusy(false);
    this.#say(text);
  }

  #setBusy(isBusy: boolean): void {
    for (const id of ["bench-start", "own-check"]) byId(id, HTMLButtonElement).disabled = isBusy;
    byId("bench-stop", HTMLButtonElement).disabled = !isBusy;
    document.body.dataset["bench"] = isBusy ? "busy" : "idle";
  }

  #take(message: FromBench): void {
    const results = this.#results;
    switch (message.kind) {
      case "lists":
        fill(byId("bench-op", HTMLSelectElement), message.ops);
        fill(byId("own-as", HTMLSelectElement), message.kernels);
        this.#setBusy(false);
        break;
      case "source":
        byId("own-code", HTMLTextAreaElement).value = message.code;
        break;
      case "adapter":
        results.adapter = message.adapter;
        break;
      case "roofline":
        results.roofline = message.roofline;
        byId("bench-adapter", HTMLElement).textContent = adapterText(results.adapter!, message.roofline);
        break;
      case "phase":
        this.#say(`${message.phase} …`);
        break;
      case "rows":
        results.kernels.push(...message.rows);
        byId("bench-rows", HTMLTableSectionElement).append(
          ...message.rows.map((row) => rowOf({ ...row, kernel: nameOf(row) })),
        );
        break;
      case "wrong":
        results.wrong.push({ pass: message.pass, case: message.case, message: message.message });
        this.#say(`${message.pass} is wrong at ${message.case}: ${message.message}`);
        break;
      case "report":
        results.ownKernel = message.report;
        showReport(message.report);
        break;
      case "done":
        this.#setBusy(false);
        this.#say("Done.");
        break;
      case "missing":
        this.#onMissing(message.message);
        this.#stop(message.message);
        break;
      case "error":
        // The device may be lost: the next request gets another one.
        this.#stop(message.message);
        if (this.#isOwnKernel)
          byId("own-report", HTMLElement).replaceChildren(element("p", {}, message.message));
    }
    this.#offerDownload();
  }

  #say(text: string): void {
    byId("bench-status", HTMLElement).textContent = text;
  }

  #offerDownload(): void {
    const { kernels, ownKernel, adapter } = this.#results;
    if (adapter === null || (kernels.length === 0 && ownKernel === null)) return;
    const link = byId("bench-download", HTMLAnchorElement);
    if (link.href.startsWith("blob:")) URL.revokeObjectURL(link.href);
    const text = JSON.stringify(this.#results, null, 1);
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.hidden = false;
  }
}

function fill(list: HTMLSelectElement, names: readonly string[]): void {
  const before = list.value;
  list.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
  if (names.includes(before)) list.value = before;
}

function adapterText({ name, software }: AdapterFacts, { bytesPerSecond, flopsPerSecond }: Roofline): string {
  const kind = software ? " (software)" : "";
  return `${name}${kind}: a copy moves ${(bytesPerSecond / 1e9).toFixed(1)} GB/s, multiply-adds in registers make ${(flopsPerSecond / 1e9).toFixed(0)} GFLOP/s. The last column is the share of what these allow.`;
}

function nameOf({ kernel, variant }: KernelRow): string {
  return variant === "both" ? kernel : `${kernel} (${variant})`;
}

/** Three digits, whatever the size. */
function rate(value: number): string {
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

function rowOf(row: UserKernelRow): HTMLTableRowElement {
  const numbers = [
    summaryText(row.ms),
    rate(row.gflops),
    rate(row.gigabytesPerSecond),
    `${(100 * row.roofline).toFixed(0)} %`,
  ];
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, row.kernel, element("small", {}, row.case)),
    ...numbers.map((text) => element("td", {}, text)),
  );
}

function showReport({ as, passed, problems, casesChecked, casesWrong, rows, notes }: UserKernelReport): void {
  const right = casesChecked - casesWrong;
  const verdict = passed
    ? `Right as ${as}: ${right} of ${casesChecked} cases agree with float64, nothing is read or written out of bounds.`
    : `Not right as ${as}${casesChecked > 0 ? `: ${right} of ${casesChecked} cases agree with float64` : ""}.`;
  const list = element(
    "ul",
    {},
    ...problems.map(({ kind, message }) => element("li", {}, element("strong", {}, `${kind}: `), message)),
    ...notes.map((note) => element("li", {}, note)),
  );
  const place = byId("own-report", HTMLElement);
  place.replaceChildren(element("p", {}, verdict), list);
  if (rows.length === 0) return;
  const fastest = Math.min(...rows.map(({ ms }) => ms.median));
  const table = element("table", {}, element("tbody", {}, ...rows.map(rowOf)));
  place.append(
    element(
      "p",
      {},
      `Median and quartiles, GFLOP/s, GB/s, share of the roofline; the fastest takes ${milliseconds(fastest)} ms.`,
    ),
    element("section", { class: "scroll", "aria-label": "Cases of the check", tabindex: "0" }, table),
  );
}
