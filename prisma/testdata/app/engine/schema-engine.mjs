#!/usr/bin/env node
// Prisma's schema engine as the program that PRISMA_SCHEMA_ENGINE_BINARY names:
// the engine's WebAssembly build behind the JSON-RPC that the command line of
// Prisma speaks with its native build, one message a line. Only PostgreSQL.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import pg from "pg";
import { PrismaPg } from "@prisma/adapter-pg";
import { bindMigrationAwareSqlAdapterFactory } from "@prisma/driver-adapter-utils";

// What the engine says when it panics; the instance is of no use afterwards.
globalThis.PRISMA_WASM_PANIC_REGISTRY = { set_message: (message) => process.stderr.write(message + "\n") };

const CHAR = 18, TEXT = 25; // oids: the adapter does not know the type "char"
const CHARACTER = 6; // how it tells the engine of one

const { datamodels, url, command } = parse(process.argv.slice(2));

function parse(args) {
  const found = { datamodels: [], url: undefined, command: undefined };
  for (let i = 0; i < args.length; i++) {
    if (args[i] === "--datamodels") found.datamodels.push(args[++i]);
    else if (args[i] === "--datasource") found.url = JSON.parse(args[++i]).url;
    else if (args[i] === "cli") found.command = args[++i];
    else i++; // previews and extensions have no use here
  }
  return found;
}

/** The adapter of a database, able to do what migrations need. */
function factory(databaseUrl) {
  const target = new URL(databaseUrl);
  const schema = target.searchParams.get("schema") ?? undefined;
  target.searchParams.delete("schema");
  const config = (database) => {
    const place = new URL(target);
    if (database) place.pathname = "/" + database;
    return { connectionString: place.href, ...(schema && { options: `-c search_path="${schema}"` }) };
  };
  const connect = async (database) => adjust(await new PrismaPg(config(database), { schema }).connect());
  const made = new PrismaPg(config(), { schema });
  made.connect = () => connect();
  made.connectToShadowDb = async () => {
    const name = "prisma_migrate_shadow_db_" + crypto.randomUUID();
    const outside = new pg.Client(config());
    await outside.connect();
    await outside.query(`CREATE DATABASE "${name}"`);
    const inside = await connect(name);
    const dispose = inside.dispose.bind(inside);
    inside.dispose = async () => {
      await dispose();
      await outside.query(`DROP DATABASE "${name}" WITH (FORCE)`);
      await outside.end();
    };
    return inside;
  };
  return bindMigrationAwareSqlAdapterFactory(made);
}

/** Lets an adapter run a script as one, and read columns of type "char". */
function adjust(adapter) {
  const queryable = Object.getPrototypeOf(Object.getPrototypeOf(adapter));
  if (!queryable.adjusted) {
    const { performIO, queryRaw } = queryable;
    queryable.performIO = async function (query) {
      const result = await performIO.call(this, query);
      query.chars = (result.fields ?? []).map((field) => field.dataTypeID === CHAR);
      result.fields?.forEach((field, i) => query.chars[i] && (field.dataTypeID = TEXT));
      return result;
    };
    queryable.queryRaw = async function (query) {
      const result = await queryRaw.call(this, query);
      result.columnTypes = result.columnTypes.map((type, i) => (query.chars[i] ? CHARACTER : type));
      return result;
    };
    queryable.adjusted = true;
  }
  adapter.executeScript = async (script) => {
    await adapter.underlyingDriver().query(script).catch((error) => adapter.onError(error));
  };
  return adapter;
}

async function engine() {
  const require = createRequire(import.meta.url);
  const bindings = await import("@prisma/schema-engine-wasm/schema_engine_bg");
  const binary = readFileSync(require.resolve("@prisma/schema-engine-wasm/schema_engine_bg").replace(/\.js$/, ".wasm"));
  const { instance } = await WebAssembly.instantiate(binary, { "./schema_engine_bg.js": bindings });
  bindings.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start();
  const models = datamodels.map((path) => [path, readFileSync(path, "utf8")]);
  return bindings.SchemaEngine.new({ datamodels: models.length ? models : undefined }, () => {}, factory(url));
}

const names = { getDatabaseVersion: "version" };

async function serve() {
  let started;
  let printed = 0;
  const send = (message) => process.stdout.write(JSON.stringify({ jsonrpc: "2.0", ...message }) + "\n");
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, method, params } = JSON.parse(line);
    if (!method) continue; // the answer to a print
    try {
      if (method === "createDatabase") {
        send({ id, result: { databaseName: await createDatabase() } });
        continue;
      }
      started ??= await engine();
      const result = (await started[names[method] ?? method](params)) ?? {};
      if (method === "diff" && result.stdout) {
        send({ id: `print-${++printed}`, method: "print", params: { content: result.stdout } });
      }
      send({ id, result });
    } catch (error) {
      const data = { is_panic: false, message: error.message, error_code: error.code, meta: null };
      send({ id, error: { code: 4466, message: error.message, data } });
    }
  }
}

async function createDatabase() {
  const target = new URL(url);
  const name = decodeURIComponent(target.pathname.slice(1));
  target.searchParams.delete("schema");
  target.pathname = "/postgres";
  const client = new pg.Client(target.href);
  await client.connect();
  await client.query(`CREATE DATABASE ${client.escapeIdentifier(name)}`).finally(() => client.end());
  return name;
}

const commands = {
  "can-connect-to-database": async () => {
    const target = new URL(url);
    target.searchParams.delete("schema");
    const client = new pg.Client(target.href);
    await client.connect();
    await client.end();
  },
  "create-database": createDatabase,
};

if (!command) {
  await serve();
} else {
  try {
    await commands[command]();
  } catch (error) {
    const error_code = { "3D000": "P1003", "28P01": "P1000" }[error.code] ?? "P1001";
    const fields = { error_code, message: error.message };
    const lines = [{ level: "INFO", target: "schema_engine", fields: { message: command } }, { level: "ERROR", target: "schema_engine::logger", fields }];
    process.stderr.write(lines.map((line) => JSON.stringify(line)).join("\n"));
    process.exitCode = 1;
  }
}
