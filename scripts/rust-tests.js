/** Reads the counts out of what `cargo nextest run` or `cargo test` prints. */
export function countRustTests(output, status) {
  const counts = { passed: 0, failed: 0 };
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are control characters
  const plain = output.replaceAll(/\u001b\[[\d;]*m/g, "");
  for (const [, passed] of plain.matchAll(/tests? run: (\d+) passed/g)) counts.passed += +passed;
  for (const [, failed] of plain.matchAll(/tests? run: .*?(\d+) failed/g)) counts.failed += +failed;
  // At the start of a line: nextest shows, indented, what a test that failed printed itself.
  for (const [, passed, failed] of plain.matchAll(
    /^test result: .*? (\d+) passed; (\d+) failed/gm,
  )) {
    counts.passed += +passed;
    counts.failed += +failed;
  }
  // A build that failed, or a runner that was ended, counts as one.
  if (status !== 0 && counts.failed === 0) counts.failed = 1;
  return counts;
}
