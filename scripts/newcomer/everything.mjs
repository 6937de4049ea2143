import * as ampoule from "ampoule";
import { everything } from "./everything.cjs";

await everything(ampoule, process.argv[2]);
