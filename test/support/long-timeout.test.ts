import { afterEach, expect, test, vi } from "vitest";
import { afterMilliseconds } from "../../src/support/long-timeout.ts";

afterEach(() => vi.useRealTimers());

test("waits for longer than one timer can, and not at all once it is cancelled", () => {
  vi.useFakeTimers();
  const hours600 = 600 * 3600 * 1000; // more than one and less than two times 2^31 ms
  const body = vi.fn();
  afterMilliseconds(hours600, body);
  const cancelled = vi.fn();
  const cancel = afterMilliseconds(hours600, cancelled);
  vi.advanceTimersByTime(hours600 - 1);
  expect(body).not.toHaveBeenCalled();
  cancel();
  vi.advanceTimersByTime(1);
  expect([body.mock.calls.length, cancelled.mock.calls.length]).toEqual([1, 0]);
  expect(vi.getTimerCount()).toBe(0);
});
