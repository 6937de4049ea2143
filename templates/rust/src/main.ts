import { createGreeter } from "./greeter.js";

const greeter = await createGreeter();
console.log(await greeter.call.greet("Ada"));
console.log(await greeter.call.count_words("a few words"), "words");
await greeter.close();
