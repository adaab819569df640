// Prisma's schema engine in its WebAssembly build. Only PostgreSQL.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import pg from "pg";
import { PrismaPg } from "@prisma/adapter-pg";
import { bindMigrationAwareSqlAdapterFactory } from "@prisma/driver-adapter-utils";

// What the engine says when it panics; the instance is of no use afterwards.
globalThis.PRISMA_WASM_PANIC_REGISTRY = { set_message: (message) => process.stderr.write(message + "\n") };

const CHAR = 18, TEXT = 25; // oids: the adapter does not know the type "char"
const CHARACTER = 6; // how it tells the engine of one

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

let loaded;

/** The engine's WebAssembly, loaded once. */
async function load() {
  const require = createRequire(import.meta.url);
  const bindings = await import("@prisma/schema-engine-wasm/schema_engine_bg");
  const binary = readFileSync(require.resolve("@prisma/schema-engine-wasm/schema_engine_bg").replace(/\.js$/, ".wasm"));
  const { instance } = await WebAssembly.instantiate(binary, { "./schema_engine_bg.js": bindings });
  bindings.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start();
  return bindings;
}

/** An engine of its own for a database. */
export async function engine(url, datamodels = []) {
  const { SchemaEngine } = await (loaded ??= load());
  const models = datamodels.map((path) => [path, readFileSync(path, "utf8")]);
  return SchemaEngine.new({ datamodels: models.length ? models : undefined }, () => {}, factory(url));
}
