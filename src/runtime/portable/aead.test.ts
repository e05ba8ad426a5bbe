import { aeadGatherContract } from "../aead-gather.contract.js";
import { aeadContract } from "../aead.contract.js";
import { newPortableAead } from "./aead.js";

aeadContract("node:crypto", newPortableAead, newPortableAead);
aeadGatherContract("node:crypto", newPortableAead);
