/**
 * The first hour of a newcomer, with all that it has under every version of Node.js, and a guest that is
 * built from nothing. Three minutes on two processors.
 */
import { checkPackages } from "../package.js";

const { passed, failed } = checkPackages({ everything: true });
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
