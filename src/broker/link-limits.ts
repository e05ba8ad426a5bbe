/** Bounds of the Unix socket between a program and the host, the same on both sides. */

import { MAX_BROKER_MESSAGE_BYTES, MAX_BROKER_QUEUED_BYTES } from "../proto/limits.js";

export const SOCKET_LIMITS = { maxMessageBytes: MAX_BROKER_MESSAGE_BYTES, maxQueuedBytes: MAX_BROKER_QUEUED_BYTES };
