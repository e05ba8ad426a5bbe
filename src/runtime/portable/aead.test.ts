import { aeadContract } from "../aead.contract.js";
import { newPortableAead } from "./aead.js";

aeadContract("node:crypto", newPortableAead, newPortableAead);
