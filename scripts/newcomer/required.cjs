const ampoule = require("ampoule");
const { everything } = require("./everything.cjs");

everything(ampoule, process.argv[2]);
