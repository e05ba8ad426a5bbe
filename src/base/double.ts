/**
 * Initial value of a field that grows beyond 31 bits: a byte count, an offset, a time. The constructor sets it to what it
 * really starts with. V8 gives a field that first held an integer another representation when it outgrows that, and
 * throws away all code that was compiled for the first one: in the midst of the transfer, 2 GiB after its start.
 */
export const DOUBLE = NaN;
