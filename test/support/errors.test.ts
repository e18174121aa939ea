import { expect, test } from "vitest";
import {
  CapacityError,
  DataError,
  DeviceError,
  GhostbatchError,
  messageOf,
  ShaderError,
  ShapeError,
  UsageError,
} from "../../src/support/errors.ts";

test("each error has its own name and the documented exit code", () => {
  const codes = [ShapeError, ShaderError, DeviceError, CapacityError, DataError, UsageError].map((Type) => {
    const error = new Type("what", { cause: "why" });
    expect(error).toBeInstanceOf(GhostbatchError);
    expect(error.cause).toBe("why");
    return [error.name, error.exitCode];
  });
  expect(Object.fromEntries(codes)).toEqual({
    ShapeError: 1,
    ShaderError: 1,
    DeviceError: 3,
    CapacityError: 2,
    DataError: 2,
    UsageError: 2,
  });
});

test("messageOf gives one line of anything thrown", () => {
  expect(messageOf(new Error("first\n  second"))).toBe("first second");
  expect(messageOf("text")).toBe("text");
  expect(messageOf(undefined)).toBe("undefined");
});
