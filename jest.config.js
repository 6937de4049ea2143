/** Tests import TypeScript sources; they go through the package's public API. */
export default {
  testEnvironment: "node",
  testMatch: ["<rootDir>/__tests__/**/*.test.ts"],
  extensionsToTreatAsEsm: [".ts"],
  moduleNameMapper: { "^(\\.{1,2}/.*)\\.js$": "$1" },
  transform: {
    "^.+\\.ts$": [
      "@swc/jest",
      {
        jsc: { parser: { syntax: "typescript" }, target: "es2022" },
        module: { type: "es6" },
        sourceMaps: "inline",
      },
    ],
  },
  reporters: ["default", "<rootDir>/scripts/jest-reporter.js"],
  // Guests wait for the virtual machine's host; a slow machine is no failure.
  testTimeout: 600_000,
  // Two test files at once would disturb each other's counts of threads and file descriptors.
  maxWorkers: 1,
};
