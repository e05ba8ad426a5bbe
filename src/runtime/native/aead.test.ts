import { aeadGatherContract } from "../aead-gather.contract.js";
import { aeadContract } from "../aead.contract.js";
import { newPortableAead } from "../portable/aead.js";
import { newNativeAead } from "./aead.js";

aeadContract("openssl-evp", newNativeAead, newPortableAead);
aeadGatherContract("openssl-evp", newNativeAead);
