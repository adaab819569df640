// Applications of many schemas in one process: for each line {"call", …} of
// standard input an answer {"result"} or {"error"}.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { dirname, join } from "node:path";
import ts from "typescript";
import { engine } from "./engine.mjs";

const require = createRequire(import.meta.url);
const { generateClient, getDMMF } = require("@prisma/client-generator-js");
const runtime = dirname(require.resolve("@prisma/client/runtime/client"));
const source = readFileSync(new URL("../src/reference.ts", import.meta.url), "utf8");

// Every client brings the same WebAssembly. It is compiled once.
const Module = WebAssembly.Module;
const compiled = new Map();
WebAssembly.Module = function (bytes) {
  const key = createHash("sha1").update(bytes).digest("hex");
  if (!compiled.has(key)) compiled.set(key, new Module(bytes));
  return compiled.get(key);
};

/** What prisma generate does, without the second that starting it takes. */
async function generate({ dir, schema }) {
  mkdirSync(dir, { recursive: true });
  const schemaPath = join(dir, "schema.prisma");
  const place = { value: dir, fromEnvVar: null };
  await generateClient({
    datamodel: schema, schemaPath, outputDir: dir, runtimeBase: runtime, runtimeSourcePath: runtime,
    generator: {
      name: "client", provider: { value: "prisma-client-js", fromEnvVar: null }, output: place, config: {},
      binaryTargets: [], previewFeatures: [], sourceFilePath: schemaPath, isCustomOutput: true,
    },
    dmmf: await getDMMF({ datamodel: [[schemaPath, schema]] }),
    datasources: [{ name: "db", provider: "postgresql", activeProvider: "postgresql", url: place, schemas: [], sourceFilePath: schemaPath }],
    binaryPaths: {}, copyRuntime: false, engineVersion: "0", clientVersion: "7.10.0", activeProvider: "postgresql", compilerBuild: "fast",
  });
  const compiler = "query_compiler_fast_bg.wasm-base64.js";
  writeFileSync(join(dir, compiler), `module.exports = require(${JSON.stringify(join(runtime, compiler.replace("bg", "bg.postgresql")))})`);
}

/** The example application's queries about an application's own ids, at a time that stands still. */
async function reference(prisma, { user, strategy, now, names }) {
  let text = source
    .replaceAll("'user-id'", user).replaceAll("'strategy-id'", strategy)
    .replaceAll("Date.now()", now).replaceAll("NOW()", `to_timestamp(${now / 1000})`);
  for (const [ours, theirs] of Object.entries(names ?? {})) text = text.replaceAll(ours, theirs);
  const { outputText } = ts.transpileModule(text, { compilerOptions: { target: "ES2022", module: "ESNext" } });
  return (await import("data:text/javascript," + encodeURIComponent(outputText))).reference(prisma);
}

/** Every answer that the example application's queries give. */
async function queries(prisma, params) {
  const { recent, strategyStats, failures, trends, getUserSandboxStats, getStrategyHealthMetrics } = await reference(prisma, params);
  const [user, strategy] = [eval(params.user), eval(params.strategy)];
  const answers = {
    recent: await recent(), strategyStats: await strategyStats(), failures: await failures(), trends: await trends(),
    userStats: await getUserSandboxStats(user), strategyHealth: await getStrategyHealthMetrics(strategy),
  };
  answers.failures.sort((a, b) => (a.id < b.id ? -1 : 1)); // the example application asks for no order
  return answers;
}

/** A user and a strategy are renamed, others deleted. */
async function owners(prisma, { user, strategy, newUser, newStrategy, goneUser, goneStrategy }) {
  const of = (id) => ({ where: { id: eval(id) } });
  await prisma.user.update({ ...of(user), data: { id: eval(newUser) } });
  await prisma.strategy.update({ ...of(strategy), data: { id: eval(newStrategy) } });
  await prisma.user.delete(of(goneUser));
  await prisma.strategy.delete(of(goneStrategy));
}

// How Prisma 7, 6 and 5 word why a call is refused.
const reasons = [
  [/P2002/, "id is taken"], [/P2007|for type uuid/, "no UUID"], [/P2039|ON CONFLICT/, "no unique index"],
  [/Unknown argument `contains`/, "no such argument"], [/column .* does not exist/, "no such column"],
];

/** Calls that depend on the table's keys and types, by what each comes to. */
async function attempts(prisma, { user, strategy, table }) {
  const logs = prisma.sandboxExecutionLog;
  const data = { userId: eval(user), strategyId: eval(strategy), executionType: "VALIDATION", success: true, executionTime: 1 };
  const { id } = await logs.create({ data });
  const tries = {
    "findUnique of an id": () => logs.findUnique({ where: { id } }),
    "findUnique of no UUID": () => logs.findUnique({ where: { id: "no-uuid" } }),
    "findMany, id in a list with no UUID": () => logs.findMany({ where: { id: { in: [id, "no-uuid"] } } }),
    "findMany, id contains": () => logs.findMany({ where: { id: { contains: id.slice(4) } } }),
    "findMany, id above": () => logs.findMany({ where: { id: { gte: id } }, orderBy: { id: "asc" }, take: 1 }),
    "findMany, id as cursor": () => logs.findMany({ cursor: { id }, orderBy: { id: "asc" }, take: 1 }),
    "update by id": () => logs.update({ where: { id }, data: { errorCount: 1 } }),
    "upsert by id": () => logs.upsert({ where: { id }, create: { ...data, id }, update: data }),
    "upsert by id, with a relation": () => logs.upsert({ where: { id }, create: { ...data, id }, update: data, include: { user: true } }),
    "create with an id that is taken": () => logs.create({ data: { ...data, id } }),
    "create with an id that is no UUID": () => logs.create({ data: { ...data, id: "no-uuid" } }),
    "raw SQL by the old names": () => prisma.$queryRawUnsafe(`SELECT "userId" FROM ${table} LIMIT 1`),
    "delete by id": () => logs.delete({ where: { id } }),
    "deleteMany of no UUID": () => logs.deleteMany({ where: { id: "no-uuid" } }),
  };
  const outcomes = {};
  for (const [name, attempt] of Object.entries(tries)) {
    outcomes[name] = await attempt().then(
      (found) => (found?.count ?? (Array.isArray(found) ? found.length : Number(found !== null))) + " found",
      ({ code, message }) => reasons.find(([pattern]) => pattern.test(code) || pattern.test(message))?.[1] ?? message,
    );
  }
  return outcomes;
}

/** Milliseconds that reading a user's newest 50 and creating one take. */
async function work(prisma, { user, strategy, rounds }) {
  const logs = prisma.sandboxExecutionLog;
  const [userId, strategyId] = [eval(user), eval(strategy)];
  const data = { userId, strategyId, executionType: "VALIDATION", success: true, executionTime: 1 };
  const each = async (act) => {
    for (let i = 0; i < rounds / 4; i++) await act(); // compiles the call
    const start = performance.now();
    for (let i = 0; i < rounds; i++) await act();
    return (performance.now() - start) / rounds;
  };
  return {
    read: await each(() => logs.findMany({ where: { userId }, orderBy: { createdAt: "desc" }, take: 50 })),
    create: await each(() => logs.create({ data })),
  };
}

/** Acts by the client in a folder, with the packages of its version. */
async function withClient({ dir, url, options }, act) {
  const require = createRequire(join(dir, "index.js"));
  const { Pool } = require("pg");
  const { PrismaPg } = require("@prisma/adapter-pg");
  const { PrismaClient } = require(dir);
  const pool = new Pool({ connectionString: url, options }); // Prisma 5 takes no less
  const prisma = new PrismaClient({ adapter: new PrismaPg(pool) });
  return act(prisma).finally(() => prisma.$disconnect()).finally(() => pool.end());
}

const engines = new Map();

const calls = {
  generate,
  queries: (params) => withClient(params, (prisma) => queries(prisma, params)),
  attempts: (params) => withClient(params, (prisma) => attempts(prisma, params)),
  work: (params) => withClient(params, (prisma) => work(prisma, params)),
  owners: (params) => withClient(params, (prisma) => owners(prisma, params)),
  engine: async ({ url, method, params }) => {
    if (!engines.has(url)) engines.set(url, await engine(url));
    return engines.get(url)[method](params);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { call, ...params } = JSON.parse(line);
  let answer;
  try {
    answer = { result: (await calls[call](params)) ?? {} };
  } catch (error) {
    answer = { error: String(error?.message ?? error) };
  }
  process.stdout.write(JSON.stringify(answer, (_, value) => (typeof value === "bigint" ? String(value) : value)) + "\n");
}
