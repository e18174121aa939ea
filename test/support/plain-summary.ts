// Closes a test run with the plain line `N passed, N failed, N skipped`, after the name and reason of each skipped test.
import type { Reporter, SerializedError, TestCase, TestModule } from "vitest/node";

export default class PlainSummary implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const inState = (state: string) => tests.filter((test) => test.result().state === state);
    const skipped = inState("skipped");
    for (const test of skipped) console.log(`SKIPPED ${nameOf(test)}: ${reasonOf(test)}`);

    // A file that does not load, a hook that throws and a worker that dies are failures without a failing test.
    const suites = modules.flatMap((module) => [module, ...module.children.allSuites()]);
    const broken = suites.filter((suite) => suite.errors().length > 0);
    const failed = inState("failed").length + broken.length + unhandledErrors.length;
    console.log(`${inState("passed").length} passed, ${failed} failed, ${skipped.length} skipped`);
  }
}

function nameOf(test: TestCase): string {
  return `${test.module.relativeModuleId} > ${test.fullName}`;
}

function reasonOf(test: TestCase): string {
  const result = test.result();
  return (result.state === "skipped" && result.note) || "no reason given";
}
