/**
 * The import arrows of the house: which room may import which. A row names everything that a room may reach; a room may
 * always import itself. `npm run lint` checks every source file against this table, types included.
 *
 *   cli > api > broker, agent, runtime > webtransport > h3, qpack, socket > port/transport
 *   runtime > endpoint > conn > inqueue, outqueue
 *         > pnspace, connid, crypto, stream, path, cong, timer      (these seven never import each other)
 *         > frame, packet > proto, port > base                      (observe and sim sit beside frame)
 */

const GROUND = ["proto", "port", "base"];
/** What belongs to the wire, and the events that every room may count. */
const WIRE = ["frame", "packet", "observe", ...GROUND];
/** Parts of a connection: a queue or the connection brings them together. */
export const SIBLINGS = ["pnspace", "connid", "crypto", "stream", "path", "cong", "timer"];
const QUEUES = ["inqueue", "outqueue"];
const ENGINE_CORE = ["endpoint", "conn", ...QUEUES, ...SIBLINGS, ...WIRE];
/** Façades stand on the transport port, never on the engine and never on each other. */
const ON_TRANSPORT = ["observe", ...GROUND];

export const ARROWS = {
  base: [],
  port: ["base"],
  proto: ["port", "base"],
  observe: GROUND,
  sim: ["observe", ...GROUND],
  frame: ["observe", ...GROUND],
  packet: ["observe", ...GROUND],
  ...Object.fromEntries(SIBLINGS.map((room) => [room, WIRE])),
  inqueue: [...SIBLINGS, ...WIRE],
  outqueue: [...SIBLINGS, ...WIRE],
  conn: [...QUEUES, ...SIBLINGS, ...WIRE],
  endpoint: ["conn", ...QUEUES, ...SIBLINGS, ...WIRE],
  socket: ON_TRANSPORT,
  qpack: ON_TRANSPORT,
  h3: ["qpack", ...ON_TRANSPORT],
  webtransport: ["h3", "qpack", ...ON_TRANSPORT],
  runtime: ENGINE_CORE,
  agent: ["runtime", "socket", ...ENGINE_CORE],
  broker: ["runtime", "socket", ...ENGINE_CORE],
  api: ["broker", "agent", "runtime", "webtransport", "h3", "qpack", "socket", ...ON_TRANSPORT],
  cli: ["api"],
};

/** Subfolders of `api` that stand beside each other on the transport port. */
const API_SIBLINGS = ["quic", "net", "socket", "offload"];

/** What one subfolder of `api` may import beyond its room: the offload takes short headers apart itself. */
const API_EXTRA = { offload: ["packet"] };

/** Rooms that know Node; all others are the engine: no Node API, clock, timer or randomness. */
export const NODE_ROOMS = ["runtime", "broker", "agent", "api", "cli"];

/** `src/conn/close.ts` gives `conn`; a file that is not in a room gives "". */
export function roomOf(path) {
  return /^src\/([^/]+)\//.exec(path)?.[1] ?? "";
}

export function isEngineFile(path) {
  const room = roomOf(path);
  return room !== "" && !NODE_ROOMS.includes(room);
}

/**
 * Why `path` may not import `specifier`, or "" when it may. `path` is relative to the repository, with forward slashes.
 */
export function arrowError(path, specifier) {
  const room = roomOf(path);
  const allowed = ARROWS[room];
  if (allowed === undefined) return `the room "${room}" has no row in tools/arrows.mjs`;
  if (!specifier.startsWith(".")) return packageError(path, specifier);
  if (!specifier.endsWith(".js")) return `import of "${specifier}" must end in .js`;
  const target = resolveRelative(path, specifier);
  if (/\.(test|contract)\.js$/.test(target)) return `a file that ships imports a test: ${specifier}`;
  const targetRoom = roomOf(target);
  if (targetRoom === "") return `import of "${specifier}" leaves the rooms of src`;
  if (targetRoom === room) return room === "api" ? apiError(path, target) : "";
  if (allowed.includes(targetRoom)) return "";
  if (room === "api" && API_EXTRA[path.split("/")[2]]?.includes(targetRoom)) return "";
  return `"${room}" must not import "${targetRoom}" (${specifier})`;
}

function packageError(path, specifier) {
  if (isEngineFile(path)) return `the engine imports no Node API and no package: "${specifier}"`;
  if (specifier.startsWith("node:")) return "";
  return `the library has no runtime dependency: "${specifier}"`;
}

function apiError(path, target) {
  const [from, to] = [path, target].map((file) => file.split("/")[2]);
  if (from === to || !API_SIBLINGS.includes(from) || !API_SIBLINGS.includes(to)) return "";
  return `"api/${from}" must not import "api/${to}": both stand on port/transport`;
}

function resolveRelative(path, specifier) {
  const parts = path.split("/").slice(0, -1);
  for (const step of specifier.split("/")) {
    if (step === "..") parts.pop();
    else if (step !== ".") parts.push(step);
  }
  return parts.join("/");
}
