const ampoule = require("ampoule");
const { everything } = require("./everything.cjs");

// Node.js would end with 0, too, if this waited for ever.
process.exitCode = 1;
everything(ampoule, process.argv[2]).then(() => {
  process.exitCode = 0;
});
