import type { Communicator } from "../train/communicator.ts";
import { broadcastValue } from "./ranks.ts";
import type { RunCheckpoint } from "./run-checkpoint.ts";

/**
 * Gives every rank the checkpoint that rank 0 has read; null if there is none.
 * @param own rank 0's checkpoint; ignored elsewhere
 */
export async function broadcastCheckpoint(
  communicator: Communicator,
  own: RunCheckpoint | null,
): Promise<RunCheckpoint | null> {
  if (communicator.size === 1) return own;
  const told = await broadcastValue(
    communicator,
    own && { path: own.path, content: own.content, names: [...own.tensors.keys()] },
  );
  if (told === null) return null;
  const tensors = new Map<string, Float32Array<ArrayBuffer>>();
  for (const name of told.names) {
    const data = own?.tensors.get(name) as Float32Array<ArrayBuffer> | undefined;
    const bytes = data ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(0);
    tensors.set(name, new Float32Array((await communicator.broadcast(bytes)).slice().buffer));
  }
  return own ?? { path: told.path, content: told.content, tensors };
}
