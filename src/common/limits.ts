/** Limits that a request is checked against before raft sees it. Every one has a name, and errors carry the name. */
export const limits = {
  /** User key, before the API v2 prefix and encoding. */
  keyBytesMax: 8 << 10,
  /** One raft entry: all operations of one request, encoded. */
  entryBytesMax: 8 << 20,
  /** Keys in one batch request. */
  batchKeysMax: 10_240,
  /** Rows one scan answers at most; a client pages beyond it. */
  scanRowsMax: 10_240,
  /** Bytes of rows one answer holds at most; the answer says where to resume. */
  responseBytesMax: 4 << 20,
  /** One frame on the wire, header included. */
  frameBytesMax: 16 << 20,
} as const

export type LimitName = keyof typeof limits
