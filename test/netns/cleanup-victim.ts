/** Makes namespaces and waits to be ended. */

import { Star } from "./namespaces.js";

const star = new Star(1, 1500);
process.on("message", () => {
  throw new Error("as the test asked");
});
process.send?.([star.hub, ...star.leaves].map(({ name }) => name));
