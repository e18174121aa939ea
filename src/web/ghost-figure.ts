/** How ghosts cut a batch: a bar of the batch, cut where one ghost ends and the next begins. */
import type { Settings } from "./settings.ts";

const WIDTH = 1000;
const HEIGHT = 60;
/** More cuts than these cannot be told apart. */
const MOST_DRAWN = 128;

/** The figure as SVG, and the sentence below it. */
export function ghostFigure({ batch, ghost }: Settings): { svg: string; caption: string } {
  const ghosts = batch / ghost;
  const drawn = Math.min(ghosts, MOST_DRAWN);
  const side = WIDTH / drawn;
  const gap = Math.min(3, side / 4);
  const bars = Array.from({ length: drawn }, (_, i) => {
    const color = i % 2 === 0 ? "var(--gbn)" : "var(--ra)";
    return `<rect x="${i * side}" y="8" width="${side - gap}" height="${HEIGHT - 16}" rx="${gap}" fill="${color}"/>`;
  });
  const more = drawn < ghosts ? ` The figure shows the first ${drawn}.` : "";
  const caption =
    ghosts === 1
      ? `A batch of ${batch} images is one ghost: plain batch norm, with mean and variance over all of them.`
      : `A batch of ${batch} images is cut into ${ghosts} ghosts of ${ghost}. Each is normalized with its own mean and variance; the gradient is of the whole batch.${more}`;
  const svg = `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" aria-hidden="true">${bars.join("")}</svg>`;
  return { svg, caption };
}
